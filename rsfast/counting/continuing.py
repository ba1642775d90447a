"""What must be the same where votes of an earlier call are continued: images, labels, rule, and the model, by its votes."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch

from ..errors import InvalidArgumentError
from ..models import fingerprint
from ..noise import STREAMS
from ..request import Request, Smoothing, continuable
from ..result import VoteCounts
from ..stopping.rules import Paused, Recipe
from . import conveyor
from .conveyor import Draws, Job
from .images import Image, Looked, image_sha256
from .ready import Ready


class Asked(NamedTuple):
    """What a call asks for: of which model (its fingerprint, empty where only its votes can tell), and how."""

    request: Request
    smoothing: Smoothing
    recipe: Recipe
    model: str
    num_classes: int


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


def check(earlier: VoteCounts, asked: Asked, looked: Looked) -> None:
    """Raise InvalidArgumentError unless these votes can be continued by what is asked for."""
    request, recipe, stopping = asked.request, asked.recipe, earlier.stopping
    if stopping is None or not continuable(stopping):
        how = "all n draws" if stopping is None else str(stopping)
        raise InvalidArgumentError(
            f"earlier was drawn as {how}, whose alpha is spent by n={earlier.n}: more draws would need a second one. Only votes "
            "of plans.Betting can be continued."
        )
    for name, there, here in (
        ("rule:", str(stopping), str(recipe.stopping)),
        ("noise:", earlier.noise, request.noise),
        ("transform:", earlier.transform, request.transform),
        ("pixels", earlier.dim, asked.smoothing.dim),
        ("num_classes", earlier.selection.shape[-1], asked.num_classes),
        ("n0", earlier.n0, 0 if request.labels else request.n0),
    ):
        if there != here:
            raise InvalidArgumentError(f"earlier has {name} {there} and this call has {here}: give the same.")
    if asked.model and earlier.model and asked.model != earlier.model:
        raise InvalidArgumentError(
            f"earlier was drawn of a model with fingerprint {earlier.model}, this one has {asked.model}: votes of different "
            "models are not mixed; give the same model."
        )
    if stopping != recipe.stopping:
        raise InvalidArgumentError(f"earlier was drawn by {stopping.plan} and this call has {request.plan}: give the same plan.")
    if recipe.n < earlier.drawn.max(initial=0):
        raise InvalidArgumentError(f"n={recipe.n} and earlier has {earlier.drawn.max()} draws: give a larger n.")
    ids, labels = looked.ids, looked.labels
    seen = dict(zip(earlier.ids.tolist(), earlier.images or ("?",) * len(earlier), strict=True))
    other = [i for i, image in zip(ids.tolist(), looked.pixels, strict=True) if i in seen and seen[i] != image_sha256(image)]
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


def check_same_arithmetic(ready: Ready, earlier: VoteCounts) -> None:
    """Raise InvalidArgumentError where this call would run another classifier than the one of the earlier votes."""
    if (earlier.dtype, earlier.batch, earlier.device) != (ready.dtype, ready.batch, ready.device.type):
        raise InvalidArgumentError(
            f"earlier was classified in {earlier.dtype} on {earlier.device} in batches of {earlier.batch}, this call in "
            f"{ready.dtype} on {ready.device.type} in batches of {ready.batch}: these belong to the classifier; give the same."
        )
    there, here = json.loads(earlier.versions.get("inference", "{}")), ready.running.identity
    other = [name for name in sorted({*there, *here}) if there.get(name) != here.get(name)]
    if other:
        was, now = (", ".join(f"{name}={json.dumps(how[name])}" for name in other if name in how) for how in (there, here))
        raise InvalidArgumentError(
            f"earlier was run with {was or 'the model as it is'}, this call with {now or 'the model as it is'}: fold, runtime, "
            "the GPU and its settings belong to the classifier; give the same."
        )


def check_votes_again(ready: Ready, images: Sequence[Image], recipe: Recipe, draws: Draws, earlier: VoteCounts) -> None:
    """Draw selection and first look of earlier images once more, finished ones too, and refuse a model that votes otherwise now.

    Also for equal fingerprints, which do not see everything that a model's answers depend on (`rsfast.walk`).
    """
    rows = {int(i): row for row, i in enumerate(earlier.ids)}

    def jobs() -> Iterator[Job]:
        for image in images:
            row = rows.get(image.id)
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

            yield Job(image.pixels, image.sigma, image.id, segments, judge, len(segments), (row, found))

    with contextlib.closing(conveyor.run(ready, jobs(), draws)) as running:
        for job in running:
            row, (selection, estimation) = job.about
            path = earlier.paths[row] if earlier.paths else ()
            same_first = not path or (estimation[:, earlier.tested[row]] == path[0][1:]).all()
            if not same_first or not np.array_equal(selection, earlier.selection[row].reshape(selection.shape)):
                raise InvalidArgumentError(
                    f"the model votes otherwise on the first copies of image id {job.id} than the one that earlier was drawn of: "
                    "votes of different models, or of one that behaves randomly, are not mixed; give the same model."
                )
