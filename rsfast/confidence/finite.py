"""Bounds for a whole data set from some of its images: sampling without replacement from a finite population."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from .. import checks
from ..checks import Floats
from ..errors import InvalidArgumentError
from ..numerics.beta import binom_logsf

# Relative: ratios of neighbours over the width below, and binomial tails, err by less than 1e-10.  Absolute: what lies outside
# that width has probability at most 2 e^(-2 * 50) (Hoeffding 1963, §6).
INFLATE, OUTSIDE, WIDTH = 1.0 + 1e-10, 1e-42, 50.0
MOST_DRAWN = 10**8  # up to here the products of ratios keep that error


def _hypergeometric(robust: int, drawn: int, population: int) -> tuple[Floats, Floats]:
    """Values h and probabilities of the number of robust images among `drawn` of `population`, of which `robust` are robust."""
    mean, reach = drawn * robust / population, math.sqrt(WIDTH * drawn) + 2.0
    low = max(drawn - (population - robust), 0, math.floor(mean - reach))
    high = min(robust, drawn, math.ceil(mean + reach))
    mode = min(max((drawn + 1) * (robust + 1) // (population + 2), low), high)
    up, down = np.arange(mode, high, dtype=np.float64), np.arange(mode, low, -1, dtype=np.float64)
    rest = population - robust - drawn
    above = np.cumprod((robust - up) * (drawn - up) / ((up + 1.0) * (rest + up + 1.0)))
    below = np.cumprod(down * (rest + down) / ((robust - down + 1.0) * (drawn - down + 1.0)))
    weights = np.concatenate([below[::-1], [1.0], above])
    return np.arange(low, high + 1, dtype=np.float64), weights / weights.sum()


def _pvalue(robust: int, certified: int, drawn: int, population: int, alpha_image: float) -> float:
    """P(H + Bin(drawn - H, alpha_image) >= certified), H hypergeometric; rounded up, rising in `robust`."""
    h, weights = _hypergeometric(robust, drawn, population)
    short = h < certified
    tail = np.ones(len(h))
    tail[short] = np.exp(binom_logsf(certified - h[short] - 1.0, drawn - h[short], alpha_image))
    return float(np.dot(weights, tail)) * INFLATE + OUTSIDE


def _least_robust(certified: int, drawn: int, population: int, alpha_image: float, delta: float) -> int:
    """The least number of robust images that is not rejected at level delta."""
    rejected, kept = -1, population
    while kept - rejected > 1:
        middle = (rejected + kept) // 2
        if _pvalue(middle, certified, drawn, population, alpha_image) <= delta:
            rejected = middle
        else:
            kept = middle
    return kept


def _share_down(part: int, whole: int) -> float:
    share = part / whole
    top, bottom = share.as_integer_ratio()
    return math.nextafter(share, 0.0) if top * whole > part * bottom else share


def _share_up(part: int, whole: int) -> float:
    share = part / whole
    top, bottom = share.as_integer_ratio()
    return math.nextafter(share, 2.0) if top * whole < part * bottom else share


def _level(name: str, value: ArrayLike) -> Floats:
    return checks.floats(name, value, 5e-324, 1.0 - 2.0**-53, "a failure probability strictly between 0 and 1")


def _not_above(**counts: Floats) -> None:
    (small, few), (large, many) = counts.items()
    if (few > many).any():
        index = np.unravel_index(int(np.argmax(few > many)), few.shape)
        raise InvalidArgumentError(
            f"{small}{checks.at(index)}={few[index]:.0f} exceeds {large}={many[index]:.0f}: give distinct images of one data set."
        )


def _checked(certified: ArrayLike, drawn: ArrayLike, population: ArrayLike, **levels: ArrayLike) -> list[Floats]:
    found = checks.together(
        certified=checks.counts("certified", certified),
        drawn=checks.counts("drawn", drawn, 1),
        population=checks.counts("population", population, 1),
        **{name: _level(name, value) for name, value in levels.items()},
    )
    checks.floats("drawn", found[1], 1, MOST_DRAWN, f"at most {MOST_DRAWN:,} images drawn")
    _not_above(certified=found[0], drawn=found[1])
    _not_above(drawn=found[1], population=found[2])
    return found


@checks.public
def population_lower(
    certified: ArrayLike, drawn: ArrayLike, population: ArrayLike, *, alpha_image: ArrayLike, delta: ArrayLike
) -> Floats:
    """Bound from below the share of a data set's images that are truly robust, from some images' certificates.

    Parameters
    ----------
    certified, drawn, population : array_like of int
        Of a data set of `population` images, `drawn` were chosen uniformly without replacement, and `certified` of those were
        certified (right label, at the radius asked for); broadcast together.
    alpha_image : array_like of float
        Level of each image's certificate: a non-robust image is certified with at most this probability.
    delta : array_like of float
        Failure probability of the bound.

    Returns
    -------
    float64 array
        Share of the whole data set, rounded down; below the true share with probability at least 1 - delta.

    Raises
    ------
    InvalidArgumentError
        Counts that are not whole numbers in order, levels outside (0, 1); names the index.

    Notes
    -----
    K robust images are rejected if P(H + Bin(drawn - H, alpha_image) >= certified) <= delta, H hypergeometric; the bound is the
    least K that is not.  Given which images were drawn, non-robust ones are certified with probability at most alpha_image,
    so that the number certified is stochastically at most H + Bin(drawn - H, alpha_image), which rises with K.

    Needs noise that is independent between images: distinct image ids, one seed.  With noise shared by the images a miss
    probability of 1.6 delta has been constructed.

    Examples
    --------
    >>> float(population_lower(400, 500, 10_000, alpha_image=0.001, delta=0.05)).__round__(4)
    0.7689
    """
    return _each(_lower, _checked(certified, drawn, population, alpha_image=alpha_image, delta=delta))


@checks.public
def population_interval(
    certified: ArrayLike, drawn: ArrayLike, population: ArrayLike, *, delta: ArrayLike
) -> tuple[Floats, Floats]:
    """Return an exact two-sided interval of the share of a data set's images that this very run would certify if it went over
    all.

    With its seed fixed, a run certifies an image or does not: the images drawn are a sample of a finite population of two kinds,
    and the interval inverts the hypergeometric tails at delta / 2 each.  It says nothing of robustness that the run fails to
    see or asserts wrongly: for that see `population_lower`.

    Arguments and errors are as in `population_lower`.  It returns the lower bounds, rounded down, and the upper bounds, rounded
    up; both hold with probability at least 1 - delta.

    Examples
    --------
    >>> lower, upper = population_interval(400, 500, 10_000, delta=0.05)
    >>> round(float(lower), 4), round(float(upper), 4)
    (0.7632, 0.8333)
    """
    given = _checked(certified, drawn, population, delta=delta)
    *counts, level = given
    return _each(_lower_in_run, [*counts, 0.5 * level]), _each(_upper_in_run, [*counts, 0.5 * level])


def _lower(certified: float, drawn: float, population: float, alpha_image: float, delta: float) -> float:
    return _share_down(_least_robust(int(certified), int(drawn), int(population), alpha_image, delta), int(population))


def _lower_in_run(certified: float, drawn: float, population: float, delta: float) -> float:
    return _lower(certified, drawn, population, 0.0, delta)


def _upper_in_run(certified: float, drawn: float, population: float, delta: float) -> float:
    others = _least_robust(int(drawn - certified), int(drawn), int(population), 0.0, delta)
    return _share_up(int(population) - others, int(population))


def _each(bound: Callable[..., float], arrays: list[Floats]) -> Floats:
    return np.vectorize(bound, otypes=[np.float64])(*arrays)[()]
