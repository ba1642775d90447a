"""Certifying or predicting a data set into a run directory, and deriving results from one."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from . import checks, noise, radii, sampling, store, transforms
from .api import certify_counts, check_level, predict_counts
from .backends.tables import lattice_hash, table_hash
from .batches import Job
from .drawing import Everything, Recipe
from .engine import Engine
from .errors import DataError, InvalidArgumentError, ModelError, StoreError
from .models.loading import LoadedModel
from .noise import GeneralizedGaussian, InputDependentGaussian, Laplace, LatticeGaussian, Noise
from .report.table import ResultTable
from .result import ABSTAIN, Certificate, VoteCounts, dense, sparse
from .sources.base import Source

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


@dataclasses.dataclass(frozen=True)
class Part:
    """Which images: positions start, start + every, … at most count of them, of which this shard takes its share."""

    start: int = 0
    count: int | None = None
    every: int = 1
    shard: int = 0
    shards: int = 1

    def positions(self, total: int) -> list[int]:
        chosen = list(range(self.start, total, self.every))[: self.count]
        return chosen[self.shard :: self.shards]


class Reporter(Protocol):
    """Told what happens, as it happens."""

    def begin(self, total: int, done: int) -> None: ...
    def rows(self, count: int) -> None: ...
    def image(self) -> None: ...
    def problem(self, message: str) -> None: ...
    def end(self) -> None: ...


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a run ended: images finished before and now, and one sentence for each that could not be read."""

    before: int
    now: int
    problems: list[str]


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
    recipe = _recipe(plan)
    total = sampling.draws_of_a_model(engine, recipe.total)
    before = _settings_before(out)
    engine.prepare(source.shape, total, before)
    smaller = engine.fit(source.shape, total)
    if smaller is not None:
        reporter.problem(smaller)
    batch, together = engine.batching(source.shape, total, len(positions))
    wanted = _manifest(plan, level, loaded, source, engine, batch)
    manifest, shard = store.begin(out, wanted, part.shard, part.shards, seed=sampling.check_seed(None))
    problems: list[str] = []
    now = 0
    with shard:
        finished = store.records(out)
        _check_finished(finished, manifest, source)
        todo = [position for position in positions if position not in finished]
        reporter.begin(len(positions), len(positions) - len(todo))

        def jobs() -> Iterator[Job]:
            for position, image, sigma in _prepared(plan.noise, source, todo, engine.transform.parts, problems, reporter):
                drawing = recipe.start()
                yield Job(image, sigma, position, recipe.segments, drawing.judge, recipe.wanted, drawing)

        running = engine.run(
            jobs(), plan.noise, seed=manifest.settings["seed"], shape=source.shape, batch=batch, together=together,
            progress=reporter.rows,
        )  # fmt: skip
        try:
            with contextlib.closing(running):
                for job in running:
                    drawing = job.about
                    record = {
                        "id": job.id,
                        "label": source.label(job.id),
                        "image": _sha256(job.image),
                        "selection": _stored(drawing.selection) if plan.kind == "certify" else {},
                        "estimation": _stored(drawing.estimation),
                        "n0": recipe.n0,
                        "n": drawing.drawn,
                        "seed": manifest.settings["seed"],
                        "model": loaded.sha256[:16],
                        "config": manifest.fingerprint[:16],
                        "backend": backend,
                        "versions": sampling.versions(),
                        "seconds": round(job.seconds, 6),
                    }
                    if isinstance(plan.noise, InputDependentGaussian):
                        record["sigma"] = float(job.sigma[0])
                    shard.append(record)
                    now += 1
                    reporter.image()
        except ModelError as error:
            raise ModelError(f"{error} {now} images were finished now and are stored in {out}.") from error
        finally:
            reporter.end()
    return Outcome(before=len(positions) - len(todo), now=now, problems=problems)


def _recipe(plan: Plan) -> Recipe:
    return Everything(plan.n0, plan.n, "estimation" if plan.kind == "certify" else "prediction")


def _settings_before(out: Path) -> dict[str, Any] | None:
    """The settings of a run that is to be continued: what "auto" chose there is not measured again."""
    return store.read_manifest(out).settings if (out / "run.json").exists() else None


def _check_plan(plan: Plan, engine: Engine, shape: tuple[int, int, int]) -> float:
    """The plan's level, if it fits noise and transform."""
    parts = engine.transform.parts
    if plan.kind == "predict":
        if parts > 1:
            raise InvalidArgumentError("predict shows whole images: certify with the transform, whose labels are the answers.")
        return float(checks.alpha(plan.alpha))
    choices: dict[str, Any] = {"joint": plan.joint, "multiclass": plan.multiclass}
    level = check_level(plan.alpha, plan.n, parts, **choices)
    dims = sampling.part_dims(engine.transform, shape)
    radii.rehearse(plan.noise, engine.transform, dims, alpha=level, order=plan.norm, bound=plan.bound, **choices)
    return level


