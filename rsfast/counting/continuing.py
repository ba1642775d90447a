"""What must be the same where votes of an earlier call are continued: images, labels, rule, and the model, by its votes."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator

import numpy as np
import torch

from ..errors import InvalidArgumentError
from ..models import fingerprint
from ..noise import STREAMS, Noise
from ..result import Stopping, VoteCounts
from ..stopping import choose as recipes
from ..stopping.rules import Paused, Recipe
from . import conveyor as batches
from .classifier import Engine
from .conveyor import Job


def image_sha256(image: torch.Tensor) -> str:
    """First 16 hex digits of the sha256 of an image's float32 pixels."""
    return hashlib.sha256(image.cpu().contiguous().numpy().tobytes()).hexdigest()[:16]


def continuable(stopping: Stopping | None) -> bool:
    """Whether votes that were drawn by this rule may be continued."""
    return stopping is not None and stopping.plan is not None and stopping.plan.continuable


def paused(counts: VoteCounts, row: int) -> Paused:
    """One image of votes that are to be continued."""
    shape = (counts.parts, -1)
    selection, estimation = counts.selection[row].reshape(shape), counts.estimation[row].reshape(shape)
    path = list(counts.paths[row]) if counts.paths else []
    return Paused(selection, estimation, int(counts.drawn[row]), int(counts.tested[row]), int(counts.reached[row]), path)


def fingerprint_of(model: object) -> str:
    """The fingerprint of a torch module or several; empty for callables, whose code may depend on what cannot be seen."""
    several = list(model) if isinstance(model, (list, tuple)) else [model]
    if not all(isinstance(one, torch.nn.Module) for one in several):
        return ""
    return hashlib.sha256("".join(fingerprint(one) for one in several).encode()).hexdigest()[:16]


def check(
    earlier: VoteCounts,
    ask: recipes.Ask,
    recipe: Recipe,
    num_classes: int,
    n0: int,
    ids: np.ndarray,
    labels: np.ndarray | None,
    images: torch.Tensor,
    model: str,
) -> None:
    """Raise InvalidArgumentError unless these votes can be continued by what is asked for."""
    stopping = earlier.stopping
    if stopping is None or not continuable(stopping):
        how = "all n draws" if stopping is None else str(stopping)
        raise InvalidArgumentError(
            f"earlier was drawn as {how}, whose alpha is spent by n={earlier.n}: more draws would need a second one. Only votes "
            "of plans.Betting can be continued."
        )
    for name, there, here in (
        ("rule:", str(stopping), str(recipe.stopping)),
        ("noise:", earlier.noise, ask.noise),
        ("transform:", earlier.transform, ask.transform),
        ("pixels", earlier.dim, sum(ask.dims)),
        ("num_classes", earlier.selection.shape[-1], num_classes),
        ("n0", earlier.n0, 0 if ask.labels else n0),
    ):
        if there != here:
            raise InvalidArgumentError(f"earlier has {name} {there} and this call has {here}: give the same.")
    if model and earlier.model and model != earlier.model:
        raise InvalidArgumentError(
            f"earlier was drawn of a model with fingerprint {earlier.model}, this one has {model}: votes of different models are "
            "not mixed; give the same model."
        )
    if stopping != recipe.stopping:
        raise InvalidArgumentError(f"earlier was drawn by {stopping.plan} and this call has {ask.plan}: give the same plan.")
    if recipe.n < earlier.drawn.max(initial=0):
        raise InvalidArgumentError(f"n={recipe.n} and earlier has {earlier.drawn.max()} draws: give a larger n.")
    seen = dict(zip(earlier.ids.tolist(), earlier.images or ("?",) * len(earlier), strict=True))
    other = [i for i, image in zip(ids.tolist(), images, strict=True) if i in seen and seen[i] != image_sha256(image)]
    if other:
        raise InvalidArgumentError(
            f"image id {other[0]} is not the image that earlier was drawn of: draws of different images are not mixed; give the "
            "same images, or other ids."
        )
    if labels is not None:
        tested = dict(zip(earlier.ids.tolist(), earlier.tested.tolist(), strict=True))
        changed = [i for i, label in zip(ids.tolist(), labels.tolist(), strict=True) if tested.get(i, label) != label]
        if changed:
            raise InvalidArgumentError(f"image id {changed[0]} was tested for another label in earlier: give the same labels.")


def check_votes_again(
    engine: Engine,
    images: torch.Tensor,
    noise: Noise,
    seed: int,
    ids: np.ndarray,
    recipe: Recipe,
    earlier: VoteCounts,
    sigma: np.ndarray,
    batch: int,
    together: bool,
) -> None:
    """Draw selection and first look of earlier images once more, finished ones too, and refuse a model that votes otherwise now.

    Also for equal fingerprints, which do not see everything that a model's answers depend on (`rsfast.walk`).
    """
    rows = {int(i): row for row, i in enumerate(earlier.ids)}

    def jobs() -> Iterator[Job]:
        for b, image in enumerate(images):
            row = rows.get(int(ids[b]))
            if row is None:
                continue
            path = earlier.paths[row] if earlier.paths else ()
            if earlier.drawn[row] and not path:
                raise InvalidArgumentError(
                    "earlier does not say what its first look saw, which shows whether the model is the same: draw anew."
                )
            segments = [(STREAMS["selection"], 0, recipe.n0), (STREAMS[recipe.stream], 0, path[0][0] if path else 0)]
            found: list[np.ndarray] = []

            def judge(_: int, votes: np.ndarray, found: list[np.ndarray] = found) -> bool:
                found.append(votes)
                return False

            yield Job(image, sigma[b], int(ids[b]), segments, judge, len(segments), (row, found))

    running = batches.run(engine, jobs(), noise, seed=seed, shape=images.shape[1:], batch=batch, together=together)
    with contextlib.closing(running):
        for job in running:
            row, (selection, estimation) = job.about
            path = earlier.paths[row] if earlier.paths else ()
            same_first = not path or (estimation[:, earlier.tested[row]] == path[0][1:]).all()
            if not same_first or not np.array_equal(selection, earlier.selection[row].reshape(selection.shape)):
                raise InvalidArgumentError(
                    f"the model votes otherwise on the first copies of image id {job.id} than the one that earlier was drawn of: "
                    "votes of different models, or of one that behaves randomly, are not mixed; give the same model."
                )
