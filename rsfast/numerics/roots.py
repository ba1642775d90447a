"""Vectorised, safeguarded root finding that says which side of the root each end is on.

A certificate must return the end of a bracket on its safe side, not the middle of it; so `solve` returns both ends, and a code.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numba.core.dispatcher import Dispatcher
from numba.core.errors import NumbaError
from numpy.typing import ArrayLike, NDArray

from .. import checks
from ..errors import InvalidArgumentError
from . import caching  # noqa: F401

CONVERGED, NOT_BRACKETED, NOT_FINITE, TOO_MANY_STEPS = 0, 1, 2, 3
MOST_STEPS = 300
COLOURS = r"\x1b\[[0-9;]*m"


class Root(NamedTuple):
    """A root is where a function changes its sign.

    `certified`: the end of the last bracket at which the function has the sign that it has at `low`; NaN unless bracketed.
    `other`: the other end, within a few ulps where `code` is CONVERGED.  `code`: int8.
    """

    certified: NDArray[np.float64]
    other: NDArray[np.float64]
    code: NDArray[np.int8]


@njit(error_model="numpy")
def _halve(a, b):
    """A number between a and b that halves the *digits* left: zero, or the geometric mean of numbers far apart."""
    if a > b:
        a, b = b, a
    if a < 0.0 < b:
        return 0.0
    if a >= 0.0:
        return math.sqrt(max(a, 1e-300)) * math.sqrt(b) if b > 4.0 * max(a, 1e-300) else 0.5 * (a + b)
    return -math.sqrt(-a) * math.sqrt(max(-b, 1e-300)) if -a > 4.0 * max(-b, 1e-300) else 0.5 * (a + b)


@njit(error_model="numpy")
def bracket(function, arguments, low, high, rtol):
    """(certified, other, code) of one root of function(x, arguments): Chandrupatla's method (1997).

    Inverse quadratic interpolation where the last three points allow it, bisection elsewhere, of the digits once 60 steps have
    not been enough; an exact zero and NaN count as the other side.
    """
    f_low, f_high = function(low, arguments), function(high, arguments)
    if not (math.isfinite(f_low) and low == low and high == high):
        return math.nan, math.nan, NOT_FINITE
    if f_low == 0.0 or (math.isfinite(f_high) and f_high != 0.0 and (f_high > 0.0) == (f_low > 0.0)):
        return math.nan, math.nan, NOT_BRACKETED
    positive = f_low > 0.0
    certified, other = low, high
    newest, f_newest, opposite, f_opposite, third, f_third = high, f_high, low, f_low, low, f_low
    t = 0.5
    for i in range(MOST_STEPS):
        x = newest + t * (opposite - newest) if i < 60 else _halve(certified, other)
        if x in (certified, other):
            x = 0.5 * (certified + other)
        f = function(x, arguments)
        same = f > 0.0 if positive else f < 0.0
        if same:
            certified = x
        else:
            other = x
        third, f_third = newest, f_newest
        if same == ((f_newest > 0.0) if positive else (f_newest < 0.0)):
            pass
        else:
            opposite, f_opposite = newest, f_newest
        newest, f_newest = x, f
        if abs(other - certified) <= rtol * max(abs(other), abs(certified)):
            return certified, other, CONVERGED
        middle = 0.5 * (certified + other)
        if middle in (certified, other):
            return certified, other, CONVERGED
        t = 0.5
        if math.isfinite(f_newest) and math.isfinite(f_opposite) and math.isfinite(f_third) and opposite != third:
            xi = (newest - opposite) / (third - opposite)
            phi = (f_newest - f_opposite) / (f_third - f_opposite)
            if phi * phi < xi and (1.0 - phi) * (1.0 - phi) < 1.0 - xi:
                t = f_newest / (f_opposite - f_newest) * f_third / (f_opposite - f_third)
                t += (
                    (third - newest) / (opposite - newest) * f_newest / (f_third - f_newest) * f_opposite / (f_third - f_opposite)
                )
        smallest = 0.5 * rtol * abs(newest) / abs(opposite - newest)
        t = min(max(t, smallest), 1.0 - smallest) if t == t else 0.5
    return certified, other, TOO_MANY_STEPS


@njit(nogil=True, error_model="numpy")
def _many(function, arguments, low, high, rtol, certified, other, code):
    for i in range(len(low)):
        certified[i], other[i], code[i] = bracket(function, arguments[i], low[i], high[i], rtol)


def solve(
    function: Callable[..., Any],
    low: ArrayLike,
    high: ArrayLike,
    *arguments: ArrayLike,
    rtol: float = 4.5e-16,
    threads: int = 1,
) -> Root:
    """Find where function(x, arguments) changes its sign between `low` and `high`.

    Parameters
    ----------
    function : numba-compiled function of (x, arguments)
        `arguments` is a float64 array with one entry for each of this call's extra arrays.  It need not be monotone or
        continuous; NaN counts as the side of `high`.
    low, high, *arguments : array_like
        Broadcast together.  `low` may lie above `high`.
    rtol : float
        Relative width of the last bracket.
    threads : int
        Share the elements over this many threads.

    Raises
    ------
    InvalidArgumentError
        A function that Numba has not compiled or cannot, arguments that are no numbers or do not broadcast.

    Returns
    -------
    Root
        certified and other end of the bracket, and a code (CONVERGED, NOT_BRACKETED, NOT_FINITE, TOO_MANY_STEPS) for each.

    Examples
    --------
    >>> from numba import njit
    >>> root = solve(njit(lambda x, a: a[0] - x * x), 0.0, 10.0, [2.0, 9.0])
    >>> [bool(c * c < a) for c, a in zip(root.certified, (2.0, 9.0))]
    [True, True]
    """
    if not isinstance(function, Dispatcher):
        raise InvalidArgumentError(f"function={checks.shown(function)} is not compiled by Numba: give numba.njit(function).")
    threads = checks.whole("threads", threads, 1, 1024)
    width = float(checks.floats("rtol", rtol, 0.0, 1.0, "a relative width from 0 to 1").max(initial=0.0))
    named = {"low": low, "high": high, **{f"arguments[{i}]": array for i, array in enumerate(arguments)}}
    arrays = checks.together(**{name: checks.doubles(name, array, "numbers") for name, array in named.items()})
    shape = arrays[0].shape
    flat = [np.ascontiguousarray(array).reshape(-1) for array in arrays]
    table = np.ascontiguousarray(np.stack(flat[2:], axis=1)) if len(flat) > 2 else np.empty((flat[0].size, 0))
    certified, other, code = np.empty(flat[0].size), np.empty(flat[0].size), np.empty(flat[0].size, dtype=np.int8)

    def job(a: int, b: int) -> None:
        _many(function, table[a:b], flat[0][a:b], flat[1][a:b], width, certified[a:b], other[a:b], code[a:b])

    try:
        if threads == 1:
            job(0, len(code))
        else:
            edges = [len(code) * i // threads for i in range(threads + 1)]
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(job, edges, edges[1:]))
    except NumbaError as error:
        raise InvalidArgumentError(
            f"function does not compile as a function of (x, arguments): {re.sub(COLOURS, '', str(error)).strip()}"
        ) from None
    return Root(certified.reshape(shape), other.reshape(shape), code.reshape(shape))
