"""KL certificates of generalised Gaussian noise, density ~ exp(-abs(x / scale)^shape), whole shapes (Hayes 2020).

kl(u), the divergence of one pixel shifted by u scales, is a polynomial Sum c_k u^k, c_k = C(s, k) Γ((s - k + 1)/s)/Γ(1/s), s - k
even, for even s.  For odd s that polynomial (eq. 14) is only an upper bound: it is linear in u where the truth is quadratic; the
exact form splits each moment at abs(x) = u by regularised incomplete gamma functions, again without cancellation.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, vectorize
from numpy.typing import ArrayLike

from .. import checks
from ..checks import Floats
from ..errors import InvalidArgumentError
from ..numerics.incomplete_gamma import gammainc_scalar, gammaincc_scalar
from . import arguments
from .divergences import least_divergence

MARGIN = 1.0 - 6e-14  # divergences are good to 2e-14: tests/certificates/test_generalized_gaussian.py
LARGEST_SHAPE = 60.0


@njit(cache=True, error_model="numpy")
def _moment(j, s):
    """E abs(Z)^j = Γ((j + 1)/s) / Γ(1/s)."""
    return math.exp(math.lgamma((j + 1.0) / s) - math.lgamma(1.0 / s)) if j > 0 else 1.0


@njit(cache=True, error_model="numpy")
def _binomial(s, k):
    value = 1.0
    for i in range(int(k)):
        value = value * (s - i) / (i + 1.0)
    return value


@njit(cache=True, error_model="numpy")
def _polynomial(u, s):
    """(Sum c_k u^k, its derivative)."""
    value = slope = 0.0
    k = s
    while k >= 1.0:
        c = _binomial(s, k) * _moment(s - k, s)
        value += c * math.pow(u, k)
        slope += c * k * math.pow(u, k - 1.0)
        k -= 2.0
    return value, slope


@njit(cache=True, error_model="numpy")
def _kl(u, s):
    """Exact KL divergence of unit-scale noise shifted by u >= 0."""
    if s % 2.0 == 0.0:
        return _polynomial(u, s)[0]
    if s == 1.0:
        if u < 0.7:  # u²/2 - u³/6 + …, where u + expm1(-u) would cancel
            total, term, n = 0.0, 0.5 * u * u, 3.0
            while abs(term) > 1e-18 * total:
                total += term
                term *= -u / n
                n += 1.0
            return total
        return u + math.expm1(-u)
    x = math.pow(u, s)
    if not x < 1e300:
        return math.inf
    total = 0.0
    for k in range(1, int(s) + 1):
        c = _binomial(s, float(k)) * _moment(s - k, s) * math.pow(u, float(k))
        shape = (s - k + 1.0) / s
        total += c * (gammainc_scalar(shape, x) if k % 2 == 1 else gammaincc_scalar(shape, x))
    return total - _moment(s, s) * gammainc_scalar((s + 1.0) / s, x)


@vectorize(cache=True)
def _kl_many(u, s):
    return _kl(u, s)


@vectorize(cache=True)
def _polynomial_many(u, s):
    return _polynomial(u, s)[0]


@njit(cache=True, error_model="numpy")
def _kl_root(target, s):
    """The largest u with kl(u) <= target, from below: bisection of the logarithm within what the polynomial allows."""
    if not 0.0 < target < math.inf:
        return 0.0 if target == target and target <= 0.0 else math.inf
    low = _polynomial_root(target, s) * (1.0 - 1e-13)  # the polynomial is never below kl
    high = low
    while _kl(high, s) <= target:
        low = high
        high *= 4.0
    for _ in range(120):
        middle = math.sqrt(low * high) if high > 1.5 * low else 0.5 * (low + high)
        if middle <= low or middle >= high:
            break
        if _kl(middle, s) <= target:
            low = middle
        else:
            high = middle
    return low


@njit(cache=True, error_model="numpy")
def _polynomial_root(target, s):
    """The u with Sum c_k u^k = target: Newton from above, monotone because the polynomial is increasing and convex."""
    if not 0.0 < target < math.inf:
        return 0.0 if target == target and target <= 0.0 else math.inf
    u = math.inf
    k = s
    while k >= 1.0:
        c = _binomial(s, k) * _moment(s - k, s)
        u = min(u, math.exp(math.log(target / c) / k))
        k -= 2.0
    for _ in range(100):
        value, slope = _polynomial(u, s)
        step = (value - target) / slope
        if not step > 2e-16 * u:
            break
        u -= step
    return u


@vectorize(cache=True)
def _hayes(p1, q1, p2, s, d):
    if not p1 > p2:
        return 0.0
    return math.pow(d, 1.0 / s) * _polynomial_root(least_divergence(p1, q1, p2, 1.0) / d, s)


@vectorize(cache=True)
def _exact_kl_radius(p1, q1, p2, s, p, d):
    if not p1 > p2:
        return 0.0
    h = least_divergence(p1, q1, p2, 1.0)
    low, high = min(2.0, s), max(2.0, s)
    if p <= low:
        return _kl_root(h, s)
    spread = _kl_root(h / d, s)
    if p >= high:
        return math.pow(d, 1.0 / p) * spread
    return max(math.pow(d, 1.0 / high) * spread, math.pow(d, -(1.0 / low - 1.0 / p)) * _kl_root(h, s))


@vectorize(cache=True)
def _tradeoff(p1, q1, p2, s, eps):
    if not p1 > p2:
        return 0.0
    left = least_divergence(p1, q1, p2, 1.0) * (1.0 - 1e-14) - math.pow(eps, s) * (1.0 + 1e-14)  # they may cancel
    if not left > 0.0:
        return 0.0
    c = _binomial(s, s - 2.0) * _moment(2.0, s)
    return math.pow(left / c, 1.0 / (s - 2.0))


def _shape(value: ArrayLike, least: int = 1) -> Floats:
    shape = checks.counts("shape", value, least)
    return checks.floats("shape", shape, least, LARGEST_SHAPE, f"whole shapes from {least} to {LARGEST_SHAPE:.0f}")


@checks.public
def generalized_gaussian_kl(delta: ArrayLike, *, scale: ArrayLike, shape: ArrayLike) -> Floats:
    """Return the exact KL divergence between one-dimensional generalised Gaussian noise and its shift by `delta`.

    Parameters
    ----------
    delta : array_like
        Shift, in the units of `scale`; its sign does not matter.
    scale, shape : array_like
        Density ~ exp(-abs(x / scale)^shape); whole shapes from 1 to 60.

    Returns
    -------
    float64 array, relative error at most 2e-14 (not rounded to a side).

    Notes
    -----
    Hayes 2020, eq. (14), made exact for odd shapes, where the printed polynomial is an upper bound (`…_kl_bound`).

    Examples
    --------
    >>> float(generalized_gaussian_kl(0.01, scale=1.0, shape=3)).__round__(9)
    0.000151643
    """
    delta = checks.floats("delta", delta, -1e100, 1e100, "finite shifts")
    delta, scale, shape = checks.together(delta=delta, scale=arguments.scale("scale", scale), shape=_shape(shape))
    return np.asarray(_kl_many(np.abs(delta) / scale, shape))


@checks.public
def generalized_gaussian_kl_bound(delta: ArrayLike, *, scale: ArrayLike, shape: ArrayLike) -> Floats:
    """Return the published polynomial (Hayes 2020, eq. 14): the KL divergence for even shapes, an upper bound for odd ones."""
    delta = checks.floats("delta", delta, -1e100, 1e100, "finite shifts")
    delta, scale, shape = checks.together(delta=delta, scale=arguments.scale("scale", scale), shape=_shape(shape))
    return np.asarray(_polynomial_many(np.abs(delta) / scale, shape))


@checks.public
def generalized_gaussian_hayes(
    p_lower: ArrayLike,
    *,
    scale: ArrayLike,
    shape: ArrayLike,
    dim: ArrayLike,
    p_upper: ArrayLike | None = None,
    q_upper: ArrayLike | None = None,
) -> Floats:
    """Certify the published radius in the norm of order `shape` (Hayes 2020, eq. 20 and 21).  It is sound, and loose for odd
    shapes.

    The root u of Sum c_k u^k = h / dim gives R = scale dim^(1/shape) u.  It is rounded down by 6e-14.
    """
    p, q, other, scale, shape, dim = arguments.classes(
        p_lower, p_upper, q_upper, scale=arguments.scale("scale", scale), shape=_shape(shape), dim=arguments.dimension("dim", dim)
    )
    return arguments.certified(_hayes(p, q, other, shape, dim) * scale * MARGIN, p > other)


@checks.public
def generalized_gaussian_kl_lp(
    p_lower: ArrayLike,
    *,
    scale: ArrayLike,
    shape: ArrayLike,
    order: ArrayLike,
    dim: ArrayLike,
    p_upper: ArrayLike | None = None,
    q_upper: ArrayLike | None = None,
) -> Floats:
    """Certify the lp radius from the exact KL divergence of generalised Gaussian noise, for any p.

    For order >= max(2, shape) the worst perturbation is the same in every pixel, and for order <= min(2, shape) it is one
    pixel.  Between, it is the better of the two by norm inequalities.  It is beyond the papers, and 40 times
    `generalized_gaussian_hayes` at shape 3, order 3, dim 3072.  It is rounded down by 6e-14.  Errors are as in
    `generalized_gaussian_l1`; shapes are whole numbers.
    """
    p, q, other, scale, shape, order, dim = arguments.classes(
        p_lower,
        p_upper,
        q_upper,
        scale=arguments.scale("scale", scale),
        shape=_shape(shape),
        order=arguments.order(order),
        dim=arguments.dimension("dim", dim),
    )
    return arguments.certified(_exact_kl_radius(p, q, other, shape, order, dim) * scale * MARGIN, p > other)


@checks.public
def generalized_gaussian_tradeoff(
    p_lower: ArrayLike,
    *,
    scale: ArrayLike,
    shape: ArrayLike,
    eps_high: ArrayLike,
    p_upper: ArrayLike | None = None,
    q_upper: ArrayLike | None = None,
) -> Floats:
    """Return eps_low such that all delta with ||delta||_s < eps_high *and* ||delta||_(s-2) < eps_low are certified.

    Parameters
    ----------
    p_lower, scale, p_upper, q_upper : array_like
        As in `generalized_gaussian_l1`.
    shape : array_like
        s, 3 or 4.
    eps_high : array_like
        Bound of the norm of order `shape`, 0 and more.

    Returns
    -------
    float64 array, rounded down; 0 where eps_high alone spends the divergence.

    Notes
    -----
    Hayes 2020, eq. (26) and (27).  The pair certifies the *intersection* of two balls.  Reading eps_high as an lp radius, as the
    paper's figure 4 does, overclaims (docs/errata.md); for an lp radius use `generalized_gaussian_kl_lp`.
    """
    shape = _shape(shape, 3)
    if (shape > 4).any():
        index = np.unravel_index(int(np.argmax(shape > 4)), shape.shape)
        raise InvalidArgumentError(
            f"shape{checks.at(index)}={shape[index]:.0f} is not allowed: the trade-off is for shapes 3 and 4."
        )
    eps = checks.floats("eps_high", eps_high, 0.0, 1e100, "norms of 0 and more")
    p, q, other, scale, shape, eps = arguments.classes(
        p_lower, p_upper, q_upper, scale=arguments.scale("scale", scale), shape=shape, eps_high=eps
    )
    inside = (eps / scale) * (1.0 + 4e-16)
    return arguments.certified(_tradeoff(p, q, other, shape, inside) * scale * MARGIN, p > other)
