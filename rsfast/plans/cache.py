"""Tables that took long to compute are kept in memory and in a folder; a copy that cannot be read is computed again."""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

IN_MEMORY = 32
WORTH_A_FILE = 0.2
"""Seconds of computing from which a file is written."""

_recent: OrderedDict[str, Integers] = OrderedDict()
_lock = threading.Lock()


def folder() -> Path:
    """Return RSFAST_CACHE_DIR, or rsfast/plans in the user's cache."""
    named = os.environ.get("RSFAST_CACHE_DIR")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "rsfast" / "plans"


def _digest(key: str, content: bytes) -> bytes:
    return hashlib.sha256(key.encode() + content).digest()


def _read(key: str, shape: tuple[int, ...]) -> Integers | None:
    """The stored table if it is whole and of that shape."""
    try:
        stored = (folder() / f"{key}.table").read_bytes()
    except (OSError, RuntimeError):  # RuntimeError: a user without home
        return None
    digest, content = stored[:32], stored[32:]
    if digest != _digest(key, content) or len(content) != 8 * int(np.prod(shape)):
        return None
    return np.frombuffer(content, dtype="<i8").astype(np.int64).reshape(shape)


def _write(key: str, table: Integers) -> None:
    content = table.astype("<i8").tobytes()
    try:
        place = folder()
        place.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=place, prefix=".table-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(_digest(key, content) + content)
            os.replace(name, place / f"{key}.table")  # noqa: PTH105
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except (OSError, RuntimeError):
        pass  # only time is lost


def table(key: str, shape: tuple[int, ...], compute: Callable[[], Integers]) -> Integers:
    """Return the table of that key (a hash of everything it is made of), read-only: from memory, from the folder, or computed."""
    with _lock:
        if key in _recent:
            _recent.move_to_end(key)
            return _recent[key]
    found = _read(key, shape)
    if found is None:
        start = time.perf_counter()
        found = compute()
        if time.perf_counter() - start > WORTH_A_FILE:
            _write(key, found)
    found.flags.writeable = False
    with _lock:
        _recent[key] = found
        while len(_recent) > IN_MEMORY:
            _recent.popitem(last=False)
    return found
