"""The committed polynomials, against 50-digit arithmetic and against the C++ header."""

import re
from pathlib import Path

import mpmath as mp
import numpy as np
import pytest

from rsfast.kernels import coefficients as const

HEADER = Path(__file__).parents[2] / "csrc" / "coefficients.hpp"


def largest_relative_error(coefficients, function, low, high):
    """Of the polynomial evaluated exactly: what is left is the fit and the rounding of the coefficients."""
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


def test_the_cpp_header_holds_the_same_constants():
    text = HEADER.read_text()

    def floats(name):
        body = re.search(rf"{name}(?:\[\])? = \{{?([^;]*?)\}}?;", text).group(1)
        return tuple(float.fromhex(number) for number in re.findall(r"-?0x[0-9a-f.]+p[+-]\d+", body))

    assert floats("LOG") == const.LOG
    assert floats("SIN") == const.SIN
    assert floats("COS") == const.COS
    assert floats("MINUS_TWO_LN2") == (const.MINUS_TWO_LN2,)
    for name, value in (("TILE", const.TILE), ("LANES", const.LANES), ("REFINE_BELOW", const.REFINE_BELOW)):
        assert re.search(rf"{name} = (\d+);", text).group(1) == str(value)
    assert f"REFINE_STREAM = {const.REFINE_STREAM:#x}u;" in text
