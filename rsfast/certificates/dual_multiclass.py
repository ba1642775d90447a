"""Dual smoothing with several classes: the exact l2 radius, a minimum bounded from below.

With p_upper bounding every other class in each half, the radius is the least norm with

    G = g_l(d_l) + g_r(d_r) <= 0,    g_j(d) = Phi(z_top - d/sigma) - Phi(z_other + d/sigma).

A minimum found by searching would be unsound if a better one were missed; here it is bounded from below.  Along the curve G = 0,
parametrised by t = d_l/sigma_l, f = d_l² + d_r² has the derivative 2 sigma_l² t - 2 sigma_r² t_r fall_l(t)/fall_r(t_r), whose
factors are bounded on an interval by the extremes of two bell curves.  Each interval then has the mean-value bound of f, of
second order in its width, and also f >= (d_l at its left)² + (d_r at its right)²; intervals are halved until the least bound is
within 1e-9.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, vectorize
from numpy.typing import ArrayLike

from .. import checks
from ..checks import Floats
from ..numerics.normal import ndtr_scalar, ndtri_scalar
from . import arguments
from .dual import halves

TOLERANCE = 1e-9
MOST_INTERVALS = 4096
ONE_OVER_ROOT_TWO_PI = 0.3989422804014327


@njit(cache=True, error_model="numpy")
def _bell(x):
    return ONE_OVER_ROOT_TWO_PI * math.exp(-0.5 * x * x)


@njit(cache=True, error_model="numpy")
def _lead(t, top, other):
    """g at d = sigma t: the class's probability less the best other one's; accurate absolutely."""
    return ndtr_scalar(top - t) - ndtr_scalar(other + t)


@njit(cache=True, error_model="numpy")
def _fall(t, top, other):
    """-dg/dt."""
    return _bell(top - t) + _bell(other + t)


@njit(cache=True, error_model="numpy")
def _shift_for(level, top, other, start):
    """The t >= 0 with g(t) = level, from below; 0 if g(0) is not above it."""
    if not _lead(0.0, top, other) > level:
        return 0.0
    low, high = 0.0, max(top, -other, 0.0) + 1.0
    while _lead(high, top, other) > level:
        low = high
        high *= 2.0
        if high > 1e3:
            return low
    t = start if low < start < high else 0.5 * (low + high)
    for _ in range(200):
        value = _lead(t, top, other) - level
        if value > 0.0:
            low = t
        else:
            high = t
        step = value / _fall(t, top, other)
        new = t + step
        if abs(step) <= 1e-15 * t or high - low <= 4e-16 * high:
            return max(min(new, high) * (1.0 - 2e-15), low)
        t = new if low < new < high else 0.5 * (low + high)
    return low


@njit(cache=True, error_model="numpy")
def _fall_range(a, b, top, other):
    """Least and largest of `_fall` on [a, b], each bell bounded by itself."""
    one_a, one_b, two_a, two_b = _bell(top - a), _bell(top - b), _bell(other + a), _bell(other + b)
    most = (ONE_OVER_ROOT_TWO_PI if a < top < b else max(one_a, one_b)) + (
        ONE_OVER_ROOT_TWO_PI if a < -other < b else max(two_a, two_b)
    )
    return min(one_a, one_b) + min(two_a, two_b), most


@njit(cache=True, error_model="numpy")
def _bound(a, b, t_r_at_a, t_r_at_b, middle, values, data):
    """A lower bound of f on t in [a, b]; t_r falls from t_r_at_a to t_r_at_b, and f's values are those at a, b and between."""
    f_a, f_b, f_m = values
    top_l, other_l, sigma_l, top_r, other_r, sigma_r = data
    corner = (sigma_l * a) ** 2 + (sigma_r * t_r_at_b) ** 2
    least_l, most_l = _fall_range(a, b, top_l, other_l)
    least_r, most_r = _fall_range(t_r_at_b, t_r_at_a, top_r, other_r)
    if not least_r > 1e-290:
        return corner
    most_slope = 2.0 * (sigma_l * sigma_l * b - sigma_r * sigma_r * t_r_at_b * least_l / most_r)
    least_slope = 2.0 * (sigma_l * sigma_l * a - sigma_r * sigma_r * t_r_at_a * most_l / least_r)
    if least_slope >= 0.0:
        return max(corner, f_a)
    if most_slope <= 0.0:
        return max(corner, f_b)
    left = f_m - (middle - a) * most_slope
    right = f_m + (b - middle) * least_slope
    return max(corner, min(left, right))


