"""Tails of the chi-square distribution, central or not, from a contour integral of a dozen nodes.

Why this is accurate, and why its work does not grow.  With w = 1 - 2 t the inverse Laplace transform gives

    F(x) = 1/(2 pi i) Int e^phi(w) dw / (w - 1),    phi(w) = x w / 2 - (df / 2) log w + nc / (2 w) - (x + nc) / 2,

to the right of the pole w = 1; to its left the integral is -(1 - F).  The saddle point is w0 = (df + S) / (2 x), with
S = sqrt(df² + 4 nc x).  On the *circle* w = w0 e^(i theta), with s = sin(theta / 2) and A = S / 2,

    phi(w) - phi(w0) = -2 A s² - i b(s),    b = df (asin s - s sqrt(1 - s²)),    exactly:

the modulus is Gaussian in s, so with s = u / (2 sqrt A) the midpoint rule in u has constant weights e^(-u²/2) and converges
faster than any power of its step h.  What could spoil it is the pole; it lies at u = i u_p with u_p = abs(w0 - 1) sqrt(A / w0)
and residue 1, so its share of the rule is known in closed form, 1 / (1 + e^X), X = 2 pi u_p / h, and is put right exactly.

What is left are roundings, and none of them is amplified.  Only the difference of mean and argument, delta = df + nc - x, can
cancel, and it is an argument.  Everything is formed from

    e = 1 - 1/w0 = 2 delta / (S + df + 2 nc),    1 - e = 2 x / (df + S),
    phi(w0) = -1/2 (df (-log(1 - e) - e) + nc e²),

both positive terms, on pairs of doubles, because e^phi0 multiplies the rounding of phi0 by abs(phi0).  For A >= 23
what the circle leaves out of the branch cut of w^(-df/2) is e^(-2 A), below 1e-17.  Measured: docs/accuracy.md.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from .compensated import minus_log1p, minus_log1p_pair, minus_product, quotient, two_product, two_sum

SMALLEST_A = 23.0  # below, numerics.gamma sums series


def _nodes(step: float, count: int) -> tuple[np.ndarray, np.ndarray]:
    u = (np.arange(count) + 0.5) * step
    return u, np.exp(-0.5 * u * u)


# Steps and numbers of nodes: tuned so that the rule's own error stays below 1e-16 for every A of the range.
STEP_LARGE, STEP_MIDDLE, STEP_SMALL = 0.70, 0.56, 0.45
U_LARGE, WEIGHT_LARGE = _nodes(STEP_LARGE, 11)  # A >= 400
U_MIDDLE, WEIGHT_MIDDLE = _nodes(STEP_MIDDLE, 14)  # 30 <= A < 400
U_SMALL, WEIGHT_SMALL = _nodes(STEP_SMALL, 18)  # 23 <= A < 30

# asin s - s sqrt(1 - s²) = s³ Sum_j c_j s^(2 j)
C0, C1, C2, C3, C4, C5, C6, C7, C8, C9, C10, C11, C12, C13 = (
    2 / 3, 1 / 5, 3 / 28, 5 / 72, 35 / 704, 63 / 1664, 0.030078125, 0.024643841911764705, 0.02067164370888158,
    0.017663864862351192, 0.015321482782778532, 0.013455047607421874, 0.011939278355351201, 0.010688346007774616,
)  # fmt: skip
SINE = tuple((-1.0) ** j / math.factorial(2 * j + 1) for j in range(13))
COSINE = tuple((-1.0) ** j / math.factorial(2 * j) for j in range(13))
TAU, ONE_OVER_TAU = 2.0 * math.pi, 0.5 / math.pi


@njit(inline="always", error_model="numpy")
def _angle(df, s, t):
    return df * s * t * (C0 + t * (C1 + t * (C2 + t * (C3 + t * (C4 + t * (C5 + t * C6))))))


@njit(inline="always", error_model="numpy")
def _angle_long(df, s, t):
    tail = C7 + t * (C8 + t * (C9 + t * (C10 + t * (C11 + t * (C12 + t * C13)))))
    return df * s * t * (C0 + t * (C1 + t * (C2 + t * (C3 + t * (C4 + t * (C5 + t * (C6 + t * tail)))))))


@njit(inline="always", error_model="numpy")
def _sine(b):
    """Taylor series; for abs(b) <= 3.3 its error is below 4e-6, and nodes with such angles weigh 2e-12."""
    q = b * b
    return b * (
        SINE[0] + q * (SINE[1] + q * (SINE[2] + q * (SINE[3] + q * (SINE[4] + q * (SINE[5] + q * (SINE[6] + q * SINE[7]))))))
    )


@njit(inline="always", error_model="numpy")
def _cosine(b):
    q = b * b
    return COSINE[0] + q * (
        COSINE[1]
        + q
        * (COSINE[2] + q * (COSINE[3] + q * (COSINE[4] + q * (COSINE[5] + q * (COSINE[6] + q * (COSINE[7] + q * COSINE[8]))))))
    )


@njit(inline="always", error_model="numpy")
def _sine_long(b):
    """Taylor series to 1e-16 on [-pi, pi]."""
    q = b * b
    far = SINE[6] + q * (SINE[7] + q * (SINE[8] + q * (SINE[9] + q * (SINE[10] + q * (SINE[11] + q * SINE[12])))))
    return b * (SINE[0] + q * (SINE[1] + q * (SINE[2] + q * (SINE[3] + q * (SINE[4] + q * (SINE[5] + q * far))))))


@njit(inline="always", error_model="numpy")
def _cosine_long(b):
    q = b * b
    far = COSINE[6] + q * (COSINE[7] + q * (COSINE[8] + q * (COSINE[9] + q * (COSINE[10] + q * (COSINE[11] + q * COSINE[12])))))
    return COSINE[0] + q * (COSINE[1] + q * (COSINE[2] + q * (COSINE[3] + q * (COSINE[4] + q * (COSINE[5] + q * far)))))


# Both sums below run over the nodes:  tail  = Sum weight [cos b (p + 2 n t) / c - 2 n s sin b] / (p² + 4 d t)
#                                      density = Sum weight [cos b (1 - 2 t) / c + 2 s sin b],      t = s², c = sqrt(1 - t).


@njit(error_model="numpy", fastmath={"reassoc", "contract", "nsz", "arcp"})
def _sums_large(df, p, n, d, scale):
    tail = density = 0.0
    for j in range(11):
        s = U_LARGE[j] * scale
        t = s * s
        b = _angle(df, s, t)
        inverse_c = 1.0 + t * (0.5 + t * (0.375 + t * (0.3125 + t * (0.2734375 + t * (0.24609375 + t * 0.2255859375)))))
        cosine, sine = _cosine(b) * inverse_c, 2.0 * s * _sine(b)
        tail += WEIGHT_LARGE[j] * (cosine * (p + 2.0 * n * t) - n * sine) / (p * p + 4.0 * d * t)
        density += WEIGHT_LARGE[j] * (cosine * (1.0 - 2.0 * t) + sine)
    return tail, density


def _sums_for(u_nodes: np.ndarray, weights: np.ndarray, count: int):  # type: ignore[no-untyped-def]
    @njit(error_model="numpy", fastmath={"reassoc", "contract", "nsz", "arcp"})
    def sums(df, p, n, d, scale):
        tail = density = 0.0
        for j in range(count):
            s = u_nodes[j] * scale
            t = s * s
            c = math.sqrt(1.0 - t)
            b = _angle_long(df, s, t)
            b -= TAU * math.floor(b * ONE_OVER_TAU + 0.5)
            cosine, sine = _cosine_long(b) / c, 2.0 * s * _sine_long(b)
            tail += weights[j] * (cosine * (p + 2.0 * n * t) - n * sine) / (p * p + 4.0 * d * t)
            density += weights[j] * (cosine * (1.0 - 2.0 * t) + sine)
        return tail, density

    return sums


_sums_middle = _sums_for(U_MIDDLE, WEIGHT_MIDDLE, 14)
_sums_small = _sums_for(U_SMALL, WEIGHT_SMALL, 18)


@njit(cache=True, error_model="numpy")
def width(df, nc, x):
    """S = sqrt(df² + 4 nc x)."""
    product = nc * x
    if product < 1e290:
        return math.sqrt(df * df + 4.0 * product)
    return math.hypot(df, 2.0 * math.sqrt(nc) * math.sqrt(x))


@njit(cache=True, error_model="numpy")
def exponent(df, nc, x, x_low, delta, delta_low, s):
    """(e, 1 - e, phi0, what rounding phi0 left) at argument x + x_low, where df + nc - argument = delta + delta_low.

    phi0 reaches -700 before a tail leaves the range of doubles, and e^phi0 multiplies its rounding by as much; so every step
    is carried out on pairs.  On rounded numbers only where phi0 is above -6, which is most calls and costs no digit, and where x
    is so large or small that a pair would overflow.
    """
    v = x / (0.5 * (df + s))  # 1 / w0
    e = delta / (0.5 * (s + df) + nc)
    if abs(e) < 0.1:
        t = e / (2.0 - e)
        u = t * t
        log_ratio = 2.0 * u / (1.0 + t) + 2.0 * t * u * (1 / 3 + u * (1 / 5 + u * (1 / 7 + u * (1 / 9 + u * (1 / 11 + u / 13)))))
        phi0 = -0.5 * (df * log_ratio + (nc * e) * e)
        if phi0 > -6.0:
            return e, v, phi0, 0.0
    if nc * x > 1e250 or x > 1e100 or x < 1e-250:
        log_ratio = minus_log1p(e, v) if 1e-280 < v < 1e280 else math.log(0.5 * (df + s)) - math.log(x) - e
        return e, v, -0.5 * (df * log_ratio + (nc * e) * e), 0.0
    square, square_low = two_product(df, df)
    product, product_low = two_product(4.0 * nc, x)
    inside, inside_low = two_sum(square, product)
    inside_low += square_low + product_low + 4.0 * nc * x_low
    s = math.sqrt(inside)
    s_low = (minus_product(inside, s, s) + inside_low) / (2.0 * s)
    below, below_low = two_sum(s, df)
    v, v_low = quotient(2.0 * x, 2.0 * x_low, below, below_low + s_low)
    below, more = two_sum(below, 2.0 * nc)
    e, e_low = quotient(2.0 * delta, 2.0 * delta_low, below, below_low + more + s_low)
    ratio, ratio_low = minus_log1p_pair(e, e_low, v, v_low)
    first, first_low = two_product(df, ratio)
    e_square, e_square_low = two_product(e, e)
    second, second_low = two_product(nc, e_square)
    total, total_low = two_sum(first, second)
    total_low += first_low + second_low + df * ratio_low + nc * (e_square_low + 2.0 * e * e_low)
    total, total_low = two_sum(total, total_low)
    return e, v, -0.5 * total, -0.5 * total_low


@njit(cache=True, error_model="numpy")
def circle(df, nc, x, x_low, delta, delta_low, s):
    """The integral for S = s >= 2 * SMALLEST_A: (e, 1 - e, phi0, its low part, G, X, limit, P).

    The tail on x's side of the mean is e^phi0 abs(G), plus 1 / (1 + e^X) where X < limit; the density is e^phi0 P / (1 - e).
    """
    e, v, phi0, phi0_low = exponent(df, nc, x, x_low, delta, delta_low, s)
    root = math.sqrt(0.5 * s)
    if e > 0.0:  # written in e and 1/w0 on one side, in w0 - 1 and w0 on the other: neither overflows
        p, n, d, factor = e, v, v, 1.0
    else:
        p, n, d, factor = e / v, 1.0, 1.0 / v, 1.0 / v
    scale = 0.5 / root
    if s >= 800.0:
        step = STEP_LARGE
        tail, density = _sums_large(df, p, n, d, scale)
    elif s >= 60.0:
        step = STEP_MIDDLE
        tail, density = _sums_middle(df, p, n, d, scale)
    else:
        step = STEP_SMALL
        tail, density = _sums_small(df, p, n, d, scale)
    unit = step / (math.pi * root)
    pole = TAU * abs(e) * root / (math.sqrt(v) * step)
    return e, v, phi0, phi0_low, factor * unit * tail, pole, 3.0 * math.pi * math.pi / (step * step), 0.5 * unit * density
