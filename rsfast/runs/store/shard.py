"""The one writer of a shard, which knows its file: what it says is stored is where the next reader will look for it."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from ...errors import StoreError
from ...files import printable
from .asked import Part, asked_file, asked_line, ended_line, read_asked, unreadable_line
from .lines import encoded, lines
from .manifest import Manifest, is_run, read_manifest

try:
    import fcntl
except ImportError:  # Windows: nothing keeps two writers apart there
    fcntl = None  # type: ignore[assignment]

LONGEST_PROBLEM = 1000  # characters
SYNC_EVERY = 1.0  # seconds between fsync calls: a power cut loses at most these; a kill loses nothing


def lock(handle: int, *, wait: bool) -> bool:
    """Say whether the file is ours now.  Where the file system has no locks, it is taken to be."""
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


class _Watched:
    """An open file that must stay the one at its path, and as long as it was written.

    Where a file system gives a handle and its path different numbers from the start (some network file systems do), only
    sizes are compared.
    """

    def __init__(self, file: Path, handle: int) -> None:
        self.file, self.handle = file, handle
        self.absolute = file.absolute()  # a model may change the working directory
        self.size = 0
        opened = os.fstat(handle)
        self.numbered, self.linked = _number(opened) == _number(self.absolute.stat()), opened.st_nlink > 0

    def what_happened(self) -> str | None:
        """What somebody did to the file, None if nothing."""
        try:
            there, here = self.absolute.stat(), os.fstat(self.handle)
        except OSError as error:
            gone = self.file if self.absolute.parent.is_dir() else self.file.parent
            if isinstance(error, (FileNotFoundError, NotADirectoryError)):
                return f"{gone} was deleted, renamed or replaced"
            return f"{self.file} cannot be found any more ({error.strerror or error})"
        if (self.linked and here.st_nlink == 0) or (self.numbered and _number(here) != _number(there)):
            return f"another file was put in the place of {self.file} (as an editor's save and sed -i do)"
        for size in (here.st_size, there.st_size):
            if size < self.size:
                return f"{self.file} was cut from {self.size:,} to {size:,} bytes"
            if size > self.size:
                return f"another program added {size - self.size:,} bytes to {self.file}"
        return None


def _number(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


class Shard:
    """This is the one writer of a shard.  Use it as a context manager.

    Whatever happens to its file, to run.json or to the directory from outside while it is open is noticed at the next line, at
    the latest at the end, and stops the writer.

    Parameters
    ----------
    path : Path
        Run directory (see `begin`).
    index, of : int
        This is shard `index` of `of`.
    manifest : Manifest, optional
        That of the run; default: as run.json has it.

    Raises
    ------
    StoreError
        If another process writes this shard, or it is damaged, or cannot be written.
    """

    def __init__(self, path: Path, index: int = 0, of: int = 1, manifest: Manifest | None = None) -> None:
        self.path, self.index, self.of = path, index, of
        self.file = path / f"counts-{index:03d}-of-{of:03d}.jsonl"
        self.manifest = read_manifest(path) if manifest is None else manifest
        self._manifest_file = (path / "run.json").absolute()
        self._handle = -1
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
            self._handle = os.open(self.file, flags, 0o644)
            if not lock(self._handle, wait=False):
                raise StoreError(
                    f"shard {index} of {of} of run '{path.name}' is being written by another process: wait for it, or split the "
                    "work with --shard."
                )
            self._watched = _Watched(self.file, self._handle)
            self._drop_torn_end()
            self._manifest_stat = _signature(self._manifest_file)
            _sync_folder(path)
            self.asked = read_asked(asked_file(path, index, of), index, of)
        except OSError as error:
            self.close()
            raise StoreError(f"{self.file} cannot be written: {error.strerror or error}.") from None
        except BaseException:
            self.close()
            raise
        self._synced = time.monotonic()

    def _drop_torn_end(self) -> None:
        size = 0
        for _, _, size, _ in lines(self.file):  # noqa: B007
            pass
        if size < os.fstat(self._handle).st_size:
            os.ftruncate(self._handle, size)
        self._watched.size = size

    def append(self, record: dict[str, Any]) -> None:
        """Add one finished image.

        Raises
        ------
        StoreError
            It could not be written (all of the line is written, or none of it), or the file is not what was written so far.
        """
        self.check(f"image {record['id']} is not stored")
        line = encoded(record)
        try:
            _write(self._handle, line)
            if time.monotonic() - self._synced >= SYNC_EVERY:
                os.fsync(self._handle)
                self._synced = time.monotonic()
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._handle, self._watched.size)
            raise StoreError(
                f"{self.file} cannot be written ({error.strerror or error}): image {record['id']} is not stored, everything "
                "before it is. Make room and run the same command again."
            ) from None
        self._watched.size += len(line)
        self.check(f"image {record['id']} may not be stored")

    def check(self, then: str) -> None:
        """Raise a StoreError unless the files are what was written so far; `then` says what follows if they are not."""
        happened = self._watched.what_happened() or self._what_happened_to_the_manifest()
        if happened is None:
            return
        raise StoreError(f"{happened} while this run was written: {then}. {self._what_is_safe()}")

    def _what_happened_to_the_manifest(self) -> str | None:
        try:
            now = _signature(self._manifest_file)
            if now == self._manifest_stat:
                return None
            if read_manifest(self._manifest_file.parent).fingerprint == self.manifest.fingerprint:
                self._manifest_stat = now  # put back, or saved as it was
                return None
        except FileNotFoundError:
            return f"{self.path / 'run.json'} was deleted or renamed"
        except OSError as error:
            return f"{self.path / 'run.json'} cannot be read any more ({error.strerror or error})"
        except StoreError as error:
            return f"run.json was changed ({str(error).rstrip('.')})"
        return f"{self.path / 'run.json'} was replaced by that of another run"

    def _what_is_safe(self) -> str:
        folder = self._manifest_file.parent
        if not folder.is_dir():
            return (
                "If it was renamed, all before is safe there: give its new name as --out. If it was deleted, the same command "
                "begins anew."
            )
        try:
            kept = sum(1 for _ in lines(self._watched.absolute))
        except StoreError as error:
            return f"What lies there now is damaged: {error}"
        text = f"{kept} whole line{'s' if kept != 1 else ''} lie{'s' if kept == 1 else ''} in {self.file.name} now"
        if not is_run(folder):
            seed = self.manifest.settings.get("seed")
            return (
                f"{text}: put run.json back (the same command with --seed {seed} and another --out writes the same one), then "
                "run the same command again."
            )
        return f"{text}; leave the directory alone and run the same command again, which does the rest."

    def asks(self, part: Part, n: int | None = None) -> None:
        """Write down which images this call is asked for, and of a plan that may be continued how many draws of each."""
        if not self.asked.calls or self.asked.calls[-1][1] != part or self.asked.n != n:
            self._note(asked_line(part, n))
            self.asked.n, self.asked.ended = n, False

    def ends(self) -> None:
        """Write down that what was asked for is done, where only this can tell."""
        if self.asked.n is not None and not self.asked.ended:
            self._note(ended_line())

    def unreadable(self, image: int, problem: str) -> None:
        """Write down that an image could not be used, and why."""
        problem = printable(problem)[:LONGEST_PROBLEM]
        if self.asked.unreadable.get(image) != problem:
            self._note(unreadable_line(image, problem))
            self.asked.unreadable[image] = problem

    def _note(self, line: bytes) -> None:
        file = asked_file(self._manifest_file.parent, self.index, self.of)
        try:
            handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o644)
            try:
                size = 0
                for _, _, size, _ in lines(file):  # noqa: B007
                    pass
                os.ftruncate(handle, size)  # what was cut short
                _write(handle, line)
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError as error:
            raise StoreError(
                f"{file} cannot be written: {error.strerror or error}. Every image finished before is stored."
            ) from None

    def finish(self) -> None:
        """Bring everything to the disk; it is a StoreError unless the files then are what was written."""
        try:
            os.fsync(self._handle)
        except OSError as error:
            raise StoreError(
                f"{self.file} cannot be written ({error.strerror or error}): lines of the last seconds may not be stored. Make "
                "room and run the same command again."
            ) from None
        self.check("what was written last may not be stored")

    def close(self) -> None:
        """Let go of the file."""
        if self._handle >= 0:
            with contextlib.suppress(OSError):
                os.fsync(self._handle)
            os.close(self._handle)
            self._handle = -1

    def __enter__(self) -> Shard:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if kind is None:
                self.finish()
        finally:
            self.close()


def _write(handle: int, line: bytes) -> None:
    written = 0
    while written < len(line):
        written += os.write(handle, line[written:])


def _signature(file: Path) -> tuple[int, int, int, int]:
    found = file.stat()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # where folders cannot be synchronised
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
