"""Certifying or predicting a data set into a run directory, and deriving results from one."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from .. import checks, noise, plans, rounding, transforms
from ..api import check_level
from ..backends.tables import lattice_hash, table_hash
from ..certifying import radii
from ..counting import continuing
from ..counting import conveyor as batches
from ..counting import count as sampling
from ..counting.classifier import Engine
from ..counting.conveyor import Job
from ..errors import DataError, InvalidArgumentError, ModelError, StoreError
from ..models.loading import LoadedModel
from ..noise import GeneralizedGaussian, InputDependentGaussian, Laplace, LatticeGaussian, Noise
from ..result import dense, sparse
from ..sources.base import Source
from ..stopping import choose as recipes
from ..stopping.rules import Everything, Paused, Recipe
from . import store
from .store import Part, Standing

SPOT_CHECKS = 64
PIXELS_AT_ONCE = 2**25  # of images whose input-dependent noise levels are computed together


@dataclasses.dataclass(frozen=True)
class Plan:
    """What to draw for every image, and the level it is drawn for."""

    kind: str  # "certify" or "predict"
    noise: Noise
    num_classes: int
    n: int
    alpha: float
    n0: int = 0
    seed: int | None = None
    norm: float = 2
    bound: str = "clopper-pearson"
    joint: str = "bonferroni"
    multiclass: bool = False
    sequential: plans.Plan | None = None
    curtail: bool = False
    labels: bool = False


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
    plan: Plan, loaded: LoadedModel, source: Source, engine: Engine, out: Path, part: Part, reporter: Reporter
) -> Outcome:
    """Run until every image of `part` is stored, continuing where an earlier call stopped.

    Raises
    ------
    InvalidArgumentError
        Before anything is drawn.
    StoreError
        `out` belongs to another run, or cannot be written; what was stored before stays.
    ModelError
        The model failed; the finished images are stored.
    """
    plan = dataclasses.replace(plan, noise=noise.check(plan.noise, engine.transform.parts))
    level = _check_plan(plan, engine, source.shape)
    positions = part.positions(len(source))
    if not positions and part.shard == 0:
        raise InvalidArgumentError(
            f"no image is chosen: {source.name} has {len(source)}, start={part.start}, count={part.count}. Give others."
        )
    if len(source) > 2**32:
        raise InvalidArgumentError(f"{source.name} has {len(source)} images and ids end at 2^32: split it.")
    engine.check_channels(source.shape[0])
    engine.check_size(*source.shape[1:])
    backend = engine.backend_for(torch.empty((1, *source.shape), device=engine.device), plan.noise).name
    before = _settings_before(out)
    recipe = _recipe(plan, level, engine, source, before)
    total = sampling.draws_of_a_model(engine, recipe.total)
    engine.prepare(source.shape, total, before)
    smaller = engine.fit(source.shape, total)
    if smaller is not None:
        reporter.problem(smaller)
    batch, together = engine.batching(source.shape, total, len(positions))
    wanted = _manifest(plan, level, loaded, source, engine, batch, recipe)
    if part.sample is not None:  # one that may grow is, to the run, of all images
        wanted.settings["sample"] = part.sample | ({"images": len(source), "growing": True} if part.growing else {})
    if before is None:
        _rehearse(plan, source, engine, positions, batch)
    here = out.absolute()  # a model may change the working directory
    manifest, shard = store.begin(out, wanted, part.shard, part.shards, seed=sampling.check_seed(None))
    done: list[int] = []
    with shard:
        finished = store.records(here, manifest)
        _check_finished(finished, source)
        paused = _paused(finished, plan, recipe)
        todo = [position for position in positions if position not in finished or position in paused]
        shard.asks(part, plan.n if _continuable(plan) else None)
        reporter.begin(len(positions), len(positions) - len(todo))
        call = _Call(plan, source, engine, recipe, finished, paused, shard, reporter)
        constant = {"n0": recipe.n0, "seed": manifest.settings["seed"], "model": loaded.sha256[:16], "backend": backend,
                    "config": manifest.fingerprint[:16], "versions": sampling.versions()}  # fmt: skip
        running = batches.run(
            engine, call.jobs(todo), plan.noise, seed=manifest.settings["seed"], shape=source.shape,
            batch=batch, together=together, progress=reporter.rows,
        )  # fmt: skip
        try:
            with contextlib.closing(running):
                for job in running:
                    shard.append(constant | call.record(job))
                    done.append(job.id)
                    reporter.image()
        except ModelError as error:
            raise ModelError(f"{error} {_kept(shard, out, len(done))}") from error
        finally:
            reporter.end()
        shard.ends()
    return Outcome(len(positions) - len(todo), len(done), call.problems, _read_back(here, out, done))


def _rehearse(plan: Plan, source: Source, engine: Engine, positions: Sequence[int], batch: int) -> None:
    """Show every model a batch of noisy copies of the first image: what is refused of a model is refused before a run begins."""
    try:
        images = [_image(source, position) for position in positions[:1]]
    except DataError:  # told when its turn comes
        return
    for image in images:
        level = 0.25 if isinstance(plan.noise, InputDependentGaussian) else noise.levels(plan.noise, image[None], 1)[0, 0]
        job = Job(image, [float(level)] * engine.transform.parts, positions[0], [(0, 0, batch)], lambda *_: True)
        for _ in batches.run(engine, [job], plan.noise, seed=0, shape=source.shape, batch=batch, together=False):
            pass


class _Call:
    """One call's way from positions to jobs, noting the images that cannot be used."""

    def __init__(
        self,
        plan: Plan,
        source: Source,
        engine: Engine,
        recipe: Recipe,
        finished: dict[int, dict[str, Any]],
        paused: dict[int, Paused],
        shard: store.Shard,
        reporter: Reporter,
    ) -> None:
        self.plan, self.source, self.engine, self.recipe = plan, source, engine, recipe
        self.finished, self.paused, self.shard, self.reporter = finished, paused, shard, reporter
        self.problems: list[str] = []
        self._distances: dict[int, list[float]] = {}

    def jobs(self, todo: Sequence[int]) -> Iterator[Job]:
        for position, image, sigma, off in _prepared(self.plan, self.source, self.engine, todo, self.unusable):
            wrong = self._wrong_label(position)
            if wrong is not None:
                self.unusable(position, wrong)
                continue
            if position in self.paused and continuing.image_sha256(image) != self.finished[position]["image"]:
                raise StoreError(
                    f"image {position} of {self.source.name} is not the one that was certified: draws of different images are "
                    "not mixed. Use another --out."
                )
            label = self.source.label(position) if self.plan.labels else None
            drawing = self.recipe.start(sigma, label, self.paused.get(position))
            if label is not None and drawing.tested != label:
                raise StoreError(f"the label of image {position} was {drawing.tested} and is {label} now. Use another --out.")
            if off.any():
                self._distances[position] = [float(value) for value in off]
            yield Job(image, sigma, position, drawing.segments, drawing.judge, drawing.wanted, drawing)

    def record(self, job: Job) -> dict[str, Any]:
        """What a line says of its image."""
        drawing = job.about
        record = {
            "id": job.id,
            "label": self.source.label(job.id),
            "image": continuing.image_sha256(job.image),
            "selection": _stored(drawing.selection) if self.plan.kind == "certify" else {},
            "estimation": _stored(drawing.estimation),
            "n": drawing.drawn,
            "seconds": round(job.seconds, 6),
        }
        if isinstance(self.plan.noise, InputDependentGaussian):
            record["sigma"] = float(job.sigma[0])
        if job.id in self._distances:
            record["rounding"] = self._distances.pop(job.id)
        if self.plan.sequential is not None:
            record |= {"tested": drawing.tested, "reached": drawing.reached, "path": drawing.path, "spent": drawing.spent}
        return record

    def unusable(self, position: int, problem: str) -> None:
        self.problems.append(problem)
        self.reporter.problem(f"{problem} It is left out.")
        self.shard.unreadable(position, problem)

    def _wrong_label(self, position: int) -> str | None:
        """What is wrong with an image's label, None if nothing."""
        label, classes = self.source.label(position), self.plan.num_classes
        if label is None:
            return f"image {position} of {self.source.name} has no label to be tested." if self.plan.labels else None
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


