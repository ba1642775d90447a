"""Smoothing in k disjoint parts whose votes are added (Xia et al. 2024, Appendix A.3): a minimum bounded from below.

The problem: min Sum (sigma_j t_j)² subject to Sum Phi(z_j - t_j) <= k/2, t >= 0 (t = d/sigma), not convex where a z_j exceeds 2.

Each node of a branch and bound is a box in t; its bound is the Lagrangian dual
max_mu Sum_j min_t [(sigma_j t)² + 2 mu Phi(z_j - t)] - mu k, sound for any mu.  The inner minimum is exact: with
l(t) = log(sigma² t) + (z - t)²/2 the function falls where l < log mu', so its minima lie at the box's ends and on l's increasing
branches, below t- and above t+ = (z ± sqrt(z² - 4))/2 where z > 2, one each.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import ArrayLike

from .. import checks
from ..checks import Floats
from ..errors import InvalidArgumentError
from ..numerics.normal import ndtr_scalar
from . import arguments
from .dual import EPS, z_of
from .dual_multiclass import ONE_OVER_ROOT_TWO_PI, TOLERANCE


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
def _on_branch(low, high, z, sigma, mu, log_level, best, best_t):
    """The better of (best, best_t) and the minimum on one increasing branch of l, if the box has a part of it."""
    if low < high:
        t = _branch_root(low, high, z, log_level)
        value = (sigma * t) ** 2 + 2.0 * mu * ndtr_scalar(z - t)
        if value < best:
            return value, t
    return best, best_t


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
        return _on_branch(max(a, tiny), b, z, sigma, mu, log_level, best, best_t)
    root = math.sqrt(z * z - 4.0)
    turn_low, turn_high = 2.0 / (z + root), 0.5 * (z + root)
    best, best_t = _on_branch(max(a, tiny), min(b, turn_low), z, sigma, mu, log_level, best, best_t)
    return _on_branch(max(a, turn_high), b, z, sigma, mu, log_level, best, best_t)


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
    if left > 4.0 * EPS * k:
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
def _attack(z, sigma):
    """The squared norm of an attack that flips, in which every part is shifted by the same number of its deviations."""
    reach = 1e-3
    for _ in range(200):
        left = 0.0
        for j in range(len(z)):
            left += ndtr_scalar(z[j] - reach) - 0.5
        if left <= 0.0:
            break
        reach *= 1.5
    best = 0.0
    for j in range(len(z)):
        best += (sigma[j] * reach) ** 2
    return best


@njit(cache=True, error_model="numpy")
def _partition(z, sigma):
    """Certified lower bound of the least squared norm: best-first branch and bound."""
    k = len(z)
    most = 2000
    lows, highs, bounds = np.zeros((most, k)), np.empty((most, k)), np.empty(most)
    t_above, t_below = np.empty(k), np.empty(k)
    best = _attack(z, sigma)
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


@checks.public
def partition_l2(p_lower: ArrayLike, *, sigma: ArrayLike, q_upper: ArrayLike | None = None) -> Floats:
    """Certify the l2 radius of smoothing in k disjoint parts whose votes are added.  It is exact within 1e-9 and never above.

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
    z = np.clip(z_of(p, q), -37.0, 37.0)  # Phi has left the range of doubles: a certain part counts as 37
    lead = (0.5 - q).sum(axis=-1) - 1e-16 * k
    largest = sigma.max(axis=-1)
    out = np.empty(lead.size)
    _partition_rows(
        np.ascontiguousarray(z).reshape(-1, k),
        np.ascontiguousarray(sigma / largest[..., None]).reshape(-1, k),
        np.ascontiguousarray(lead).reshape(-1),
        out,
    )
    return arguments.certified((out * (1.0 - 2e-13)).reshape(lead.shape) * largest, lead > 0.0)
