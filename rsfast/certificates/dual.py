"""Dual smoothing (Xia et al. 2024): two classifiers on two disjoint halves of the pixels, decided by the sum of their votes.

Two classes.  A perturbation (d_l, d_r) of the halves flips the answer only if d_l/sigma_l + d_r/sigma_r >= z_l + z_r, where
z = Phi^-1(p) of each half: a linear condition, so every norm has a closed form.  A half below one half keeps its negative z.
"""

from __future__ import annotations

import numpy as np
from numba import vectorize
from numpy.typing import ArrayLike

from .. import checks
from ..checks import Floats
from ..numerics.normal import ndtri
from . import arguments
from .l1 import QUANTILE_MARGIN, upper_quantile

EPS = 2.220446049250313e-16
MARGIN = 1.0 - 1e-14


def z_of(p: Floats, q: Floats) -> Floats:
    return np.where(p < 0.5, ndtri(p), -ndtri(np.minimum(q, 1.0)))


def halves(
    p_left: ArrayLike, p_right: ArrayLike, q_left: ArrayLike | None, q_right: ArrayLike | None, **others: Floats
) -> list[Floats]:
    """Return [p_left, q_left, p_right, q_right, *others], broadcast."""
    p_l, q_l = arguments.failure(p_left, q_left, ("p_left", "q_left"))
    p_r, q_r = arguments.failure(p_right, q_right, ("p_right", "q_right"))
    return checks.together(p_left=p_l, q_left=q_l, p_right=p_r, q_right=q_r, **others)


def _linear(z_l: Floats, z_r: Floats, slope: Floats) -> Floats:
    """(z_l + z_r) / slope, rounded down; 0 where the sum is not positive."""
    total = z_l + z_r
    radius = total / slope * MARGIN - 4.0 * EPS * (np.abs(z_l) + np.abs(z_r)) / slope
    return arguments.certified(np.where(np.isposinf(total), np.inf, radius), total > 0.0)


@checks.public
def dual_l2(
    p_left: ArrayLike,
    p_right: ArrayLike,
    *,
    sigma_left: ArrayLike,
    sigma_right: ArrayLike | None = None,
    q_left: ArrayLike | None = None,
    q_right: ArrayLike | None = None,
) -> Floats:
    """Certify the l2 radius of dual smoothing, (z_left + z_right) / hypot(1/sigma_left, 1/sigma_right).  It is exact and tight.

    Parameters
    ----------
    p_left, p_right : array_like
        Lower bounds of the class's probability in each half, jointly confident; a half may lie below 1/2.
    sigma_left, sigma_right : array_like
        Noise levels of the halves, positive; `sigma_right` defaults to `sigma_left`.
    q_left, q_right : array_like, optional
        Upper bounds of the failure probabilities, used in place of 1 - p, which loses digits near 1.

    Returns
    -------
    float64 array
        R such that every perturbation of the whole input with ||delta||_2 < R keeps the answer; 0 where
        p_left + p_right <= 1.  Rounded down.

    Raises
    ------
    InvalidArgumentError
        Probabilities outside [0, 1], noise levels not positive, shapes that do not broadcast; names argument and index.

    Notes
    -----
    Xia et al. 2024, Theorem 2, eq. (13), for equal levels; for unequal ones the appendix's A.4 is up to sqrt 2 too small.
    Clipping each half's z at 0, as released code does, is unsound (docs/errata.md).

    Examples
    --------
    >>> float(dual_l2(0.98, 0.55, sigma_left=0.25)).__round__(3)
    0.385
    """
    left = arguments.scale("sigma_left", sigma_left)
    right = left if sigma_right is None else arguments.scale("sigma_right", sigma_right)
    p_l, q_l, p_r, q_r, left, right = halves(p_left, p_right, q_left, q_right, sigma_left=left, sigma_right=right)
    return _linear(z_of(p_l, q_l), z_of(p_r, q_r), np.hypot(1.0 / left, 1.0 / right))


@checks.public
def dual_lp(
    p_left: ArrayLike,
    p_right: ArrayLike,
    *,
    sigma_left: ArrayLike,
    sigma_right: ArrayLike | None = None,
    dim_left: ArrayLike,
    dim_right: ArrayLike,
    order: ArrayLike,
    q_left: ArrayLike | None = None,
    q_right: ArrayLike | None = None,
) -> Floats:
    """Certify the lp radius of dual smoothing for every p.  It is tight, and beyond the paper.

    It is (z_left + z_right) / ||(a, c)||_(p/(p-1)) with a = dim_left^e / sigma_left, c = dim_right^e / sigma_right,
    e = max(0, 1/2 - 1/p); for p <= 1 the dual norm is the maximum.  Further arguments and errors are as in `dual_l2`.
    """
    left = arguments.scale("sigma_left", sigma_left)
    right = left if sigma_right is None else arguments.scale("sigma_right", sigma_right)
    p_l, q_l, p_r, q_r, left, right, m, n, order = halves(
        p_left,
        p_right,
        q_left,
        q_right,
        sigma_left=left,
        sigma_right=right,
        dim_left=arguments.dimension("dim_left", dim_left),
        dim_right=arguments.dimension("dim_right", dim_right),
        order=arguments.order(order),
    )
    spread = np.maximum(0.0, 0.5 - 1.0 / order)
    a, c = m**spread / left, n**spread / right
    large, small = np.maximum(a, c), np.minimum(a, c)
    dual = np.where(order > 1.0, 1.0 - 1.0 / np.maximum(order, 1.0), 0.0)  # 1 / (order of the dual norm)
    slope = np.where(dual > 0.0, large * (1.0 + (small / large) ** (1.0 / dual)) ** dual, large)
    return _linear(z_of(p_l, q_l), z_of(p_r, q_r), slope * (1.0 + 2e-14))


@vectorize(cache=True)
def _quantile(p, q, shape):
    return upper_quantile(q, shape) if p >= 0.5 else -upper_quantile(p, shape)


@checks.public
def dual_log_concave_l1(
    p_left: ArrayLike,
    p_right: ArrayLike,
    *,
    scale_left: ArrayLike,
    scale_right: ArrayLike | None = None,
    shape: ArrayLike = 1.0,
    q_left: ArrayLike | None = None,
    q_right: ArrayLike | None = None,
) -> Floats:
    """Certify the l1 radius of dual smoothing with generalised Gaussian noise (Laplace by default).  It is tight, beyond the
    paper.

    It is min(scale_left, scale_right) (F^-1(p_left) + F^-1(p_right)) with F of unit scale; see `generalized_gaussian_l1`.
    """
    left = arguments.scale("scale_left", scale_left)
    right = left if scale_right is None else arguments.scale("scale_right", scale_right)
    shape = checks.floats("shape", shape, 1.0, 1000.0, "shapes from 1 to 1000")
    p_l, q_l, p_r, q_r, left, right, shape = halves(
        p_left, p_right, q_left, q_right, scale_left=left, scale_right=right, shape=shape
    )
    one, two = _quantile(p_l, q_l, shape), _quantile(p_r, q_r, shape)
    total = one + two
    radius = total * MARGIN - 2.0 * QUANTILE_MARGIN * (np.abs(one) + np.abs(two))
    radius = np.where(np.isposinf(total), np.inf, radius)
    return arguments.certified(np.minimum(left, right) * radius, total > 0.0)
