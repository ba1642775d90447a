"""The parts of the check: what runs, and how long it may take.  `python -m bench.gpu.parts NAME FILE` runs one."""

from __future__ import annotations

import collections
import functools
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]


class Part(NamedTuple):
    """What runs, and after how many seconds it is ended."""

    run: Callable[[], Any]
    seconds: int


def versions() -> dict[str, Any]:
    """Who is here, and the extension, built by all processors, with the compiler's messages."""
    import numpy
    import torch
    import triton

    from .device import REHEARSE

    found: dict[str, Any] = {
        "python": sys.version.split()[0], "torch": torch.__version__, "triton": triton.__version__, "numpy": numpy.__version__,
        "machine": platform.machine(), "processors": os.cpu_count(), "build": _build(),
    }  # fmt: skip
    if not REHEARSE:
        card = torch.cuda.get_device_properties(0)
        found |= {
            "device": card.name, "capability": f"{card.major}.{card.minor}", "gib": card.total_memory / 2**30,
            "processors_of_device": card.multi_processor_count, "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version(),
        }  # fmt: skip
    return found


def _build() -> dict[str, Any]:
    """Build the extension in place if it is missing or of older sources."""
    from rsfast import backends

    if backends.available()["native"] is None:
        return {"there": True}
    began = time.perf_counter()
    command = [sys.executable, "setup.py", "build_ext", "--inplace", f"-j{os.cpu_count()}"]
    environment = {**os.environ, "RSFAST_BUILD_EXT": "1"}
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    return {
        "there": ended.returncode == 0,
        "seconds": time.perf_counter() - began,
        "said": last_lines(ended.stdout + ended.stderr),
    }


def last_lines(text: str) -> list[str]:
    """The end of what a process said."""
    return [line[:300] for line in text.splitlines()[-25:]]


def _pytest(*arguments: str) -> dict[str, Any]:
    from .device import REHEARSE

    device = "1"
    if REHEARSE:
        arguments, device = (
            ("tests/backends/test_votes.py", "-k", "triton and tie", "-n", "2", "-p", "tests.softgpu.driver"),
            "soft",
        )
    command = [sys.executable, "-m", "pytest", *arguments, "-q", "-p", "no:cacheprovider", "--timeout", "600"]
    ended = subprocess.run(command, cwd=ROOT, env={**os.environ, "RSFAST_TEST_GPU": device}, capture_output=True, text=True)
    return {"exit": ended.returncode, "said": last_lines(ended.stdout)}


def _of(module: str, name: str, *arguments: Any) -> Callable[[], Any]:
    """A function of a module that is imported when the part runs."""

    def run() -> Any:
        import importlib

        return getattr(importlib.import_module(f"bench.gpu.{module}"), name)(*arguments)

    return run


PARTS: dict[str, Part] = {
    "versions": Part(versions, 240),
    "launches": Part(_of("kernels_on_device", "launches"), 240),
    "engine": Part(functools.partial(_pytest, "tests/counting", "-k", "gpu"), 180),
    "copy-bandwidth": Part(_of("kernels_on_device", "copy_bandwidth"), 60),
    "noise-path": Part(_of("kernels_on_device", "noise_path"), 120),
    "grids": Part(_of("grids", "grids"), 150),
    "resnet50": Part(_of("models_on_device", "end_to_end", "resnet50"), 240),
    "vit-b16": Part(_of("models_on_device", "end_to_end", "vit-b16"), 180),
    "cifar-resnet110": Part(_of("models_on_device", "end_to_end", "cifar-resnet110"), 180),
    "profile": Part(_of("models_on_device", "profile"), 90),
    "noises": Part(_of("kernels_on_device", "noises"), 90),
    "dual": Part(_of("kernels_on_device", "dual"), 90),
    "votes": Part(_of("kernels_on_device", "votes"), 60),
    "suite": Part(
        functools.partial(
            _pytest, "tests/backends", "tests/api", "tests/counting", "tests/sigma", "-k", "triton or gpu", "-n", "8"
        ),
        420,
    ),
}
"""In the order in which the first minutes on a GPU are spent."""

ALL = ("--target-processes", "all")  # what a part starts is looked at, too
LATER: dict[str, Part] = {
    "memcheck": Part(_of("later", "under", "compute-sanitizer", "launches", "--tool", "memcheck", *ALL), 540),
    "racecheck": Part(_of("later", "under", "compute-sanitizer", "launches", "--tool", "racecheck", *ALL), 540),
    "ncu": Part(_of("later", "under", "ncu", "noise-path", "--set", "basic", "--kernel-name", "regex:perturb", "-c", "8"), 300),
    "soak": Part(_of("later", "soak"), 420),
}
"""For the minutes after them."""


def main() -> None:
    from .device import REHEARSE, begin

    name, file = sys.argv[1:]
    begin()
    found = {"result": (PARTS | LATER)[name].run()}
    if REHEARSE:
        from tests.softgpu import driver, memory

        found["kernels_launched"] = collections.Counter(launch.name for launch in driver.LAUNCHES)
        found["findings"] = [str(one) for launch in driver.LAUNCHES for one in memory.serious(launch.report.findings)]
    scratch = Path(file).with_suffix(".partial")
    scratch.write_text(json.dumps(found) + "\n")
    scratch.replace(file)


if __name__ == "__main__":
    main()
