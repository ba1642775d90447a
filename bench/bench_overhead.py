"""End to end: `certify` against the bare forward passes of the same batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch

import rsfast as rs
from bench import timing
from rsfast.inference import default_batch
from rsfast.models import build

CASES = [("small-cnn", (1, 8, 8), 4, 10_000), ("cifar-resnet20", (3, 32, 32), 1, 4_000)]
N0 = 100


def candidates(name: str, shape: tuple[int, int, int], images: int, n: int) -> dict[str, Callable[[], Any]]:
    torch.manual_seed(0)
    model = build(name, num_classes=10, channels=shape[0]).eval()
    x = torch.rand(images, *shape)
    batch = default_batch(x[0].numel(), N0 + n, "cpu")
    batches = [torch.rand(batch, *shape)] * -(-(N0 + n) // batch)

    def certify() -> Any:
        return rs.certify(model, x, noise=rs.Gaussian(0.25), num_classes=10, n0=N0, n=n, seed=0)

    def forward() -> None:
        with torch.inference_mode():
            for _ in range(images):
                for noisy in batches:
                    model(noisy)

    return {"certify": certify, "forward": forward}


def measure() -> Iterator[dict[str, Any]]:
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for name, shape, images, n in CASES:
            seconds = timing.interleaved(candidates(name, shape, images, n), rounds=11)
            results = timing.summary(seconds, baseline="forward", per=images * (N0 + n), unit="us")
            overhead = 100 * (1 / results["certify"]["times_faster_than_forward"] - 1)
            yield {
                "model": name, "shape": shape, "images": images, "n0": N0, "n": n, "batch": default_batch(math.prod(shape), N0 + n, "cpu"),
                "threads": threads, "unit": "us per sample", "overhead_percent": overhead, "results": results,
            }  # fmt: skip
