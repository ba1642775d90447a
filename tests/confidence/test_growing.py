"""Bounds for a whole data set at every look: exactness, coverage over all looks, refusals."""

import numpy as np
import pytest
from scipy import stats

from rsfast import confidence
from rsfast.errors import InvalidArgumentError


def brute(certified, drawn, population, delta):
    """The numbers of certified images that are not ruled out, by SciPy's hypergeometric distribution."""
    total = np.arange(population + 1)
    return total[(drawn + 1) * stats.hypergeom.pmf(certified, population, total, drawn) > delta]


@pytest.mark.parametrize(("population", "delta"), [(1, 0.05), (13, 0.2), (60, 0.05), (60, 1e-6)])
def test_bounds_are_those_of_the_definition(population, delta):
    for drawn in range(1, population + 1):
        certified = np.arange(drawn + 1)
        low, high = confidence.population_sequence(certified, drawn, population, delta=delta)
        for k in certified:
            kept = brute(k, drawn, population, delta)
            assert low[k] == pytest.approx(kept.min() / population, abs=1e-12)
            assert high[k] == pytest.approx(kept.max() / population, abs=1e-12)
            assert low[k] <= k / drawn + 1e-12


def test_the_whole_data_set_is_known_exactly():
    low, high = confidence.population_sequence([0, 7, 20], 20, 20, delta=0.05)
    np.testing.assert_allclose(low, [0.0, 0.35, 1.0], atol=1e-15)
    np.testing.assert_allclose(high, [0.0, 0.35, 1.0], atol=1e-15)


def test_large_data_sets_are_counted_soundly():
    low, high = confidence.population_sequence(400_000, 500_000, 10**7, delta=0.05)
    fixed_low, fixed_high = confidence.population_interval(400_000, 500_000, 10**7, delta=0.05)
    assert 0.797 < low < fixed_low < 0.8 < fixed_high < high < 0.803
    low, high = confidence.population_sequence(3, 5, 2**50, delta=0.05)  # lgamma holds no digit of such numbers any more
    assert low < 0.15
    assert high > 0.95


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_misses_at_any_look_are_as_rare_as_is_said(share, rng):
    """800 random orders, looks at every size: at delta = 0.1 more than 109 misses have probability below 1e-3."""
    population, delta, runs = 100, 0.1, 800
    total = round(share * population)
    images = np.arange(population) < total
    sizes = np.arange(1, population + 1)
    bounds = [confidence.population_sequence(np.arange(m + 1), m, population, delta=delta) for m in sizes]
    fixed = [confidence.population_interval(np.arange(m + 1), m, population, delta=delta) for m in sizes]
    missed = missed_by_fixed = 0
    for _ in range(runs):
        counts = np.cumsum(rng.permutation(images))
        missed += any(not low[k] <= share <= high[k] for k, (low, high) in zip(counts, bounds, strict=True))
        missed_by_fixed += any(not low[k] <= share <= high[k] for k, (low, high) in zip(counts, fixed, strict=True))
    assert missed <= stats.binom.isf(1e-3, runs, delta)
    assert missed_by_fixed > 2 * delta * runs  # what the sequence is for


def test_the_bound_of_the_truly_robust_share_holds_at_every_look(rng):
    """Robust images are certified, others with probability alpha_image; 400 runs at delta = 0.1, looks at every tenth size."""
    population, robust, alpha_image, delta, runs = 300, 150, 0.05, 0.1, 400
    sizes = np.arange(10, population + 1, 10)
    bounds = [
        confidence.population_lower_sequence(np.arange(m + 1), m, population, alpha_image=alpha_image, delta=delta) for m in sizes
    ]
    missed, last = 0, []
    for _ in range(runs):
        certified = (np.arange(population) < robust) | (rng.uniform(size=population) < alpha_image)
        counts = np.cumsum(rng.permutation(certified))[sizes - 1]
        found = [bound[k] for k, bound in zip(counts, bounds, strict=True)]
        missed += max(found) > robust / population
        last.append(found[-1])
    assert missed <= stats.binom.isf(1e-3, runs, delta)
    assert np.mean(last) > 0.43


def test_the_bound_of_the_robust_share_counts_wrong_certificates_exactly():
    for alpha_image, delta in ((0.001, 0.05), (0.2, 0.01)):
        wrong = int(stats.binom.isf(0.1 * delta, 1000, alpha_image))
        low = confidence.population_sequence(700, 800, 1000, delta=0.9 * delta)[0]
        got = confidence.population_lower_sequence(700, 800, 1000, alpha_image=alpha_image, delta=delta)
        assert got == pytest.approx(low - wrong / 1000, abs=1e-12)


@pytest.mark.parametrize(
    ("counts", "levels"), [((6, 5, 10), {}), ((1, 11, 10), {}), ((1, 0, 10), {}), ((1, 5, 10), {"delta": 0.0})]
)
def test_bad_arguments_are_refused(counts, levels):
    with pytest.raises(InvalidArgumentError):
        confidence.population_sequence(*counts, **{"delta": 0.05} | levels)
    with pytest.raises(InvalidArgumentError):
        confidence.population_lower_sequence(*counts, **{"alpha_image": 0.001, "delta": 0.05} | levels)
