"""What a plan will cost: draws and radii of images whose probabilities are known or were seen in a pilot."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import checks
from ..checks import Floats
from ..errors import InvalidArgumentError
from ..numerics.normal import ndtr, ndtri
from .table import Integers, Tables


class Expected(NamedTuple):
    """This holds, for each image [B], mean draws and how often each threshold was reached, as shares of repetitions [B, J]."""

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
    draws, reached = _walk(tables, rng.beta(successes + 0.5, drawn - successes + 0.5, size=shape).ravel(), rng)
    shares = (reached.reshape(shape)[:, :, None] >= np.arange(len(tables.failure))).mean(axis=0)
    return Expected(draws.reshape(shape).mean(axis=0), shares)


def _walk(tables: Tables, p: Floats, rng: np.random.Generator) -> tuple[Integers, Integers]:
    """Draws and last threshold reached of one simulated image for each probability: int64 [N] both."""
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
    return draws, reached


class Curve(NamedTuple):
    """A curve holds what a plan does at many probabilities Phi(z): z [Z], mean and variance of the draws [Z], shares reached [Z,
    J].
    """

    z: Floats
    draws: Floats
    variance: Floats
    reached: Floats


PATHS = 120_000  # simulated for a curve
AROUND = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])  # in standard errors of all n draws


@functools.lru_cache(maxsize=8)
def curve(tables: Tables, *, seed: int = 0) -> Curve:
    """Return a plan's draws against the probability, at steps of 0.02 in z, and more closely where they are most.

    That is at probabilities which all n draws certify half of the time, and is narrow there.  Below z = -1 every plan gives up
    at once, above 6.5 no failure is seen in 10^9 draws.
    """
    half = np.unique(np.clip(tables.accept[-1] / tables.n, 0.5 / tables.n, 1.0 - 0.5 / tables.n))
    around = AROUND if len(half) <= 64 else np.zeros(1)
    near = (half[:, None] + around * np.sqrt(half * (1.0 - half) / tables.n)[:, None]).ravel()
    z = np.unique(np.concatenate([np.arange(-1.0, 6.5, 0.02), ndtri(near[(near > 0.0) & (near < 1.0)])]))
    repetitions = int(np.clip(PATHS // len(z), 50, 200))
    draws, reached = _walk(tables, np.repeat(ndtr(z), repetitions), np.random.default_rng(seed))
    of_z = draws.reshape(len(z), repetitions)
    shares = [(reached.reshape(of_z.shape) >= j).mean(axis=1) for j in range(len(tables.failure))]
    return Curve(z, of_z.mean(axis=1), of_z.var(axis=1), np.stack(shares, axis=1))
