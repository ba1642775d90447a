"""Everything that the first minutes on a GPU have to show, in one command:

    python -m bench.gpu.check FOLDER                  # on a machine with a CUDA device
    python -m bench.gpu.check FOLDER --only resnet50  # some parts, separated by commas
    python -m bench.gpu.check FOLDER --later          # the minutes after: NVIDIA's checkers and profiler, a soak run
    python -m bench.gpu.check FOLDER --rehearse       # tiny sizes on a GPU in software (tests/softgpu): does the script itself work?

Each part of `bench.gpu.parts` runs in a process of its own with a time limit.  FOLDER/check.json is written anew after every part,
so that nothing that was found is lost where the next one hangs or the machine goes; what went wrong stands there, too.  Needs
torch, triton, numpy, scipy, numba, pybind11, pytest, and nothing of rsfast installed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from .parts import LATER, PARTS, ROOT, last_lines


def main() -> int:
    given = argparse.ArgumentParser(prog="python -m bench.gpu.check", description="Measure everything on this machine's GPU.")
    given.add_argument("folder", type=Path)
    given.add_argument("--rehearse", action="store_true")
    given.add_argument("--later", action="store_true")
    given.add_argument("--only")
    options = given.parse_args()
    known = LATER if options.later else PARTS
    wanted = list(known) if options.only is None else options.only.split(",")
    unknown = sorted(set(wanted) - set(known))
    if unknown:
        given.error(f"there is no part {', '.join(unknown)}: give some of {', '.join(known)}.")
    if not options.rehearse and not _sees_a_gpu():
        given.error("torch sees no CUDA device here: run this on a machine with one, or give --rehearse.")
    options.folder.mkdir(parents=True, exist_ok=True)
    file, found = options.folder / "check.json", {}
    began = time.perf_counter()
    for name in wanted:
        found[name] = run(name, known[name].seconds, options.rehearse)
        whole = {"rehearsal": options.rehearse, "seconds": time.perf_counter() - began, "parts": found}
        scratch = file.with_suffix(".partial")
        scratch.write_text(json.dumps(whole, indent=1) + "\n")
        scratch.replace(file)
        print(f"{name}: {found[name]['ended']} after {found[name]['seconds']:.0f} s", flush=True)
    return 0 if all(part["ended"] == "well" for part in found.values()) else 3


def _sees_a_gpu() -> bool:
    code = "import torch, sys; sys.exit(0 if torch.cuda.is_available() else 1)"
    return subprocess.run([sys.executable, "-c", code]).returncode == 0


def run(name: str, seconds: int, rehearse: bool) -> dict[str, Any]:
    """One part in a process of its own: how it ended, its seconds, and its result or what it said last.

    Of a rehearsal also the kernels that this process launched, and what the GPU in software found wrong with them.
    """
    environment = {**os.environ, "RSFAST_REHEARSE": str(int(rehearse))}
    environment.pop("TRITON_INTERPRET", None)  # kernels are compiled, for the GPU or for the one in software
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        command = [sys.executable, "-m", "bench.gpu.parts", name, str(result)]
        ended = "well"
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            said, _ = process.communicate(timeout=seconds)
            if process.returncode:
                ended = f"with exit code {process.returncode}"
        except subprocess.TimeoutExpired:
            _end(process)
            said, _ = process.communicate()
            ended = f"by its limit of {seconds} s"
        finally:
            _end(process)
        row: dict[str, Any] = {"ended": ended, "seconds": time.perf_counter() - began}
        if result.exists():
            return row | json.loads(result.read_text())
        return row | {"said": last_lines(said)}


def _end(process: subprocess.Popen[str]) -> None:
    """A process that may hang, and all that it started: the next part wants the GPU for itself."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
