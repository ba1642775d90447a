"""Certificates of input-dependent Gaussian smoothing (Súkeník, Kuvshinov & Günnemann 2022), exact at any dimension.

The noise level varies with the input: sigma(x) is r-semi-elastic, abs(log sigma(x0) - log sigma(x1)) <= r ||x0 - x1||.  At
distance R the worst cases are sigma1 = sigma0 e^(-r R) and sigma0 e^(r R) (Theorem 6), and the worst region is a ball or its
complement (Theorem 2), so radii are roots of non-central chi-square tails.

Why this works where the paper stops ("remains to be an open challenge").  As r R -> 0 the non-centralities grow like
1 / (2 r sigma)², and the textbook form subtracts numbers that agree in all digits.  Here everything is written in
u = ± r R, m = 1 - e^(-2u), o = e^(-2u) and the differences delta = N + nc - x of mean and argument:

    nc0 = (R / (sigma m))²,  nc1 = nc0 o,  delta0 = N m + (R/sigma)² (2 - m) / m + o delta1,

which is smooth at u = 0, and `numerics.ncx2` takes delta as an argument.  The radius is the root of the *swapped* test: the
region of probability one half under x1's noise is a median, and the certificate holds as long as its probability under x0's
noise exceeds q = 1 - p_lower.  That probability falls along the whole way, so the root is the first crossing.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, vectorize
from numpy.typing import ArrayLike

from .. import checks
from ..checks import Floats
from ..errors import InvalidArgumentError
from ..numerics import ncx2, roots
from ..numerics.compensated import mean_minus_x, minus_log1p
from ..numerics.normal import ndtri_scalar
from . import arguments
from .gaussian import cohen_l2

SMALL_KAPPA = 1e-9  # 2 N kappa² below its square: constant sigma to far below the rounding
MOST_LOG_RATIO = 340.0  # of sigma1 / sigma0; beyond, nothing is certified


@njit(cache=True, error_model="numpy")
def _shift(dim, kappa, radius, side):
    """(m, o, nc0, N m + radius² (2 - m) / m) at radius R / sigma0; side 1 for sigma1 < sigma0, -1 for sigma1 > sigma0."""
    u = side * kappa * radius
    m = -math.expm1(-2.0 * u)
    return m, math.exp(-2.0 * u), (radius / m) * (radius / m), dim * m + radius * radius * (2.0 - m) / m


@njit(cache=True, error_model="numpy")
def _mass(dim, kappa, radius, side):
    """(T, 1/2 - T, dT / dradius): probability under x0's noise of the worst region that has one half under x1's."""
    if kappa * radius > MOST_LOG_RATIO:
        return 0.0, 0.5, 0.0
    m, o, nc0, shift = _shift(dim, kappa, radius, side)
    delta1 = ncx2.median_scalar(dim, nc0 * o)
    x0 = ((dim + nc0 * o) - delta1) * o
    lower, t, centred, f, e = ncx2.tail(dim, nc0, x0, shift + o * delta1)
    # dF/dradius = f * (-d delta0 + (1 - 1/w0) d nc0), at fixed delta1: a fraction of an ulp of the slope is all that it misses
    dm = 2.0 * side * kappa * o
    d_delta = dim * dm + 2.0 * radius * (2.0 / m - 1.0) - 2.0 * radius * radius * dm / (m * m) - delta1 * dm
    d_nc = 2.0 * radius / (m * m) - 2.0 * radius * radius * dm / (m * m * m)
    slope = f * (e * d_nc - d_delta)
    if side > 0:
        return (t if lower else 1.0 - t), -centred, slope
    return (1.0 - t if lower else t), centred, -slope


@njit(cache=True, error_model="numpy")
def _certified(dim, kappa, radius, side, q, half_minus_q):
    """Whether q < T; NaN certifies nothing."""
    t, c, _ = _mass(dim, kappa, radius, side)
    return c < half_minus_q if half_minus_q < 0.4 else t > q


@njit(cache=True, error_model="numpy")
def _side_radius(dim, kappa, q, half_minus_q, most, start, side):
    """The root of T(radius) = q in (0, most]: safeguarded Newton, on 1/2 - T near one half, else on log T."""
    low, high = 0.0, most
    radius = min(start, most)
    log_q = math.log(q)
    last = math.inf
    for _ in range(100):
        t, c, slope = _mass(dim, kappa, radius, side)
        if half_minus_q < 0.4:
            residual = c - half_minus_q  # negative while certified
            step = -residual / slope
        else:
            residual = log_q - math.log(t) if t > 0.0 else math.inf
            step = -residual * t / slope
        if residual < 0.0:
            low = radius
        else:  # also where it is NaN
            high = radius
        if abs(step) <= 3e-16 * radius or (abs(step) < 1e-12 * radius and abs(step) >= 0.25 * last):
            return min(max(radius - step, 0.0), most)
        last = abs(step)
        new = radius - step
        if not low < new < high:
            new = 0.5 * (low + high)
            last = math.inf
            if high - low <= 4e-16 * high:
                return low
        radius = new
    return low


@vectorize(cache=True)
def _radius(dim, kappa, q, half_minus_q):
    """R / sigma0 of Theorem 7 for q = 1 - p_lower < 1/2."""
    z = -ndtri_scalar(q) if half_minus_q > 0.25 else ndtri_scalar(0.5 + half_minus_q)
    if kappa * math.sqrt(2.0 * dim) * max(1.0, z) < SMALL_KAPPA:
        return z
    start = z / math.sqrt(1.0 + 2.0 * (dim - 1.0) * kappa * kappa)
    radius = _side_radius(dim, kappa, q, half_minus_q, z, start, -1)  # the side that binds wherever it was tried
    if not _certified(dim, kappa, radius, 1, q, half_minus_q):
        radius = min(radius, _side_radius(dim, kappa, q, half_minus_q, z, radius, 1))
    return radius


@njit(cache=True, error_model="numpy")
def _moved_tail(dim, kappa, radius, side, lower, log_p, p):
    """Probability, under x1's noise, of the part of x1's ball family that has probability p under x0's noise.

    lower: of a ball around the common centre, else of the complement.
    """
    m, o, nc0, shift = _shift(dim, kappa, radius, side)
    if p <= 0.5:
        delta0, x0 = ncx2.quantile_scalar(dim, nc0, lower, p, log_p, 0.5 - p)
    else:
        delta0, x0 = ncx2.quantile_scalar(dim, nc0, not lower, 1.0 - p, math.log1p(-p), p - 0.5)
    nc1 = nc0 * o
    x1 = x0 / o
    # Far apart, dividing the difference by o would amplify its rounding; there it does not cancel.
    delta1 = (delta0 - shift) / o if -1.0 < m < 0.5 else mean_minus_x(dim, nc1, x1)
    if not x1 > 0.0:
        return 0.0 if lower else 1.0
    is_lower, t, _, _, _ = ncx2.tail(dim, nc1, x1, delta1)
    return t if is_lower == lower else 1.0 - t


@njit(cache=True, error_model="numpy")
def _excess(dim, kappa, radius, q, p_upper):
    """Largest of P1(A's complement) + P1(B) - 1 over both sides: certified while negative.  B: p_upper, A's complement: q."""
    worst = -1.0
    for side in (-1, 1):
        if kappa * radius > MOST_LOG_RATIO:
            return 1.0
        lower = side > 0
        lost = _moved_tail(dim, kappa, radius, side, lower, math.log(q), q)
        won = _moved_tail(dim, kappa, radius, side, lower, math.log(p_upper), p_upper)
        value = (lost - 0.5) + (won - 0.5)
        if not value <= worst:
            worst = value if value == value else 1.0
    return worst


@vectorize(cache=True)
def _radius_two(dim, kappa, q, p_upper, most):
    """R / sigma0 for two probabilities: the first crossing of the sound condition, found by a scan and a bisection."""
    if kappa * math.sqrt(2.0 * dim) * max(1.0, most) < SMALL_KAPPA:
        return most
    low, high = 0.0, most
    for i in range(1, 17):
        radius = most * i / 16.0
        if _excess(dim, kappa, radius, q, p_upper) < 0.0:
            low = radius
        else:
            high = radius
            break
    for _ in range(60):
        if high - low <= 4e-16 * high:
            break
        middle = 0.5 * (low + high)
        if _excess(dim, kappa, middle, q, p_upper) < 0.0:
            low = middle
        else:
            high = middle
    return low


@checks.public
def input_dependent_l2(
    p_lower: ArrayLike,
    *,
    sigma: ArrayLike,
    dim: ArrayLike,
    rate: ArrayLike,
    p_upper: ArrayLike | None = None,
    q_upper: ArrayLike | None = None,
) -> Floats:
    """Certify the l2 radius where the noise level depends on the input.  It is tight for what it uses.

    Parameters
    ----------
    p_lower : array_like
        Lower bound of the top class's probability under the noise of this input.
    sigma : array_like
        Noise level at this input, positive; the radius has its units.
    dim : array_like of int
        Number of input dimensions, 1 to 1e7.
    rate : array_like
        Semi-elasticity r of sigma(x), 0 to 10, per unit of distance: abs(log sigma(x) - log sigma(y)) <= r ||x - y||.
    p_upper : array_like, optional
        Upper bound of every other class's probability.  Default 1 - p_lower, the case of Theorem 7.
    q_upper : array_like, optional
        Upper bound of 1 - p, used in place of 1 - p_lower, which loses digits near 1.

    Returns
    -------
    float64 array
        The radius of Theorem 7, both sides checked; 0 where p_lower <= 1/2 (with p_upper: <= p_upper); `cohen_l2` for rate 0.
        Rounded down by 2e-14 R + 1e-15 sigma and never above `cohen_l2` (Theorem 15); inf for p_lower = 1 with rate 0, else
        NaN probabilities and the like certify nothing.

    Raises
    ------
    InvalidArgumentError
        Naming the argument and index: probabilities outside [0, 1], sigma <= 0, dim or rate out of range, shapes that do not
        broadcast.

    Notes
    -----
    Súkeník, Kuvshinov & Günnemann 2022, Theorems 2 (corrected), 3, 6, 7.  With `p_upper` the certificate holds while
    P1(A) > P1(B) for the concentric worst regions of both classes: keeping the threshold 1/2 and inserting p_upper, as the
    remark after Theorem 7 has it, overclaims (docs/accuracy.md).  That this condition, too, is worst at the two extreme
    sigma1 is verified numerically, not proved.

    Examples
    --------
    >>> float(input_dependent_l2(0.99, sigma=0.25, dim=150528, rate=0.001)).__round__(6)
    0.576189
    """
    p, q = arguments.failure(p_lower, q_upper)
    sigma = checks.floats("sigma", sigma, 1e-100, 1e100, "positive noise levels")
    dim = checks.counts("dim", dim, 1)
    checks.floats("dim", dim, 1, 1e7, "dimensions from 1 to 10^7")
    rate = checks.floats("rate", rate, 0.0, 10.0, "semi-elasticities from 0 to 10")
    cohen = cohen_l2(p_lower, sigma=sigma, p_upper=p_upper, q_upper=q_upper)
    p, q, sigma, dim, rate, cohen = checks.together(p_lower=p, q_upper=q, sigma=sigma, dim=dim, rate=rate, cohen=cohen)
    kappa = rate * sigma
    if p_upper is None:
        open_ = (p > 0.5) & (q < 0.5) & (q > 0.0)
        usable_q = np.where(open_, q, 0.25)
        half = np.where(p > 0.75, 0.5 - usable_q, np.where(open_, p - 0.5, 0.25))
        radius = _radius(dim, kappa, usable_q, half)
    else:
        other = checks.floats("p_upper", p_upper, 0.0, 1.0, "probabilities from 0 to 1")
        other, cohen = checks.together(p_upper=other, cohen=cohen)
        other = np.minimum(other, q)
        open_ = (p > other) & (q > 0.0) & (other > 0.0) & (cohen > 0.0) & np.isfinite(cohen)
        most = np.where(open_, cohen / sigma * (1.0 + 1e-12), 1.0)
        radius = _radius_two(dim, kappa, np.where(open_, q, 0.25), np.where(open_, other, 0.25), most)
    radius = np.where(open_, radius * sigma * (1.0 - 2e-14) - 1e-15 * sigma, 0.0)
    radius = np.where((kappa == 0.0) | ~open_, np.where(kappa == 0.0, cohen, 0.0), radius)
    return np.where(radius > 0.0, np.minimum(radius, cohen), 0.0)


def _xi(
    a: ArrayLike,
    p_lower: ArrayLike,
    sigma0: ArrayLike,
    sigma1: ArrayLike,
    dim: ArrayLike,
    q_upper: ArrayLike | None,
    side: int,
) -> Floats:
    p, q = arguments.failure(p_lower, q_upper)
    a = checks.floats("a", a, 0.0, 1e100, "distances of 0 and more")
    s0 = checks.floats("sigma0", sigma0, 1e-100, 1e100, "positive noise levels")
    s1 = checks.floats("sigma1", sigma1, 1e-100, 1e100, "positive noise levels")
    dim = checks.counts("dim", dim, 1)
    p, q, a, s0, s1, dim = checks.together(p_lower=p, q_upper=q, a=a, sigma0=s0, sigma1=s1, dim=dim)
    wrong = (s1 >= s0) if side > 0 else (s1 <= s0)
    if wrong.any():
        index = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
        relation, other = ("smaller", "xi_less") if side > 0 else ("larger", "xi_greater")
        raise InvalidArgumentError(
            f"sigma1{checks.at(index)}={s1[index]} is not {relation} than sigma0={s0[index]}: give such a pair, or use {other}."
        )
    near = np.abs(s1 - s0) < 0.5 * s0
    log_ratio = np.where(near, np.log1p(np.where(near, (s1 - s0) / s0, 0.0)), np.log(s1 / s0))
    return np.asarray(_xi_value(dim, log_ratio, a / s0, q, side))


@vectorize(cache=True)
def _xi_value(dim, log_ratio, radius, q, side):
    if q <= 0.0 or q >= 1.0:
        return 0.0 if q <= 0.0 else 1.0
    if radius == 0.0:
        o = math.exp(2.0 * log_ratio)
        m = -math.expm1(2.0 * log_ratio)
        lower = side > 0
        if q <= 0.5:
            delta0, x0 = ncx2.quantile_scalar(dim, 0.0, lower, q, math.log(q), 0.5 - q)
        else:
            delta0, x0 = ncx2.quantile_scalar(dim, 0.0, not lower, 1.0 - q, math.log1p(-q), q - 0.5)
        x1 = x0 / o
        delta1 = (delta0 - dim * m) / o if -1.0 < m < 0.5 else dim - x1
        if not x1 > 0.0:
            return 0.0 if lower else 1.0
        is_lower, t, _, _, _ = ncx2.tail(dim, 0.0, x1, delta1)
        return t if is_lower == lower else 1.0 - t
    return _moved_tail(dim, -side * log_ratio / radius, radius, side, side > 0, math.log(q), q)


@checks.public
def xi_greater(
    a: ArrayLike,
    *,
    p_lower: ArrayLike,
    sigma0: ArrayLike,
    sigma1: ArrayLike,
    dim: ArrayLike,
    q_upper: ArrayLike | None = None,
) -> Floats:
    """Return the largest probability of another class at distance `a` under noise sigma1 < sigma0 (xi_> of the paper's §2).

    p_lower bounds the class's probability at x0 under sigma0; x1 is certified with respect to x0 while the value is below
    1/2.  Relative error below 3e-14, also where sigma1 is within rounding of sigma0.
    """
    return _xi(a, p_lower, sigma0, sigma1, dim, q_upper, 1)


@checks.public
def xi_less(
    a: ArrayLike,
    *,
    p_lower: ArrayLike,
    sigma0: ArrayLike,
    sigma1: ArrayLike,
    dim: ArrayLike,
    q_upper: ArrayLike | None = None,
) -> Floats:
    """Return the same as `xi_greater` under noise sigma1 > sigma0 (xi_<)."""
    return _xi(a, p_lower, sigma0, sigma1, dim, q_upper, -1)


@njit(cache=True, error_model="numpy")
def _chernoff(log_e, arguments):
    """c - h(e) with h(e) = -log(1 - e) - e for e = 1 - exp(log_e), written in log t = log_e; c = arguments[0]."""
    return arguments[0] - minus_log1p(-math.expm1(log_e), math.exp(log_e))


@checks.public
def sigma_ratio_limit(
    p_lower: ArrayLike, *, dim: ArrayLike, increasing: bool = False, q_upper: ArrayLike | None = None
) -> Floats:
    """Return the ratio sigma1 / sigma0 beyond which no point can be certified (the curse of dimensionality, Theorem 4).

    Parameters
    ----------
    p_lower, q_upper : array_like
        The class's probability at x0, above 1/2, and optionally 1 - p without cancellation.
    dim : array_like of int
        N; at least 2 for `increasing`.
    increasing : bool
        False: sigma1 < sigma0, no point with a ratio *below* the result is certified.  True: sigma1 > sigma0, none *above*.

    Notes
    -----
    The root t of log t + 1 - t = 2 log(1 - p) / N, t = (sigma1 / sigma0)², or t (N - 1) / N for `increasing`.  There the paper's
    proof needs t (N - 1) / N > 1, which is not stated and fails for N = 1, where the printed implication is false.
    """
    increasing = checks.flag("increasing", increasing)
    p, q = arguments.failure(p_lower, q_upper)
    checks.floats("p_lower", p_lower, 0.5, 1.0, "probabilities from 1/2 to 1")
    dim = checks.counts("dim", dim, 2 if increasing else 1)
    p, q, dim = checks.together(p_lower=p, q_upper=q, dim=dim)
    c = -2.0 * np.log(q) / dim
    # h(1 - t) = -log t - (1 - t) lies between (log t)² / 2 shrunk and stretched; these ends always bracket the root.
    far = np.where(np.isfinite(c), np.sqrt(2.0 * c) * 2.0 + 2.0 * c + 1.0, 1.0)
    root = roots.solve(_chernoff, 0.0 + 1e-300, far if increasing else -far, c)
    t = np.exp(root.certified) * (dim / (dim - 1.0) if increasing else 1.0)
    end = np.inf if increasing else 0.0
    return np.where(np.isfinite(c), np.sqrt(t), end)


@checks.public
def sigma_ratio_limit_simple(p_lower: ArrayLike, *, dim: ArrayLike, q_upper: ArrayLike | None = None) -> Floats:
    """Return the weaker closed form for sigma1 < sigma0, sqrt(1 - 2 sqrt(-log(1 - p) / N)), and 0 where it has no sense
    (Corollary 5).
    """
    p, q = arguments.failure(p_lower, q_upper)
    dim = checks.counts("dim", dim, 1)
    p, q, dim = checks.together(p_lower=p, q_upper=q, dim=dim)
    inside = 1.0 - 2.0 * np.sqrt(-np.log(q) / dim)
    return np.sqrt(np.maximum(inside, 0.0))


@checks.public
def sigma_ratio_at_half(
    p_lower: ArrayLike, *, dim: ArrayLike, increasing: bool = False, q_upper: ArrayLike | None = None
) -> Floats:
    """Return the ratio sigma1 / sigma0 at which xi(0) = 1/2: the exact threshold that `sigma_ratio_limit` bounds.

    Beyond it (below for sigma1 < sigma0, above for `increasing`) not even x0 itself is certified.
    """
    increasing = checks.flag("increasing", increasing)
    p, q = arguments.failure(p_lower, q_upper)
    checks.floats("p_lower", p_lower, 0.5, 1.0, "probabilities from 1/2 to 1")
    dim = checks.counts("dim", dim, 1)
    p, q, dim = checks.together(p_lower=p, q_upper=q, dim=dim)
    edge = ncx2.isf(q, dim, 0.0) if increasing else ncx2.ppf(q, dim, 0.0)
    return np.sqrt(edge / ncx2.ppf(0.5, dim, 0.0))


@checks.public
def input_dependent_rule(
    p_lower: ArrayLike, *, sigma: ArrayLike, dim: ArrayLike, rate: ArrayLike, q_upper: ArrayLike | None = None
) -> Floats:
    """Return R ~ R_Cohen / sqrt(1 + 2 N (r sigma)²), what a rate costs at a glance.  It is *not a certificate* and may be too
    large.

    Relative error below 1e-3 for N >= 150,528, p <= .99, r sigma <= 2.5e-3, and a few per cent at N = 784, r sigma = .1.
    """
    cohen = cohen_l2(p_lower, sigma=sigma, q_upper=q_upper)
    dim = checks.counts("dim", dim, 1)
    rate = checks.floats("rate", rate, 0.0, 10.0, "semi-elasticities from 0 to 10")
    cohen, dim, rate, sigma = checks.together(cohen=cohen, dim=dim, rate=rate, sigma=np.asarray(sigma, dtype=np.float64))
    return cohen / np.sqrt(1.0 + 2.0 * dim * (rate * sigma) ** 2)
