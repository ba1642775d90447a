"""HOW a plan decides: whole-number tables of counts, made once from the plan, alpha, n and the thresholds."""

from __future__ import annotations

import dataclasses
import hashlib
import json

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import checks
from ..checks import Floats
from ..errors import InvalidArgumentError
from ..numerics.caching import sources_stamp
from ..numerics.normal import ndtri
from . import boundary, cache, mixture
from .kinds import Betting, Radius, Sequential, check_sequential
from .schedule import schedule, spending

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

MOST_DRAWS = 10**9


@dataclasses.dataclass(frozen=True, eq=False)
class Tables:
    """Tables say when J thresholds are certified and when drawing stops; all decisions compare whole numbers.

    Attributes
    ----------
    plan, alpha, n
        What the tables are of; n is the most draws (for `Betting` the draws until the pause).
    failure : float64 [J]
        1 - q_j: hypothesis j says "the success probability is at most q_j".
    looks : int64 [K]
        Numbers of draws after which to look, increasing, the last one n.
    accept : int64 [K, J]
        Hypothesis j is rejected, hence radius j certified, at look k if at least so many of the first looks[k] draws were
        successes; looks[k] + 1 where that is impossible.  Does not fall in j.
    hopeless : int64 [K, J]
        Hypothesis j is not pursued further if at most so many were successes; -1 for never.  No part of the guarantee.
    """

    plan: Sequential
    alpha: float
    n: int
    failure: Floats
    looks: Integers
    accept: Integers
    hopeless: Integers
    _near: Integers | None = None  # [J]: the least threshold that is near enough to threshold j

    def reached(self, look: int, successes: ArrayLike, before: ArrayLike) -> Integers:
        """Return the last threshold certified so far, -1 for none: int64 [B].

        look : index into `looks`.  successes : int [B], among exactly the first looks[look] draws.  before : int [B], the answer
        of the look before, -1 at first.
        """
        found = np.searchsorted(self.accept[look], np.asarray(successes, dtype=np.int64), side="right") - 1
        return np.maximum(np.asarray(before, dtype=np.int64), found)

    def finished(self, look: int, successes: ArrayLike, reached: ArrayLike) -> Flags:
        """Say whether no more draws are needed: bool [B].

        The last threshold is reached, the next one is not pursued further, `Radius` is near enough, or this is the last look.
        """
        successes, reached = np.asarray(successes, dtype=np.int64), np.asarray(reached, dtype=np.int64)
        last = self.accept.shape[1] - 1
        done = (reached >= last) | (successes <= self.hopeless[look][np.minimum(reached + 1, last)])
        if self._near is not None:
            draws = self.looks[look]
            expected = self.n - (draws - successes) * self.n // draws  # successes of all n draws, rounded up
            final = np.searchsorted(self.accept[-1], expected, side="right") - 1
            done |= (reached >= 0) & (reached >= self._near[np.maximum(final, 0)])
        return done | (look == len(self.looks) - 1)

    def spent(self, look: int) -> float:
        """Return how much of alpha may have been used up by the looks up to this one."""
        if isinstance(self.plan, Betting):
            return self.alpha
        return float(min(spending(self.looks, self.alpha, self.plan.final, self.plan.spread)[: look + 1].sum(), self.alpha))


def _hopeless(looks: Integers, most: Integers, wanted: Integers, n: int, futility: float) -> Integers:
    """The table of that name.

    most : int64 [K, J], failures with which each look certifies.  wanted : int64 [J], failures in n draws with which one test of
    all n would; an image with that share of failures is the one that is given up with probability `futility`.
    """
    later = np.full_like(most, -1)
    later[:-1] = np.maximum.accumulate(most[:0:-1], axis=0)[::-1]
    given_up = looks[:, None] - later - 1  # successes that leave more failures than any later look allows
    if futility > 0.0:
        share = np.maximum(wanted, 0) / n
        unlikely = boundary.critical_table(looks, 1.0 - share, futility)
        given_up = np.maximum(given_up, np.where(share > 0.0, unlikely, looks[:, None] - 1))
    given_up = np.where(wanted < 0, looks[:, None], given_up)
    return np.maximum.accumulate(given_up, axis=1)


