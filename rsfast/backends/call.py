"""What loops on the CPU are called with: one value for C++ (csrc/call.hpp has the same fields) and for Numba's functions."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Draw(NamedTuple):
    """How words become variates z of unit level: Box-Muller, quantiles, uniform on [-1, 1], or whole numbers; see tables.py."""

    kind: int  # of kernels/coefficients.py
    table: np.ndarray  # float32 [8, 128]; zeros where it is not needed
    thresholds: np.ndarray  # int64 [2^k], of the lattice as the two fields below
    high: np.ndarray  # int32 [2^k]
    step: float  # float32


class Call(NamedTuple):
    """Noisy copies of images: base.Rows as loops take it."""

    pixels: np.ndarray  # float32 [B, C, plane]
    scale: np.ndarray  # float32 [B, C]
    ids: np.ndarray  # uint32 [B]
    key: tuple[int, int]  # lower and upper half of the seed
    stream: int
    first: int
    count: int  # type: ignore[assignment]  # instead of the method of tuples
    out: np.ndarray  # [B * count, D], float32 or the bits of 16-bit floats
    cast: int  # of kernels/coefficients.py
    channels_last: bool
    draw: Draw


class Part(NamedTuple):
    """How the kept pixels of a part are shown: see transforms.View."""

    fill: int  # of kernels/coefficients.py
    width: int  # of the image shown
    gain: np.ndarray  # float32 [C]
    offset: np.ndarray  # float32 [C]
    kept: np.ndarray  # int32 [m]
    indices: np.ndarray  # int32 [T, H * W]
    weights: np.ndarray  # float32 [T, H * W]
    partner: np.ndarray  # int32 [m]; any where the fill needs none; C++ goes without
