"""Votes to radii: which confidence bounds and which certificate a kind of noise and transform calls for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import certificates, checks, confidence, rounding
from ..certificates.counts import dual_certify_product, dual_product_level
from ..checks import Floats
from ..errors import InvalidArgumentError
from ..noise import Gaussian, GaussianParts, GeneralizedGaussian, InputDependentGaussian, Laplace, LatticeGaussian, Noise, Uniform
from ..plans import Grid
from ..result import ABSTAIN, VoteCounts
from ..transforms import Transform

JOINTS = ("bonferroni", "product")
TWO_SIDED = "two-sided"
BOUNDS = (*confidence.BOUNDS, TWO_SIDED)
OTHERS_SHARE = 0.1
"""Of alpha, for the other classes under the two-sided bound: it gains where they hold less than about 98 % of 1 - p."""

LEVEL_ROUNDING = 2.0**-23 + 2e-11  # relative: the level drawn is sigma(x), right to 1e-11, rounded up to float32


class Radii(NamedTuple):
    """Radius [B], and the bounds p_lower and q_upper, [B] or [B, P], that it was made of."""

    radius: Floats
    p_lower: Floats
    q_upper: Floats


def _check(noise: Noise, parts: int, *, order: float, bound: str, joint: str, multiclass: bool) -> None:
    """Raise InvalidArgumentError where no certificate covers what is asked of votes under such noise."""
    checks.order(order)
    checks.choice("bound", bound, BOUNDS)
    multiclass = multiclass or bound == TWO_SIDED
    checks.choice("joint", joint, JOINTS)
    log_concave, depends = isinstance(noise, (Laplace, GeneralizedGaussian)), isinstance(noise, InputDependentGaussian)
    shown = f"{type(noise).__name__} noise in {parts} part(s)"
    if multiclass and (parts > 2 or depends or (parts == 2 and log_concave)):
        raise InvalidArgumentError(
            f"the other classes' bound and {shown}: the radius of that case is for two classes; give multiclass=False and the "
            "clopper-pearson bound."
        )
    if parts > 1 and (isinstance(noise, Uniform) or (log_concave and parts > 2)):
        raise InvalidArgumentError(
            f"{shown}: no certificate covers that; give Gaussian noise, or Laplace or generalised Gaussian noise in two parts."
        )
    if joint == "product":
        unequal = len(set(noise.fixed_levels)) > 1
        gaussian = isinstance(noise, (Gaussian, GaussianParts))
        if parts != 2 or multiclass or unequal or not gaussian or bound != "clopper-pearson":
            raise InvalidArgumentError(
                "joint='product' is for two parts of one Gaussian noise level, two classes and the clopper-pearson bound: "
                "give 'bonferroni'."
            )


def derive(counts: VoteCounts, *, alpha: float, order: float, bound: str, joint: str, multiclass: bool) -> Radii:
    """Radii of the tested classes around the images that were given, each right with probability at least 1 - alpha."""
    _check(counts.noise, counts.parts, order=order, bound=bound, joint=joint, multiclass=multiclass)
    choices: dict[str, Any] = {"order": order, "bound": bound, "joint": joint, "multiclass": multiclass}
    if counts.stopping is None:
        found = _fixed(counts, counts.estimation, alpha, **choices)
    elif counts.stopping.plan is None:
        found = _curtailed(counts, alpha, **choices)
    else:
        found = _planned(counts, alpha, **choices)
        if not counts.stopping.failure:  # radii of the plan, which its looks have reached around the image that was given
            return found
    return found._replace(radius=rounding.taken_off(found.radius, counts.rounded(order), order))


def _fixed(
    counts: VoteCounts, estimation: np.ndarray, alpha: float, *, order: float, bound: str, joint: str, multiclass: bool
) -> Radii:
    """From votes of all n draws."""
    selected = counts.tested
    rows = np.arange(len(counts))
    estimation = estimation if counts.parts > 1 else estimation[:, None]  # [B, P, K]
    votes = estimation[rows, :, np.maximum(selected, 0)]  # [B, P]
    votes = np.where((selected == ABSTAIN)[:, None], 0, votes)
    others = estimation.copy()
    others[rows, :, np.maximum(selected, 0)] = 0
    nothing = counts.n - estimation.sum(axis=2)  # copies whose logits are NaN: a class of their own, which beats the others
    other = np.maximum(others.max(axis=2), nothing)  # the largest other count bounds every other class (factor 2, not K)
    if joint == "product":
        return _product(counts, votes, alpha, order)
    of_others = OTHERS_SHARE if bound == TWO_SIDED else 0.5 if multiclass else 0.0
    name = "clopper-pearson" if bound == TWO_SIDED else bound
    p_lower, q_upper = confidence.bound(name, votes, counts.n, alpha * (1.0 - of_others) / counts.parts)
    p_upper = confidence.clopper_pearson_upper(other, counts.n, alpha * of_others / counts.parts) if of_others else None
    if isinstance(counts.noise, LatticeGaussian):
        variation = _variation(counts)
        p_lower, q_upper = np.maximum(p_lower - variation, 0.0), np.minimum(q_upper + variation, 1.0)
        p_upper = None if p_upper is None else np.minimum(p_upper + variation, 1.0)
    if counts.parts == 1:
        p, q = p_lower[:, 0], q_upper[:, 0]
        return Radii(_whole(counts, p, q, None if p_upper is None else p_upper[:, 0], order), p, q)
    return Radii(_parts(counts, p_lower, q_upper, p_upper, order), p_lower, q_upper)


def _curtailed(counts: VoteCounts, alpha: float, **choices: Any) -> Radii:
    """As if all n draws had been made: who was stopped abstains even if all the draws left out had been successes."""
    short = (counts.drawn < counts.n) & (counts.tested != ABSTAIN)
    best = counts.estimation.copy()
    best[short, counts.tested[short]] += (counts.n - counts.drawn)[short]
    radius, p_lower, q_upper = _fixed(counts, best, alpha, **choices)
    saved = short & (radius > 0.0)
    several = choices["multiclass"] or choices["bound"] == TWO_SIDED
    if saved.any() or (several and short.any()):
        first = int(np.argmax(saved if saved.any() else short))
        raise InvalidArgumentError(
            f"image id {counts.ids[first]} was {counts.stopping} and with alpha={alpha:g}, {choices['bound']} bound, "
            f"multiclass={choices['multiclass']} it need not abstain: draw again without curtail, or give a smaller alpha."
        )
    return Radii(radius, np.where(counts.drawn < counts.n, 0.0, p_lower), np.where(counts.drawn < counts.n, 1.0, q_upper))


def _planned(counts: VoteCounts, alpha: float, **choices: Any) -> Radii:
    """The certificate at the last threshold that was reached: with probability 1 - alpha the class is more likely than that."""
    stopping = counts.stopping
    assert stopping is not None and stopping.plan is not None
    if (alpha, choices["bound"], choices["multiclass"]) != (stopping.alpha, stopping.bound, stopping.multiclass):
        raise InvalidArgumentError(
            f"these votes were drawn by a plan for alpha={stopping.alpha:g}, bound={stopping.bound!r} and "
            f"multiclass={stopping.multiclass}, and stopped as it says: they support no others; give these."
        )
    certain = counts.reached >= 0
    if not stopping.failure:
        if not isinstance(stopping.plan, Grid):
            raise InvalidArgumentError("these votes of a plan come without its thresholds: give them in stopping.failure.")
        if (choices["order"], choices["joint"]) != (stopping.norm, stopping.joint):
            raise InvalidArgumentError(
                f"these votes were drawn for radii in l{stopping.norm:g}, joint={stopping.joint!r}, certified look by look: give "
                f"norm={stopping.norm:g} and that joint."
            )
        stated = np.maximum(stopping.plan.radii, 5e-324)  # radius 0 was asked for as any positive one
        radius = np.where(certain, stated[np.maximum(counts.reached, 0)], 0.0)
        nothing = np.zeros(counts.estimation.shape[:-1])
        return Radii(radius, nothing, nothing + 1.0)
    q = np.where(certain, np.array(stopping.failure)[np.maximum(counts.reached, 0)], 1.0)
    p = np.where(certain, np.nextafter(1.0 - q, 0.0), 0.0)
    return Radii(at(counts, p, q, choices["order"]), p, q)


def at(counts: VoteCounts, p: Floats, q: Floats, order: float) -> Floats:
    """Two-class radius [B] of images whose class has probability at least p and fails with at most q.

    p and q are float64 [B], or [B, P] for parts; [B] is the same for each part.  Votes of `counts` do not matter.
    """
    if counts.parts > 1 and p.ndim == 1:
        p, q = (np.repeat(bound[:, None], counts.parts, axis=1) for bound in (p, q))
    if isinstance(counts.noise, LatticeGaussian):
        variation = _variation(counts) if counts.parts > 1 else _variation(counts)[0]
        p, q = np.maximum(p - variation, 0.0), np.minimum(q + variation, 1.0)
    return _whole(counts, p, q, None, order) if counts.parts == 1 else _parts(counts, p, q, None, order)


def thresholds(noise: Noise, dim: int, order: float, radii: Sequence[float], slack: float = 0.0) -> tuple[float, ...]:
    """Largest failure probabilities at which the certificate of whole images is still each of the radii: strictly decreasing.

    Parameters
    ----------
    radii : sequence of float
        Increasing, in the norm of that order.
    slack : float
        What rounding may take off a radius (`rounding.most`): probabilities are those of radii larger by as much.

    Raises
    ------
    InvalidArgumentError
        A radius that no probability certifies, radii too close to need different probabilities, or noise whose level depends on
        the image.
    """
    if isinstance(noise, InputDependentGaussian):
        raise InvalidArgumentError(
            "radii=… with input-dependent noise: every image would need thresholds of its own; give plans.Radius() or "
            "plans.Betting() without radii, which test probabilities."
        )
    wanted = checks.floats("radii", np.array(radii), 0.0, np.finfo(float).max, "radii, each zero or positive")
    empty = np.zeros((len(wanted), 1), dtype=np.int64)
    counts = VoteCounts(selection=empty, estimation=empty, n0=0, n=1, ids=np.arange(len(wanted)), noise=noise, seed=0, dim=dim)
    failure = failures(counts, wanted, order, slack)
    if (np.diff(failure) >= 0).any():
        raise InvalidArgumentError(f"radii={list(radii)} are too close to be told apart: give fewer.")
    return tuple(float(q) for q in failure)


def failures(like: VoteCounts, wanted: Floats, order: float, slack: float = 0.0) -> Floats:
    """The largest failure probability, of each part alike, at which the two-class certificate is still each radius: float64 [J].

    Row j of `like` says under which noise and in which parts radius j is wanted; its votes do not matter.

    Raises
    ------
    InvalidArgumentError
        A radius that no probability certifies.
    """

    def holds(failure: Floats) -> np.ndarray:
        radius = at(like, np.nextafter(1.0 - failure, 0.0), failure, order)
        radius = rounding.taken_off(radius, np.full_like(radius, slack), order)
        return np.where(wanted > 0.0, radius >= wanted, radius > 0.0)

    low, high = np.full(len(wanted), np.log(1e-300)), np.full(len(wanted), np.log(0.5))
    possible = holds(np.exp(low))
    if not possible.all():
        first = int(np.argmin(possible))
        raise InvalidArgumentError(
            f"radii[{first}]={wanted[first]:g} is certified by no probability under {like.noise} in l{order:g}: give "
            "smaller radii."
        )
    for _ in range(70):
        middle = 0.5 * (low + high)
        good = holds(np.exp(middle))
        low, high = np.where(good, middle, low), np.where(good, high, middle)
    return np.exp(low)


def _variation(counts: VoteCounts) -> Floats:
    """Total variation between the whole numbers drawn for each part and the rounded Gaussian, rounded up: [parts]."""
    assert isinstance(counts.noise, LatticeGaussian)
    dims = np.array(counts.part_dims if counts.parts > 1 else (counts.dim,), dtype=np.float64)
    return dims * counts.noise.total_variation * (1.0 + 1e-12) + 2.0**-52


def _whole(counts: VoteCounts, p: Floats, q: Floats, p_upper: Floats | None, order: float) -> Floats:
    if isinstance(counts.noise, InputDependentGaussian):
        return certificates.l2_to_lp(_input_dependent(counts, p, q), dim=counts.dim, order=order)
    if isinstance(counts.noise, Uniform):
        width = counts.noise.half_width
        return certificates.uniform_lp(p, half_width=width, dim=counts.dim, order=order, p_upper=p_upper, q_upper=q)
    if isinstance(counts.noise, (Laplace, GeneralizedGaussian)):
        return _log_concave(counts.noise, counts.dim, p, q, p_upper, order)
    return certificates.gaussian_lp(p, sigma=counts.sigma, p_upper=p_upper, q_upper=q, dim=counts.dim, order=order)


def _log_concave(
    noise: Laplace | GeneralizedGaussian, dim: int, p: Floats, q: Floats, p_upper: Floats | None, order: float
) -> Floats:
    """The largest of the radii that hold for this shape and norm: each is a function of the same bounds."""
    several: dict[str, Any] = {"p_upper": p_upper, "q_upper": q}
    tight_l1 = certificates.generalized_gaussian_l1(p, scale=noise.scale, shape=noise.shape, **several)
    radius = certificates.l1_to_lp(tight_l1, dim=dim, order=order)
    if order > 1 and noise.shape == 2:
        sigma = noise.scale / np.sqrt(2.0) * (1.0 - 4e-16)
        return np.maximum(radius, certificates.gaussian_lp(p, sigma=sigma, dim=dim, order=order, **several))
    if order > 1 and noise.shape in range(1, 61):  # the KL divergence is known for whole shapes
        more: dict[str, Any] = {"scale": noise.scale, "shape": noise.shape, "order": order, "dim": dim}
        return np.maximum(radius, certificates.generalized_gaussian_kl_lp(p, **more, **several))
    return radius


def _input_dependent(counts: VoteCounts, p: Floats, q: Floats) -> Floats:
    """The radius for noise levels that are sigma(x) rounded up to float32.

    Between two inputs the logarithms of the drawn levels differ by at most rate * distance + e, e = LEVEL_ROUNDING, also where
    the rate is 0.  At distances of at least g that is no more than (rate + e / g) * distance, and what is certified at one
    distance is at all smaller ones, so that g is certified if the radius for that steeper rate is at least g: true up to the
    largest such g, which lies between 0 and any g of which it is false, and below that one's radius.  It is found to 1e-6.
    Lengths are in units of 1 / steeper rate, which keeps every argument in range.
    """
    assert isinstance(counts.noise, InputDependentGaussian)
    rate, sigma, dim = counts.noise.rate, counts.sigma, counts.dim
    high = np.where(p > 0.5, certificates.input_dependent_l2(p, sigma=sigma, dim=dim, rate=rate, q_upper=q), 0.0)
    low = np.zeros(len(high))
    for step in range(60):
        left = np.flatnonzero(low < high * (1.0 - 1e-6))
        if not len(left):
            break
        guess = high[left] * (1.0 - 1e-6) if step < 8 else 0.5 * (low[left] + high[left])
        steeper = rate + LEVEL_ROUNDING / guess
        scaled = certificates.input_dependent_l2(p[left], sigma=sigma[left] * steeper, dim=dim, rate=1.0, q_upper=q[left])
        found = scaled / steeper * (1.0 - 1e-15)
        holds = found >= guess
        low[left], high[left] = np.where(holds, found, low[left]), np.where(holds, high[left], found)
    return low


def _parts(counts: VoteCounts, p: Floats, q: Floats, p_upper: Floats | None, order: float) -> Floats:
    sigma = counts.sigma
    if isinstance(counts.noise, (Laplace, GeneralizedGaussian)):
        scales: dict[str, Any] = {"scale_left": sigma[:, 0], "scale_right": sigma[:, 1], "shape": counts.noise.shape}
        radius = certificates.dual_log_concave_l1(p[:, 0], p[:, 1], **scales, q_left=q[:, 0], q_right=q[:, 1])
        return certificates.l1_to_lp(radius, dim=counts.dim, order=order)
    if counts.parts > 2:
        return certificates.l2_to_lp(certificates.partition_l2(p, sigma=sigma, q_upper=q), dim=counts.dim, order=order)
    levels = {"sigma_left": sigma[:, 0], "sigma_right": sigma[:, 1]}
    failures = {"q_left": q[:, 0], "q_right": q[:, 1]}
    if p_upper is not None:
        several = {"p_upper_left": p_upper[:, 0], "p_upper_right": p_upper[:, 1]}
        radius = certificates.dual_multiclass_l2(p[:, 0], p[:, 1], **several, **levels, **failures)
        return certificates.l2_to_lp(radius, dim=counts.dim, order=order)
    dims = {"dim_left": counts.part_dims[0], "dim_right": counts.part_dims[1]}
    if order == 2:
        return certificates.dual_l2(p[:, 0], p[:, 1], **levels, **failures)
    return certificates.dual_lp(p[:, 0], p[:, 1], **levels, **failures, **dims, order=order)


def _product(counts: VoteCounts, votes: np.ndarray, alpha: float, order: float) -> Radii:
    radius = dual_certify_product(votes[:, 0], votes[:, 1], counts.n, alpha, sigma=counts.sigma[:, 0])
    p_lower, q_upper = confidence.bound("clopper-pearson", votes, counts.n, dual_product_level(alpha))
    return Radii(certificates.l2_to_lp(radius, dim=counts.dim, order=order), p_lower, q_upper)


def rehearse(
    noise: Noise,
    transform: Transform,
    dims: tuple[int, ...],
    *,
    alpha: float,
    order: float,
    bound: str,
    joint: str,
    multiclass: bool,
) -> None:
    """Raise, before anything is drawn, what `derive` would raise for images whose parts have so many pixels."""
    votes = np.zeros((1, 1) if transform.parts == 1 else (1, transform.parts, 1), dtype=np.int64)
    depends = isinstance(noise, InputDependentGaussian)
    counts = VoteCounts(
        selection=votes, estimation=votes, n0=1, n=1, ids=np.zeros(1, dtype=np.int64), noise=noise, seed=0, dim=sum(dims),
        sigma=np.ones(1) if depends else np.empty(0), transform=transform, part_dims=dims,
    )  # fmt: skip
    derive(counts, alpha=alpha, order=order, bound=bound, joint=joint, multiclass=multiclass)


def caveats(noise: Noise) -> tuple[str, ...]:
    """What the guarantee rests on beyond the draws, a sentence each."""
    if isinstance(noise, InputDependentGaussian) and not noise.proven:
        return (
            f"The semi-elasticity {noise.rate:g} of sigma(x) is taken on trust: if it is not proven, neither are these radii.",
        )
    return ()


def least_draws(parts: int, alpha: float, *, joint: str, multiclass: bool, bound: str = "clopper-pearson") -> int:
    """The fewest draws of each part with which anything can be certified: all votes must leave every bound above one half."""
    if joint == "product" and parts == 2:
        return int(-np.log2(dual_product_level(alpha)) / 2.0) + 1
    share = 1.0 - OTHERS_SHARE if bound == TWO_SIDED else 0.5 if multiclass else 1.0
    return confidence.least_samples(alpha * share / parts)


__all__ = ["JOINTS", "Radii", "caveats", "derive", "least_draws", "rehearse"]
