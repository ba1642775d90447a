"""Rényi certificates between Gaussians of different noise levels (Súkeník et al. 2022, Appendix B.1).  Sound, not tight.

The exact radius of input-dependent smoothing is `input_dependent_l2`; these say what divergences give.  With
u = sigma0²/sigma1² - 1, v = 1 - sigma1²/sigma0² and beta = 1 - order the price of unequal levels, per dimension, is
n = (log1p(u) + log1p(-beta v)/beta)/2, and near v = 0, where it cancels, Sum_{k>=2} v^k (1 - beta^(k-1))/(2 k).

The variance s = sigma1² + order (sigma0² - sigma1²) vanishes at the largest order; it is formed on pairs of doubles, so that what
is left of it next to that order is right, and with it its logarithm and everything that is divided by it.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, vectorize
from numpy.typing import ArrayLike

from .. import checks
from ..checks import Floats
from ..errors import InvalidArgumentError
from ..numerics.compensated import two_product, two_sum
from . import arguments
from .divergences import GOLDEN, least_divergence

MARGIN = 1.0 - 2e-13


@njit(cache=True, error_model="numpy")
def _variance(order, s1, s0):
    """s1² + order (s0² - s1²), in the one of its forms whose terms cancel less."""
    square, square_low = two_product(s1, s1)
    if s1 < 2.0 * s0:
        below, below_low = two_sum(s0, -s1)
        above, above_low = two_sum(s0, s1)
        gap, gap_low = two_product(below, above)
        gap_low += below * above_low + below_low * above
        one, one_low = square, square_low
        two, two_low = two_product(order, gap)
        two_low += order * gap_low
    else:
        rest, rest_low = two_sum(1.0, -order)
        one, one_low = two_product(rest, square)
        one_low += rest * square_low + rest_low * square
        small, small_low = two_product(s0, s0)
        two, two_low = two_product(order, small)
        two_low += order * small_low
    total, low = two_sum(one, two)
    return total + (low + one_low + two_low)


@njit(cache=True, error_model="numpy")
def _price(order, s1, s0, variance):
    """n: the divergence per dimension of equal centres."""
    gap = (s0 - s1) * (s0 + s1)
    u, v, beta = gap / (s1 * s1), gap / (s0 * s0), 1.0 - order
    if abs(v) * max(1.0, abs(beta)) < 0.05:
        total, power, beta_power = 0.0, v, 1.0
        for k in range(2, 17):
            power *= v
            beta_power *= beta
            total += power * (1.0 - beta_power) / k
        return 0.5 * total
    log_ratio = math.log1p(u) if abs(u) < 0.5 else 2.0 * math.log(s0 / s1)
    log_variance = math.log1p(-beta * v) if abs(beta * v) < 0.5 else math.log(variance / (s0 * s0))
    return 0.5 * (log_ratio + (-v if beta == 0.0 else log_variance / beta))


@vectorize(cache=True)
def _variances(order, s1, s0):
    return _variance(order, s1, s0)


@vectorize(cache=True)
def _divergence(order, distance, s1, s0, dim):
    variance = _variance(order, s1, s0)
    return 0.5 * order * (distance / math.sqrt(variance)) ** 2 + dim * _price(order, s1, s0, variance)


@njit(cache=True, error_model="numpy")
def _square(p1, q1, p2, s1, s0, dim, order):
    """R² with both parts on their safe side: what rounding does to them grows as the order falls."""
    variance = _variance(order, s1, s0)
    if not variance > 0.0:
        return -math.inf
    small = max(1.0, 1.0 / order)
    h = least_divergence(p1, q1, p2, order) * (1.0 - 2e-15 * small)
    price = _price(order, s1, s0, variance) * (1.0 + 3e-14 * small)
    return 2.0 * variance * (1.0 - 3e-14) / order * (h - dim * price)


@vectorize(cache=True)
def _fixed(p1, q1, p2, s1, s0, dim, order):
    return math.sqrt(max(_square(p1, q1, p2, s1, s0, dim, order), 0.0)) if p1 > p2 else 0.0


@vectorize(cache=True)
def _best(p1, q1, p2, s1, s0, dim):
    if not p1 > p2:
        return 0.0
    top = 1e4
    if s1 > s0:
        top = min(top, s1 * s1 / ((s1 - s0) * (s1 + s0)) * (1.0 - 1e-9))
    low, high = math.log(min(1e-3, 0.5 * top)), math.log(top)
    best, at, steps = -math.inf, 0, 200
    for i in range(steps + 1):
        value = _square(p1, q1, p2, s1, s0, dim, math.exp(low + (high - low) * i / steps))
        if value > best:
            best, at = value, i
    a, b = low + (high - low) * max(at - 1, 0) / steps, low + (high - low) * min(at + 1, steps) / steps
    for _ in range(60):
        c, d = b - GOLDEN * (b - a), a + GOLDEN * (b - a)
        f_c = _square(p1, q1, p2, s1, s0, dim, math.exp(c))
        f_d = _square(p1, q1, p2, s1, s0, dim, math.exp(d))
        best = max(best, f_c, f_d)
        if f_c > f_d:
            b = d
        else:
            a = c
    return math.sqrt(max(best, 0.0))


def _levels(sigma1: Floats, sigma0: Floats) -> tuple[Floats, Floats, Floats]:
    """(s1, s0, power): both levels in units of 2^power, the larger one between 1/2 and 1; exact."""
    bad = (sigma1 > 1e100 * sigma0) | (sigma0 > 1e100 * sigma1)
    if bad.any():
        index = np.unravel_index(int(np.argmax(bad)), bad.shape)
        raise InvalidArgumentError(
            f"sigma1{checks.at(index)}={sigma1[index]} and sigma0={sigma0[index]} are too far apart: give levels that differ "
            "by a factor of at most 1e100."
        )
    power = np.frexp(np.maximum(sigma0, sigma1))[1]
    return np.ldexp(sigma1, -power), np.ldexp(sigma0, -power), power


def _orders(order: Floats, s1: Floats, s0: Floats) -> None:
    """Raise where the divergence is infinite, and within the rounding that a caller's own quotient has."""
    bad = (s1 > s0) & (order > 1.0) & ~(_variances(order, s1, s0) > 1e-15 * s1 * s1)
    if bad.any():
        index = np.unravel_index(int(np.argmax(bad)), bad.shape)
        top = s1[index] ** 2 / ((s1[index] - s0[index]) * (s1[index] + s0[index]))
        raise InvalidArgumentError(
            f"order{checks.at(index)}={order[index]} is not allowed: give an order below "
            f"sigma1²/(sigma1² - sigma0²) = {top:.6g}, where the divergence is finite."
        )


