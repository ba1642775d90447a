"""Dual smoothing (Xia et al. 2024): two classifiers on two disjoint halves of the pixels, decided by the sum of their votes.

Two classes.  A perturbation (d_l, d_r) of the halves flips the answer only if d_l/sigma_l + d_r/sigma_r >= z_l + z_r, where
z = Phi^-1(p) of each half: a linear condition, so every norm has a closed form.  A half below one half keeps its negative z.

Several classes.  With p_upper bounding every other class in each half, the radius is the least norm with

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
from ..errors import InvalidArgumentError
from ..numerics.normal import ndtr_scalar, ndtri, ndtri_scalar
from . import arguments

EPS = 2.220446049250313e-16
MARGIN = 1.0 - 1e-14
TOLERANCE = 1e-9
MOST_INTERVALS = 4096
ONE_OVER_ROOT_TWO_PI = 0.3989422804014327


def _z(p: Floats, q: Floats) -> Floats:
    return np.where(p < 0.5, ndtri(p), -ndtri(np.minimum(q, 1.0)))


def _halves(
    p_left: ArrayLike, p_right: ArrayLike, q_left: ArrayLike | None, q_right: ArrayLike | None, **others: Floats
) -> list[Floats]:
    """[p_left, q_left, p_right, q_right, *others], broadcast."""
    p_l, q_l = arguments.failure(p_left, q_left, ("p_left", "q_left"))
    p_r, q_r = arguments.failure(p_right, q_right, ("p_right", "q_right"))
    return checks.together(p_left=p_l, q_left=q_l, p_right=p_r, q_right=q_r, **others)


def _linear(z_l: Floats, z_r: Floats, slope: Floats) -> Floats:
    """(z_l + z_r) / slope, rounded down; 0 where the sum is not positive."""
    with np.errstate(invalid="ignore"):
        total = z_l + z_r
        radius = total / slope * MARGIN - 4.0 * EPS * (np.abs(z_l) + np.abs(z_r)) / slope
    return arguments.certified(np.where(np.isposinf(total), np.inf, radius), total > 0.0)


def dual_l2(
    p_left: ArrayLike,
    p_right: ArrayLike,
    *,
    sigma_left: ArrayLike,
    sigma_right: ArrayLike | None = None,
    q_left: ArrayLike | None = None,
    q_right: ArrayLike | None = None,
) -> Floats:
    """Certified l2 radius of dual smoothing: (z_left + z_right) / hypot(1/sigma_left, 1/sigma_right).  Exact and tight.

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
    p_l, q_l, p_r, q_r, left, right = _halves(p_left, p_right, q_left, q_right, sigma_left=left, sigma_right=right)
    return _linear(_z(p_l, q_l), _z(p_r, q_r), np.hypot(1.0 / left, 1.0 / right))


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
    """Certified lp radius of dual smoothing, every p.  Tight; beyond the paper.

    (z_left + z_right) / ||(a, c)||_(p/(p-1)) with a = dim_left^e / sigma_left, c = dim_right^e / sigma_right,
    e = max(0, 1/2 - 1/p); for p <= 1 the dual norm is the maximum.  Further arguments and errors as `dual_l2`.
    """
    left = arguments.scale("sigma_left", sigma_left)
    right = left if sigma_right is None else arguments.scale("sigma_right", sigma_right)
    p_l, q_l, p_r, q_r, left, right, m, n, order = _halves(
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
    with np.errstate(divide="ignore", over="ignore", under="ignore"):
        slope = np.where(dual > 0.0, large * (1.0 + (small / large) ** (1.0 / dual)) ** dual, large)
    return _linear(_z(p_l, q_l), _z(p_r, q_r), slope * (1.0 + 2e-14))


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
    """Certified l1 radius of dual smoothing with generalised Gaussian noise (Laplace by default).  Tight; beyond the paper.

    min(scale_left, scale_right) (F^-1(p_left) + F^-1(p_right)), F of unit scale; see `generalized_gaussian_l1`.
    """
    from .l1 import QUANTILE_MARGIN, upper_quantile

    left = arguments.scale("scale_left", scale_left)
    right = left if scale_right is None else arguments.scale("scale_right", scale_right)
    shape = checks.floats("shape", shape, 1.0, 1000.0, "shapes from 1 to 1000")
    p_l, q_l, p_r, q_r, left, right, shape = _halves(
        p_left, p_right, q_left, q_right, scale_left=left, scale_right=right, shape=shape
    )
    quantile = np.vectorize(lambda p, q, s: upper_quantile(q, s) if p >= 0.5 else -upper_quantile(p, s), otypes=[np.float64])
    one, two = quantile(p_l, q_l, shape), quantile(p_r, q_r, shape)
    with np.errstate(invalid="ignore"):
        total = one + two
        radius = total * MARGIN - 2.0 * QUANTILE_MARGIN * (np.abs(one) + np.abs(two))
    radius = np.where(np.isposinf(total), np.inf, radius)
    return arguments.certified(np.minimum(left, right) * radius, total > 0.0)


# ---------------------------------------------------------------- several classes


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
def _bound(a, b, t_r_at_a, t_r_at_b, f_a, f_b, middle, f_m, data):
    """A lower bound of f on t in [a, b]; t_r falls from t_r_at_a to t_r_at_b."""
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
    slack = 4e-16  # of every g: what rounding may do to it, always to the smaller radius
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
        whole = _bound(a, b, r_a, r_b, f_a, f_b, middle, f_m, data)
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
    """Certified l2 radius of dual smoothing with bounds for the other classes; exact, within 1e-9, and never above.

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
        The least norm at which another class can draw level, from below: by at most 1e-9 relative plus what 2e-15 of probability
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
    p_l, q_l, p_r, q_r, left, right, one, two = _halves(
        p_left, p_right, q_left, q_right, sigma_left=left, sigma_right=right, p_upper_left=one, p_upper_right=two
    )
    largest = np.maximum(left, right)
    with np.errstate(all="ignore"):
        radius = _several_classes(p_l, q_l, p_r, q_r, np.minimum(one, q_l), np.minimum(two, q_r), left / largest, right / largest)
    return arguments.certified(radius * largest * (1.0 - 1e-13), radius > 0.0)


# ---------------------------------------------------------------- k partitions

# min Sum (sigma_j t_j)² subject to Sum Phi(z_j - t_j) <= k/2, t >= 0 (t = d/sigma).  Each node of a branch and bound is a box in
# t; its bound is the Lagrangian dual max_mu Sum_j min_t [(sigma_j t)² + 2 mu Phi(z_j - t)] - mu k, sound for any mu.  The inner
# minimum is exact: with l(t) = log(sigma² t) + (z - t)²/2 the function falls where l < log mu', so its minima lie at the box's
# ends and on l's increasing branches, below t- and above t+ = (z ± sqrt(z² - 4))/2 where z > 2, one each.


@njit(cache=True, error_model="numpy")
def _branch_root(low, high, z, log_level):
    """The t in [low, high] with log t + (z - t)²/2 = log_level, where the left side increases; an end if there is none.

    Safeguarded Newton in log t, to rounding: anything less would make the inner minimum, and with it the bound, too large.
    """
    low, high = math.log(low), math.log(high)
    y = 0.5 * (low + high)
    for _ in range(200):
        t = math.exp(y)
        value = y + 0.5 * (z - t) * (z - t) - log_level
        if value > 0.0:
            high = y
        else:
            low = y
        slope = 1.0 + t * (t - z)
        new = y - value / slope if slope > 0.0 else high + 1.0
        if not low < new < high:
            new = 0.5 * (low + high)
        if abs(new - y) <= 1e-15 or not low < new < high:
            return math.exp(new)
        y = new
    return math.exp(y)


@njit(cache=True, error_model="numpy")
def _inner(a, b, z, sigma, mu):
    """(minimum over t in [a, b] of (sigma t)² + 2 mu Phi(z - t), where)."""
    best_t = a
    best = (sigma * a) ** 2 + 2.0 * mu * ndtr_scalar(z - a)
    value = (sigma * b) ** 2 + 2.0 * mu * ndtr_scalar(z - b)
    if value < best:
        best, best_t = value, b
    log_level = math.log(mu * ONE_OVER_ROOT_TWO_PI) - 2.0 * math.log(sigma)
    tiny = 1e-290
    if z <= 2.0:
        low, high = max(a, tiny), b
        t = _branch_root(low, high, z, log_level) if low < high else a
        value = (sigma * t) ** 2 + 2.0 * mu * ndtr_scalar(z - t)
        if value < best:
            best, best_t = value, t
        return best, best_t
    root = math.sqrt(z * z - 4.0)
    turn_low, turn_high = 2.0 / (z + root), 0.5 * (z + root)
    low, high = max(a, tiny), min(b, turn_low)
    if low < high:
        t = _branch_root(low, high, z, log_level)
        value = (sigma * t) ** 2 + 2.0 * mu * ndtr_scalar(z - t)
        if value < best:
            best, best_t = value, t
    low, high = max(a, turn_high), b
    if low < high:
        t = _branch_root(low, high, z, log_level)
        value = (sigma * t) ** 2 + 2.0 * mu * ndtr_scalar(z - t)
        if value < best:
            best, best_t = value, t
    return best, best_t


@njit(cache=True, error_model="numpy")
def _dual_value(low, high, z, sigma, mu, t):
    """(Lagrangian bound at mu, Sum 2 Phi(z - t) - k at its minimisers, which go to t)."""
    total = 0.0
    excess = 0.0
    for j in range(len(z)):
        value, t[j] = _inner(low[j], high[j], z[j], sigma[j], mu)
        total += (value - mu) - 16.0 * EPS * mu  # what rounding may have added
        excess += 2.0 * (ndtr_scalar(z[j] - t[j]) - 0.5)
    return total, excess


@njit(cache=True, error_model="numpy")
def _node(low, high, z, sigma, t_above, t_below):
    """(bound, cost of a feasible point or inf): bisection of log mu on the sign of the supergradient."""
    k = len(z)
    left = 0.0
    for j in range(k):
        left += ndtr_scalar(z[j] - high[j]) - 0.5
    if left > 0.0:
        return math.inf, math.inf  # no point of the box flips the answer
    down, up = -60.0, 60.0
    scale = 0.0
    for j in range(k):
        scale = max(scale, 2.0 * math.log(sigma[j]))
    bound = 0.0
    for j in range(k):
        bound += (sigma[j] * low[j]) ** 2
    cost = math.inf
    for _ in range(70):
        middle = 0.5 * (down + up)
        value, excess = _dual_value(low, high, z, sigma, math.exp(middle + scale), t_above)
        bound = max(bound, value)
        if excess > 0.0:
            down = middle
        else:
            up = middle
        if up - down < 1e-13 * max(1.0, abs(middle)):
            break
    value, _ = _dual_value(low, high, z, sigma, math.exp(down + scale), t_below)
    bound = max(bound, value)
    value, excess = _dual_value(low, high, z, sigma, math.exp(up + scale), t_above)
    bound = max(bound, value)
    if excess <= 0.0:
        cost = 0.0
        for j in range(k):
            cost += (sigma[j] * t_above[j]) ** 2
    return bound, cost


@njit(cache=True, error_model="numpy")
def _partition(z, sigma):
    """Certified lower bound of the least squared norm: best-first branch and bound."""
    k = len(z)
    most = 2000
    lows, highs, bounds = np.zeros((most, k)), np.empty((most, k)), np.empty(most)
    t_above, t_below = np.empty(k), np.empty(k)
    # An attack that flips: every part shifted by the same number of its deviations; the best point lies within its norm.
    reach = 1e-3
    for _ in range(200):
        left = 0.0
        for j in range(k):
            left += ndtr_scalar(z[j] - reach) - 0.5
        if left <= 0.0:
            break
        reach *= 1.5
    best = 0.0
    for j in range(k):
        best += (sigma[j] * reach) ** 2
    for j in range(k):
        highs[0, j] = math.sqrt(best) / sigma[j] * (1.0 + 1e-12)
    bound, cost = _node(lows[0], highs[0], z, sigma, t_above, t_below)
    best = min(best, cost)
    bounds[0] = bound
    count, finished = 1, math.inf
    for _ in range(most - 2):
        at = -1
        for i in range(count):
            if bounds[i] < best * (1.0 - 2.0 * TOLERANCE) and (at < 0 or bounds[i] < bounds[at]):
                at = i
        if at < 0 or count >= most - 1:
            break
        # Split where the dual's minimiser jumps, halfway between what it jumps from and to.
        _node(lows[at], highs[at], z, sigma, t_above, t_below)
        j_split, jump = 0, -1.0
        for j in range(k):
            size = abs(t_above[j] - t_below[j]) * sigma[j]
            if size > jump:
                jump, j_split = size, j
        if jump * jump < 1e-20 * best:  # no jump: halve the widest side instead
            for j in range(k):
                size = (highs[at, j] - lows[at, j]) * sigma[j]
                if size > jump:
                    jump, j_split = size, j
            cut = 0.5 * (lows[at, j_split] + highs[at, j_split])
        else:
            cut = 0.5 * (t_above[j_split] + t_below[j_split])
        if not lows[at, j_split] < cut < highs[at, j_split]:
            finished = min(finished, bounds[at])
            bounds[at] = math.inf
            continue
        lows[count], highs[count] = lows[at], highs[at]
        lows[count, j_split] = cut
        highs[at, j_split] = cut
        parent = bounds[at]
        for i in (at, count):
            bound, cost = _node(lows[i], highs[i], z, sigma, t_above, t_below)
            bounds[i] = max(bound, parent)
            best = min(best, cost)
        count += 1
    answer = min(best, finished)
    for i in range(count):
        answer = min(answer, bounds[i])
    return answer


@njit(cache=True, error_model="numpy")
def _partition_rows(z, sigma, lead, out):
    for i in range(len(z)):
        out[i] = math.sqrt(max(_partition(z[i], sigma[i]), 0.0)) if lead[i] > 0.0 else 0.0


def partition_l2(p_lower: ArrayLike, *, sigma: ArrayLike, q_upper: ArrayLike | None = None) -> Floats:
    """Certified l2 radius of smoothing in k disjoint parts whose votes are added; exact within 1e-9 and never above.

    Parameters
    ----------
    p_lower : array_like, shape (..., k)
        Lower bounds of the class's probability in each part, jointly confident; the last axis runs over the parts, k >= 1.
    sigma : array_like, broadcast against p_lower
        Noise level of each part, positive.
    q_upper : array_like, optional
        Upper bounds of 1 - p_lower.

    Returns
    -------
    float64 array, shape (...)
        The least norm at which the parts' probabilities can add up to k/2, from below: by at most 1e-9 relative plus what 1e-15 k
        of probability is worth; 0 where they already do.

    Raises
    ------
    InvalidArgumentError
        No parts, probabilities outside [0, 1], sigma not positive, shapes that do not broadcast.

    Notes
    -----
    Xia et al. 2024, Appendix A.3, whose symmetric point Sum z / sqrt k is a saddle for unequal parts and from k = 3 on also for
    equal ones: it overclaims (docs/errata.md).  The problem is not convex where some z_j > 2, hence branch and bound.

    Examples
    --------
    >>> float(partition_l2([0.9, 0.8, 0.95], sigma=1.0)).__round__(6)
    2.175007
    """
    p, q = arguments.failure(p_lower, q_upper)
    p, q, sigma = checks.together(p_lower=p, q_upper=q, sigma=arguments.scale("sigma", sigma))
    if p.ndim == 0 or p.shape[-1] == 0:
        raise InvalidArgumentError(
            f"p_lower has shape {p.shape}: give probabilities of at least one part, parts on the last axis."
        )
    k = p.shape[-1]
    z = np.clip(_z(p, q), -37.0, 37.0)  # Phi has left the range of doubles: a certain part counts as 37
    lead = (0.5 - q).sum(axis=-1) - 1e-16 * k
    largest = sigma.max(axis=-1)
    out = np.empty(lead.size)
    with np.errstate(all="ignore"):
        _partition_rows(
            np.ascontiguousarray(z).reshape(-1, k),
            np.ascontiguousarray(sigma / largest[..., None]).reshape(-1, k),
            np.ascontiguousarray(lead).reshape(-1),
            out,
        )
    return arguments.certified((out * (1.0 - 2e-13)).reshape(lead.shape) * largest, lead > 0.0)
