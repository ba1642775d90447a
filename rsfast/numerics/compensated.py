"""Exact sums and products of doubles, and the differences in which nothing may cancel."""

from __future__ import annotations

import decimal
import math

import numpy as np
from numba import njit

from . import caching  # noqa: F401


@njit(inline="always", error_model="numpy")
def two_sum(a, b):
    """a + b as a rounded sum and what rounding left (Knuth)."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


@njit(inline="always", error_model="numpy")
def two_product(a, b):
    """a b as a rounded product and what rounding left (Dekker)."""
    product = a * b
    t = 134217729.0 * a
    a_high = t - (t - a)
    t = 134217729.0 * b
    b_high = t - (t - b)
    a_low, b_low = a - a_high, b - b_high
    return product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low


@njit(cache=True, error_model="numpy")
def minus_product(x, a, b):
    """x - a b with one rounding error of the result's size."""
    product, rest = two_product(a, b)
    return (x - product) - rest


@njit(inline="always", error_model="numpy")
def mean_minus_x_pair(df, nc, x):
    """df + nc - x as a rounded sum and what rounding left."""
    large, small = max(df, nc), min(df, nc)
    first, low = two_sum(large, -x)
    total, more = two_sum(first, small)
    return two_sum(total, low + more)


@njit(cache=True, error_model="numpy")
def mean_minus_x(df, nc, x):
    """df + nc - x with one rounding error of the result's size."""
    return mean_minus_x_pair(df, nc, x)[0]


@njit(inline="always", error_model="numpy")
def quotient(high, low, d_high, d_low):
    """(high + low) / (d_high + d_low) as a pair."""
    q = high / d_high
    product, rest = two_product(q, d_high)
    return q, (((high - product) - rest) + low - q * d_low) / d_high


def _log_table() -> np.ndarray:
    """log(j / 64), j = 0 … 91 (used from 45 on), as pairs; 40 digits rounded twice, the same on every machine."""
    table = np.zeros((92, 2))
    with decimal.localcontext(prec=40):
        for j in range(1, 92):
            value = (decimal.Decimal(j) / 64).ln()
            table[j] = float(value), float(value - decimal.Decimal(float(value)))
    return table


LOG_TABLE = _log_table()
LN2_HIGH, LN2_LOW = 0.6931471803691238, 1.9082149292705877e-10  # the first has 32 bits: its multiples are exact


@njit(cache=True, error_model="numpy")
def log_pair(x, x_low):
    """log(x + x_low) as a pair good to 1e-20, for normal x: a table of 1/64 steps and log1p of what is left."""
    mantissa, power = math.frexp(x)
    if mantissa < 0.7071067811865476:
        mantissa *= 2.0
        power -= 1
    scaled_low = math.ldexp(x_low, -power)
    j = int(mantissa * 64.0 + 0.5)
    step = j / 64.0
    r, r_low = quotient(mantissa - step, scaled_low, step, 0.0)  # abs(r) < 1/90
    square, square_low = two_product(r, r)
    rest = square * r * (1 / 3 - r * (1 / 4 - r * (1 / 5 - r * (1 / 6 - r * (1 / 7 - r * (1 / 8 - r / 9))))))
    total, low = two_sum(power * LN2_HIGH, LOG_TABLE[j, 0])
    total, more = two_sum(total, r)
    total, yet_more = two_sum(total, -0.5 * square)
    low += LOG_TABLE[j, 1] + power * LN2_LOW + more + yet_more + r_low * (1.0 - r) - 0.5 * square_low + rest
    return two_sum(total, low)


@njit(cache=True, error_model="numpy")
def minus_log1p_pair(e, e_low, v, v_low):
    """-log(v) - e for v = 1 - e, both given as pairs: never negative, as a pair good to 1e-17 relative.

    For small e, where it would cancel, with t = e / (2 - e): -log(1 - e) = 2 atanh t and e = 2 t / (1 + t), so it is
    2 t²/(1 + t) + 2 t³ (1/3 + t²/5 + …): the first term as a pair, the second, a fraction t / 3 of it, rounded.
    """
    below, below_low = two_sum(2.0, -e)
    t, t_low = quotient(e, e_low, below, below_low - e_low)
    if not abs(t) < 0.03:  # where both branches are good to 1e-17
        log_v, log_v_low = log_pair(v, v_low)
        total, low = two_sum(-log_v, -e)
        return two_sum(total, low - log_v_low - e_low)
    u, u_low = two_product(t, t)
    u_low += 2.0 * t * t_low
    s = 1 / 3 + u * (1 / 5 + u * (1 / 7 + u * (1 / 9 + u / 11)))
    over, over_low = two_sum(1.0, t)
    first, first_low = quotient(u, u_low, over, over_low + t_low)
    return two_sum(2.0 * first, 2.0 * (first_low + t * u * s))


@njit(cache=True, error_model="numpy")
def minus_log1p(e, v):
    """-log(v) - e for v = 1 - e, never negative, without cancellation."""
    high, low = minus_log1p_pair(e, 0.0, v, 0.0)
    return high + low


@njit(cache=True, error_model="numpy")
def deviance(x, mean, difference):
    """x log(x / mean) + mean - x for difference = x - mean, without cancellation (Loader 2000)."""
    if abs(difference) >= 0.5 * (x + mean):
        ratio = x / mean
        return x * (math.log(ratio) if 0.0 < ratio < 1e300 else math.log(x) - math.log(mean)) - difference
    v = difference / (x + mean)
    total, term, j = difference * v, 2.0 * x * v, 1.0
    while True:
        term *= v * v
        j += 2.0
        longer = total + term / j
        if longer == total:
            return total
        total = longer
