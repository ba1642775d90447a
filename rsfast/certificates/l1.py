"""l1 certificates of noise drawn per pixel (Laplace, generalised Gaussian), and certificates of uniform noise.

The unified l1 certificate.  For i.i.d. symmetric log-concave noise with marginal distribution function F,

    R = (F^-1(p1) - F^-1(p2)) / 2    in l1, tight.

Move along one coordinate at a time: given the others, a shift of log-concave noise has monotone likelihood ratio, so half-lines
are worst (Neyman-Pearson) and F^-1 of any class's probability changes by at most the length of the step.  Valid from s = 1 on;
below, the density is not log-concave.

Generalised Gaussian noise here has density ~ exp(-abs(x / sigma)^s): sigma is a scale, the standard deviation is
sigma sqrt(Γ(3/s)/Γ(1/s)); s = 1 is Laplace with b = sigma, s = 2 is Gaussian with sigma/sqrt 2, s → inf uniform.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, vectorize
from numpy.typing import ArrayLike

from .. import checks
from ..checks import Floats
from ..numerics.gamma import log_gamma_one_plus
from ..numerics.incomplete_gamma import gammainccinv_scalar, gammaincinv_scalar
from ..numerics.normal import ndtri_scalar
from . import arguments
from .divergences import half_log_ratio

MARGIN = 1.0 - 1e-14
QUANTILE_MARGIN = 2e-14  # relative; quantiles of a generalised Gaussian are good to 1e-14 (tests/certificates/test_l1.py)
EPS = 2.220446049250313e-16


@njit(cache=True, error_model="numpy")
def upper_quantile(q, s):
    """Return the x >= 0 with probability q <= 1/2 above it, of density ~ exp(-abs(x)^s), s >= 1."""
    if q == 0.0:
        return math.inf
    if s == 1.0:
        return -math.log(2.0 * q)
    if s == 2.0:
        return -ndtri_scalar(q) * 0.7071067811865476
    a = 1.0 / s
    if q > 0.25:
        inner = 1.0 - 2.0 * q  # exact
        start = inner * math.exp(log_gamma_one_plus(a))  # y^a for small y, which may itself be below the range of doubles
        if start**s < 1e-17:
            return start
        return math.pow(gammaincinv_scalar(a, inner), a)
    return math.pow(gammainccinv_scalar(a, 2.0 * q), a)


@vectorize(cache=True)
def _log_concave(p1, q1, p2, s):
    """(F^-1(p1) - F^-1(p2)) / 2 in units of the scale, rounded down."""
    if not p1 > p2:
        return 0.0
    one = upper_quantile(q1, s) if p1 >= 0.5 else -upper_quantile(p1, s)
    two = upper_quantile(p2, s)
    if p1 < 0.5 and s == 1.0:
        return half_log_ratio(p1, p2) * MARGIN if p2 > 0.0 else math.inf
    margin = 4.0 * EPS if s in (1.0, 2.0) else QUANTILE_MARGIN
    return 0.5 * (one + two) * MARGIN - margin * (abs(one) + two) if one + two < math.inf else math.inf


@checks.public
def generalized_gaussian_l1(
    p_lower: ArrayLike,
    *,
    scale: ArrayLike,
    shape: ArrayLike,
    p_upper: ArrayLike | None = None,
    q_upper: ArrayLike | None = None,
) -> Floats:
    """Certify the l1 radius for noise of density ~ exp(-abs(x / scale)^shape) in every pixel.  It is tight.

    Parameters
    ----------
    p_lower, p_upper, q_upper : array_like
        As in `cohen_l2`.
    scale : array_like
        Scale of the noise (not its standard deviation), positive; the radius has its units.
    shape : array_like
        Real shape from 1 (Laplace) to 1000; 2 is Gaussian with standard deviation scale / sqrt 2.

    Returns
    -------
    float64 array
        Radius in the l1 norm (open ball), independent of the dimension, rounded down; 0 where p_lower <= p_upper.

    Raises
    ------
    InvalidArgumentError
        Probabilities outside [0, 1], scale not positive, shape outside [1, 1000]; names argument and index.

    Notes
    -----
    This is beyond the papers: see the argument above.  Hayes 2020 and Li et al. 2019 have shape 1 with p_upper = 1 - p_lower.

    Examples
    --------
    >>> float(generalized_gaussian_l1(0.99, scale=1.0, shape=3.0)).__round__(5)
    1.29932
    """
    scale = arguments.scale("scale", scale)
    shape = checks.floats("shape", shape, 1.0, 1000.0, "shapes from 1 to 1000 (beyond, the noise is uniform: uniform_l1)")
    p, q, other, scale, shape = arguments.classes(p_lower, p_upper, q_upper, scale=scale, shape=shape)
    return arguments.certified(_log_concave(p, q, other, shape) * scale * MARGIN, p > other)


@checks.public
def laplace_l1(
    p_lower: ArrayLike, *, scale: ArrayLike, p_upper: ArrayLike | None = None, q_upper: ArrayLike | None = None
) -> Floats:
    """Certify the l1 radius for Laplace noise of density ~ exp(-abs(x) / scale), `generalized_gaussian_l1` of shape 1; it is
    tight.

    It is -scale/2 (log 2 (1 - p1) + log 2 p2) for p1 >= 1/2, and scale/2 log(p1/p2) below.  The standard deviation is scale sqrt
    2.
    """
    return generalized_gaussian_l1(p_lower, scale=scale, shape=1.0, p_upper=p_upper, q_upper=q_upper)


@vectorize(cache=True)
def _teng(p1, q1, p2):
    if not p1 > p2:
        return 0.0
    ratio = math.inf if p2 == 0.0 else half_log_ratio(p1, p2)
    return max(ratio, -math.log(q1 + p2))


@vectorize(cache=True)
def _half_log_ratio(p1, p2):
    if not p1 > p2:
        return 0.0
    return math.inf if p2 == 0.0 else half_log_ratio(p1, p2)


@checks.public
def teng_l1(
    p_lower: ArrayLike, *, scale: ArrayLike, p_upper: ArrayLike | None = None, q_upper: ArrayLike | None = None
) -> Floats:
    """Certify the published l1 radius for Laplace noise (Teng et al. 2020), max(scale/2 log(p1/p2), -scale log(1 - p1 + p2)).

    It is sound, and tight only for p_upper = 1 - p_lower or p_lower <= 1/2; `laplace_l1` is never smaller.
    """
    p, q, other, scale = arguments.classes(p_lower, p_upper, q_upper, scale=arguments.scale("scale", scale))
    return arguments.certified(_teng(p, q, other) * scale * MARGIN - 4.0 * EPS * scale, p > other)


@checks.public
def lecuyer_l1(
    p_lower: ArrayLike, *, scale: ArrayLike, p_upper: ArrayLike | None = None, q_upper: ArrayLike | None = None
) -> Floats:
    """Certify PixelDP's l1 radius for Laplace noise: scale/2 log(p1/p2) (Lécuyer et al. 2019).  It is sound and not tight."""
    p, _, other, scale = arguments.classes(p_lower, p_upper, q_upper, scale=arguments.scale("scale", scale))
    return arguments.certified(_half_log_ratio(p, other) * scale * MARGIN, p > other)


