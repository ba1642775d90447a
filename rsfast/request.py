"""What is asked for: how images are smoothed, what is claimed of them, and when drawing may end.  Frozen values, passed whole."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from . import checks
from .checks import Floats
from .errors import InvalidArgumentError
from .hints import explained_class
from .noise import Noise
from .noise import check as check_noise
from .transforms import Identity, Transform
from .transforms import check as check_transform

if TYPE_CHECKING:
    from .plans import Plan

ABSTAIN = -1
"""The label of an image for which nothing can be said at the level asked for."""

WHOLE = Identity()
MOST_DRAWS = 2**32 - 1
"""Draws of an image: their numbers are words of the generator's counter."""

JOINTS = ("bonferroni", "product")
TWO_SIDED = "two-sided"
ONE_CLASS = "clopper-pearson"
OTHERS_SHARE = 0.1
"""The others' share of alpha under the two-sided bound, which gains where they hold less than about 98 % of 1 - p."""


def bounds() -> tuple[str, ...]:
    """The names of all confidence bounds."""
    from . import confidence  # here, so that reading a run or a log does not wait for Numba

    return (*confidence.BOUNDS, TWO_SIDED)


def _usual(bound: object) -> bool:
    return isinstance(bound, str) and bound == ONE_CLASS


@explained_class
@dataclasses.dataclass(frozen=True)
class Claim:
    """What is claimed of an image: a radius in a norm, at a level, by a bound.

    Parameters
    ----------
    alpha : float
        Failure probability per image, strictly between 0 and 1.
    norm : float
        Order of the norm of the certified ball: a positive number or inf.
    bound : str
        One of `rsfast.confidence.BOUNDS`, or "two-sided"; `certify_counts` explains them.
    joint : str
        "bonferroni" or "product": how the bounds of several parts are made jointly confident.
    multiclass : bool
        Whether the other classes are bounded, too, at half of alpha.

    Raises
    ------
    InvalidArgumentError
        A value outside its range, or a name that is not known.
    """

    alpha: float = 1e-3
    norm: float = 2.0
    bound: str = ONE_CLASS
    joint: str = "bonferroni"
    multiclass: bool = False

    def __post_init__(self) -> None:
        for name, value in (
            ("alpha", checks.one_alpha(self.alpha)),
            ("bound", self.bound if _usual(self.bound) else checks.choice("bound", self.bound, bounds())),
            ("joint", checks.choice("joint", self.joint, JOINTS)),
            ("multiclass", checks.flag("multiclass", self.multiclass)),
            ("norm", checks.order(self.norm)),
        ):
            object.__setattr__(self, name, value)

    @property
    def one_class(self) -> str:
        """Name of the bound of the class itself."""
        return ONE_CLASS if self.bound == TWO_SIDED else self.bound

    @property
    def others(self) -> float:
        """Share of alpha that the bounds of the other classes take; 0 where they are not bounded."""
        return OTHERS_SHARE if self.bound == TWO_SIDED else 0.5 if self.multiclass else 0.0

    @property
    def plain(self) -> bool:
        """Whether only the class itself is bounded, by Clopper-Pearson."""
        return self.bound == ONE_CLASS and not self.multiclass

    def at(self, alpha: float) -> Claim:
        """The same claim at another level."""
        return dataclasses.replace(self, alpha=alpha)


DEFAULT_CLAIM = Claim()


def check_claim(claim: object) -> Claim:
    """`claim` if it is one, else InvalidArgumentError."""
    if not isinstance(claim, Claim):
        raise InvalidArgumentError(f"claim={checks.shown(claim)} is not a claim: give rsfast.Claim(alpha=0.001), for instance.")
    return claim


@dataclasses.dataclass(frozen=True)
class Smoothing:
    """How images are smoothed: with which noise, in which parts, of how many pixels each."""

    noise: Noise
    transform: Transform
    dims: tuple[int, ...]

    @classmethod
    def of(cls, noise: object, transform: Transform, shape: Sequence[int]) -> Smoothing:
        """Make that of images of `shape` (C, H, W); InvalidArgumentError where noise, transform and size do not fit."""
        parts = check_transform(transform).parts
        return cls(check_noise(noise, parts), transform, part_dims(transform, shape))

    @property
    def parts(self) -> int:
        return self.transform.parts

    @property
    def dim(self) -> int:
        """Pixels of an image, channels counted."""
        return sum(self.dims)

    def levels(self, images: int, level: float | None = None) -> Floats:
        """Noise levels of so many images: float64 [images, parts]; all of them `level` where they depend on the image."""
        if self.noise.depends_on_input:
            return np.full((images, self.parts), level, dtype=np.float64)
        return self.noise.levels_of(range(images), self.parts)


