"""The one loop that draws: images → votes.  `count` yields them one by one, `sample_counts` collects them."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch

from .. import checks, rounding
from ..certifying import radii
from ..errors import InvalidArgumentError, ModelError, SoundnessWarning
from ..hints import explained, outside
from ..models import warn_of_what_came_before
from ..noise import Noise, check_scale
from ..plans import Plan
from ..request import DEFAULT_CLAIM, WHOLE, Claim, Request, Smoothing, check_claim, continuable
from ..result import VoteCounts, inference_version
from ..stopping import choose
from ..stopping.rules import Drawing, Everything, Recipe, check_labels
from ..transforms import Transform
from ..version import VERSION
from . import continuing, conveyor
from .classifier import Classifier, as_classifier
from .conveyor import Draws, Job
from .images import (
    Image,
    Looked,
    check_ids,
    check_images,
    check_range,
    check_seed,
    image_sha256,
    normalised,
    refuse_far,
    rounding_of,
)
from .ready import Model, Ready

Models = Classifier | Model | Sequence[Model]


def count(
    ready: Ready,
    images: Iterable[Image],
    recipe: Recipe,
    draws: Draws,
    progress: Callable[[int], None] | None = None,
) -> Generator[tuple[Image, Drawing, float], None, None]:
    """(image, what was drawn of it, its seconds) of every image, as each is done.

    Images are taken in while there is room for their copies, so that several are on their way at a time.  `progress` is called
    with the number of copies after each forward pass.
    """

    def jobs() -> Iterator[Job]:
        for image in images:
            drawing = recipe.start(image.sigma, image.label, image.paused)
            segments = [] if drawing.over else drawing.segments
            yield Job(image.pixels, image.sigma, image.id, segments, drawing.judge, drawing.wanted, (image, drawing))

    with contextlib.closing(conveyor.run(ready, jobs(), draws, progress)) as running:
        for job in running:
            yield (*job.about, job.seconds)


def votes_of(ready: Ready, image: Image, draws: Draws, stages: Sequence[tuple[int, int]]) -> np.ndarray:
    """Votes of one image: int64 [len(stages), parts, K] for stages of (stream, draws of each part).

    All draws of one model run as one sequence of batches.  Every batch is a function of (image, noise level, seed, image id,
    stages, batch) alone, so an interrupted image that is started again gives the same votes.
    """
    votes = np.zeros((len(stages), ready.transform.parts, ready.num_classes), dtype=np.int64)

    def judge(stage: int, found: np.ndarray) -> bool:
        votes[stage] = found
        return False

    segments = [(stream, 0, n) for stream, n in stages]
    for _ in conveyor.run(ready, [Job(image.pixels, image.sigma, image.id, segments, judge, wanted=len(segments))], draws):
        pass
    return votes


@explained
def sample_counts(
    classifier: Models,
    x: object,
    *,
    noise: Noise,
    num_classes: int | None = None,
    transform: Transform = WHOLE,
    n0: int = 100,
    n: int = 100_000,
    plan: Plan | None = None,
    claim: Claim = DEFAULT_CLAIM,
    labels: object = None,
    earlier: VoteCounts | None = None,
    seed: int | None = None,
    ids: Iterable[int] | None = None,
) -> VoteCounts:
    """Votes of a base classifier over noisy copies of each image: the expensive half of a certificate.

    Parameters
    ----------
    classifier : Classifier, callable, or a sequence of callables
        What is certified.  A Classifier says how it is run; a bare model, [N, C, H, W] → logits [N, K], is run as it is.
    x : tensor or array, float [B, C, H, W]
        Clean images, in the units of `noise.sigma`.
    noise : Gaussian, InputDependentGaussian, or a sequence of Gaussians
        What is added to each copy; a sequence gives each part its own noise level.
    num_classes : int
        K, at least 2, of a bare model; a Classifier knows it.
    transform : Transform
        What the model is shown: the whole image, or parts of it (`DiagonalSplit`, `Partition`).
    n0, n : int
        Draws of each part that choose the class, and draws of each part that bound its probability.
    plan : one of `rsfast.plans`, optional
        Draw as many as each image needs, at most n.  Default: n for every image.
    claim : Claim
        With a plan: what will be certified.  It decides when an image is done.
    labels : sequence of int, optional
        With a plan: test these classes, the true labels, instead of selected ones (n0 is not drawn).  The result then is for
        certified accuracy and says nothing of images whose label is not certified.
    earlier : VoteCounts, optional
        Of a `plans.Betting` call on the same images: go on with them, up to a larger n.
    seed : int, optional
        0 … 2^64 - 1; None draws a fresh one.  The result records it.
    ids : iterable of int, optional
        One distinct id (0 … 2^32 - 1) per image, default 0 … B - 1.  (seed, id) determines an image's noise: when a data
        set is split over several calls with one seed, give each image its own id.

    Returns
    -------
    VoteCounts

    Raises
    ------
    InvalidArgumentError
        Bad arguments or images; nothing has been drawn.
    ModelError
        The model raised, returned something else than logits, or does not classify each copy by itself.

        Whatever stops a call in the middle, `error.finished` says how many images were done and `error.counts` holds their
        votes.

    Warns
    -----
    SoundnessWarning
        Where the model draws random numbers or keeps state.

    Notes
    -----
    Ties and NaN: a copy votes for its largest logit, among equal ones for the lowest class index; a copy whose logits hold
    a NaN votes for no class but counts as drawn, so bounds stay valid.
    """
    request = Request("count", noise, n, n0, transform, check_claim(claim), plan, labels is not None, seed)
    return collect(
        as_classifier(classifier, num_classes, "sample_counts"), x, request, Given(ids, labels, earlier), "sample_counts"
    )


class Given(NamedTuple):
    """What belongs to the images of one call: ids, labels to be tested, votes that go on."""

    ids: Iterable[int] | None = None
    labels: object = None
    earlier: VoteCounts | None = None


def collect(classifier: Classifier, x: object, request: Request, given: Given, caller: str) -> VoteCounts:
    """Votes of all images.

    Whatever stops it in the middle carries the finished images: `error.finished`, `error.counts`.
    """
    earlier, looked = given.earlier, _look(classifier, x, request, given, caller)
    images = looked.pixels
    smoothing = request.smoothing(images.shape[1:])
    if request.kind == "certify":
        radii.rehearse(smoothing, request.claim)
    recipe = _recipe(request, smoothing, looked.rounding, earlier)
    fingerprint = continuing.fingerprint_of(classifier.models) if continuable(recipe.stopping) else ""
    if earlier is not None:
        continuing.check(earlier, continuing.Asked(request, smoothing, recipe, fingerprint, classifier.num_classes), looked)
    warn_of_what_came_before(classifier.models, classifier.mean, classifier.std)
    ready = classifier.ready(request.transform, images.shape[1:], total=recipe.total, images=len(images))
    if ready.remark is not None:
        warnings.warn(ready.remark, RuntimeWarning, stacklevel=outside())
    for caveat in ready.running.caveats:  # found by calls before this one
        warnings.warn(caveat, SoundnessWarning, stacklevel=outside())
    looked = looked._replace(pixels=images.clone())  # whoever gave them may write there while they are drawn
    sigma = request.noise.levels_of(looked.pixels, smoothing.parts)
    draws = Draws(request.noise, check_seed(request.seed if earlier is None else earlier.seed))
    shown = _images(looked, sigma, earlier)
    if earlier is not None:
        continuing.check_same_arithmetic(ready, earlier)
        continuing.check_votes_again(ready, shown, recipe, draws, earlier)
    finished: dict[int, Drawing] = {}
    progress = classifier.progress
    report = None if progress is None else (lambda rows: progress(len(finished), rows))
    rows = {int(i): b for b, i in enumerate(looked.ids)}

    def collected() -> VoteCounts:
        n = recipe.n if earlier is None else max(recipe.n, earlier.n)
        return _together(ready, smoothing, recipe, draws, looked, (sigma, finished, n, fingerprint))

    try:
        with contextlib.closing(count(ready, shown, recipe, draws, report)) as counted:
            for image, drawing, _ in counted:
                finished[rows[image.id]] = drawing
    except BaseException as error:
        if finished:
            error.finished, error.counts = len(finished), collected()  # type: ignore[attr-defined]
            if isinstance(error, ModelError):
                error.args = (f"{error} {len(finished)} images were finished; error.counts holds their votes.",)
        raise
    return collected()


def _look(classifier: Classifier, x: object, request: Request, given: Given, caller: str) -> Looked:
    """The images, checked."""
    noise, earlier = request.noise, given.earlier
    images = check_images(x, classifier.value_range, caller)
    check_scale(noise, *check_range(classifier.value_range))
    labels = None if given.labels is None else check_labels(given.labels, len(images), classifier.num_classes)
    ids = given.ids
    if earlier is not None:
        if not isinstance(earlier, VoteCounts):
            raise InvalidArgumentError(f"earlier is {type(earlier).__name__}: give the VoteCounts of a call with plans.Betting.")
        if request.seed is not None and request.seed != earlier.seed:
            raise InvalidArgumentError(f"seed={checks.shown(request.seed)} and earlier has {earlier.seed}: leave seed out.")
        ids = list(earlier.ids) if ids is None else ids
    image_ids = check_ids(ids, len(images))
    distances = rounding_of(x, noise, normalised(noise, request.transform, classifier.mean, classifier.std, images.shape[1]))
    if request.kind == "predict":
        refuse_far(distances, noise.levels_of(images)[:, 0])
    return Looked(images, image_ids, distances, labels)


def _recipe(request: Request, smoothing: Smoothing, distances: np.ndarray, earlier: VoteCounts | None) -> Recipe:
    """What is drawn of each image."""
    if request.kind == "predict":
        return Everything(0, request.n, "prediction")
    slack = float(rounding.in_norm(distances, request.claim.norm, smoothing.dim).max())
    slack *= 1.0 + 1e-6  # so that what is left of a radius that was reached is not a rounding short of it
    ask = choose.Ask(smoothing, request.claim, request.plan, request.labels, slack)
    kept = None if earlier is None or earlier.stopping is None else earlier.stopping.failure or None
    return choose.make(ask, request.n0, request.n, kept)


def _images(looked: Looked, sigma: np.ndarray, earlier: VoteCounts | None) -> list[Image]:
    paused = {} if earlier is None else {int(i): continuing.paused(earlier, row) for row, i in enumerate(earlier.ids)}
    labels = [None] * len(looked.ids) if looked.labels is None else looked.labels.tolist()
    return [
        Image(looked.pixels[b], sigma[b], int(i), labels[b], paused.get(int(i)), looked.rounding[b])
        for b, i in enumerate(looked.ids)
    ]


def _together(
    ready: Ready,
    smoothing: Smoothing,
    recipe: Recipe,
    draws: Draws,
    looked: Looked,
    drawn: tuple[np.ndarray, dict[int, Drawing], int, str],
) -> VoteCounts:
    """The votes of the images that are finished."""
    sigma, finished, n, model = drawn
    done = np.array(sorted(finished), dtype=np.int64)
    found, goes_on = [finished[b] for b in done], continuable(recipe.stopping)
    return VoteCounts(
        selection=stacked([one.selection for one in found], smoothing.parts, ready.num_classes),
        estimation=stacked([one.estimation for one in found], smoothing.parts, ready.num_classes),
        n0=recipe.n0,
        n=n,
        ids=looked.ids[done],
        noise=smoothing.noise,
        seed=draws.seed,
        dim=smoothing.dim,
        sigma=sigma[done] if smoothing.parts > 1 else sigma[done, 0],
        transform=smoothing.transform,
        part_dims=smoothing.dims,
        backend=ready.backend_name(smoothing.noise),
        dtype=ready.dtype,
        batch=ready.batch,
        device=ready.device.type,
        versions=versions() | inference_version(ready.running.identity),
        drawn=np.array([one.drawn for one in found], dtype=np.int64),
        stopping=recipe.stopping,
        tested=np.array([one.tested for one in found], dtype=np.int64),
        reached=np.array([one.reached for one in found], dtype=np.int64),
        spent=np.array([one.spent for one in found], dtype=np.float64),
        images=tuple(image_sha256(looked.pixels[b]) for b in done) if goes_on else (),
        rounding=looked.rounding[done],
        model=model,
        paths=tuple(one.path for one in found) if goes_on else (),
    )


def versions() -> dict[str, str]:
    """What a result was made with."""
    return {"rsfast": VERSION, "torch": torch.__version__, "numpy": np.__version__}


def stacked(votes: Sequence[np.ndarray], parts: int, classes: int) -> np.ndarray:
    """Votes [parts, K] of every image as [B, K], or [B, parts, K] for images in parts."""
    table = np.array(votes, dtype=np.int64).reshape(len(votes), parts, classes)
    return table if parts > 1 else table[:, 0]


__all__ = ["Given", "collect", "count", "sample_counts", "stacked", "versions", "votes_of"]