def _gap(p: Floats, other: Floats) -> Floats:
    """p1 - p2, 0 where they are so small that its fractions would lose digits to the end of the range of doubles."""
    gap = p - other
    return np.where(gap > 1e-280, gap, 0.0)


@checks.public
def uniform_l1(
    p_lower: ArrayLike, *, half_width: ArrayLike, p_upper: ArrayLike | None = None, q_upper: ArrayLike | None = None
) -> Floats:
    """Certify the l1 radius for noise uniform on [-half_width, half_width] in every pixel: half_width (p1 - p2).  It is tight.

    See Lee et al. 2019 and Yang et al. 2020.  The standard deviation is half_width / sqrt 3.
    """
    p, _, other, width = arguments.classes(p_lower, p_upper, q_upper, half_width=arguments.scale("half_width", half_width))
    return arguments.certified(width * (p - other) * MARGIN, p > other)


@checks.public
def uniform_ball(
    p_lower: ArrayLike,
    *,
    scale: ArrayLike,
    dim: ArrayLike,
    p_upper: ArrayLike | None = None,
    q_upper: ArrayLike | None = None,
) -> Floats:
    """Certify the radius, in the body's own norm, for noise uniform on `scale` times a symmetric convex body.

    Parameters
    ----------
    p_lower, p_upper, q_upper : array_like
        As in `cohen_l2`.
    scale : array_like
        Size of the body: the noise is uniform on {x : norm(x) <= scale}.
    dim : array_like of int
        Number of input dimensions.

    Returns
    -------
    float64 array
        2 scale (1 - (1 - (p1 - p2)/2)^(1/dim)), rounded down.

    Notes
    -----
    This is beyond the papers.  By Brunn-Minkowski vol(K ∩ (K + delta))^(1/dim) is concave along rays, 1 at 0 and 0 at norm 2
    scale.  It is tight for the cube (diagonal) and the l1 ball (axis), the counter-examples of Kumar et al. 2020, Theorems 4 and
    5.
    """
    p, _, other, scale, dim = arguments.classes(
        p_lower, p_upper, q_upper, scale=arguments.scale("scale", scale), dim=arguments.dimension("dim", dim)
    )
    return arguments.certified(-2.0 * np.expm1(np.log1p(-0.5 * _gap(p, other)) / dim) * scale * MARGIN, p > other)


@checks.public
def uniform_lp(
    p_lower: ArrayLike,
    *,
    half_width: ArrayLike,
    dim: ArrayLike,
    order: ArrayLike,
    p_upper: ArrayLike | None = None,
    q_upper: ArrayLike | None = None,
) -> Floats:
    """Certify the lp radius for noise uniform on [-half_width, half_width] in every pixel.

    It is dim^(1/order) `uniform_ball` for order >= 2 (tight), and for 1 < order < 2 of a gap p1 - p2 cut at 2 (1 - 1/order), or
    dim^-(1 - 1/order) `uniform_l1` where that is larger; `uniform_l1` itself for order <= 1.  Beyond the papers: in that range
    -log(1 - w^(1/order)) is concave, so that the diagonal is worst.
    """
    order = arguments.order(order)
    p, _, other, width, dim, order = arguments.classes(
        p_lower,
        p_upper,
        q_upper,
        half_width=arguments.scale("half_width", half_width),
        dim=arguments.dimension("dim", dim),
        order=order,
    )
    gap = _gap(p, other)
    inverse = np.minimum(1.0 / order, 1.0)
    # The diagonal is worst up to this gap; a larger one is certified at least as far.
    diagonal = np.where(order >= 2.0, gap, np.minimum(gap, 2.0 * (1.0 - inverse)))
    ball = -2.0 * np.expm1(np.log1p(-0.5 * diagonal) / dim) * dim**inverse
    axis = gap * dim ** (inverse - 1.0)
    return arguments.certified(width * np.where(order >= 2.0, ball, np.maximum(ball, axis)) * MARGIN * MARGIN, p > other)
