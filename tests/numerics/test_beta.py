"""Binomial tails and exact bounds against sums in 50 digits, and against SciPy."""

import math

import mpmath as mp
import numpy as np
import pytest
from scipy import stats

from rsfast.numerics import beta
from tests.reference.binomial import binom_cdf

TIGHT = 1e-13  # the documented distance from the exact bound


def cases(rng, count, largest_log10_n=5.5):
    """Counts of every kind: any share, few failures, few successes."""
    for _ in range(count):
        n = int(10 ** rng.uniform(0, largest_log10_n)) + 1
        k = int(rng.integers(0, n + 1)) if rng.random() < 0.4 else min(n, int(10 ** rng.uniform(0, math.log10(n))) - 1)
        yield (n - k if rng.random() < 0.3 else k), n


def levels(rng):
    kind = rng.random()
    if kind < 0.7:
        return float(10 ** rng.uniform(-15, -0.3))
    return float(10 ** rng.uniform(-300, -15)) if kind < 0.85 else float(rng.uniform(0.3, 0.999))


def test_log_tails_are_accurate(rng):
    for k, n in cases(rng, 600):
        share = (k + 1) / (n + 2)
        p = share + rng.uniform(-3, 9) * math.sqrt(share * (1 - share) / n)
        if not 0 < p < 1 or k >= n:
            continue
        exact = mp.log(binom_cdf(k, n, p) if p <= 0.5 else binom_cdf(k, n, None, q=1 - p))
        got = beta.binom_logcdf(k, n, p)
        assert abs(got - exact) <= 7e-15 + 1.2e-15 * abs(exact), (k, n, p)


def test_upper_bounds_are_never_below_the_exact_one_and_tight(rng):
    for k, n in cases(rng, 500):
        alpha = levels(rng)
        q = float(beta.binomial_upper(k, n, alpha))
        assert 0 < q <= 1
        if k == n:
            assert q == 1
            continue
        if q < 1:
            assert binom_cdf(k, n, q) <= alpha, (k, n, alpha)
        if 1e-15 <= alpha <= 0.5:
            assert binom_cdf(k, n, q * (1 - TIGHT)) > alpha or 1 - q < TIGHT, (k, n, alpha)


def test_lower_bounds_are_never_above_the_exact_one_and_tight(rng):
    for k, n in cases(rng, 500):
        alpha = levels(rng)
        p = float(beta.binomial_lower(k, n, alpha))
        assert 0 <= p < 1
        if k == 0:
            assert p == 0
            continue
        if p > 0:
            assert binom_cdf(n - k, n, None, q=p) <= alpha, (k, n, alpha)
        if 1e-15 <= alpha <= 0.5:
            higher = mp.mpf(p) * (1 + TIGHT)
            assert higher >= 1 or binom_cdf(n - k, n, None, q=higher) > alpha, (k, n, alpha)


@pytest.mark.parametrize("n", [10**7, 10**9, 10**12, 2**53])
def test_bounds_of_huge_samples_with_few_failures(n):
    for failures in (0, 1, 5, 400):
        for alpha in (1e-3, 1e-12):
            q = float(beta.binomial_upper(failures, n, alpha))
            assert binom_cdf(failures, n, q) <= alpha
            assert binom_cdf(failures, n, q * (1 - 1e-13)) > alpha


