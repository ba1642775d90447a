"""What a plan will cost: draws and radii of images whose probabilities are known or were seen in a pilot."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import checks
from ..errors import InvalidArgumentError
from .table import Tables


class Expected(NamedTuple):
    """For each image [B]: mean draws, and in how many of the repetitions each threshold was reached, shares [B, J]."""

    draws: NDArray[np.float64]
    reached: NDArray[np.float64]


def expected(tables: Tables, successes: ArrayLike, drawn: ArrayLike, *, repetitions: int = 50, seed: int = 0) -> Expected:
    """Simulate a plan on images of which a pilot saw `successes` among `drawn` draws.

    Parameters
    ----------
    tables : Tables
    successes, drawn : int [B]
        Of the class that is to be tested.  What the pilot leaves open is simulated, too: each repetition draws the image's
        probability from Beta(successes + 1/2, drawn - successes + 1/2).
    repetitions, seed : int

    Returns
    -------
    Expected
        An estimate for planning, no part of any guarantee.

    Raises
    ------
    InvalidArgumentError
        Successes that exceed draws, no images, or fewer than one repetition.
    """
    successes, drawn = checks.together(successes=checks.counts("successes", successes), drawn=checks.counts("drawn", drawn, 1))
    if successes.ndim != 1 or not successes.size or (successes > drawn).any():
        raise InvalidArgumentError(
            "successes and drawn are no counts of a pilot: give one of each per image, not more than drawn."
        )
    if not isinstance(tables, Tables):
        raise InvalidArgumentError(f"tables is {type(tables).__name__}: give what plans.tables made.")
    seed = checks.whole("seed", seed, 0)
    repetitions = checks.whole("repetitions", repetitions, 1, 10**6)
    rng = np.random.default_rng(seed)
    shape = (repetitions, len(successes))
    p = rng.beta(successes + 0.5, drawn - successes + 0.5, size=shape).ravel()
    counts, at = np.zeros(p.size, dtype=np.int64), 0
    reached, draws = np.full(p.size, -1, dtype=np.int64), np.zeros(p.size, dtype=np.int64)
    active = np.arange(p.size)
    for look, n in enumerate(tables.looks):
        counts[active] += rng.binomial(n - at, p[active])
        at = n
        reached[active] = tables.reached(look, counts[active], reached[active])
        draws[active] = n
        active = active[~tables.finished(look, counts[active], reached[active])]
        if not active.size:
            break
    thresholds = np.arange(len(tables.failure))
    shares = (reached.reshape(shape)[:, :, None] >= thresholds).mean(axis=0)
    return Expected(draws.reshape(shape).mean(axis=0), shares)
