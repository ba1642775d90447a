"""Limits: radii that *no* certificate that uses p_lower and p_upper alone can exceed.  Rounded up; inf where nothing is known."""

from __future__ import annotations

import math

import numpy as np
from numba import vectorize
from numpy.typing import ArrayLike

from .. import checks
from ..checks import Floats
from ..numerics import ncx2
from . import arguments

UP = 1.0 + 1e-13
WU_LOSS = 5e-7


def _limit(value: Floats, dim: Floats, power: Floats) -> Floats:
    """value dim^power, rounded up; inf where that is not a number."""
    limit = value * dim**power * UP
    return np.where(np.isnan(limit), np.inf, limit)


def _power(order: Floats, of: float) -> Floats:
    """1/order - of, exactly inf for vanishing orders."""
    return 1.0 / order - of


def _given(
    p_lower: ArrayLike, p_upper: ArrayLike | None, q_upper: ArrayLike | None, sigma: ArrayLike, dim: ArrayLike, order: ArrayLike
) -> list[Floats]:
    sigma, dim, order = arguments.scale("sigma", sigma), arguments.dimension("dim", dim), arguments.order(order)
    return arguments.classes(p_lower, p_upper, q_upper, sigma=sigma, dim=dim, order=order)


@checks.public
def kumar_iid(
    p_lower: ArrayLike,
    *,
    sigma: ArrayLike,
    dim: ArrayLike,
    order: ArrayLike,
    p_upper: ArrayLike | None = None,
    q_upper: ArrayLike | None = None,
) -> Floats:
    """Bound every lp radius for i.i.d. symmetric noise of standard deviation sigma (Kumar et al. 2020, Theorem 1).

    Parameters
    ----------
    p_lower, p_upper, q_upper : array_like
        As in `cohen_l2`; here they are the class probabilities a certificate may use.
    sigma : array_like
        Standard deviation of the noise in a pixel.
    dim : array_like of int
        Number of input dimensions.
    order : array_like
        p of the lp norm, or inf.

    Returns
    -------
    float64 array
        sigma / (2 sqrt 2 dim^(1/2 - 1/order)) (1/sqrt(1 - p1) + 1/sqrt(p2)); inf for p_lower < 1/2, where nothing is proved.

    Raises
    ------
    InvalidArgumentError
        Probabilities outside [0, 1], sigma not positive, dim below 1, order not positive; names argument and index.
    """
    p, q, other, sigma, dim, order = _given(p_lower, p_upper, q_upper, sigma, dim, order)
    limit = sigma / (2.0 * np.sqrt(2.0)) * (1.0 / np.sqrt(q) + 1.0 / np.sqrt(other))
    return np.where(p >= 0.5, _limit(limit, dim, _power(order, 0.5)), np.inf)


@checks.public
def unimodal_iid(
    p_lower: ArrayLike,
    *,
    sigma: ArrayLike,
    dim: ArrayLike,
    order: ArrayLike,
    p_upper: ArrayLike | None = None,
    q_upper: ArrayLike | None = None,
) -> Floats:
    """Bound radii as `kumar_iid` for noise that is also unimodal, tighter by Gauss's inequality.  It is attained for dim 1.

    It is beyond the papers: sigma / (2 dim^(1/2 - 1/order)) (g(1 - p1) + g(p2)) with g(t) = 2/3 / sqrt(2 t) for t <= 1/6, max(0,
    sqrt 3 (1 - 2 t)) above.
    """
    _, q, other, sigma, dim, order = _given(p_lower, p_upper, q_upper, sigma, dim, order)

    def g(t: Floats) -> Floats:
        return np.where(2.0 * t <= 1.0 / 3.0, 2.0 / 3.0 / np.sqrt(2.0 * t), np.maximum(0.0, np.sqrt(3.0) * (1.0 - 2.0 * t)))

    return _limit(0.5 * sigma * (g(q) + g(other)), dim, _power(order, 0.5))


