"""Certifying or predicting a data set into a run directory."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from .. import rounding
from ..backends.tables import draw_hash
from ..certifying import radii
from ..certifying.from_counts import check_level
from ..counting import conveyor
from ..counting.classifier import Classifier
from ..counting.conveyor import Draws, Job
from ..counting.count import count, versions
from ..counting.images import Image, check_images, check_seed, image_sha256, normalised, refuse_far, rounding_of
from ..counting.ready import Ready, Running
from ..errors import DataError, InvalidArgumentError, ModelError, StoreError
from ..models.loading import LoadedModel
from ..request import MOST_DRAWS, Request
from ..result import dense, sparse
from ..sources.base import Source
from ..stopping import choose
from ..stopping.rules import Drawing, Everything, Paused, Recipe
from . import settings, store
from .canonical import canonical
from .devices import Channel, Crew
from .store import Part, Standing

SPOT_CHECKS = 64
PIXELS_AT_ONCE = 2**25  # of images whose input-dependent noise levels are computed together
MANY_AT_ONCE = 512  # such images
FEW_AT_ONCE = 8  # where other processes want some, too


class Reporter(Protocol):
    """Told what happens, as it happens."""

    def begin(self, total: int, done: int) -> None: ...
    def rows(self, count: int) -> None: ...
    def image(self) -> None: ...
    def problem(self, message: str) -> None: ...
    def end(self) -> None: ...


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a call ended.

    Attributes
    ----------
    before, now : int
        Images of its part that were finished before, and those that it finished.
    problems : list of str
        A sentence for each image of its part that could not be used.
    standing : Standing
        The whole run, read back from the disk.
    """

    before: int
    now: int
    problems: list[str]
    standing: Standing


def execute(
    request: Request, classifier: Classifier, loaded: LoadedModel, source: Source, out: Path, part: Part, reporter: Reporter,
    crew: Crew | None = None,
) -> Outcome:  # fmt: skip
    """Run until every image of `part` is stored, continuing where an earlier call stopped.

    With a `crew` its processes draw, each by `serve`, and this one writes.

    Raises
    ------
    InvalidArgumentError
        Before anything is drawn.
    StoreError
        `out` belongs to another run, or cannot be written; what was stored before stays.
    ModelError
        The model failed; the finished images are stored.
    """
    call, positions, wanted = _asked(request, classifier, loaded, source, (out, part, reporter))
    if not store.is_run(out):
        _rehearse(call, positions)
    here = out.absolute()  # a model may change the working directory
    manifest, shard = store.begin(out, wanted, part.shard, part.shards, seed=check_seed(None))
    done: list[int] = []
    with shard:
        finished = store.records(here, manifest)
        _check_finished(finished, source)
        call.goes_on(finished, shard)
        todo = [position for position in positions if position not in finished or position in call.paused]
        shard.asks(part, request.n if request.continuable else None)
        reporter.begin(len(positions), len(positions) - len(todo))
        if crew is not None and torch.cuda.is_available():
            torch.cuda.empty_cache()  # for the process that draws on this GPU
        lines = call.lines(todo, manifest) if crew is None else crew.lines(todo, reporter, call.unusable)
        try:
            with contextlib.closing(lines):
                for line in lines:
                    shard.append(line)
                    done.append(line["id"])
                    reporter.image()
        except ModelError as error:
            raise ModelError(f"{error} {_kept(shard, out, len(done))}") from error
        finally:
            reporter.end()
        shard.ends()
    return Outcome(len(positions) - len(todo), len(done), call.problems, _read_back(here, out, done))


def serve(
    request: Request, classifier: Classifier, loaded: LoadedModel, source: Source, out: Path, part: Part, channel: Channel
) -> None:
    """Draw what another process's `execute` hands out, and send it the lines; StoreError if this would be another run."""
    call, _, wanted = _asked(request, classifier, loaded, source, (out, part, channel))
    here = out.absolute()
    manifest = store.join(out, wanted)
    call.goes_on(store.records(here, manifest) if request.continuable else {}, channel)
    call.at_once = FEW_AT_ONCE
    goes_on = True
    while goes_on:
        with contextlib.closing(call.lines(channel.positions(), manifest)) as lines:
            for line in lines:
                channel.send(line=line)
        goes_on = channel.goes_on()
    channel.send(caveats=[*request.noise.caveats, *classifier.caveats])