def part_dims(transform: Transform, shape: Sequence[int]) -> tuple[int, ...]:
    """Pixels of each part of images of `shape` (C, H, W), channels counted."""
    channels, height, width = shape
    return tuple(channels * transform.pixels(part, height, width) for part in range(transform.parts))


@dataclasses.dataclass(frozen=True)
class Request:
    """What is drawn of every image, and what for.

    Attributes
    ----------
    kind : str
        "certify", "count" (votes for claims to come), or "predict" (n draws of one stream, no selection).
    noise, transform
        What a model is shown of an image.
    n0, n : int
        Draws of each part that choose the class, and the most that bound its probability.
    claim : Claim
        What will be certified; of a prediction its level.
    plan : Plan or None
        By which rule drawing may end early.
    labels : bool
        Whether true labels are tested instead of selected classes.
    seed : int or None
        Of the noise; None for a fresh one.
    """

    kind: str
    noise: Noise
    n: int
    n0: int = 0
    transform: Transform = WHOLE
    claim: Claim = DEFAULT_CLAIM
    plan: Plan | None = None
    labels: bool = False
    seed: int | None = None

    def __post_init__(self) -> None:
        put = functools.partial(object.__setattr__, self)
        put("noise", check_noise(self.noise, check_transform(self.transform).parts))
        put("n0", checks.whole("n0", self.n0, 0, MOST_DRAWS))
        put("n", checks.whole("n", self.n, 1, MOST_DRAWS))
        if self.seed is not None:
            put("seed", checks.whole("seed", self.seed, 0, 2**64 - 1))
        if self.plan is not None:
            from . import plans

            plans.check(self.plan)

    def smoothing(self, shape: Sequence[int]) -> Smoothing:
        """For images of `shape` (C, H, W)."""
        return Smoothing(self.noise, self.transform, part_dims(self.transform, shape))

    @property
    def continuable(self) -> bool:
        """Whether more draws may be added later."""
        return self.plan is not None and self.plan.continuable


@dataclasses.dataclass(frozen=True)
class Stopping:
    """By which rule drawing ended before all n draws, and what was fixed for it before the first one.

    Attributes
    ----------
    plan : Plan
        The rule.
    claim : Claim
        What its looks are for.
    failure : tuple of float
        Failure probabilities of the plan's thresholds, strictly decreasing; empty where the thresholds are the plan's radii, or
        there are none.
    labels : bool
        Whether true labels are tested instead of selected classes.
    """

    plan: Plan
    claim: Claim
    failure: tuple[float, ...] = ()
    labels: bool = False

    @property
    def thresholds(self) -> int:
        """How many thresholds the plan tests."""
        return len(self.failure) or len(getattr(self.plan, "radii", None) or ())

    @property
    def sequential(self) -> bool:
        """Whether the plan's looks certify; a plan that only leaves out what cannot matter has none."""
        return self.plan.sequential

    def __str__(self) -> str:
        if not self.sequential:
            return f"stopped where abstention at alpha = {self.claim.alpha:g} was certain"
        tested = "true labels" if self.labels else "selected classes"
        return f"{self.plan.name} plan at alpha = {self.claim.alpha:g}, in l{self.claim.norm:g}, {tested} tested"


def continuable(stopping: Stopping | None) -> bool:
    """Whether votes that were drawn by this rule may be continued."""
    return stopping is not None and stopping.plan.continuable


__all__ = [
    "ABSTAIN", "JOINTS", "MOST_DRAWS", "ONE_CLASS", "TWO_SIDED", "WHOLE", "Claim", "Request", "Smoothing", "Stopping", "bounds",
    "check_claim", "continuable", "part_dims",
]  # fmt: skip
