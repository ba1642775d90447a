"""Converted models on disk, so that another process need not convert them again.

An artefact is named by a hash of all that it is made of: weights, structure and code of the model, its input, and versions of
the libraries that converted it.  One that cannot be read, or is not whole, is made again.  The folder is bounded: what has not
been used for longest goes first.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch

from .. import files
from ..errors import StoreError
from ..version import VERSION

MOST_BYTES = 4 * 2**30
"""All artefacts together take no more."""

ENDING = ".model"


class Artefact(NamedTuple):
    """A file of the folder."""

    path: Path
    size: int
    used: float  # seconds since the epoch


def folder() -> Path:
    """RSFAST_CACHE_DIR/models, or rsfast/models in the user's cache."""
    named = os.environ.get("RSFAST_CACHE_DIR")
    place = Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "rsfast"
    return place / "models"


def key(digest: str, example: torch.Tensor, made_by: dict[str, Any]) -> str:
    """The name of what `made_by` (runtime, versions, options; JSON-able) makes of a model with this hash for inputs like
    `example`."""
    said = {"input": [list(example.shape[1:]), str(example.dtype)], "rsfast": VERSION, **made_by}
    return hashlib.sha256((digest + json.dumps(said, sort_keys=True)).encode()).hexdigest()


def kept(name: str, make: Callable[[], bytes]) -> bytes:
    """The artefact of that name, from the folder or made now."""
    found = _read(name)
    if found is None:
        found = make()
        with contextlib.suppress(OSError, RuntimeError, StoreError):  # only time is lost; RuntimeError: a user without home
            _write(name, found)
    return found


def listed() -> list[Artefact]:
    """What the folder holds, the least lately used first."""
    found = []
    with contextlib.suppress(OSError, RuntimeError):
        for path in folder().glob(f"*{ENDING}"):
            with contextlib.suppress(OSError):  # it goes while it is looked at
                status = path.stat()
                found.append(Artefact(path, status.st_size, status.st_mtime))
    return sorted(found, key=lambda one: one.used)


def forget(most: int = 0) -> int:
    """Remove what was not used for longest until at most so many bytes are left; how many bytes went."""
    there, gone = listed(), 0
    left = sum(one.size for one in there)
    for one in there:
        if left - gone <= most:
            break
        with contextlib.suppress(OSError):
            one.path.unlink()
            gone += one.size
    return gone


def _read(name: str) -> bytes | None:
    """An artefact if it is whole."""
    try:
        path = folder() / f"{name}{ENDING}"
        content = path.read_bytes()
        digest, body = content[:32], content[32:]
        if digest != hashlib.sha256(name.encode() + body).digest():
            return None
        os.utime(path, (time.time(), time.time()))
    except (OSError, RuntimeError):
        return None
    return body


def _write(name: str, body: bytes) -> None:
    if len(body) > MOST_BYTES:
        return
    place = folder()
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    files.write(place / f"{name}{ENDING}", hashlib.sha256(name.encode() + body).digest() + body)
    forget(MOST_BYTES)
