"""Dual smoothing and k parts against global minimisation."""

import math

import mpmath as mp
import numpy as np
import pytest
from scipy import stats

from rsfast import certificates as c
from rsfast.errors import InvalidArgumentError
from tests.reference import optimal
from tests.reference.cases import multiclass_cases

mp.mp.dps = 50


def test_dual_holds_for_linear_classifiers(rng):
    """The smallest flipping perturbation of two half-space classifiers is the radius."""
    for p_l, p_r, s_l, s_r in zip(
        rng.uniform(0.01, 0.999, 30), rng.uniform(0.3, 0.999, 30), rng.uniform(0.1, 1, 30), rng.uniform(0.1, 1, 30), strict=True
    ):
        radius = float(c.dual_l2(p_l, p_r, sigma_left=s_l, sigma_right=s_r))
        angles = np.linspace(0, math.pi / 2, 2001)
        kept = stats.norm.cdf(stats.norm.ppf(p_l) - radius * np.cos(angles) / s_l) + stats.norm.cdf(
            stats.norm.ppf(p_r) - radius * np.sin(angles) / s_r
        )
        assert kept.min() >= 1 - 1e-12 or radius == 0
        if radius > 0:
            assert kept.min() <= 1 + 1e-6


@pytest.mark.parametrize(("p", "radius"), [((0.98, 0.55), 0.385), ((0.999, 0.30), 0.454), ((0.10, 0.95), 0.064)])
def test_dual_radii_of_the_linear_examples(p, radius):
    assert float(c.dual_l2(*p, sigma_left=0.25)) == pytest.approx(radius, abs=6e-4)


def test_dual_lp_is_the_dual_norm(rng):
    """p = 2 is dual_l2 (dimension-free); p >= 2 against a search over how the norm is shared between the halves."""
    for _ in range(20):
        p_l, p_r, s_l, s_r = rng.uniform(0.4, 0.999), rng.uniform(0.6, 0.999), rng.uniform(0.1, 1), rng.uniform(0.1, 1)
        m, n = int(rng.integers(1, 2000)), int(rng.integers(1, 2000))
        common = {"sigma_left": s_l, "sigma_right": s_r}
        two = float(c.dual_lp(p_l, p_r, **common, dim_left=m, dim_right=n, order=2.0))
        assert two == pytest.approx(float(c.dual_l2(p_l, p_r, **common)), rel=1e-12)
        for order in (0.7, 1.0, 1.5, 3.0, math.inf):
            radius = float(c.dual_lp(p_l, p_r, **common, dim_left=m, dim_right=n, order=order))
            share = np.linspace(0, 1, 2001)
            left = np.ones_like(share) if order == math.inf else share ** (1 / order)
            right = np.ones_like(share) if order == math.inf else (1 - share) ** (1 / order)
            e = max(0, 0.5 - 1 / order)
            pull = radius * (left * m**e / s_l + right * n**e / s_r)
            assert pull.max() <= (stats.norm.ppf(p_l) + stats.norm.ppf(p_r)) * (1 + 1e-10)
            assert pull.max() >= (stats.norm.ppf(p_l) + stats.norm.ppf(p_r)) * (1 - 1e-3)


def test_dual_l1_of_laplace_halves():
    got = float(c.dual_log_concave_l1(0.9, 0.8, scale_left=0.5, scale_right=0.25))
    assert got == pytest.approx(0.25 * (-math.log(0.2) - math.log(0.4)), rel=1e-12)
    assert float(c.dual_log_concave_l1(0.2, 0.7, scale_left=0.5)) == 0.0


def test_dual_multiclass_is_the_global_minimum(rng):
    checked = 0
    for pa_l, pa_r, pb_l, pb_r, s_l, s_r in multiclass_cases(rng, 60):
        exact = optimal.dual_multiclass(pa_l, pa_r, pb_l, pb_r, s_l, s_r, angles=401)
        got = float(c.dual_multiclass_l2(pa_l, pa_r, p_upper_left=pb_l, p_upper_right=pb_r, sigma_left=s_l, sigma_right=s_r))
        assert got <= exact * (1 + 1e-9), (pa_l, pa_r, pb_l, pb_r)
        assert got >= exact * (1 - 1e-7) - 1e-12, (pa_l, pa_r, pb_l, pb_r)
        checked += exact > 0
    assert checked > 30


def test_dual_multiclass_with_two_classes_is_the_closed_form(rng):
    p_l, p_r = rng.uniform(0.05, 0.9999, 200), rng.uniform(0.5, 0.9999, 200)
    several = c.dual_multiclass_l2(p_l, p_r, p_upper_left=1 - p_l, p_upper_right=1 - p_r, sigma_left=0.3, sigma_right=0.8)
    closed = c.dual_l2(p_l, p_r, sigma_left=0.3, sigma_right=0.8)
    np.testing.assert_allclose(several, closed, rtol=3e-9, atol=1e-12)
    assert (several <= closed * (1 + 1e-12) + 1e-14).all()


def test_parts_are_the_global_minimum(rng):
    for _ in range(25):
        k = int(rng.integers(2, 6))
        p = np.where(rng.random(k) < 0.5, rng.uniform(0.3, 0.99, k), 1 - 10 ** rng.uniform(-5, -1.5, k))
        sigma = rng.choice([0.25, 0.5, 1.0], k)
        exact = optimal.partition(p, sigma, rng)
        got = float(c.partition_l2(p, sigma=sigma))
        assert got <= exact * (1 + 1e-7), (p, sigma)
        assert got >= exact * (1 - 1e-5), (p, sigma)


