"""Certificates of Gaussian smoothing from divergences: Rényi of every order, KL, chi-square, Hellinger, total variation, PixelDP.

All are sound and none is tight: `cohen_l2` is never smaller.  They are here because the papers state them, because limits and
comparisons need them, and because a divergence bound also holds for mechanisms that are not Gaussian.

Why h keeps its digits.  With t = log(p1/p2)/2, s = 1 - alpha and S = p1 + p2 the power mean is M_s = (S/2) e^y cosh-ratio, so
h = -log(1 - 2 M_1 + 2 M_s) = -log1p(S expm1(y)), y = logcosh(s t)/s - logcosh(t), and where the argument of log1p nears -1,
-log(r + S e^y) with r = 1 - p1 - p2 formed from the failure probability.  For large t the two terms t cancel and are left out.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, vectorize
from numpy.typing import ArrayLike

from .. import checks
from ..checks import Floats
from ..numerics.normal import ndtri_centred_scalar
from . import arguments

LOG_2 = 0.6931471805599453
MARGIN = 1.0 - 2e-14
GOLDEN = 0.6180339887498949
SMALLEST = 1e-280  # divergences below have lost digits to the end of the range of doubles: they certify nothing


@njit(cache=True, error_model="numpy")
def _logcosh(x):
    x = abs(x)
    if x > 0.7:
        return x + math.log1p(math.exp(-2.0 * x)) - LOG_2
    half = math.sinh(0.5 * x)
    return math.log1p(2.0 * half * half)


@njit(cache=True, error_model="numpy")
def _log_mean_ratio(t, s):
    """log(M_s / M_1) = logcosh(s t)/s - logcosh(t)."""
    if s == 0.0:
        return -_logcosh(t)
    st = abs(s) * t
    if s > 0.0 and st > 0.7 and t > 0.7:
        return (math.log1p(math.exp(-2.0 * st)) - LOG_2) / s - (math.log1p(math.exp(-2.0 * t)) - LOG_2)
    return _logcosh(st) / s - _logcosh(t)


@njit(cache=True, error_model="numpy")
def half_log_ratio(p1, p2):
    """Return log(p1 / p2) / 2 for p1 >= p2 > 0."""
    if p1 < 2.0 * p2:
        return 0.5 * math.log1p((p1 - p2) / p2)
    return 0.5 * (math.log(p1) - math.log(p2))


@njit(cache=True, error_model="numpy")
def _divergence(p1, q1, p2, order):
    s, total = 1.0 - order, p1 + p2
    rest = max(q1 - p2, 0.0)
    if p2 == 0.0:
        if order >= 1.0:
            return -math.log(q1)
        y = -LOG_2 * order / s
    else:
        y = _log_mean_ratio(half_log_ratio(p1, p2), s)
    v = total * math.expm1(y)
    if v > -0.5:
        return -math.log1p(v)
    log_mean = math.log(total) + y  # its exponential may lie below the range of doubles
    if log_mean > -600.0:
        return -math.log(rest + math.exp(log_mean))
    if rest == 0.0:
        return -log_mean
    log_rest = math.log(rest)
    return -max(log_rest, log_mean) - math.log1p(math.exp(-abs(log_rest - log_mean)))


@njit(cache=True, error_model="numpy")
def least_divergence(p1, q1, p2, order):
    """Return h, the least Rényi divergence of that order from (p1, p2, …) to any distribution with another most likely class."""
    h = _divergence(p1, q1, p2, order)
    return h if h > SMALLEST else 0.0


@njit(cache=True, error_model="numpy")
def _renyi(p1, q1, p2, order):
    """R / sigma = sqrt(2 h / order)."""
    h = least_divergence(p1, q1, p2, order) * (1.0 - 1e-15 / order)  # its rounding grows as the order falls
    return math.sqrt(max(2.0 * h / order, 0.0))


@vectorize(cache=True)
def _renyi_fixed(p1, q1, p2, order):
    return _renyi(p1, q1, p2, order) if p1 > p2 else 0.0


@vectorize(cache=True)
def _renyi_best(p1, q1, p2, least):
    """Largest over orders from `least` to 20: a grid in the logarithm, then golden section; any order tried is sound."""
    if not p1 > p2:
        return 0.0
    low, high = math.log(least), math.log(20.0)
    step = (high - low) / 40.0
    best, at = -1.0, 0
    for i in range(41):
        value = _renyi(p1, q1, p2, math.exp(low + i * step))
        if value > best:
            best, at = value, i
    if best == math.inf:
        return best
    a, b = low + max(at - 1, 0) * step, low + min(at + 1, 40) * step
    c, d = b - GOLDEN * (b - a), a + GOLDEN * (b - a)
    f_c, f_d = _renyi(p1, q1, p2, math.exp(c)), _renyi(p1, q1, p2, math.exp(d))
    while b - a > 1e-8:
        best = max(best, f_c, f_d)
        if f_c > f_d:
            b, d, f_d = d, c, f_c
            c = b - GOLDEN * (b - a)
            f_c = _renyi(p1, q1, p2, math.exp(c))
        else:
            a, c, f_c = c, d, f_d
            d = a + GOLDEN * (b - a)
            f_d = _renyi(p1, q1, p2, math.exp(d))
    return max(best, f_c, f_d)


@vectorize(cache=True)
def _chi2(p1, q1, p2):
    if not p1 > p2:
        return 0.0
    total, gap = p1 + p2, p1 - p2
    share = gap / total * gap
    if share < SMALLEST:
        return 0.0
    log_left = math.log1p(-share) if share < 0.5 else math.log(max(q1 - p2, 0.0) + 4.0 * p1 * p2 / total)
    return math.sqrt(-log_left)


@vectorize(cache=True)
def _hellinger(p1, p2):
    if not p1 > p2:
        return 0.0
    w = (p1 - p2) / (math.sqrt(p1) + math.sqrt(p2))
    if w * w < SMALLEST:
        return 0.0
    return math.sqrt(-4.0 * math.log1p(-0.5 * w * w))


@vectorize(cache=True)
def _tv(p1, p2):
    return 2.0 * ndtri_centred_scalar(0.25 * (p1 - p2)) if p1 > p2 else 0.0


@njit(cache=True, error_model="numpy")
def _pixeldp(p1, ratio, beta):
    """R / sigma of the (beta, delta) Gaussian mechanism whose delta the gap p1 - e^(2 beta) p2 just pays for."""
    gap = -p1 * math.expm1(2.0 * beta - ratio)
    inside = 0.22314355131420976 + math.log1p(math.exp(beta)) - math.log(gap)
    return beta / math.sqrt(2.0 * inside) if gap > 0.0 else 0.0


@vectorize(cache=True)
def _lecuyer(p1, p2):
    if not p1 > p2:
        return 0.0
    ratio = 2.0 * half_log_ratio(p1, p2) if p2 > 0.0 else 1e300
    top = min(1.0, 0.5 * ratio)
    best, at = 0.0, 0
    for i in range(1, 65):
        value = _pixeldp(p1, ratio, top * i / 64.0)
        if value > best:
            best, at = value, i
    a, b = top * max(at - 1, 0) / 64.0, top * min(at + 1, 64) / 64.0
    for _ in range(60):
        c, d = b - GOLDEN * (b - a), a + GOLDEN * (b - a)
        f_c, f_d = _pixeldp(p1, ratio, c), _pixeldp(p1, ratio, d)
        best = max(best, f_c, f_d)
        if f_c > f_d:
            b = d
        else:
            a = c
    return best


def _radius(kernel, p_lower, sigma, p_upper, q_upper, uses_q: bool = True, **more: Floats) -> Floats:  # type: ignore[no-untyped-def]
    p, q, other, sigma, *rest = arguments.classes(p_lower, p_upper, q_upper, sigma=arguments.scale("sigma", sigma), **more)
    value = kernel(p, q, other, *rest) if uses_q else kernel(p, other, *rest)
    return arguments.certified(value * sigma * MARGIN, p > other)


@checks.public
def renyi_l2_fixed(
    p_lower: ArrayLike,
    *,
    sigma: ArrayLike,
    order: ArrayLike,
    p_upper: ArrayLike | None = None,
    q_upper: ArrayLike | None = None,
) -> Floats:
    """Certify an l2 radius of Gaussian smoothing by the Rényi divergence of one order (Li et al. 2019, Lemma 1, Theorem 2).

    Parameters
    ----------
    p_lower, sigma, p_upper, q_upper : array_like
        As in `cohen_l2`.
    order : array_like
        Order of the divergence, positive and finite: 1/2 is Bhattacharyya's and Hellinger's, 1 KL, 2 chi-square.

    Returns
    -------
    float64 array
        sigma sqrt(2 h / order), rounded down by 2e-14 + 5e-16 / order; 0 where p_lower <= p_upper.  Sound for every order, not
        tight.

    Raises
    ------
    InvalidArgumentError
        Probabilities outside [0, 1], sigma or order not positive, shapes that do not broadcast; names argument and index.

    Examples
    --------
    >>> float(renyi_l2_fixed(0.99, sigma=0.5, order=1.0)).__round__(6)
    0.898461
    """
    order = checks.floats("order", order, 1e-6, 1e6, "orders from 1e-6 to 1e6")
    return _radius(_renyi_fixed, p_lower, sigma, p_upper, q_upper, order=order)


@checks.public
def renyi_l2(
    p_lower: ArrayLike, *, sigma: ArrayLike, p_upper: ArrayLike | None = None, q_upper: ArrayLike | None = None
) -> Floats:
    """Certify by `renyi_l2_fixed` at its best order above 1, the limit 1, which is KL, included (Li et al. 2019)."""
    return _radius(_renyi_best, p_lower, sigma, p_upper, q_upper, least_order=np.asarray(1.0))


@checks.public
def renyi_l2_all(
    p_lower: ArrayLike, *, sigma: ArrayLike, p_upper: ArrayLike | None = None, q_upper: ArrayLike | None = None
) -> Floats:
    """Certify by `renyi_l2_fixed` at its best order of all; orders below 1 win where p_upper is far below 1 - p_lower."""
    return _radius(_renyi_best, p_lower, sigma, p_upper, q_upper, least_order=np.asarray(0.2))


@checks.public
def kl_l2(p_lower: ArrayLike, *, sigma: ArrayLike, p_upper: ArrayLike | None = None, q_upper: ArrayLike | None = None) -> Floats:
    """Certify by KL: sigma sqrt(-2 log(1 - (sqrt p1 - sqrt p2)²)) (Hayes 2020, Table 1, with the Gaussian KL d²/(2 sigma²))."""
    return _radius(_renyi_fixed, p_lower, sigma, p_upper, q_upper, order=np.asarray(1.0))


@checks.public
def chi2_l2(
    p_lower: ArrayLike, *, sigma: ArrayLike, p_upper: ArrayLike | None = None, q_upper: ArrayLike | None = None
) -> Floats:
    """Certify by chi-square: sigma sqrt(-log(1 - (p1 - p2)²/(p1 + p2))) (Hayes 2020, Table 1)."""
    return _radius(_chi2, p_lower, sigma, p_upper, q_upper)


@checks.public
def hellinger_l2(
    p_lower: ArrayLike, *, sigma: ArrayLike, p_upper: ArrayLike | None = None, q_upper: ArrayLike | None = None
) -> Floats:
    """Certify by Hellinger: sigma sqrt(-4 log(1 - (sqrt p1 - sqrt p2)²/2)), at most 1.6651 sigma (Hayes 2020, Table 1)."""
    return _radius(_hellinger, p_lower, sigma, p_upper, q_upper, uses_q=False)


@checks.public
def bhattacharyya_l2(
    p_lower: ArrayLike, *, sigma: ArrayLike, p_upper: ArrayLike | None = None, q_upper: ArrayLike | None = None
) -> Floats:
    """Certify by Bhattacharyya, which gives the same radius as `hellinger_l2` (Hayes 2020, Table 1)."""
    return hellinger_l2(p_lower, sigma=sigma, p_upper=p_upper, q_upper=q_upper)


@checks.public
def tv_l2(p_lower: ArrayLike, *, sigma: ArrayLike, p_upper: ArrayLike | None = None, q_upper: ArrayLike | None = None) -> Floats:
    """Certify by total variation: 2 sigma Phi^-1(1/2 + (p1 - p2)/4), at most 1.349 sigma.

    Hayes 2020, Table 1, prints twice the gap under Phi^-1, which exceeds the tight radius (docs/errata.md).
    """
    return _radius(_tv, p_lower, sigma, p_upper, q_upper, uses_q=False)


@checks.public
def lecuyer_l2(
    p_lower: ArrayLike, *, sigma: ArrayLike, p_upper: ArrayLike | None = None, q_upper: ArrayLike | None = None
) -> Floats:
    """Certify PixelDP's l2 radius (Lécuyer et al. 2019) at the best split of its budget, at most 0.627 of `cohen_l2` for two
    classes.

    The privacy parameter is kept at 1 and below, where the classical Gaussian mechanism is proved; at 4 it is false.
    """
    return _radius(_lecuyer, p_lower, sigma, p_upper, q_upper, uses_q=False)
