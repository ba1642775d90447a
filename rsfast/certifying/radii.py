"""Votes to radii: which confidence bounds and which certificate a smoothing calls for, as one table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import certificates, checks, confidence, rounding
from ..certificates.counts import dual_certify_product, dual_product_level
from ..checks import Floats
from ..errors import InvalidArgumentError
from ..request import ABSTAIN, Claim, Smoothing

LEVEL_ROUNDING = 2.0**-23 + 2e-11  # relative: the level drawn is sigma(x), right to 1e-11, rounded up to float32


class Votes(NamedTuple):
    """Votes of n draws of each part: estimation int64 [B, P, K], tested class int64 [B], noise levels float64 [B, P]."""

    estimation: np.ndarray
    tested: np.ndarray
    n: int
    sigma: Floats


class Bounds(NamedTuple):
    """These are bounds [B, P], float64, of the class's probability, its failure and the others' (None: not bounded)."""

    p: Floats
    q: Floats
    others: Floats | None = None


class Radii(NamedTuple):
    """Radius [B], and the bounds p_lower and q_upper, [B] or [B, P], that it was made of."""

    radius: Floats
    p_lower: Floats
    q_upper: Floats


def derive(smoothing: Smoothing, votes: Votes, claim: Claim) -> Radii:
    """Radii of the tested classes around the images drawn around, each right with probability at least 1 - alpha."""
    check(smoothing, claim)
    rows, tested = np.arange(len(votes.tested)), np.maximum(votes.tested, 0)
    own = votes.estimation[rows, :, tested]  # [B, P]
    own = np.where((votes.tested == ABSTAIN)[:, None], 0, own)
    if claim.joint == "product":
        return _product(smoothing, own, votes, claim)
    p_upper, of_one = None, claim.alpha * (1.0 - claim.others) / smoothing.parts
    if claim.others:
        rest = votes.estimation.copy()
        rest[rows, :, tested] = 0
        nothing = votes.n - votes.estimation.sum(axis=2)  # copies whose logits are NaN: a class of their own, which beats others
        largest = np.maximum(rest.max(axis=2), nothing)  # the largest other count bounds every other class (factor 2, not K)
        p_upper = confidence.clopper_pearson_upper(largest, votes.n, claim.alpha * claim.others / smoothing.parts)
    p_lower, q_upper = confidence.bound(claim.one_class, own, votes.n, of_one)
    bounds = _as_drawn(smoothing, Bounds(p_lower, q_upper, p_upper))
    p, q = (bounds.p[:, 0], bounds.q[:, 0]) if smoothing.parts == 1 else (bounds.p, bounds.q)
    return Radii(_radius(smoothing, bounds, votes.sigma, claim.norm), p, q)


def at(smoothing: Smoothing, p: Floats, q: Floats, sigma: Floats, order: float) -> Floats:
    """Two-class radius [B] of images whose class has probability at least p and fails with at most q.

    p and q are float64 [B], the same for each part, or [B, P]; sigma are noise levels [B, P].
    """
    if p.ndim == 1:
        p, q = (np.repeat(bound[:, None], smoothing.parts, axis=1) for bound in (p, q))
    return _radius(smoothing, _as_drawn(smoothing, Bounds(p, q)), sigma, order)


def of_thresholds(smoothing: Smoothing, failure: Floats, sigma: Floats, order: float) -> Floats:
    """Two-class radius [B] of images whose class fails with probability less than `failure` [B]; 0 where that is 1."""
    certain = failure < 1.0
    return at(smoothing, np.where(certain, np.nextafter(1.0 - failure, 0.0), 0.0), failure, sigma, order)


def thresholds(smoothing: Smoothing, order: float, radii: Sequence[float], slack: float = 0.0) -> tuple[float, ...]:
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
    if smoothing.noise.depends_on_input:
        raise InvalidArgumentError(
            "radii=… with input-dependent noise: every image would need thresholds of its own; give plans.Radius() or "
            "plans.Betting() without radii, which test probabilities."
        )
    wanted = checks.floats("radii", np.array(radii), 0.0, np.finfo(float).max, "radii, each zero or positive")
    failure = failures(smoothing, wanted, order, slack)
    if (np.diff(failure) >= 0).any():
        raise InvalidArgumentError(f"radii={list(radii)} are too close to be told apart: give fewer.")
    return tuple(float(q) for q in failure)


def failures(smoothing: Smoothing, wanted: Floats, order: float, slack: float = 0.0, level: float | None = None) -> Floats:
    """The largest failure probability, of each part alike, at which the two-class certificate is still each radius: float64 [J].

    `level` is that of an image whose noise depends on it.

    Raises
    ------
    InvalidArgumentError
        A radius that no probability certifies.
    """
    sigma = smoothing.levels(len(wanted), level)

    def holds(failure: Floats) -> np.ndarray:
        radius = at(smoothing, np.nextafter(1.0 - failure, 0.0), failure, sigma, order)
        radius = rounding.taken_off(radius, np.full_like(radius, slack), order)
        return np.where(wanted > 0.0, radius >= wanted, radius > 0.0)

    low, high = np.full(len(wanted), np.log(1e-300)), np.full(len(wanted), np.log(0.5))
    possible = holds(np.exp(low))
    if not possible.all():
        first = int(np.argmin(possible))
        raise InvalidArgumentError(
            f"radii[{first}]={wanted[first]:g} is certified by no probability under {smoothing.noise} in l{order:g}: give "
            "smaller radii."
        )
    for _ in range(70):
        middle = 0.5 * (low + high)
        good = holds(np.exp(middle))
        low, high = np.where(good, middle, low), np.where(good, high, middle)
    return np.exp(low)


def check(smoothing: Smoothing, claim: Claim) -> None:
    """Raise InvalidArgumentError where no certificate covers what is claimed under such noise."""
    noise, parts = smoothing.noise, smoothing.parts
    shown = f"{type(noise).__name__} noise in {parts} part(s)"
    found = CERTIFICATES.get((noise.family, min(parts, MANY)))
    if found is None:
        raise InvalidArgumentError(
            f"{shown}: no certificate covers that; give Gaussian noise, or Laplace or generalised Gaussian noise in two parts."
        )
    if claim.others and not found.others:
        raise InvalidArgumentError(
            f"the other classes' bound and {shown}: the radius of that case is for two classes; give multiclass=False and the "
            "clopper-pearson bound."
        )
    if claim.joint == "product":
        gaussian = noise.family == "gaussian" and not noise.total_variation
        one_level = parts == 2 and len(set(noise.fixed_levels)) == 1
        if not one_level or claim.others or not gaussian or claim.bound != "clopper-pearson":
            raise InvalidArgumentError(
                "joint='product' is for two parts of one Gaussian noise level, two classes and the clopper-pearson bound: "
                "give 'bonferroni'."
            )


def rehearse(smoothing: Smoothing, claim: Claim) -> None:
    """Raise, before anything is drawn, what `derive` would raise."""
    nothing = np.zeros((1, smoothing.parts, 1), dtype=np.int64)
    derive(smoothing, Votes(nothing, np.full(1, ABSTAIN), 1, smoothing.levels(1, 1.0)), claim)


def waterfall(smoothing: Smoothing, n: int, claim: Claim, level: float | None = None) -> float:
    """The largest radius that n draws of each part can certify: all of them vote for the class."""
    votes = np.tile(np.array([n, 0]), (1, smoothing.parts, 1))
    return float(derive(smoothing, Votes(votes, np.zeros(1, dtype=np.int64), n, smoothing.levels(1, level)), claim).radius[0])


def least_draws(parts: int, claim: Claim) -> int:
    """The fewest draws of each part with which anything can be certified: all votes must leave every bound above one half."""
    if claim.joint == "product" and parts == 2:
        return int(-np.log2(dual_product_level(claim.alpha)) / 2.0) + 1
    return confidence.least_samples(claim.alpha * (1.0 - claim.others) / parts)


def _as_drawn(smoothing: Smoothing, bounds: Bounds) -> Bounds:
    """Bounds for the noise that the certificates are about, of those for the noise that is drawn."""
    of_pixel = smoothing.noise.total_variation
    if not of_pixel:
        return bounds
    variation = np.array(smoothing.dims, dtype=np.float64) * of_pixel * (1.0 + 1e-12) + 2.0**-52  # of each part, rounded up
    p, q, others = bounds
    more = None if others is None else np.minimum(others + variation, 1.0)
    return Bounds(np.maximum(p - variation, 0.0), np.minimum(q + variation, 1.0), more)


def _radius(smoothing: Smoothing, bounds: Bounds, sigma: Floats, order: float) -> Floats:
    entry = CERTIFICATES[smoothing.noise.family, min(smoothing.parts, MANY)]
    return entry.radius(smoothing, bounds, sigma, order)


def _product(smoothing: Smoothing, own: np.ndarray, votes: Votes, claim: Claim) -> Radii:
    radius = dual_certify_product(own[:, 0], own[:, 1], votes.n, claim.alpha, sigma=votes.sigma[:, 0])
    p_lower, q_upper = confidence.bound("clopper-pearson", own, votes.n, dual_product_level(claim.alpha))
    return Radii(certificates.l2_to_lp(radius, dim=smoothing.dim, order=claim.norm), p_lower, q_upper)


# One function (smoothing, bounds, noise levels [B, P], order of the norm) → radius [B] for each entry of the table.


def _of_whole(bounds: Bounds) -> dict[str, Any]:
    """The keywords of a certificate of whole images that bounds several classes."""
    return {"p_upper": None if bounds.others is None else bounds.others[:, 0], "q_upper": bounds.q[:, 0]}


def _gaussian(smoothing: Smoothing, bounds: Bounds, sigma: Floats, order: float) -> Floats:
    of_whole = _of_whole(bounds)
    return certificates.gaussian_lp(bounds.p[:, 0], sigma=sigma[:, 0], dim=smoothing.dim, order=order, **of_whole)


def _gaussian_halves(smoothing: Smoothing, bounds: Bounds, sigma: Floats, order: float) -> Floats:
    p, q, others = bounds
    levels = {"sigma_left": sigma[:, 0], "sigma_right": sigma[:, 1]}
    failing = {"q_left": q[:, 0], "q_right": q[:, 1]}
    if others is not None:
        several = {"p_upper_left": others[:, 0], "p_upper_right": others[:, 1]}
        radius = certificates.dual_multiclass_l2(p[:, 0], p[:, 1], **several, **levels, **failing)
        return certificates.l2_to_lp(radius, dim=smoothing.dim, order=order)
    if order == 2:
        return certificates.dual_l2(p[:, 0], p[:, 1], **levels, **failing)
    dims = {"dim_left": smoothing.dims[0], "dim_right": smoothing.dims[1]}
    return certificates.dual_lp(p[:, 0], p[:, 1], **levels, **failing, **dims, order=order)


def _gaussian_parts(smoothing: Smoothing, bounds: Bounds, sigma: Floats, order: float) -> Floats:
    radius = certificates.partition_l2(bounds.p, sigma=sigma, q_upper=bounds.q)
    return certificates.l2_to_lp(radius, dim=smoothing.dim, order=order)


def _uniform(smoothing: Smoothing, bounds: Bounds, sigma: Floats, order: float) -> Floats:
    noise: Any = smoothing.noise
    width, of_whole = noise.half_width, _of_whole(bounds)
    return certificates.uniform_lp(bounds.p[:, 0], half_width=width, dim=smoothing.dim, order=order, **of_whole)


def _log_concave(smoothing: Smoothing, bounds: Bounds, sigma: Floats, order: float) -> Floats:
    """The largest of the radii that hold for this shape and norm: each is a function of the same bounds."""
    p, of_whole, dim = bounds.p[:, 0], _of_whole(bounds), smoothing.dim
    noise: Any = smoothing.noise
    scale, shape = noise.scale, noise.shape
    tight_l1 = certificates.generalized_gaussian_l1(p, scale=scale, shape=shape, **of_whole)
    radius = certificates.l1_to_lp(tight_l1, dim=dim, order=order)
    if order > 1 and shape == 2:
        narrow = scale / np.sqrt(2.0) * (1.0 - 4e-16)
        return np.maximum(radius, certificates.gaussian_lp(p, sigma=narrow, dim=dim, order=order, **of_whole))
    if order > 1 and shape in range(1, 61):  # the KL divergence is known for whole shapes
        more: dict[str, Any] = {"scale": scale, "shape": shape, "order": order, "dim": dim}
        return np.maximum(radius, certificates.generalized_gaussian_kl_lp(p, **more, **of_whole))
    return radius


def _log_concave_halves(smoothing: Smoothing, bounds: Bounds, sigma: Floats, order: float) -> Floats:
    p, q, _ = bounds
    noise: Any = smoothing.noise
    scales: dict[str, Any] = {"scale_left": sigma[:, 0], "scale_right": sigma[:, 1], "shape": noise.shape}
    radius = certificates.dual_log_concave_l1(p[:, 0], p[:, 1], **scales, q_left=q[:, 0], q_right=q[:, 1])
    return certificates.l1_to_lp(radius, dim=smoothing.dim, order=order)


def _input_dependent(smoothing: Smoothing, bounds: Bounds, sigma: Floats, order: float) -> Floats:
    """The radius for noise levels that are sigma(x) rounded up to float32.

    Between two inputs the logarithms of the drawn levels differ by at most rate * distance + e, e = LEVEL_ROUNDING, also where
    the rate is 0.  At distances of at least g that is no more than (rate + e / g) * distance, and what is certified at one
    distance is at all smaller ones, so that g is certified if the radius for that steeper rate is at least g: true up to the
    largest such g, which lies between 0 and any g of which it is false, and below that one's radius.  It is found to 1e-6.
    Lengths are in units of 1 / steeper rate, which keeps every argument in range.
    """
    noise: Any = smoothing.noise
    rate, dim, p, q = noise.rate, smoothing.dim, bounds.p[:, 0], bounds.q[:, 0]
    level = sigma[:, 0]
    high = np.where(p > 0.5, certificates.input_dependent_l2(p, sigma=level, dim=dim, rate=rate, q_upper=q), 0.0)
    low = np.zeros(len(high))
    for step in range(60):
        left = np.flatnonzero(low < high * (1.0 - 1e-6))
        if not len(left):
            break
        guess = high[left] * (1.0 - 1e-6) if step < 8 else 0.5 * (low[left] + high[left])
        steeper = rate + LEVEL_ROUNDING / guess
        scaled = certificates.input_dependent_l2(p[left], sigma=level[left] * steeper, dim=dim, rate=1.0, q_upper=q[left])
        found = scaled / steeper * (1.0 - 1e-15)
        holds = found >= guess
        low[left], high[left] = np.where(holds, found, low[left]), np.where(holds, high[left], found)
    return certificates.l2_to_lp(low, dim=dim, order=order)


MANY = 3
"""Three parts or more are one case."""


class Entry(NamedTuple):
    """A certificate of the table, and whether it takes bounds of the other classes."""

    radius: Callable[[Smoothing, Bounds, Floats, float], Floats]
    others: bool = False


CERTIFICATES: dict[tuple[str, int], Entry] = {
    ("gaussian", 1): Entry(_gaussian, others=True),
    ("gaussian", 2): Entry(_gaussian_halves, others=True),
    ("gaussian", MANY): Entry(_gaussian_parts),
    ("uniform", 1): Entry(_uniform, others=True),
    ("log-concave", 1): Entry(_log_concave, others=True),
    ("log-concave", 2): Entry(_log_concave_halves),
    ("input-dependent", 1): Entry(_input_dependent),
}
"""(the noise's family, parts) → certificate: what `certify` certifies with."""


__all__ = [
    "CERTIFICATES", "Bounds", "Radii", "Votes", "at", "check", "derive", "failures", "least_draws", "of_thresholds", "rehearse",
    "thresholds", "waterfall",
]  # fmt: skip
