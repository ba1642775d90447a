"""Reading a run back: its votes, certificates derived from them, its table."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from ..api import certify_counts, predict_counts
from ..counting import continuing
from ..counting import count as sampling
from ..errors import InvalidArgumentError, StoreError
from ..noise import InputDependentGaussian
from ..report.table import ResultTable
from ..result import ABSTAIN, Certificate, VoteCounts, dense
from ..rounding import NORMS
from . import store
from .store.manifest import meaning


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
    settings, meant = manifest.settings, meaning(manifest)
    records = [record for _, record in sorted(store.records(path, manifest).items())]
    classes, transform = settings["num_classes"], meant.transform
    shape = (len(records), classes) if transform.parts == 1 else (len(records), transform.parts, classes)

    def votes(stage: str) -> np.ndarray:
        rows = [
            [dense(part, classes) for part in (record[stage] if isinstance(record[stage], list) else [record[stage]])]
            for record in records
        ]
        return np.array(rows, dtype=np.int64).reshape(shape)

    def column(name: str, default: float, dtype: type) -> np.ndarray:
        return np.array([record[name] if planned else default for record in records], dtype=dtype)

    planned = meant.stopping is not None and meant.stopping.plan is not None
    depends = isinstance(meant.noise, InputDependentGaussian)
    counts = VoteCounts(
        selection=votes("selection"),
        estimation=votes("estimation"),
        n0=settings.get("n0", 0),
        n=settings["n"] or max([1, *(record["n"] for record in records)]),
        ids=np.array([record["id"] for record in records], dtype=np.int64),
        noise=meant.noise,
        seed=settings["seed"],
        dim=int(np.prod(settings["shape"])),
        sigma=np.array([record["sigma"] for record in records] if depends else [], dtype=np.float64),
        transform=transform,
        part_dims=meant.part_dims,
        backend=", ".join(sorted({record["backend"] for record in records})),
        dtype=settings["dtype"],
        batch=settings["batch"],
        device=settings["device"],
        versions=manifest.versions | sampling.inference_version(settings.get("inference", {})),
        stopping=meant.stopping,
        drawn=np.array([record["n"] for record in records], dtype=np.int64),
        tested=column("tested", ABSTAIN, np.int64),
        reached=column("reached", -1, np.int64),
        spent=column("spent", 0.0, np.float64),
        images=tuple(record["image"] for record in records),
        rounding=np.array([record.get("rounding", [0.0] * NORMS) for record in records], dtype=np.float64).reshape(-1, NORMS),
        paths=tuple(record["path"] for record in records) if continuing.continuable(meant.stopping) else (),
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
    if stored.counts.stopping is not None:
        drawn = stored.counts.drawn
        details["samples"] += f", {stored.counts.stopping}: {drawn.mean() if len(drawn) else 0:,.0f} draws an image in the mean"
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
        if cert.rounding.any():
            details["rounding"] = f"to float32 takes at most {1.01 * float(cert.rounding.max()):.1e} off a radius"
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
    wanted = store.wanted(path, stored.manifest, set(stored.counts.ids.tolist()))
    asked = settings.get("sample", {}).get("images")
    if wanted.asked is not None:  # with images that are there and were not asked for, so that the table shows what is to come
        asked = len(stored.counts) + wanted.missing + len(wanted.unreadable)
    missing, images = wanted.what_is_missing, stored.manifest.data["images"]
    if wanted.asked is None and asked is not None and len(stored.counts) < asked:
        missing = f"{asked - len(stored.counts)} images"
    elif wanted.asked is None and asked is None and len(stored.counts) < images:
        details["caveat, images"] = (
            f"{len(stored.counts)} of the {images} images of the data are there; the run does not say how many it was asked for."
        )
    return ResultTable(
        name=name or path.name,
        idx=stored.counts.ids,
        label=stored.labels,
        predict=label,
        radius=radius,
        correct=(label == stored.labels) & (label != ABSTAIN),
        seconds=stored.seconds,
        details=details,
        asked=asked,
        unreadable=len(wanted.unreadable),
        missing=missing,
        norm=None if radius is None else cert.norm,
    )
