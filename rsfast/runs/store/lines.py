"""Reading what shards hold: the one judge of lines, for whoever reads them."""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ... import files
from ...errors import StoreError
from ...request import ABSTAIN
from ...rounding import NORMS
from ..canonical import canonical, is_real, is_whole, parse
from ..settings import MOST_IMAGES, meaning
from .manifest import LARGEST, Manifest, read_manifest

COUNTED = ("selection", "estimation", "n", "path")
REMEDY = "remove that line (its image will be run again), or start a new run"
_NEEDLESS = "remove that line, it and another one hold different counts for image {}"
MOST_SHARDS = 999
_NAME = re.compile(r"counts-(\d{3})-of-(\d{3})\.jsonl", re.ASCII)
_CLASS = re.compile(r"0|[1-9][0-9]{0,6}", re.ASCII)
_MOST_DRAWS = 2**32 - 1

Check = Callable[[dict[str, Any]], None]
"""Raises ValueError, saying what is wrong with a line's fields."""


def shard_files(path: Path) -> list[tuple[int, int, Path]]:
    """Return (index, of, file) of the shards that a run directory holds, in order."""
    try:
        names = sorted(name for name in os.listdir(path) if name.startswith("counts-") and name.endswith(".jsonl"))  # noqa: PTH208
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from None
    found = []
    for name in names:
        match = _NAME.fullmatch(name)
        if match is None or not int(match[1]) < int(match[2]) <= MOST_SHARDS:
            raise StoreError(
                f"{path / name} is not named as a shard is (counts-000-of-001.jsonl): take it out, or give it its own name back."
            )
        found.append((int(match[1]), int(match[2]), path / name))
    return found


def lines(file: Path, remedy: str = REMEDY) -> Iterator[tuple[int, int, int, dict[str, Any]]]:
    """Return (number, first byte, offset after it, record) of each whole line; what follows the last newline was cut short."""
    at = number = 0
    try:
        with files.open_regular(file) as opened:
            size = os.fstat(opened.fileno()).st_size
            while line := opened.readline(LARGEST):
                if not line.endswith(b"\n") and len(line) < LARGEST:
                    return
                number += 1
                start, at = at, at + len(line)
                try:
                    record = _record(line)
                except ValueError as error:
                    if at >= size:  # a crash can leave the end of a file as zeros, newline and all
                        return
                    raise StoreError(f"{file} line {number} is damaged ({error}): {remedy}.") from None
                yield number, start, at, record
    except OSError as error:
        raise StoreError(f"{file} cannot be read: {error.strerror or error}.") from None


def _record(line: bytes) -> dict[str, Any]:
    """What a line holds, its checksum taken off; ValueError if it does not fit."""
    if len(line) >= LARGEST:
        raise ValueError(f"longer than {LARGEST} bytes")
    record = parse(line)
    crc = record.pop("crc", None) if isinstance(record, dict) else None
    if type(crc) is not int:
        raise ValueError("no checksum")
    written = line.rstrip(b"\n").replace(b'"crc":%d,' % crc, b"", 1)  # as `encoded` writes it, quicker than writing it again
    if crc != zlib.crc32(written):
        try:
            written = canonical(record).encode()
        except RecursionError:
            raise ValueError("nested too deeply") from None
        if crc != zlib.crc32(written):
            raise ValueError("its checksum does not fit")
    return record


def encoded(record: dict[str, Any]) -> bytes:
    """Return the line that holds a record, with its checksum."""
    crc = zlib.crc32(canonical(record).encode())
    return (canonical({**record, "crc": crc}) + "\n").encode()


def records(path: Path, manifest: Manifest | None = None) -> dict[int, dict[str, Any]]:
    """Return every finished image of a run, by id, from all shards; a line still being written is left out.

    Raises
    ------
    StoreError
        The first line that is damaged, says what no image of this run can, or contradicts another.
    """
    return {record["id"]: record for record, _ in walk(path, manifest)}


