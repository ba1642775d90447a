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
