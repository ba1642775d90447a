"""WHAT a plan is: frozen values that say which radii are asked for, when to look, and how alpha is spent."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

import numpy as np

from .. import checks
from ..checks import Floats
from ..errors import InvalidArgumentError
from ..hints import explained_class
from ..numerics.normal import ndtr, ndtri

MOST_RADII = 4096


def _radii(value: object) -> tuple[float, ...]:
    allowed = f"a list of 1 to {MOST_RADII} different radii, each zero or positive, such as [0.25, 0.5, 1.0]"
    try:
        if isinstance(value, (str, bytes, Mapping)):
            raise TypeError
        radii = sorted(float(r) + 0.0 for r in itertools.islice(value, MOST_RADII + 1))  # type: ignore[call-overload]
    except Exception:  # whatever foreign objects raise
        raise InvalidArgumentError(f"radii={checks.shown(value)} is not a list of numbers: give {allowed}.") from None
    if not 1 <= len(radii) <= MOST_RADII:
        raise InvalidArgumentError(f"radii has {len(radii)} entries: give {allowed}.")
    for r in radii:
        if not 0.0 <= r < math.inf:
            raise InvalidArgumentError(f"radii holds {r}: give {allowed}.")
    for r, following in itertools.pairwise(radii):
        if r == following:
            raise InvalidArgumentError(f"radii holds {r:g} twice: give {allowed}.")
    return tuple(radii)


def lattice_failures(z: Floats) -> Floats:
    """Return Phi(-z), rounded down: whoever fails less often than this has Phi^-1(p) >= z."""
    return np.asarray(ndtr(-z) * (1.0 - 4e-15))


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Looks:
    """What every plan has: when it looks and when it gives up."""

    growth: float = 1.1
    first: int = 128
    step: int = 128
    futility: float = 1e-3

    name: ClassVar[str]
    sequential: ClassVar[bool] = True
    """Whether looks certify; if not, the plan only leaves out draws that cannot change the answer."""
    continuable: ClassVar[bool] = False
    """Whether more draws may be added after the result was seen."""

    def __post_init__(self) -> None:
        self._number("growth", 1.0, 1e9, "the factor between looks, a number of at least 1 (1.1 is customary)")
        self._put("first", checks.whole("first", self.first, 1, 10**9))
        self._put("step", checks.whole("step", self.step, 1, 10**9))
        self._number("futility", 0.0, 0.5, "a probability of giving up wrongly, from 0 (never) to 0.5")

    def _put(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def _number(self, name: str, low: float, high: float, what: str) -> None:
        self._put(name, checks.number(name, getattr(self, name), low, high, what))

    def _spending(self) -> None:
        self._number("final", 1e-3, 1.0, "the last look's share of alpha, from 0.001 to 1")
        self._number("spread", 0.5, 2.0, "the growth of what looks spend, from 0.5 to 2 (1.05 is customary)")

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; `from_dict` is the inverse."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {"name": self.name} | {key: list(value) if isinstance(value, tuple) else value for key, value in fields.items()}


@explained_class
@dataclasses.dataclass(frozen=True)
class Grid(_Looks):
    """Certify radii of a list, each image with as few draws as it needs: group-sequential exact binomial tests.

    An image's result is the largest radius of the list that its counts reach at some look.  P(the stated radius exceeds the true
    one) <= alpha per image, for any number of radii: they are nested, so that a false statement is the rejection of one fixed
    threshold.  Drawing stops when the last radius is reached or the next one is out of reach; that choice is no part of the
    guarantee, and nothing is stated between looks.

    Parameters
    ----------
    radii : sequence of float
        Zero or positive, all different, at most 4096; in the units of the certificate.  0 asks whether anything can be certified.
    final : float
        Share of alpha kept for the last look, 0.001 to 1.  More keeps certified accuracy closer to that of all n draws, less
        saves draws (0.5 against 0.8: bench/results, plan-savings.json).
    growth, first, step : float, int, int
        Looks after `first` draws, then each `growth` times later, at multiples of `step`; the last after all n.
    futility : float
        Give a radius up when an image that all n draws would certify half of the time shows so few successes with at most this
        probability; 0 gives up only what cannot be reached any more.
    spread : float
        Factor between what successive looks may spend, 0.5 to 2.

    Raises
    ------
    InvalidArgumentError
        A value outside its range.
    """

    radii: Sequence[float]
    final: float = dataclasses.field(default=0.8, kw_only=True)
    spread: float = dataclasses.field(default=1.05, kw_only=True)

    name: ClassVar[str] = "grid"
    how: ClassVar[str] = "stops when the last of --radii is certified or out of reach"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._put("radii", _radii(self.radii))
        self._spending()


@explained_class
@dataclasses.dataclass(frozen=True)
class Radius(_Looks):
    """Certify a radius for each image, on a lattice, drawing until it is within `tolerance` of what all n draws would give.

    The guarantee is that of `Grid`, on the lattice z = 0, spacing, 2 spacing, … of z = Phi^-1(p) (radius sigma z for Gaussian
    noise).  It stops when the z reached is at least (1 - tolerance) times what the last look would give at the current share of
    failures; that is an estimate, the guarantee does not rest on it.

    Parameters
    ----------
    tolerance : float
        Relative, from 0 to below 1.
    spacing : float
        Of the lattice, in units of sigma, 0.001 to 1.
    final, growth, first, step, futility, spread
        As for `Grid`.
    """

    tolerance: float = 0.05
    spacing: float = dataclasses.field(default=0.005, kw_only=True)
    final: float = dataclasses.field(default=0.9, kw_only=True)
    spread: float = dataclasses.field(default=1.05, kw_only=True)

    name: ClassVar[str] = "radius"
    how: ClassVar[str] = "stops when the radius is within --tolerance"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._number("tolerance", 0.0, math.nextafter(1.0, 0.0), "a relative distance from 0 to below 1 (0.05 is 5 %)")
        self._number("spacing", 1e-3, 1.0, "a distance of radii in units of sigma, from 0.001 to 1")
        self._spending()

    def lattice(self, alpha: float, n: int) -> Floats:
        """Return the z of the thresholds, float64 [J], from 0 to the largest that n successes in n draws certify (at least z =
        0).
        """
        least_failure = -math.expm1(math.log(checks.one_alpha(alpha)) / checks.whole("n", n, 1))
        largest = max(-float(ndtri(least_failure)), 0.0)
        return np.asarray(np.arange(math.floor(largest / self.spacing + 1e-9) + 1) * self.spacing, dtype=np.float64)

    def failures(self, alpha: float, n: int) -> Floats:
        """Return the failure probabilities of the thresholds, float64 [J], decreasing: Phi(-z) of `lattice`, rounded down."""
        return lattice_failures(self.lattice(alpha, n))


@explained_class
@dataclasses.dataclass(frozen=True)
class Betting(_Looks):
    """Certify so that one may stop at any moment and continue later: a mixture martingale per threshold (`plans.mixture`).

    It is valid at every n, so that n is merely where a call pauses; a later call with a larger n continues, and alpha stays what
    it was.  The price is that no look is the last, so that nothing is kept for it, and nothing is known of the draws to
    come.  Paused at 100,000 draws it has used about as many as `Grid` and lost more certified accuracy, most at radii that need
    nearly all of them: up to 0.9 points where `Grid` loses 0.2 (bench/results, plan-savings.json).

    Parameters
    ----------
    radii : sequence of float or None
        As for `Grid`; None for the lattice z = 0, spacing, … up to `largest`, which does not depend on n.
    spacing, largest : float
        Of that lattice, in units of sigma: 0.001 to 1, and at most 8.
    growth, first, step : float, int, int
        When to look (looking is free of charge); the schedule does not end, and every pause is a look.
    futility : float
        As for `Grid`, with the draws up to the pause in the place of all.
    """

    radii: Sequence[float] | None = dataclasses.field(default=None, kw_only=True)
    spacing: float = dataclasses.field(default=0.02, kw_only=True)
    largest: float = dataclasses.field(default=5.0, kw_only=True)

    name: ClassVar[str] = "betting"
    how: ClassVar[str] = "is as grid, and may be continued with a larger --n"
    continuable: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.radii is not None:
            self._put("radii", _radii(self.radii))
        self._number("spacing", 1e-3, 1.0, "a distance of radii in units of sigma, from 0.001 to 1")
        self._number("largest", 0.0, 8.0, "the largest radius in units of sigma, from 0 to 8")

    def lattice(self, alpha: float, n: int) -> Floats:
        """Return the z of the thresholds, float64 [J], whatever alpha and n."""
        return np.asarray(np.arange(math.floor(self.largest / self.spacing + 1e-9) + 1) * self.spacing, dtype=np.float64)

    def failures(self, alpha: float, n: int) -> Floats:
        """Return the failure probabilities of the thresholds, float64 [J], decreasing: Phi(-z) of `lattice`, rounded down."""
        return lattice_failures(self.lattice(alpha, n))


@explained_class
@dataclasses.dataclass(frozen=True)
class Curtail:
    """Make all draws, but none after so many failures that abstention is certain: the rows are the same, a little cheaper.

    For whole images and the bound of one class.
    """

    name: ClassVar[str] = "curtail"
    how: ClassVar[str] = "leaves out draws that cannot change an abstention"
    sequential: ClassVar[bool] = False
    continuable: ClassVar[bool] = False

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; `from_dict` is the inverse."""
        return {"name": self.name}


