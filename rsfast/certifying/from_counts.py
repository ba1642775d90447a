"""From stored votes to answers: `certify_counts` and `predict_counts`, which need no network and no torch."""

from __future__ import annotations

import warnings

import numpy as np

from .. import checks, confidence, rounding
from ..errors import InvalidArgumentError, SoundnessWarning
from ..hints import explained, outside
from ..request import ABSTAIN, MOST_DRAWS, Claim
from ..result import Certificate, Prediction, VoteCounts
from . import radii
from .radii import Radii, Votes


def check_level(claim: Claim, n: int, parts: int = 1) -> None:
    """Raise InvalidArgumentError unless n draws (of each part) can certify something at the claim's level."""
    least = radii.least_draws(parts, claim)
    if n < least:
        of_parts = "" if parts == 1 else f" of each of {parts} parts"
        raise InvalidArgumentError(
            f"n={n} draws{of_parts} cannot certify anything at alpha={claim.alpha:g}: even {n} equal votes leave the class below "
            f"one half. Give n of at least {least}."
        )


def check_counts(counts: object) -> None:
    if not isinstance(counts, VoteCounts):
        raise InvalidArgumentError(f"counts is {type(counts).__name__}: give the VoteCounts of sample_counts.")
    if counts.selection.shape[-1] < 2:
        raise InvalidArgumentError(
            "counts are votes for one class, which every image would be certified for: give votes for at least two."
        )


@explained
def certify_counts(
    counts: VoteCounts,
    *,
    alpha: float = 1e-3,
    norm: float = 2,
    bound: str = "clopper-pearson",
    joint: str = "bonferroni",
    multiclass: bool = False,
) -> Certificate:
    """Certified labels and radii from stored votes: the cheap, repeatable half.

    Parameters
    ----------
    counts : VoteCounts
        From `sample_counts`, n0 at least 1.
    alpha : float
        Failure probability per image.  Choose it and all that follows before seeing the radii: choosing afterwards spends the
        guarantee.
    norm : float
        Order of the norm of the certified ball, any positive number or inf.
    bound : str
        "clopper-pearson" (or another of `rsfast.confidence.BOUNDS`), or "two-sided": the other classes are bounded, too, from the
        largest other count at a tenth of alpha.  It decides some images that otherwise abstain, and costs the others about
        0.1 % of their radius at n = 100,000.
    joint : str
        For images in parts.  "bonferroni": each part at alpha / parts.  "product": the region in which the product of both
        halves' p-values is not too small (`certificates.dual_certify_product`); two parts of one noise level, two classes.
    multiclass : bool
        Bound the other classes, too, from the largest other count, at half of alpha: larger radii where the votes are spread over
        many classes, smaller ones where one class takes nearly all (bound="two-sided" is the same with a tenth of alpha).  Whole
        images and two parts.

    Returns
    -------
    Certificate
        Label and radius per image; label ABSTAIN (-1) and radius 0 where the class cannot be shown to win.

    Raises
    ------
    InvalidArgumentError
        alpha outside (0, 1), too few draws for alpha, unknown norm or bound, votes without a selection sample, or a combination
        that no certificate covers.

    Warns
    -----
    SoundnessWarning
        Where the noise level depends on the input with a rate that is not proven.

    Notes
    -----
    CERTIFY of Cohen, Rosenfeld & Kolter 2019 (§3.2.2): the class is the winner of the n0 selection draws, its probability
    is bounded from the n estimation draws by Clopper-Pearson in the failure form, the radius is `certificates.cohen_l2`
    (for other norms `certificates.gaussian_lp`).  Because the two samples are separate, the guarantee holds whatever class
    the selection picks.

    Images in parts (Xia et al. 2024, Algorithm 1): the class is the winner of the parts' selection votes added up; a part may lie
    below one half; abstains iff the lower bounds add up to at most half the number of parts.  `certificates.dual_l2`, `dual_lp`,
    `dual_multiclass_l2` for two parts, `partition_l2` for more; norms without a certificate of their own take `l2_to_lp`.

    Input-dependent noise: `certificates.input_dependent_l2`, for levels sigma(x) rounded up to float32.
    """
    return certified(counts, Claim(alpha, norm, bound, joint, multiclass))


def certified(counts: VoteCounts, claim: Claim) -> Certificate:
    """As `certify_counts`, of a claim."""
    check_counts(counts)
    check_level(claim, MOST_DRAWS + 1 if counts.planned else counts.n, counts.parts)  # a plan of few draws reaches nothing itself
    if counts.n0 < 1 and not (counts.stopping is not None and counts.stopping.labels):
        raise InvalidArgumentError(f"n0={counts.n0}: the class must be chosen by a separate sample; draw n0 of at least 1.")
    radius, p_lower, q_upper = of_counts(counts, claim)
    caveats = counts.noise.caveats
    for caveat in caveats:
        warnings.warn(caveat, SoundnessWarning, stacklevel=outside())
    abstained = ~(radius > 0.0)
    label = np.where(abstained, ABSTAIN, counts.tested)
    return Certificate(label, radius, p_lower, q_upper, abstained, claim, counts, caveats)