def _recipe(plan: Plan, level: float, engine: Engine, source: Source, before: dict[str, Any] | None) -> Recipe:
    """What is drawn of each image; thresholds are those of the run that is continued, if there is one."""
    if plan.kind == "predict":
        return Everything(0, plan.n, "prediction")
    if plan.labels and source.label(0) is None:
        raise InvalidArgumentError(f"labels are to be tested and {source.name} has none: give data with labels.")
    transform, dims = engine.transform, sampling.part_dims(engine.transform, source.shape)
    how = (plan.bound, plan.joint, plan.multiclass, plan.sequential, plan.curtail, plan.labels)
    order = checks.order(plan.norm)
    normal = sampling.normalised(plan.noise, transform, engine.mean, engine.std, source.shape[0])
    rounded = source.dtype == np.float64 and not isinstance(plan.noise, LatticeGaussian)
    most = rounding.most(source.shape, rounded=rounded, normalised=normal)
    ask = recipes.Ask(plan.noise, transform, dims, level, order, *how, slack=float(rounding.in_norm(most, order, sum(dims))))
    failure = None
    here = {
        "plan": _plan_dict(plan),
        "norm": _norm(plan),
        "n": None if _continuable(plan) else plan.n,
        "alpha": level,
        "noise": noise.to_dict(plan.noise),
        "shape": list(source.shape),
    }
    if before is not None and before.get("thresholds") and all(before.get(name) == value for name, value in here.items()):
        failure = tuple(float.fromhex(text) for text in before["thresholds"])
    return recipes.make(ask, plan.n0, plan.n, failure)


