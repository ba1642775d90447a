"""Exact bounds and tests for one binomial count."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .. import checks
from ..checks import Floats
from ..errors import InvalidArgumentError, NumericalError
from ..numerics import beta

LOG_2 = 0.6931471805599453


class Bound(NamedTuple):
    """A bound holds a probability's lower bound and, for the same event, the upper bound of its failure (not formed as 1 -
    p_lower).
    """

    p_lower: Floats
    q_upper: Floats


def _counted(count: ArrayLike, n: ArrayLike, alpha: ArrayLike) -> list[Floats]:
    count, n, alpha = checks.together(count=checks.counts("count", count), n=checks.counts("n", n, 1), alpha=checks.alpha(alpha))
    if (count > n).any():
        index = np.unravel_index(int(np.argmax(count > n)), count.shape)
        raise InvalidArgumentError(
            f"count{checks.at(index)}={count[index]:.0f} exceeds n={n[index]:.0f}: give counts of the same n samples."
        )
    return [count, n, alpha]


def _settled(value: Floats, what: str) -> Floats:
    if np.isnan(value).any():
        raise NumericalError(f"{what} did not converge for one of the counts; please report the counts, n and alpha.")
    return value


@checks.public
def clopper_pearson_upper(count: ArrayLike, n: ArrayLike, alpha: ArrayLike) -> Floats:
    """Return the exact one-sided upper confidence bound of a probability seen `count` times in `n`.

    Parameters
    ----------
    count, n : array_like of int
        Successes and trials, 0 <= count <= n, n >= 1; broadcast together.
    alpha : array_like of float
        Failure probability of the bound, strictly between 0 and 1.

    Returns
    -------
    float64 array
        The q with P(Bin(n, q) <= count) = alpha; 1 for count = n.  Rounded up.

    Raises
    ------
    InvalidArgumentError
        Counts that are not whole numbers in range, or alpha outside (0, 1); names the index.

    Notes
    -----
    Clopper & Pearson 1934.  Accuracy, against 50-digit sums in tests/numerics/test_beta.py: never below the exact
    bound, above it by at most 1e-13 relative for alpha from 1e-15 to 1/2 (typically 5e-15).

    Examples
    --------
    >>> float(clopper_pearson_upper(0, 100, 0.05)).__round__(6)
    0.029513
    """
    count, n, alpha = _counted(count, n, alpha)
    return _settled(beta.binomial_upper(count, n, alpha), "the upper bound")


@checks.public
def clopper_pearson_lower(count: ArrayLike, n: ArrayLike, alpha: ArrayLike) -> Floats:
    """Return the exact one-sided lower confidence bound of a probability seen `count` times in `n`, rounded down.

    Arguments, errors and accuracy are as in `clopper_pearson_upper`; it is 0 for count = 0, alpha^(1/n) for count = n.

    Examples
    --------
    >>> float(clopper_pearson_lower(99, 100, 0.001)).__round__(6)
    0.911373
    """
    count, n, alpha = _counted(count, n, alpha)
    return _settled(beta.binomial_lower(count, n, alpha), "the lower bound")


@checks.public
def failure_upper(count: ArrayLike, n: ArrayLike, alpha: ArrayLike) -> Floats:
    """Return an upper bound of 1 - p for a probability p seen `count` times in `n`, rounded up.

    This is the failure form of the Clopper-Pearson lower bound: near p = 1 it keeps the digits that 1 - p_lower would lose.
    """
    count, n, alpha = _counted(count, n, alpha)
    return _settled(beta.binomial_upper(n - count, n, alpha), "the upper bound")


def _clopper_pearson(count: ArrayLike, n: ArrayLike, alpha: ArrayLike) -> Bound:
    return Bound(clopper_pearson_lower(count, n, alpha), failure_upper(count, n, alpha))


BOUNDS: dict[str, Callable[[ArrayLike, ArrayLike, ArrayLike], Bound]] = {"clopper-pearson": _clopper_pearson}


@checks.public
def bound(name: str, count: ArrayLike, n: ArrayLike, alpha: ArrayLike) -> Bound:
    """Return the bound of that name (see BOUNDS) on a probability seen `count` times in `n`."""
    return BOUNDS[checks.choice("bound", name, BOUNDS)](count, n, alpha)


@checks.public
def prediction_pvalue(count_a: ArrayLike, count_b: ArrayLike) -> Floats:
    """Return the two-sided p-value that the class with `count_a` votes is not more likely than the one with `count_b`.

    It is min(1, 2 P(Bin(count_a + count_b, 1/2) >= max)): the test of PREDICT (Cohen, Rosenfeld & Kolter 2019, §3.2.1; Hung &
    Fithian 2019), sound although the two classes are chosen by the same counts.  It is 1 if the counts are equal or both 0.  It
    is rounded up, by 8e-15 - 1.2e-15 log(p-value) relative, and never to 0: below the range of doubles to the smallest positive
    one.  The counts together are at most 2^53.
    """
    count_a, count_b = checks.together(count_a=checks.counts("count_a", count_a), count_b=checks.counts("count_b", count_b))
    bad = count_a > 2.0**53 - count_b
    if bad.any():
        index = np.unravel_index(int(np.argmax(bad)), bad.shape)
        raise InvalidArgumentError(
            f"count_a{checks.at(index)}={count_a[index]:.0f} and count_b={count_b[index]:.0f} exceed 2^53 together: give counts "
            "of fewer draws."
        )
    n, smaller = count_a + count_b, np.minimum(count_a, count_b)
    log_tail = np.where(n > 0, beta.binom_logcdf(smaller, np.maximum(n, 1), 0.5), 0.0)
    log_tail = _settled(log_tail, "the binomial tail")
    value = np.exp(log_tail + LOG_2 + 7e-15 - 1.2e-15 * log_tail) * (1.0 + 6e-16)
    return np.minimum(np.where(value < 1e-307, np.nextafter(value, 1.0), value), 1.0)  # there a rounding exceeds the margin


@checks.public
def least_samples(alpha: float) -> int:
    """Return the least n that can certify anything at level alpha: the smallest with alpha^(1/n) > 1/2."""
    alpha = checks.one_alpha(alpha)
    return math.floor(-math.log2(alpha)) + 1
