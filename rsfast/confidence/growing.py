"""Bounds for a whole data set that hold at every look, while the number of images drawn at random from it grows.

A data set has N images, of which a run would certify K.  Drawn in a random order, the counts k_1, k_2, … of the first m images
are hypergeometric.  With every K from 0 to N equally likely beforehand, prior / posterior of the true K,

    R_m(K) = P(k_m) / P(k_m | K) = 1 / ((m + 1) hyp(k_m; N, K, m)),

is a martingale of mean 1 (Waudby-Smith & Ramdas 2020, §2), so that by Ville's inequality it ever reaches 1 / delta with
probability at most delta.  The K with (m + 1) hyp(k_m; N, K, m) > delta contain the true one at all m at once.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from .. import checks
from ..checks import Floats
from ..numerics.beta import binom_logsf
from .finite import _checked, _each, _share_down, _share_up


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1.0) - math.lgamma(k + 1.0) - math.lgamma(n - k + 1.0)


def _kept(total: int, certified: int, drawn: int, population: int, delta: float) -> bool:
    """Whether `total` certified images in the data set are not ruled out; in doubt they are not.

    Nine values of lgamma enter, each right to a few of its last bits.
    """
    if not certified <= total <= population - (drawn - certified):
        return False
    log = _log_choose(total, certified) + _log_choose(population - total, drawn - certified) - _log_choose(population, drawn)
    slack = 1e-9 + 64.0 * 2.0**-53 * math.lgamma(population + 2.0)
    return log + math.log(drawn + 1.0) > math.log(delta) - slack


def _lowest(certified: int, drawn: int, population: int, delta: float) -> int:
    """The least number of certified images that is not ruled out."""
    out, kept = certified - 1, min(max(round(certified / drawn * population), certified), population - drawn + certified)
    while kept - out > 1:
        middle = (out + kept) // 2
        out, kept = (out, middle) if _kept(middle, certified, drawn, population, delta) else (middle, kept)
    return kept


@checks.public
def population_sequence(
    certified: ArrayLike, drawn: ArrayLike, population: ArrayLike, *, delta: ArrayLike
) -> tuple[Floats, Floats]:
    """Return what `population_interval` does, for looking as often as one likes while `drawn` grows, and stopping at any look.

    The images are drawn in one random order: a larger sample holds the smaller ones.  P(the interval misses at any number
    of images) <= delta.  Arguments and errors are as in `population_interval`; lower bounds are rounded down and upper ones up.

    Examples
    --------
    >>> lower, upper = population_sequence(400, 500, 10_000, delta=0.05)
    >>> round(float(lower), 4), round(float(upper), 4)
    (0.7346, 0.856)
    """
    given = _checked(certified, drawn, population, delta=delta)
    return _each(_lower, given), _each(_upper, given)


@checks.public
def population_lower_sequence(
    certified: ArrayLike, drawn: ArrayLike, population: ArrayLike, *, alpha_image: ArrayLike, delta: ArrayLike
) -> Floats:
    """Return what `population_lower` does, for looking as often as one likes while `drawn` grows.

    A tenth of delta is for the images that the run would certify wrongly: they are at most Bin(population, alpha_image).  The
    rest is for `population_sequence` of those that it would certify.
    """
    return _each(_robust, _checked(certified, drawn, population, alpha_image=alpha_image, delta=delta))


def _lower(certified: float, drawn: float, population: float, delta: float) -> float:
    return _share_down(_lowest(int(certified), int(drawn), int(population), delta), int(population))


def _upper(certified: float, drawn: float, population: float, delta: float) -> float:
    others = _lowest(int(drawn - certified), int(drawn), int(population), delta)
    return _share_up(int(population) - others, int(population))


def _robust(certified: float, drawn: float, population: float, alpha_image: float, delta: float) -> float:
    wrong = _most_wrong(int(population), alpha_image, 0.1 * delta)
    right = _lowest(int(certified), int(drawn), int(population), 0.9 * delta) - wrong
    return _share_down(max(right, 0), int(population))


def _most_wrong(images: int, alpha_image: float, delta: float) -> int:
    """The least b with P(Bin(images, alpha_image) > b) <= delta."""
    low, high = -1, images
    while high - low > 1:
        middle = (low + high) // 2
        enough = float(np.float64(binom_logsf(float(middle), float(images), alpha_image))) <= math.log(delta) - 1e-9
        low, high = (low, middle) if enough else (middle, high)
    return high
