"""Counts → bounds: exactness, rounding, coverage, refusals."""

import math

import numpy as np
import pytest
from scipy import stats

from rsfast import confidence
from rsfast.errors import InvalidArgumentError


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