def _compute(plan: Sequential, looks: Integers, failure: Floats, alpha: float, n: int) -> Integers:
    """int64 [2, K, J]: accept and hopeless."""
    if isinstance(plan, Betting):
        most = mixture.most_failures(looks, failure, alpha)
        wanted = most[-1]
    else:
        most = boundary.boundaries(looks, spending(looks, alpha, plan.final, plan.spread), failure)
        wanted = boundary.critical_table(looks[-1:], failure, alpha)[0]
    # Rejecting a threshold must imply rejecting those before it: without this, P(false certificate) was 1.016 alpha once.
    most = np.minimum.accumulate(most, axis=1)
    return np.stack([looks[:, None] - most, _hopeless(looks, most, wanted, n, plan.futility)])


def _near(failure: Floats, tolerance: float) -> Integers:
    """int64 [J]: the least threshold whose z is at least (1 - tolerance) times that of threshold j."""
    z = np.round(-ndtri(failure), 9)  # the same on machines whose last digits differ
    return np.searchsorted(z, np.where(z > 0.0, (1.0 - tolerance) * z, z) - 1e-9)


def tables(plan: Sequential, failure: ArrayLike, *, alpha: float, n: int) -> Tables:
    """Make the tables of a plan, which are kept in memory and, where that takes longer than 0.2 s, in a folder (`cache.folder`).

    Parameters
    ----------
    plan : Grid, Radius or Betting
    failure : float64 [J]
        Failure probabilities 1 - q_j of the thresholds, not increasing, in [0, 1); taken as exact.  Hypothesis j is p <= q_j.
        Thresholds too high for n draws, 0 included, are never certified.  Of `Radius` and of `Betting` without radii: the plan's
        own `failures`.
    alpha : float
        Failure probability of what an image's result states.
    n : int
        Most draws, 1 to 10^9.

    Returns
    -------
    Tables
        P(some threshold with q_j >= p is ever certified) <= alpha for every p, whatever the rule by which drawing stops: exact
        recursion at n = 2,000 and 400,000 simulated images at n = 100,000 in bench/results, plan-guarantees.json.

    Raises
    ------
    InvalidArgumentError
        Values outside their range, more than 4,096 looks.

    Notes
    -----
    Group-sequential tests with alpha spent over looks (Lan & DeMets 1983), here exactly binomial and with the unused budget
    carried; `boundary` holds the argument of soundness, `mixture` that of `Betting`.

    Examples
    --------
    >>> from rsfast.plans import Grid
    >>> t = tables(Grid([0.0, 0.5]), [0.5, 0.16], alpha=0.001, n=1000)
    >>> t.looks[:3].tolist(), t.accept[0].tolist()
    ([128, 256, 384], [88, 123])
    >>> t.reached(0, [70, 100, 128], [-1, -1, -1]).tolist()
    [-1, 0, 1]
    """
    check_sequential(plan)
    level = checks.alpha(alpha)
    if level.ndim:
        raise InvalidArgumentError(f"alpha={alpha!r} is not one number: a plan has one alpha for all images.")
    n = checks.whole("n", n, 1, MOST_DRAWS)
    thresholds = checks.floats("failure", failure, 0.0, np.nextafter(1.0, 0.0), "failure probabilities from 0 to below 1").copy()
    if thresholds.ndim != 1 or not len(thresholds):
        raise InvalidArgumentError(f"failure has shape {thresholds.shape}: give a list with one entry per threshold.")
    if (np.diff(thresholds) > 0.0).any():
        raise InvalidArgumentError("failure increases: give the thresholds' failure probabilities in falling order.")
    looks = schedule(n, plan.first, plan.growth, plan.step)
    made_of = {key: value for key, value in plan.to_dict().items() if key not in ("radii", "tolerance", "spacing", "largest")}
    made_of |= {"alpha": float(level).hex(), "n": n, "sources": sources_stamp()}
    key = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode() + thresholds.astype("<f8").tobytes()).hexdigest()
    both = cache.table(key, (2, len(looks), len(thresholds)), lambda: _compute(plan, looks, thresholds, float(level), n))
    for array in (thresholds, looks):
        array.flags.writeable = False
    near = _near(thresholds, plan.tolerance) if isinstance(plan, Radius) else None
    return Tables(plan, float(level), n, thresholds, looks, both[0], both[1], near)
