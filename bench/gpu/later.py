"""What the minutes after the first ones are for: NVIDIA's checkers and profiler over our kernels, and a soak run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .device import DEVICE, REHEARSE, SIGMA

ROOT = Path(__file__).parents[2]
SOAK_SECONDS = 2 if REHEARSE else 240


def under(tool: str, part: str, *options: str) -> dict[str, Any]:
    """A part under a tool of NVIDIA's, where the machine has it."""
    from .parts import last_lines

    found = shutil.which(tool) or shutil.which(tool, path="/usr/local/cuda/bin:/opt/nvidia/nsight-compute")
    if found is None:
        return {"there": False}
    with tempfile.TemporaryDirectory() as folder:
        command = [found, *options, sys.executable, "-m", "bench.gpu.parts", part, str(Path(folder) / "result.json")]
        environment = {**os.environ, "RSFAST_LAUNCHES_SECONDS": "480"}
        ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    said = ended.stdout + ended.stderr
    return {"there": True, "exit": ended.returncode, "errors": [line for line in said.splitlines() if "ERROR" in line][:20],
            "said": last_lines(said)}  # fmt: skip


def soak() -> dict[str, Any]:
    """The same images certified again and again: votes must stay what they were, and memory must not grow."""
    import rsfast as rs
    from rsfast.models import build

    torch.manual_seed(0)
    side = 8 if REHEARSE else 64
    model = build("small-cnn" if REHEARSE else "resnet50", num_classes=10, channels=3).to(DEVICE).eval()
    classifier = rs.Classifier(model, num_classes=10, device=DEVICE, batch=64, value_range=None)
    x, noise = torch.rand(4, 3, side, side), rs.Gaussian(SIGMA)
    began, rounds, differing, memory = time.perf_counter(), 0, 0, []
    first: np.ndarray | None = None
    while rounds < 2 or time.perf_counter() - began < SOAK_SECONDS:
        counts = rs.sample_counts(classifier, x, noise=noise, n=200 if REHEARSE else 2000, seed=5)
        assert (counts.estimation.sum(axis=1) + counts.without_class == counts.n).all()
        first = counts.estimation if first is None else first
        differing += int((counts.estimation != first).any())
        memory.append(0 if REHEARSE else torch.cuda.memory_allocated())
        rounds += 1
    return {"rounds": rounds, "seconds": time.perf_counter() - began, "rounds_that_differ": differing,
            "bytes_grown": max(memory[1:]) - memory[1]}  # fmt: skip
