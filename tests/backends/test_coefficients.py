"""The committed polynomials, against 50-digit arithmetic and against the C++ header."""

import runpy
from pathlib import Path

import mpmath as mp
import numpy as np
import pytest
import torch

from rsfast.backends import base
from rsfast.kernels import coefficients as const

CSRC = Path(__file__).parents[2] / "csrc"


def largest_relative_error(coefficients, function, low, high):
    """The error of the polynomial evaluated exactly: what is left is the fit and the rounding of the coefficients."""
    with mp.workdps(50):
        exact = [mp.mpf(c) for c in reversed(coefficients)]
        points = [mp.mpf(low) + (mp.mpf(high) - low) * i / 4000 for i in range(4001)]
        return max(abs(mp.polyval(exact, x) / function(x) - 1) for x in points if x != 0)


@pytest.mark.parametrize(
    ("coefficients", "function", "low", "high", "allowed"),
    [
        (const.LOG, lambda f: -2 * mp.log1p(f) / f, mp.mpf(-1) / 3, mp.mpf(1) / 3, 1.2e-7),
        (const.SIN, lambda v: mp.sin(mp.pi / 4 * mp.sqrt(v)) / mp.sqrt(v), 0, 1, 6e-8),
        (const.COS, lambda v: mp.cos(mp.pi / 4 * mp.sqrt(v)), 0, 1, 6e-8),
    ],
    ids=["log", "sin", "cos"],
)
def test_polynomials_are_accurate_to_two_float32_roundings(coefficients, function, low, high, allowed):
    assert largest_relative_error(coefficients, function, low, high) < allowed


def test_constants_are_exactly_float32():
    for value in (*const.LOG, *const.SIN, *const.COS, const.MINUS_TWO_LN2, const.TWO_M31, const.TWO_M32):
        assert float(np.float32(value)) == value


def test_the_cpp_header_is_the_one_that_the_constants_make():
    generator = runpy.run_path(str(CSRC / "coefficients.py"))
    assert (CSRC / "coefficients.hpp").read_text() == generator["header"](), "run python csrc/coefficients.py"


@pytest.mark.parametrize("value", [*const.LOG, *const.SIN, *const.COS, const.MINUS_TWO_LN2, const.TWO_M31, 3.0])
def test_numbers_are_written_exactly(value):
    floating = runpy.run_path(str(CSRC / "coefficients.py"))["floating"]
    assert float.fromhex(floating(value).removesuffix("f")) == value


def test_nothing_else_numbers_kinds_fills_and_casts():
    assert {getattr(torch, name): number for number, name in enumerate(const.CASTS)} == base.CASTS
    for names in (const.KINDS, const.FILLS, const.CASTS):
        assert [getattr(const, name.upper()) for name in names] == list(range(len(names)))
    assert len(const.TILES_OF_A_WARP) == len(const.KINDS)
