"""Radii from counts: overclaiming probabilities by enumeration."""

import math

import numpy as np
import pytest
from scipy import stats

from rsfast import certificates as c
from rsfast.errors import InvalidArgumentError
from tests.reference import optimal


@pytest.mark.parametrize("alpha", [0.05, 0.2])
@pytest.mark.parametrize("method", [c.dual_certify_bonferroni, c.dual_certify_product])
def test_joint_bounds_overclaim_with_probability_at_most_alpha(method, alpha, rng):
    n = 17
    k = np.arange(n + 1)
    radius = method(k[:, None], k[None, :], n, alpha, sigma=1.0)
    worst = 0.0
    for p_l, p_r in rng.uniform(0.02, 0.999, (300, 2)):
        true = max((stats.norm.ppf(p_l) + stats.norm.ppf(p_r)) / math.sqrt(2), 0.0)
        worst = max(worst, optimal.overclaiming(radius, n, p_l, p_r, true))
    assert worst <= alpha


def test_product_region_against_a_dense_grid(rng):
    for _ in range(8):
        n = int(rng.choice([50, 1000, 100_000]))
        k_l, k_r = (int(n * rng.uniform(0.3, 1)) for _ in "lr")
        alpha = float(rng.choice([0.001, 0.05]))
        spent = stats.gamma.isf(alpha, 2)
        tau = np.linspace(0, spent, 4001)[1:-1]
        low_l = stats.beta.ppf(np.exp(-tau), k_l, n - k_l + 1)
        low_r = stats.beta.ppf(np.exp(tau - spent), k_r, n - k_r + 1)
        exact = max((stats.norm.ppf(low_l) + stats.norm.ppf(low_r)).min() / math.sqrt(2), 0.0)
        got = float(c.dual_certify_product(k_l, k_r, n, alpha, sigma=1.0))
        assert got <= exact + 1e-9
        assert got >= exact - 1e-4


def test_multiclass_overclaims_with_probability_at_most_alpha():
    """All counts of three classes, by enumeration: the class is chosen beforehand, the runner-up from the same counts."""
    n, alpha = 24, 0.1
    for p in [(0.5, 0.25, 0.25), (0.5, 0.49, 0.01), (0.4, 0.35, 0.25), (0.8, 0.15, 0.05), (0.34, 0.33, 0.33)]:
        true = max((stats.norm.ppf(p[0]) - stats.norm.ppf(p[1])) / 2, 0.0)
        wrong = 0.0
        for a in range(n + 1):
            b = np.arange(n - a + 1)
            radius = c.cohen_certify_multiclass(a, np.maximum(b, n - a - b), n, alpha, sigma=1.0)
            mass = stats.multinomial.pmf(np.stack([np.full_like(b, a), b, n - a - b], axis=1), n, p)
            wrong += float(mass[radius > true].sum())
        assert wrong <= alpha


@pytest.mark.parametrize(("arguments", "message"), [
    ((11, 2, 10, 0.1), "count=11 and count_other=2 exceed n=10 together"), ((5, 2, 10, 0.0), "alpha=0"), ((5.5, 2, 10, 0.1), "count=5.5"),
])  # fmt: skip
def test_bad_counts_are_named(arguments, message):
    with pytest.raises(InvalidArgumentError, match=message):
        c.cohen_certify_multiclass(*arguments, sigma=1.0)


def test_counts_beyond_n_are_named_by_their_half():
    with pytest.raises(InvalidArgumentError, match="count_right=11 exceeds n=10"):
        c.dual_certify_bonferroni(5, 11, 10, 0.1, sigma=1.0)
    with pytest.raises(InvalidArgumentError, match="count_left=11 exceeds n=10"):
        c.dual_certify_product(11, 5, 10, 0.1, sigma=1.0)
