"""Rényi certificates between different noise levels."""

import mpmath as mp
import pytest

from rsfast import certificates as c
from rsfast.errors import InvalidArgumentError


def test_renyi_divergence_against_quadrature():
    """One dimension, by numerical integration."""
    for order, distance, s1, s0 in [(0.5, 0.3, 0.5, 0.7), (2.0, 0.3, 0.5, 0.7), (1.0, 0.5, 0.6, 0.5), (1.5, 0.2, 0.6, 0.5)]:
        with mp.workdps(30):

            def q(x, d=distance, s=s1):
                return mp.npdf(x, d, s)

            def p(x, s=s0):
                return mp.npdf(x, 0, s)

            if order == 1.0:
                exact = mp.quad(lambda x, q=q, p=p: q(x) * mp.log(q(x) / p(x)), [-8, -1, 0, 1, 8])
            else:
                exact = mp.log(mp.quad(lambda x, o=order, q=q, p=p: q(x) ** o * p(x) ** (1 - o), [-8, -1, 0, 1, 8])) / (order - 1)
            got = float(c.renyi_gaussian_divergence(order, distance=distance, sigma1=s1, sigma0=s0, dim=1))
            assert abs(got - exact) <= 1e-12


def test_input_dependent_renyi_is_below_the_exact_radius(rng):
    for _ in range(60):
        s1, dim, p = rng.uniform(0.8, 1.25), int(rng.integers(1, 200)), rng.uniform(0.55, 0.9999)
        radius = float(c.input_dependent_renyi_l2(p, sigma0=1.0, sigma1=s1, dim=dim))
        if radius > 0 and s1 != 1.0:
            xi = (c.xi_greater if s1 < 1 else c.xi_less)(radius, p_lower=p, sigma0=1.0, sigma1=s1, dim=dim)
            assert float(xi) <= 0.5 + 1e-9


def test_orders_at_which_the_divergence_is_infinite_are_refused():
    top = 1.2**2 / (1.2**2 - 1)
    with pytest.raises(InvalidArgumentError, match=r"order=.*below sigma1²/\(sigma1² - sigma0²\)"):
        c.input_dependent_renyi_fixed(0.9, sigma0=1.0, sigma1=1.2, dim=3, order=top)
    assert float(c.input_dependent_renyi_fixed(0.9, sigma0=1.0, sigma1=1.2, dim=3, order=top * 0.3)) > 0


@pytest.mark.parametrize("order", [1e-6, 1e-3, 0.3, 0.999, 2.0])
def test_price_of_unequal_levels_in_sixty_digits(order):
    for ratio in (0.8, 0.99, 0.9999, 1.0051, 1.2):
        if order * (ratio**2 - 1) >= ratio**2:
            continue
        with mp.workdps(60):
            s1, o = mp.mpf(ratio), mp.mpf(order)
            variance = s1**2 + o * (1 - s1**2)
            exact = 100 * (-mp.log(s1) + mp.log(variance) / (2 * (1 - o))) + o * mp.mpf("0.25") / (2 * variance)
            got = float(c.renyi_gaussian_divergence(order, distance=0.5, sigma1=ratio, sigma0=1.0, dim=100))
            assert abs(got - exact) <= mp.mpf("3e-14") * max(1, 1 / order) * exact


def divergence(order, distance, sigma1, sigma0, dim):
    """In 80 digits, by the text of Lemmas 10 to 12."""
    with mp.workdps(80):
        o, d, s1, s0 = (mp.mpf(value) for value in (order, distance, sigma1, sigma0))
        variance = s1**2 + o * (s0**2 - s1**2)
        return o * d**2 / (2 * variance) + dim * (mp.log(s0 / s1) + mp.log(variance / s0**2) / (2 * (1 - o)))


@pytest.mark.parametrize(
    ("sigma1", "sigma0"), [(10.0, 1.0), (1.3, 1.0), (1.0 + 1e-5, 1.0), (3e7, 0.1), (1e-190, 3e-191), (2e90, 1e90)]
)
@pytest.mark.parametrize("gap", [1e-14, 3e-13, 1e-9, 1e-4, 0.3])
def test_divergence_next_to_its_largest_order(sigma1, sigma0, gap):
    """largest - order is formed without cancellation: it is what the divergence consists of there."""
    with mp.workdps(40):
        order = float(mp.mpf(sigma1) ** 2 / (mp.mpf(sigma1) ** 2 - mp.mpf(sigma0) ** 2) * (1 - mp.mpf(gap)))
    for dim, distance in ((1, 0.0), (100, 0.0), (100, 0.7 * sigma0)):
        exact = divergence(order, distance, sigma1, sigma0, dim)
        got = float(c.renyi_gaussian_divergence(order, distance=distance, sigma1=sigma1, sigma0=sigma0, dim=dim))
        assert abs(got - exact) <= mp.mpf("3e-14") * max(1, 1 / order) * exact


@pytest.mark.parametrize(("order", "sigma1", "sigma0"), [(1.0, 1.0, 1e-12), (1.0, 1e80, 1.0), (0.5, 1e80, 1.0), (3.0, 1.0, 1e90),
                                                         (1.0 - 1e-9, 1e6, 1.0), (2430.8663840743366, 2.9048311769033806, 2.904837266477937)])  # fmt: skip
def test_divergence_of_very_unequal_levels(order, sigma1, sigma0):
    exact = divergence(order, sigma0, sigma1, sigma0, 7) if order != 1 else None
    if exact is None:  # KL
        with mp.workdps(80):
            square = (mp.mpf(sigma1) / mp.mpf(sigma0)) ** 2
            exact = mp.mpf("0.5") + 7 * (square - 1 - mp.log(square)) / 2
    got = float(c.renyi_gaussian_divergence(order, distance=sigma0, sigma1=sigma1, sigma0=sigma0, dim=7))
    assert abs(got - exact) <= mp.mpf("3e-14") * max(1, 1 / order) * exact


def test_levels_too_far_apart_are_refused():
    with pytest.raises(InvalidArgumentError, match=r"sigma1\[1\]=1e\+200 and sigma0=1.0 are too far apart"):
        c.renyi_gaussian_divergence(0.5, distance=1.0, sigma1=[1.0, 1e200], sigma0=1.0, dim=3)


@pytest.mark.parametrize("share", [0.5, 0.99, 0.9999, 1 - 1e-6, 1 - 1e-10])
def test_orders_next_to_the_largest_do_not_overclaim(share):
    """The variance s cancels there, and its logarithm with it."""
    for ratio in (1.001, 1.02, 1.3):
        order = ratio**2 / (ratio**2 - 1) * share
        for p in (0.9, 0.9999):
            got = float(c.input_dependent_renyi_fixed(p, sigma0=1.0, sigma1=ratio, dim=2, order=order))
            with mp.workdps(60):
                a, b, o, r = mp.mpf(p), 1 - mp.mpf(p), mp.mpf(order), mp.mpf(ratio)
                variance = r**2 + o * (1 - r**2)
                price = -mp.log(r) + mp.log(variance) / (2 * (1 - o))
                mean = ((a ** (1 - o) + b ** (1 - o)) / 2) ** (1 / (1 - o))
                square = 2 * variance / o * (-mp.log(2 * mean) - 2 * price)
                exact = mp.sqrt(square) if square > 0 else 0
                assert got <= exact
