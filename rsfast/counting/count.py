"""Images → vote counts: checks the images, names their noise, and runs the engine over them."""

from __future__ import annotations

import contextlib
import itertools
import json
import secrets
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from .. import checks, rounding
from ..backends import base
from ..certifying import radii
from ..errors import InvalidArgumentError, ModelError, reason
from ..hints import explained, outside
from ..inference import DTYPES
from ..models import warn_of_what_came_before
from ..noise import LatticeGaussian, Noise, check_scale, levels
from ..noise import check as check_noise
from ..plans import Plan
from ..result import VoteCounts
from ..stopping import choose as recipes
from ..stopping.rules import Drawing, Recipe, check_labels
from ..transforms import Identity, Transform
from ..transforms import check as check_transform
from ..version import VERSION
from . import continuing
from . import conveyor as batches
from .classifier import Engine, Model
from .conveyor import Job

Range = tuple[float, float] | None
WHOLE = Identity()


def versions() -> dict[str, str]:
    """What a result was made with."""
    return {"rsfast": VERSION, "torch": torch.__version__, "numpy": np.__version__}


def check_seed(seed: int | None) -> int:
    """The seed given, or a fresh one."""
    return secrets.randbits(63) if seed is None else checks.whole("seed", seed, 0, 2**64 - 1)


def as_tensor(x: object) -> torch.Tensor:
    """A tensor, or an array of any memory layout and byte order as one; TypeError or ValueError for anything else."""
    if isinstance(x, torch.Tensor):
        return x
    array = np.asarray(x)
    if np.ma.is_masked(x):
        raise ValueError("an array with masked entries")
    if min(array.strides, default=0) < 0:  # also of axes of one entry, where it counts as contiguous and torch refuses it
        array = array.copy()
    return torch.from_numpy(np.require(array, array.dtype.newbyteorder("="), ("C", "W")))


def _kind(x: object) -> str:
    """What was given instead of images."""
    layout, dtype = getattr(x, "layout", None), getattr(x, "dtype", None)
    if isinstance(x, torch.Tensor):
        return f"a tensor on {x.device} of layout {layout}"
    return f"{type(x).__name__} of {checks.shown(dtype)}" if dtype is not None else type(x).__name__


def check_range(value_range: Range) -> tuple[float, float]:
    """(low, high) of a declared range; a very large one for None."""
    if value_range is None:
        return -1e30, 1e30  # beyond, sums of squares overflow float32
    try:
        found = checks.numbers("value_range", value_range)
    except InvalidArgumentError:
        found = ()
    if len(found) != 2 or not found[0] < found[1]:
        raise InvalidArgumentError(f"value_range={checks.shown(value_range)} is not a range: give (low, high) or None.")
    return found[0], found[1]


def check_progress(progress: object) -> None:
    if progress is not None and not callable(progress):
        raise InvalidArgumentError(f"progress={checks.shown(progress)} is not callable: give a function of two numbers, or None.")


def check_images(x: object, value_range: Range, caller: str) -> torch.Tensor:
    """Images as float32 [B, C, H, W], finite and inside `value_range`."""
    try:
        images = as_tensor(x)
        if images.layout != torch.strided or images.device.type == "meta" or images.is_nested:
            raise TypeError
    except Exception:  # arrays of other libraries fail in many ways
        raise InvalidArgumentError(f"x is {_kind(x)}; {caller}() takes a tensor or array (B, C, H, W) of pixels.") from None
    if images.ndim != 4:
        hint = " For one image pass x[None]." if images.ndim == 3 else ""
        raise InvalidArgumentError(f"x has shape {tuple(images.shape)}; {caller}() takes a batch (B, C, H, W).{hint}")
    if 0 in images.shape:
        raise InvalidArgumentError(f"x has shape {tuple(images.shape)} and holds no pixels: give at least one image.")
    if not images.is_floating_point():
        raise InvalidArgumentError(f"x is {images.dtype}; give floating-point images (for 8-bit images x.float() / 255).")
    images = images.detach()
    try:
        finite = torch.isfinite(images).flatten(1).all(dim=1)
        images = images.to(torch.float32)
    except RuntimeError as error:
        raise InvalidArgumentError(f"x is {images.dtype}, which torch cannot convert ({reason(error)}): give float32.") from None
    if not bool(finite.all()):
        raise InvalidArgumentError(f"x[{int((~finite).nonzero()[0])}] holds NaN or infinity: repair or leave out that image.")
    low, high = check_range(value_range)
    if not bool(((images >= low) & (images <= high)).all()):
        outside = ((images < low) | (images > high)).flatten(1).any(dim=1)
        b = int(outside.nonzero()[0])
        raise InvalidArgumentError(
            f"x[{b}] reaches from {float(images[b].min()):g} to {float(images[b].max()):g}, outside the declared range "
            f"[{low:g}, {high:g}]: rescale it, or give value_range=(low, high) or None."
        )
    return images


