"""ndtri and ndtr against 40-digit arithmetic and SciPy."""

import math

import mpmath as mp
import numpy as np
from scipy import special

from rsfast.numerics.normal import ndtr, ndtri


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
