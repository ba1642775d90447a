"""The non-central chi-square distribution: SciPy's names and argument order (x, df, nc), no limits on size.

df from 1e-3 to 1e9, nc from 0 to 1e16, both tails down to 1e-300 and their logarithms far beyond, in constant work.  One core,
`tail` and `log_tail`; everything else is built on it.  Large parameters take the contour integral of numerics.saddle, small
ones (df < 46 and nc x < 529) the positive series of numerics.gamma.

The difference of mean and argument, delta = df + nc - x, is an argument of the core, and quantiles return it beside x: with
nc = 1e14 the spacing of doubles near x is worth 2e-8 of a tail, and input-dependent certificates need the difference itself.

Public functions broadcast arrays of numbers, return NaN outside the domain, and never warn; only what is no number is refused.
Accuracy, measured against arbitrary precision on more than 20,000 points (docs/accuracy.md): cdf and sf
2e-14 + 1.2e-15 abs(log tail) relative for *every* tail, logcdf and logsf 2e-14 relative, quantiles 5e-14 max(1, abs(log p)) in
the log tail at the returned (x, delta).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit, vectorize
from numpy.typing import ArrayLike, NDArray

from .. import checks
from . import saddle
from .compensated import mean_minus_x, mean_minus_x_pair
from .elementwise import apply
from .gamma import leading_term, log_gamma_one_plus, log_leading_term, mixture_lower, mixture_upper, times_density
from .normal import ndtri_exp_scalar

LOG_HALF = -0.6931471805599453
TINY = 1e-280  # below, a tail is its leading term, and halves and quotients of x would leave the range of doubles


@njit(cache=True, error_model="numpy")
def _series(df, nc, x, delta):
    """(is the lower tail, log scale, tail / scale, density / scale) for small parameters; the tail is at most 0.7."""
    if x < TINY:
        log_cdf = log_leading_term(0.5 * df, x, 0.5 * nc)
        if log_cdf < -0.3567:
            return True, log_cdf, 1.0, 0.5 * df / x
        return False, 0.0, -math.expm1(log_cdf), math.exp(log_cdf) * (0.5 * df / x)
    if delta > 0.0:
        log_scale, total, density = mixture_lower(0.5 * df, 0.5 * x, 0.5 * nc)
        if log_scale + math.log(total) < -0.3567:
            return True, log_scale, total, density
    log_scale, total, density = mixture_upper(0.5 * df, 0.5 * x, 0.5 * nc)
    return False, log_scale, total, density


@njit(cache=True, error_model="numpy")
def _tail(df, nc, x, x_low, delta, delta_low):
    """`tail` for the argument x + x_low and the difference delta + delta_low."""
    s = saddle.width(df, nc, x)
    if s < 2.0 * saddle.SMALLEST_A:
        lower, log_scale, total, density = _series(df, nc, x, delta)
        if x < TINY:
            t = leading_term(0.5 * df, x, 0.5 * nc) if lower else total
        elif log_scale + math.log(total) > -700.0:
            t = times_density(total, 0.5 * df, 0.5 * x, 0.5 * nc)
        else:
            t = math.exp(log_scale + math.log(total))
        f = t * (density / total)
        return lower, t, t - 0.5 if lower else 0.5 - t, f, delta / (0.5 * (s + df) + nc)
    e, v, phi0, phi0_low, g, pole, limit, density = saddle.circle(df, nc, x, x_low, delta, delta_low, s)
    size = math.exp(phi0) * (1.0 + phi0_low)
    f = size * (density / v) if v > 1e-290 else 0.0
    g *= size
    share, half = 0.0, 0.5
    if pole < limit:
        small = math.exp(-pole)
        share = small / (1.0 + small)
        half = -0.5 * math.expm1(-pole) / (1.0 + small)  # tanh(X / 2) / 2
    if e > 0.0:
        return True, g + share, g - half, f, e
    return False, share - g, g + half, f, e


@njit(cache=True, error_model="numpy")
def _pairs(df, nc, x, delta):
    """(x, its low part, delta, its low part) of the argument that x and delta = df + nc - x stand for.

    Both are rounded; the smaller one resolves the argument better, and the other is completed from it.
    """
    high, low = mean_minus_x_pair(df, nc, x)
    if x < abs(delta):
        return x, 0.0, high, low
    return x, (high - delta) + low, delta, 0.0


@njit(cache=True, error_model="numpy")
def tail(df, nc, x, delta):
    """(is the lower tail, T, F - 1/2, density, e) at the argument that x > 0 and delta = df + nc - x stand for.

    T is the tail on x's side of the mean, or the other one where that is above 0.7 (few degrees of freedom), with full
    relative accuracy; F - 1/2 is accurate absolutely, also near the median; e = 1 - 1/w0.
    """
    x, x_low, delta, delta_low = _pairs(df, nc, x, delta)
    return _tail(df, nc, x, x_low, delta, delta_low)


@njit(cache=True, error_model="numpy")
def tail_at(df, nc, x):
    """`tail` at x itself."""
    delta, delta_low = mean_minus_x_pair(df, nc, x)
    return _tail(df, nc, x, 0.0, delta, delta_low)


@njit(cache=True, error_model="numpy")
def _log_tail(df, nc, x, x_low, delta, delta_low):
    s = saddle.width(df, nc, x)
    if s < 2.0 * saddle.SMALLEST_A:
        lower, log_scale, total, density = _series(df, nc, x, delta)
        return lower, log_scale + math.log(total), density / total, delta / (0.5 * (s + df) + nc)
    e, v, phi0, phi0_low, g, pole, limit, density = saddle.circle(df, nc, x, x_low, delta, delta_low, s)
    lower = e > 0.0
    if not lower:
        g = -g
    if pole < limit:
        g += math.exp(-phi0) / (1.0 + math.exp(pole))
    return lower, phi0 + (phi0_low + math.log(g)), density / v / g, e


@njit(cache=True, error_model="numpy")
def log_tail(df, nc, x, delta):
    """(is the lower tail, log T, density / T, e), as `tail` but far beyond the range of doubles."""
    x, x_low, delta, delta_low = _pairs(df, nc, x, delta)
    return _log_tail(df, nc, x, x_low, delta, delta_low)


@njit(cache=True, error_model="numpy")
def log_tail_at(df, nc, x):
    """`log_tail` at x itself."""
    delta, delta_low = mean_minus_x_pair(df, nc, x)
    return _log_tail(df, nc, x, 0.0, delta, delta_low)


# ---------------------------------------------------------------- quantiles


@njit(cache=True, error_model="numpy")
def _log_slope(df, nc, e):
    """Saddle-point approximation of f'/f (exact for nc = 0), for Halley's correction only."""
    w = 1.0 / (1.0 - e)
    below = df * w + 2.0 * nc
    return 0.5 * e * w - w * w * (df * w + 3.0 * nc) / (below * below)


@njit(cache=True, error_model="numpy")
def _leading_term(df, nc, log_p):
    """The x with e^(-nc/2) (x/2)^(df/2) / Γ(df/2 + 1) = e^log_p: cdf for small x."""
    log_x = -LOG_HALF + (log_p + 0.5 * nc + math.lgamma(0.5 * df + 1.0)) / (0.5 * df)
    return math.exp(min(log_x, 700.0))


@njit(cache=True, error_model="numpy")
def _start(df, nc, lower, log_p):
    """A first (delta, x): Sankaran's power transform, or the leading term of the tail where that has no sense."""
    z = ndtri_exp_scalar(log_p)
    if not lower:
        z = -z
    mean, spread = df + nc, df + 2.0 * nc
    h = 1.0 - 2.0 * mean * (df + 3.0 * nc) / (3.0 * spread * spread)
    p = spread / (mean * mean)
    m = (h - 1.0) * (1.0 - 3.0 * h)
    v = h * p * (h - 1.0 - 0.5 * (2.0 - h) * m * p) + z * h * math.sqrt(2.0 * p) * (1.0 + 0.5 * m * p)
    if v > -0.999:
        delta = -mean * math.expm1(math.log1p(v) / h)
        if mean - delta > 0.0 and (abs(z) < 40.0 or abs(z) * math.sqrt(p) < 0.1) and (df > 0.1 or nc > 1.0):
            return delta, mean - delta
    x = _leading_term(df, nc, log_p if lower else math.log1p(-math.exp(log_p)))
    if lower or x * (1.0 + nc) < 0.01:
        x = min(max(x, 5e-324), mean)
    else:  # sf ~ e^(-(sqrt x - sqrt nc)²/2)
        x = (math.sqrt(nc) + math.sqrt(df + max(-2.0 * log_p, 1.0))) ** 2
    return mean_minus_x(df, nc, x), x