@checks.public
def kumar_generalized_gaussian(
    p_lower: ArrayLike,
    *,
    sigma: ArrayLike,
    dim: ArrayLike,
    order: ArrayLike,
    p_upper: ArrayLike | None = None,
    q_upper: ArrayLike | None = None,
) -> Floats:
    """Bound every lp radius for generalised Gaussian noise of shape >= 1 and standard deviation sigma (Kumar et al., Theorem 2).

    It is 2 sigma / dim^(1/2 - 1/order) (sqrt(log 1/(1 - p1)) + sqrt(log 1/p2)), proved for e^(-dim/4) < p2 <= p1 < 1 -
    e^(-dim/4); inf outside, where the formula can lie below the truth.
    """
    p, q, other, sigma, dim, order = _given(p_lower, p_upper, q_upper, sigma, dim, order)
    log_q, log_other = -np.log(q), -np.log(other)
    limit = 2.0 * sigma * (np.sqrt(log_q) + np.sqrt(log_other))
    limit = _limit(limit, dim, _power(order, 0.5))
    return np.where((log_q < 0.25 * dim) & (log_other < 0.25 * dim) & (other <= p), limit, np.inf)


@checks.public
def kumar_uniform_cube(*, half_width: ArrayLike, dim: ArrayLike, order: ArrayLike) -> Floats:
    """Bound every lp radius for noise uniform on a cube: 2 half_width / dim^(1 - 1/order) (Kumar et al. 2020, Theorem 4)."""
    width, dim, order = checks.together(
        half_width=arguments.scale("half_width", half_width), dim=arguments.dimension("dim", dim), order=arguments.order(order)
    )
    return _limit(2.0 * width, dim, _power(order, 1.0))


@checks.public
def kumar_uniform_l1_ball(*, scale: ArrayLike, dim: ArrayLike) -> Floats:
    """Bound every lp radius, for any p, for noise uniform on an l1 ball of radius `scale`: 2 scale / dim (Kumar et al., Theorem
    5).
    """
    scale, dim = checks.together(scale=arguments.scale("scale", scale), dim=arguments.dimension("dim", dim))
    return 2.0 * scale / dim * UP


@checks.public
def wu_l2(p_lower: ArrayLike, *, sigma: ArrayLike, dim: ArrayLike, q_upper: ArrayLike | None = None) -> Floats:
    """Bound every l2 radius of Gaussian smoothing with p_upper = 1 - p_lower (Wu et al. 2021; Xia et al. 2024, Proposition 1).

    It is 5 sigma / sqrt(dim) sqrt(q) with q the p_lower / (1 - 5e-7) quantile of chi-square(dim); inf from 1 - 5e-7 on, where
    nothing is stated.  It is not proved in the five papers, and never below Gaussian radii where it was tried.
    """
    p, q = arguments.failure(p_lower, q_upper)
    p, q, sigma, dim = checks.together(
        p_lower=p, q_upper=q, sigma=arguments.scale("sigma", sigma), dim=arguments.dimension("dim", dim)
    )
    left = (q * (1.0 - 1e-15) - WU_LOSS * (1.0 + 1e-15)) / (1.0 - WU_LOSS)  # rounded down: the limit goes up
    quantile = np.where(
        p > 0.5,
        ncx2.isf(np.clip(left, 1e-300, 1.0), dim, 0.0),
        ncx2.ppf(np.minimum(p / (1.0 - WU_LOSS) * (1.0 + 1e-15), 1.0), dim, 0.0),
    )
    return np.where(left > 0.0, 5.0 * sigma / np.sqrt(dim) * np.sqrt(quantile) * UP, np.inf)


@checks.public
def dual_wu_l2(p_left: ArrayLike, p_right: ArrayLike, *, sigma: ArrayLike, dim_left: ArrayLike, dim_right: ArrayLike) -> Floats:
    """Bound every l2 radius of dual smoothing by `wu_l2` of both halves (Xia et al. 2024, eq. 15): their sum over sqrt 2."""
    left, right = wu_l2(p_left, sigma=sigma, dim=dim_left), wu_l2(p_right, sigma=sigma, dim=dim_right)
    left, right = checks.together(p_left=left, p_right=right)
    return (left + right) / np.sqrt(2.0)


@vectorize(cache=True)
def _std(shape):
    return math.exp(0.5 * (math.lgamma(3.0 / shape) - math.lgamma(1.0 / shape)))


@checks.public
def std_of_scale(scale: ArrayLike, *, shape: ArrayLike) -> Floats:
    """Return the standard deviation of generalised Gaussian noise of that scale and real shape: scale
    sqrt(Γ(3/shape)/Γ(1/shape)).
    """
    scale, shape = checks.together(
        scale=arguments.scale("scale", scale), shape=checks.floats("shape", shape, 1e-2, 1e6, "shapes from 0.01 to 1e6")
    )
    return np.asarray(scale * _std(shape))
