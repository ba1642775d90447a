"""The mixture martingale: its mean, its rounding, and that it holds at every moment."""

import math

import mpmath
import numpy as np
import pytest
from scipy import stats

from rsfast import plans
from rsfast.plans import mixture
from tests.plans.walks import successes
from tests.reference.plans import around, false_certification, wealth

Z = [0.0, 0.5, 1.0, 2.0]
FAILURE = stats.norm.sf(Z)


@pytest.mark.parametrize("e", [0.5, 0.3, 0.05, 1e-3, 0.8])
@pytest.mark.parametrize("n", [1, 10, 200])
def test_mean_wealth_is_at_most_one_under_every_hypothesis(e, n):
    """Summed over all counts, at the threshold and at larger failure probabilities."""
    f, w = mixture.bets(e)
    assert w.sum() <= 1.0
    assert (f < e).all()
    counts = np.arange(n + 1)
    values = np.array([math.exp(mixture.log_wealth(float(n - c), float(c), e, f, w)) for c in counts])
    for truth in (e, min(1.1 * e, 0.999), 0.5 * (1 + e), 0.9999):
        mean = np.dot(stats.binom.pmf(counts, n, truth), values)
        assert mean <= 1 + 1e-10
    assert np.dot(stats.binom.pmf(counts, n, e), values) > 0.999  # nothing is given away


@pytest.mark.parametrize("e", [0.5, 0.1, 1e-3, 1e-6, 0.7])
def test_wealth_is_rounded_down_and_close_to_direct_sums(e, rng):
    f, w = mixture.bets(e)
    for n in (1, 128, 5_000, 100_000):
        for failures in {0, *(n * e * rng.random(10)).astype(int), int(n * e), n // 2}:
            exact = float(mpmath.log(wealth(n - failures, failures, e, f, w)))
            got = mixture.log_wealth(float(n - failures), float(failures), e, f, w)
            assert exact - 1e-12 * (1 + n * e + abs(exact)) <= got <= exact


def test_wealth_falls_with_every_failure():
    for e in (0.5, 0.01):
        f, w = mixture.bets(e)
        values = [mixture.log_wealth(1000.0 - c, float(c), e, f, w) for c in range(600)]
        assert (np.diff(values) < 0).all()


def test_accept_is_the_first_count_whose_wealth_reaches_one_over_alpha():
    t = plans.tables(plans.Betting(radii=Z), FAILURE, alpha=1e-3, n=5000)
    for j, e in enumerate(FAILURE):
        f, w = mixture.bets(e)
        for n, least in zip(t.looks, t.accept[:, j], strict=True):
            if least <= n:
                assert mixture.log_wealth(float(least), float(n - least), e, f, w) >= math.log(1e3)
            below = float(min(least, n + 1) - 1)
            assert mixture.log_wealth(below, n - below, e, f, w) < math.log(1e3) * (1 + 1e-12)


@pytest.mark.parametrize(
    ("n", "alpha", "more"),
    [(2000, 1e-3, {}), (2000, 0.05, {"growth": 1.02, "first": 1, "step": 1}), (400, 0.3, {"growth": 1.0, "first": 1, "step": 1})],
)
def test_false_certification_probability_is_at_most_alpha_on_and_around_every_threshold(n, alpha, more):
    t = plans.tables(plans.Betting(radii=Z, **more), FAILURE, alpha=alpha, n=n)
    assert (np.diff(t.accept, axis=1) >= 0).all()
    worst = max(false_certification(t.looks, t.accept, t.failure, e) for e in around(t.failure))
    assert 0.05 * alpha < worst <= alpha


def test_looking_after_every_draw_certifies_falsely_with_at_most_alpha(rng):
    """20,000 images, each looked at after each of 3,000 draws; false alarm rate of the test below 1e-6."""
    alpha, images = 0.05, 20_000
    t = plans.tables(plans.Betting(radii=[0], growth=1.0, first=1, step=1), [0.5], alpha=alpha, n=3000)
    wrong = np.zeros(images, bool)
    for part in range(0, images, 2000):
        counts = successes(rng, t.looks, 0.5, 2000)
        wrong[part : part + 2000] = (counts >= t.accept[:, 0]).any(axis=1)
    assert wrong.sum() <= stats.binom.isf(1e-6, images, alpha)
    assert wrong.sum() > 0.1 * alpha * images


def test_all_of_alpha_may_be_spent_from_the_first_look_on():
    t = plans.tables(plans.Betting(radii=Z), FAILURE, alpha=1e-3, n=5000)
    assert t.spent(0) == t.spent(len(t.looks) - 1) == 1e-3


def test_thresholds_beyond_the_range_of_doubles_are_harmless():
    t = plans.tables(plans.Betting(radii=[0, 1, 2, 3]), [0.5, 1e-300, 5e-324, 0.0], alpha=1e-3, n=1000)
    assert (t.accept[:, 1:] == t.looks[:, None] + 1).all()
