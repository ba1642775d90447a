"""Cohen's radius and its lp forms: exact, rounded down, monotone, refusing."""

import math

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsfast.certificates import cohen_l2, gaussian_lp
from rsfast.errors import InvalidArgumentError
from tests.numerics.test_normal import exact_ndtri

probability = st.floats(1e-12, 1 - 1e-12)


def exact_cohen(p1, p2, sigma):
    with mp.workdps(40):
        return mp.mpf(sigma) / 2 * (exact_ndtri(p1) - exact_ndtri(p2))


@given(probability, probability, st.floats(1e-3, 1e3))
def test_radius_is_never_above_the_exact_one(p1, p2, sigma):
    radius = float(cohen_l2(p1, sigma=sigma, p_upper=p2))
    p2 = min(mp.mpf(p2), 1 - mp.mpf(p1))
    exact = exact_cohen(p1, p2, sigma) if mp.mpf(p1) > p2 else 0
    assert radius <= exact
    if exact > 0:
        slack = 2e-14 * exact + 2e-14 * sigma  # 4 eps (|z1| + |z2|) is at most 1.3e-14 here
        assert radius >= exact - slack


def test_cancellation_does_not_overclaim():
    p1, p2 = 0.09600872878783419, 0.09600872878783406
    assert float(cohen_l2(p1, sigma=1.0, p_upper=p2)) <= exact_cohen(p1, p2, 1.0)


@given(probability, probability, st.floats(1e-3, 1e3))
def test_radius_grows_with_p_lower_and_sigma(p1, p2, sigma):
    low, high = sorted((p1, p2))
    assert cohen_l2(low, sigma=sigma) <= cohen_l2(high, sigma=sigma)
    assert cohen_l2(high, sigma=sigma) <= cohen_l2(high, sigma=2 * sigma)


def test_radius_is_zero_when_p_is_at_most_half():
    assert cohen_l2([0.5, 0.4999, 0.0, 1e-300], sigma=0.5).tolist() == [0, 0, 0, 0]
    assert cohen_l2(0.5 + 1e-9, sigma=0.5) > 0


def test_radius_is_zero_when_another_class_may_lead_or_tie():
    assert cohen_l2(0.3, sigma=1.0, p_upper=0.3) == 0
    assert cohen_l2(0.3, sigma=1.0, p_upper=0.4) == 0
    assert cohen_l2(0.3, sigma=1.0, p_upper=0.2) > 0


def test_certainty_is_an_infinite_radius():
    assert cohen_l2(1.0, sigma=0.5) == math.inf
    assert cohen_l2(0.7, sigma=0.5, p_upper=0.0) == math.inf


def test_the_failure_probability_carries_what_p_lower_cannot():
    q = 1e-30
    radius = float(cohen_l2(1.0, sigma=1.0, q_upper=q))
    exact = -exact_ndtri(q)
    assert exact * (1 - 3e-14) <= radius <= exact


@given(probability, st.floats(0.1, 40), st.integers(1, 10**7))
def test_lp_radius_is_sound_for_every_norm(p, order, dim):
    """A point's l2 norm is at most max(1, dim^(1/2-1/p)) times its lp norm."""
    l2 = float(cohen_l2(p, sigma=1.0))
    radius = float(gaussian_lp(p, sigma=1.0, dim=dim, order=order))
    worst = mp.mpf(dim) ** max(mp.mpf(0), mp.mpf(1) / 2 - 1 / mp.mpf(order))
    assert radius * worst <= l2
    assert radius * worst >= l2 * (1 - 1e-12)


def test_printed_formula_overclaims_for_norms_below_two():
    """Kumar et al. eq. (1) used at p = 1, d = 3072 claims 55 times the true radius: one axis direction refutes it."""
    l2, d = float(cohen_l2(0.99, sigma=0.25)), 3072
    printed = l2 / d ** (0.5 - 1.0)
    assert printed > 55 * l2
    assert gaussian_lp(0.99, sigma=0.25, dim=d, order=1) <= l2  # a step of l2 along one axis has l1 norm l2, and flips


def test_shapes_broadcast():
    assert gaussian_lp(np.full((4, 1), 0.9), sigma=[0.5, 1.0, 2.0], dim=10, order=math.inf).shape == (4, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cohen_l2(1.1, sigma=1.0), "p_lower=1.1"),
        (lambda: cohen_l2([0.5, math.nan], sigma=1.0), r"p_lower\[1\]=nan"),
        (lambda: cohen_l2(0.9, sigma=0.0), "sigma=0"),
        (lambda: cohen_l2(0.9, sigma=-1.0), "sigma=-1"),
        (lambda: cohen_l2(0.9, sigma=math.inf), "sigma=inf"),
        (lambda: cohen_l2(0.9, sigma=1.0, p_upper=2), "p_upper=2"),
        (lambda: cohen_l2(0.9, sigma=1.0, q_upper=0.2), "not the failure probability"),
        (lambda: cohen_l2([0.9, 0.8], sigma=[1.0, 1.0, 1.0]), "shapes do not fit"),
        (lambda: gaussian_lp(0.9, sigma=1.0, dim=0, order=2), "dim=0"),
        (lambda: gaussian_lp(0.9, sigma=1.0, dim=3, order=0), "order=0"),
        (lambda: gaussian_lp(0.9, sigma=1.0, dim=3, order=math.nan), "order=nan"),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(InvalidArgumentError, match=message):
        call()
