"""Reading a run back: its votes, certificates derived from them, its table."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from ..certifying.from_counts import certified, predict_counts
from ..errors import InvalidArgumentError, StoreError
from ..report.table import ResultTable
from ..request import ABSTAIN, Claim, continuable
from ..result import Certificate, VoteCounts, dense, inference_version
from ..rounding import NORMS
from . import store
from .settings import claim_of, meaning


@dataclasses.dataclass(frozen=True)
class StoredRun:
    """A run read back: its manifest, votes, labels (-1 where unknown) and seconds per image."""

    manifest: store.Manifest
    counts: VoteCounts
    labels: np.ndarray
    seconds: np.ndarray


def read_run(path: Path) -> StoredRun:
    """Everything that a run directory holds, in the order of ids; StoreError if any of it is damaged."""
    manifest = store.read_manifest(path)
    try:
        return _assembled(path, manifest)
    except InvalidArgumentError as error:
        raise StoreError(f"{path} holds what no run can ({error}): find out why, or start a new run.") from None


def _assembled(path: Path, manifest: store.Manifest) -> StoredRun:
    settings, meant = manifest.settings, meaning(manifest.settings)
    smoothing, stopping = meant.smoothing, meant.stopping
    records = [record for _, record in sorted(store.records(path, manifest).items())]
    classes = settings["num_classes"]
    shape = (len(records), classes) if smoothing.parts == 1 else (len(records), smoothing.parts, classes)

    def votes(stage: str) -> np.ndarray:
        rows = [
            [dense(part, classes) for part in (record[stage] if isinstance(record[stage], list) else [record[stage]])]
            for record in records
        ]
        return np.array(rows, dtype=np.int64).reshape(shape)

    def column(name: str, default: float, dtype: type) -> np.ndarray:
        return np.array([record[name] if planned else default for record in records], dtype=dtype)

    planned = stopping is not None and stopping.sequential
    depends = smoothing.noise.depends_on_input
    counts = VoteCounts(
        selection=votes("selection"),
        estimation=votes("estimation"),
        n0=settings.get("n0", 0),
        n=settings["n"] or max([1, *(record["n"] for record in records)]),
        ids=np.array([record["id"] for record in records], dtype=np.int64),
        noise=smoothing.noise,
        seed=settings["seed"],
        dim=smoothing.dim,
        sigma=np.array([record["sigma"] for record in records] if depends else [], dtype=np.float64),
        transform=smoothing.transform,
        part_dims=smoothing.dims,
        backend=", ".join(sorted({record["backend"] for record in records})),
        dtype=settings["dtype"],
        batch=settings["batch"],
        device=settings["device"],
        versions=manifest.versions | inference_version(settings.get("inference", {})),
        stopping=stopping,
        drawn=np.array([record["n"] for record in records], dtype=np.int64),
        tested=column("tested", ABSTAIN, np.int64),
        reached=column("reached", -1, np.int64),
        spent=column("spent", 0.0, np.float64),
        images=tuple(record["image"] for record in records),
        rounding=np.array([record.get("rounding", [0.0] * NORMS) for record in records], dtype=np.float64).reshape(-1, NORMS),
        paths=tuple(record["path"] for record in records) if continuable(stopping) else (),
    )
    labels = np.array([-1 if record["label"] is None else record["label"] for record in records], dtype=np.int64)
    return StoredRun(manifest, counts, labels, np.array([record["seconds"] for record in records], dtype=np.float64))


@dataclasses.dataclass(frozen=True)
class Instead:
    """What is claimed instead of what a run was planned for; None leaves the run's own."""

    alpha: float | None = None
    norm: float | None = None
    bound: str | None = None
    joint: str | None = None
    multiclass: bool | None = None

    def of(self, claim: Claim) -> Claim:
        """That claim, with what is given here in its place."""
        given = {name: value for name, value in vars(self).items() if value is not None}
        return dataclasses.replace(claim, **given)


def certificate(stored: StoredRun, instead: Instead | None = None) -> Certificate:
    """Certificates of a stored run, at the level it was planned for unless another is given."""
    if stored.manifest.kind != "certify":
        raise InvalidArgumentError("the run holds predictions, which certify no radius: run `rsfast certify`.")
    return certified(stored.counts, (instead or Instead()).of(claim_of(stored.manifest.settings)))


