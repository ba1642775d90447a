"""l1 certificates of log-concave noise, and certificates of uniform noise."""

import math

import mpmath as mp
import numpy as np
import pytest
from scipy import stats

from rsfast import certificates as c
from rsfast.certificates.l1 import upper_quantile
from tests.reference.cases import pairs


@pytest.mark.parametrize("shape", [1.0, 1.3, 2.0, 3.0, 6.0, 25.5])
def test_l1_radius_is_where_the_two_half_lines_meet(shape, rng):
    """Axis shift by r: the class keeps F(F^-1(p1) - r), another gains to F(F^-1(p2) + r); they meet at R, not before."""
    noise = stats.gennorm(shape)
    p1, p2 = pairs(rng, 40)
    p1, p2 = np.minimum(p1, 1 - 1e-9), np.maximum(p2, 1e-9)
    radius = c.generalized_gaussian_l1(p1, scale=1.0, shape=shape, p_upper=p2)
    top, other = noise.ppf(p1), noise.ppf(p2)
    np.testing.assert_allclose(radius, (top - other) / 2, rtol=1e-7, atol=1e-9)
    nearer = radius * 0.99
    assert (noise.cdf(top - nearer) >= noise.cdf(other + nearer) - 1e-12).all()


@pytest.mark.parametrize("shape", [1.0, 1.7, 2.0, 3.0, 40.0, 900.0])
def test_l1_quantiles_in_fifty_digits(shape, rng):
    for q in np.concatenate([10 ** rng.uniform(-200, -1, 10), rng.uniform(0.1, 0.5, 10), 0.5 - 10 ** rng.uniform(-12, -2, 5)]):
        got = float(c.generalized_gaussian_l1(1 - q, scale=1.0, shape=shape, q_upper=q))
        with mp.workdps(50):
            a = 1 / mp.mpf(shape)
            inner = 1 - 2 * mp.mpf(float(q))  # P(a, x^s)

            def miss(x, a=a, inner=inner, q=q):
                y = x ** mp.mpf(shape)
                if inner < 0.5:
                    return mp.log(mp.gammainc(a, 0, y, regularized=True)) - mp.log(inner)
                return mp.log(2 * mp.mpf(float(q))) - mp.log(mp.gammainc(a, y, regularized=True))

            if got > 0:
                exact = mp.findroot(miss, (mp.mpf(got) * (1 - mp.mpf("1e-9")), mp.mpf(got) * (1 + mp.mpf("1e-9"))))
                assert exact * (1 - mp.mpf("1.2e-13")) - mp.mpf("1e-14") <= got <= exact, q


def test_l1_holds_in_several_dimensions_by_monte_carlo(rng):
    """Classes that are half-spaces at any angle, Laplace noise: the perturbation of l1 norm R never flips them."""
    noise = rng.laplace(size=(400_000, 2))
    for _ in range(10):
        w = rng.normal(size=2)
        score = noise @ w
        level = np.quantile(score, 0.8)
        radius = float(c.laplace_l1(0.8, scale=1.0))
        for direction in ([1, 0], [0, 1], [0.5, 0.5], [0.5, -0.5]):
            shift = radius * float(np.dot(direction, w))
            for sign in (1, -1):
                assert np.mean(score + sign * shift <= level) >= 0.5 - 3e-3


def test_laplace_is_never_below_the_published_forms(rng):
    p1, p2 = pairs(rng, 2000)
    tight = c.laplace_l1(p1, scale=1.0, p_upper=p2)
    for f in (c.teng_l1, c.lecuyer_l1):
        assert (f(p1, scale=1.0, p_upper=p2) <= tight * (1 + 1e-12) + 1e-13).all()


@pytest.mark.parametrize("dim", [1, 2, 5, 784])
def test_uniform_ball_is_attained_by_the_cube_on_its_diagonal(dim, rng):
    """The overlap of the cube with its shift by r along the diagonal is (1 - r / 2b)^dim."""
    p1, p2 = pairs(rng, 100)
    radius = c.uniform_ball(p1, scale=0.7, dim=dim, p_upper=p2)
    lost = -np.expm1(dim * np.log1p(-radius / 1.4))
    np.testing.assert_allclose(lost, (p1 - p2) / 2, rtol=1e-9)


@pytest.mark.parametrize("order", [0.5, 1.0, 1.2, 1.7, 2.0, 3.0, math.inf])
def test_uniform_lp_against_a_search_over_directions(order, rng):
    """For a cube, what a shift loses is 1 - Prod(1 - abs(delta_i)/2b)."""
    for p1, p2 in zip(*pairs(rng, 6), strict=True):
        radius = float(c.uniform_lp(p1, half_width=0.5, dim=3, order=order, p_upper=p2))
        for _ in range(300):
            delta = np.abs(rng.normal(size=3)) ** rng.choice([0.3, 1, 3]) * (rng.random(3) < rng.choice([0.4, 0.7, 1]))
            size = delta.max() if order == math.inf else (delta**order).sum() ** (1 / order) if delta.any() else 0
            if size == 0:
                continue
            delta = delta / size * radius
            lost = -math.expm1(np.log1p(-np.minimum(delta, 1 - 1e-15)).sum())
            assert lost <= (p1 - p2) / 2 * (1 + 1e-12)


def test_subnormal_probabilities_have_finite_radii():
    exact = 0.5 * (math.log(0.4) - math.log(1e-310))
    for f in (c.laplace_l1, c.teng_l1, c.lecuyer_l1):
        assert float(f(0.4, scale=1.0, p_upper=1e-310)) == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize("shape", [1.05, 1.3, 4.0, 25.5, 1000.0])
def test_quantiles_are_good_to_half_their_margin(shape, rng):
    """One Newton step in 50 digits from the double says how far off it is."""
    for q in np.concatenate([10 ** rng.uniform(-300, -1, 15), rng.uniform(0.05, 0.5, 15), 0.5 - 10 ** rng.uniform(-15, -1, 15)]):
        q = float(q)
        with mp.workdps(50):
            x, a = mp.mpf(upper_quantile(q, shape)), 1 / mp.mpf(shape)
            y = x ** mp.mpf(shape)
            lower = q > 0.25
            miss = (
                1 - 2 * mp.mpf(q) - mp.gammainc(a, 0, y, regularized=True)
                if lower
                else mp.gammainc(a, y, regularized=True) - 2 * mp.mpf(q)
            )
            assert abs(miss * mp.gamma(a) / (shape * mp.exp(-y))) <= 1e-14 * x, q