@njit(cache=True, error_model="numpy")
def quantile_scalar(df, nc, lower, p, log_p, half_minus_p):
    """(delta, x) with cdf = p (lower) or sf = p, 0 < p <= 1/2; log_p and 1/2 - p are passed because p may not hold them.

    Safeguarded Halley iteration in log x: on log tail for small p, on F - 1/2 near the median.  delta is updated by the
    steps, never formed from x.
    """
    central = half_minus_p < 0.4
    delta, x = _start(df, nc, lower, log_p)
    low, high = 0.0, math.inf
    spread = math.sqrt(2.0 * df + 4.0 * nc)
    for iteration in range(200):
        if x < 1e-300:
            return df + nc, _leading_term(df, nc, log_p if lower else math.log1p(-math.exp(log_p)))
        if central:
            _, _, centred, f, e = tail(df, nc, x, delta)
            residual = centred + half_minus_p if lower else centred - half_minus_p
            slope, bend = f * x, 0.0
        else:
            is_lower, log_t, hazard, e = log_tail(df, nc, x, delta)
            if is_lower != lower:
                other = math.log1p(-math.exp(log_t))
                hazard *= math.exp(log_t - other)
                log_t = other
            residual = log_t - log_p
            slope, bend = hazard * x, -hazard * x
            if not lower:
                residual, bend = -residual, -bend
        if residual > 0.0:
            high = x
        else:
            low = x
        step = residual / slope  # Newton's, in log x
        curve = 1.0 - 0.5 * step * (1.0 + x * _log_slope(df, nc, e) + bend)
        near = abs(residual) < 0.3 * (1.0 - log_p)  # from afar Newton's step alone does not overshoot
        if curve > 0.3 and near:
            step /= curve
        if step > 3.0 and x * (1.0 + nc) < 1.0:  # on the way down to where the leading term is all
            new = _leading_term(df, nc, log_p if lower else math.log1p(-math.exp(log_p)))
            step = max(math.log(x) - math.log(max(new, 1e-305)), 3.0)
        else:
            step = min(max(step, -3.0), 3.0)
        change = x * math.expm1(-step)
        # Converged: the next step would be below rounding.  Tested before the bracket, which may be one ulp wide.
        size = abs(step) * (1.0 + x / spread)
        small = size < 1e-6 / (1.0 - log_p) or (abs(change) <= 2e-16 * x and abs(change) <= 4e-16 * abs(delta))
        if small and near:
            delta -= change
            x += change
            return delta, (mean_minus_x(df, nc, delta) if abs(delta) < x else x)
        new = x + change if step < 3.0 else x * math.exp(-step)
        if not low < new < high:
            new = math.sqrt(low * high) if low > 0.0 and high < math.inf else (0.5 * high if high < math.inf else 2.0 * low)
            change = new - x
        delta -= change
        x = new
        if iteration > 40:
            delta = mean_minus_x(df, nc, x)
            if high - low <= 4e-16 * x:
                break
    return delta, x


