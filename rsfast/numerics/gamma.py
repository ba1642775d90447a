"""The incomplete gamma functions, and the chi-square distribution with few degrees of freedom.

For shape a = df / 2 and argument y = x / 2, D(a, y) = y^a e^-y / Γ(a + 1) carries all of the size of a tail:

    P(a, y) = D * (1 + y/(a+1) + y²/((a+1)(a+2)) + …),      all terms positive
    Q(a, y) = D * a * continued fraction,                   y >= a + 1, or y >= 1 with a < 1/2
    Q(a, y) = 1 - P(a, y)                                   y < a + 1, a >= 1/2: Q is not small there
    Q(a, y) = -expm1(log(y^a / Γ(a+1))) - a y^a / Γ(a+1) Sum_{n>0} (-y)^n / ((a+n) n!),    y < 1, a < 1/2

and log D = -deviance(a, y) - stirling(a) - log(2 pi a) / 2, in which nothing cancels (Loader 2000); for a < 1/2 by the series of
log Γ(1 + a).  Non-central tails are Poisson mixtures of these with positive terms only.  Shapes of 20 and more take the contour
integral of numerics.saddle.  Measured: docs/accuracy.md.
"""

from __future__ import annotations

import math

from numba import njit

from .compensated import deviance, two_sum

HALF_LOG_TWO_PI = 0.9189385332046727

# (zeta(k) - 1) (-1)^k / k for k = 2 … 29
ZETA_TERMS = (
    0.3224670334241132, -0.0673523010531981, 0.020580808427784546, -0.007385551028673986, 0.0028905103307415234,
    -0.001192753911703261, 0.0005096695247430425, -0.00022315475845357939, 9.945751278180853e-05, -4.492623673813314e-05,
    2.050721277567069e-05, -9.439488275268397e-06, 4.374866789907488e-06, -2.039215753801366e-06, 9.55141213040742e-07,
    -4.492469198764566e-07, 2.1207184805554665e-07, -1.0043224823968099e-07, 4.7698101693639804e-08, -2.2711094608943164e-08,
    1.0838659214896955e-08, -5.183475041970047e-09, 2.4836745438024785e-09, -1.1921401405860912e-09, 5.731367241678862e-10,
    -2.7595228851242334e-10, 1.330476437424449e-10, -6.4229645638381e-11,
)  # fmt: skip
# B_2k / (2 k (2 k - 1)); the first that is left out is 3e-17 at a = 7
STIRLING_TERMS = (
    1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156, -3617 / 122400, 43867 / 244188, -174611 / 125400,
)  # fmt: skip
ONE_MINUS_EULER = 0.42278433509846713


@njit(cache=True, error_model="numpy")
def log_gamma_one_plus(a):
    """log Γ(1 + a) for abs(a) <= 1/2, with full relative accuracy near 0.

    -log1p(a) + a (1 - euler) + Sum_{k>=2} (zeta(k) - 1) (-a)^k / k, whose terms fall by 4 and more.
    """
    total = 0.0
    for j in range(27, -1, -1):
        total = total * a + ZETA_TERMS[j]
    return a * (ONE_MINUS_EULER + a * total) - math.log1p(a)


@njit(cache=True, error_model="numpy")
def stirling(a):
    """log Γ(a + 1) - ((a + 1/2) log a - a + log(2 pi) / 2) for a >= 1/2: from lgamma below 7, where its rounding is 2e-15."""
    if a < 7.0:
        return math.lgamma(a + 1.0) - ((a + 0.5) * math.log(a) - a + HALF_LOG_TWO_PI)
    t = 1.0 / (a * a)
    total = 0.0
    for j in range(len(STIRLING_TERMS) - 1, -1, -1):
        total = STIRLING_TERMS[j] + t * total
    return total / a


@njit(cache=True, error_model="numpy")
def log_density(a, y):
    """log D = log(y^a e^-y / Γ(a + 1)), a > 0, y > 0."""
    if a < 0.5:
        return a * math.log(y) - y - log_gamma_one_plus(a)
    return -deviance(a, y, a - y) - stirling(a) - HALF_LOG_TWO_PI - 0.5 * math.log(a)


@njit(cache=True, error_model="numpy")
def log_leading_term(a, x, half_nc):
    """log of e^-half_nc (x/2)^a / Γ(a + 1), the lower tail where x (1 + nc) is far below rounding; x may be subnormal."""
    below = log_gamma_one_plus(a) if a < 0.5 else math.lgamma(a + 1.0)
    return a * (math.log(x) - 0.6931471805599453) - below - half_nc


