"""The standard normal distribution: tails and their logarithms, with inverses."""

from __future__ import annotations

import math
from typing import Any

from numba import njit, vectorize
from numpy.typing import ArrayLike

from .compensated import minus_product
from .elementwise import apply

# Wichura, Algorithm AS 241 (PPND16), Applied Statistics 37 (1988) 477-484.  Three rational approximations: of
# z / (p - 1/2) in 0.180625 - (p - 1/2)² for the centre, of z in r - 1.6 and r - 5 with r = sqrt(-log p) for the tail.
# Stated accuracy 1e-16; measured below 5e-16 relative down to p = 1e-300 (tests/numerics/test_normal.py).
CENTRE_TOP = (
    3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3, 1.3731693765509461125e4,
    4.5921953931549871457e4, 6.7265770927008700853e4, 3.3430575583588128105e4, 2.5090809287301226727e3,
)  # fmt: skip
CENTRE_BOTTOM = (
    1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3,
    2.1213794301586595867e4, 3.9307895800092710610e4, 2.8729085735721942674e4, 5.2264952788528545610e3,
)  # fmt: skip
MIDDLE_TOP = (
    1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0, 3.64784832476320460504e0,
    1.27045825245236838258e0, 2.41780725177450611770e-1, 2.27238449892691845833e-2, 7.74545014278341407640e-4,
)  # fmt: skip
MIDDLE_BOTTOM = (
    1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1,
    1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4, 1.05075007164441684324e-9,
)  # fmt: skip
TAIL_TOP = (
    6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0, 2.96560571828504891230e-1,
    2.65321895265761230930e-2, 1.24266094738807843860e-3, 2.71155556874348757815e-5, 2.01033439929228813265e-7,
)  # fmt: skip
TAIL_BOTTOM = (
    1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2,
    7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7, 2.04426310338993978564e-15,
)  # fmt: skip


@njit(inline="always")
def _horner(coefficients, x):
    value = 0.0
    for i in range(len(coefficients) - 1, -1, -1):
        value = value * x + coefficients[i]
    return value


@njit(cache=True, error_model="numpy")
def _tail_quantile(p):
    """For 0 < p < 1 at least 0.425 from one half."""
    r = math.sqrt(-math.log(p if p < 0.5 else 1.0 - p))
    if r <= 5.0:
        z = _horner(MIDDLE_TOP, r - 1.6) / _horner(MIDDLE_BOTTOM, r - 1.6)
    else:
        z = _horner(TAIL_TOP, r - 5.0) / _horner(TAIL_BOTTOM, r - 5.0)
    return -z if p < 0.5 else z


@njit(cache=True, error_model="numpy")
def ndtri_centred_scalar(centred):
    """Quantile of 1/2 + centred, accurate also where that sum would round `centred` away."""
    if abs(centred) <= 0.425:
        t = 0.180625 - centred * centred
        return centred * _horner(CENTRE_TOP, t) / _horner(CENTRE_BOTTOM, t)
    return _tail_quantile(0.5 + centred)


@njit(cache=True, error_model="numpy")
def ndtri_scalar(p):
    if p != p or not 0.0 <= p <= 1.0:
        return math.nan
    if p == 0.0:
        return -math.inf
    if p == 1.0:
        return math.inf
    centred = p - 0.5
    if abs(centred) <= 0.425:
        return ndtri_centred_scalar(centred)
    return _tail_quantile(p)


@njit(cache=True, error_model="numpy")
def erfcx_scalar(x):
    """e^(x²) erfc(x) for x >= 0: directly below 2, by Laplace's continued fraction above (20 + 400/x² terms: 1e-16)."""
    if x < 2.0:
        return math.exp(x * x) * math.erfc(x)
    if x > 1e8:
        return 0.5641895835477563 / x
    value = 0.0
    for i in range(int(20.0 + 400.0 / (x * x)), 0, -1):
        value = 0.5 * i / (x + value)
    return 0.5641895835477563 / (x + value)


@njit(cache=True, error_model="numpy")
def ndtr_scalar(x):
    if x != x:
        return x
    if x >= -1.0:
        return 0.5 * math.erfc(-x * 0.7071067811865476)
    if x < -39.0:
        return 0.0
    square = x * x
    rest = minus_product(square, x, x)  # what rounding added to x²; e^(-x²/2) would multiply it by x²
    return 0.5 * math.exp(-0.5 * square) * (1.0 + 0.5 * rest) * erfcx_scalar(-x * 0.7071067811865476)


@njit(cache=True, error_model="numpy")
def log_ndtr_scalar(x):
    if x != x or x == -math.inf:
        return x
    if x > -1.0:
        return math.log1p(-ndtr_scalar(-x))
    return math.log(0.5 * erfcx_scalar(-x * 0.7071067811865476)) - 0.5 * x * x


@njit(cache=True, error_model="numpy")
def ndtri_exp_scalar(y):
    if y != y or not y <= 0.0:
        return math.nan
    if y > -1e-2:
        return -ndtri_scalar(-math.expm1(y))
    if y > -600.0:
        return ndtri_scalar(math.exp(y))
    if y == -math.inf:
        return -math.inf
    z = -math.sqrt(-2.0 * y)
    for _ in range(6):  # log Phi(z) = -z²/2 - log(-z) - log(2 pi)/2 + log(1 - 1/z² + …); contracts by 1/z² and more
        z = -math.sqrt(-2.0 * (y - math.log(0.5 * erfcx_scalar(-z * 0.7071067811865476))))
    return z


@vectorize(cache=True)
def _ndtri(p):
    return ndtri_scalar(p)


@vectorize(cache=True)
def _ndtr(x):
    return ndtr_scalar(x)


@vectorize(cache=True)
def _log_ndtr(x):
    return log_ndtr_scalar(x)


@vectorize(cache=True)
def _ndtri_exp(y):
    return ndtri_exp_scalar(y)


@vectorize(cache=True)
def _erfcx(x):
    return erfcx_scalar(x) if x == x and x >= 0.0 else math.nan


def ndtri(p: ArrayLike) -> Any:
    """Return the quantile of the standard normal, as scipy.special.ndtri; it is NaN outside [0, 1].  Its relative error is below
    1e-15.

    For p near 1 pass the failure probability instead: -ndtri(1 - p), with 1 - p not formed from a rounded p.
    """
    return apply(_ndtri, p=p)


def ndtr(x: ArrayLike) -> Any:
    """Return the probability below x, as scipy.special.ndtr.  The relative error is below 2e-15 in both tails, down to 1e-300."""
    return apply(_ndtr, x=x)


def log_ndtr(x: ArrayLike) -> Any:
    """Return the log of the probability below x, as scipy.special.log_ndtr, to -1e300.  The relative error is below 2e-15."""
    return apply(_log_ndtr, x=x)


def ndtri_exp(y: ArrayLike) -> Any:
    """Return the x with log_ndtr(x) = y, as scipy.special.ndtri_exp, and NaN for y > 0.  The relative error is below 1e-15."""
    return apply(_ndtri_exp, y=y)


def erfcx(x: ArrayLike) -> Any:
    """Return e^(x²) erfc(x), as scipy.special.erfcx, for x >= 0 and NaN below.  The relative error is below 2e-15."""
    return apply(_erfcx, x=x)
