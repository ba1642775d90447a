"""Certifying or predicting a data set into a run directory, and deriving results from one."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from . import checks, noise, sampling, store
from .api import certify_counts, check_level, predict_counts
from .engine import Engine
from .errors import DataError, InvalidArgumentError, ModelError, StoreError
from .models.loading import LoadedModel
from .noise import STREAMS, Gaussian
from .report.table import ResultTable
from .result import ABSTAIN, Certificate, VoteCounts, dense, sparse
from .sources.base import Source

SPOT_CHECKS = 64
STAGES = {"certify": ("selection", "estimation"), "predict": ("prediction",)}


@dataclasses.dataclass(frozen=True)
class Plan:
    """What to draw for every image, and the level it is drawn for."""

    kind: str  # "certify" or "predict"
    noise: Gaussian
    num_classes: int
    n: int
    alpha: float
    n0: int = 0
    seed: int | None = None
    norm: float = 2
    bound: str = "clopper-pearson"


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
    level = check_level(plan.alpha, plan.n) if plan.kind == "certify" else float(checks.alpha(plan.alpha))
    positions = part.positions(len(source))
    if not positions and part.shard == 0:
        raise InvalidArgumentError(
            f"no image is chosen: {source.name} has {len(source)}, start={part.start}, count={part.count}. Give others."
        )
    if len(source) > 2**32:
        raise InvalidArgumentError(f"{source.name} has {len(source)} images and ids end at 2^32: split it.")
    engine.check_channels(source.shape[0])
    backend = engine.backend_for(torch.empty((1, *source.shape), device=engine.device), plan.noise).name
    stages = STAGES[plan.kind]
    draws = (plan.n0, plan.n)[-len(stages) :]
    streams = [(STREAMS[name], count) for name, count in zip(stages, draws, strict=True)]
    wanted = _manifest(plan, level, loaded, source, engine, sum(draws))
    manifest, shard = store.begin(out, wanted, part.shard, part.shards, seed=sampling.check_seed(None))
    problems: list[str] = []
    now = 0
    with shard:
        finished = store.records(out)
        _check_finished(finished, manifest, source)
        todo = [position for position in positions if position not in finished]
        reporter.begin(len(positions), len(positions) - len(todo))
        try:
            for position in todo:
                began = time.perf_counter()
                try:
                    image = _image(source, position)
                except DataError as error:
                    problems.append(str(error))
                    reporter.problem(f"{error} It is left out.")
                    continue
                try:
                    votes = engine.votes(
                        image,
                        plan.noise,
                        seed=manifest.settings["seed"],
                        image_id=position,
                        stages=streams,
                        progress=reporter.rows,
                    )
                except ModelError as error:
                    raise ModelError(f"{error} {now} images were finished now and are stored in {out}.") from error
                shard.append(
                    {
                        "id": position,
                        "label": source.label(position),
                        "image": _sha256(image),
                        "selection": sparse(votes[0]) if plan.kind == "certify" else {},
                        "estimation": sparse(votes[-1]),
                        "n0": plan.n0,
                        "n": plan.n,
                        "seed": manifest.settings["seed"],
                        "model": loaded.sha256[:16],
                        "config": manifest.fingerprint[:16],
                        "backend": backend,
                        "versions": sampling.versions(),
                        "seconds": round(time.perf_counter() - began, 6),
                    }
                )
                now += 1
                reporter.image()
        finally:
            reporter.end()
    return Outcome(before=len(positions) - len(todo), now=now, problems=problems)


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


def _manifest(plan: Plan, level: float, loaded: LoadedModel, source: Source, engine: Engine, total: int) -> store.Manifest:
    settings: dict[str, Any] = {
        "alpha": level,
        "batch": engine.batch_for(int(np.prod(source.shape)), total),
        "channels_last": engine.channels_last,
        "device": engine.device.type,
        "dtype": engine.dtype,
        "mean": list(engine.mean or [0.0] * source.shape[0]),
        "n": plan.n,
        "noise": plan.noise.to_dict(),
        "num_classes": plan.num_classes,
        "seed": plan.seed,
        "shape": list(source.shape),
        "std": list(engine.std or [1.0] * source.shape[0]),
    }
    if plan.kind == "certify":
        settings |= {"bound": plan.bound, "n0": plan.n0, "norm": "inf" if plan.norm == np.inf else float(plan.norm)}
    return store.Manifest(
        kind=plan.kind,
        settings=settings,
        model={"name": loaded.name, "sha256": loaded.sha256},
        data={"name": source.name, "fingerprint": source.fingerprint(), "images": len(source)},
        versions=sampling.versions(),
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

    def votes(stage: str) -> np.ndarray:
        return np.array([dense(record[stage], classes) for record in records], dtype=np.int64).reshape(len(records), classes)

    counts = VoteCounts(
        selection=votes("selection"),
        estimation=votes("estimation"),
        n0=settings.get("n0", 0),
        n=settings["n"],
        ids=np.array([record["id"] for record in records], dtype=np.int64),
        noise=noise.from_dict(settings["noise"]),
        seed=settings["seed"],
        dim=int(np.prod(settings["shape"])),
        backend=", ".join(sorted({record["backend"] for record in records})),
        dtype=settings["dtype"],
        batch=settings["batch"],
        device=settings["device"],
        versions=manifest.versions,
    )
    labels = np.array([-1 if record["label"] is None else record["label"] for record in records], dtype=np.int64)
    return StoredRun(manifest, counts, labels, np.array([record["seconds"] for record in records], dtype=np.float64))


def certificate(
    stored: StoredRun, *, alpha: float | None = None, norm: float | None = None, bound: str | None = None
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
    )


def result_table(
    path: Path,
    *,
    alpha: float | None = None,
    norm: float | None = None,
    bound: str | None = None,
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
    radius = None
    if stored.manifest.kind == "certify":
        cert = certificate(stored, alpha=alpha, norm=norm, bound=bound)
        label, radius = cert.label, cert.radius
        details["certificate"] = f"l{cert.norm:g}, alpha = {cert.alpha:g} per image, {cert.bound} bound"
    else:
        if norm is not None or bound is not None:
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
    per_image = manifest.settings["n"] + manifest.settings.get("n0", 0)
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
