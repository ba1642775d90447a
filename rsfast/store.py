"""Runs on disk: append-only counts that survive any interruption.  docs/formats.md describes the files.

A run directory holds `run.json` (written once, atomically: what is being run) and one `counts-III-of-NNN.jsonl` per shard
(one line per finished image, one writer).  A line that was cut short by a kill is dropped when the shard is opened next;
any other damage is refused, because a damaged count is not a count.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import json
import os
import secrets
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .errors import StoreError

try:
    import fcntl
except ImportError:  # Windows: nothing keeps two writers apart there
    fcntl = None  # type: ignore[assignment]

FORMAT = 1
COUNTED = ("selection", "estimation", "n", "path")
FIRST_NAMED = ("noise", "n", "n0", "alpha", "seed", "num_classes", "dtype")  # others may follow from these
LAST_NAMED = ("batch",)  # by default it follows from others
SYNC_EVERY = 1.0  # seconds between fsync calls: a power cut loses at most these; a kill loses nothing


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any) -> str:
    return hashlib.sha256(canonical(value).encode()).hexdigest()


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What a run is: everything that a count depends on, and the level it was planned for."""

    kind: str  # "certify" or "predict"
    settings: dict[str, Any]
    model: dict[str, str]  # name, sha256
    data: dict[str, Any]  # name, fingerprint, images
    versions: dict[str, str]

    @property
    def fingerprint(self) -> str:
        """Hex digits of kind, settings, model and data (names and versions may change)."""
        return digest([self.kind, self.settings, self.model["sha256"], self.data["fingerprint"]])

    def to_dict(self) -> dict[str, Any]:
        return {"format": FORMAT, "fingerprint": self.fingerprint, **dataclasses.asdict(self)}


def read_manifest(path: Path) -> Manifest:
    """The manifest of a run directory; StoreError if there is none, or it is damaged or of a newer format."""
    file = path / "run.json"
    try:
        fields = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StoreError(f"{path} is not a run directory: it has no run.json.") from None
    except OSError as error:
        raise StoreError(f"{file} cannot be read: {error.strerror or error}.") from None
    except ValueError as error:
        raise StoreError(f"{file} is damaged ({error}): restore it, or start a new run with another --out.") from None
    try:
        if fields.pop("format") > FORMAT:
            raise StoreError(f"{file} was written by a newer rsfast: upgrade to read it.")
        stated = fields.pop("fingerprint")
        manifest = Manifest(**fields)
        if manifest.fingerprint != stated:
            raise StoreError(f"{file} was edited: its fingerprint does not fit; restore it, or start a new run.")
    except (KeyError, TypeError) as error:
        raise StoreError(f"{file} is damaged ({error!r}): restore it, or start a new run with another --out.") from None
    return manifest


def begin(path: Path, manifest: Manifest, index: int = 0, of: int = 1, **defaults: Any) -> tuple[Manifest, Shard]:
    """Create the run directory, or check that the one that is there belongs to the same run, and open a shard of it.

    Parameters
    ----------
    manifest : Manifest
        What is to be run.  A setting that is None takes the value of the run that is there, or of `defaults` for a new one.
    index, of : int
        The shard.

    Returns
    -------
    The manifest as it stands on disk, and the open shard.

    Raises
    ------
    StoreError
        Naming the first thing that differs.  A run that holds no image yet and is not being written may still be changed.
    """
    _make_directory(path)
    with _locked(path):
        there = read_manifest(path) if (path / "run.json").exists() else None
        adopted = {
            key: value if value is not None else (there.settings.get(key) if there is not None else defaults.get(key))
            for key, value in manifest.settings.items()
        }
        here = dataclasses.replace(manifest, settings=adopted)
        if there is None or (there.fingerprint != here.fingerprint and not _begun(path)):
            _write_atomically(path / "run.json", json.dumps(here.to_dict(), indent=1, sort_keys=True) + "\n")
            there = here
        _refuse_difference(path, there, here)
        return there, Shard(path, index, of)


def _make_directory(path: Path) -> None:
    try:
        if path.exists() and not (path / "run.json").exists() and (not path.is_dir() or any(path.glob("counts-*.jsonl"))):
            raise StoreError(f"{path} exists and is not a run directory: give another --out.")
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror or error}.") from None


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Only one process at a time creates or changes run.json."""
    handle = -1
    try:
        handle = os.open(path, os.O_RDONLY)
        _lock(handle, wait=True)
        yield
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror or error}.") from None
    finally:
        if handle >= 0:
            os.close(handle)


def _lock(handle: int, *, wait: bool) -> bool:
    """Whether the file is ours now.  Where the file system has no locks, it is taken to be."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL):
            raise
    return True


def _begun(path: Path) -> bool:
    """Whether any image is stored, or any shard is being written."""
    for file in path.glob("counts-*.jsonl"):
        handle = os.open(file, os.O_RDONLY)
        try:
            if not _lock(handle, wait=False) or any(True for _ in _lines(file, file.read_bytes())):
                return True
        finally:
            os.close(handle)
    return False


