"""Roots: found, on the certified side, with a code for everything that is not a root."""

import math

import numpy as np
import pytest
from numba import njit
from scipy import optimize

from rsfast.numerics import roots


@njit
def square(x, a):
    return a[0] - x * x


@njit
def normal_tail(x, a):
    return 0.5 * math.erfc(x / math.sqrt(2.0)) - a[0]


@njit
def awkward(x, a):
    """Flat on one side, steep on the other, an infinite value at its pole."""
    return 1.0 / (x - a[0]) if x > a[0] else -1e-3


@njit
def step(x, a):
    return 1.0 if x < a[0] else -1.0


@njit
def nan_beyond(x, a):
    return 1.0 if x < a[0] else math.nan


@njit
def slow(x, a):
    return (a[0] - x) ** 9


def test_the_certified_end_has_the_sign_of_low_and_the_other_has_not(rng):
    a = 10 ** rng.uniform(-200, 200, 2000)
    found = roots.solve(square, 0.0, 1e120, a)
    assert (found.code == roots.CONVERGED).all()
    assert (a - found.certified**2 > 0).all()
    assert (a - found.other**2 <= 0).all()
    np.testing.assert_allclose(found.certified, np.sqrt(a), rtol=1e-15)


def test_low_may_lie_above_high(rng):
    a = rng.uniform(1, 100, 100)
    found = roots.solve(square, 20.0, 0.0, a)
    assert (a - found.certified**2 < 0).all()
    assert (found.certified >= found.other).all()


def test_agrees_with_brentq(rng):
    for level in 10 ** rng.uniform(-12, -0.4, 50):
        found = roots.solve(normal_tail, 0.0, 40.0, level)
        peer = optimize.brentq(lambda x, p=level: 0.5 * math.erfc(x / math.sqrt(2)) - p, 0, 40, xtol=1e-300, rtol=1e-15)
        assert float(found.certified) == pytest.approx(peer, rel=1e-12)


@pytest.mark.parametrize("function", [step, awkward, slow])
def test_jumps_poles_and_flat_roots_are_bracketed(function, rng):
    for at in rng.uniform(-3, 3, 50):
        found = roots.solve(function, -5.0, 4.0, at)
        assert found.code == roots.CONVERGED
        low, high = function(float(found.certified), np.array([at])), function(-5.0, np.array([at]))
        assert (low > 0) == (high > 0)
        assert float(found.certified) == pytest.approx(at, abs=1e-15 if function is not slow else 0.2)


def test_nan_counts_as_the_uncertified_side():
    found = roots.solve(nan_beyond, 0.0, 10.0, 3.0)
    assert found.certified < 3.0
    assert float(found.certified) == pytest.approx(3.0)


def test_codes():
    assert roots.solve(square, 0.0, 1.0, 4.0).code == roots.NOT_BRACKETED
    assert math.isnan(roots.solve(square, 0.0, 1.0, 4.0).certified)
    assert roots.solve(square, 2.0, 3.0, 4.0).code == roots.NOT_BRACKETED  # zero at low: no side to certify
    assert roots.solve(square, math.nan, 3.0, 4.0).code == roots.NOT_FINITE
    assert roots.solve(square, 0.0, math.nan, 4.0).code == roots.NOT_FINITE


def test_broadcasting_and_threads(rng):
    a = rng.uniform(1, 100, (7, 5))
    one, two = roots.solve(square, 0.0, np.full(5, 20.0), a), roots.solve(square, 0.0, 20.0, a, threads=3)
    assert one.certified.shape == (7, 5)
    np.testing.assert_array_equal(one.certified, two.certified)


def test_a_wide_tolerance_stops_early():
    found = roots.solve(square, 0.0, 10.0, 2.0, rtol=1e-2)
    assert 0 < float(found.other - found.certified) <= 1e-2 * float(found.other)


def test_work_is_bounded():
    calls = 0

    def counted(x, a):
        nonlocal calls
        calls += 1
        return step.py_func(x, a)

    roots.bracket.py_func(counted, np.array([1.23]), 0.0, 1e308, 4.5e-16)
    assert calls < 2 * 1100
