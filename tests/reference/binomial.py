"""Binomial tails by summing their terms in 50 digits: slow and obvious."""

import mpmath as mp

mp.mp.dps = 50


def _sum_down(k, n, p, q):
    """P(X <= k) for X ~ Bin(n, p) below the mean, where the terms shrink."""
    log_term = mp.loggamma(n + 1) - mp.loggamma(k + 1) - mp.loggamma(n - k + 1) + k * mp.log(p) + (n - k) * mp.log(q)
    total = term = mp.mpf(1)
    while k > 0 and term > total * mp.mpf(10) ** -40:
        term *= k * q / ((n - k + 1) * p)
        total += term
        k -= 1
    return mp.exp(log_term) * total


def binom_cdf(k, n, p, q=None):
    """P(X <= k) for X ~ Bin(n, p); pass q = 1 - p where p is within rounding of 1."""
    p, q = (mp.mpf(p), 1 - mp.mpf(p)) if q is None else (1 - mp.mpf(q), mp.mpf(q))
    if k >= n:
        return mp.mpf(1)
    return _sum_down(k, n, p, q) if k + 1 <= (n + 1) * p else 1 - _sum_down(n - k - 1, n, q, p)
