"""Quantile tables of generalised Gaussian noise: what a 32-bit word stands for, as float32 polynomials.

A word's top bit is the sign, its other 31 bits m the tail probability p = (m + 1/2) 2^-32; where m < 256, 32 more bits make
it p = (2^32 m + extra | 1) 2^-64.  The table [8, 128] has a polynomial of degree 7 for each octave of x, in t = x 2^-e - 3/2
for x in [2^e, 2^(e+1)):

    rows  0 …  30   |z| of x = m + 1/2                                e = -1 … 29   (m < 2^30: the outer half)
    rows 32 …  62   |z| of x = 2^31 - 1/2 - m = 2^31 (1 - 2 p)        e = -1 … 29   (the inner half, where |z| goes to 0 with x)
    rows 64 … 104   |z| of x = (2^32 m + extra | 1) 2^-32             e = -32 … 8   (the rare far tail)

Octaves on both sides keep the relative error small for every shape: |z| behaves like a power of p at one end and of 1/2 - p
at the other.  The coefficients interpolate the quantile at Chebyshev nodes in 40 digits and are rounded once, so that every
machine finds the same ones.  Those of common shapes are committed (kernels/quantiles.py); a test computes them again.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..kernels import quantiles
from ..kernels.coefficients import DEGREE, INNER_ROW, ROWS, TAIL_ROW
from ..noise import Noise
from ..numerics.incomplete_gamma import gammainccinv, gammaincinv

DIGITS = 40


@functools.lru_cache(maxsize=32)
def quantile_table(shape: float) -> NDArray[np.float32]:
    """Coefficients [8, 128] for density proportional to exp(-|z|^shape)."""
    committed = quantiles.TABLES.get(shape)
    if committed is None:
        return computed_table(shape)
    return np.frombuffer(committed, dtype="<f4").astype(np.float32).reshape(DEGREE + 1, ROWS)


def draw_hash(noise: Noise) -> str | None:
    """Hash of the table that a noise is drawn with, which a stored run records; None where there is none."""
    if noise.lattice is not None:
        return lattice_hash(noise.fixed_levels[0], noise.lattice)
    return None if noise.quantile_shape is None else table_hash(noise.quantile_shape)


def table_hash(shape: float) -> str:
    """First 16 hex digits of the sha256 of a table."""
    return hashlib.sha256(quantile_table(shape).astype("<f4").tobytes()).hexdigest()[:16]


def lattice_hash(sigma: float, levels: int) -> str:
    """The same of a lattice's thresholds."""
    return hashlib.sha256(lattice_table(sigma, levels).thresholds.astype("<i8").tobytes()).hexdigest()[:16]


class LatticeTable(NamedTuple):
    """Whole numbers J = round(s e), e ~ N(0, 1), by comparison with 63-bit thresholds, in falling order and filled up with zeros.

    abs(J) is the number of thresholds above the 63 lower bits of a 64-bit word, whose top bit is the sign.  thresholds[j] is 2^63
    P(abs(J) > j), rounded to nearest: the total variation between what is drawn and the rounded Gaussian is at most
    `total_variation`.  `high` holds the upper 31 bits, which decide but once in 10 million draws.
    """

    thresholds: NDArray[np.int64]  # [2^k]
    high: NDArray[np.int32]  # [2^k]
    step: float  # float32: J is about |z| of shape 2 times it
    total_variation: float  # of one pixel, rounded up


@functools.lru_cache(maxsize=8)
def lattice_table(sigma: float, levels: int) -> LatticeTable:
    """The table of `noise.LatticeGaussian(sigma, levels)`, computed in 40 digits."""
    import mpmath as mp

    found: list[int] = []
    with mp.workdps(DIGITS):
        s = mp.mpf(sigma) * levels
        while not found or found[-1] > 0:
            found.append(int(mp.nint(mp.erfc((len(found) + mp.mpf(1) / 2) / (s * mp.sqrt(2))) * 2**63)))
        step = float(s * mp.sqrt(2))
    size = 1 << (len(found) + 1).bit_length()
    thresholds = np.zeros(size, dtype=np.int64)
    thresholds[: len(found)] = found
    return LatticeTable(thresholds, (thresholds >> 32).astype(np.int32), step, (len(found) + 3) * 2.0**-64)


def computed_table(shape: float) -> NDArray[np.float32]:
    """`quantile_table` from its definition, in a second or two."""
    import mpmath as mp

    table = np.zeros((DEGREE + 1, ROWS), dtype=np.float32)
    with mp.workdps(DIGITS):
        nodes = [mp.cos(mp.pi * (2 * i + 1) / (2 * (DEGREE + 1))) / 2 for i in range(DEGREE + 1)]

        def fitted(exponent: int, to_p: Callable[[Any], Any]) -> list[float]:
            return _interpolated([(t, _quantile(shape, to_p((t + mp.mpf(3) / 2) * mp.mpf(2) ** exponent))) for t in nodes])

        for row in range(31):
            table[:, row] = fitted(row - 1, lambda x: x / 2**32)
            table[:, INNER_ROW + row] = fitted(row - 1, lambda x: mp.mpf(1) / 2 - x / 2**32)
        for row in range(41):
            table[:, TAIL_ROW + row] = fitted(row - 32, lambda x: x / 2**32)
    return table


def _quantile(shape: float, p: Any) -> Any:
    """z with P(Z > z) = p, to DIGITS digits: Newton from a float64 start on the incomplete gamma function."""
    import mpmath as mp

    a = 1 / mp.mpf(shape)
    upper, lower = float(2 * p), float(1 - 2 * p)
    y = mp.mpf(float(gammainccinv(1.0 / shape, upper) if upper < 0.5 else gammaincinv(1.0 / shape, lower)))
    if y < mp.mpf(10) ** -200:  # too small for a double, or nearly so: the series' first term
        y = ((1 - 2 * p) * mp.gamma(a + 1)) ** (1 / a)
    gamma = mp.gamma(a)
    for _ in range(3):  # 16 digits, 32, all
        excess = mp.gammainc(a, y, regularized=True) - 2 * p
        slope = -(y ** (a - 1)) * mp.exp(-y) / gamma
        step = excess / slope
        y -= step / (1 - step * ((a - 1) / y - 1) / 2)  # Halley: the second derivative is at hand
    return y**a


def _interpolated(points: list[tuple[Any, Any]]) -> list[float]:
    """Coefficients, lowest power first, of the polynomial through some points, each rounded to float32 once."""
    import mpmath as mp

    matrix = mp.matrix([[t**i for i in range(len(points))] for t, _ in points])
    solution = mp.lu_solve(matrix, mp.matrix([value for _, value in points]))
    return [_to_float32(value) for value in solution]


def _to_float32(value: Any) -> float:
    """The float32 nearest to a number of many digits (by way of float64 it could be rounded twice)."""
    import mpmath as mp

    with mp.workprec(24):
        return float(+value)