@njit(cache=True, error_model="numpy")
def leading_term(a, x, half_nc):
    """The same itself, from factors none of which rounds a large exponent; a < 100."""
    inverse = math.exp(-log_gamma_one_plus(a)) if a < 0.5 else 1.0 / math.gamma(a + 1.0)
    return math.pow(x, a) * math.pow(0.5, a) * inverse * math.exp(-half_nc)


@njit(cache=True, error_model="numpy")
def times_density(factor, a, y, half_nc):
    """factor D e^-half_nc from factors none of which rounds a large exponent; for results above e^-700.

    Halves of the large powers come alternately, so that no partial product leaves the range.
    """
    if a < 0.5:
        return factor * math.pow(y, a) * math.exp(-log_gamma_one_plus(a)) * math.exp(-y) * math.exp(-half_nc)
    root = math.pow(y / a, 0.5 * a)
    gap, gap_low = two_sum(a, -y)
    half = math.exp(0.5 * gap)
    value = factor * root * half * (1.0 + gap_low) * root * half
    return value * math.exp(-stirling(a)) / math.sqrt(2.0 * math.pi * a) * math.exp(-half_nc)


@njit(cache=True, error_model="numpy")
def _lower_ratio(a, y):
    """P(a, y) / D(a, y)."""
    term = total = 1.0
    n = 1.0
    while term > 1e-17 * total:
        term *= y / (a + n)
        total += term
        n += 1.0
    return total


@njit(cache=True, error_model="numpy")
def upper_ratio(a, y, log_d):
    """Q(a, y) / D(a, y)."""
    if y >= a + 1.0 or (a < 0.5 and y >= 1.0):
        b = y + 1.0 - a
        c, d = 1e300, 1.0 / b
        value = d
        for i in range(1, 100_000):
            top = -i * (i - a)
            b += 2.0
            d = 1.0 / (top * d + b)
            c = b + top / c
            value *= c * d
            if abs(c * d - 1.0) <= 2.3e-16:
                break
        return a * value
    if a >= 0.5:
        return math.exp(-log_d) - _lower_ratio(a, y)
    log_power = a * math.log(y) - log_gamma_one_plus(a)  # log(y^a / Γ(a + 1)), near 0 for small a
    term, total, n = 1.0, 0.0, 1.0
    while abs(term) > 1e-18:
        term *= -y / n
        total += term / (a + n)
        n += 1.0
    return (-math.expm1(log_power) - a * math.exp(log_power) * total) / math.exp(log_d)


@njit(cache=True, error_model="numpy")
def mixture_lower(a, y, half_nc):
    """(log scale, cdf / scale, density of x / scale) of the non-central distribution, by Horner from the far end."""
    product = half_nc * y
    last = int(2.72 * math.sqrt(product) + 10.0)  # the terms beyond add up to less than 1e-17 of all
    ratio = _lower_ratio(a + last + 1.0, y)
    total = density = 0.0
    for j in range(last, -1, -1):
        ratio = 1.0 + y / (a + j + 1.0) * ratio
        total = ratio + product / ((j + 1.0) * (a + j + 1.0)) * total
        density = 1.0 + product / ((j + 1.0) * (a + j)) * density
    return log_density(a, y) - half_nc, total, density * a / (2.0 * y)


@njit(cache=True, error_model="numpy")
def mixture_upper(a, y, half_nc):
    """(log scale, sf / scale, density of x / scale), by the recurrence Q(a + 1, y) = Q(a, y) + D(a, y)."""
    log_d = log_density(a, y)
    weighted_q, weighted_d = upper_ratio(a, y, log_d), 1.0
    weighted_f = a / (2.0 * y)
    total = density = 0.0
    j = 0.0
    while j < 5000.0:
        total += weighted_q
        density += weighted_f
        if j > half_nc and weighted_q <= 1e-18 * total:
            break
        weighted_q = (weighted_q + weighted_d) * half_nc / (j + 1.0)
        weighted_d *= half_nc * y / ((j + 1.0) * (a + j + 1.0))
        weighted_f *= half_nc * y / ((j + 1.0) * (a + j))
        j += 1.0
    return log_d - half_nc, total, density
