"""Exact false-certification probabilities, by a recursion that shares nothing with the tables."""

import time

import mpmath
import numpy as np
import pytest
from scipy import stats

from rsfast import plans
from rsfast.plans import boundary
from rsfast.plans.schedule import schedule, spending
from tests.reference.plans import (
    around,
    exact_rejection_probability,
    false_certification,
    long_rejection_probability,
    rejection_probability,
)

Z = np.array([0.0, 0.25, 0.5, 1.0, 1.01, 2.0, 2.4])


def failures(z):
    return stats.norm.sf(np.asarray(z, float))


def grid(n, alpha, z=Z, **more):
    return plans.tables(plans.Grid(list(range(len(z))), **more), failures(z), alpha=alpha, n=n)


@pytest.mark.parametrize(
    ("n", "alpha", "more"),
    [
        (2000, 1e-3, {}),
        (2000, 1e-3, {"final": 0.5}),
        (2000, 1e-3, {"final": 0.001, "spread": 2.0}),
        (2000, 0.5, {"final": 0.5}),
        (2000, 1e-12, {}),
        (1500, 0.05, {"growth": 1.0, "first": 10, "step": 10, "final": 0.2}),
        (777, 0.01, {"growth": 1.5, "first": 32, "step": 1, "final": 1.0}),
        (300, 0.2, {"growth": 1.0, "first": 1, "step": 1, "final": 0.3, "spread": 1.0}),
        (100, 1e-3, {}),
        (128, 1e-3, {}),
        (1, 0.4, {}),
    ],
)
def test_false_certification_probability_is_at_most_alpha_on_and_around_every_threshold(n, alpha, more):
    t = grid(n, alpha, **more)
    worst = max(false_certification(t.looks, t.accept, t.failure, e) for e in around(t.failure))
    assert worst <= alpha * (1 + 1e-11)  # what the recursion itself may be off


def test_in_rational_arithmetic_it_is_at_most_alpha_without_any_tolerance():
    for alpha, more in ((0.05, {"final": 0.5}), (0.3, {"final": 0.1, "growth": 1.0})):
        t = grid(60, alpha, z=[0.0, 0.3, 1.0], first=6, step=6, **more)
        for e in t.failure:
            exact = false_certification(t.looks, t.accept, t.failure, e, exact_rejection_probability)
            assert 0.3 * alpha < exact <= alpha


