"""The non-central chi-square distribution in arbitrary precision, three ways.

`contour`   A >= 1000: the plain trapezoidal rule on a circle that keeps away from the pole: no pole correction, another circle.
`series`    small parameters: Poisson mixtures and 1F1, positive terms only.
`real_space` the integral over the central part of the density times differences of Phi: nothing complex in it.
"""

from __future__ import annotations

import mpmath as mp

DIGITS = 60


def contour(df, nc, x):
    """(log cdf, log sf) for A = sqrt(df² + 4 nc x) / 2 >= 1000, to about 40 digits: below, the cut of w^(-df/2) shows."""
    with mp.workdps(2 * DIGITS + max(0, int(mp.log10(df + nc + x)))):  # phi is as large as its terms, and e^phi wants 60 digits
        df, nc, x = mp.mpf(df), mp.mpf(nc), mp.mpf(x)
        s = mp.sqrt(df * df + 4 * nc * x)
        w0, a = (df + s) / (2 * x), s / 2
        # The pole lies at u_p standard units; move the circle away from it until it is at least 14 off.
        distance = abs(mp.log(w0)) * mp.sqrt(a)
        rho = w0 if distance >= 14 else w0 * mp.exp((14 - distance) / mp.sqrt(a) * (1 if w0 >= 1 else -1))
        # On that circle the modulus is nearly Gaussian of this width; aliasing is e^(-(2 pi 10 - 20)² / 2) of its top.
        step = 1 / mp.sqrt(x * rho / 2 + nc / (2 * rho)) / 10

        def phi(w):
            return x * w / 2 - df / 2 * mp.log(w) + nc / (2 * w) - (x + nc) / 2

        top = phi(rho)
        total, j = mp.mpf(0), 0
        while (j + 1) * step < mp.pi:
            w = rho * mp.expj((j + mp.mpf(1) / 2) * step)
            size = mp.exp(phi(w) - top)
            total += (size * w / (w - 1)).real
            j += 1
            if j > 100 and abs(size) < mp.mpf(10) ** -(2 * DIGITS):
                break
        value = mp.exp(top) * total * step / mp.pi
        return (mp.log(value), mp.log1p(-value)) if rho > 1 else (mp.log1p(value), mp.log(-value))


def series(df, nc, x):
    """(log cdf, log sf) by sums of positive terms; the work grows with nc x."""
    with mp.workdps(DIGITS):
        a, half, y = mp.mpf(df) / 2, mp.mpf(nc) / 2, mp.mpf(x) / 2
        log_d = a * mp.log(y) - y - mp.loggamma(a + 1)
        if x < df + nc:  # there the upper tail is not so small that 60 digits would not hold the difference
            log_low = log_d - half + mp.log(_lower(a, half, y))
            return log_low, mp.log1p(-mp.exp(log_low))
        high = _upper(a, half, y)
        return mp.log1p(-high), mp.log(high)


def _lower(a, half, y):
    product = half * y
    last = int(3 * mp.sqrt(product) + 120 + y)
    ratio = mp.mpf(1)
    total = mp.mpf(0)
    for j in range(last + 120, -1, -1):
        ratio = 1 + y / (a + j + 1) * ratio
        if j <= last:
            total = ratio + product / ((j + 1) * (a + j + 1)) * total
    return total


def _upper(a, half, y):
    q = mp.gammainc(a, y, regularized=True)
    d = mp.exp(a * mp.log(y) - y - mp.loggamma(a + 1))
    weight = mp.exp(-half)
    total, j = mp.mpf(0), 0
    while j < half + 50 or weight * q > total * mp.mpf(10) ** -(DIGITS - 5):
        total += weight * q
        q += d
        d *= y / (a + j + 1)
        weight *= half / (j + 1)
        j += 1
        if half == 0:
            break
    return total


def real_space(df, nc, x):
    """(log cdf, log sf): X = (Z + sqrt nc)² + chi²(df - 1), integrated over the second part; df > 1."""
    with mp.workdps(50):
        df, nc, x = mp.mpf(df), mp.mpf(nc), mp.mpf(x)
        k = df - 1
        centre, spread = k, mp.sqrt(2 * k)
        log_norm = -k / 2 * mp.log(2) - mp.loggamma(k / 2)
        root = mp.sqrt(nc)

        def density(t):
            return mp.exp((k / 2 - 1) * mp.log(t) - t / 2 + log_norm)

        def below(t):
            r = mp.sqrt(x - t)
            return density(t) * (mp.ncdf(r - root) - mp.ncdf(-r - root))

        def above(t):
            if t >= x:
                return density(t)
            r = mp.sqrt(x - t)
            return density(t) * (mp.ncdf(root - r) + mp.ncdf(-r - root))

        # Both factors fall like Gaussians around the saddle point; pieces of one standard deviation are smooth enough.
        w0 = (df + mp.sqrt(df * df + 4 * nc * x)) / (2 * x)
        grid = sorted({c + i * h for c, h in ((centre, spread), (centre / w0, spread / w0)) for i in range(-40, 41)})
        points = [p for p in grid if 0 < p < x]
        low = mp.quad(below, [mp.mpf(10) ** -30, *points, x]) if x < df + nc else None
        if low is not None:
            return mp.log(low), mp.log1p(-low)
        more = [p for p in grid if p > x]
        high = mp.quad(above, [mp.mpf(10) ** -30, *points, x, *more, max(x, centre) + 60 * spread])
        return mp.log1p(-high), mp.log(high)


def log_tails(df, nc, x):
    """(log cdf, log sf), by the method that suits the size."""
    size = mp.sqrt(mp.mpf(df) ** 2 + 4 * mp.mpf(nc) * mp.mpf(x)) / 2
    return contour(df, nc, x) if size >= 1000 else series(df, nc, x)