def _norm(plan: Plan) -> float | str:
    return "inf" if plan.norm == np.inf else float(plan.norm)


def _plan_dict(plan: Plan) -> dict[str, Any] | None:
    return None if plan.sequential is None else json.loads(store.canonical(plan.sequential.to_dict()))


def _continuable(plan: Plan) -> bool:
    return plan.sequential is not None and plan.sequential.continuable


def _paused(finished: dict[int, dict[str, Any]], plan: Plan, recipe: Recipe) -> dict[int, Paused]:
    """Finished images of a plan that can be continued, and that go on with this n."""
    if not _continuable(plan):
        return {}
    found = {}
    for position, record in finished.items():
        if record["n"] >= plan.n:
            continue
        votes = [np.array([dense(record[stage], plan.num_classes)]) for stage in ("selection", "estimation")]
        paused = Paused(votes[0], votes[1], record["n"], record["tested"], record["reached"], record["path"])
        if not recipe.start(np.ones(1), None, paused).over:
            found[position] = paused
    return found


def _settings_before(out: Path) -> dict[str, Any] | None:
    """The settings of a run that is to be continued: what "auto" chose there is not measured again."""
    return store.read_manifest(out).settings if store.is_run(out) else None


def _check_plan(plan: Plan, engine: Engine, shape: tuple[int, int, int]) -> float:
    """The plan's level, if it fits noise and transform."""
    parts = engine.transform.parts
    if plan.kind == "predict":
        if parts > 1:
            raise InvalidArgumentError("predict shows whole images: certify with the transform, whose labels are the answers.")
        return checks.one_alpha(plan.alpha)
    choices: dict[str, Any] = {"joint": plan.joint, "multiclass": plan.multiclass}
    level = check_level(plan.alpha, plan.n, parts, **choices, bound=plan.bound)
    dims = sampling.part_dims(engine.transform, shape)
    radii.rehearse(plan.noise, engine.transform, dims, alpha=level, order=plan.norm, bound=plan.bound, **choices)
    return level


