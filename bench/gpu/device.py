"""The device that a part runs on, and its clock; in a rehearsal a GPU in software, on which nothing is timed."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

REHEARSE = os.environ.get("RSFAST_REHEARSE") == "1"
DEVICE = "cpu" if REHEARSE else "cuda"  # tensors of the GPU in software lie on the CPU
SIGMA = 0.5


def begin() -> None:
    """What a process does first: in a rehearsal, give Triton the GPU in software."""
    if REHEARSE:
        from tests.softgpu.driver import install

        install()


def median_ms(candidates: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Medians over rounds in which every candidate runs once, timed with device events."""
    if REHEARSE:
        for call in candidates.values():
            call()
        return dict.fromkeys(candidates, float("nan"))
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for turn in range(rounds + 3):
        for name, call in candidates.items():
            begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            begin.record()
            call()
            end.record()
            end.synchronize()
            if turn >= 3:
                times[name].append(begin.elapsed_time(end))
    return {name: float(np.median(values)) for name, values in times.items()}


def spread_ms(call: Callable[[], Any], rounds: int = 30) -> dict[str, float]:
    """Median and quintiles of one call."""
    if REHEARSE:
        call()
        return {"median": float("nan"), "low": float("nan"), "high": float("nan")}
    times = []
    for turn in range(rounds + 3):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        call()
        end.record()
        end.synchronize()
        if turn >= 3:
            times.append(begin.elapsed_time(end))
    low, middle, high = np.quantile(times, [0.2, 0.5, 0.8])
    return {"median": float(middle), "low": float(low), "high": float(high)}