def _prepared(
    kind: Noise, source: Source, todo: Sequence[int], parts: int, problems: list[str], reporter: Reporter
) -> Iterator[tuple[int, torch.Tensor, np.ndarray]]:
    """(position, image, noise level of each part) of every image that can be read.

    Levels that depend on the input are computed for many images together, because each batch may mean a pass over a training set.
    """
    many = max(1, PIXELS_AT_ONCE // int(np.prod(source.shape)))
    step = min(many, 512) if isinstance(kind, InputDependentGaussian) else 1
    for first in range(0, len(todo), step):
        read: list[tuple[int, torch.Tensor]] = []
        for position in todo[first : first + step]:
            try:
                read.append((position, _image(source, position)))
            except DataError as error:
                problems.append(str(error))
                reporter.problem(f"{error} It is left out.")
        if read:
            levels = noise.levels(kind, torch.stack([image for _, image in read]), parts)
            yield from ((position, image, sigma) for (position, image), sigma in zip(read, levels, strict=True))


def _stored(votes: np.ndarray) -> dict[str, int] | list[dict[str, int]]:
    """Votes [P, K] as they stand in a record: of a whole image {class: votes}, of parts a list of these."""
    return sparse(votes[0]) if len(votes) == 1 else [sparse(part) for part in votes]


def _sha256(image: torch.Tensor) -> str:
    return hashlib.sha256(image.contiguous().numpy().tobytes()).hexdigest()[:16]


def _check_finished(finished: dict[int, dict[str, Any]], manifest: store.Manifest, source: Source) -> None:
    """Stored images must be of this run, and look as they did: of at most SPOT_CHECKS of them the pixels are read again."""
    for position, record in finished.items():
        if record["config"] != manifest.fingerprint[:16]:
            raise StoreError(f"image {position} was stored by another run in the same directory. Use another --out.")
    ids = sorted(finished)
    for position in ids[:: max(1, -(-len(ids) // SPOT_CHECKS))]:
        try:
            same = position < len(source) and _sha256(_image(source, position)) == finished[position]["image"]
        except DataError:
            same = False
        if not same:
            raise StoreError(
                f"image {position} of {source.name} is not the one that was certified: results of different data are not "
                "mixed. Use another --out."
            )


def _image(source: Source, position: int) -> torch.Tensor:
    image = source.image(position)
    if image.shape != source.shape:
        raise DataError(f"image {position} of {source.name} is {image.shape}, the first is {source.shape}.")
    return sampling.check_images(image[None], (0.0, 1.0), "certify")[0]


def _manifest(plan: Plan, level: float, loaded: LoadedModel, source: Source, engine: Engine, batch: int) -> store.Manifest:
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
        settings |= {"bound": plan.bound, "n0": plan.n0, "norm": "inf" if plan.norm == np.inf else float(plan.norm)}
        if plan.multiclass:
            settings["multiclass"] = True
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


@dataclasses.dataclass(frozen=True)
class StoredRun:
    """A run read back: its manifest, votes, labels (-1 where unknown) and seconds per image."""

    manifest: store.Manifest
    counts: VoteCounts
    labels: np.ndarray
    seconds: np.ndarray


def read_run(path: Path) -> StoredRun:
    """Everything that a run directory holds, in the order of ids."""
    manifest = store.read_manifest(path)
    settings = manifest.settings
    records = [record for _, record in sorted(store.records(path).items())]
    for record in records:
        if record["config"] != manifest.fingerprint[:16]:
            raise StoreError(f"{path} holds counts of another run (image {record['id']}): take them out.")
    classes = settings["num_classes"]

    transform = transforms.from_dict(settings.get("transform", transforms.Identity().to_dict()))
    shape = (len(records), classes) if transform.parts == 1 else (len(records), transform.parts, classes)

    def votes(stage: str) -> np.ndarray:
        rows = [
            [dense(part, classes) for part in (record[stage] if isinstance(record[stage], list) else [record[stage]])]
            for record in records
        ]
        return np.array(rows, dtype=np.int64).reshape(shape)

    kind = noise.from_dict(settings["noise"])
    depends = isinstance(kind, InputDependentGaussian)
    counts = VoteCounts(
        selection=votes("selection"),
        estimation=votes("estimation"),
        n0=settings.get("n0", 0),
        n=settings["n"],
        ids=np.array([record["id"] for record in records], dtype=np.int64),
        noise=kind,
        seed=settings["seed"],
        dim=int(np.prod(settings["shape"])),
        sigma=np.array([record["sigma"] for record in records] if depends else [], dtype=np.float64),
        transform=transform,
        part_dims=sampling.part_dims(transform, settings["shape"]),
        backend=", ".join(sorted({record["backend"] for record in records})),
        dtype=settings["dtype"],
        batch=settings["batch"],
        device=settings["device"],
        versions=manifest.versions,
    )
    labels = np.array([-1 if record["label"] is None else record["label"] for record in records], dtype=np.int64)
    return StoredRun(manifest, counts, labels, np.array([record["seconds"] for record in records], dtype=np.float64))


def certificate(
    stored: StoredRun,
    *,
    alpha: float | None = None,
    norm: float | None = None,
    bound: str | None = None,
    joint: str | None = None,
    multiclass: bool | None = None,
) -> Certificate:
    """Certificates of a stored run, at the level it was planned for unless another is given."""
    settings = stored.manifest.settings
    if stored.manifest.kind != "certify":
        raise InvalidArgumentError("the run holds predictions, which certify no radius: run `rsfast certify`.")
    return certify_counts(
        stored.counts,
        alpha=settings["alpha"] if alpha is None else alpha,
        norm=float(settings["norm"]) if norm is None else norm,
        bound=settings["bound"] if bound is None else bound,
        joint=settings.get("joint", "bonferroni") if joint is None else joint,
        multiclass=settings.get("multiclass", False) if multiclass is None else multiclass,
    )


def result_table(
    path: Path,
    *,
    alpha: float | None = None,
    norm: float | None = None,
    bound: str | None = None,
    joint: str | None = None,
    multiclass: bool | None = None,
    name: str | None = None,
) -> ResultTable:
    """A run as idx label predict radius correct time."""
    stored = read_run(path)
    settings = stored.manifest.settings
    details = {
        "model": f"{stored.manifest.model['name']}, sha256 {stored.manifest.model['sha256']}",
        "data": f"{stored.manifest.data['name']}, {stored.manifest.data['images']} images",
        "noise": str(stored.counts.noise),
        "samples": f"n0 = {stored.counts.n0}, n = {stored.counts.n}, seed = {stored.counts.seed}",
    }
    if stored.counts.parts > 1:
        details["samples"] += f", of each of {stored.counts.parts} parts"
        details["transform"] = str(stored.counts.transform)
    if isinstance(stored.counts.noise, InputDependentGaussian) and len(stored.counts):
        low, middle, high = np.quantile(stored.counts.sigma, [0.0, 0.5, 1.0])
        details["levels"] = f"sigma(x) from {low:.4g} to {high:.4g}, median {middle:.4g}"
    radius = None
    if stored.manifest.kind == "certify":
        cert = certificate(stored, alpha=alpha, norm=norm, bound=bound, joint=joint, multiclass=multiclass)
        label, radius = cert.label, cert.radius
        details["certificate"] = f"l{cert.norm:g}, alpha = {cert.alpha:g} per image, {cert.bound} bound"
        details["certificate"] += ", the other classes bounded too" if cert.multiclass else ""
        if stored.counts.parts > 1:
            details["certificate"] += f", {cert.joint} over {stored.counts.parts} parts"
        for number, caveat in enumerate(cert.caveats, start=1):
            details[f"caveat {number}"] = caveat
    else:
        if any(option is not None for option in (norm, bound, joint, multiclass)):
            raise InvalidArgumentError(f"{path.name} holds predictions, which have neither norm nor bound: leave them out.")
        prediction = predict_counts(stored.counts, alpha=settings["alpha"] if alpha is None else alpha)
        label = prediction.label
        details["test"] = f"two-sided, alpha = {prediction.alpha:g} per image"
    details["arithmetic"] = f"{settings['dtype']} on {settings['device']}, batches of {settings['batch']}"
    details["versions"] = ", ".join(f"{key} {value}" for key, value in stored.manifest.versions.items())
    return ResultTable(
        name=name or path.name,
        idx=stored.counts.ids,
        label=stored.labels,
        predict=label,
        radius=radius,
        correct=(label == stored.labels) & (label != ABSTAIN),
        seconds=stored.seconds,
        details=details,
    )


def status(path: Path) -> dict[str, Any]:
    """How far a run is: manifest, images finished, draws, seconds of work, time of the last line."""
    manifest = store.read_manifest(path)
    records = list(store.records(path).values())
    shards: Sequence[Path] = sorted(path.glob("counts-*.jsonl"))
    seconds = sum(record["seconds"] for record in records)
    transform = transforms.from_dict(manifest.settings.get("transform", transforms.Identity().to_dict()))
    per_image = (manifest.settings["n"] + manifest.settings.get("n0", 0)) * transform.parts
    return {
        "kind": manifest.kind,
        "model": manifest.model["name"],
        "data": manifest.data["name"],
        "finished": len(records),
        "images": manifest.data["images"],
        "shards": len(shards),
        "samples": per_image * len(records),
        "seconds": seconds,
        "samples_per_second": per_image * len(records) / seconds if seconds else 0.0,
        "last_written": max((shard.stat().st_mtime for shard in shards), default=None),
        "settings": manifest.settings,
    }
