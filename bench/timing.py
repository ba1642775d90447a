"""Candidates timed side by side: one after the other in every round, order rotating, medians over the rounds."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

ROOMY_MALLOC = {"MALLOC_MMAP_THRESHOLD_": str(2**32), "MALLOC_TRIM_THRESHOLD_": str(2**36), "MALLOC_TOP_PAD_": str(2**28)}


def with_roomy_malloc() -> None:
    """Start this process again with malloc keeping large blocks.

    glibc gives large temporaries back to the system after every call, and torch then pays page faults for each batch of
    noise.  Raising the thresholds is the fair setting for the peers.
    """
    if any(os.environ.get(key) != value for key, value in ROOMY_MALLOC.items()):
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **ROOMY_MALLOC})


def interleaved(candidates: dict[str, Callable[[], Any]], *, rounds: int, warmup: int = 2) -> dict[str, np.ndarray]:
    """Seconds of every candidate in every round: {name: float64 [rounds]}."""
    names = list(candidates)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(warmup + rounds):
        for i in range(len(names)):
            name = names[(i + turn) % len(names)]
            began = time.perf_counter()
            candidates[name]()
            elapsed = time.perf_counter() - began
            if turn >= warmup:
                seconds[name].append(elapsed)
    return {name: np.array(values) for name, values in seconds.items()}


def summary(seconds: dict[str, np.ndarray], *, baseline: str, per: float = 1.0, unit: str = "s") -> dict[str, Any]:
    """Median and 20/80 % quantiles per candidate, and the ratio baseline / candidate: median of the per-round ratios."""
    scale = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}[unit] / per
    return {
        name: {
            f"median_{unit}": float(np.median(values) * scale),
            f"q20_{unit}": float(np.quantile(values, 0.2) * scale),
            f"q80_{unit}": float(np.quantile(values, 0.8) * scale),
            f"times_faster_than_{baseline}": float(np.median(seconds[baseline] / values)),
        }
        for name, values in seconds.items()
    }
