"""Input-dependent smoothing in arbitrary precision, by the text of the paper: quantiles and tails, no shared algebra."""

from __future__ import annotations

import mpmath as mp

from tests.reference import ncx2_exact


def log_tails(df, nc, x):
    return ncx2_exact.log_tails(df, nc, x) if nc > 0 else ncx2_exact.series(df, 0, x)


def quantile(df, nc, log_p, start):
    """The x with log cdf = log_p, by the secant method on the logarithm from a float64 start."""
    with mp.workdps(70):
        low, high = mp.mpf(start) * (1 - mp.mpf("1e-9")), mp.mpf(start) * (1 + mp.mpf("1e-9"))
        f_low, f_high = (log_tails(df, nc, x)[0] - log_p for x in (low, high))
        for _ in range(12):
            new = high - f_high * (high - low) / (f_high - f_low)
            low, f_low = high, f_high
            high, f_high = new, log_tails(df, nc, new)[0] - log_p
            if abs(f_high) < mp.mpf("1e-45"):
                return high
        raise ArithmeticError("the secant method has not converged")


def xi(a, p, sigma0, sigma1, dim, start):
    """xi_> or xi_< of §2 of the paper, by its text, with p the class's probability; start(df, nc, p) gives a first quantile."""
    with mp.workdps(70):
        a, p, s0, s1 = (mp.mpf(value) for value in (a, p, sigma0, sigma1))
        gap = s0 * s0 - s1 * s1
        nc0, nc1 = (s0 * a / gap) ** 2, (s1 * a / gap) ** 2
        share = 1 - p if gap > 0 else p
        x = quantile(dim, nc0, mp.log(share), start(dim, nc0, share))
        low, high = log_tails(dim, nc1, x * s0 * s0 / (s1 * s1))
        return mp.exp(low) if gap > 0 else mp.exp(high)


def ball(delta, sigma0, sigma1, dim, log_r, *, printed=False):
    """(offset of the centre from x0 along delta, squared radius) of the worst region with likelihood ratio r.

    printed: with the coefficient that the paper prints for sigma0 < sigma1.
    """
    s0, s1 = sigma0 * sigma0, sigma1 * sigma1
    if sigma0 > sigma1:
        gap = s0 - s1
        centre = s0 / gap * delta
        square = s0 * s1 / gap**2 * delta**2 + 2 * s0 * s1 / gap * (dim * mp.log(mp.mpf(sigma0) / sigma1) + log_r)
    else:
        gap = s1 - s0
        centre = -s0 / gap * delta
        top = 2 * s0 * s0 - s0 * s1 if printed else s0 * s1
        square = top / gap**2 * delta**2 + 2 * s0 * s1 / gap * (dim * mp.log(mp.mpf(sigma1) / sigma0) - log_r)
    return centre, square