@njit(cache=True, error_model="numpy")
def median_scalar(df, nc):
    """df + nc - median, to full relative accuracy: Cornish-Fisher to third order, then Halley."""
    if df + nc < 60.0:
        delta, _ = quantile_scalar(df, nc, True, 0.5, LOG_HALF, 0.0)
        return delta
    variance = 2.0 * (df + 2.0 * nc)
    k3 = 8.0 * (df + 3.0 * nc) / variance
    k4 = 48.0 * (df + 4.0 * nc) / variance
    k5 = 384.0 * (df + 5.0 * nc) / variance
    delta = k3 / 6.0 - (k5 / 40.0 - k3 * k4 / 12.0 + 17.0 * k3 * k3 * k3 / 324.0) / variance
    x = df + nc - delta
    for _ in range(1 if df + nc > 600.0 else 2):
        _, _, centred, f, e = tail(df, nc, x, delta)
        step = centred / f
        step /= 1.0 - 0.5 * step * _log_slope(df, nc, e)
        delta += step
        x -= step
    return delta


# ---------------------------------------------------------------- the functions of SciPy


@njit(cache=True, error_model="numpy")
def _inside(x, df, nc):
    return df > 0.0 and 0.0 <= nc < math.inf and df < math.inf and x == x


@vectorize(cache=True)
def _cdf(x, df, nc):
    if not _inside(x, df, nc):
        return math.nan
    if not 0.0 < x < math.inf:
        return 1.0 if x > 0.0 else 0.0
    lower, t, _, _, _ = tail_at(df, nc, x)
    return t if lower else 1.0 - t