def test_two_parts_are_dual_smoothing(rng):
    p = rng.uniform(0.5, 0.9999, (100, 2))
    got = c.partition_l2(p, sigma=[0.3, 0.8])
    np.testing.assert_allclose(got, c.dual_l2(p[:, 0], p[:, 1], sigma_left=0.3, sigma_right=0.8), rtol=1e-8)
    assert (got <= c.dual_l2(p[:, 0], p[:, 1], sigma_left=0.3, sigma_right=0.8) * (1 + 1e-12)).all()


def test_one_part_is_cohen(rng):
    p = rng.uniform(0.5, 0.999, (50, 1))
    np.testing.assert_allclose(c.partition_l2(p, sigma=0.5), c.cohen_l2(p[:, 0], sigma=0.5), rtol=1e-8)


@pytest.mark.parametrize(("p", "sigma", "message"), [
    (0.9, 1.0, "at least one part"), (np.empty((3, 0)), 1.0, "at least one part"), ([0.9, 1.2], 1.0, r"p_lower\[1\]"),
    ([0.9, 0.8], [1.0, -1.0], r"sigma\[1\]"), ([0.9, 0.8], [1.0, 1.0, 1.0], "broadcast"),
])  # fmt: skip
def test_bad_parts_are_named(p, sigma, message):
    with pytest.raises(InvalidArgumentError, match=message):
        c.partition_l2(p, sigma=sigma)


@pytest.mark.parametrize(("arguments", "message"), [
    ({"p_left": 1.2}, "p_left=1.2"), ({"p_right": math.nan}, "p_right=nan"), ({"sigma_left": 0}, "sigma_left=0"),
    ({"sigma_right": -1}, "sigma_right=-1"), ({"q_left": 0.5}, "q_left=0.5 is not the failure probability of p_left"),
])  # fmt: skip
def test_bad_halves_are_named(arguments, message):
    given = {"p_left": 0.9, "p_right": 0.8, "sigma_left": 1.0, **arguments}
    with pytest.raises(InvalidArgumentError, match=message):
        c.dual_l2(given.pop("p_left"), given.pop("p_right"), **given)


@pytest.mark.parametrize("k", [1, 2, 3, 8])
def test_equal_parts_close_to_one_half_do_not_overclaim(k):
    for gap in 10.0 ** np.arange(-8, -1):
        exact = math.sqrt(k) * float(c.cohen_l2(0.5 + gap, sigma=1.0)) / (1 - 1e-14)
        got = float(c.partition_l2([0.5 + gap] * k, sigma=1.0))
        assert exact * (1 - 1e-6) <= got <= exact * (1 + 1e-14), gap


def test_two_parts_of_hugely_unequal_noise_do_not_overclaim(rng):
    p = rng.uniform(0.5, 0.9999, (60, 2))
    sigma = 10 ** rng.uniform(-3, 3, (60, 2))
    exact = c.dual_l2(p[:, 0], p[:, 1], sigma_left=sigma[:, 0], sigma_right=sigma[:, 1])
    got = c.partition_l2(p, sigma=sigma)
    assert (got <= exact * (1 + 2e-14)).all()
    assert (got >= exact * (1 - 1e-7)).all()


@pytest.mark.parametrize("shape", [1.0, 1.5, 2.0, 3.0])
def test_dual_l1_is_where_the_halves_lose_what_they_lead_by(shape, rng):
    """A shift of all the l1 norm in the half with the smaller scale draws the sum level."""
    noise = stats.gennorm(shape)
    p = rng.uniform(0.3, 0.999, (40, 2))
    radius = c.dual_log_concave_l1(p[:, 0], p[:, 1], scale_left=0.5, scale_right=0.8, shape=shape)
    reach = np.linspace(0, 1, 201)[:, None]
    kept = noise.cdf(noise.ppf(p[:, 0]) - reach * radius / 0.5) + noise.cdf(noise.ppf(p[:, 1]) - (1 - reach) * radius / 0.8)
    certain = radius > 0
    assert certain.sum() > 10
    assert (kept[:, certain] >= 1 - 1e-9).all()
    np.testing.assert_allclose(radius, np.maximum(0.5 * (noise.ppf(p[:, 0]) + noise.ppf(p[:, 1])), 0), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("shape", [1.0, 2.0])
def test_dual_l1_is_never_above_and_close_below(shape, rng):
    """Laplace and Gaussian quantiles in 50 digits."""
    for p in rng.uniform(0.05, 0.9999, (30, 2)):
        below = [mp.mpf(min(one, 1 - one)) for one in p]  # 1 - p is exact where p is at least one half
        tails = [mp.log(2 * q) if shape == 1.0 else -mp.erfinv(1 - 2 * q) for q in below]
        quantiles = [-tail if one > 0.5 else tail for one, tail in zip(p, tails, strict=True)]
        exact = max(mp.mpf(0), sum(quantiles)) / 2
        got = float(c.dual_log_concave_l1(*p, scale_left=0.5, scale_right=0.8, shape=shape))
        assert exact - 3e-14 * sum(map(abs, quantiles)) <= got <= exact, p
