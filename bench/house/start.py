"""What fresh processes import and how long they take: `import rsfast`, its help, and the commands that need no network."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.edges.status import write_run

from .modules import ROOT

LIBRARIES = ("torch", "triton", "numba", "scipy", "matplotlib", "click", "numpy", "mpmath", "sklearn", "PIL")
NOTHING = "pass"
IMPORT = "import rsfast"
COMMAND = "import sys; sys.argv = {arguments!r}; from rsfast.cli import main; main()"
ASK = "import atexit, sys; atexit.register(lambda: print('\\n' + ' '.join(n for n in {libraries!r} if n in sys.modules), file=sys.stderr)); "


def codes(run: Path, scratch: Path) -> dict[str, str]:
    """What each process executes: the run is read, `scratch` is written into."""
    commands = {
        "rsfast --help": ["--help"],
        "rsfast certify --help": ["certify", "--help"],
        "rsfast status": ["status", run],
        "rsfast report": ["report", run],
        "rsfast report --out": ["report", run, "--out", scratch / "report"],
        "rsfast export": ["export", run, scratch / "rows.tsv"],
        "rsfast recertify": ["recertify", run, "--alpha", "0.01"],
    }
    called = {name: COMMAND.format(arguments=["rsfast", *map(str, arguments)]) for name, arguments in commands.items()}
    return {"python": NOTHING, "import rsfast": IMPORT, **called}


def started(code: str, tree: Path = ROOT, python: str = sys.executable) -> float:
    """Seconds of a fresh process with the rsfast of `tree`."""
    began = time.perf_counter()
    process = subprocess.run([python, "-c", code], cwd=tree, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    if process.returncode:
        raise SystemExit(f"{code}: {process.stderr[-2000:]}")
    return seconds


def imported(code: str, tree: Path = ROOT) -> list[str]:
    """Which of LIBRARIES that process has imported when it ends."""
    process = subprocess.run(
        [sys.executable, "-c", ASK.format(libraries=LIBRARIES) + code], cwd=tree, capture_output=True, text=True
    )
    if process.returncode:
        raise SystemExit(f"{code}: {process.stderr[-2000:]}")
    return process.stderr.splitlines()[-1].split()


def measure(rounds: int = 7, images: int = 50) -> dict[str, Any]:
    """For each process the median seconds, those above an empty one started in the same round, and what it imports."""
    with tempfile.TemporaryDirectory() as folder:
        write_run(Path(folder) / "run", images)
        each = codes(Path(folder) / "run", Path(folder))
        libraries = {name: imported(code) for name, code in each.items()}  # also warms the file cache
        times = [{name: started(code) for name, code in each.items()} for _ in range(rounds)]
    return {
        name: {
            "seconds": round(statistics.median(one[name] for one in times), 4),
            "above_python": round(statistics.median(one[name] - one["python"] for one in times), 4),
            "imports": libraries[name],
        }
        for name in each
    }


if __name__ == "__main__":
    print(json.dumps(measure(), indent=1))