def walk(path: Path, manifest: Manifest | None = None) -> Iterator[tuple[dict[str, Any], dict[str, Any] | None]]:
    """Return every line that counts, one at a time, with the earlier line of the same image that it replaces, if there is one.

    Only where lines lie is remembered, so that runs of any size can be read.
    """
    shards = shard_files(path)
    if not shards:
        return
    check = Judge(read_manifest(path) if manifest is None else manifest)
    places: dict[int, tuple[Path, int]] = {}
    for _, _, file in shards:
        for number, start, _, record in lines(file):
            image: Any = record.get("id")
            known = type(image) is int and image in places
            judged(check, file, number, record, _NEEDLESS.format(image) if known else REMEDY)
            if not known:
                places[image] = file, start
                yield record, None
                continue
            earlier = _read_again(*places[image])
            if _continues(record, earlier):
                places[image] = file, start
                yield record, earlier
            elif not _continues(earlier, record) and any(earlier.get(name) != record.get(name) for name in COUNTED):
                raise StoreError(f"{file} and another shard hold different counts for image {image}: find out why.")


def judged(check: Check, file: Path, number: int, record: dict[str, Any], remedy: str = REMEDY) -> None:
    """Raise a StoreError that names the line, if its fields cannot be what was counted."""
    try:
        check(record)
    except ValueError as error:
        raise StoreError(f"{file} line {number} is damaged ({error}): {remedy}.") from None


def _read_again(file: Path, start: int) -> dict[str, Any]:
    try:
        with files.open_regular(file) as opened:
            opened.seek(start)
            return _record(opened.readline(LARGEST))
    except (OSError, ValueError):
        raise StoreError(f"{file} changed while it was read: wait for whoever writes it, and try again.") from None


def _continues(later: dict[str, Any], earlier: dict[str, Any]) -> bool:
    """Whether a line is of the same drawing as another one, with as many draws or more (of a plan that may be continued).

    Wherever both looked, they must have seen the same votes.
    """
    before, after = earlier.get("path"), later.get("path")
    if before is None or after is None or later["n"] < earlier["n"]:
        return False
    if later["n"] == earlier["n"] and later["estimation"] != earlier["estimation"]:
        return False
    if any(later.get(name) != earlier.get(name) for name in ("selection", "image", "tested", "config")):
        return False
    seen = {look[0]: look for look in after}
    common = [look for look in before if look[0] in seen]
    return bool(common) and all(seen[look[0]] == look for look in common)