def _prepared(
    plan: Plan, source: Source, engine: Engine, todo: Sequence[int], unusable: Callable[[int, str], None]
) -> Iterator[tuple[int, torch.Tensor, np.ndarray, np.ndarray]]:
    """(position, image, noise level of each part, `rounding.distances`) of every image that can be read.

    Levels that depend on the input are computed for many images together, because each batch may mean a pass over a training set.
    """
    kind, parts = plan.noise, engine.transform.parts
    normal = sampling.normalised(kind, engine.transform, engine.mean, engine.std, source.shape[0])
    many = max(1, PIXELS_AT_ONCE // int(np.prod(source.shape)))
    step = min(many, 512) if isinstance(kind, InputDependentGaussian) else 1
    for first in range(0, len(todo), step):
        read: list[tuple[int, torch.Tensor, np.ndarray]] = []
        for position in todo[first : first + step]:
            try:
                given = _given(source, position)
                image = _checked(given)
                read.append((position, image, sampling.rounding_of(given, kind, normal)[0]))
                if plan.kind == "predict":
                    sampling.refuse_far(read[-1][2][None], np.array([noise.levels(kind, image[None], parts).min()]))
            except DataError as error:
                unusable(position, str(error))
        if read:
            levels = noise.levels(kind, torch.stack([image for _, image, _ in read]), parts)
            yield from ((position, image, sigma, off) for (position, image, off), sigma in zip(read, levels, strict=True))


def _stored(votes: np.ndarray) -> dict[str, int] | list[dict[str, int]]:
    """Votes [P, K] as they stand in a record: of a whole image {class: votes}, of parts a list of these."""
    return sparse(votes[0]) if len(votes) == 1 else [sparse(part) for part in votes]


def _check_finished(finished: dict[int, dict[str, Any]], source: Source) -> None:
    """Stored images must look as they did: of at most SPOT_CHECKS of them the pixels are read again."""
    ids = sorted(finished)
    for position in ids[:: max(1, -(-len(ids) // SPOT_CHECKS))]:
        try:
            same = position < len(source) and continuing.image_sha256(_image(source, position)) == finished[position]["image"]
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
    return sampling.check_images(given, (0.0, 1.0), "certify")[0]


def _image(source: Source, position: int) -> torch.Tensor:
    return _checked(_given(source, position))


def _manifest(
    plan: Plan, level: float, loaded: LoadedModel, source: Source, engine: Engine, batch: int, recipe: Recipe
) -> store.Manifest:
    settings: dict[str, Any] = {
        "alpha": level,
        "batch": batch,
        "channels_last": engine.channels_last,
        "device": engine.device.type,
        "dtype": engine.dtype,
        "mean": list(engine.mean or [0.0] * source.shape[0]),
        "n": plan.n,
        "noise": noise.to_dict(plan.noise),
        "num_classes": plan.num_classes,
        "seed": plan.seed,
        "shape": list(source.shape),
        "std": list(engine.std or [1.0] * source.shape[0]),
    }
    if plan.kind == "certify":
        settings |= {"bound": plan.bound, "n0": plan.n0, "norm": _norm(plan)}
        if plan.multiclass:
            settings["multiclass"] = True
        settings |= _stopping_settings(plan, recipe)
    if engine.transform != transforms.Identity():
        settings |= {"transform": engine.transform.to_dict(), "joint": plan.joint}
    if engine.how:
        settings["inference"] = engine.how
    if isinstance(plan.noise, (Laplace, GeneralizedGaussian)):
        settings["quantile_table"] = table_hash(plan.noise.shape)
    if isinstance(plan.noise, LatticeGaussian):
        settings["quantile_table"] = lattice_hash(plan.noise.sigma, plan.noise.levels)
    return store.Manifest(
        kind=plan.kind,
        settings=settings,
        model={"name": loaded.name, "sha256": loaded.sha256},
        data={"name": source.name, "fingerprint": source.fingerprint(), "images": len(source)},
        versions=sampling.versions() | ({"measured": store.canonical(engine.measured)} if engine.measured else {}),
    )


def _stopping_settings(plan: Plan, recipe: Recipe) -> dict[str, Any]:
    """What a run says of when drawing stops; nothing for all draws."""
    if plan.curtail:
        return {"curtail": True}
    if plan.sequential is None:
        return {}
    settings: dict[str, Any] = {"plan": _plan_dict(plan)}
    if recipe.stopping is not None and recipe.stopping.failure:
        settings["thresholds"] = [q.hex() for q in recipe.stopping.failure]
    if plan.labels:
        settings |= {"labels": True, "n0": 0}
    if plan.sequential.continuable:  # n is where a call pauses
        return settings | {"n": None}
    table = recipes.table_hash(recipe)
    return settings | ({"plan_table": table} if table is not None else {})
