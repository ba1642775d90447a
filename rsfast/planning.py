"""Before anything is drawn: which probability and how many draws a radius takes, and what a plan costs after a pilot."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from . import checks, plans, radii
from .errors import InvalidArgumentError
from .noise import InputDependentGaussian, Noise
from .plans import Betting, Plan, Radius
from .result import ABSTAIN, Stopping, VoteCounts


@dataclasses.dataclass(frozen=True)
class Need:
    """What certifying `radius` takes: probability of the class, and draws if all of them vote for it."""

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
    level, order = checks.one_alpha(alpha), checks.order(norm)
    ordered = sorted(float(r) for r in checks.floats("radii", wanted, 0.0, np.finfo(float).max, "radii, each zero or positive"))
    failure = radii.thresholds(noise, dim, order, ordered)
    found = []
    for radius, q in zip(ordered, failure, strict=True):
        least = math.log(level) / math.log1p(-q)
        n = max(math.ceil(least * (1.0 + 1e-15)), 1)  # above 2^50 to rounding
        found.append(Need(radius, 1.0 - q, n))
    return found


def waterfall(noise: Noise, *, alpha: float, n: int, norm: float = 2.0, dim: int = 1) -> float:
    """The largest radius that n draws can certify: all of them vote for the class."""
    counts = VoteCounts(selection=np.array([[1, 0]]), estimation=np.array([[n, 0]]), n0=1, n=n, ids=np.zeros(1, dtype=np.int64),
                        noise=noise, seed=0, dim=dim)  # fmt: skip
    level, order = checks.one_alpha(alpha), checks.order(norm)
    choices = {"bound": "clopper-pearson", "joint": "bonferroni"}
    return float(radii.derive(counts, alpha=level, order=order, multiclass=False, **choices).radius[0])


@dataclasses.dataclass(frozen=True)
class Forecast:
    """Of one plan on a pilot's images: mean draws of an image, and the share certified at each of its thresholds' radii."""

    plan: Plan
    draws: float
    radii: tuple[float, ...]
    certified: tuple[float, ...]


def forecast(
    pilot: VoteCounts, plan: Plan, *, alpha: float, n: int, norm: float = 2.0, labels: np.ndarray | None = None
) -> Forecast:
    """What a plan would draw and certify on images like those of a pilot (its selection draws not counted).

    Parameters
    ----------
    pilot : VoteCounts
        Of whole images, some hundred draws or more of each; not of a plan, whose votes stop where they are favourable.
    plan : Plan
    alpha, n, norm
        Of the run to come.
    labels : int [B], optional
        True labels: the share certified then counts right answers only.

    Raises
    ------
    InvalidArgumentError
        A pilot in parts or of input-dependent noise, with votes of a plan, or without images.
    """
    if pilot.parts > 1 or isinstance(pilot.noise, InputDependentGaussian) or pilot.stopping is not None or not len(pilot):
        raise InvalidArgumentError(
            "the pilot is in parts, of input-dependent noise, drawn by a plan or without images: give votes of whole images, a "
            "fixed number of draws of each."
        )
    level, order = checks.one_alpha(alpha), checks.order(norm)
    asked = getattr(plan, "radii", None)
    if asked is not None:
        failure = np.array(radii.thresholds(pilot.noise, pilot.dim, order, asked))
    else:
        assert isinstance(plan, (Radius, Betting))
        failure = plan.failures(level, n)
    tables = plans.tables(plan, failure, alpha=level, n=n)
    tested = np.maximum(pilot.selected, 0)
    seen = plans.expected(tables, pilot.estimation[np.arange(len(pilot)), tested], pilot.drawn)
    right = pilot.selected != ABSTAIN
    if labels is not None:
        right = right & (pilot.selected == labels)
    certified = (seen.reached * right[:, None]).mean(axis=0)
    return Forecast(plan, float(seen.draws.mean()), _radii_of(pilot, plan, failure, level, order), tuple(map(float, certified)))


def _radii_of(pilot: VoteCounts, plan: Plan, failure: object, alpha: float, order: float) -> tuple[float, ...]:
    """The radius of each threshold."""
    thresholds = tuple(float(q) for q in np.asarray(failure))
    rows, nothing = np.arange(len(thresholds)), np.empty(0, dtype=np.int64)
    one = np.ones((len(rows), 1), dtype=np.int64)
    counts = dataclasses.replace(
        pilot, selection=one, estimation=one, n0=1, n=1, ids=rows, images=(), sigma=np.empty(0),
        drawn=nothing, tested=nothing, reached=rows, spent=np.empty(0), stopping=Stopping(plan, alpha, thresholds, order),
    )  # fmt: skip
    found = radii.derive(counts, alpha=alpha, order=order, bound="clopper-pearson", joint="bonferroni", multiclass=False)
    return tuple(map(float, found.radius))
