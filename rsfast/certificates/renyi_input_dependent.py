"""Rényi certificates between Gaussians of different noise levels (Súkeník et al. 2022, Appendix B.1).  Sound, not tight.

The exact radius of input-dependent smoothing is `input_dependent_l2`; these say what divergences give.  With
u = sigma0²/sigma1² - 1, v = 1 - sigma1²/sigma0² and beta = 1 - order the price of unequal levels, per dimension, is
n = (log1p(u) + log1p(-beta v)/beta)/2, and near v = 0, where it cancels, Sum_{k>=2} v^k (1 - beta^(k-1))/(2 k).
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, vectorize
from numpy.typing import ArrayLike

from .. import checks
from ..checks import Floats
from ..errors import InvalidArgumentError
from . import arguments
from .divergences import GOLDEN, least_divergence

MARGIN = 1.0 - 2e-13


@njit(cache=True, error_model="numpy")
def _price(order, sigma1, sigma0):
    """n: the divergence per dimension of equal centres."""
    gap = (sigma0 - sigma1) * (sigma0 + sigma1)
    u, v, beta = gap / (sigma1 * sigma1), gap / (sigma0 * sigma0), 1.0 - order
    if abs(v) * max(1.0, abs(beta)) < 1e-2:
        total, power, beta_power = 0.0, v, 1.0
        for k in range(2, 14):
            power *= v
            beta_power *= beta
            total += power * (1.0 - beta_power) / k
        return 0.5 * total
    second = -v if beta == 0.0 else math.log1p(-beta * v) / beta
    return 0.5 * (math.log1p(u) + second)


@njit(cache=True, error_model="numpy")
def _variance(order, sigma1, sigma0):
    return sigma1 * sigma1 + order * (sigma0 - sigma1) * (sigma0 + sigma1)


@vectorize(cache=True)
def _divergence(order, distance, ratio, dim):
    """Everything in units of sigma0: ratio = sigma1 / sigma0."""
    variance = _variance(order, ratio, 1.0)
    if not variance > 0.0:
        return math.inf
    return order * distance * distance / (2.0 * variance) + dim * _price(order, ratio, 1.0)


@njit(cache=True, error_model="numpy")
def _square(p1, q1, p2, ratio, dim, order):
    """(R / sigma0)² with both parts on their safe side: what rounding does to them grows as the order falls."""
    square = ratio * ratio
    variance = _variance(order, ratio, 1.0) - 1e-15 * square  # it cancels near the largest order
    if not variance > 0.0:
        return -math.inf
    small = max(1.0, 1.0 / order)
    h = least_divergence(p1, q1, p2, order) * (1.0 - 2e-15 * small)
    price = _price(order, ratio, 1.0) * (1.0 + 3e-14 * small * max(1.0, square / variance))
    return 2.0 * variance / order * (h - dim * price)


@vectorize(cache=True)
def _fixed(p1, q1, p2, ratio, dim, order):
    return math.sqrt(max(_square(p1, q1, p2, ratio, dim, order), 0.0)) if p1 > p2 else 0.0


@vectorize(cache=True)
def _best(p1, q1, p2, ratio, dim):
    if not p1 > p2:
        return 0.0
    top = 1e4
    if ratio > 1.0:
        top = min(top, 1.0 / ((1.0 - 1.0 / ratio) * (1.0 + 1.0 / ratio)) * (1.0 - 1e-9))
    low, high = math.log(min(1e-3, 0.5 * top)), math.log(top)
    best, at, steps = -math.inf, 0, 200
    for i in range(steps + 1):
        value = _square(p1, q1, p2, ratio, dim, math.exp(low + (high - low) * i / steps))
        if value > best:
            best, at = value, i
    a, b = low + (high - low) * max(at - 1, 0) / steps, low + (high - low) * min(at + 1, steps) / steps
    for _ in range(60):
        c, d = b - GOLDEN * (b - a), a + GOLDEN * (b - a)
        f_c = _square(p1, q1, p2, ratio, dim, math.exp(c))
        f_d = _square(p1, q1, p2, ratio, dim, math.exp(d))
        best = max(best, f_c, f_d)
        if f_c > f_d:
            b = d
        else:
            a = c
    return math.sqrt(max(best, 0.0))


def _ratio(sigma0: Floats, sigma1: Floats) -> Floats:
    with np.errstate(over="ignore", under="ignore"):
        return sigma1 / sigma0


def _orders(order: Floats, ratio: Floats) -> None:
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        top = np.where(ratio > 1.0, 1.0 / ((1.0 - 1.0 / ratio) * (1.0 + 1.0 / ratio)), np.inf)
    bad = order >= top
    if bad.any():
        index = np.unravel_index(int(np.argmax(bad)), bad.shape)
        raise InvalidArgumentError(
            f"order{checks.at(index)}={order[index]} is not allowed: give an order below "
            f"sigma1²/(sigma1² - sigma0²) = {top[index]:.6g}, where the divergence is finite."
        )


def renyi_gaussian_divergence(
    order: ArrayLike, *, distance: ArrayLike, sigma1: ArrayLike, sigma0: ArrayLike, dim: ArrayLike
) -> Floats:
    """Rényi divergence D_order(N(x1, sigma1² I) || N(x0, sigma0² I)) at ||x1 - x0|| = distance (Lemmas 10 to 12).

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
    float64 array, relative error at most 3e-14 max(1, 1/order) (not rounded to a side).

    Raises
    ------
    InvalidArgumentError
        Arguments out of range, orders at which the divergence is infinite; names argument and index.
    """
    order, distance, sigma1, sigma0, dim = checks.together(
        order=checks.floats("order", order, 1e-6, 1e6, "orders from 1e-6 to 1e6"),
        distance=checks.floats("distance", distance, 0.0, 1e100, "distances of 0 and more"),
        sigma1=arguments.scale("sigma1", sigma1),
        sigma0=arguments.scale("sigma0", sigma0),
        dim=arguments.dimension("dim", dim),
    )
    ratio = _ratio(sigma0, sigma1)
    _orders(order, ratio)
    with np.errstate(all="ignore"):
        return np.asarray(_divergence(order, distance / sigma0, ratio, dim))


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
    """l2 distance within which x1, smoothed with sigma1, is certified from x0, smoothed with sigma0, by one order (Theorem 14).

    sqrt((2 s / order) (h - dim n)), s = sigma1² + order (sigma0² - sigma1²); 0 where that is negative.  Rounded down by 2e-13,
    with h taken down by 2e-15 and n up by 3e-14, both times max(1, 1/order), and n also times sigma1² / s where that exceeds 1.
    Arguments and errors as `renyi_gaussian_divergence` and `cohen_l2`.
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
    ratio = _ratio(sigma0, sigma1)
    _orders(order, ratio)
    with np.errstate(all="ignore"):
        return arguments.certified(_fixed(p, q, other, ratio, dim, order) * sigma0 * MARGIN, p > other)


def input_dependent_renyi_l2(
    p_lower: ArrayLike,
    *,
    sigma0: ArrayLike,
    sigma1: ArrayLike,
    dim: ArrayLike,
    p_upper: ArrayLike | None = None,
    q_upper: ArrayLike | None = None,
) -> Floats:
    """`input_dependent_renyi_fixed` at its best order (Theorem 14); orders below 1 can win."""
    p, q, other, sigma0, sigma1, dim = arguments.classes(
        p_lower,
        p_upper,
        q_upper,
        sigma0=arguments.scale("sigma0", sigma0),
        sigma1=arguments.scale("sigma1", sigma1),
        dim=arguments.dimension("dim", dim),
    )
    with np.errstate(all="ignore"):
        return arguments.certified(_best(p, q, other, _ratio(sigma0, sigma1), dim) * sigma0 * MARGIN, p > other)