@checks.public
def renyi_gaussian_divergence(
    order: ArrayLike, *, distance: ArrayLike, sigma1: ArrayLike, sigma0: ArrayLike, dim: ArrayLike
) -> Floats:
    """Return the Rényi divergence D_order(N(x1, sigma1² I) || N(x0, sigma0² I)) at ||x1 - x0|| = distance (Lemmas 10 to 12).

    Parameters
    ----------
    order : array_like
        Positive; 1 is KL by continuity; below sigma1²/(sigma1² - sigma0²) where sigma1 > sigma0.
    distance, sigma1, sigma0 : array_like
        In the same units; distance 0 and more, noise levels positive.
    dim : array_like of int
        Number of input dimensions.

    Returns
    -------
    float64 array, relative error at most 3e-14 max(1, 1/order) up to 1e-15 below the largest order (not rounded to a side).

    Raises
    ------
    InvalidArgumentError
        Arguments out of range, noise levels that differ by more than a factor of 1e100, orders at which the divergence is
        infinite, or within 1e-15 of that; names argument and index.
    """
    order, distance, sigma1, sigma0, dim = checks.together(
        order=checks.floats("order", order, 1e-6, 1e6, "orders from 1e-6 to 1e6"),
        distance=checks.floats("distance", distance, 0.0, 1e100, "distances of 0 and more"),
        sigma1=arguments.scale("sigma1", sigma1),
        sigma0=arguments.scale("sigma0", sigma0),
        dim=arguments.dimension("dim", dim),
    )
    s1, s0, power = _levels(sigma1, sigma0)
    _orders(order, s1, s0)
    return np.asarray(_divergence(order, np.ldexp(distance, -power), s1, s0, dim))


@checks.public
def input_dependent_renyi_fixed(
    p_lower: ArrayLike,
    *,
    sigma0: ArrayLike,
    sigma1: ArrayLike,
    dim: ArrayLike,
    order: ArrayLike,
    p_upper: ArrayLike | None = None,
    q_upper: ArrayLike | None = None,
) -> Floats:
    """Certify the l2 distance within which x1, smoothed with sigma1, is certified from x0, smoothed with sigma0, by one order
    (Theorem 14).

    It is sqrt((2 s / order) (h - dim n)) with s = sigma1² + order (sigma0² - sigma1²); it is 0 where that is negative.  It is
    rounded down by 2e-13, with h taken down by 2e-15 and n up by 3e-14, both times max(1, 1/order), and s down by
    3e-14.  Arguments and errors are as in `renyi_gaussian_divergence` and `cohen_l2`.
    """
    p, q, other, sigma0, sigma1, dim, order = arguments.classes(
        p_lower,
        p_upper,
        q_upper,
        sigma0=arguments.scale("sigma0", sigma0),
        sigma1=arguments.scale("sigma1", sigma1),
        dim=arguments.dimension("dim", dim),
        order=checks.floats("order", order, 1e-6, 1e6, "orders from 1e-6 to 1e6"),
    )
    s1, s0, power = _levels(sigma1, sigma0)
    _orders(order, s1, s0)
    return arguments.certified(np.ldexp(_fixed(p, q, other, s1, s0, dim, order) * MARGIN, power), p > other)


@checks.public
def input_dependent_renyi_l2(
    p_lower: ArrayLike,
    *,
    sigma0: ArrayLike,
    sigma1: ArrayLike,
    dim: ArrayLike,
    p_upper: ArrayLike | None = None,
    q_upper: ArrayLike | None = None,
) -> Floats:
    """Certify by `input_dependent_renyi_fixed` at its best order (Theorem 14); orders below 1 can win."""
    p, q, other, sigma0, sigma1, dim = arguments.classes(
        p_lower,
        p_upper,
        q_upper,
        sigma0=arguments.scale("sigma0", sigma0),
        sigma1=arguments.scale("sigma1", sigma1),
        dim=arguments.dimension("dim", dim),
    )
    s1, s0, power = _levels(sigma1, sigma0)
    return arguments.certified(np.ldexp(_best(p, q, other, s1, s0, dim) * MARGIN, power), p > other)