class Judge:
    """A judge says whether a record can be a line of a run: called with one, it raises a ValueError that says what is wrong.

    Fields that are not known here are left alone.
    """

    def __init__(self, manifest: Manifest) -> None:
        settings, meant = manifest.settings, meaning(manifest.settings)
        self.images, self.classes, self.parts = manifest.data["images"], settings["num_classes"], meant.smoothing.parts
        self.n0, self.n, self.seed = settings.get("n0", 0), settings["n"], settings["seed"]
        self.config, self.model = manifest.fingerprint[:16], manifest.model["sha256"][:16]
        self.depends = meant.smoothing.noise.depends_on_input
        stopping = meant.stopping
        self.stops = stopping is not None
        self.planned = stopping is not None and stopping.sequential
        self.labels = stopping is not None and stopping.labels
        self.thresholds = 0 if stopping is None else stopping.thresholds

    def __call__(self, record: dict[str, Any]) -> None:
        if not is_whole(record.get("id"), 0, min(self.images, MOST_IMAGES) - 1):
            raise ValueError(f"id={_shown(record, 'id')} is not one of {self.images} images")
        for name, value in (("config", self.config), ("model", self.model), ("seed", self.seed), ("n0", self.n0)):
            if record.get(name) != value or type(record[name]) is not type(value):
                raise ValueError(f"{name}={_shown(record, name)} is of another run, this one has {value}")
        if record.get("label", "") is not None and not is_whole(record.get("label"), 0, self.classes - 1):
            raise ValueError(f"label={_shown(record, 'label')} is not one of {self.classes} classes")
        least, most = (0, self.n or _MOST_DRAWS) if self.stops else (self.n, self.n)
        if not is_whole(record.get("n"), least, most):
            raise ValueError(f"n={_shown(record, 'n')} draws were not asked for")
        selected = self._votes(record, "selection", self.n0)
        self._votes(record, "estimation", record["n"])
        for name in ("image", "backend"):
            if not isinstance(record.get(name), str):
                raise ValueError(f"{name}={_shown(record, name)} is not text")
        if not is_real(record.get("seconds"), 0.0, 1e15):
            raise ValueError(f"seconds={_shown(record, 'seconds')} is not a time")
        if self.depends and not (is_real(record.get("sigma"), 0.0, 1e300) and record["sigma"] > 0):
            raise ValueError(f"sigma={_shown(record, 'sigma')} is not a noise level")
        distances = record.get("rounding", [0] * NORMS)
        if not isinstance(distances, list) or len(distances) != NORMS or not all(is_real(d, 0.0, 1e300) for d in distances):
            raise ValueError(f"rounding={_shown(record, 'rounding')} is not {NORMS} distances")
        if self.planned:
            self._check_plan(record, selected)

    def _votes(self, record: dict[str, Any], stage: str, most: int) -> list[dict[str, int]]:
        votes = record.get(stage)
        parts = [votes] if self.parts == 1 else votes
        if not isinstance(parts, list) or len(parts) != self.parts:
            raise ValueError(f"{stage}={_shown(record, stage)} is not the votes of {self.parts} part(s)")
        for part in parts:
            if not isinstance(part, dict):
                raise ValueError(f"{stage}={_shown(record, stage)} is not votes by class")
            for name, count in part.items():
                if _CLASS.fullmatch(name) is None or int(name) >= self.classes:
                    raise ValueError(f"{stage} votes for {name[:40]!r}, not one of {self.classes} classes")
                if not is_whole(count, 0, most):
                    raise ValueError(f"{stage} has {str(count)[:40]} votes for class {name}, of {most} draws")
            if sum(part.values()) > most:
                raise ValueError(f"{stage} has {sum(part.values())} votes of {most} draws")
        return parts

    def _check_plan(self, record: dict[str, Any], selected: list[dict[str, int]]) -> None:
        tested, reached = record.get("tested"), record.get("reached")
        if not is_whole(tested, ABSTAIN, self.classes - 1):
            raise ValueError(f"tested={_shown(record, 'tested')} is not one of {self.classes} classes")
        if not is_whole(reached, -1, self.thresholds - 1) or (tested == ABSTAIN and reached != -1):
            raise ValueError(f"reached={_shown(record, 'reached')} is not one of {self.thresholds} thresholds")
        if not is_real(record.get("spent"), 0.0, 1.0):
            raise ValueError(f"spent={_shown(record, 'spent')} is not a probability")
        if self.labels:
            right = tested == record["label"]
        else:
            together = {k: sum(part.get(k, 0) for part in selected) for part in selected for k in part}
            most = max(together.values(), default=0)
            right = tested == (min(int(k) for k, count in together.items() if count == most) if most else ABSTAIN)
        if not right:
            raise ValueError(f"tested={tested} is not the class that was to be tested")
        self._check_path(record.get("path"), record["n"])

    def _check_path(self, path: object, n: int) -> None:
        before = [0] * (1 + self.parts)
        for look in path if isinstance(path, list) else [None]:
            if not isinstance(look, list) or len(look) != len(before) or not all(is_whole(count, 0, n) for count in look):
                raise ValueError("path is not draws and votes, look by look")
            if look[0] <= before[0] or max(look) > look[0] or any(v < w for v, w in zip(look, before, strict=True)):
                raise ValueError("path does not rise, look by look")
            before = look


def _shown(record: dict[str, Any], name: str) -> str:
    if name not in record:
        return "nothing"
    text = canonical(record[name]) if not isinstance(record[name], float) else repr(record[name])
    return text if len(text) <= 60 else text[:57] + "…"