@njit(cache=True, error_model="numpy")
def _several(top_l, other_l, sigma_l, top_r, other_r, sigma_r):
    """Certified lower bound of the least norm with G <= 0."""
    slack = 1e-15  # of every g: more than twice what rounding does to its two Phi, always to the smaller radius
    lead_l, lead_r = _lead(0.0, top_l, other_l), _lead(0.0, top_r, other_r)
    if not lead_l + lead_r > 4.0 * slack:
        return 0.0
    data = (top_l, other_l, sigma_l, top_r, other_r, sigma_r)
    last = _shift_for(-lead_r + 2.0 * slack, top_l, other_l, -1.0)  # beyond, the left half alone has flipped
    first_r = _shift_for(-lead_l + 2.0 * slack, top_r, other_r, -1.0)
    best = min((sigma_l * last) ** 2, (sigma_r * first_r) ** 2)
    starts, ends = np.empty(MOST_INTERVALS), np.empty(MOST_INTERVALS)
    r_starts, r_ends = np.empty(MOST_INTERVALS), np.empty(MOST_INTERVALS)
    bounds = np.empty(MOST_INTERVALS)
    starts[0], ends[0], r_starts[0], r_ends[0], bounds[0] = 0.0, last, first_r, 0.0, 0.0
    count, answer, pieces = 1, best, 16  # `answer`: the least bound of the intervals that need no halving
    for i in range(1, pieces):
        t = last * i / pieces
        t_r = _shift_for(-_lead(t, top_l, other_l) + 2.0 * slack, top_r, other_r, r_starts[count - 1])
        best = min(best, (sigma_l * t) ** 2 + (sigma_r * t_r) ** 2)
        ends[count - 1], r_ends[count - 1] = t, t_r
        starts[count], ends[count], r_starts[count], r_ends[count] = t, last, t_r, 0.0
        bounds[count] = bounds[count - 1] = 0.0
        count += 1
    answer = math.inf
    work = 0
    while count > 0:
        count -= 1
        a, b, r_a, r_b, bound = starts[count], ends[count], r_starts[count], r_ends[count], bounds[count]
        if bound >= best * (1.0 - 2.0 * TOLERANCE) or work >= 3000 or count >= MOST_INTERVALS - 2:
            answer = min(answer, max(bound, (sigma_l * a) ** 2 + (sigma_r * r_b) ** 2))
            continue
        work += 1
        middle = 0.5 * (a + b)
        r_m = _shift_for(-_lead(middle, top_l, other_l) + 2.0 * slack, top_r, other_r, 0.5 * (r_a + r_b))
        f_a = (sigma_l * a) ** 2 + (sigma_r * r_a) ** 2
        f_m = (sigma_l * middle) ** 2 + (sigma_r * r_m) ** 2
        f_b = (sigma_l * b) ** 2 + (sigma_r * r_b) ** 2
        best = min(best, f_m)
        whole = _bound(a, b, r_a, r_b, middle, (f_a, f_b, f_m), data)
        if whole >= best * (1.0 - 2.0 * TOLERANCE) or middle <= a or middle >= b:
            answer = min(answer, whole)
            continue
        starts[count], ends[count], r_starts[count], r_ends[count], bounds[count] = a, middle, r_a, r_m, whole
        count += 1
        starts[count], ends[count], r_starts[count], r_ends[count], bounds[count] = middle, b, r_m, r_b, whole
        count += 1
    return math.sqrt(min(answer, best))


@vectorize(cache=True)
def _several_classes(p_l, q_l, p_r, q_r, other_l, other_r, sigma_l, sigma_r):
    if q_l == 0.0 and other_l == 0.0 and q_r == 0.0 and other_r == 0.0:
        return math.inf
    top_l = ndtri_scalar(p_l) if p_l < 0.5 else -ndtri_scalar(q_l)
    top_r = ndtri_scalar(p_r) if p_r < 0.5 else -ndtri_scalar(q_r)
    bound = 60.0  # Phi has left the range of doubles: a certain class is as good as this one
    top_l, top_r = min(max(top_l, -bound), bound), min(max(top_r, -bound), bound)
    z_l, z_r = min(max(ndtri_scalar(other_l), -bound), bound), min(max(ndtri_scalar(other_r), -bound), bound)
    return _several(top_l, z_l, sigma_l, top_r, z_r, sigma_r)


@checks.public
def dual_multiclass_l2(
    p_left: ArrayLike,
    p_right: ArrayLike,
    *,
    p_upper_left: ArrayLike,
    p_upper_right: ArrayLike,
    sigma_left: ArrayLike,
    sigma_right: ArrayLike | None = None,
    q_left: ArrayLike | None = None,
    q_right: ArrayLike | None = None,
) -> Floats:
    """Certify the l2 radius of dual smoothing with bounds for the other classes.  It is exact within 1e-9, and never above.

    Parameters
    ----------
    p_left, p_right, sigma_left, sigma_right, q_left, q_right : array_like
        As in `dual_l2`.
    p_upper_left, p_upper_right : array_like
        Upper bounds of *every* other class's probability in that half: of the largest other count, never of a runner-up picked by
        other samples.

    Returns
    -------
    float64 array
        The least norm at which another class can draw level, from below: by at most 1e-9 relative plus what 4e-15 of probability
        is worth, which shows where the lead itself is that small; 0 where another class leads already.

    Raises
    ------
    InvalidArgumentError
        As `dual_l2`.

    Notes
    -----
    Replaces Xia et al. 2024, eq. (6), which takes Phi^-1 for convex and overclaims where a half is below one half
    (docs/errata.md).  Up to two local minima occur, so the minimum is bounded globally.

    Examples
    --------
    >>> float(dual_multiclass_l2(0.9, 0.3, p_upper_left=0.02, p_upper_right=0.5, sigma_left=1.0)).__round__(6)
    0.967137
    """
    left = arguments.scale("sigma_left", sigma_left)
    right = left if sigma_right is None else arguments.scale("sigma_right", sigma_right)
    one = checks.floats("p_upper_left", p_upper_left, 0.0, 1.0, arguments.PROBABILITIES)
    two = checks.floats("p_upper_right", p_upper_right, 0.0, 1.0, arguments.PROBABILITIES)
    p_l, q_l, p_r, q_r, left, right, one, two = halves(
        p_left, p_right, q_left, q_right, sigma_left=left, sigma_right=right, p_upper_left=one, p_upper_right=two
    )
    largest = np.maximum(left, right)
    radius = _several_classes(p_l, q_l, p_r, q_r, np.minimum(one, q_l), np.minimum(two, q_r), left / largest, right / largest)
    return arguments.certified(radius * largest * (1.0 - 1e-13), radius > 0.0)