def normalised(
    noise: Noise, transform: Transform, mean: Sequence[float] | None, std: Sequence[float] | None, channels: int
) -> rounding.Normalisation | None:
    """mean and std where images are normalised, and so rounded, before the noise is added to them; None elsewhere."""
    if (mean is None and std is None) or transform != WHOLE or isinstance(noise, LatticeGaussian):
        return None
    return base.normalisation(mean, std, channels)


def rounding_of(x: object, noise: Noise, normal: rounding.Normalisation | None) -> np.ndarray:
    """`rounding.distances` of checked images, as they were given; InvalidArgumentError where lattice noise refuses them."""
    given = as_tensor(x).detach()
    if isinstance(noise, LatticeGaussian):
        base.check_lattice(given, noise.levels)
        return np.zeros((len(given), rounding.NORMS))
    exact = torch.float32 if given.dtype in DTYPES.values() else torch.float64  # a dtype of NumPy's that holds the numbers
    if exact == torch.float32 and normal is None:
        return np.zeros((len(given), rounding.NORMS))
    return np.concatenate([rounding.distances(image[None].cpu().to(exact).numpy(), normal) for image in given])


def refuse_far(distances: np.ndarray, level: np.ndarray) -> None:
    """Raise InvalidArgumentError for an image that float32 moves so far that a prediction for it would be for another one."""
    far = np.flatnonzero(distances[:, 1] > rounding.PREDICTABLE * level)
    if far.size:
        raise InvalidArgumentError(
            f"x[{far[0]}] is moved by {distances[far[0], 1]:.3g} where it is rounded to float32, and the noise level is "
            f"{level[far[0]]:.3g}: a prediction would be for another image; give pixels nearer to zero (x / 255, for instance)."
        )


def check_ids(ids: Iterable[int] | None, images: int) -> np.ndarray:
    """Ids as int64 [B], distinct, below 2^32; 0 … B - 1 if not given."""
    try:
        array = np.arange(images) if ids is None else np.asarray(list(itertools.islice(ids, images + 1)))
    except Exception:  # whatever foreign objects raise when they are gone through
        raise InvalidArgumentError(
            f"ids={checks.shown(ids)} is not a sequence: give one integer for each of {images} images."
        ) from None
    if array.shape != (images,) or (images and not np.issubdtype(array.dtype, np.integer)):
        raise InvalidArgumentError(f"ids has shape {array.shape} {array.dtype}: give one integer for each of {images} images.")
    if images and (array.min() < 0 or array.max() >= 2**32):
        raise InvalidArgumentError(f"ids reach from {array.min()} to {array.max()}: give ids from 0 to 2^32 - 1.")
    values, repeats = np.unique(array, return_counts=True)
    if (repeats > 1).any():
        raise InvalidArgumentError(
            f"id {values[repeats > 1][0]} occurs {repeats.max()} times: two images with one id would share their noise; "
            "give distinct ids."
        )
    return array.astype(np.int64)


