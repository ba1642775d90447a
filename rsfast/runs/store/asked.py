"""Which images a run's calls were asked for, and which of them could not be read.

Each shard has a file of its own beside its counts, which its one writer appends to: a line for every call that asks for
something new, and one for each image that could not be used.  They hold no counts; deleted, they are only forgotten.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InvalidArgumentError, StoreError
from ..canonical import is_real, is_whole
from ..settings import MOST_IMAGES
from .lines import MOST_SHARDS, encoded, judged, lines

REMEDY = "remove that line, or the file, which holds no counts"


def chosen(total: int, images: int, seed: int) -> list[int]:
    """Draw `images` of the positions 0 … total - 1 at random without replacement; more images begin with the same ones."""
    if images > total:
        raise InvalidArgumentError(f"{images} images were asked for and the data has {total}: give at most that many.")
    keys = [hashlib.blake2b(f"{seed}:{i}".encode(), digest_size=16).digest() for i in range(total)]
    return sorted(range(total), key=keys.__getitem__)[:images]


@dataclasses.dataclass(frozen=True)
class Part:
    """A part says which images: positions start, start + every, … at most count of them, of which this shard takes its share.

    `sample` draws so many `images` at random instead, by its `seed`; of a `growing` one a later call may draw more.
    """

    start: int = 0
    count: int | None = None
    every: int = 1
    shard: int = 0
    shards: int = 1
    sample: dict[str, int] | None = None
    growing: bool = False

    def all_positions(self, total: int) -> range | list[int]:
        """Return the positions of all shards."""
        if self.sample is not None:
            return chosen(total, self.sample["images"], self.sample["seed"])
        found = range(self.start, total, self.every)
        return found if self.count is None else found[: self.count]

    def positions(self, total: int) -> list[int]:
        """Return the positions of this shard."""
        return list(self.all_positions(total)[self.shard :: self.shards])


@dataclasses.dataclass
class Asked:
    """This is what the calls on one shard were asked for.

    Attributes
    ----------
    calls : list of (float, Part)
        When, in seconds since 1970, and what, in the order of the calls.
    unreadable : dict
        What was wrong with images, by id.
    n : int or None
        Of a plan that may be continued: up to how many draws the last call was to go.
    ended : bool
        Whether that call said that it did.
    """

    calls: list[tuple[float, Part]] = dataclasses.field(default_factory=list)
    unreadable: dict[int, str] = dataclasses.field(default_factory=dict)
    n: int | None = None
    ended: bool = False


def asked_file(path: Path, index: int, of: int) -> Path:
    return path / f"asked-{index:03d}-of-{of:03d}.jsonl"


def read_asked(file: Path, index: int, of: int) -> Asked:
    """Read what is written beside a shard: nothing if the file is not there, a StoreError if it is damaged."""
    found = Asked()
    if not os.path.lexists(file):
        return found
    for number, _, _, record in lines(file, REMEDY):
        judged(_check, file, number, record, REMEDY)
        if "id" in record:
            found.unreadable[record["id"]] = record["problem"]
        elif "ended" in record:
            found.ended = True
        else:
            part = {name: value for name, value in record["asked"].items() if name != "n"}
            found.calls.append((record["at"], Part(**part, shard=index, shards=of)))
            found.n, found.ended = record["asked"].get("n"), False
    return found


def _check(record: dict[str, Any]) -> None:
    if "id" in record:
        if not is_whole(record["id"], 0, MOST_IMAGES - 1) or not isinstance(record.get("problem"), str):
            raise ValueError("it names no image that could not be read")
        return
    if not is_real(record.get("at"), 0.0, 1e15):
        raise ValueError("it does not say when")
    if "ended" in record:
        return
    asked, known = record.get("asked"), {"start", "count", "every", "sample", "n"}
    if not isinstance(asked, dict) or not set(asked) <= known or not is_whole(asked.get("n", 1), 1, 2**32):
        raise ValueError("it does not say what was asked for")
    sample = asked.get("sample")
    for name, least in (("start", 0), ("count", 1), ("every", 1)):
        value = asked.get(name)
        if not ((type(value) is int and value >= least) or (name == "count" and value is None)):
            raise ValueError(f"{name} is not a whole number of at least {least}")
    if sample is not None and not (
        isinstance(sample, dict) and set(sample) == {"images", "seed"} and all(type(value) is int for value in sample.values())
    ):
        raise ValueError("its sample has no images and seed")


def asked_line(part: Part, n: int | None) -> bytes:
    """Return the line that these images are asked for, with `n` draws of each of a plan that may be continued."""
    asked = {name: getattr(part, name) for name in ("start", "count", "every", "sample")}
    return encoded({"asked": asked if n is None else {**asked, "n": n}, "at": round(time.time(), 3)})


def ended_line() -> bytes:
    """Return the line that what the last call was asked for has been done."""
    return encoded({"ended": True, "at": round(time.time(), 3)})


def unreadable_line(image: int, problem: str) -> bytes:
    """Return the line that says why an image could not be used."""
    return encoded({"id": image, "problem": problem})


def all_asked(path: Path) -> list[tuple[int, int, Asked]]:
    """Return (index, of, what it was asked for) of every shard that says so."""
    try:
        names = sorted(name for name in os.listdir(path) if name.startswith("asked-") and name.endswith(".jsonl"))  # noqa: PTH208
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror or error}.") from None
    found = []
    for name in names:
        numbers = name.removeprefix("asked-").removesuffix(".jsonl").split("-of-")
        if len(numbers) != 2 or not all(number.isdecimal() and number.isascii() for number in numbers):
            raise StoreError(f"{path / name} is not named as asked-000-of-001.jsonl is: take it out; it holds no counts.")
        index, of = int(numbers[0]), int(numbers[1])
        if not index < of <= MOST_SHARDS:
            raise StoreError(f"{path / name} is of no shard, {index} of {of}: take it out; it holds no counts.")
        found.append((index, of, read_asked(path / name, index, of)))
    return found


def ids(positions: range | list[int]) -> np.ndarray:
    """Return positions as int64."""
    if isinstance(positions, range) and len(positions) > 1:
        return np.arange(positions[0], positions[-1] + 1, positions.step, dtype=np.int64)
    return np.array(positions, dtype=np.int64)
