"""Certificates from divergences against constrained minimisation, fifty digits and each other."""

import mpmath as mp
import numpy as np
import pytest

from rsfast import certificates as c
from tests.reference import optimal
from tests.reference.cases import pairs

SIGMA_FAMILY = [
    c.cohen_l2,
    c.renyi_l2,
    c.renyi_l2_all,
    c.kl_l2,
    c.chi2_l2,
    c.hellinger_l2,
    c.bhattacharyya_l2,
    c.tv_l2,
    c.lecuyer_l2,
]


def test_nothing_beats_cohen(rng):
    p1, p2 = pairs(rng, 3000)
    cohen = c.cohen_l2(p1, sigma=1.0, p_upper=p2)
    for f in SIGMA_FAMILY:
        assert (f(p1, sigma=1.0, p_upper=p2) <= cohen * (1 + 1e-12) + 1e-13).all(), f.__name__
    for order in (0.3, 0.5, 1.0, 1.5, 2.0, 7.0):
        assert (c.renyi_l2_fixed(p1, sigma=1.0, p_upper=p2, order=order) <= cohen * (1 + 1e-12) + 1e-13).all()


@pytest.mark.parametrize("order", [0.3, 0.5, 0.7, 1.0, 1.5, 3.0, 8.0])
@pytest.mark.parametrize("p", [(0.6, 0.3, 0.1), (0.5, 0.2, 0.2, 0.1), (0.9, 0.1)])
def test_renyi_is_the_least_divergence_to_any_other_answer(order, p):
    """h = order R² / (2 sigma²) against constrained minimisation over all distributions."""
    radius = float(c.renyi_l2_fixed(p[0], sigma=1.0, order=order, p_upper=p[1]))
    assert order * radius**2 / 2 == pytest.approx(optimal.least_renyi(p, order), rel=2e-6)
    assert order * radius**2 / 2 <= optimal.least_renyi(p, order) * (1 + 1e-9)


def test_one_formula_serves_all_orders(rng):
    p1, p2 = pairs(rng, 500)
    for order, f in ((1.0, c.kl_l2), (2.0, c.chi2_l2), (0.5, c.hellinger_l2)):
        np.testing.assert_allclose(
            c.renyi_l2_fixed(p1, sigma=1.0, order=order, p_upper=p2), f(p1, sigma=1.0, p_upper=p2), rtol=1e-12, atol=1e-15
        )


def test_order_of_the_divergence_radii(rng):
    """Proposition 1, corrected: Rényi >= KL >= chi-square and Hellinger; for two classes KL equals chi-square."""
    p1, p2 = pairs(rng, 2000)
    renyi, kl, chi2, hellinger = (f(p1, sigma=1.0, p_upper=p2) for f in (c.renyi_l2, c.kl_l2, c.chi2_l2, c.hellinger_l2))
    for larger, smaller in ((renyi, kl), (kl, chi2), (kl, hellinger)):
        assert (larger >= smaller * (1 - 1e-12)).all()
    assert (c.renyi_l2_all(p1, sigma=1.0, p_upper=p2) >= renyi * (1 - 1e-12)).all()
    assert (hellinger > chi2 * 1.001).any()
    p = rng.uniform(0.5, 1, 300)
    np.testing.assert_allclose(c.kl_l2(p, sigma=1.0), c.chi2_l2(p, sigma=1.0), rtol=1e-11, atol=1e-14)


def test_orders_below_one_help_only_with_several_classes():
    assert float(c.renyi_l2_all(0.6, sigma=1.0, p_upper=1e-6)) == pytest.approx(1.41400, abs=1e-5)
    assert float(c.renyi_l2(0.6, sigma=1.0, p_upper=1e-6)) == pytest.approx(1.35087, abs=1e-5)
    p = np.linspace(0.501, 0.9999, 50)
    np.testing.assert_allclose(c.renyi_l2_all(p, sigma=1.0), c.renyi_l2(p, sigma=1.0), rtol=1e-12)


@pytest.mark.parametrize(("p1", "p2"), [(0.9, 0.1), (0.99, 0.001), (0.4, 0.3), (0.9999, 1e-9)])
def test_divergence_radii_in_fifty_digits(p1, p2):
    """Rounded down, and by no more than documented."""
    with mp.workdps(50):
        a, b = mp.mpf(p1), mp.mpf(min(p2, 1 - p1))
        gap = mp.sqrt(a) - mp.sqrt(b)
        exact = {
            c.kl_l2: mp.sqrt(-2 * mp.log(1 - gap**2)),
            c.chi2_l2: mp.sqrt(-mp.log(1 - (a - b) ** 2 / (a + b))),
            c.hellinger_l2: mp.sqrt(-4 * mp.log(1 - gap**2 / 2)),
            c.tv_l2: 2 * mp.sqrt(2) * mp.erfinv((a - b) / 2),
        }
        for f, value in exact.items():
            got = mp.mpf(float(f(p1, sigma=1.0, p_upper=p2)))
            assert value * (1 - mp.mpf("5e-14")) <= got <= value, f.__name__


@pytest.mark.parametrize("order", [1e-6, 1e-4, 1e-3, 0.1])
def test_small_orders_do_not_overclaim(order):
    """h / order tends to a limit in which doubles cancel; 60 digits say what is left."""
    for p1, p2 in [(0.6, 0.1), (0.5, 0.49999), (0.9, 0.02)]:
        with mp.workdps(60):
            a, b, s = mp.mpf(p1), mp.mpf(p2), 1 - mp.mpf(order)
            mean = ((a**s + b**s) / 2) ** (1 / s)
            exact = mp.sqrt(-2 * mp.log(1 - (a + b) + 2 * mean) / mp.mpf(order))
            got = float(c.renyi_l2_fixed(p1, sigma=1.0, order=order, p_upper=p2))
            assert exact * (1 - mp.mpf("1e-13") - mp.mpf("1e-15") / order) <= got <= exact