def draw(
    engine: Engine,
    images: torch.Tensor,
    *,
    noise: Noise,
    seed: int,
    ids: np.ndarray,
    recipe: Recipe,
    distances: np.ndarray,
    labels: np.ndarray | None = None,
    earlier: VoteCounts | None = None,
    model: str = "",
    progress: Callable[[int, int], None] | None = None,
) -> VoteCounts:
    """Votes of all images, drawn as the recipe says; `labels` are the classes to be tested where it asks for them.

    `distances` are those of `rounding_of`.  Images of `earlier` go on where they were, if the model is the same: `model` is its
    fingerprint, or empty where only its votes can tell.

    Whatever stops it in the middle carries the finished images: `error.finished`, `error.counts`.
    """
    engine.check_channels(images.shape[1])
    engine.check_size(*images.shape[2:])
    parts = engine.transform.parts
    total = draws_of_a_model(engine, recipe.total)
    engine.prepare(images.shape[1:], total)
    smaller = engine.fit(images.shape[1:], total)
    if smaller is not None:
        warnings.warn(smaller, RuntimeWarning, stacklevel=outside())
    images = images.clone()  # whoever gave them may write there while they are drawn
    sigma = levels(noise, images, parts)
    batch, together = engine.batching(images.shape[1:], total, len(images))
    if earlier is not None and (earlier.dtype, earlier.batch, earlier.device) != (engine.dtype, batch, engine.device.type):
        raise InvalidArgumentError(
            f"earlier was classified in {earlier.dtype} on {earlier.device} in batches of {earlier.batch}, this call in "
            f"{engine.dtype} on {engine.device.type} in batches of {batch}: these belong to the classifier; give the same."
        )
    how = inference_version(engine.how)
    if earlier is not None and earlier.versions.get("inference") != how.get("inference"):
        raise InvalidArgumentError(
            f"earlier was run as {earlier.versions.get('inference', 'the model is')}, this call as "
            f"{how.get('inference', 'the model is')}: fold and runtime belong to the classifier; give the same."
        )
    if earlier is not None:
        continuing.check_votes_again(engine, images, noise, seed, ids, recipe, earlier, sigma, batch, together)
    drawings: dict[int, Drawing] = {}
    finished: set[int] = set()

    def collected() -> VoteCounts:
        first = images[:1].to(engine.device)
        done = np.array(sorted(finished), dtype=np.int64)
        found = [drawings[b] for b in done]
        return VoteCounts(
            selection=stacked([one.selection for one in found], parts, engine.num_classes),
            estimation=stacked([one.estimation for one in found], parts, engine.num_classes),
            n0=recipe.n0,
            n=recipe.n if earlier is None else max(recipe.n, earlier.n),
            ids=ids[done],
            noise=noise,
            seed=seed,
            dim=first.numel(),
            sigma=sigma[done] if parts > 1 else sigma[done, 0],
            transform=engine.transform,
            part_dims=part_dims(engine.transform, images.shape[1:]),
            backend=engine.backend_for(first, noise).name,
            dtype=engine.dtype,
            batch=batch,
            device=engine.device.type,
            versions=versions() | how,
            drawn=np.array([one.drawn for one in found], dtype=np.int64),
            stopping=recipe.stopping,
            tested=np.array([one.tested for one in found], dtype=np.int64),
            reached=np.array([one.reached for one in found], dtype=np.int64),
            spent=np.array([one.spent for one in found], dtype=np.float64),
            images=tuple(continuing.image_sha256(images[b]) for b in done) if continuing.continuable(recipe.stopping) else (),
            rounding=distances[done],
            model=model,
            paths=tuple(one.path for one in found) if continuing.continuable(recipe.stopping) else (),
        )

    def jobs() -> Iterator[Job]:
        paused = {} if earlier is None else {int(i): continuing.paused(earlier, row) for row, i in enumerate(earlier.ids)}
        for b, image in enumerate(images):
            label = None if labels is None else int(labels[b])
            drawing = recipe.start(sigma[b], label, paused.get(int(ids[b])))
            drawings[b] = drawing
            if not drawing.over:
                yield Job(image, sigma[b], int(ids[b]), drawing.segments, drawing.judge, drawing.wanted, b)
            else:
                finished.add(b)

    report = None if progress is None else (lambda rows: progress(len(finished), rows))
    running = batches.run(
        engine, jobs(), noise, seed=seed, shape=images.shape[1:], batch=batch, together=together, progress=report
    )
    try:
        with contextlib.closing(running):
            for job in running:
                finished.add(job.about)
    except BaseException as error:
        if finished:
            error.finished, error.counts = len(finished), collected()  # type: ignore[attr-defined]
            if isinstance(error, ModelError):
                error.args = (f"{error} {len(finished)} images were finished; error.counts holds their votes.",)
        raise
    return collected()