@pytest.mark.parametrize("z", [0.0, 1.0, 3.0, 3.7])
def test_at_100_000_draws_it_is_at_most_alpha_too(z):
    t = grid(100_000, 1e-3, z=[z], final=0.5)
    e = t.failure[0]
    assert 1e-4 < long_rejection_probability(t.looks, t.accept[:, 0], e) <= 1e-3 * (1 + 1e-9)
    short = grid(2000, 1e-3, z=[z])
    both = [recursion(short.looks, short.accept[:, 0], e) for recursion in (rejection_probability, long_rejection_probability)]
    assert both[0] == pytest.approx(both[1], rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("alpha", [1e-3, 0.05])
def test_most_of_alpha_is_used(alpha):
    t = grid(2000, alpha, z=[0.0, 0.5, 1.0])
    for j, e in enumerate(t.failure):
        assert false_certification(t.looks, t.accept[:, j : j + 1], [e], e) > 0.85 * alpha


def test_a_table_that_is_not_nested_would_be_noticed():
    """The raw boundaries of close thresholds certify falsely with 1.1 alpha: whoever drops the nesting fails here."""
    alpha, e = 0.01, failures(np.arange(0.0, 1.5, 0.02))
    looks = schedule(100, 10, 1.1, 10)
    raw = looks[:, None] - boundary.boundaries(looks, spending(looks, alpha, 0.1, 1.05), e)
    t = plans.tables(plans.Grid(range(len(e)), final=0.1, first=10, step=10), e, alpha=alpha, n=100)
    worst_raw = max(false_certification(looks, raw, e, one) for one in e)
    worst = max(false_certification(t.looks, t.accept, e, one) for one in e)
    assert worst_raw > 1.05 * alpha
    assert worst <= alpha


def test_a_boundary_that_is_one_count_lower_would_be_noticed():
    t = grid(2000, 1e-3, z=[0.0, 1.0])
    lower = np.where(t.accept <= t.looks[:, None], t.accept - 1, t.accept)
    assert false_certification(t.looks, lower, t.failure, t.failure[0]) > 1e-3


@pytest.mark.parametrize("n", [2000, 100_000])
def test_accept_does_not_fall_in_the_threshold(n):
    plan = plans.Radius()
    t = plans.tables(plan, plan.failures(1e-3, n), alpha=1e-3, n=n)
    assert (np.diff(t.accept, axis=1) >= 0).all()
    assert t.accept.max() <= n + 1
    assert t.accept.min() >= 0


@pytest.mark.parametrize("n", [1, 50, 128])
def test_a_plan_of_one_look_is_clopper_pearsons_test(n):
    t = grid(n, 0.01)
    assert t.looks.tolist() == [n]
    for j, e in enumerate(t.failure):
        passing = [s for s in range(n + 1) if stats.binom.cdf(n - s, n, e) <= 0.01]
        assert t.accept[0, j] == (min(passing) if passing else n + 1)


@pytest.mark.parametrize(
    ("n", "e"), [(1, 0.3), (40, 0.5), (2000, 0.02), (10**5, 1e-4), (10**6, 0.7), (10**7, 0.31), (50, 1e-300)]
)
def test_binomial_window_holds_all_but_what_it_says(n, e):
    pmf, low, left_out, error = boundary.binomial_window(n, e, 1e-12)
    exact = stats.binom.pmf(low + np.arange(len(pmf)), n, e)
    np.testing.assert_allclose(pmf, exact, rtol=1e-9, atol=1e-300)  # scipy's own error at n = 10^7 is 1e-10
    outside = stats.binom.cdf(low - 1, n, e) + stats.binom.sf(low + len(pmf) - 1, n, e)
    assert outside <= left_out * (1 + 1e-6) + 1e-300
    assert left_out <= 2.1e-12
    assert error < 1e-10


def test_binomial_window_is_as_accurate_as_it_says():
    n, e = 10**6, 0.31
    pmf, low, _, error = boundary.binomial_window(n, e, 1e-12)
    with mpmath.workdps(40):
        for i in (0, len(pmf) // 2, len(pmf) - 1):
            f = low + i
            exact = mpmath.binomial(n, f) * mpmath.mpf(e) ** f * (1 - mpmath.mpf(e)) ** (n - f)
            assert abs(mpmath.mpf(pmf[i]) / exact - 1) <= error


@pytest.mark.parametrize(("a", "b"), [(1, 1), (1, 9), (3, 4), (4, 4), (5, 17), (64, 63)])
def test_convolution_equals_numpys(rng, a, b):
    x, y = rng.random(a), rng.random(b)
    np.testing.assert_allclose(boundary.convolve(x, y), np.convolve(x, y), rtol=1e-13)


def test_critical_is_the_exact_test_of_one_look(rng):
    for _ in range(200):
        n, e, level = int(rng.integers(1, 3000)), float(rng.random()), float(10 ** rng.uniform(-9, -0.3))
        f = boundary.critical(n, e, level)
        assert f == -1 or stats.binom.cdf(f, n, e) <= level * (1 + 1e-9)
        assert stats.binom.cdf(f + 1, n, e) > level * (1 - 1e-9)


@pytest.mark.parametrize("z", [8.0, 30.0, 37.5])
def test_thresholds_that_n_draws_cannot_certify_are_impossible(z):
    t = grid(5000, 1e-3, z=[0.0, z])
    assert (t.accept[:, 1] == t.looks + 1).all()
    assert (t.accept[-1, 0] <= 5000).all()


def test_failure_probabilities_of_zero_and_next_to_zero_are_impossible_and_harmless():
    t = plans.tables(plans.Grid([0, 1, 2, 3]), [0.5, 1e-300, 5e-324, 0.0], alpha=1e-3, n=1000)
    assert (t.accept[:, 1:] == t.looks[:, None] + 1).all()


def test_thresholds_below_one_half_work():
    t = plans.tables(plans.Grid([0, 1]), [0.9, 0.6], alpha=0.01, n=1000)
    worst = max(false_certification(t.looks, t.accept, t.failure, e) for e in around(t.failure))
    assert 0.005 < worst <= 0.01


def test_ten_million_draws_take_seconds():
    start = time.perf_counter()
    t = grid(10**7, 1e-3, z=[0.0, 1.0, 3.0, 4.5])
    assert time.perf_counter() - start < 30
    # At the last look nearly all of alpha is there: within a few counts of the test of all draws at once.
    for j, e in enumerate(t.failure):
        single = 10**7 - boundary.critical(10**7, e, 1e-3)
        assert single <= t.accept[-1, j] <= single + 0.2 * np.sqrt(1e7 * e) + 2


@pytest.mark.parametrize("n", [2000, 50_000])
def test_spent_bounds_what_was_used_up_to_each_look(n):
    t = grid(n, 1e-3, z=[0.0, 1.0], final=0.5)
    for look in range(0, len(t.looks), 9):
        used = false_certification(t.looks[: look + 1], t.accept[: look + 1], t.failure, t.failure[0])
        assert used <= t.spent(look) * (1 + 1e-9)
    assert t.spent(len(t.looks) - 1) == pytest.approx(1e-3, rel=1e-9)
    assert t.spent(len(t.looks) - 1) <= 1e-3
