"""Bounds for a whole data set: exactness, rounding, coverage, refusals."""

from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from rsfast import confidence
from rsfast.confidence import finite
from rsfast.errors import InvalidArgumentError


def certified_pmf(robust, drawn, population, alpha_image):
    """Exact distribution of the number certified if non-robust images are certified with probability alpha_image."""
    pmf = np.zeros(drawn + 1)
    for h in range(drawn + 1):
        weight = stats.hypergeom.pmf(h, population, robust, drawn)
        pmf[h:] += weight * stats.binom.pmf(np.arange(drawn - h + 1), drawn - h, alpha_image)
    return pmf


def brute_lower(certified, drawn, population, alpha_image, delta):
    for robust in range(population + 1):
        if certified_pmf(robust, drawn, population, alpha_image)[certified:].sum() > delta * (1 + 1e-9):
            return robust
    return population


@pytest.mark.parametrize(
    ("drawn", "population", "alpha_image", "delta"), [(7, 30, 0.05, 0.1), (12, 12, 0.01, 0.05), (1, 9, 0.2, 0.3)]
)
def test_lower_bound_is_the_least_share_that_is_not_rejected(drawn, population, alpha_image, delta):
    for certified in range(drawn + 1):
        got = confidence.population_lower(certified, drawn, population, alpha_image=alpha_image, delta=delta)
        assert got * population == pytest.approx(brute_lower(certified, drawn, population, alpha_image, delta), abs=1e-9)


@pytest.mark.parametrize(
    ("drawn", "population", "alpha_image", "delta"), [(20, 60, 0.05, 0.05), (40, 200, 0.001, 0.001), (15, 15, 0.3, 0.1)]
)
def test_lower_bound_misses_with_probability_at_most_delta_for_every_share(drawn, population, alpha_image, delta):
    bound = confidence.population_lower(np.arange(drawn + 1), drawn, population, alpha_image=alpha_image, delta=delta)
    for robust in range(population + 1):
        missed = certified_pmf(robust, drawn, population, alpha_image)[bound > robust / population].sum()
        assert missed <= delta * (1 + 1e-9), robust


def test_interval_misses_with_probability_at_most_delta_for_every_share():
    for drawn, population, delta in ((20, 60, 0.05), (50, 300, 0.01), (9, 9, 0.2)):
        lower, upper = confidence.population_interval(np.arange(drawn + 1), drawn, population, delta=delta)
        for share in range(population + 1):
            pmf = stats.hypergeom.pmf(np.arange(drawn + 1), population, share, drawn)
            assert pmf[(lower > share / population) | (upper < share / population)].sum() <= delta * (1 + 1e-9)


def test_interval_of_a_whole_data_set_is_a_point():
    lower, upper = confidence.population_interval(np.arange(8), 7 + np.zeros(8), 7, delta=0.01)
    np.testing.assert_allclose(lower, np.arange(8) / 7)
    np.testing.assert_allclose(upper, np.arange(8) / 7)


def test_bounds_are_rounded_to_the_safe_side():
    for certified in range(0, 30, 3):
        lower, upper = confidence.population_interval(certified, 30, 49, delta=0.05)
        for bound, sign in ((lower, 1), (upper, -1)):
            assert sign * (Fraction(round(bound * 49), 49) - Fraction(float(bound))) >= 0


def test_hypergeometric_weights_equal_scipys():
    for robust, drawn, population in ((20_000, 2_000, 50_000), (3, 500, 1_000), (999, 500, 1_000), (0, 5, 9), (9, 5, 9)):
        h, weights = finite._hypergeometric(robust, drawn, population)
        np.testing.assert_allclose(weights, stats.hypergeom.pmf(h, population, robust, drawn), rtol=1e-8, atol=1e-300)


def test_lower_bound_rises_in_the_certified_and_falls_in_the_levels_strictness(rng):
    certified = np.arange(201)
    bound = confidence.population_lower(certified, 200, 5_000, alpha_image=0.01, delta=0.05)
    assert (np.diff(bound) >= 0).all()
    assert (confidence.population_lower(certified, 200, 5_000, alpha_image=0.01, delta=0.001) <= bound).all()
    assert (confidence.population_lower(certified, 200, 5_000, alpha_image=0.05, delta=0.05) <= bound).all()
    assert (bound <= certified / 200).all()


def test_bounds_broadcast_and_large_data_sets_work():
    assert confidence.population_lower([[5], [9]], 10, [100, 10**7], alpha_image=1e-3, delta=0.05).shape == (2, 2)
    got = confidence.population_lower(400_000, 500_000, 10**7, alpha_image=1e-3, delta=0.05)
    assert 0.797 < got < 0.799


def test_simulated_coverage_at_the_setting_of_the_notes(rng):
    """Probability of a miss is at most delta = 0.05; 2,000 runs, false alarm rate of the test below 1e-6."""
    population, robust, drawn, alpha_image, delta, runs = 50_000, 20_000, 2_000, 0.01, 0.05, 2_000
    sampled = rng.hypergeometric(robust, population - robust, drawn, runs)
    certified = sampled + rng.binomial(drawn - sampled, alpha_image)
    values, times = np.unique(certified, return_counts=True)
    bound = confidence.population_lower(values, drawn, population, alpha_image=alpha_image, delta=delta)
    assert times[bound > robust / population].sum() <= stats.binom.isf(1e-6, runs, delta)
    assert np.dot(bound, times) / runs > 0.375


@pytest.mark.parametrize(
    ("counts", "levels", "message"),
    [
        ((6, 5, 10), {}, "certified=6 exceeds drawn=5"),
        (([1, 1], [5, 11], 10), {}, r"drawn\[1\]=11 exceeds population=10"),
        ((1.5, 5, 10), {}, "not a whole number"),
        ((1, 0, 10), {}, "drawn=0"),
        ((1, 2**40, 2**50), {}, "drawn=1099511627776.0 is not allowed: give at most 100,000,000 images drawn"),
        ((1, 5, 10), {"delta": 0.0}, "delta=0.0 is not allowed"),
        ((1, 5, 10), {"alpha_image": 1.0}, "alpha_image=1.0 is not allowed"),
        (([1, 2], [5, 5, 5], 10), {}, "shapes do not fit"),
    ],
)
def test_bad_arguments_are_refused_in_one_sentence(counts, levels, message):
    with pytest.raises(InvalidArgumentError, match=message):
        confidence.population_lower(*counts, **{"alpha_image": 0.001, "delta": 0.05} | levels)
