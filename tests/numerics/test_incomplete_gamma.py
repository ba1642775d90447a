"""Incomplete gamma tails and inverses for real shape against arbitrary precision and SciPy."""

import math

import mpmath as mp
import numpy as np
import pytest
from scipy import special

from rsfast.numerics.incomplete_gamma import gammainc, gammaincc, gammainccinv, gammaincinv


def exact_tails(a, y):
    """(log P, log Q) in 40 digits: the smaller one by its own series or fraction, the other from it."""
    with mp.workdps(60):
        a, y = mp.mpf(a), mp.mpf(y)
        if y < a:
            term = total = mp.mpf(1)
            n = 1
            while term > total * mp.mpf(10) ** -50:
                term *= y / (a + n)
                total += term
                n += 1
            p = a * mp.log(y) - y - mp.loggamma(a + 1) + mp.log(total)
            return p, mp.log(-mp.expm1(p))
        q = mp.log(mp.gammainc(a, y, regularized=True))
        return mp.log(-mp.expm1(q)), q


def cases(rng, count):
    a = np.where(rng.random(count) < 0.5, 10 ** rng.uniform(-3, 1.5, count), 10 ** rng.uniform(1.0, 3.5, count))
    p = np.where(rng.random(count) < 0.5, rng.uniform(0.0, 0.5, count), 10 ** rng.uniform(-280, -1, count))
    return a, p, rng.random(count) < 0.5


def test_tails_are_accurate(rng):
    for a, p, lower in zip(*cases(rng, 300), strict=True):
        y = float(gammaincinv(a, p) if lower else gammainccinv(a, p))
        if not y > 1e-290:
            continue
        for got, exact in zip((gammainc(a, y), gammaincc(a, y)), exact_tails(a, y), strict=True):
            value = mp.exp(exact)
            assert abs(float(got) - value) <= (2e-14 + 1.2e-15 * abs(exact)) * value, (a, y)


def test_inverses_are_accurate(rng):
    for a, p, lower in zip(*cases(rng, 300), strict=True):
        y = float(gammaincinv(a, p) if lower else gammainccinv(a, p))
        if not y > 1e-290:
            continue
        got = exact_tails(a, y)[0 if lower else 1]
        with mp.workdps(40):
            hazard = y * mp.exp((a - 1) * mp.log(y) - y - mp.loggamma(a)) / p  # of rounding y to a double
            assert abs(got - mp.log(p)) <= 5e-14 * max(1.0, -math.log(p)) + 2.3e-16 * hazard, (a, p, lower)


def test_close_to_one_half_and_one(rng):
    """p above one half is served by the other tail, without losing 1 - p."""
    for p in (0.5, 0.75, 1 - 2.0**-30, 1 - 2.0**-53):
        for a in (0.02, 0.5, 3.3, 40.0, 1e6):
            np.testing.assert_allclose(gammaincinv(a, p), gammainccinv(a, 1 - p), rtol=1e-12)


def test_agree_with_scipy(rng):
    a = 10 ** rng.uniform(-2, 4, 3000)
    p = rng.uniform(0.001, 0.999, 3000)
    y = special.gammaincinv(a, p)
    keep = y > 1e-280
    np.testing.assert_allclose(gammainc(a, y)[keep], p[keep], rtol=1e-8)
    np.testing.assert_allclose(gammaincinv(a, p)[keep], y[keep], rtol=1e-8)


def test_exponential_is_shape_one(rng):
    y = 10 ** rng.uniform(-10, 2.5, 1000)
    np.testing.assert_allclose(gammaincc(1.0, y), np.exp(-y), rtol=1e-13)
    np.testing.assert_allclose(gammainc(1.0, y), -np.expm1(-y), rtol=1e-13)


def test_ends():
    assert gammainc(2.0, 0.0) == 0.0 == gammaincc(2.0, math.inf)
    assert gammaincc(2.0, 0.0) == 1.0 == gammainc(2.0, math.inf)
    assert gammaincinv(2.0, 0.0) == 0.0 == gammainccinv(2.0, 1.0)
    assert gammaincinv(2.0, 1.0) == math.inf == gammainccinv(2.0, 0.0)


@pytest.mark.parametrize("function", [gammainc, gammaincc])
@pytest.mark.parametrize(("a", "y"), [(0.0, 1.0), (-1.0, 1.0), (1.0, -1e-300), (math.nan, 1.0), (1.0, math.nan), (math.inf, 1.0)])
def test_nan_outside_the_domain(function, a, y):
    assert math.isnan(function(a, y))


@pytest.mark.parametrize("function", [gammaincinv, gammainccinv])
@pytest.mark.parametrize(("a", "p"), [(0.0, 0.5), (-1.0, 0.5), (1.0, -1e-300), (1.0, 1.1), (1.0, math.nan), (math.nan, 0.5)])
def test_inverse_is_nan_outside_the_domain(function, a, p):
    assert math.isnan(function(a, p))
