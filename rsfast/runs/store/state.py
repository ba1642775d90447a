"""How far a run is: what was asked for, what is there, what could not be read, what is missing and by whom."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from pathlib import Path

import numpy as np

from ...errors import RsfastError, StoreError
from ..settings import meaning
from .asked import Asked, Part, all_asked, ids
from .lines import shard_files, walk
from .manifest import Manifest, read_manifest

SHARDS_NAMED = 6


@dataclasses.dataclass(frozen=True)
class Left:
    """This is what a shard has still to do: images, and whether any call of it has begun."""

    index: int
    of: int
    images: int
    begun: bool

    def __str__(self) -> str:
        return f"{self.images} of shard {self.index}/{self.of}{'' if self.begun else ', which was not started'}"


@dataclasses.dataclass(frozen=True)
class Wanted:
    """This is what a run was asked for, against what is there.

    Attributes
    ----------
    finished : int64, rising
        Ids of the images that are stored.
    asked : int64, rising, or None
        Ids that calls were asked for; None where no call has said so (runs of rsfast before it was recorded).
    unreadable : dict
        What was wrong with images that were asked for and could not be used, by id.
    missing : int
        Images asked for that are neither finished nor unreadable.
    left : list of Left
        The shards that they belong to, as the last calls split the work.
    pausing : list of (int, int, int)
        (index, of, n) of shards whose last call was to go on to n draws of each image and has not said that it did.
    """

    finished: np.ndarray
    asked: np.ndarray | None
    unreadable: dict[int, str]
    missing: int
    left: list[Left]
    pausing: list[tuple[int, int, int]]

    @property
    def done(self) -> int:
        """Return the images that were asked for and are finished."""
        return 0 if self.asked is None else len(self.asked) - self.missing - len(self.unreadable)

    @property
    def what_is_missing(self) -> str:
        """Say what is not there yet, such as "3 images: 2 of shard 0/4; …", draws that may be missing, or "" where nothing is."""
        text = f"{self.missing} image{'s' if self.missing > 1 else ''}" if self.missing else ""
        named = [one for one in self.left if one.of > 1]
        if named:
            text += ": " + "; ".join(str(one) for one in named[:SHARDS_NAMED])
            others = named[SHARDS_NAMED:]
            text += f"; {sum(one.images for one in others)} of {len(others)} other shards" if others else ""
        for index, of, n in self.pausing[:SHARDS_NAMED]:
            text += f"{'; ' if text else ''}draws up to n = {n:,} of shard {index}/{of}, whose last call has not ended"
        return text


@dataclasses.dataclass(frozen=True)
class Standing(Wanted):
    """This is a run as its files have it.

    Attributes
    ----------
    manifest : Manifest
    shards : int
        Files of counts.
    samples, seconds : int, float
        Draws counted, of all parts, and the time that they took.
    last_written : float or None
        When a line was last added, seconds since 1970.
    """

    manifest: Manifest
    shards: int
    samples: int
    seconds: float
    last_written: float | None


def standing(path: Path) -> Standing:
    """Read a run's files, line by line; every line is judged as `records` judges it.

    Raises
    ------
    StoreError
        Whatever cannot be read, is damaged, or contradicts itself.
    """
    manifest = read_manifest(path)
    parts = meaning(manifest.settings).smoothing.parts
    found: set[int] = set()
    samples, seconds = 0, 0.0
    for record, earlier in walk(path, manifest):
        found.add(record["id"])
        samples += record["n"] + record["n0"] if earlier is None else record["n"] - earlier["n"]
        seconds += record["seconds"]
    shards = shard_files(path)
    return Standing(
        **vars(wanted(path, manifest, found)),
        manifest=manifest,
        shards=len(shards),
        samples=samples * parts,
        seconds=seconds,
        last_written=max((_written(file) for _, _, file in shards), default=None),
    )


def wanted(path: Path, manifest: Manifest, found: Collection[int]) -> Wanted:
    """Return what the run was asked for, `found` being the stored ids; it is a StoreError if what says so is damaged."""
    calls = all_asked(path)
    groups = _groups(path, manifest, calls)
    asked = np.unique(np.concatenate([positions for positions, _ in groups])) if groups else None
    unreadable = {
        image: problem for _, _, one in calls for image, problem in one.unreadable.items()
        if image not in found and asked is not None and _holds(asked, image)
    }  # fmt: skip
    gone = np.array(sorted({*found, *unreadable}), dtype=np.int64)
    missing = np.empty(0, dtype=np.int64) if asked is None else np.setdiff1d(asked, gone, assume_unique=True)
    return Wanted(
        finished=np.array(sorted(found), dtype=np.int64),
        asked=asked,
        unreadable=dict(sorted(unreadable.items())),
        missing=len(missing),
        left=_left(missing, groups, {(index, of) for index, of, one in calls if one.calls}),
        pausing=[(index, of, one.n) for index, of, one in calls if one.n is not None and not one.ended],
    )


def _written(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError as error:
        raise StoreError(f"{file} cannot be read: {error.strerror or error}.") from None


def _holds(positions: np.ndarray, image: int) -> bool:
    at = int(np.searchsorted(positions, image))
    return at < len(positions) and int(positions[at]) == image


def _groups(path: Path, manifest: Manifest, calls: list[tuple[int, int, Asked]]) -> list[tuple[np.ndarray, int]]:
    """(positions of all shards, number of shards) of each way in which images were asked for, the latest first."""
    latest: dict[tuple[object, ...], tuple[float, Part]] = {}
    for _, of, asked in calls:
        for at, part in asked.calls:
            sample = None if part.sample is None else (part.sample["images"], part.sample["seed"])
            key = (part.start, part.count, part.every, sample, of)
            latest[key] = max(at, latest[key][0] if key in latest else at), part
    found = []
    for _, part in sorted(latest.values(), key=lambda one: one[0], reverse=True):
        try:
            found.append((ids(part.all_positions(manifest.data["images"])), part.shards))
        except RsfastError as error:
            raise StoreError(f"{path} was asked for what its data has not: {error}") from None
    return found


def _left(missing: np.ndarray, groups: list[tuple[np.ndarray, int]], begun: set[tuple[int, int]]) -> list[Left]:
    left = []
    for positions, of in groups:
        own = np.isin(positions, missing)
        for index in range(of):
            images = int(own[index::of].sum())
            if images:
                left.append(Left(index, of, images, (index, of) in begun))
        missing = np.setdiff1d(missing, positions, assume_unique=True)
        if not len(missing):
            break
    return left
