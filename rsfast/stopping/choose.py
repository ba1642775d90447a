"""From what a call asks for to what is drawn: which recipe, and with which thresholds."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import plans, rounding
from ..certifying import radii
from ..checks import Floats
from ..errors import InvalidArgumentError
from ..noise import InputDependentGaussian, Noise
from ..numerics.normal import ndtri
from ..plans import Betting, Grid, Plan, Radius
from ..plans.schedule import schedule, spending
from ..result import Stopping, VoteCounts
from ..transforms import Transform
from .rules import Curtailed, Everything, OverLooks, Recipe, Sequential


@dataclasses.dataclass(frozen=True)
class Ask:
    """What is to be certified, and how few draws may do.

    `dims` are the pixels of each part, `slack` is what rounding may take off a radius; the others are arguments of `certify`.
    """

    noise: Noise
    transform: Transform
    dims: tuple[int, ...]
    alpha: float
    norm: float = 2.0
    bound: str = "clopper-pearson"
    joint: str = "bonferroni"
    multiclass: bool = False
    plan: Plan | None = None
    curtail: bool = False
    labels: bool = False
    slack: float = 0.0


def make(ask: Ask, n0: int, n: int, failure: tuple[float, ...] | None = None) -> Recipe:
    """The recipe for n0 selection draws and at most n estimation draws.

    `failure` are thresholds that an earlier call of the same run used; they are taken instead of computing them again.

    Raises
    ------
    InvalidArgumentError
        A combination that no plan covers; nothing has been drawn.
    """
    if n0 == 0 and not ask.labels and (ask.plan is not None or ask.curtail):
        raise InvalidArgumentError(
            "n0=0 with a plan or curtail: drawing stops by the votes of a class, which n0 draws choose; give n0 of at least 1, "
            "or labels with a plan."
        )
    if ask.plan is not None or ask.curtail:
        how = {"bound": ask.bound, "joint": ask.joint, "multiclass": ask.multiclass}
        radii.rehearse(ask.noise, ask.transform, ask.dims, alpha=ask.alpha, order=ask.norm, **how)  # type: ignore[arg-type]
    if ask.plan is not None:
        plan = plans.check(ask.plan)
        if ask.curtail:
            raise InvalidArgumentError("curtail=True and a plan: a plan stops by itself; leave curtail out.")
        simple = ask.transform.parts == 1 and not ask.multiclass and ask.bound == "clopper-pearson"
        depends = isinstance(ask.noise, InputDependentGaussian) and isinstance(plan, Grid)
        return _sequential(ask, plan, n0, n, failure) if simple and not depends else _over_looks(ask, plan, n0, n)
    if ask.labels:
        raise InvalidArgumentError("labels are tested by plans: give a plan, or leave labels out (all draws choose a class).")
    if ask.curtail:
        if ask.transform.parts > 1 or ask.multiclass or ask.bound == "two-sided":
            raise InvalidArgumentError(
                "curtail=True is for whole images and the bound of one class: leave it out, or transform, multiclass and bound."
            )
        return Curtailed(n0, n, ask.alpha, ask.bound)
    return Everything(n0, n)


def table_hash(recipe: Recipe) -> str | None:
    """The hash of the whole-number tables that decide, where there are some: a run continues only with the same."""
    if not isinstance(recipe, Sequential):
        return None
    digest = hashlib.sha256(np.ascontiguousarray(recipe.tables.looks).tobytes())
    digest.update(np.ascontiguousarray(recipe.tables.accept).tobytes())
    return digest.hexdigest()[:16]


def _sequential(ask: Ask, plan: Plan, n0: int, n: int, failure: tuple[float, ...] | None) -> Recipe:
    if failure is None:
        asked = getattr(plan, "radii", None)
        if asked is not None:
            failure = radii.thresholds(ask.noise, ask.dims[0], ask.norm, asked, ask.slack)
        else:
            assert isinstance(plan, (Radius, Betting))
            failure = tuple(float(q) for q in plan.failures(ask.alpha, n))
    tables = plans.tables(plan, np.array(failure), alpha=ask.alpha, n=n)
    if isinstance(plan, Grid) and (tables.accept[:, 0] > tables.looks).all():
        raise InvalidArgumentError(
            f"radii from {min(plan.radii):g} with n={n}: so few draws certify none of them at alpha={ask.alpha:g}; give more "
            "draws or smaller radii (planning.needs and `rsfast plan` say how many)."
        )
    return Sequential(n0, tables, Stopping(plan, ask.alpha, failure, ask.norm, ask.labels))


def _over_looks(ask: Ask, plan: Plan, n0: int, n: int) -> Recipe:
    if not isinstance(plan, Grid):
        raise InvalidArgumentError(
            f"a {plan.name} plan is for whole images and the bound of one class: give plans.Grid(radii), which takes others too."
        )
    looks = schedule(n, plan.first, plan.growth, plan.step)
    shares = spending(looks, ask.alpha, plan.final, plan.spread)
    margin = -float(ndtri(plan.futility)) if plan.futility > 0.0 else np.inf
    stopping = Stopping(plan, ask.alpha, (), ask.norm, ask.labels, ask.bound, ask.multiclass, ask.joint)
    quick = _certifier(dataclasses.replace(ask, joint="bonferroni")) if ask.joint != "bonferroni" else None
    return OverLooks(n0, looks, shares, plan.radii, margin, _certifier(ask), stopping, quick)


def _certifier(ask: Ask) -> Callable[[np.ndarray, int, int, float, Floats], float]:
    """(votes [parts, K], tested class, draws, alpha, noise level of each part) → radius."""
    choices: dict[str, Any] = {"order": ask.norm, "bound": ask.bound, "joint": ask.joint, "multiclass": ask.multiclass}
    parts = ask.transform.parts

    def certify(votes: np.ndarray, tested: int, drawn: int, alpha: float, sigma: Floats) -> float:
        selection = np.zeros_like(votes)
        selection[0, tested] = 1
        depends = isinstance(ask.noise, InputDependentGaussian)
        counts = VoteCounts(
            selection=selection if parts == 1 else selection[None], estimation=votes if parts == 1 else votes[None], n0=1,
            n=drawn, ids=np.zeros(1, dtype=np.int64), noise=ask.noise, seed=0, dim=sum(ask.dims),
            sigma=np.asarray(sigma) if depends else np.empty(0), transform=ask.transform, part_dims=ask.dims,
        )  # fmt: skip
        found = radii.derive(counts, alpha=alpha, **choices).radius
        return float(rounding.taken_off(found, np.array([ask.slack]), ask.norm)[0])

    return certify
