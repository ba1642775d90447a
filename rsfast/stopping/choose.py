"""From what a call asks for to what is drawn: which recipe, and with which thresholds."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np

from .. import plans, rounding
from ..certifying import radii
from ..checks import Floats
from ..errors import InvalidArgumentError
from ..numerics.normal import ndtri
from ..plans import Betting, Grid, Plan, Radius
from ..plans.schedule import schedule, spending
from ..request import Claim, Smoothing, Stopping
from .rules import Certify, Curtailed, Everything, Looks, OverLooks, Recipe, Sequential


@dataclasses.dataclass(frozen=True)
class Ask:
    """What is to be certified, and how few draws may do.

    `labels` says whether true labels are tested, `slack` is what rounding may take off a radius.
    """

    smoothing: Smoothing
    claim: Claim
    plan: Plan | None = None
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
    claim = ask.claim
    if ask.plan is None:
        if ask.labels:
            raise InvalidArgumentError("labels are tested by plans: give a plan, or leave labels out (all draws choose a class).")
        return Everything(n0, n)
    plan = plans.check(ask.plan)
    if n0 == 0 and not ask.labels:
        raise InvalidArgumentError(
            "n0=0 with a plan: drawing stops by the votes of a class, which n0 draws choose; give n0 of at least 1, or labels."
        )
    radii.rehearse(ask.smoothing, claim)
    if not plan.sequential:
        if ask.labels:
            raise InvalidArgumentError(f"a {plan.name} plan tests no labels: give plans.Grid(radii), or leave labels out.")
        if ask.smoothing.parts > 1 or claim.others:
            raise InvalidArgumentError(
                f"a {plan.name} plan is for whole images and the bound of one class: leave it out, or transform, multiclass and "
                "bound."
            )
        return Curtailed(n0, n, claim)
    looks_alone = ask.smoothing.parts > 1 or not claim.plain or (ask.smoothing.noise.depends_on_input and isinstance(plan, Grid))
    return _over_looks(ask, plan, n0, n) if looks_alone else _sequential(ask, plan, n0, n, failure)


def table_hash(recipe: Recipe) -> str | None:
    """The hash of the whole-number tables that decide, where there are some: a run continues only with the same."""
    if not isinstance(recipe, Sequential):
        return None
    digest = hashlib.sha256(np.ascontiguousarray(recipe.tables.looks).tobytes())
    digest.update(np.ascontiguousarray(recipe.tables.accept).tobytes())
    return digest.hexdigest()[:16]


def _sequential(ask: Ask, plan: Plan, n0: int, n: int, failure: tuple[float, ...] | None) -> Recipe:
    claim = ask.claim
    if failure is None:
        asked = getattr(plan, "radii", None)
        if asked is not None:
            failure = radii.thresholds(ask.smoothing, claim.norm, asked, ask.slack)
        else:
            assert isinstance(plan, (Radius, Betting))
            failure = tuple(float(q) for q in plan.failures(claim.alpha, n))
    tables = plans.tables(plans.check_sequential(plan), np.array(failure), alpha=claim.alpha, n=n)
    if isinstance(plan, Grid) and (tables.accept[:, 0] > tables.looks).all():
        raise InvalidArgumentError(
            f"radii from {min(plan.radii):g} with n={n}: so few draws certify none of them at alpha={claim.alpha:g}; give more "
            "draws or smaller radii (stopping.forecast.needs and `rsfast plan` say how many)."
        )
    return Sequential(n0, tables, Stopping(plan, claim, failure, ask.labels))


def _over_looks(ask: Ask, plan: Plan, n0: int, n: int) -> Recipe:
    if not isinstance(plan, Grid):
        raise InvalidArgumentError(
            f"a {plan.name} plan is for whole images and the bound of one class: give plans.Grid(radii), which takes others too."
        )
    draws = schedule(n, plan.first, plan.growth, plan.step)
    shares = spending(draws, ask.claim.alpha, plan.final, plan.spread)
    margin = -float(ndtri(plan.futility)) if plan.futility > 0.0 else np.inf
    quick = None
    if ask.claim.joint != "bonferroni":
        quick = _certifier(dataclasses.replace(ask, claim=dataclasses.replace(ask.claim, joint="bonferroni")))
    stopping = Stopping(plan, ask.claim, (), ask.labels)
    return OverLooks(n0, Looks(draws, shares, plan.radii, margin), _certifier(ask), stopping, quick)


def _certifier(ask: Ask) -> Certify:
    """The certificate of a look, less what rounding may take off."""

    def certify(votes: np.ndarray, tested: int, drawn: int, alpha: float, sigma: Floats) -> float:
        of_image = radii.Votes(votes[None], np.array([tested]), drawn, np.asarray(sigma)[None])
        found = radii.derive(ask.smoothing, of_image, ask.claim.at(alpha)).radius
        return float(rounding.taken_off(found, np.array([ask.slack]), ask.claim.norm)[0])

    return certify