def result_table(path: Path, instead: Instead | None = None, *, name: str | None = None) -> ResultTable:
    """A run as idx label predict radius correct time."""
    stored, instead = read_run(path), instead or Instead()
    counts, details = stored.counts, _how_it_was_drawn(stored)
    radius = norm = None
    if stored.manifest.kind == "certify":
        cert = certificate(stored, instead)
        label, radius, norm = cert.label, cert.radius, cert.norm
        details |= _how_it_was_certified(cert)
    else:
        if instead != Instead(instead.alpha):
            raise InvalidArgumentError(f"{path.name} holds predictions, which have neither norm nor bound: leave them out.")
        prediction = predict_counts(counts, alpha=instead.of(claim_of(stored.manifest.settings)).alpha)
        label = prediction.label
        details["test"] = f"two-sided, alpha = {prediction.alpha:g} per image"
    settings = stored.manifest.settings
    details["normalisation"] = _normalisation(settings)
    details["arithmetic"] = f"{settings['dtype']} on {settings['device']}, batches of {settings['batch']}"
    details["versions"] = ", ".join(f"{key} {value}" for key, value in stored.manifest.versions.items())
    asked, missing, unreadable, caveat = _what_is_missing(path, stored)
    return ResultTable(
        name=name or path.name,
        idx=counts.ids,
        label=stored.labels,
        predict=label,
        radius=radius,
        correct=(label == stored.labels) & (label != ABSTAIN),
        seconds=stored.seconds,
        details=details | caveat,
        asked=asked,
        unreadable=unreadable,
        missing=missing,
        norm=norm,
    )


def _normalisation(settings: dict[str, Any]) -> str:
    """What is done to a noisy image before the model sees it."""
    mean, std = settings.get("mean", []), settings.get("std", [])
    if not any(mean) and all(value == 1 for value in std):
        return "none: the model is given pixels in [0, 1] with noise, and normalises by itself if it has to"
    shown = [", ".join(f"{value:.6g}" for value in values) for values in (mean, std)]
    return f"(noisy image - mean) / std, mean = {shown[0]} and std = {shown[1]}, is what the model is given"


def _how_it_was_drawn(stored: StoredRun) -> dict[str, str]:
    counts, manifest = stored.counts, stored.manifest
    details = {
        "model": f"{manifest.model['name']}, sha256 {manifest.model['sha256']}",
        "data": f"{manifest.data['name']}, {manifest.data['images']} images",
        "noise": str(counts.noise),
        "samples": f"n0 = {counts.n0}, n = {counts.n}, seed = {counts.seed}",
    }
    if counts.stopping is not None:
        drawn = counts.drawn
        details["samples"] += f", {counts.stopping}: {drawn.mean() if len(drawn) else 0:,.0f} draws an image in the mean"
    if counts.parts > 1:
        details["samples"] += f", of each of {counts.parts} parts"
        details["transform"] = str(counts.transform)
    if counts.noise.depends_on_input and len(counts):
        low, middle, high = np.quantile(counts.sigma, [0.0, 0.5, 1.0])
        details["levels"] = f"sigma(x) from {low:.4g} to {high:.4g}, median {middle:.4g}"
    return details


def _how_it_was_certified(cert: Certificate) -> dict[str, str]:
    details = {"certificate": f"l{cert.norm:g}, alpha = {cert.alpha:g} per image, {cert.bound} bound"}
    details["certificate"] += ", the other classes bounded too" if cert.multiclass else ""
    if cert.counts.parts > 1:
        details["certificate"] += f", {cert.joint} over {cert.counts.parts} parts"
    if cert.rounding.any():
        details["rounding"] = f"to float32 takes at most {1.01 * float(cert.rounding.max()):.1e} off a radius"
    return details | {f"caveat {number}": caveat for number, caveat in enumerate(cert.caveats, start=1)}


def _what_is_missing(path: Path, stored: StoredRun) -> tuple[int | None, str, int, dict[str, str]]:
    """How many images were asked for, which of them are missing, how many cannot be read, and a caveat."""
    there, images = len(stored.counts), stored.manifest.data["images"]
    wanted = store.wanted(path, stored.manifest, set(stored.counts.ids.tolist()))
    asked = stored.manifest.settings.get("sample", {}).get("images")
    missing, caveat = wanted.what_is_missing, {}
    if wanted.asked is not None:  # with images that are there and were not asked for, so that the table shows what is to come
        asked = there + wanted.missing + len(wanted.unreadable)
    elif asked is not None and there < asked:
        missing = f"{asked - there} images"
    elif asked is None and there < images:
        caveat["caveat, images"] = (
            f"{there} of the {images} images of the data are there; the run does not say how many it was asked for."
        )
    return asked, missing, len(wanted.unreadable), caveat