@vectorize(cache=True)
def _sf(x, df, nc):
    if not _inside(x, df, nc):
        return math.nan
    if not 0.0 < x < math.inf:
        return 0.0 if x > 0.0 else 1.0
    lower, t, _, _, _ = tail_at(df, nc, x)
    return 1.0 - t if lower else t


@njit(cache=True, error_model="numpy")
def _log(df, nc, x, wanted):
    """log of the lower (wanted True) or upper tail: of the small one directly, of one near 1 from the other."""
    lower, t, _, _, _ = tail_at(df, nc, x)
    if lower != wanted:
        return math.log1p(-t)
    if t > 1e-3:
        return math.log(t)
    return log_tail_at(df, nc, x)[1]


@vectorize(cache=True)
def _logcdf(x, df, nc):
    if not _inside(x, df, nc):
        return math.nan
    if not 0.0 < x < math.inf:
        return 0.0 if x > 0.0 else -math.inf
    return _log(df, nc, x, True)


@vectorize(cache=True)
def _logsf(x, df, nc):
    if not _inside(x, df, nc):
        return math.nan
    if not 0.0 < x < math.inf:
        return -math.inf if x > 0.0 else 0.0
    return _log(df, nc, x, False)


@njit(cache=True, error_model="numpy")
def _log_density(x, df, nc):
    if not _inside(x, df, nc):
        return math.nan
    if not 0.0 < x < math.inf:
        if x == 0.0 and df <= 2.0:  # x^(df/2 - 1) e^(-nc/2) / (2^(df/2) Γ(df/2))
            return math.inf if df < 2.0 else -0.5 * nc + LOG_HALF
        return -math.inf
    if x * (1.0 + nc / df) < 1e-17:
        a = 0.5 * df  # the leading term's: (x/2)^(a - 1) e^(-nc/2) / (2 Γ(a))
        log_gamma = log_gamma_one_plus(a) - math.log(a) if a < 0.5 else math.lgamma(a)
        return (a - 1.0) * (math.log(x) + LOG_HALF) + LOG_HALF - log_gamma - 0.5 * nc
    _, t, _, f, _ = tail_at(df, nc, x)
    if t > 1e-290 and 0.0 < f < math.inf:
        return math.log(f)
    _, log_t, hazard, _ = log_tail_at(df, nc, x)  # a tail below the range of doubles
    return log_t + math.log(hazard)


@vectorize(cache=True)
def _logpdf(x, df, nc):
    return _log_density(x, df, nc)


@vectorize(cache=True)
def _pdf(x, df, nc):
    if _inside(x, df, nc) and 0.0 < x < math.inf and x * (1.0 + nc / df) >= 1e-17:
        _, t, _, f, _ = tail_at(df, nc, x)
        if t > 1e-290 and 0.0 < f < math.inf:
            return f
    return math.exp(_log_density(x, df, nc))


@njit(cache=True, error_model="numpy")
def _lower_quantile(p, q, df, nc):
    """(delta, x) of cdf = p, where q = 1 - p."""
    if p <= 0.5:
        return quantile_scalar(df, nc, True, p, math.log(p), 0.5 - p)
    return quantile_scalar(df, nc, False, q, math.log(q), p - 0.5)


@vectorize(cache=True)
def _ppf(p, df, nc):
    if not (_inside(0.0, df, nc) and 0.0 <= p <= 1.0):
        return math.nan
    if p == 0.0 or p == 1.0:
        return 0.0 if p == 0.0 else math.inf
    return _lower_quantile(p, 1.0 - p, df, nc)[1]


@vectorize(cache=True)
def _isf(q, df, nc):
    if not (_inside(0.0, df, nc) and 0.0 <= q <= 1.0):
        return math.nan
    if q == 0.0 or q == 1.0:
        return math.inf if q == 0.0 else 0.0
    if q <= 0.5:
        return quantile_scalar(df, nc, False, q, math.log(q), 0.5 - q)[1]
    return quantile_scalar(df, nc, True, 1.0 - q, math.log1p(-q), q - 0.5)[1]


