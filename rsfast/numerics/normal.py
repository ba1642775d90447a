"""The standard normal distribution: tail probability and quantile."""

from __future__ import annotations

import math

from numba import njit, vectorize

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
def ndtri_scalar(p):
    if not 0.0 <= p <= 1.0:
        return math.nan
    if p == 0.0:
        return -math.inf
    if p == 1.0:
        return math.inf
    centred = p - 0.5
    if abs(centred) <= 0.425:
        t = 0.180625 - centred * centred
        return centred * _horner(CENTRE_TOP, t) / _horner(CENTRE_BOTTOM, t)
    r = math.sqrt(-math.log(p if centred < 0.0 else 1.0 - p))
    if r <= 5.0:
        z = _horner(MIDDLE_TOP, r - 1.6) / _horner(MIDDLE_BOTTOM, r - 1.6)
    else:
        z = _horner(TAIL_TOP, r - 5.0) / _horner(TAIL_BOTTOM, r - 5.0)
    return -z if centred < 0.0 else z


@vectorize(cache=True)
def ndtri(p):
    """Quantile of the standard normal, as scipy.special.ndtri; NaN outside [0, 1].

    For p near 1 pass the failure probability instead: -ndtri(1 - p), with 1 - p not formed from a rounded p.
    """
    return ndtri_scalar(p)


@vectorize(cache=True)
def ndtr(x):
    """Probability below x, as scipy.special.ndtr.  Relative error about 1e-16 (1 + x²), from rounding x / sqrt 2."""
    return 0.5 * math.erfc(-x * 0.7071067811865476)
