"""A bet against "the failure probability is at least e" that may be checked, stopped and continued at any time.

With S successes and F failures so far and bets f_i < e of weight w_i, sum of w_i <= 1,

    M = sum_i w_i ((1 - f_i) / (1 - e))^S (f_i / e)^F.

Under a failure probability e' >= e one draw multiplies bet i by (1 - e') (1 - f_i) / (1 - e) + e' f_i / e on average, which
falls in e' and is 1 at e' = e: M is a non-negative supermartingale of mean at most 1, and P(M >= 1 / alpha at any time) <= alpha
(Ville 1939).  Every f_i is used as the double that it is; what is rounded is bounded and taken off M.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from ..numerics.normal import ndtr_scalar, ndtri_scalar

# Sixteen bets on a success probability of Phi(z + distance), for thresholds at Phi(z), and one on (nearly) no failures at all.
NEAR, FAR, NEAR_BETS, NEAR_WEIGHT = 0.02, 3.0, 16, 0.6
SURE, SURE_WEIGHT = 8.0, 0.4


@njit(cache=True, error_model="numpy")
def bets(e):
    """Return (failure probabilities f_i < e; weights w_i) for the threshold at failure probability e."""
    z = -ndtri_scalar(e)
    f, w = np.empty(NEAR_BETS + 1), np.empty(NEAR_BETS + 1)
    for i in range(NEAR_BETS):
        f[i] = ndtr_scalar(-(z + NEAR * (FAR / NEAR) ** (i / (NEAR_BETS - 1.0))))
        w[i] = NEAR_WEIGHT / NEAR_BETS * (1.0 - 1e-15)
    f[NEAR_BETS], w[NEAR_BETS] = ndtr_scalar(-(z + SURE)), SURE_WEIGHT * (1.0 - 1e-15)
    return f, w


@njit(cache=True, error_model="numpy")
def _log_ratio(e, f):
    """log(e / f) for e > f > 0, to 5e-16 relative."""
    if e < 2.0 * f:
        return math.log1p((e - f) / f)
    return math.log(e / f) if f > 1e-300 else math.log(e) - math.log(f)


@njit(cache=True, error_model="numpy")
def log_wealth(successes, failures, e, f, w):
    """Return log M, rounded down."""
    largest, logs = -math.inf, np.empty(len(f))
    for i in range(len(f)):
        if f[i] <= 0.0 or f[i] >= e:  # below the range of doubles: no bet
            logs[i] = -math.inf
            continue
        won = successes * math.log1p((e - f[i]) / (1.0 - e))
        lost = failures * _log_ratio(e, f[i])
        logs[i] = math.log(w[i]) + (won - lost) - 1.5e-15 * (won + lost + 10.0)
        largest = max(largest, logs[i])
    if largest == -math.inf:
        return -math.inf
    total = 0.0
    for i in range(len(f)):
        total += math.exp(logs[i] - largest)
    return largest + math.log(total) - 1e-14 - 4e-16 * abs(largest)


@njit(cache=True, error_model="numpy")
def most_failures(looks, failure, alpha):
    """Return the most failures after n draws with which M >= 1 / alpha, -1 for none: int64 [K, J]; M falls in the failures."""
    goal = -math.log(alpha) * (1.0 + 4e-16)
    most = np.full((len(looks), len(failure)), -1, dtype=np.int64)
    for j in range(len(failure)):
        e = failure[j]
        if e <= 0.0:
            continue
        f, w = bets(e)
        for k in range(len(looks)):
            n = looks[k]
            low, high = np.int64(-1), int(n * e) + 2  # with the mean's failures no bet has won
            high = min(high, n + 1)
            if k > 0:
                low = min(most[k - 1, j], high - 1)
                if low >= 0 and log_wealth(float(n - low), float(low), e, f, w) < goal:
                    low = np.int64(-1)
            while high - low > 1:
                middle = (low + high) // 2
                if log_wealth(float(n - middle), float(middle), e, f, w) >= goal:
                    low = middle
                else:
                    high = middle
            most[k, j] = low
    return most
