"""The public functions: certify, certify_counts, predict (sample_counts stands in rsfast.counting.count)."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch

from . import checks, confidence
from .certifying import radii
from .counting import count as sampling
from .counting.classifier import Engine, Model
from .counting.count import WHOLE
from .errors import InvalidArgumentError, SoundnessWarning
from .hints import explained, outside
from .models import warn_of_what_came_before
from .noise import Noise, check_scale, levels
from .noise import check as check_noise
from .plans import Plan
from .result import ABSTAIN, Certificate, Prediction, VoteCounts
from .stopping.rules import Everything
from .transforms import Transform
from .transforms import check as check_transform


def check_level(
    alpha: float,
    n: int,
    parts: int = 1,
    *,
    joint: str = "bonferroni",
    multiclass: bool = False,
    bound: str = "clopper-pearson",
) -> float:
    """One alpha that n draws (of each part) can certify something at."""
    level = checks.one_alpha(alpha)
    checks.choice("bound", bound, radii.BOUNDS)
    checks.choice("joint", joint, radii.JOINTS)
    least = radii.least_draws(parts, level, joint=joint, multiclass=multiclass, bound=bound)
    if n < least:
        of_parts = "" if parts == 1 else f" of each of {parts} parts"
        raise InvalidArgumentError(
            f"n={n} draws{of_parts} cannot certify anything at alpha={level:g}: even {n} equal votes leave the class below one "
            f"half. Give n of at least {least}."
        )
    return level


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
    check_counts(counts)
    multiclass = checks.flag("multiclass", multiclass)
    planned = counts.stopping is not None and counts.stopping.plan is not None  # with too few draws it reaches nothing by itself
    level = check_level(alpha, 2**32 if planned else counts.n, counts.parts, joint=joint, multiclass=multiclass, bound=bound)
    order = checks.order(norm)
    if counts.n0 < 1 and not (counts.stopping is not None and counts.stopping.labels):
        raise InvalidArgumentError(f"n0={counts.n0}: the class must be chosen by a separate sample; draw n0 of at least 1.")
    radius, p_lower, q_upper = radii.derive(counts, alpha=level, order=order, bound=bound, joint=joint, multiclass=multiclass)
    caveats = radii.caveats(counts.noise)
    for caveat in caveats:
        warnings.warn(caveat, SoundnessWarning, stacklevel=outside())
    abstained = ~(radius > 0.0)
    return Certificate(
        label=np.where(abstained, ABSTAIN, counts.tested),
        radius=radius,
        p_lower=p_lower,
        q_upper=q_upper,
        abstained=abstained,
        alpha=level,
        norm=order,
        bound=bound,
        counts=counts,
        joint=joint,
        multiclass=multiclass,
        caveats=caveats,
    )


@explained
def certify(
    model: Model | Sequence[Model],
    x: object,
    *,
    noise: Noise,
    num_classes: int,
    transform: Transform = WHOLE,
    n0: int = 100,
    n: int = 100_000,
    alpha: float = 1e-3,
    norm: float = 2,
    bound: str = "clopper-pearson",
    joint: str = "bonferroni",
    multiclass: bool = False,
    plan: Plan | None = None,
    curtail: bool = False,
    labels: object = None,
    earlier: VoteCounts | None = None,
    seed: int | None = None,
    ids: Iterable[int] | None = None,
    batch: int | str | None = None,
    dtype: str | None = None,
    device: str | torch.device | None = None,
    channels_last: bool | None = None,
    fold: bool = False,
    runtime: str = "torch",
    backend: str = "auto",
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    value_range: sampling.Range = (0.0, 1.0),
    progress: Callable[[int, int], None] | None = None,
) -> Certificate:
    """Certified label and radius for each image: `certify_counts(sample_counts(...))`.

    Every argument is explained there.  Arguments are checked before anything is drawn.

    Examples
    --------
    >>> import torch, rsfast as rs
    >>> cert = rs.certify(lambda x: x.flatten(1)[:, :2], torch.tensor([[[[0.9, 0.1]]]]), noise=rs.Gaussian(0.25),
    ...                   num_classes=2, n=1000, alpha=0.001, seed=0)
    >>> int(cert.label[0]), bool(cert.radius[0] < 0.8 / 2**0.5)
    (0, True)
    """
    parts = check_transform(transform).parts
    choices: dict[str, Any] = {"joint": joint, "multiclass": checks.flag("multiclass", multiclass), "bound": bound}
    noise = check_noise(noise, parts)
    check_level(alpha, checks.whole("n", n, 1, 2**32 - 1), parts, **choices)
    checks.whole("n0", n0, 0 if labels is not None else 1, 2**32 - 1)
    images = sampling.check_images(x, value_range, "certify")
    check_scale(noise, *sampling.check_range(value_range))
    dims = sampling.part_dims(transform, images.shape[1:])
    radii.rehearse(noise, transform, dims, alpha=alpha, order=checks.order(norm), **choices)
    counts = sampling.sample_counts(
        model, x, noise=noise, num_classes=num_classes, transform=transform, n0=n0, n=n, seed=seed, ids=ids, batch=batch,
        plan=plan, curtail=curtail, labels=labels, earlier=earlier, alpha=alpha, norm=norm, **choices, dtype=dtype,
        device=device, channels_last=channels_last, fold=fold, runtime=runtime, backend=backend, mean=mean, std=std,
        value_range=value_range, progress=progress,
    )  # fmt: skip
    return certify_counts(counts, alpha=alpha, norm=norm, bound=bound, joint=joint, multiclass=multiclass)


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


@explained
def predict(
    model: Model,
    x: object,
    *,
    noise: Noise,
    num_classes: int,
    n: int = 1000,
    alpha: float = 1e-3,
    seed: int | None = None,
    ids: Iterable[int] | None = None,
    batch: int | str | None = None,
    dtype: str | None = None,
    device: str | torch.device | None = None,
    channels_last: bool | None = None,
    fold: bool = False,
    runtime: str = "torch",
    backend: str = "auto",
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    value_range: sampling.Range = (0.0, 1.0),
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """The smoothed classifier's answer for each image, int64 [B]; ABSTAIN (-1) where n draws do not tell.

    An answer is wrong with probability at most `alpha`.  Arguments as in `sample_counts`; noise comes from a stream of its
    own.  `predict_details` returns votes, p-values and seed as well.
    """
    return predict_details(
        model, x, noise=noise, num_classes=num_classes, n=n, alpha=alpha, seed=seed, ids=ids, batch=batch, dtype=dtype,
        device=device, channels_last=channels_last, fold=fold, runtime=runtime, backend=backend, mean=mean, std=std,
        value_range=value_range,
        progress=progress,
    ).label  # fmt: skip


@explained
def predict_details(
    model: Model,
    x: object,
    *,
    noise: Noise,
    num_classes: int,
    n: int = 1000,
    alpha: float = 1e-3,
    seed: int | None = None,
    ids: Iterable[int] | None = None,
    batch: int | str | None = None,
    dtype: str | None = None,
    device: str | torch.device | None = None,
    channels_last: bool | None = None,
    fold: bool = False,
    runtime: str = "torch",
    backend: str = "auto",
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    value_range: sampling.Range = (0.0, 1.0),
    progress: Callable[[int, int], None] | None = None,
) -> Prediction:
    """As `predict`, returning the whole Prediction: label, p_value, abstained, and the votes with their seed."""
    checks.alpha(alpha)
    noise = check_noise(noise)
    images = sampling.check_images(x, value_range, "predict")
    check_scale(noise, *sampling.check_range(value_range))
    sampling.check_progress(progress)
    n = checks.whole("n", n, 1, 2**32 - 1)
    image_ids = sampling.check_ids(ids, len(images))
    warn_of_what_came_before(model, mean, std)
    engine = Engine(
        model, num_classes=num_classes, batch=batch, dtype=dtype, device=device, channels_last=channels_last, fold=fold,
        runtime=runtime,
        backend=backend, mean=mean, std=std,
    )  # fmt: skip
    seed = sampling.check_seed(seed)
    recipe = Everything(0, n, "prediction")
    distances = sampling.rounding_of(x, noise, sampling.normalised(noise, WHOLE, engine.mean, engine.std, images.shape[1]))
    sampling.refuse_far(distances, levels(noise, images)[:, 0])
    counts = sampling.draw(
        engine, images, noise=noise, seed=seed, ids=image_ids, recipe=recipe, distances=distances, progress=progress
    )
    return predict_counts(counts, alpha=alpha)
