"""ndtri and ndtr against 40-digit arithmetic and SciPy."""

import math

import mpmath as mp
import numpy as np
from scipy import special

from rsfast.numerics.normal import erfcx, log_ndtr, ndtr, ndtri, ndtri_exp


def exact_ndtri(p):
    with mp.workdps(40):
        p, z = mp.mpf(p), mp.mpf(special.ndtri(float(p)))
        for _ in range(3):  # Newton on the logarithm, which is nearly quadratic in the tail
            mass = mp.ncdf(z)
            z -= (mp.log(mass) - mp.log(p)) * mass / mp.npdf(z)
        return z


def test_ndtri_is_accurate_to_1e_15(rng):
    p = np.concatenate([
        rng.uniform(0, 1, 300),
        10.0 ** rng.uniform(-300, -1, 400),
        rng.uniform(0.05, 0.1, 200),
        0.5 + rng.uniform(-1, 1, 100) * 10.0 ** rng.uniform(-15, -1, 100),
    ])  # fmt: skip
    for probability, z in zip(p[p != 0.5], ndtri(p[p != 0.5]), strict=True):
        exact = exact_ndtri(float(probability))
        assert abs(z - exact) <= 1e-15 * abs(exact), probability


def test_ndtri_at_the_ends_and_outside():
    np.testing.assert_array_equal(ndtri(np.array([0.0, 0.5, 1.0])), [-math.inf, 0.0, math.inf])
    assert np.isnan(ndtri(np.array([-1e-300, 1.0000001, math.nan, math.inf]))).all()
    assert ndtri(5e-324) == special.ndtri(5e-324) or abs(ndtri(5e-324) / special.ndtri(5e-324) - 1) < 1e-14


def test_ndtri_has_no_step_down_at_the_seams_of_its_pieces():
    for seam in (0.075, 0.925, math.exp(-25.0)):
        z = ndtri(seam * (1 + np.arange(-200, 201) * 4e-16))
        assert (np.diff(z) >= -1e-15 * np.abs(z[1:])).all(), seam  # the documented error


def test_ndtr_agrees_with_scipy(rng):
    x = rng.uniform(-37, 9, 2000)
    np.testing.assert_allclose(ndtr(x), special.ndtr(x), rtol=1e-12)


def exact_log_ndtr(x):
    with mp.workdps(50):
        return mp.log(mp.ncdf(x)) if x < 6 else mp.log1p(-mp.ncdf(-mp.mpf(x)))


def test_ndtr_is_accurate_in_both_tails(rng):
    for x in np.concatenate([rng.uniform(-37.1, 9, 400), rng.uniform(-3, 3, 200), 10.0 ** rng.uniform(-12, 0, 50)]):
        exact = mp.exp(exact_log_ndtr(float(x)))
        assert abs(float(ndtr(x)) - exact) <= 2e-15 * exact, x


def test_log_ndtr_is_accurate_far_beyond_the_range_of_doubles(rng):
    far = [-1e3, -1e10, -1e100, -1e150]
    for x in np.concatenate([rng.uniform(-40, 9, 400), -(10.0 ** rng.uniform(-10, 6, 100)), rng.uniform(9, 37, 50), far]):
        exact = exact_log_ndtr(float(x)) if x > -1e9 else -(mp.mpf(float(x)) ** 2) / 2 * (1 + mp.mpf(10) ** -16)
        assert abs(float(log_ndtr(x)) - exact) <= 2e-15 * abs(exact), x


def test_ndtri_exp_is_accurate(rng):
    levels = np.concatenate(
        [-(10.0 ** rng.uniform(-14, 0, 150)), -rng.uniform(0.5, 800, 200), -(10.0 ** rng.uniform(2.8, 6, 50))]
    )
    for y in levels:
        with mp.workdps(50):
            z = mp.mpf(float(ndtri_exp(y)))
            slope = mp.npdf(z) / mp.ncdf(z)
            miss = (exact_log_ndtr(z) - mp.mpf(float(y))) / slope
            assert abs(miss) <= 1e-15 * abs(z) + 3e-16, y


def test_ndtri_exp_agrees_with_scipy_and_at_the_ends(rng):
    y = -(10.0 ** rng.uniform(-10, 200, 500))
    np.testing.assert_allclose(ndtri_exp(y), special.ndtri_exp(y), rtol=1e-12)
    assert ndtri_exp(0.0) == math.inf
    assert ndtri_exp(-math.inf) == -math.inf
    assert np.isnan(ndtri_exp(np.array([1e-300, 1.0, math.nan]))).all()


def test_erfcx_is_accurate(rng):
    for x in np.concatenate([rng.uniform(0, 30, 300), 10.0 ** rng.uniform(-10, 12, 100), [0.0, 2.0, 1e8, 1e300]]):
        with mp.workdps(60):
            x = float(x)
            exact = mp.exp(mp.mpf(x) ** 2) * mp.erfc(x) if x < 1e4 else 1 / (x * mp.sqrt(mp.pi)) * (1 - 1 / (2 * mp.mpf(x) ** 2))
            assert abs(float(erfcx(x)) - exact) <= 2e-15 * exact, x
    assert math.isnan(erfcx(-1.0))
    assert math.isnan(erfcx(math.nan))


def test_nan_is_nan():
    assert all(math.isnan(f(math.nan)) for f in (ndtr, log_ndtr, ndtri, ndtri_exp, erfcx))


def test_infinities():
    assert ndtr(-math.inf) == 0.0
    assert ndtr(math.inf) == 1.0
    assert log_ndtr(-math.inf) == -math.inf
    assert log_ndtr(math.inf) == 0.0
