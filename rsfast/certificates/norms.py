"""From an l2 or l1 ball to the largest lp ball inside it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .. import checks
from ..checks import Floats
from . import arguments


@checks.public
def l2_to_lp(radius: ArrayLike, *, dim: ArrayLike, order: ArrayLike) -> Floats:
    """Return the radius of the largest lp ball inside an l2 ball: radius * dim^-max(0, 1/2 - 1/order).

    Parameters
    ----------
    radius : array_like
        Certified l2 radius, not negative.
    dim : array_like of int
        Number of input dimensions, at least 1.
    order : array_like
        p of the lp norm, positive; `numpy.inf` for the maximum norm.  For p <= 2 the factor is 1 (||delta||_2 <= ||delta||_p).

    Returns
    -------
    float64 array, rounded down by 1e-14 where the factor is below 1.

    Raises
    ------
    InvalidArgumentError
        A negative radius, dim below 1 or order not positive.
    """
    return _inside(radius, dim, order, 0.5)


@checks.public
def l1_to_lp(radius: ArrayLike, *, dim: ArrayLike, order: ArrayLike) -> Floats:
    """Return the radius of the largest lp ball inside an l1 ball: radius * dim^-max(0, 1 - 1/order); the arguments are those of
    `l2_to_lp`.
    """
    return _inside(radius, dim, order, 1.0)


def _inside(radius: ArrayLike, dim: ArrayLike, order: ArrayLike, inverse_order: float) -> Floats:
    radius, dim, order = checks.together(
        radius=checks.floats("radius", radius, 0.0, np.inf, "radii from 0 on"),
        dim=arguments.dimension("dim", dim),
        order=arguments.order(order),
    )
    shrink = dim ** -np.maximum(0.0, inverse_order - 1.0 / order)
    inside = radius * shrink * (1.0 - 1e-14)
    return np.where(shrink < 1.0, arguments.certified(inside, radius > 0.0), radius)