def _refuse_difference(path: Path, there: Manifest, here: Manifest) -> None:
    if there.kind != here.kind:
        raise StoreError(f"run '{path.name}' is a {there.kind} run, this call is {here.kind}. Use another --out.")
    others = {*there.settings, *here.settings} - {*FIRST_NAMED, *LAST_NAMED}
    for what in (*FIRST_NAMED, *sorted(others), *LAST_NAMED):
        old, new = there.settings.get(what), here.settings.get(what)
        if old != new:
            raise StoreError(
                f"run '{path.name}' was started with {what}={_shown(old)}, this call has {what}={_shown(new)}; results of "
                "different settings are not mixed. Use another --out."
            )
    if there.model["sha256"] != here.model["sha256"]:
        raise StoreError(
            f"run '{path.name}' was started with model sha256 {there.model['sha256'][:8]}…, this model is "
            f"{here.model['sha256'][:8]}…; results of different models are not mixed. Use another --out."
        )
    if there.data["fingerprint"] != here.data["fingerprint"]:
        raise StoreError(
            f"run '{path.name}' was started on {there.data['name']} {there.data['fingerprint'][:8]}…, this is "
            f"{here.data['name']} {here.data['fingerprint'][:8]}…; results of different data are not mixed. "
            "Use another --out."
        )
    if there.fingerprint != here.fingerprint:
        raise StoreError(f"run '{path.name}' was started with other settings than this call's. Use another --out.")


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else canonical(value)
    return text if len(text) <= 160 else text[:157] + "…"


def _write_atomically(file: Path, text: str) -> None:
    scratch = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    with scratch.open("w", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    scratch.replace(file)


def records(path: Path) -> dict[int, dict[str, Any]]:
    """Every finished image of a run, by id, from all shards; a line still being written is left out."""
    finished: dict[int, dict[str, Any]] = {}
    for file in sorted(path.glob("counts-*.jsonl")):
        try:
            content = file.read_bytes()
        except OSError as error:
            raise StoreError(f"{file} cannot be read: {error.strerror or error}.") from None
        for _, record in _lines(file, content):
            earlier = finished.setdefault(record["id"], record)
            if _continues(record, earlier):
                finished[record["id"]] = record
            elif not _continues(earlier, record) and any(earlier.get(name) != record.get(name) for name in COUNTED):
                raise StoreError(f"{file} and another shard hold different counts for image {record['id']}: find out why.")
    return finished


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


def _lines(file: Path, content: bytes) -> Iterator[tuple[int, dict[str, Any]]]:
    """(offset after the line, record) of each whole line; what follows the last newline was cut short."""
    at = 0
    for number, line in enumerate(content.split(b"\n")[:-1], start=1):
        at += len(line) + 1
        try:
            record = json.loads(line)
            crc = record.pop("crc")
            if crc != zlib.crc32(canonical(record).encode()):
                raise ValueError("checksum")
        except (ValueError, KeyError, TypeError, AttributeError):
            if at == len(content):  # a crash can leave the end of a file as zeros, newline and all
                return
            raise StoreError(
                f"{file} line {number} is damaged: remove that line (its image will be run again), or start a new run."
            ) from None
        yield at, record


class Shard:
    """The one writer of a shard.  Use as a context manager.

    Parameters
    ----------
    path : Path
        Run directory (see `begin`).
    index, of : int
        This is shard `index` of `of`.

    Raises
    ------
    StoreError
        If another process writes this shard, or it is damaged, or cannot be written.
    """

    def __init__(self, path: Path, index: int = 0, of: int = 1) -> None:
        self.file = path / f"counts-{index:03d}-of-{of:03d}.jsonl"
        try:
            self._handle = os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise StoreError(f"{self.file} cannot be written: {error.strerror or error}.") from None
        if not _lock(self._handle, wait=False):
            os.close(self._handle)
            raise StoreError(
                f"shard {index} of {of} of run '{path.name}' is being written by another process: wait for it, or split the "
                "work with --shard."
            ) from None
        try:
            self._size = self._drop_torn_end()
        except StoreError:
            self.close()
            raise
        self._synced = time.monotonic()

    def _drop_torn_end(self) -> int:
        content = self.file.read_bytes()
        size = max((end for end, _ in _lines(self.file, content)), default=0)
        if size < len(content):
            os.ftruncate(self._handle, size)
        return size

    def append(self, record: dict[str, Any]) -> None:
        """Add one finished image.  All of the line is written, or none of it and StoreError is raised."""
        crc = zlib.crc32(canonical(record).encode())
        line = (canonical({**record, "crc": crc}) + "\n").encode()
        try:
            written = 0
            while written < len(line):
                written += os.write(self._handle, line[written:])
            if time.monotonic() - self._synced >= SYNC_EVERY:
                os.fsync(self._handle)
                self._synced = time.monotonic()
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._handle, self._size)
            raise StoreError(
                f"{self.file} cannot be written ({error.strerror or error}): image {record['id']} is not stored, everything "
                "before it is. Make room and run the same command again."
            ) from None
        self._size += len(line)

    def close(self) -> None:
        if self._handle >= 0:
            with contextlib.suppress(OSError):
                os.fsync(self._handle)
            os.close(self._handle)
            self._handle = -1

    def __enter__(self) -> Shard:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
