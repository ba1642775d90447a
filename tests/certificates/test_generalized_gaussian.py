"""KL certificates of generalised Gaussian noise against quadrature and searches over directions."""

import math

import mpmath as mp
import numpy as np
import pytest

from rsfast import certificates as c
from tests.reference.cases import pairs


@pytest.mark.parametrize("shape", [1, 2, 3, 4, 5, 7, 8])
@pytest.mark.parametrize("u", [1e-3, 0.1, 1.0, 3.0])
def test_kl_against_quadrature(shape, u):
    with mp.workdps(30):
        s = shape
        norm = s / (2 * mp.gamma(mp.mpf(1) / s))
        points = [-mp.inf, -5, -1, 0, u, u + 1, u + 5, mp.inf]
        exact = mp.quad(lambda x: norm * mp.exp(-(abs(x) ** s)) * (abs(x - mp.mpf(u)) ** s - abs(x) ** s), points)
        got = float(c.generalized_gaussian_kl(u, scale=1.0, shape=shape))
        assert abs(got - exact) <= 2e-14 * exact
        bound = float(c.generalized_gaussian_kl_bound(u, scale=1.0, shape=shape))
        assert bound >= float(exact) * (1 - 1e-14)
        if shape % 2 == 0:
            assert bound == pytest.approx(float(exact), rel=1e-13)


@pytest.mark.parametrize(
    ("shape", "order"), [(1, 1.0), (1, 1.5), (1, 3.0), (2, 2.0), (3, 1.0), (3, 2.5), (3, 3.0), (4, 3.0), (4, math.inf)]
)
def test_kl_radius_against_a_search_over_directions(shape, order, rng):
    """At the radius, no direction spends more divergence than there is."""
    p1, dim = 0.95, 5
    budget = -math.log(4 * p1 * (1 - p1)) / 2
    radius = float(c.generalized_gaussian_kl_lp(p1, scale=1.0, shape=shape, order=order, dim=dim))
    worst = 0.0
    for _ in range(400):
        delta = np.abs(rng.normal(size=dim)) ** rng.choice([0.1, 1, 3]) * (rng.random(dim) < rng.choice([0.3, 0.7, 1]))
        size = delta.max() if order == math.inf else (delta**order).sum() ** (1 / order) if delta.any() else 0
        if size:
            worst = max(worst, float(c.generalized_gaussian_kl(delta / size * radius, scale=1.0, shape=shape).sum()))
    assert worst <= budget * (1 + 1e-9)


def test_hayes_is_never_above_the_exact_kl_radius(rng):
    p1, p2 = pairs(rng, 60)
    for shape in (1, 2, 3, 4, 5, 8):
        for dim in (1, 10, 3072):
            published = c.generalized_gaussian_hayes(p1, scale=1.0, shape=shape, dim=dim, p_upper=p2)
            exact = c.generalized_gaussian_kl_lp(
                p1, scale=1.0, shape=shape, order=max(shape, 2) if shape > 1 else 1, dim=dim, p_upper=p2
            )
            assert (published <= exact * (1 + 1e-12)).all(), (shape, dim)


def test_tradeoff_does_not_overclaim_where_the_divergence_is_all_but_spent():
    """h - eps_high^s cancels there."""
    for p in (0.9, 0.99, 0.9999):
        with mp.workdps(50):
            h = -mp.log(4 * mp.mpf(p) * (1 - mp.mpf(p))) / 2
            c2 = 6 * mp.gamma(mp.mpf(3) / 4) / mp.gamma(mp.mpf(1) / 4)
            for left in (1e-2, 1e-6, 1e-10, 1e-13):
                eps = float((h * (1 - left)) ** mp.mpf("0.25"))
                rest = h - mp.mpf(eps) ** 4
                exact = mp.sqrt(rest / c2) if rest > 0 else 0
                assert float(c.generalized_gaussian_tradeoff(p, scale=1.0, shape=4, eps_high=eps)) <= exact