@vectorize(cache=True)
def _quantile(log_p, df, nc, upper):
    """x + i delta: one call for both."""
    if not (_inside(0.0, df, nc) and log_p < 0.0):
        return complex(math.nan, math.nan)
    p = math.exp(log_p)
    if p <= 0.5:
        delta, x = quantile_scalar(df, nc, upper == 0.0, p, log_p, 0.5 - p)
    else:
        q = -math.expm1(log_p)
        delta, x = quantile_scalar(df, nc, upper != 0.0, q, math.log(q), 0.5 - q)
    return complex(x, delta)


class Quantile(NamedTuple):
    """A quantile comes with its distance below the mean to full relative accuracy: x alone rounds it away where nc is large."""

    x: NDArray[np.float64]
    delta: NDArray[np.float64]


def cdf(x: ArrayLike, df: ArrayLike, nc: ArrayLike, *, threads: int = 1) -> Any:
    """Return the probability below x, as scipy.stats.ncx2.cdf.

    Parameters
    ----------
    x, df, nc : array_like
        Argument, degrees of freedom (positive, not only integers), non-centrality (0 and more); broadcast together.
    threads : int
        Share the elements over this many threads.

    Returns
    -------
    float64; NaN for df <= 0, nc < 0 or NaN.  Relative error at most 2e-14 + 1.2e-15 abs(log cdf), however small it is.
    """
    return apply(_cdf, threads, x=x, df=df, nc=nc)


def sf(x: ArrayLike, df: ArrayLike, nc: ArrayLike, *, threads: int = 1) -> Any:
    """Return the probability above x, as scipy.stats.ncx2.sf; arguments and accuracy are those of `cdf`."""
    return apply(_sf, threads, x=x, df=df, nc=nc)


def logcdf(x: ArrayLike, df: ArrayLike, nc: ArrayLike, *, threads: int = 1) -> Any:
    """Return the log of `cdf`, to -1e300; its relative error is at most 2e-14."""
    return apply(_logcdf, threads, x=x, df=df, nc=nc)


def logsf(x: ArrayLike, df: ArrayLike, nc: ArrayLike, *, threads: int = 1) -> Any:
    """Return the log of `sf`, to -1e300; its relative error is at most 2e-14."""
    return apply(_logsf, threads, x=x, df=df, nc=nc)


def pdf(x: ArrayLike, df: ArrayLike, nc: ArrayLike, *, threads: int = 1) -> Any:
    """Return the density at x, as scipy.stats.ncx2.pdf; its relative error is that of `cdf` with log pdf."""
    return apply(_pdf, threads, x=x, df=df, nc=nc)


def logpdf(x: ArrayLike, df: ArrayLike, nc: ArrayLike, *, threads: int = 1) -> Any:
    """Return the log of `pdf`."""
    return apply(_logpdf, threads, x=x, df=df, nc=nc)


def ppf(q: ArrayLike, df: ArrayLike, nc: ArrayLike, *, threads: int = 1) -> Any:
    """Return the x with cdf(x) = q, as scipy.stats.ncx2.ppf, and NaN for q outside [0, 1].

    It is rounded to a double; where nc is large use `quantile`, which also returns delta = df + nc - x.  Below 1e-300 it is the
    correct limit, which may be 0.
    """
    return apply(_ppf, threads, q=q, df=df, nc=nc)


def isf(q: ArrayLike, df: ArrayLike, nc: ArrayLike, *, threads: int = 1) -> Any:
    """Return the x with sf(x) = q, as scipy.stats.ncx2.isf; the rest is as in `ppf`."""
    return apply(_isf, threads, q=q, df=df, nc=nc)


def quantile(log_p: ArrayLike, df: ArrayLike, nc: ArrayLike, *, upper: bool = False, threads: int = 1) -> Quantile:
    """Return the x with logcdf(x) = log_p (upper: logsf), with delta = df + nc - x as accurately as x's own neighbours differ.

    log_p < 0, far below the range of doubles if need be.  Error of the log tail at the returned (x, delta): at most
    5e-14 max(1, abs(log_p)), where x is at least 1e-300.
    """
    side = float(checks.flag("upper", upper))
    pair = apply(_quantile, threads, np.complex128, log_p=log_p, df=df, nc=nc, upper=side)
    return Quantile(x=np.real(pair), delta=np.imag(pair))
