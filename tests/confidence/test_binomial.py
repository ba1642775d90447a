"""Counts → bounds: exactness, rounding, coverage, refusals."""

import math

import numpy as np
import pytest
from scipy import stats

from rsfast import confidence
from rsfast.errors import InvalidArgumentError
from tests.reference.binomial import binom_cdf


def test_exact_coverage_is_at_least_one_minus_alpha():
    """Exact, not simulated: the probability that the lower bound exceeds p, for every p on a grid."""
    for n, alpha in ((10, 0.1), (57, 0.05), (300, 0.001)):
        k = np.arange(n + 1)
        bound = confidence.clopper_pearson_lower(k, n, alpha)
        # Just above each bound value p is worst: there the count that gives the bound is not yet a failure.
        for p in np.concatenate([np.linspace(0.001, 0.999, 400), bound[1:], np.nextafter(bound[1:], 0)]):
            assert stats.binom.pmf(k, n, p)[bound > p].sum() <= alpha * (1 + 1e-10), (n, alpha, p)


def test_failure_form_keeps_the_digits_that_the_lower_bound_loses():
    q = confidence.failure_upper(10**9, 10**9, 1e-3)
    assert q == pytest.approx(-math.expm1(math.log(1e-3) / 1e9), rel=1e-14)
    assert 1 - confidence.clopper_pearson_lower(10**9, 10**9, 1e-3) != q


def test_bounds_broadcast():
    assert confidence.clopper_pearson_lower(np.arange(3)[:, None], 10, np.array([0.1, 0.01])).shape == (3, 2)


def test_prediction_pvalue_is_the_two_sided_binomial_test(rng):
    a, b = rng.integers(0, 500, 100), rng.integers(0, 500, 100)
    expected = [stats.binomtest(int(x), int(x + y), 0.5).pvalue for x, y in zip(a, b, strict=True)]
    got = confidence.prediction_pvalue(a, b)
    np.testing.assert_allclose(got, expected, rtol=1e-9)
    assert (got >= np.array(expected) * (1 - 1e-12)).all()


def test_prediction_pvalue_of_a_tie_and_of_nothing_is_one():
    assert confidence.prediction_pvalue([50, 0, 1], [50, 0, 0]).tolist() == [1.0, 1.0, 1.0]


def test_prediction_pvalue_is_never_below_the_true_one_however_small():
    """Against sums in 50 digits: in the subnormal range, and where the true value is no double but 0."""
    for smaller, larger in (
        (0, 1073),
        (0, 1074),
        (0, 1075),
        (3, 1100),
        (40, 1300),
        (0, 1076),
        (0, 5000),
        (10, 10**6),
        (1, 2**53 - 1),
    ):
        got = float(confidence.prediction_pvalue(smaller, larger))
        exact = 2 * binom_cdf(smaller, smaller + larger, 0.5) if larger < 10**5 else 0
        assert got >= exact
        assert got <= max(float(exact) * (1 + 2e-12), 0) + 1e-323
    assert float(confidence.prediction_pvalue(0, 2**53)) == 5e-324


def test_prediction_pvalue_of_nearly_equal_huge_counts_is_not_below_the_true_one():
    """P(Bin(n, 1/2) <= (n - 1)/2) = 1/2 for odd n: the p-value is 1."""
    for half in (10**3, 10**6, 2 * 10**8, 10**12, 2**52 - 1):
        assert confidence.prediction_pvalue(half, half + 1) == 1.0


def test_counts_whose_sum_float64_does_not_hold_are_refused():
    with pytest.raises(InvalidArgumentError, match=r"count_a\[1\]=9007199254740992 and count_b=1 exceed 2\^53 together"):
        confidence.prediction_pvalue([1, 2**53], 1)


def test_least_samples_is_the_first_n_that_can_certify():
    for alpha in (0.3, 0.25, 0.05, 0.001, 1e-12):
        n = confidence.least_samples(alpha)
        assert confidence.clopper_pearson_lower(n, n, alpha) > 0.5
        assert n == 1 or confidence.clopper_pearson_lower(n - 1, n - 1, alpha) <= 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((5, 3, 0.1), "count=5 exceeds n=3"),
        (([1, 9], [3, 3], 0.1), r"count\[1\]=9 exceeds n=3"),
        ((-1, 3, 0.1), "count=-1"),
        ((1.5, 3, 0.1), "not a whole number"),
        ((math.nan, 3, 0.1), "count=nan"),
        ((1, 0, 0.1), "n=0"),
        ((1, 3, 1.5), "alpha=1.5 is not a failure probability"),
        ((1, 3, 0), "alpha=0"),
        ((1, 3, math.nan), "alpha=nan"),
        (([1, 2], [3, 3, 3], 0.1), "shapes do not fit"),
        (("x", 3, 0.1), "not numeric"),
    ],
)
@pytest.mark.parametrize("bound", [confidence.clopper_pearson_lower, confidence.clopper_pearson_upper, confidence.failure_upper])
def test_bad_arguments_are_refused_in_one_sentence(bound, arguments, message):
    with pytest.raises(InvalidArgumentError, match=message):
        bound(*arguments)


def test_an_unknown_bound_lists_the_known_ones():
    with pytest.raises(InvalidArgumentError, match="clopper-pearson"):
        confidence.bound("hoeffding", 1, 2, 0.1)


@pytest.mark.slow
def test_simulated_coverage(rng):
    """200,000 experiments at p on the edge; false alarm rate of the test itself below 1e-6."""
    n, alpha, p, runs = 1000, 0.01, 0.9, 200_000
    bound = confidence.clopper_pearson_lower(np.arange(n + 1), n, alpha)
    misses = int((bound[rng.binomial(n, p, runs)] > p).sum())
    assert misses <= stats.binom.isf(1e-6, runs, alpha)