@pytest.mark.parametrize("n", [10**6, 10**9])
def test_bounds_of_huge_samples_agree_with_scipy(n, rng):
    k = rng.integers(n // 2, n, 200)
    expected = stats.beta.isf(1e-3, n - k + 1, k)
    np.testing.assert_allclose(beta.binomial_upper(n - k, n, 1e-3), expected, rtol=1e-10)


def test_tails_agree_with_scipy(rng):
    n = rng.integers(1, 5000, 400)
    k = (rng.random(400) * (n + 1)).astype(int)
    p = rng.uniform(0.01, 0.99, 400)
    for ours, theirs in ((beta.binom_logcdf, stats.binom.logcdf), (beta.binom_logsf, stats.binom.logsf)):
        got, expected = ours(k, n, p), theirs(k, n, p)
        np.testing.assert_allclose(got[expected > -600], expected[expected > -600], rtol=1e-9, atol=1e-13)
        assert (got[expected <= -600] <= -599).all()  # SciPy says -inf below -745


def test_bounds_are_monotone_in_the_count():
    for n in (10, 1000, 100_000):
        k = np.arange(0, n + 1, max(1, n // 5000))
        assert (np.diff(beta.binomial_upper(k, n, 1e-3)) >= 0).all()
        assert (np.diff(beta.binomial_lower(k, n, 1e-3)) >= 0).all()


def test_outside_the_domain_is_nan():
    for k, n, alpha in (
        (-1, 10, 0.1),
        (11, 10, 0.1),
        (0.5, 10, 0.1),
        (1, 0, 0.1),
        (1, 10, 0.0),
        (1, 10, 1.0),
        (1, 10, math.nan),
    ):
        assert math.isnan(beta.binomial_upper(k, n, alpha)), (k, n, alpha)
        assert math.isnan(beta.binomial_lower(k, n, alpha)), (k, n, alpha)
    assert math.isnan(beta.binom_logcdf(3, 10, 1.5))
    assert beta.binom_logcdf(-1, 10, 0.5) == -math.inf
    assert beta.binom_logcdf(10, 10, 0.5) == 0.0
    assert beta.binom_logsf(-1, 10, 0.5) == 0.0


def by_quadrature(k, n, p):
    """(log P(X <= k), log P(X > k)) as integrals of the beta density outwards from 1 - p: no sum, no fraction, no expansion."""
    with mp.workdps(80):
        a, b, x = mp.mpf(int(n)) - mp.mpf(int(k)), mp.mpf(int(k)) + 1, 1 - mp.mpf(p)
        log_norm = mp.loggamma(a + b) - mp.loggamma(a) - mp.loggamma(b)
        spread = mp.sqrt(a * b / (a + b) ** 3)
        z = abs(x - a / (a + b)) / spread
        unit = spread / (1 + z)
        steps = [0, *(unit * mp.mpf(2) ** j for j in range(-3, 30) if unit * mp.mpf(2) ** j < spread * (2 * z + 80))]

        def density(u):
            return mp.exp((a - 1) * mp.log(u) + (b - 1) * mp.log1p(-u) + log_norm)

        below, above = (
            mp.quad(density, sorted(x + sign * step for step in steps if 0 < x + sign * step < 1)) for sign in (-1, 1)
        )
        assert abs(below + above - 1) < mp.mpf(10) ** -25
        return mp.log(below), mp.log(above)


@pytest.mark.parametrize(
    ("n", "p", "z"),
    [
        (3.7e8 + 1, 0.5, (0.0, -1.0)),
        (2.0**40 + 2, 0.3, (0.2, -3.1)),
        (2.0**53, 0.999, (2.9, 8.0)),
        (2.0000000545128448e16, 0.5, (0.0, 0.2)),
        (2.0**70 + 2.0**20, 0.3, (-3.1, 2.9)),
        (1e30, 0.999, (8.0, -1.0)),
    ],
)
def test_tails_of_any_number_of_draws(n, p, z):
    """Beyond 2^53 neither k + 1 nor n - k need be a double, and the nearest double is not always the same count."""
    for deviations in z:
        k = float(np.floor(n * p + deviations * math.sqrt(n * p * (1 - p))))
        for function, exact in zip((beta.binom_logcdf, beta.binom_logsf), by_quadrature(k, n, p), strict=True):
            assert abs(float(function(k, n, p)) - exact) <= 7e-15 + 1.2e-15 * abs(exact), (k, n, p)


def test_the_middle_of_a_huge_number_of_draws():
    n = 2.0000000545128448e16 - 1
    assert float(beta.binom_logcdf(1.0000000272564224e16 - 1, n, 0.5)) == pytest.approx(-0.6931471749180494, rel=1e-14)
    for k in (2.0**63, 2.0**64, 1e25):  # beyond the range of whole numbers of machines
        assert float(beta.binom_logcdf(k, 2 * k, 0.5)) == pytest.approx(math.log(0.5), abs=1e-9)


def test_numbers_of_draws_that_are_none_are_nan():
    for k, n in ((1.0, 1.5), (1.0, -1.0), (1.0, math.nan), (math.nan, 2.0), (1.0, math.inf), (3.0, 1e31), (1e200, 1e300)):
        assert math.isnan(beta.binom_logcdf(k, n, 0.5)), (k, n)
        assert math.isnan(beta.binom_logsf(k, n, 0.5)), (k, n)
    for k, n in ((2.0**53, 2.0**54), (1.0, 2.0**53 + 2)):
        assert math.isnan(beta.binomial_upper(k, n, 0.1)), (k, n)


def test_bounds_at_even_odds_of_the_largest_number_of_draws():
    """Newton's steps run where the continued fraction alone would not settle."""
    n = 2.0**53
    for alpha in (0.3, 0.5, 0.7):
        lower, upper = float(beta.binomial_lower(n / 2, n, alpha)), float(beta.binomial_upper(n / 2, n, alpha))
        half_width = abs(stats.norm.isf(alpha)) * 0.5 / math.sqrt(n)
        sign = 1 if alpha < 0.5 else -1
        assert 0.5 - lower == pytest.approx(sign * half_width, rel=1e-5, abs=1e-14)
        assert upper - 0.5 == pytest.approx(sign * half_width, rel=1e-5, abs=1e-14)
