"""Exact sums and products of doubles, and the differences in which nothing may cancel."""

from __future__ import annotations

import math

from numba import njit

from . import caching  # noqa: F401


@njit(cache=True, error_model="numpy")
def minus_product(x, a, b):
    """x - a b with one rounding error of the result's size (Dekker's exact product)."""
    product = a * b
    t = 134217729.0 * a
    a_high = t - (t - a)
    t = 134217729.0 * b
    b_high = t - (t - b)
    a_low, b_low = a - a_high, b - b_high
    rest = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
    return (x - product) - rest


@njit(cache=True, error_model="numpy")
def mean_minus_x(df, nc, x):
    """df + nc - x with one rounding error of the result's size (Knuth's exact sums)."""
    large, small = max(df, nc), min(df, nc)
    first = large - x
    part = first - large
    low = (large - (first - part)) + (-x - part)
    total = first + small
    part = total - first
    return total + (low + ((first - (total - part)) + (small - part)))


@njit(cache=True, error_model="numpy")
def minus_log1p(e, one_minus_e):
    """-log(1 - e) - e, never negative, without cancellation; 1 - e is passed because it may be known better than e.

    With t = e / (2 - e): -log(1 - e) = 2 atanh t and e = 2 t / (1 + t).
    """
    t = e / (2.0 - e)
    if not abs(t) < 0.35:
        return -math.log(one_minus_e) - e
    u = t * t
    if u < 1e-3:
        s = 1 / 3 + u * (1 / 5 + u * (1 / 7 + u * (1 / 9 + u * (1 / 11 + u / 13))))
    else:
        s = 0.0
        for j in range(20, -1, -1):
            s = s * u + 1.0 / (2 * j + 3)
    return 2.0 * u / (1.0 + t) + 2.0 * t * u * s


@njit(cache=True, error_model="numpy")
def deviance(x, mean, difference):
    """x log(x / mean) + mean - x for difference = x - mean, without cancellation (Loader 2000)."""
    if abs(difference) >= 0.5 * (x + mean):
        return x * math.log(x / mean) - difference
    v = difference / (x + mean)
    total, term, j = difference * v, 2.0 * x * v, 1.0
    while True:
        term *= v * v
        j += 2.0
        longer = total + term / j
        if longer == total:
            return total
        total = longer
