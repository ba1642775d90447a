"""The public functions certify, predict and predict_details: an image's votes, and at once what they say."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from . import checks
from .certifying.from_counts import certified, check_level, predict_counts
from .counting.classifier import as_classifier
from .counting.count import Given, Models, collect
from .hints import explained
from .noise import Noise
from .plans import Plan
from .request import WHOLE, Claim, Request
from .result import Certificate, Prediction
from .transforms import Transform


@explained
def certify(
    classifier: Models,
    x: object,
    *,
    noise: Noise,
    num_classes: int | None = None,
    transform: Transform = WHOLE,
    n0: int = 100,
    n: int = 100_000,
    alpha: float = 1e-3,
    norm: float = 2,
    bound: str = "clopper-pearson",
    joint: str = "bonferroni",
    multiclass: bool = False,
    plan: Plan | None = None,
    labels: object = None,
    seed: int | None = None,
    ids: Iterable[int] | None = None,
) -> Certificate:
    """Certified label and radius for each image: `certify_counts(sample_counts(…))`, all arguments checked before a draw.

    Parameters
    ----------
    classifier : Classifier, callable, or a sequence of callables
        What is certified.  A Classifier says how it is run and is prepared once for many calls; a bare model,
        [N, C, H, W] → logits [N, K], is run as it is, in the dtype and on the device that it has.  For images in k parts: one
        model for all of them, or a list of k.
    x : tensor or array, float [B, C, H, W]
        Clean images, pixels in [0, 1] unless the Classifier declares another range.
    noise : Noise
        What is added to each copy: `rsfast.Gaussian(sigma=0.25)`, for instance; levels in the units of x.  For images in parts
        a list gives each part its own Gaussian.
    num_classes : int, optional
        K, the number of the model's logits, at least 2.  A bare model needs it; a Classifier knows it.
    transform : Transform
        What the model is shown: the whole image, or parts of it (`DiagonalSplit`, `Partition`).
    n0 : int
        Draws of each part that choose the class, at least 1; not drawn where labels are tested.
    n : int
        Draws of each part that bound the class's probability; with a plan the most that are made.
    alpha : float
        Failure probability per image, strictly between 0 and 1.
    norm : float
        Order of the norm of the certified ball: any positive number, or inf.
    bound : str
        "clopper-pearson" (or another of `rsfast.confidence.BOUNDS`), or "two-sided": the other classes are bounded, too, at a
        tenth of alpha.
    joint : str
        For images in parts: "bonferroni" gives each part alpha / parts, "product" bounds both halves together.
    multiclass : bool
        Bound the other classes, too, at half of alpha.
    plan : one of `rsfast.plans`, optional
        Draw as many as each image needs, at most n: `plans.Grid([0.25, 0.5])`, for instance.  Default: n for every image.
    labels : sequence of int, optional
        With a plan: test these classes, the true labels, instead of selected ones.  The result then is for certified accuracy
        and says nothing of images whose label is not certified.
    seed : int, optional
        0 … 2^64 - 1; None draws a fresh one.  The result records it.
    ids : iterable of int, optional
        One distinct id (0 … 2^32 - 1) per image, default 0 … B - 1.  (seed, id) determines an image's noise: when a data set is
        split over several calls with one seed, give each image its own id.

    Returns
    -------
    Certificate
        `label` int64 [B] (ABSTAIN, -1, where nothing is certified), `radius` float64 [B] in the norm and units of x, rounded
        down (0 where abstained), and the votes in `counts`.

    Raises
    ------
    InvalidArgumentError
        Bad arguments or images, too few draws for alpha, or a combination that no certificate covers; nothing has been drawn.
    ModelError
        The model raised, returned something else than logits, or does not classify each copy by itself.

    Warns
    -----
    SoundnessWarning
        Where the model draws random numbers or keeps state, and where the noise level depends on the input with a rate that is
        not proven.

    Notes
    -----
    CERTIFY of Cohen, Rosenfeld & Kolter 2019 (§3.2.2); `certify_counts` says which certificate is taken for which noise, norm
    and transform.

    Examples
    --------
    >>> import torch, rsfast as rs
    >>> cert = rs.certify(lambda x: x.flatten(1)[:, :2], torch.tensor([[[[0.9, 0.1]]]]), noise=rs.Gaussian(0.25),
    ...                   num_classes=2, n=1000, alpha=0.001, seed=0)
    >>> int(cert.label[0]), bool(cert.radius[0] < 0.8 / 2**0.5)
    (0, True)
    """
    claim = Claim(alpha, norm, bound, joint, multiclass)
    request = Request("certify", noise, n, n0, transform, claim, plan, labels is not None, seed)
    check_level(claim, request.n, request.transform.parts)
    checks.whole("n0", n0, 0 if labels is not None else 1)
    counts = collect(as_classifier(classifier, num_classes, "certify"), x, request, Given(ids, labels), "certify")
    return certified(counts, claim)


@explained
def predict(
    classifier: Models,
    x: object,
    *,
    noise: Noise,
    num_classes: int | None = None,
    n: int = 1000,
    alpha: float = 1e-3,
    seed: int | None = None,
    ids: Iterable[int] | None = None,
) -> np.ndarray:
    """The smoothed classifier's answer for each image, int64 [B]; ABSTAIN (-1) where n draws do not tell.

    An answer is wrong with probability at most `alpha`.  Arguments are those of `certify`; noise comes from a stream of its
    own.  `predict_details` returns votes, p-values and seed as well.
    """
    return predict_details(
        classifier, x, noise=noise, num_classes=num_classes, n=n, alpha=alpha, seed=seed, ids=ids
    ).label  # fmt: skip


@explained
def predict_details(
    classifier: Models,
    x: object,
    *,
    noise: Noise,
    num_classes: int | None = None,
    n: int = 1000,
    alpha: float = 1e-3,
    seed: int | None = None,
    ids: Iterable[int] | None = None,
) -> Prediction:
    """As `predict`, returning the whole Prediction: label, p_value, abstained, and the votes with their seed."""
    request = Request("predict", noise, n, claim=Claim(alpha), seed=seed)
    counts = collect(as_classifier(classifier, num_classes, "predict"), x, request, Given(ids), "predict")
    return predict_counts(counts, alpha=request.claim.alpha)
