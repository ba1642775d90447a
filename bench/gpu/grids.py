"""Gaussian noise by programs in other orders and of other sizes: kernels/perturb.py chose among them without a GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import triton
import triton.language as tl

from rsfast import backends
from rsfast.backends import base
from rsfast.backends.triton import _arguments
from rsfast.kernels.draws import four_variates
from rsfast.kernels.perturb import _cast
from rsfast.noise import Gaussian
from rsfast.transforms import Identity

from .device import DEVICE, REHEARSE, SIGMA, median_ms

ORDERS = ("channels of a place", "one row", "one place of every row")
"""What programs do that follow one another: `perturb_kernel`'s, channel after channel, and rows before places."""
SHAPES = ((8, 1), (4, 1), (16, 1), (8, 2), (4, 4))
"""Tiles of 64 pixels that a warp draws, and warps; `perturb_kernel`'s first."""


@triton.jit(do_not_specialize=["D", "plane", "length", "step", "first", "count", "stream_id", "k0", "k1"])
def ordered_kernel(
    pixels, scale, ids, table, thresholds, high, length, step, out, D, plane, first, count, stream_id, k0, k1, C: tl.constexpr,
    KIND: tl.constexpr, CHANNELS_LAST: tl.constexpr, BFLOAT16: tl.constexpr, TILES: tl.constexpr, ORDER: tl.constexpr,
):  # fmt: skip
    """`perturb_kernel` of one image and even planes, in any of ORDERS."""
    program, copy = tl.program_id(0), tl.program_id(1)
    if ORDER == 2:
        program, copy = copy, program
    if ORDER == 0:
        channel = program % C
        begin = (channel * (plane // (64 * TILES)) + program // C) * TILES
    else:
        begin = program * TILES
        channel = begin * 64 // plane
    i = tl.arange(0, TILES * 16)
    tile, lane = begin + i // 16, i % 16
    sample, image = first.to(tl.uint32) + copy.to(tl.uint32), tl.load(ids).to(tl.uint32)
    at = (sample, image, stream_id.to(tl.uint32), k0.to(tl.uint32), k1.to(tl.uint32))
    z0, z1, z2, z3 = four_variates((tile * 16 + lane).to(tl.uint32), at, (table, thresholds, high, length, step), KIND)
    target = out + copy.to(tl.int64) * D
    for j in tl.static_range(4):
        z = z0 if j == 0 else (z1 if j == 1 else (z2 if j == 2 else z3))
        e = tl.max_contiguous(tile * 64 + 16 * j + lane, [1])
        noisy = tl.load(pixels + e) + tl.load(scale + channel) * z
        place = (e - channel * plane) * C + channel if CHANNELS_LAST else e
        tl.store(target + place, _cast(noisy, BFLOAT16, target))


def grids() -> list[dict[str, Any]]:
    """A batch in every order and by programs of every size: bits against the backend's, and milliseconds."""
    rows = []
    sizes = ((32, 2),) if REHEARSE else ((32, 4096), (224, 256))
    forms = ((torch.bfloat16, torch.channels_last), (torch.float32, torch.contiguous_format))
    for side, copies in sizes:
        x = torch.rand(1, 3, side, side, device=DEVICE)
        for dtype, layout in forms[: 1 if REHEARSE else 2]:
            out = torch.empty((copies, 3, side, side), dtype=dtype, device=DEVICE, memory_format=layout)
            asked: dict[str, Any] = {"part": 0, "sigma": np.array([SIGMA]), "mean": None, "std": None, "seed": 0, "stream": 1,
                                     "ids": np.array([0]), "first": 0, "count": copies, "out": out}  # fmt: skip
            backends.get("triton").perturb(x, Gaussian(SIGMA), Identity(), **asked)
            expected = out.clone()
            call = base.prepare(x, Gaussian(SIGMA), Identity(), base.Asked(**asked))
            candidates = {(order, *SHAPES[0]): _launch(call, order, *SHAPES[0]) for order in range(len(ORDERS))}
            candidates |= {(0, *shape): _launch(call, 0, *shape) for shape in SHAPES[1 : 2 if REHEARSE else None]}
            equal, failed = {}, {}
            for way, launch in candidates.items():
                try:
                    out.zero_()
                    launch()
                    equal[way] = bool(torch.equal(out, expected))
                except Exception as error:  # one that fails must not hide the rest
                    failed[way] = f"{type(error).__name__}: {error}"[:500]
            ms = median_ms({str(way): candidates[way] for way in equal}, rounds=30)
            for way in candidates:
                order, tiles, warps = way
                rows.append({
                    "size": f"3x{side}x{side}", "copies": copies, "dtype": str(dtype), "layout": str(layout),
                    "next_program": ORDERS[order], "tiles_of_a_warp": tiles, "warps": warps, "bits_equal": equal.get(way, False),
                    **({"error": failed[way]} if way in failed else {
                        "ms": ms[str(way)], "gigabytes_written_per_second": out.nbytes / ms[str(way)] / 1e6,
                    }),
                })  # fmt: skip
    return rows


def _launch(rows: base.Rows, order: int, tiles_of_a_warp: int, warps: int) -> Callable[[], None]:
    _, channels, plane = rows.pixels.shape
    tiles = tiles_of_a_warp * warps
    grid = (channels * plane // (64 * tiles), rows.count)
    arguments = _arguments(rows)

    def launch() -> None:
        ordered_kernel[grid[::-1] if order == 2 else grid](
            D=channels * plane, plane=plane, TILES=tiles, ORDER=order, num_warps=warps, **arguments
        )

    return launch
