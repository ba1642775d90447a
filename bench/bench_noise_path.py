"""Noise path: image + noise, cast and laid out, against the unfused torch sequences.

`published` is the expression of the published certification loop: repeat, randn_like * sigma, add, and where the model wants
it .to(bfloat16, channels_last).  `in_place` is the tidy version of the same: normal_, add_ in one buffer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from bench import timing
from rsfast import backends
from rsfast.noise import Gaussian
from rsfast.transforms import Identity

SIGMA = 0.5
SIZES = {"3x32x32": (3, 32, 256), "3x224x224": (3, 224, 16)}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def candidates(size: str, dtype: str) -> tuple[dict[str, Callable[[], Any]], int]:
    """{name: one batch of noisy copies}, and how many pixels that is."""
    channels, side, copies = SIZES[size]
    x = torch.rand(1, channels, side, side)
    layout = torch.channels_last if dtype == "bfloat16" else torch.contiguous_format
    out = torch.empty((copies, channels, side, side), dtype=DTYPES[dtype], memory_format=layout)
    scratch = torch.empty((copies, channels, side, side))

    def published() -> torch.Tensor:
        batch = x.repeat((copies, 1, 1, 1))
        noisy = batch + torch.randn_like(batch) * SIGMA
        return noisy if dtype == "float32" else noisy.to(torch.bfloat16, memory_format=torch.channels_last)

    def in_place() -> torch.Tensor:
        noisy = scratch.normal_(0, SIGMA).add_(x)
        return noisy if dtype == "float32" else noisy.to(torch.bfloat16, memory_format=torch.channels_last)

    def fused(name: str) -> Callable[[], torch.Tensor]:
        def call() -> torch.Tensor:
            backends.get(name).perturb(
                x, Gaussian(SIGMA), Identity(), part=0, sigma=np.array([SIGMA]), mean=None, std=None, seed=0, stream=1,
                ids=np.array([0]), first=0, count=copies, out=out,
            )  # fmt: skip
            return out

        return call

    check(fused, published, x)
    return {"native": fused("native"), "numba": fused("numba"), "in_place": in_place, "published": published}, out.numel()


def check(fused: Callable[[str], Callable[[], torch.Tensor]], published: Callable[[], torch.Tensor], x: torch.Tensor) -> None:
    """No speed is reported for wrong answers: equal bits between the backends, the right spread against torch."""
    ours = fused("native")().clone()
    assert torch.equal(ours, fused("numba")())
    for noisy in (ours, published()):
        z = (noisy.float() - x) / SIGMA
        assert abs(float(z.mean())) < 0.02
        assert abs(float(z.std()) - 1) < 0.02


def measure(all_threads: Sequence[int] = (1, 2)) -> Iterator[dict[str, Any]]:
    for threads in all_threads:
        torch.set_num_threads(threads)
        for size in SIZES:
            for dtype in DTYPES:
                calls, pixels = candidates(size, dtype)
                seconds = timing.interleaved(calls, rounds=41)
                layout = "channels-last" if dtype == "bfloat16" else "contiguous"
                yield {
                    "size": size, "dtype": dtype, "layout": layout, "threads": threads, "unit": "ns per pixel",
                    "results": timing.summary(seconds, baseline="published", per=pixels, unit="ns"),
                }  # fmt: skip