def _asked(
    request: Request, classifier: Classifier, loaded: LoadedModel, source: Source, into: tuple[Path, Part, Any]
) -> tuple[_Call, Sequence[int], store.Manifest]:
    """The call that is asked for, its images, and what its run must be."""
    out, part, reporter = into
    _check_request(request, source)
    positions = _positions(part, source)
    before = _settings_before(out)
    recipe = _recipe(request, classifier, source, before)
    ready = classifier.ready(request.transform, source.shape, total=recipe.total, images=len(positions), chosen=before)
    if ready.remark is not None:
        reporter.problem(ready.remark)
    call = _Call(request, classifier, loaded, ready, recipe, source, reporter)
    wanted = _manifest(call)
    if part.sample is not None:  # one that may grow is, to the run, of all images
        wanted.settings["sample"] = part.sample | ({"images": len(source), "growing": True} if part.growing else {})
    return call, positions, wanted


def _positions(part: Part, source: Source) -> Sequence[int]:
    """The images of a part; InvalidArgumentError if there are none."""
    positions = part.positions(len(source))
    if not positions and part.shard == 0:
        raise InvalidArgumentError(
            f"no image is chosen: {source.name} has {len(source)}, start={part.start}, count={part.count}. Give others."
        )
    if len(source) > MOST_DRAWS + 1:
        raise InvalidArgumentError(f"{source.name} has {len(source)} images and ids end at 2^32: split it.")
    return positions


def _rehearse(call: _Call, positions: Sequence[int]) -> None:
    """Show every model a batch of noisy copies of the first image: what is refused of a model is refused before a run begins."""
    ready, drawn = call.ready, call.request.noise
    try:
        images = [_image(call.source, position) for position in positions[:1]]
    except DataError:  # told when its turn comes
        return
    for image in images:
        level = 0.25 if drawn.depends_on_input else drawn.levels_of(image[None])[0, 0]
        job = Job(image, [float(level)] * ready.transform.parts, positions[0], [(0, 0, ready.batch)], lambda *_: True)
        for _ in conveyor.run(dataclasses.replace(ready, together=False), [job], Draws(drawn, 0)):
            pass


