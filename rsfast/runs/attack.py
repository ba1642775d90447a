"""Attacking the certificates of a finished run: the smallest flip that is found beside each radius, line by line, resumably."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import files
from ..attacks import Smoothed, smallest_flips
from ..attacks.gradients import check_norm
from ..counting.classifier import Classifier
from ..counting.images import check_images, check_seed, image_sha256
from ..errors import InvalidArgumentError, StoreError
from ..models.loading import LoadedModel
from ..result import Certificate
from ..sources.base import Source
from .read import Instead, StoredRun, certificate, read_run
from .store.lines import encoded, lines
from .store.manifest import Manifest
from .store.shard import lock

NAME = "attacks.jsonl"
TOGETHER = 8
"""Images that are attacked at a time; these groups are the same when a call is repeated, so that stopping it changes nothing."""
BEGIN = 1.2
"""Times the radius is where attacks begin to look."""
REMEDY = "remove the file: the attacks are made again"


@dataclasses.dataclass(frozen=True)
class Asked:
    """What is asked of an attack on a run.

    attacks : names of `rsfast.attacks.ATTACKS`.  steps, copies : of each.  n, alpha : of the check.  norm : of distances, None
    for the certificate's.  images : whether flips must be images in [0, 1].  seed : None for a fresh one, or that of the file.
    count : at most so many images.
    """

    attacks: tuple[str, ...]
    steps: int
    copies: int
    n: int
    alpha: float
    norm: float | None = None
    images: bool = False
    seed: int | None = None
    count: int | None = None


@dataclasses.dataclass(frozen=True)
class Attacked:
    """What is known of a run's attacks: radius and distance of each image that was attacked, float64 [B], and its id."""

    ids: np.ndarray
    radius: np.ndarray
    distance: np.ndarray
    left: int

    @property
    def inside(self) -> np.ndarray:
        """The ids of images with a flip inside their certificate."""
        return np.asarray(self.ids[self.distance < self.radius])

    @property
    def ratio(self) -> float:
        """The median of the smallest flip's distance over the radius; inf where most images have none."""
        return float(np.median(self.distance / self.radius)) if len(self.ids) else float("nan")


def attack(
    path: Path, loaded: LoadedModel, source: Source, asked: Asked, file: Path | None = None,
    done: Callable[[int, int], None] = lambda finished, of: None,
) -> Attacked:  # fmt: skip
    """Attack every certificate of a run with a positive radius, until all are in `file` (default: attacks.jsonl of the run).

    Raises
    ------
    InvalidArgumentError
        A run that cannot be attacked so.
    StoreError
        Another model or other data than the run's, or a file of attacks that were asked for otherwise.
    """
    stored = read_run(path)
    cert = certificate(stored, Instead(norm=asked.norm))
    check_norm(cert.norm)
    _check(path, stored.manifest, loaded, source)
    if stored.counts.noise.depends_on_input:
        raise InvalidArgumentError(
            f"{path} has noise whose level depends on the image, and does not hold the function: use rsfast.attacks from Python."
        )
    rows = np.flatnonzero(~cert.abstained & (cert.radius > 0.0))[: asked.count]
    target = _Target(stored, loaded, asked, cert)
    with _File(file or path / NAME, stored.manifest, asked, cert.norm) as out:
        for group in range(0, len(rows), TOGETHER):
            some = rows[group : group + TOGETHER]
            if not set(target.ids(some)) <= set(out.found):
                seeds = np.random.SeedSequence([out.seed, group]).generate_state(2, np.uint64)
                out.append(target.records(some, source, int(seeds[0]), int(seeds[1])))
            done(min(group + TOGETHER, len(rows)), len(rows))
        return _attacked(out.found, target.ids(rows))


class _Target:
    """The certificates of a run, and what they are certificates of."""

    def __init__(self, stored: StoredRun, loaded: LoadedModel, asked: Asked, cert: Certificate) -> None:
        self.counts, self.settings, self.asked, self.cert = stored.counts, stored.manifest.settings, asked, cert
        self.model = loaded.model
        self.mean, self.std = _normalisation(self.settings)
        self.classifier = Classifier(
            self.model, num_classes=self.settings["num_classes"], value_range=None, batch=self.settings["batch"],
            mean=self.mean, std=self.std, dtype=self.settings["dtype"], channels_last=self.settings.get("channels_last"),
        )  # fmt: skip

    def ids(self, rows: np.ndarray) -> list[int]:
        return [int(self.counts.ids[row]) for row in rows]

    def records(self, rows: np.ndarray, source: Source, seed: int, check_seed: int) -> Iterator[dict[str, Any]]:
        """What is found around the images of some rows."""
        asked, cert, ids = self.asked, self.cert, self.ids(rows)
        x = _images(source, ids, [self.counts.images[row] for row in rows])
        smoothed = Smoothed(
            self.model, self.counts.noise, transform=self.counts.transform, mean=self.mean, std=self.std, copies=asked.copies,
            seed=seed,
        )  # fmt: skip
        flips = smallest_flips(
            smoothed, x, cert.label[rows], num_classes=self.settings["num_classes"], norm=cert.norm, attacks=asked.attacks,
            steps=asked.steps, guess=BEGIN * cert.radius[rows], n=asked.n, alpha=asked.alpha, seed=check_seed,
            value_range=(0.0, 1.0) if asked.images else None, ids=ids, classifier=self.classifier,
        )  # fmt: skip
        for i, row in enumerate(rows):
            distance = float(flips.distance[i]) if np.isfinite(flips.distance[i]) else None
            yield {
                "id": ids[i], "label": int(cert.label[row]), "radius": float(cert.radius[row]), "answer": int(flips.label[i]),
                "distance": distance, "attack": flips.attack[i],
            }  # fmt: skip


