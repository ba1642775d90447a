"""Calls of the Triton backend on the GPU in software, each against the reference, bit for bit.

python -m tests.softgpu.cases OUT [--target 90 …] [--some]    writes a row per case as JSON; --some: a few, for every change
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rsfast import backends
from rsfast.noise import Gaussian, GeneralizedGaussian, Laplace, LatticeGaussian, Noise, Uniform
from rsfast.transforms import DiagonalSplit, Identity, Partition, Transform, strided_masks

from . import driver
from .memory import serious

NOISE: dict[str, Noise] = {
    "gaussian": Gaussian(0.37),
    "laplace": Laplace(0.37),
    "generalized-gaussian": GeneralizedGaussian(0.37, 3.0),
    "uniform": Uniform(0.37),
    "lattice-gaussian": LatticeGaussian(0.37),
}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, "float64": torch.float64}
MODEL_DTYPES = ("float32", "bfloat16", "float16")
LAYOUTS = {"contiguous": torch.contiguous_format, "channels-last": torch.channels_last}
FILLS = ("bilinear", "nearest", "pooled")
SHAPES = ((3, 32, 32), (1, 28, 28), (3, 8, 8))
WHOLE = "whole"


@dataclasses.dataclass(frozen=True)
class Noisy:
    """A call of `perturb`."""

    noise: str
    part: str  # whole, or how a part is made: tests/softgpu/cases.py transform_of
    dtype: str
    layout: str
    shape: tuple[int, int, int] = (3, 32, 32)
    images: int = 1
    copies: int = 2
    first: int = 3
    seed: int = 2**63 + 987654321
    ids: tuple[int, ...] | None = None  # None: any

    @property
    def pixels(self) -> int:
        return self.images * self.copies * int(np.prod(self.shape))

    def answer(self, backend: str) -> torch.Tensor:
        """What a backend writes into memory poisoned with NaN."""
        rng = np.random.default_rng(5)
        x = torch.from_numpy(rng.random((self.images, *self.shape), dtype=np.float32))
        if self.noise.startswith("lattice"):
            x = torch.round(x * 255) / 255
        C = self.shape[0]
        normalised = self.part != WHOLE or self.images > 1
        mean, std = ([0.4] * C, [0.21 + 0.01 * c for c in range(C)]) if normalised else (None, None)
        out = torch.full((self.images * self.copies, *self.shape), torch.nan, dtype=DTYPES[self.dtype])
        out = out.contiguous(memory_format=LAYOUTS[self.layout])
        transform, part = transform_of(self.part, self.shape)
        backends.get(backend).perturb(
            x, NOISE[self.noise], transform, part=part, sigma=np.full(self.images, 0.37), mean=mean, std=std,
            seed=self.seed, stream=1, ids=np.array(self.ids or rng.integers(0, 2**32, self.images)), first=self.first,
            count=self.copies,
            out=out,
        )  # fmt: skip
        return out


def transform_of(name: str, shape: tuple[int, int, int]) -> tuple[Transform, int]:
    """The transform of a name, and which of its parts is drawn."""
    _, height, width = shape
    kind, *how = name.split()
    if kind == "half":
        return DiagonalSplit(how[0], how[1]), 1  # type: ignore[arg-type]
    if kind == "strided":
        return Partition(strided_masks(2, 2, height, width), how[0]), 3  # type: ignore[arg-type]
    if kind == "framed":
        owner = np.random.default_rng(6).integers(0, 3, height * width)
        owner[:3] = np.arange(3)
        return Partition(owner.reshape(1, height, width) == np.arange(3)[:, None, None], "frame"), 1
    return Identity(), 0


@dataclasses.dataclass(frozen=True)
class Votes:
    """A call of `count`, with NaN, infinities and equal logits among them."""

    classes: int
    dtype: str
    images: int = 1
    rows: bool = False
    copies: int = 36

    @property
    def pixels(self) -> int:
        return self.copies  # what instructions are divided by

    def answer(self, backend: str) -> torch.Tensor:
        rng = np.random.default_rng(7)
        logits = torch.from_numpy(rng.integers(-3, 3, size=(self.copies, self.classes)).astype(float))
        near = torch.from_numpy(rng.random((self.copies, self.classes)) < 0.3)
        logits = torch.where(near, logits * (1 + 2**-40), logits)  # told apart in float64 only
        logits[rng.integers(self.copies, size=5), rng.integers(self.classes, size=5)] = torch.nan
        logits[3], logits[5], logits[6] = -torch.inf, 0.0, torch.nan
        logits[4, self.classes // 2 :] = torch.inf
        logits[5, ::2] = -0.0
        rows = torch.from_numpy(rng.integers(-1, self.images, size=self.copies)) if self.rows else None
        table = torch.full((self.images, self.classes), 5, dtype=torch.int64)
        backends.get(backend).count(logits.to(DTYPES[self.dtype]), table, rows)
        return table


Case = Noisy | Votes
# Calls in which a draw is rare enough to take the extra bits: tests/backends/test_conformance.py has the place of each.
RARE = [
    Noisy("gaussian", WHOLE, "float32", "contiguous", (1, 191, 191), copies=1, first=83, seed=0, ids=(1,)),
    Noisy("laplace", WHOLE, "float32", "contiguous", (1, 316, 316), copies=1, first=56, seed=0, ids=(0,)),
    Noisy("laplace", WHOLE, "bfloat16", "channels-last", (1, 284, 284), copies=1, first=103, seed=0, ids=(1,)),
    # Found by search: one pixel of each image has the upper half of a threshold for its word.
    Noisy("lattice-gaussian", WHOLE, "float32", "contiguous", (1, 28, 28), 4, copies=1, seed=0, ids=(4757, 6297, 6242, 6158)),
]


def some() -> list[Case]:
    """A few that compile few kernels: every noise, fill, dtype, layout and kind of votes once."""
    pairs = itertools.cycle(itertools.product(MODEL_DTYPES, LAYOUTS))
    parts = ["half bilinear released", "half nearest diagonal", "half pooled released", "strided bilinear", "framed frame"]
    noisy = [Noisy(noise, WHOLE, *next(pairs), (3, 8, 8) if noise.startswith("lattice") else (3, 32, 32)) for noise in NOISE]
    noisy += [Noisy("gaussian", WHOLE, "bfloat16", "channels-last", (1, 9, 13))]
    noisy += [Noisy("gaussian", part, *next(pairs), (3, 8, 8)) for part in parts]
    noisy += [Noisy("uniform", "strided bilinear", "float32", "contiguous")]
    return [*noisy, Votes(10, "float32"), Votes(10, "float64", 3, rows=True), Votes(1000, "bfloat16", 3)]


def every() -> list[Case]:
    cases: list[Case] = list(RARE)
    pairs = list(itertools.product(MODEL_DTYPES, LAYOUTS))
    for noise, shape, pair in itertools.product(NOISE, SHAPES, pairs):
        cases.append(Noisy(noise, WHOLE, *pair, shape))
    for noise, pair in itertools.product(NOISE, (("float32", "contiguous"), ("bfloat16", "channels-last"))):
        cases.append(Noisy(noise, WHOLE, *pair, (3, 224, 224)))
    for fill, layout, shape, pair in itertools.product(FILLS, ("released", "diagonal"), SHAPES, pairs):
        cases.append(Noisy("gaussian", f"half {fill} {layout}", *pair, shape))
    taps = ("framed frame", "strided nearest", "strided bilinear")
    for part, shape, pair in itertools.product(taps, SHAPES, pairs):
        cases.append(Noisy("gaussian", part, *pair, shape))
    others = [noise for noise in NOISE if noise != "gaussian"]
    fills = [*(f"half {fill} released" for fill in FILLS), *taps]
    for noise, part, pair in itertools.product(others, fills, (pairs[0], pairs[3])):
        cases.append(Noisy(noise, part, *pair))
    for noise, shape, pair in itertools.product(NOISE, SHAPES, pairs[:4]):
        cases.append(Noisy(noise, WHOLE, *pair, shape, images=3, copies=3, first=2**32 - 5))
    for K, dtype, (images, rows) in itertools.product((2, 10, 100, 1000), DTYPES, ((1, False), (3, True), (3, False))):
        cases.append(Votes(K, dtype, images, rows))
    return cases


def outcome(case: Case, target: int) -> dict[str, Any]:
    """A case's row: whether bits are equal, findings, instructions and sectors a pixel (a row of logits).

    Partial sectors are those that one program leaves half written; those of neighbours, as many programs of the grid as images
    have channels, one after the other.
    """
    before, begin = len(driver.LAUNCHES), time.perf_counter()
    row = {"kind": type(case).__name__.lower(), **dataclasses.asdict(case), "target": f"sm_{target}"}
    expected, got = case.answer("reference"), case.answer("triton")
    launches = driver.LAUNCHES[before:]
    equal = torch.equal(got, expected) and bool(torch.isfinite(got).all())
    row |= {"kernel": [launch.name for launch in launches], "bits_equal": equal}
    row["findings"] = [dataclasses.asdict(found) for launch in launches for found in serious(launch.report.findings)]
    channels = case.shape[0] if isinstance(case, Noisy) else 1
    for name, count in {
        "instructions": lambda launch: launch.report.instructions,
        "store_sectors": lambda launch: launch.report.memory.sectors,
        "partial_sectors": lambda launch: launch.report.memory.partial_sectors(),
        "partial_sectors_of_neighbours": lambda launch: launch.report.memory.partial_sectors(channels),
    }.items():
        row[f"{name}_each"] = round(sum(count(launch) for launch in launches) / case.pixels, 4)
    return row | {"shared_bytes": max(launch.shape.shared_bytes for launch in launches), "seconds": time.perf_counter() - begin}


def outcomes(cases: list[Case], target: int = 90, say: Callable[[str], None] = lambda text: None) -> Iterator[dict[str, Any]]:
    driver.install(target)
    for case in cases:
        row = outcome(case, target)
        say(f"{'equal' if row['bits_equal'] else 'DIFFERENT'} {len(row['findings'])} findings {row['seconds']:.1f} s {case}")
        del driver.LAUNCHES[:]
        yield row


def main() -> None:
    import triton

    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--target", type=int, nargs="+", default=[90], choices=driver.TARGETS)
    parser.add_argument("--some", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    cases, say = some() if asked.some else every(), functools.partial(print, file=sys.stderr, flush=True)
    rows = [row for target in asked.target for row in outcomes(cases, target, say)]
    asked.out.write_text(json.dumps({"triton": triton.__version__, "rows": rows}))


if __name__ == "__main__":
    main()
