"""The public functions: certify, certify_counts, predict (sample_counts stands in rsfast.sampling)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch

from . import certificates, checks, confidence, sampling
from .engine import Engine, Model
from .errors import InvalidArgumentError
from .noise import Gaussian
from .noise import check as check_noise
from .result import ABSTAIN, Certificate, Prediction, VoteCounts


def check_level(alpha: float, n: int) -> float:
    """One alpha that n draws can certify something at."""
    if np.ndim(alpha) != 0:
        raise InvalidArgumentError("alpha is an array: give one failure probability for the call (0.001 is customary).")
    level = float(checks.alpha(alpha))
    least = confidence.least_samples(level)
    if n < least:
        raise InvalidArgumentError(
            f"n={n} draws cannot certify anything at alpha={level:g}: even {n} equal votes leave the class below one half. "
            f"Give n of at least {least}."
        )
    return level


def certify_counts(counts: VoteCounts, *, alpha: float = 1e-3, norm: float = 2, bound: str = "clopper-pearson") -> Certificate:
    """Certified labels and radii from stored votes: the cheap, repeatable half.

    Parameters
    ----------
    counts : VoteCounts
        From `sample_counts`, n0 at least 1.
    alpha : float
        Failure probability per image.  Choose it, the norm and the bound before seeing the radii: choosing afterwards
        spends the guarantee.
    norm : float
        Order of the norm of the certified ball, any positive number or inf.
    bound : str
        Name of the confidence bound, one of `rsfast.confidence.BOUNDS`.

    Returns
    -------
    Certificate
        Label and radius per image; label ABSTAIN (-1) and radius 0 where the class cannot be shown to have more than half
        of the probability.

    Raises
    ------
    InvalidArgumentError
        alpha outside (0, 1), too few draws for alpha, unknown norm or bound, votes without a selection sample.

    Notes
    -----
    CERTIFY of Cohen, Rosenfeld & Kolter 2019 (§3.2.2): the class is the winner of the n0 selection draws, its probability
    is bounded from the n estimation draws by Clopper-Pearson in the failure form, the radius is `certificates.cohen_l2`
    (for other norms `certificates.gaussian_lp`).  Because the two samples are separate, the guarantee holds whatever class
    the selection picks.
    """
    level = check_level(alpha, counts.n)
    order = checks.order(norm)
    if counts.n0 < 1:
        raise InvalidArgumentError(f"n0={counts.n0}: the class must be chosen by a separate sample; draw n0 of at least 1.")
    selected = counts.selected
    votes = counts.estimation[np.arange(len(counts)), np.maximum(selected, 0)]
    votes = np.where(selected == ABSTAIN, 0, votes)
    p_lower, q_upper = confidence.bound(bound, votes, counts.n, level)
    sigma = counts.noise.sigma
    if order == 2:
        radius = certificates.cohen_l2(p_lower, sigma=sigma, q_upper=q_upper)
    else:
        radius = certificates.gaussian_lp(p_lower, sigma=sigma, q_upper=q_upper, dim=counts.dim, order=order)
    abstained = ~(radius > 0.0)
    return Certificate(
        label=np.where(abstained, ABSTAIN, selected),
        radius=radius,
        p_lower=p_lower,
        q_upper=q_upper,
        abstained=abstained,
        alpha=level,
        norm=order,
        bound=bound,
        counts=counts,
    )


def certify(
    model: Model,
    x: object,
    *,
    noise: Gaussian,
    num_classes: int,
    n0: int = 100,
    n: int = 100_000,
    alpha: float = 1e-3,
    norm: float = 2,
    bound: str = "clopper-pearson",
    seed: int | None = None,
    ids: Iterable[int] | None = None,
    batch: int | None = None,
    dtype: str | None = None,
    device: str | torch.device | None = None,
    channels_last: bool = False,
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
    check_level(alpha, checks.whole("n", n, 1, 2**32 - 1))
    checks.order(norm)
    checks.whole("n0", n0, 1, 2**32 - 1)
    checks.choice("bound", bound, confidence.BOUNDS)
    counts = sampling.sample_counts(
        model, x, noise=noise, num_classes=num_classes, n0=n0, n=n, seed=seed, ids=ids, batch=batch, dtype=dtype,
        device=device, channels_last=channels_last, backend=backend, mean=mean, std=std, value_range=value_range,
        progress=progress,
    )  # fmt: skip
    return certify_counts(counts, alpha=alpha, norm=norm, bound=bound)


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
    level = float(checks.alpha(alpha))
    votes = counts.estimation
    if votes.shape[1] > 1:
        runner_up, leader = np.moveaxis(np.partition(votes, -2, axis=1)[:, -2:], 1, 0)
    else:
        runner_up, leader = np.zeros_like(votes[:, 0]), votes[:, 0]
    p_value = confidence.prediction_pvalue(leader, runner_up)
    abstained = p_value > level
    return Prediction(
        label=np.where(abstained, ABSTAIN, votes.argmax(axis=1)),
        p_value=p_value,
        abstained=abstained,
        alpha=level,
        counts=counts,
    )


def predict(
    model: Model,
    x: object,
    *,
    noise: Gaussian,
    num_classes: int,
    n: int = 1000,
    alpha: float = 1e-3,
    seed: int | None = None,
    ids: Iterable[int] | None = None,
    batch: int | None = None,
    dtype: str | None = None,
    device: str | torch.device | None = None,
    channels_last: bool = False,
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
        device=device, channels_last=channels_last, backend=backend, mean=mean, std=std, value_range=value_range,
        progress=progress,
    ).label  # fmt: skip


def predict_details(
    model: Model,
    x: object,
    *,
    noise: Gaussian,
    num_classes: int,
    n: int = 1000,
    alpha: float = 1e-3,
    seed: int | None = None,
    ids: Iterable[int] | None = None,
    batch: int | None = None,
    dtype: str | None = None,
    device: str | torch.device | None = None,
    channels_last: bool = False,
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
    n = checks.whole("n", n, 1, 2**32 - 1)
    image_ids = sampling.check_ids(ids, len(images))
    engine = Engine(
        model, num_classes=num_classes, batch=batch, dtype=dtype, device=device, channels_last=channels_last,
        backend=backend, mean=mean, std=std,
    )  # fmt: skip
    seed = sampling.check_seed(seed)
    counts = sampling.draw(engine, images, noise=noise, seed=seed, ids=image_ids, stages=[("prediction", n)], progress=progress)
    return predict_counts(counts, alpha=alpha)