def inference_version(how: dict[str, Any]) -> dict[str, str]:
    """The entry of `VoteCounts.versions` that says what `Engine.how` says; none for a model as it was given."""
    return {"inference": json.dumps(how, sort_keys=True)} if how else {}


def stacked(votes: Sequence[np.ndarray], parts: int, classes: int) -> np.ndarray:
    """Votes [parts, K] of every image as [B, K], or [B, parts, K] for images in parts."""
    table = np.array(votes, dtype=np.int64).reshape(len(votes), parts, classes)
    return table if parts > 1 else table[:, 0]


def part_dims(transform: Transform, shape: Sequence[int]) -> tuple[int, ...]:
    """Pixels of each part of images of `shape` (C, H, W), channels counted."""
    channels, height, width = shape
    return tuple(channels * transform.pixels(part, height, width) for part in range(transform.parts))


def draws_of_a_model(engine: Engine, total: int | None) -> int | None:
    """Forward passes of one model for an image of which so many copies of each part are drawn; None if that is not known."""
    return None if total is None else total * (engine.transform.parts if len(engine.models) == 1 else 1)


@explained
def sample_counts(
    model: Model | Sequence[Model],
    x: object,
    *,
    noise: Noise,
    num_classes: int,
    transform: Transform = WHOLE,
    n0: int = 100,
    n: int = 100_000,
    plan: Plan | None = None,
    curtail: bool = False,
    labels: object = None,
    earlier: VoteCounts | None = None,
    alpha: float = 1e-3,
    norm: float = 2,
    bound: str = "clopper-pearson",
    joint: str = "bonferroni",
    multiclass: bool = False,
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
    value_range: Range = (0.0, 1.0),
    progress: Callable[[int, int], None] | None = None,
) -> VoteCounts:
    """Votes of `model` over noisy copies of each image: the expensive half of a certificate.

    Parameters
    ----------
    model : callable, or a sequence of callables
        Base classifier: [N, C, H, W] → logits [N, K], each copy by itself (docs/soundness.md, "What a model may do").  A torch
        module is run in eval mode and left as it was.  With a transform of k parts: one model for all parts or a list of k.
    x : tensor or array, float [B, C, H, W]
        Clean images, in the units of `noise.sigma`.
    noise : Gaussian, InputDependentGaussian, or a sequence of Gaussians
        What is added to each copy; a sequence gives each part its own noise level.
    num_classes : int
        K, at least 2.
    transform : Transform
        What the model is shown: the whole image, or parts of it (`DiagonalSplit`, `Partition`).
    n0, n : int
        Draws of each part that choose the class, and draws of each part that bound its probability.
    plan : plans.Grid, plans.Radius or plans.Betting, optional
        Draw as many as each image needs, at most n.  Default: n for every image.
    curtail : bool
        Leave out draws that cannot change an abstention any more; the answers stay the same.
    labels : sequence of int, optional
        With a plan: test these classes, the true labels, instead of selected ones (n0 is not drawn).  The result then is for
        certified accuracy and says nothing of images whose label is not certified.
    earlier : VoteCounts, optional
        Of a `plans.Betting` call on the same images: go on with them, up to a larger n.
    alpha, norm, bound, joint, multiclass
        With a plan or curtail: what will be certified, as in `certify_counts`; they decide when an image is done.
    seed : int, optional
        0 … 2^64 - 1; None draws a fresh one.  The result records it.
    ids : iterable of int, optional
        One distinct id (0 … 2^32 - 1) per image, default 0 … B - 1.  (seed, id) determines an image's noise: when a data
        set is split over several calls with one seed, give each image its own id.
    batch, dtype, device, channels_last, fold, runtime, backend, mean, std
        How the model is run; see `rsfast.counting.classifier.Engine`.
    value_range : (low, high) or None
        Declared range of the pixels; images outside are refused.
    progress : callable, optional
        Called with (images finished, copies classified just now) after every forward pass.

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
    BackendUnavailableError
        The backend that was named cannot run.

    Warns
    -----
    SoundnessWarning
        Where the model draws random numbers or keeps state.

    Notes
    -----
    Ties and NaN: a copy votes for its largest logit, among equal ones for the lowest class index; a copy whose logits hold
    a NaN votes for no class but counts as drawn, so bounds stay valid.
    """
    noise = check_noise(noise, check_transform(transform).parts)
    images = check_images(x, value_range, "sample_counts")
    check_scale(noise, *check_range(value_range))
    check_progress(progress)
    curtail, multiclass = checks.flag("curtail", curtail), checks.flag("multiclass", multiclass)
    checks.choice("bound", bound, radii.BOUNDS)
    checks.choice("joint", joint, radii.JOINTS)
    n0, n = checks.whole("n0", n0, 0, 2**32 - 1), checks.whole("n", n, 1, 2**32 - 1)
    level = checks.one_alpha(alpha)
    classes = checks.whole("num_classes", num_classes, 1, 10**7)
    images_labels = None if labels is None else check_labels(labels, len(images), classes)
    if earlier is not None:
        if not isinstance(earlier, VoteCounts):
            raise InvalidArgumentError(f"earlier is {type(earlier).__name__}: give the VoteCounts of a call with plans.Betting.")
        if seed is not None and check_seed(seed) != earlier.seed:
            raise InvalidArgumentError(f"seed={checks.shown(seed)} and earlier has {earlier.seed}: leave seed out.")
        seed, ids = earlier.seed, list(earlier.ids) if ids is None else ids
    image_ids = check_ids(ids, len(images))
    mean, std = (None if given is None else checks.numbers(name, given) for name, given in (("mean", mean), ("std", std)))
    dims, order = part_dims(transform, images.shape[1:]), checks.order(norm)
    distances = rounding_of(x, noise, normalised(noise, transform, mean, std, images.shape[1]))
    slack = float(rounding.in_norm(distances, order, sum(dims)).max())
    slack *= 1.0 + 1e-6  # so that what is left of a radius that was reached is not a rounding short of it
    ask = recipes.Ask(noise, transform, dims, level, order, bound, joint, multiclass, plan, curtail, labels is not None, slack)
    kept = None if earlier is None or earlier.stopping is None else earlier.stopping.failure or None
    recipe = recipes.make(ask, n0, n, kept)
    fingerprint = continuing.fingerprint_of(model) if continuing.continuable(recipe.stopping) else ""
    if earlier is not None:
        continuing.check(earlier, ask, recipe, num_classes, n0, image_ids, images_labels, images, fingerprint)
    warn_of_what_came_before(model, mean, std)
    engine = Engine(
        model, num_classes=num_classes, batch=batch, dtype=dtype, device=device, channels_last=channels_last, fold=fold,
        runtime=runtime,
        backend=backend, mean=mean, std=std, transform=transform,
    )  # fmt: skip
    return draw(
        engine, images, noise=noise, seed=check_seed(seed), ids=image_ids, recipe=recipe, distances=distances,
        labels=images_labels, earlier=earlier, model=fingerprint,
        progress=progress,
    )  # fmt: skip
