"""Before anything is drawn: which probability and how many draws a radius takes, and what a plan costs after a pilot."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from .. import checks, confidence, plans
from ..certifying import radii
from ..checks import Floats
from ..errors import InvalidArgumentError
from ..noise import Noise
from ..noise import check as check_noise
from ..numerics.normal import ndtri
from ..plans import Plan
from ..request import ABSTAIN, MOST_DRAWS, WHOLE, Claim, Smoothing, check_claim
from ..result import VoteCounts
from .choose import Ask, make
from .rules import OverLooks, Sequential, check_labels
from .simulation import Extremes, Simulator

MOST = 2**53
"""Draws beyond which none are counted one by one."""


@dataclasses.dataclass(frozen=True)
class Need:
    """What certifying `radius` takes: probability of the class, and draws if all of them vote for it; of each part alike."""

    radius: float
    probability: float
    draws: int


def needs(noise: Noise, wanted: list[float], *, alpha: float, norm: float = 2.0, dim: int = 1) -> list[Need]:
    """The least probability and number of draws for each radius (Cohen, Rosenfeld & Kolter 2019, §3.2.2: k = n).

    Parameters
    ----------
    noise : Noise
        Of whole images, of constant level.
    wanted : list of float
        Radii in the `norm`.
    alpha : float
    dim : int
        Pixels of an image; matters for norms that the certificate converts.
    """
    return needs_of(_whole(noise, dim), Claim(alpha, norm), wanted)


def waterfall(noise: Noise, *, alpha: float, n: int, norm: float = 2.0, dim: int = 1) -> float:
    """The largest radius that n draws can certify: all of them vote for the class."""
    return waterfall_of(_whole(noise, dim), Claim(alpha, norm), n)


def _whole(noise: Noise, dim: int) -> Smoothing:
    return Smoothing(check_noise(noise), WHOLE, (checks.whole("dim", dim, 1, MOST),))


def needs_of(smoothing: Smoothing, claim: Claim, wanted: list[float], level: float | None = None) -> list[Need]:
    """As `needs`, for whatever can be certified; `level` is that of an image whose noise depends on it."""
    allowed = "radii, each zero or positive"
    ordered = sorted(map(float, checks.floats("radii", wanted, 0.0, np.finfo(float).max, allowed).ravel()))
    failure = radii.failures(smoothing, np.array(ordered), claim.norm, level=level)
    probabilities = zip(ordered, map(float, failure), strict=True)
    return [Need(radius, 1.0 - q, _draws(smoothing, claim, radius, q, level)) for radius, q in probabilities]


def waterfall_of(smoothing: Smoothing, claim: Claim, n: int, level: float | None = None) -> float:
    """The largest radius that n draws of each part can certify, for whatever can be certified."""
    return radii.waterfall(smoothing, checks.whole("n", n, 1, MOST), claim, level)


def _draws(smoothing: Smoothing, claim: Claim, radius: float, failure: float, level: float | None) -> int:
    """The fewest draws of each part that certify the radius if all vote for the class."""
    least = math.log(claim.alpha / smoothing.parts) / math.log1p(-failure)
    n = max(math.ceil(least * (1.0 + 1e-15)), 1)  # above 2^50 to rounding
    if not claim.others and claim.joint == "bonferroni":
        return n

    def enough(draws: int) -> bool:
        reached = radii.waterfall(smoothing, draws, claim, level)
        return reached >= radius and reached > 0.0

    low, high = 0, n
    while high < MOST and not enough(high):
        low, high = high, 2 * high
    while high - low > 1 and high < MOST:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


@dataclasses.dataclass(frozen=True)
class Forecast:
    """What one plan would draw and certify on a pilot's images.

    Attributes
    ----------
    draws : float
        Of an image in the mean (of each part).
    radii : tuple of float
        Of the plan's thresholds.
    certified : tuple of float
        Share of the images certified at each of them.
    draws_between, certified_between : (least, most)
        What a run over these images draws and certifies with confidence `CONFIDENCE`, whatever their probabilities are.
    """

    plan: Plan
    draws: float
    radii: tuple[float, ...]
    certified: tuple[float, ...]
    draws_between: tuple[float, float]
    certified_between: tuple[tuple[float, ...], tuple[float, ...]]


CONFIDENCE = 0.95
OF_LUCK = 0.02
"""The share of what `CONFIDENCE` leaves that the run's own draws take; the rest is for the pilot's."""


def forecast(pilot: VoteCounts, plan: Plan, *, claim: Claim, n: int, labels: np.ndarray | None = None) -> Forecast:
    """What a plan would draw and certify on images like those of a pilot (its selection draws not counted).

    The forecast averages over what the pilot leaves open of each image's probability as if nothing were known of the others
    (Jeffreys' prior).  Where many images lie just below a radius that is far too low: the interval takes for every image the
    worst and the best probability of its exact confidence interval, all of them together at `CONFIDENCE`.

    Parameters
    ----------
    pilot : VoteCounts
        Some hundred draws or more of each image; not of a plan, whose votes stop where they are favourable.
    plan : Plan
        One whose looks certify.
    claim, n
        Of the run to come.  joint="product" is simulated as "bonferroni", which takes a few draws more.
    labels : int [B], optional
        True labels: the share certified then counts right answers only.

    Raises
    ------
    InvalidArgumentError
        A pilot with votes of a plan, or without images, and whatever no plan covers.
    """
    check_pilot(pilot)
    n = checks.whole("n", n, 1, MOST_DRAWS)
    claim = dataclasses.replace(check_claim(claim), joint="bonferroni")
    ask = Ask(pilot.smoothing, claim, plans.check_sequential(plan))
    recipe = make(ask, 1, n)
    assert isinstance(recipe, (Sequential, OverLooks))
    tested = np.maximum(pilot.selected, 0)
    votes = pilot.estimation if pilot.parts > 1 else pilot.estimation[:, None]  # [B, P, K]
    successes = votes[np.arange(len(pilot)), :, tested]  # [B, P]
    right = pilot.selected != ABSTAIN
    if labels is not None:
        right = right & (pilot.selected == check_labels(labels, len(pilot), pilot.selection.shape[-1]))
    of_one = (1.0 - CONFIDENCE - OF_LUCK) / (2.0 * successes.size)
    low = confidence.bound("clopper-pearson", successes, pilot.n, of_one).p_lower
    high = confidence.clopper_pearson_upper(successes, pilot.n, of_one)
    if isinstance(recipe, Sequential):
        seen = plans.expected(recipe.tables, successes[:, 0], pilot.drawn)
        found = _between(plans.curve(recipe.tables), low[:, 0], high[:, 0])
        reach = _radii_of(pilot, recipe.tables.failure, claim.norm)
    else:
        simulator = Simulator(ask, recipe, votes, tested, pilot.sigma.reshape(successes.shape))
        seen = simulator.expected(successes, pilot.n)
        found = simulator.between(low, high)
        reach = tuple(map(float, recipe.radii))
    luck = -float(ndtri(OF_LUCK / 2.0)) / len(pilot)
    less = found.least_draws.mean() - luck * math.sqrt(found.least_variance.sum())
    more = found.most_draws.mean() + luck * math.sqrt(found.most_variance.sum())
    shares = []
    for reached, sign in ((found.least_reached, -1.0), (found.most_reached, 1.0)):
        mean = (reached * right[:, None]).mean(axis=0)
        off = luck * np.sqrt((reached * (1.0 - reached) * right[:, None]).sum(axis=0))
        shares.append(tuple(map(float, np.clip(mean + sign * off, 0.0, 1.0))))
    certified = (seen.reached * right[:, None]).mean(axis=0)
    first, last = float(recipe.looks[0]), float(recipe.looks[-1])
    return Forecast(
        plan, float(seen.draws.mean()), reach, tuple(map(float, certified)), (max(float(less), first), min(float(more), last)),
        (shares[0], shares[1]),
    )  # fmt: skip


def check_pilot(pilot: VoteCounts) -> None:
    """Raise InvalidArgumentError for votes from which nothing can be forecast."""
    if not isinstance(pilot, VoteCounts):
        raise InvalidArgumentError(f"pilot is {type(pilot).__name__}: give the VoteCounts of sample_counts.")
    if pilot.stopping is not None or not len(pilot) or pilot.n < 1:
        raise InvalidArgumentError(
            "the pilot was drawn by a plan or holds no images: give votes of a fixed number of draws of each image."
        )


def _between(curve: plans.Curve, low: Floats, high: Floats) -> Extremes:
    """The extremes of a plan's curve over each image's interval of probabilities."""
    first = np.clip(np.searchsorted(curve.z, ndtri(low), side="right") - 1, 0, len(curve.z) - 1)
    last = np.clip(np.searchsorted(curve.z, ndtri(high), side="left"), 0, len(curve.z) - 1)
    least, most = np.empty(len(low), dtype=np.int64), np.empty(len(low), dtype=np.int64)
    for a, b in set(zip(first.tolist(), last.tolist(), strict=True)):
        here = (first == a) & (last == b)
        least[here], most[here] = a + curve.draws[a : b + 1].argmin(), a + curve.draws[a : b + 1].argmax()
    variance = curve.variance
    return Extremes(
        curve.draws[least], curve.draws[most], variance[least], variance[most], curve.reached[first], curve.reached[last]
    )


def _radii_of(pilot: VoteCounts, failure: Floats, order: float) -> tuple[float, ...]:
    """The radius of each threshold; under noise that depends on the image, at the middle one of its levels."""
    sigma = pilot.smoothing.levels(len(failure), float(np.median(pilot.sigma)))
    return tuple(map(float, radii.of_thresholds(pilot.smoothing, failure, sigma, order)))