class _Call:
    """One call's way from positions to images and to lines, noting the images that cannot be used."""

    def __init__(
        self, request: Request, classifier: Classifier, loaded: LoadedModel, ready: Ready, recipe: Recipe, source: Source,
        reporter: Reporter,
    ) -> None:  # fmt: skip
        self.request, self.classifier, self.loaded, self.ready, self.recipe = request, classifier, loaded, ready, recipe
        self.source, self.reporter = source, reporter
        self.finished: dict[int, dict[str, Any]] = {}
        self.paused: dict[int, Paused] = {}
        self.problems: list[str] = []
        self.at_once = MANY_AT_ONCE

    def goes_on(self, finished: dict[int, dict[str, Any]], shard: store.Shard | Channel) -> None:
        """Images that are finished, some of which may go on with this n, and where those that cannot be used are noted."""
        self.finished, self.shard = finished, shard
        if not self.request.continuable:
            return
        for position, record in finished.items():
            if record["n"] >= self.request.n:
                continue
            votes = [np.array([dense(record[stage], self.classifier.num_classes)]) for stage in ("selection", "estimation")]
            paused = Paused(votes[0], votes[1], record["n"], record["tested"], record["reached"], record["path"])
            if not self.recipe.start(np.ones(1), None, paused).over:
                self.paused[position] = paused

    def lines(self, todo: Iterable[int], manifest: store.Manifest) -> Generator[dict[str, Any], None, None]:
        """The line of every image, as it is done."""
        ready, recipe = self.ready, self.recipe
        draws = Draws(self.request.noise, manifest.settings["seed"])
        constant = {"n0": recipe.n0, "seed": draws.seed, "model": self.loaded.sha256[:16], "config": manifest.fingerprint[:16],
                    "backend": ready.backend_name(draws.noise), "versions": versions()}  # fmt: skip
        with contextlib.closing(count(ready, self.images(todo), recipe, draws, self.reporter.rows)) as counted:
            for image, drawing, seconds in counted:
                yield constant | self.record(image, drawing, seconds)

    def images(self, todo: Iterable[int]) -> Iterator[Image]:
        for image in self._prepared(todo):
            wrong = self._wrong_label(image.id)
            if wrong is not None:
                self.unusable(image.id, wrong)
                continue
            paused = self.paused.get(image.id)
            if paused is not None and image_sha256(image.pixels) != self.finished[image.id]["image"]:
                raise StoreError(
                    f"image {image.id} of {self.source.name} is not the one that was certified: draws of different images are "
                    "not mixed. Use another --out."
                )
            label = self.source.label(image.id) if self.request.labels else None
            if paused is not None and label is not None and paused.tested != label:
                raise StoreError(f"the label of image {image.id} was {paused.tested} and is {label} now. Use another --out.")
            yield image._replace(label=label, paused=paused)

    def _prepared(self, todo: Iterable[int]) -> Iterator[Image]:
        """Every image that can be read, with the noise level of each part, and how far it was rounded.

        Levels that depend on the input are computed for many images together, because each batch may mean a pass over a training
        set.
        """
        kind, parts = self.request.noise, self.request.transform.parts
        many = max(1, PIXELS_AT_ONCE // int(np.prod(self.source.shape)))
        step, rest = min(many, self.at_once) if kind.depends_on_input else 1, iter(todo)
        while taken := list(itertools.islice(rest, step)):
            read = [image for position in taken if (image := self._read(position)) is not None]
            if read:
                levels = kind.levels_of(torch.stack([image.pixels for image in read]), parts)
                yield from (image._replace(sigma=sigma) for image, sigma in zip(read, levels, strict=True))

    def _read(self, position: int) -> Image | None:
        kind, classifier = self.request.noise, self.classifier
        normal = normalised(kind, self.request.transform, classifier.mean, classifier.std, self.source.shape[0])
        try:
            given = _given(self.source, position)
            pixels = _checked(given)
            off = rounding_of(given, kind, normal)
            if self.request.kind == "predict":
                refuse_far(off, np.array([kind.levels_of(pixels[None]).min()]))
        except DataError as error:
            self.unusable(position, str(error))
            return None
        return Image(pixels, np.empty(0), position, rounding=off[0])

    def record(self, image: Image, drawing: Drawing, seconds: float) -> dict[str, Any]:
        """What a line says of its image."""
        record: dict[str, Any] = {
            "id": image.id,
            "label": self.source.label(image.id),
            "image": image_sha256(image.pixels),
            "selection": _stored(drawing.selection) if self.request.kind == "certify" else {},
            "estimation": _stored(drawing.estimation),
            "n": drawing.drawn,
            "seconds": round(seconds, 6),
        }
        if self.request.noise.depends_on_input:
            record["sigma"] = float(image.sigma[0])
        if image.rounding.any():
            record["rounding"] = [float(value) for value in image.rounding]
        if self.recipe.stopping is not None and self.recipe.stopping.sequential:
            record |= {"tested": drawing.tested, "reached": drawing.reached, "path": drawing.path, "spent": drawing.spent}
        return record

    def unusable(self, position: int, problem: str) -> None:
        self.problems.append(problem)
        self.reporter.problem(f"{problem} It is left out.")
        self.shard.unreadable(position, problem)

    def _wrong_label(self, position: int) -> str | None:
        """What is wrong with an image's label, None if nothing."""
        label, classes = self.source.label(position), self.classifier.num_classes
        if label is None:
            return f"image {position} of {self.source.name} has no label to be tested." if self.request.labels else None
        if not 0 <= label < classes:
            return f"image {position} of {self.source.name} has the label {label}, and classes are 0 to {classes - 1}."
        return None


def _read_back(here: Path, out: Path, done: list[int]) -> Standing:
    """The run as its files have it, with every image that this call finished; StoreError if one is not there."""
    standing = store.standing(here)
    lost = sorted(set(done).difference(standing.finished.tolist()))
    if lost:
        raise StoreError(
            f"{len(lost)} of {len(done)} images that were written now are not in {out} (the first is image {lost[0]}): somebody "
            "changed its files. Leave them alone and run the same command again."
        )
    return standing


def _kept(shard: store.Shard, out: Path, now: int) -> str:
    """What a call that ends early may claim."""
    try:
        shard.finish()
    except StoreError as error:
        return str(error)
    if now == 0:
        return "No image was finished now."
    return f"{now} image{' was' if now == 1 else 's were'} finished now and {'is' if now == 1 else 'are'} stored in {out}."


def _recipe(request: Request, classifier: Classifier, source: Source, before: dict[str, Any] | None) -> Recipe:
    """What is drawn of each image; thresholds are those of the run that is continued, if there is one."""
    if request.kind == "predict":
        return Everything(0, request.n, "prediction")
    if request.labels and source.label(0) is None:
        raise InvalidArgumentError(f"labels are to be tested and {source.name} has none: give data with labels.")
    smoothing, order = request.smoothing(source.shape), request.claim.norm
    normal = normalised(request.noise, request.transform, classifier.mean, classifier.std, source.shape[0])
    rounded = source.dtype == np.float64 and request.noise.lattice is None
    most = rounding.most(source.shape, rounded=rounded, normalised=normal)
    slack = float(rounding.in_norm(most, order, smoothing.dim))
    ask = choose.Ask(smoothing, request.claim, request.plan, request.labels, slack)
    return choose.make(ask, request.n0, request.n, settings.failures_before(before, request, source.shape))


def _settings_before(out: Path) -> dict[str, Any] | None:
    """The settings of a run that is to be continued: what "auto" chose there is not measured again."""
    return store.read_manifest(out).settings if store.is_run(out) else None


def _check_request(request: Request, source: Source) -> None:
    """Raise InvalidArgumentError for what cannot be certified, or predicted, with these draws."""
    if request.kind == "predict":
        if request.transform.parts > 1:
            raise InvalidArgumentError("predict shows whole images: certify with the transform, whose labels are the answers.")
        return
    check_level(request.claim, request.n, request.transform.parts)
    radii.rehearse(request.smoothing(source.shape), request.claim)


def _stored(votes: np.ndarray) -> dict[str, int] | list[dict[str, int]]:
    """Votes [P, K] as they stand in a record: of a whole image {class: votes}, of parts a list of these."""
    return sparse(votes[0]) if len(votes) == 1 else [sparse(part) for part in votes]


def _check_finished(finished: dict[int, dict[str, Any]], source: Source) -> None:
    """Stored images must look as they did: of at most SPOT_CHECKS of them the pixels are read again."""
    ids = sorted(finished)
    for position in ids[:: max(1, -(-len(ids) // SPOT_CHECKS))]:
        try:
            same = position < len(source) and image_sha256(_image(source, position)) == finished[position]["image"]
        except DataError as error:
            raise StoreError(
                f"image {position} was certified and cannot be read any more ({error}): put it back, or use another --out."
            ) from None
        if not same:
            raise StoreError(
                f"image {position} of {source.name} is not the one that was certified: results of different data are not "
                "mixed. Use another --out."
            )


def _given(source: Source, position: int) -> np.ndarray:
    """One image [1, C, H, W] as the source has it."""
    image = source.image(position)
    if image.shape != source.shape:
        raise DataError(f"image {position} of {source.name} is {image.shape}, the first is {source.shape}.")
    return image[None]


def _checked(given: np.ndarray) -> torch.Tensor:
    return check_images(given, (0.0, 1.0), "certify")[0]


def _image(source: Source, position: int) -> torch.Tensor:
    return _checked(_given(source, position))


def _circumstances(running: Running) -> dict[str, str]:
    """What a run is not known by, but goes on with: threads of the CPU, and what was measured."""
    threads = {"threads": str(torch.get_num_threads())} if running.device.type == "cpu" else {}
    return threads | ({"measured": canonical(running.measured)} if running.measured else {})


def _manifest(call: _Call) -> store.Manifest:
    """What the run is."""
    request, classifier, running, source = call.request, call.classifier, call.ready.running, call.source
    channels = source.shape[0]
    arithmetic = settings.Arithmetic(
        call.ready.batch, running.channels_last, running.device.type, running.dtype_name,
        list(classifier.mean or [0.0] * channels), list(classifier.std or [1.0] * channels), running.identity,
    )  # fmt: skip
    tables = settings.Tables(choose.table_hash(call.recipe), draw_hash(request.noise))
    return store.Manifest(
        kind=request.kind,
        settings=settings.written(request, call.recipe.stopping, arithmetic, tables, source.shape, classifier.num_classes),
        model={"name": call.loaded.name, "sha256": call.loaded.sha256},
        data={"name": source.name, "fingerprint": source.fingerprint(), "images": len(source)},
        versions=versions() | _circumstances(running),
    )
