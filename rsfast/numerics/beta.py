"""Binomial tails and the exact (Clopper-Pearson) bounds of a binomial probability.

Why this is accurate.  A tail is its largest term times a sum of ratios:

    P(X <= f) = pmf(f) * R,   X ~ Bin(n, q),   f + 1 <= (n + 1) q

* pmf(f) in Loader's saddle-point form ("Fast and accurate computation of binomial probabilities", 2000): Stirling
  remainders and deviances, so that no large logarithms cancel.
* R by the contracted continued fraction of Didonato and Morris (ACM TOMS 708, 1992), 20 to 100 terms two or more standard
  deviations from the mean, whatever n.

The smaller tail is always the one computed, and f - n q is formed with an exact product, so that nothing cancels up to
n = 2^53.  Measured against 50-digit arithmetic (tests/numerics/test_beta.py): log tails to
3e-15 + 5e-16 abs(log tail); bounds typically to 5e-15 relative, always on the safe side.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit, vectorize
from numpy.typing import ArrayLike

from .compensated import deviance, minus_product
from .elementwise import apply
from .normal import ndtr_scalar

EPS = 2.220446049250313e-16
LARGEST_EXACT = 9007199254740992.0  # 2^53: up to here every whole number is a double
ONE_OVER_ROOT_TWO_PI = 0.3989422804014327

# log k! - ((k + 1/2) log k - k + log(2 pi) / 2), k = 0 … 15
STIRLING = (
    0.0, 0.08106146679532726, 0.0413406959554093, 0.02767792568499834, 0.020790672103765093, 0.016644691189821193,
    0.013876128823070748, 0.01189670994589177, 0.010411265261972096, 0.00925546218271273, 0.008330563433362871,
    0.007573675487951841, 0.00694284010720953, 0.006408994188004207, 0.0059513701127588475, 0.005554733551962801,
)  # fmt: skip


@njit(cache=True, error_model="numpy")
def _stirling(n):
    if n < 16.0:
        return STIRLING[int(n)]
    t = 1.0 / (n * n)
    return (1 / 12 - (1 / 360 - (1 / 1260 - (1 / 1680 - t / 1188) * t) * t) * t) / n


@njit(cache=True, error_model="numpy")
def _over_mean(f, n, q, p):
    """f - n q, from whichever of q and p is the small, exact one."""
    return minus_product(f, n, q) if q <= p else -minus_product(n - f, n, p)


@njit(cache=True, error_model="numpy")
def _log_pmf(f, n, q, p):
    """log P(X = f) for X ~ Bin(n, q), p = 1 - q."""
    if f == 0.0:
        return n * (math.log1p(-q) if q < 0.5 else math.log(p))
    if f == n:
        return n * (math.log1p(-p) if p < 0.5 else math.log(q))
    remainder = _stirling(n) - _stirling(f) - _stirling(n - f) + 0.5 * math.log(n / (2.0 * math.pi * f * (n - f)))
    over = _over_mean(f, n, q, p)
    return remainder - deviance(f, n * q, over) - deviance(n - f, n * p, -over)


@njit(inline="always", error_model="numpy")
def _partial(m, a, b, below, n, p):
    """(numerator, denominator) of the m-th step of the continued fraction."""
    place = a + 2.0 * m
    top = (a + m - 1.0) * (n + m) * m * (b - m) * (p / (place - 1.0)) ** 2
    return top, m + m * (b - m) * p / (place - 1.0) + (a + m) * (below + m * (2.0 - p)) / (place + 1.0)


@njit(cache=True, error_model="numpy")
def _tail_over_pmf(a, b, below, n, q, p):
    """P(X <= f) / P(X = f) for a = n - f, b = f + 1 and below = (n + 1) q - f >= 1; NaN if the fraction does not settle.

    Forwards (Lentz) to find how many steps it takes; if many, whose roundings add up, again backwards, where they shrink.
    """
    first = a * below / (a + 1.0)
    value, c, d = first, first, 0.0
    for m in range(1, 1_000_000):
        top, bottom = _partial(m, a, b, below, n, p)
        d = 1.0 / (bottom + top * d)
        c = bottom + top / c
        value *= c * d
        if abs(c * d - 1.0) <= EPS:
            if m > 300:
                rest = 0.0
                for j in range(m, 0, -1):
                    top, bottom = _partial(j, a, b, below, n, p)
                    rest = top / (bottom + rest)
                value = first + rest
            return a * q / value
    return math.nan


@njit(cache=True, error_model="numpy")
def _centre(a, b, shift, q, p):
    """(w, c): P(X <= f) = Phi(w) + c, P(X > f) = Phi(-w) - c, for a = n - f, b = f + 1 and shift = f + 1 - (n + 1) q.

    Temme's uniform expansion (SIAM J. Math. Anal. 18, 1987; DLMF 8.18.9); what it leaves out is (a b / (a + b))^(-3/2), below
    rounding where it is used.  c cancels for small shifts; there its series in t / sqrt(a + b).
    """
    total = a + b
    spread = math.sqrt(a / total * b)
    t = shift / spread
    d = deviance(a, total * p, -shift) + deviance(b, total * q, shift)
    w = math.copysign(math.sqrt(2.0 * d), shift)
    if abs(t) < 0.3:
        product = a / total * (b / total)
        skew = (b - a) / total / math.sqrt(product)
        c = (skew / 3.0 - (1.0 / product - 1.0) / 12.0 * (t / math.sqrt(total))) / math.sqrt(total)
    else:
        c = 1.0 / w - 1.0 / t
    return w, ONE_OVER_ROOT_TWO_PI * math.exp(-d) * c


@njit(cache=True, error_model="numpy")
def _tails(f, n, q, p):
    """(log P(X <= f), log P(X > f), log P(X = f)) for X ~ Bin(n, q) and 0 <= f < n, p = 1 - q; at least one tail is small.

    Written in f and f - n q throughout: beyond 2^53 neither f + 1 nor n - f need be doubles, and one success still counts.
    """
    over = _over_mean(f, n, q, p)
    a, b = n - f, f + 1.0
    log_pmf = _log_pmf(f, n, q, p)
    shift = over + p
    spread = a / (n + 1.0) * b
    if spread > 1e9 and shift * shift < 9.0 * spread:
        w, c = _centre(a, b, shift, q, p)
        return math.log(ndtr_scalar(w) + c), math.log(ndtr_scalar(-w) - c), log_pmf
    if shift <= 0.0:  # f + 1 <= (n + 1) q
        lower = min(log_pmf + math.log(_tail_over_pmf(a, b, q - over, n, q, p)), 0.0)
        return lower, math.log1p(-math.exp(lower)), log_pmf
    log_next = _log_pmf(a - 1.0, n, p, q) if n <= LARGEST_EXACT else log_pmf + math.log(a / b * (q / p))
    upper = min(log_next + math.log(_tail_over_pmf(b, a, shift + 1.0, n, p, q)), 0.0)
    return math.log1p(-math.exp(upper)), upper, log_pmf


@njit(cache=True, error_model="numpy")
def log_tail(f, n, q, p):
    """Return (log P(X <= f), pmf(f) / P(X <= f)) for X ~ Bin(n, q), p = 1 - q; the smaller of q and p is taken as exact."""
    if f < 0.0:
        return -math.inf, math.nan
    if f >= n:
        return 0.0, math.exp(_log_pmf(n, n, q, p))
    lower, _, log_pmf = _tails(f, n, q, p)
    return lower, math.exp(log_pmf - lower)


@njit(cache=True, error_model="numpy")
def log_tail_error(log_tail):
    """Bound the error of `log_tail` by twice the largest measured over 20,000 tails down to e^-1000."""
    return 7e-15 - 1.2e-15 * log_tail


@njit(cache=True, error_model="numpy")
def _in_domain(k, n, alpha):
    return 1.0 <= n <= LARGEST_EXACT and 0.0 <= k <= n and k == math.floor(k) and n == math.floor(n) and 0.0 < alpha < 1.0


@njit(cache=True, error_model="numpy")
def _solve(f, n, alpha, q, p):
    """The smaller of q and p = 1 - q at which P(Bin(n, q) <= f) = alpha, and a bound on its relative error.

    Whichever of the starting q and p is smaller is the unknown.  Newton inside a bracket, for q on sqrt(-2 log tail),
    which is nearly linear in q (on log tail for alpha above 0.1), for p on log tail against log p, which is nearly linear
    for small p.
    """
    of_q = q <= p
    x = q if of_q else p
    low, high = (0.0, 0.5) if of_q else (1e-308, 0.5)
    target = math.log(alpha)
    noise = log_tail_error(target)
    if alpha > 0.5:  # the other tail is the one computed
        noise = log_tail_error(math.log1p(-alpha)) * (1.0 - alpha) / alpha
    for _ in range(200):
        tail, hazard = log_tail(f, n, x, 1.0 - x) if of_q else log_tail(f, n, 1.0 - x, x)
        if math.isnan(tail):
            break
        too_likely = tail > target  # q must grow, p must shrink
        if too_likely == of_q:
            low = x
        else:
            high = x
        slope = -(n - f) * hazard / (1.0 - x if of_q else x)  # d tail / dq
        if not of_q:
            slope = -slope
            new = x * math.exp(min(max((target - tail) / (slope * x), -700.0), 700.0))
        elif alpha < 0.1 and tail < -0.5:
            s, goal = math.sqrt(-2.0 * tail), math.sqrt(-2.0 * target)
            new = x + (s - goal) * s / slope
        else:
            new = x + (target - tail) / slope
        if abs(new - x) <= 2.0 * EPS * x or high - low <= 2.0 * EPS * high:
            error = abs(tail - target) + noise
            return x, error / abs(slope * x) + 16.0 * EPS
        middle = 0.5 * (low + high) if of_q else math.sqrt(low) * math.sqrt(high)
        x = new if low < new < high else middle
    return math.nan, math.nan


@njit(cache=True, error_model="numpy")
def failure_bounds(f, n, alpha):
    """Return (q, p): the least q with P(Bin(n, q) <= f) <= alpha, rounded up, and p = 1 - q, rounded down; NaN off the domain.

    q is the exact one-sided upper confidence bound, at level 1 - alpha, of a probability seen f times in n.
    """
    if not _in_domain(f, n, alpha):
        return math.nan, math.nan
    if f == n:
        return 1.0, 0.0
    if f == 0.0:
        per_trial = math.log(alpha) / n
        margin = 4.0 * EPS * (1.0 - per_trial)
        return min(-math.expm1(per_trial) * (1.0 + margin), 1.0), math.exp(per_trial) * (1.0 - margin)
    # Wilson's interval with a continuity correction is within a fraction of a standard deviation of the answer.
    z = math.sqrt(max(-2.0 * math.log(2.0 * min(alpha, 1.0 - alpha)), 0.0)) * 0.85
    z = z if alpha < 0.5 else -z
    share = (f + 0.5) / n
    start = (share + z * z / (2.0 * n) + z * math.sqrt(max(share * (1.0 - share), 0.0) / n + z * z / (4.0 * n * n))) / (
        1.0 + z * z / n
    )
    half, _ = log_tail(f, n, 0.5, 0.5)
    if half > math.log(alpha):  # q is above one half: solve for p
        p, error = _solve(f, n, alpha, 1.0, min(max(1.0 - start, 1e-300), 0.5))
        p = p * (1.0 - error) if p > 1e-300 else 0.0
        return min((1.0 - p) * (1.0 + EPS), 1.0), p
    q, error = _solve(f, n, alpha, min(max(start, 1e-300), 0.5), 1.0)
    q *= 1.0 + error
    return q, (1.0 - q) * (1.0 - EPS)


@vectorize(cache=True)
def _upper(k, n, alpha):
    return failure_bounds(k, n, alpha)[0]


@vectorize(cache=True)
def _lower(k, n, alpha):
    return failure_bounds(n - k, n, alpha)[1]


@njit(cache=True, error_model="numpy")
def _defined(n, p):
    return 0.0 <= p <= 1.0 and 0.0 <= n <= 1e30 and n == np.floor(n)


@vectorize(cache=True)
def _logcdf(k, n, p):
    if not _defined(n, p) or math.isnan(k):
        return math.nan
    f = np.floor(k)
    if f < 0.0 or (p == 1.0 and f < n):
        return -math.inf
    if f >= n or p == 0.0:
        return 0.0
    return _tails(f, n, p, 1.0 - p)[0]


@vectorize(cache=True)
def _logsf(k, n, p):
    if not _defined(n, p) or math.isnan(k):
        return math.nan
    f = np.floor(k)
    if f < 0.0 or (p == 1.0 and f < n):
        return 0.0
    if f >= n or p == 0.0:
        return -math.inf
    return _tails(f, n, p, 1.0 - p)[1]


def binomial_upper(k: ArrayLike, n: ArrayLike, alpha: ArrayLike) -> Any:
    """Return the exact upper confidence bound, at level 1 - alpha, of a probability seen k times in n, rounded up.

    NaN unless 0 <= k <= n <= 2^53 are whole, n >= 1 and 0 < alpha < 1.
    """
    return apply(_upper, k=k, n=n, alpha=alpha)


def binomial_lower(k: ArrayLike, n: ArrayLike, alpha: ArrayLike) -> Any:
    """Return the exact lower confidence bound, at level 1 - alpha, of a probability seen k times in n, rounded down; see
    `binomial_upper`.
    """
    return apply(_lower, k=k, n=n, alpha=alpha)


def binom_logcdf(k: ArrayLike, n: ArrayLike, p: ArrayLike) -> Any:
    """Return log P(Bin(n, p) <= k), as scipy.stats.binom.logcdf, for n up to 1e30; it is NaN beyond, for p outside [0, 1] and n
    not whole.
    """
    return apply(_logcdf, k=k, n=n, p=p)


def binom_logsf(k: ArrayLike, n: ArrayLike, p: ArrayLike) -> Any:
    """Return log P(Bin(n, p) > k), as scipy.stats.binom.logsf, on the domain of `binom_logcdf`."""
    return apply(_logsf, k=k, n=n, p=p)