Sequential: TypeAlias = Grid | Radius | Betting
Plan: TypeAlias = Sequential | Curtail

PLANS: dict[str, type[Plan]] = {plan.name: plan for plan in (Grid, Radius, Betting, Curtail)}


def check(plan: object) -> Plan:
    """Return `plan` if it is one, and raise InvalidArgumentError otherwise."""
    if not isinstance(plan, tuple(PLANS.values())):
        raise InvalidArgumentError(
            f"plan={checks.shown(plan)} is not a plan: give rsfast.plans.Grid(radii), plans.Radius(tolerance), plans.Betting() "
            "or plans.Curtail()."
        )
    return plan  # type: ignore[return-value]


def check_sequential(plan: object) -> Sequential:
    """Return `plan` if its looks certify, and raise InvalidArgumentError otherwise."""
    found = check(plan)
    if not found.sequential:
        raise InvalidArgumentError(f"a {found.name} plan has no looks that certify: give plans.Grid(radii), for instance.")
    return found  # type: ignore[return-value]


def from_dict(fields: Mapping[str, Any]) -> Plan:
    """Return the plan that `to_dict` wrote."""
    if not isinstance(fields, Mapping):
        raise InvalidArgumentError(f"a plan is described by {checks.shown(fields)}: give the dict of its to_dict().")
    values = dict(fields)
    kind = PLANS[checks.choice("plan's name", values.pop("name", None), PLANS)]
    known = {field.name for field in dataclasses.fields(kind)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise InvalidArgumentError(f"a {kind.name} plan has no {', '.join(unknown)}: give some of {', '.join(sorted(known))}.")
    if kind is Grid and "radii" not in values:
        raise InvalidArgumentError("a grid plan without radii: give radii, a list such as [0.25, 0.5, 1.0].")
    return kind(**values)