def _attacked(found: dict[int, dict[str, Any]], asked: list[int]) -> Attacked:
    there = [found[one] for one in asked if one in found]
    distance = [np.inf if one["distance"] is None else one["distance"] for one in there]
    return Attacked(
        np.array([one["id"] for one in there], dtype=np.int64), np.array([one["radius"] for one in there]), np.array(distance),
        len(asked) - len(there),
    )  # fmt: skip


def _check(path: Path, manifest: Manifest, loaded: LoadedModel, source: Source) -> None:
    """The model and the data must be those of the run."""
    for what, old, new in (
        ("model", manifest.model["sha256"], loaded.sha256),
        ("data", manifest.data["fingerprint"], source.fingerprint()),
    ):
        if old != new:
            raise StoreError(f"run '{path.name}' is of {what} {old[:8]}…, this is {new[:8]}…: give the run's own {what}.")
    if manifest.settings.get("inference"):
        raise InvalidArgumentError(
            f"{path} was run with {manifest.settings['inference']}, whose gradient is another network's: certify with "
            "--runtime torch and without --fold, and attack that."
        )


def _normalisation(settings: dict[str, Any]) -> tuple[list[float] | None, list[float] | None]:
    """mean and std of a run, None where it has none."""
    mean, std = settings.get("mean"), settings.get("std")
    if mean is None or std is None or (not any(mean) and set(std) == {1.0}):
        return None, None
    return mean, std


def _images(source: Source, ids: Sequence[int], wanted: Sequence[str]) -> torch.Tensor:
    images = []
    for one, digits in zip(ids, wanted, strict=True):
        image = check_images(source.image(one)[None], (0.0, 1.0), "attack")[0]
        if image_sha256(image) != digits:
            raise StoreError(f"image {one} of {source.name} is not the one that was certified: put that one back.")
        images.append(image)
    return torch.stack(images)


class _File:
    """The lines of a run's attacks: a header that says what was asked for, and one line for each image."""

    def __init__(self, file: Path, manifest: Manifest, asked: Asked, norm: float) -> None:
        self.file, self.handle = file, -1
        self.found: dict[int, dict[str, Any]] = {}
        given = {name: value for name, value in dataclasses.asdict(asked).items() if name not in ("seed", "count")}
        wanted = given | {"run": manifest.fingerprint, "norm": str(norm), "attacks": list(asked.attacks)}
        try:
            self.handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o644)
            if not lock(self.handle, wait=False):
                raise StoreError(f"{file} is being written by another process: wait for it.")
            self.seed = self._read(wanted, asked.seed)
        except OSError as error:
            self.close()
            raise StoreError(f"{file} cannot be written: {error.strerror or error}.") from None
        except BaseException:
            self.close()
            raise

    def _read(self, wanted: dict[str, Any], seed: int | None) -> int:
        end, header = 0, None
        for _, _, offset, record in lines(self.file, REMEDY):
            if header is None:
                header = record
            else:
                self.found[record["id"]] = record
            end = offset
        os.ftruncate(self.handle, end)  # a line that was cut short
        if header is None:
            seed = check_seed(seed)
            os.write(self.handle, encoded(wanted | {"seed": seed}))
            return seed
        here = wanted | {"seed": header.get("seed") if seed is None else seed}
        for name, value in here.items():
            if header.get(name) != value:
                raise StoreError(
                    f"{files.shown(self.file)} is of attacks with {name}={header.get(name)}, this call has {name}={value}: give "
                    "the same, or another --out."
                )
        return int(here["seed"])

    def append(self, records: Iterator[dict[str, Any]]) -> None:
        new = [record for record in records if record["id"] not in self.found]
        data = b"".join(encoded(record) for record in new)
        if os.write(self.handle, data) != len(data):
            raise StoreError(f"{self.file} cannot be written: the disk is full. What was written whole is kept.")
        os.fsync(self.handle)
        self.found |= {record["id"]: record for record in new}

    def __enter__(self) -> _File:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self.handle >= 0:
            os.close(self.handle)
            self.handle = -1
