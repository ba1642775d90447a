"""A log that is written line by line, survives kill -9, and is continued by the command that began it."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ...errors import StoreError

try:
    import fcntl
except ImportError:  # not on this system: two writers are then not noticed
    fcntl = None  # type: ignore[assignment]


class Log:
    """Tab-separated rows in `file`, and beside it `file.rsfast.json`, which says what they are rows of.

    Parameters
    ----------
    file : Path
        The log.  One that was begun by the same arguments is continued; a last line that was cut short is dropped.
    columns : sequence of str
        Its first line; the first column is the row's number.
    arguments : dict
        What makes the rows.  A value of None takes that of the log that is there, or of `defaults`.
    defaults : dict
        Values for a new log.

    Attributes
    ----------
    arguments : dict
        As they stand.
    finished : set of int
        Numbers of the rows that are there.

    Raises
    ------
    StoreError
        The log was begun by other arguments, by another program, is being written, is damaged, or cannot be written.
    """

    def __init__(self, file: Path, columns: Sequence[str], arguments: dict[str, Any], **defaults: Any) -> None:
        if not file.name:
            raise StoreError(f"outfile={str(file)!r} names no file: give the log's name.")
        self.file, self.columns = file, tuple(columns)
        self.beside = file.with_name(f"{file.name}.rsfast.json")
        self._handle = -1
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
            self._lock()
            self.finished = self._rows()
            self.arguments = self._agreed(arguments, defaults)
        except OSError as error:
            self.close()
            raise StoreError(f"{file} cannot be written: {error.strerror or error}.") from None
        except StoreError:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def append(self, *cells: object) -> None:
        """One row, whole or not at all."""
        self._write(("\t".join(map(str, cells)) + "\n").encode())
        self.finished.add(int(str(cells[0])))

    def _write(self, line: bytes) -> None:
        size = os.fstat(self._handle).st_size
        try:
            written = os.write(self._handle, line)
        except OSError as error:
            raise StoreError(f"{self.file} cannot be written: {error.strerror or error}.") from None
        if written < len(line):
            os.ftruncate(self._handle, size)
            raise StoreError(f"{self.file} cannot be written: the disk is full.")

    def _lock(self) -> None:
        if fcntl is None:
            return
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(f"{self.file} is being written by another process: give another outfile.") from None
        except OSError:
            return  # a file system without locks

    def _rows(self) -> set[int]:
        """Numbers of the whole rows; what follows the last line's end is cut off."""
        with open(self._handle, "rb", closefd=False) as opened:
            opened.seek(0)
            data = opened.read()
        whole = data[: data.rfind(b"\n") + 1]
        if data and not self.beside.exists():
            raise StoreError(f"{self.file} was not begun by this command: give another outfile, or remove it.")
        if len(whole) < len(data):
            os.ftruncate(self._handle, len(whole))
        lines = whole.decode(errors="replace").splitlines()
        if lines and lines[0] != "\t".join(self.columns):
            raise StoreError(f"{self.file} is a log of other columns: give another outfile, or remove it.")
        finished = set()
        for number, line in enumerate(lines[1:], start=2):
            cells = line.split("\t")
            if len(cells) != len(self.columns) or not cells[0].isdecimal() or int(cells[0]) in finished:
                raise StoreError(f"{self.file} line {number} is damaged: remove that line, and its image is run again.")
            finished.add(int(cells[0]))
        return finished

    def _agreed(self, arguments: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
        there = self._beside() if self.finished else {}
        asked = {
            key: value if value is not None else there.get(key) if self.finished else defaults.get(key)
            for key, value in arguments.items()
        }
        asked = json.loads(json.dumps(asked))
        if self.finished:
            for key in (*asked, *there):
                if asked.get(key) != there.get(key):
                    raise StoreError(
                        f"{self.file} was begun with {key}={there.get(key)}, this call has {key}={asked.get(key)}: results of "
                        "different arguments are not mixed; give another outfile."
                    )
            return asked
        scratch = self.beside.with_name(f".{self.beside.name}.{os.getpid()}")
        try:
            with scratch.open("w", encoding="utf-8") as out:
                out.write(json.dumps(asked, indent=1) + "\n")
                out.flush()
                os.fsync(out.fileno())
            scratch.replace(self.beside)
        finally:
            with contextlib.suppress(OSError):
                scratch.unlink()
        os.ftruncate(self._handle, 0)
        self._write(("\t".join(self.columns) + "\n").encode())
        return asked

    def _beside(self) -> dict[str, Any]:
        try:
            found = json.loads(self.beside.read_text(encoding="utf-8"))
            if isinstance(found, dict):
                return found
        except ValueError:
            pass
        raise StoreError(f"{self.beside} is damaged: give another outfile.")
