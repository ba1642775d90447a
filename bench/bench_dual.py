"""One half of dual smoothing: kept pixels + noise, resized, cast and laid out, against unfused torch sequences.

`released` does what the authors' code does.  Small images: mask, noise on the whole frame, max_pool2d, nearest upsampling, mask
again.  Large ones: gather the kept pixels into H x W/2, repeat, randn_like * sigma, add, bilinear interpolation.  `in_place` is a
tidy version: noise for kept pixels only, in one buffer, then the same resizing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn.functional import interpolate, max_pool2d

from bench import timing
from rsfast import backends
from rsfast.noise import Gaussian
from rsfast.transforms import DiagonalSplit

SIGMA = 0.5
SIZES = {"3x32x32": (3, 32, 256), "3x224x224": (3, 224, 16)}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
SPLIT = DiagonalSplit(layout="released")


def candidates(
    size: tuple[int, int, int], dtype: str, device: str = "cpu", ours: tuple[str, ...] = ("native", "numba")
) -> tuple[dict[str, Any], int]:
    """{name: one batch of noisy copies of the left half}, and how many pixels the model is shown."""
    channels, side, copies = size
    x = torch.rand(1, channels, side, side, device=device)
    layout = torch.channels_last if dtype == "bfloat16" else torch.contiguous_format
    out = torch.empty((copies, channels, side, side), dtype=DTYPES[dtype], device=device, memory_format=layout)
    kept = torch.from_numpy(SPLIT.kept(0, side, side)).to(device)
    mask = torch.zeros(side * side, device=device)
    mask[kept] = 1
    mask = mask.reshape(side, side)
    half = x.flatten(2)[:, :, kept].reshape(1, channels, side, side // 2)
    scratch = torch.empty((copies, channels, side, side // 2), device=device)
    frame = torch.zeros((copies, channels, side * side), device=device)

    def cast(noisy: torch.Tensor) -> torch.Tensor:
        return noisy if dtype == "float32" else noisy.to(torch.bfloat16, memory_format=torch.channels_last)

    def pooled(v: torch.Tensor) -> torch.Tensor:
        return mask * (v + interpolate(max_pool2d(v, 2), scale_factor=2, mode="nearest"))

    def released() -> torch.Tensor:
        if SPLIT.fill(side) == "pooled":
            batch = x.repeat((copies, 1, 1, 1))
            return cast(pooled(mask * (batch + torch.randn_like(batch) * SIGMA)))
        batch = half.repeat((copies, 1, 1, 1))
        noisy = batch + torch.randn_like(batch) * SIGMA
        return cast(interpolate(noisy, size=(side, side), mode="bilinear", align_corners=False))

    def in_place() -> torch.Tensor:
        noisy = scratch.normal_(0, SIGMA).add_(half)
        if SPLIT.fill(side) == "pooled":
            frame[:, :, kept] = noisy.flatten(2)
            return cast(pooled(frame.reshape(copies, channels, side, side)))
        return cast(interpolate(noisy, size=(side, side), mode="bilinear", align_corners=False))

    def fused(name: str) -> Callable[[], torch.Tensor]:
        def call() -> torch.Tensor:
            backends.get(name).perturb(
                x, Gaussian(SIGMA), SPLIT, part=0, sigma=np.array([SIGMA]), mean=None, std=None, seed=0, stream=1,
                ids=np.array([0]), first=0, count=copies, out=out,
            )  # fmt: skip
            return out

        return call

    check([fused(name) for name in ours], released, fused("reference") if device == "cpu" else None, mask)
    return {**{name: fused(name) for name in ours}, "in_place": in_place, "released": released}, out.numel()


def check(
    fused: list[Callable[[], torch.Tensor]],
    released: Callable[[], torch.Tensor],
    reference: Callable[[], torch.Tensor] | None,
    mask: torch.Tensor,
) -> None:
    """No speed is reported for wrong answers: equal bits between backends, and torch's mean and spread of every pixel's kind."""
    ours = fused[0]().clone()
    for other in fused[1:] + ([reference] if reference is not None and ours.shape[-1] <= 32 else []):
        assert torch.equal(ours, other())
    theirs = released()
    for kept in (True, False):
        at = (mask == 1) if kept else (mask == 0)
        one, two = ours.float()[..., at], theirs.float()[..., at]
        chance = max(0.01, 6 / one.numel() ** 0.5)
        assert abs(float(one.mean() - two.mean())) < chance
        assert abs(float(one.std() - two.std())) < chance


def measure(all_threads: Sequence[int] = (1, 2)) -> Iterator[dict[str, Any]]:
    for threads in all_threads:
        torch.set_num_threads(threads)
        for size in SIZES:
            for dtype in DTYPES:
                calls, pixels = candidates(SIZES[size], dtype)
                seconds = timing.interleaved(calls, rounds=31)
                layout = "channels-last" if dtype == "bfloat16" else "contiguous"
                yield {
                    "size": size, "interpolation": SPLIT.fill(SIZES[size][1]), "dtype": dtype, "layout": layout,
                    "threads": threads, "unit": "ns per shown pixel",
                    "results": timing.summary(seconds, baseline="released", per=pixels, unit="ns"),
                }  # fmt: skip
