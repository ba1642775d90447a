"""Differences in which nothing may cancel, against exact rational and 60-digit arithmetic."""

from fractions import Fraction

import mpmath as mp
import numpy as np

from rsfast.numerics import compensated as c


def test_sums_and_products_are_exact(rng):
    for a, b in zip(rng.normal(size=500) * 10.0 ** rng.uniform(-50, 50, 500), rng.normal(size=500), strict=True):
        a, b = float(a), float(b)
        total, low = c.two_sum(a, b)
        assert Fraction(total) + Fraction(low) == Fraction(a) + Fraction(b)
        product, low = c.two_product(a, b)
        assert Fraction(product) + Fraction(low) == Fraction(a) * Fraction(b)


def test_mean_minus_x_has_one_rounding(rng):
    for _ in range(500):
        df, nc = 10 ** rng.uniform(-3, 9), 10 ** rng.uniform(-3, 16)
        x = (df + nc) * (1 + rng.normal() * 10 ** rng.uniform(-16, -1))
        exact = Fraction(df) + Fraction(nc) - Fraction(x)
        assert abs(Fraction(c.mean_minus_x(df, nc, x)) - exact) <= abs(exact) * Fraction(1, 2**53)


def test_minus_product_has_one_rounding(rng):
    for _ in range(500):
        a, b = rng.normal(), rng.normal()
        x = a * b * (1 + rng.integers(-3, 4) * 2.0**-52)
        exact = Fraction(x) - Fraction(a) * Fraction(b)
        assert abs(Fraction(c.minus_product(x, a, b)) - exact) <= abs(exact) * Fraction(1, 2**52)


def test_quotient_is_a_pair(rng):
    for _ in range(500):
        a, b = rng.normal(), rng.normal()
        a_low, b_low = a * 2.0**-54 * rng.normal(), b * 2.0**-54 * rng.normal()
        high, low = c.quotient(a, a_low, b, b_low)
        exact = (Fraction(a) + Fraction(a_low)) / (Fraction(b) + Fraction(b_low))
        assert abs(Fraction(high) + Fraction(low) - exact) <= abs(exact) * Fraction(1, 2**98)


def test_log_pair_is_good_to_1e_20(rng):
    for x in np.concatenate(
        [rng.uniform(0.5, 2, 500), 10.0 ** rng.uniform(-200, 200, 300), 1 + 10.0 ** rng.uniform(-14, -1, 100)]
    ):
        x = float(x)
        x_low = x * 2.0**-54 * float(rng.uniform(-1, 1))
        high, low = c.log_pair(x, x_low)
        with mp.workdps(60):
            exact = mp.log(mp.mpf(x) + mp.mpf(x_low))
            assert abs(mp.mpf(high) + mp.mpf(low) - exact) <= mp.mpf("1e-20") * max(1, abs(exact)), x


def test_minus_log1p_keeps_its_digits(rng):
    for e in np.concatenate([rng.uniform(-5, 1, 300), rng.choice([-1, 1], 300) * 10.0 ** rng.uniform(-150, -0.01, 300)]):
        e = float(e)
        v = 1.0 - e
        with mp.workdps(400):
            v_low = float(1 - mp.mpf(e) - mp.mpf(v))
            exact = -mp.log1p(-mp.mpf(e)) - mp.mpf(e)
            high, low = c.minus_log1p_pair(e, 0.0, v, v_low)
            assert abs(mp.mpf(high) + mp.mpf(low) - exact) <= mp.mpf("1.5e-17") * exact, e
            assert abs(mp.mpf(c.minus_log1p(e, v)) - exact) <= 1e-15 * exact + abs(mp.mpf(v_low / v)), e


def test_deviance_keeps_its_digits(rng):
    for _ in range(500):
        mean = 10 ** rng.uniform(-5, 9)
        x = mean * (1 + rng.normal() * 10 ** rng.uniform(-12, 0))
        if x <= 0:
            continue
        with mp.workdps(60):
            exact_difference = mp.mpf(x) - mp.mpf(mean)
            exact = mp.mpf(x) * mp.log(mp.mpf(x) / mp.mpf(mean)) - exact_difference
            assert abs(c.deviance(x, mean, float(exact_difference)) - exact) <= 2e-15 * abs(exact)
