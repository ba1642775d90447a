"""make show-fresh-clone: `make demo` and `make test` in a fresh clone with an empty HOME; times, and the demo's table."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from bench import results_file

RADII = (0.0, 0.1, 0.25, 0.4, 0.5, 0.6, 0.75)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        clone, home = Path(folder) / "clone", Path(folder) / "home"
        home.mkdir()
        subprocess.run(["git", "clone", "--quiet", str(results_file.ROOT), str(clone)], check=True)
        kept = {key: value for key, value in os.environ.items() if key == "PATH" or key.startswith("PIP_")}
        kept.pop("PIP_CONSTRAINT", None)
        environment = {**kept, "HOME": str(home), "LANG": "C.UTF-8"}
        figures: dict[str, Any] = {}
        for target in ("setup", "demo", "test"):
            began = time.monotonic()
            result = subprocess.run(["make", target], cwd=clone, env=environment, capture_output=True, text=True)
            output = result.stdout + result.stderr
            print("\n".join(output.splitlines()[-12:]))
            figures[target] = {"seconds": round(time.monotonic() - began, 1), "exit": result.returncode}
            if result.returncode:
                raise SystemExit(f"make {target} failed in the fresh clone:\n{output[-5000:]}")
            if target == "demo":
                numbers = next(line for line in output.splitlines() if line.startswith("demo ")).split()[1:]
                accuracy = dict(zip(map(str, RADII), map(float, numbers[2:-1]), strict=True))
                figures[target] |= {
                    "images": int(numbers[0]),
                    "certified_accuracy": accuracy,
                    "average_certified_radius": float(numbers[-1]),
                }
                assert accuracy["0.25"] >= 0.88
                assert accuracy["0.5"] >= 0.50
            if target == "test":
                figures[target]["tests"] = re.findall(r"=+ (.*) in [0-9.]+s", output)[-1:]
        figures["note"] = "setup includes the downloads; demo and test ran after it"
        results_file.write("fresh-clone", figures)


main()