def of_counts(counts: VoteCounts, claim: Claim) -> Radii:
    """Radii of the tested classes around the images that were given, each right with probability at least 1 - alpha."""
    radii.check(counts.smoothing, claim)
    if counts.stopping is None:
        found = radii.derive(counts.smoothing, _votes(counts, counts.estimation), claim)
    elif not counts.planned:
        found = _curtailed(counts, claim)
    else:
        found = _planned(counts, claim)
        if not counts.stopping.failure:  # radii of the plan, which its looks have reached around the image that was given
            return found
    return found._replace(radius=rounding.taken_off(found.radius, counts.rounded(claim.norm), claim.norm))


def _votes(counts: VoteCounts, estimation: np.ndarray) -> Votes:
    shape = (len(counts), counts.parts)
    return Votes(estimation.reshape(*shape, estimation.shape[-1]), counts.tested, counts.n, counts.sigma.reshape(shape))


def _curtailed(counts: VoteCounts, claim: Claim) -> Radii:
    """As if all n draws had been made: who was stopped abstains even if all the draws left out had been successes."""
    short = (counts.drawn < counts.n) & (counts.tested != ABSTAIN)
    best = counts.estimation.copy()
    best[short, counts.tested[short]] += (counts.n - counts.drawn)[short]
    radius, p_lower, q_upper = radii.derive(counts.smoothing, _votes(counts, best), claim)
    saved = short & (radius > 0.0)
    if saved.any() or (claim.others and short.any()):
        first = int(np.argmax(saved if saved.any() else short))
        raise InvalidArgumentError(
            f"image id {counts.ids[first]} was {counts.stopping} and with alpha={claim.alpha:g}, {claim.bound} bound, "
            f"multiclass={claim.multiclass} it need not abstain: draw again without plans.Curtail, or give a smaller alpha."
        )
    return Radii(radius, np.where(counts.drawn < counts.n, 0.0, p_lower), np.where(counts.drawn < counts.n, 1.0, q_upper))


def _planned(counts: VoteCounts, claim: Claim) -> Radii:
    """The certificate at the last threshold that was reached: with probability 1 - alpha the class is more likely than that."""
    stopping = counts.stopping
    assert stopping is not None
    drawn_for = stopping.claim
    if (claim.alpha, claim.bound, claim.multiclass) != (drawn_for.alpha, drawn_for.bound, drawn_for.multiclass):
        raise InvalidArgumentError(
            f"these votes were drawn by a plan for alpha={drawn_for.alpha:g}, bound={drawn_for.bound!r} and "
            f"multiclass={drawn_for.multiclass}, and stopped as it says: they support no others; give these."
        )
    certain = counts.reached >= 0
    if not stopping.failure:
        asked = getattr(stopping.plan, "radii", None)
        if not asked or stopping.plan.continuable:
            raise InvalidArgumentError("these votes of a plan come without its thresholds: give them in stopping.failure.")
        if (claim.norm, claim.joint) != (drawn_for.norm, drawn_for.joint):
            raise InvalidArgumentError(
                f"these votes were drawn for radii in l{drawn_for.norm:g}, joint={drawn_for.joint!r}, certified look by look: "
                f"give norm={drawn_for.norm:g} and that joint."
            )
        stated = np.maximum(asked, 5e-324)  # radius 0 was asked for as any positive one
        radius = np.where(certain, stated[np.maximum(counts.reached, 0)], 0.0)
        nothing = np.zeros(counts.estimation.shape[:-1])
        return Radii(radius, nothing, nothing + 1.0)
    q = np.where(certain, np.array(stopping.failure)[np.maximum(counts.reached, 0)], 1.0)
    sigma = counts.sigma.reshape(len(counts), counts.parts)
    radius = radii.of_thresholds(counts.smoothing, q, sigma, claim.norm)
    return Radii(radius, np.where(certain, np.nextafter(1.0 - q, 0.0), 0.0), q)


@explained
def predict_counts(counts: VoteCounts, *, alpha: float = 1e-3) -> Prediction:
    """Predicted labels from votes: the two-sided test between the two leading classes of `counts.estimation`.

    Returns
    -------
    Prediction
        Label of the leading class where `confidence.prediction_pvalue` is at most alpha, else ABSTAIN (-1).

    Notes
    -----
    PREDICT of Cohen, Rosenfeld & Kolter 2019 (§3.2.1).
    """
    level = checks.one_alpha(alpha)
    check_counts(counts)
    if counts.parts > 1:
        raise InvalidArgumentError("these are votes of parts of images: certify_counts gives their labels.")
    if counts.stopping is not None:
        raise InvalidArgumentError(
            f"these votes were {counts.stopping}: they stopped where they were favourable, and the test is for a fixed number of "
            "draws; give votes of all n draws (certify_counts gives these ones' labels)."
        )
    votes = counts.estimation
    runner_up, leader = np.moveaxis(np.partition(votes, -2, axis=1)[:, -2:], 1, 0)
    runner_up = np.maximum(runner_up, counts.without_class)  # NaN logits are a class of their own
    p_value = np.where(runner_up > leader, 1.0, confidence.prediction_pvalue(leader, runner_up))
    abstained = p_value > level
    return Prediction(
        label=np.where(abstained, ABSTAIN, votes.argmax(axis=1)),
        p_value=p_value,
        abstained=abstained,
        alpha=level,
        counts=counts,
    )
