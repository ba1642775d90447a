"""Certificates of Gaussian smoothing."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .. import checks
from ..checks import Floats
from ..numerics.normal import ndtri
from . import arguments
from .norms import l2_to_lp

EPS = 2.220446049250313e-16


@checks.public
def cohen_l2(
    p_lower: ArrayLike, *, sigma: ArrayLike, p_upper: ArrayLike | None = None, q_upper: ArrayLike | None = None
) -> Floats:
    """Certify the l2 radius of Gaussian smoothing, sigma / 2 (Phi^-1(p_lower) - Phi^-1(p_upper)).  It is tight.

    Parameters
    ----------
    p_lower : array_like
        Lower bound of the top class's probability, in [0, 1].
    sigma : array_like
        Standard deviation of the noise, positive; the radius has its units.
    p_upper : array_like, optional
        Upper bound of *every* other class's probability.  Default: 1 - p_lower, which gives sigma Phi^-1(p_lower).
    q_upper : array_like, optional
        Upper bound of 1 - p for the top class (`confidence.failure_upper`).  Used in place of 1 - p_lower, which loses
        digits near p_lower = 1.

    Returns
    -------
    float64 array
        R such that the smoothed classifier's answer is the same for every perturbation with ||delta||_2 < R; 0 where
        p_lower <= p_upper (abstain); inf where the bounds leave no doubt (p_lower = 1 or p_upper = 0).  Rounded down by
        1e-14 R + 2 eps sigma (|Phi^-1(p_lower)| + |Phi^-1(p_upper)|), more than twice the measured error.

    Raises
    ------
    InvalidArgumentError
        Probabilities outside [0, 1], sigma not positive, q_upper that contradicts p_lower, shapes that do not broadcast.

    Notes
    -----
    Cohen, Rosenfeld & Kolter 2019, Theorem 1; tight by their Theorem 2.

    Examples
    --------
    >>> float(cohen_l2(0.99, sigma=0.5)).__round__(6)
    1.163174
    """
    p_lower, q_upper, other, sigma = arguments.classes(p_lower, p_upper, q_upper, sigma=arguments.scale("sigma", sigma))
    top_z, other_z = np.where(p_lower < 0.5, ndtri(p_lower), -ndtri(np.minimum(q_upper, 1.0))), ndtri(other)
    # inf - inf where p_lower = 0 or q_upper = 0
    radius = 0.5 * sigma * (top_z - other_z)
    radius = radius * (1.0 - 1e-14) - 2.0 * EPS * sigma * (np.abs(top_z) + np.abs(other_z))
    certain = (q_upper == 0.0) | ((other == 0.0) & (q_upper < 1.0))
    radius = np.where(certain, np.inf, radius)
    return arguments.certified(radius, p_lower > other)


@checks.public
def gaussian_lp(
    p_lower: ArrayLike,
    *,
    sigma: ArrayLike,
    dim: ArrayLike,
    order: ArrayLike,
    p_upper: ArrayLike | None = None,
    q_upper: ArrayLike | None = None,
) -> Floats:
    """Certify the lp radius of Gaussian smoothing, cohen_l2 * dim^-max(0, 1/2 - 1/order).  It is tight for every order > 0.

    Parameters
    ----------
    p_lower, sigma, p_upper, q_upper : array_like
        As in `cohen_l2`.
    dim : array_like of int
        Number of input dimensions (channels x height x width), at least 1.
    order : array_like
        p of the lp norm, positive; `numpy.inf` for the maximum norm.

    Returns
    -------
    float64 array
        Radius in the lp norm (open ball), rounded down by a further 1e-14.

    Raises
    ------
    InvalidArgumentError
        As `cohen_l2`; dim below 1 or order not positive.

    Notes
    -----
    Kumar et al. 2020, eq. (1), which holds for p >= 2 as printed.  For p < 2 the factor is 1 (||delta||_2 <= ||delta||_p):
    the printed power of dim would exceed 1 there and overclaim.

    Examples
    --------
    >>> float(gaussian_lp(0.99, sigma=0.5, dim=3072, order=float("inf"))).__round__(6)
    0.020986
    """
    radius = cohen_l2(p_lower, sigma=sigma, p_upper=p_upper, q_upper=q_upper)
    return l2_to_lp(radius, dim=dim, order=order)
