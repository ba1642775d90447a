"""A log that is written line by line, survives kill -9, and is continued by the command that began it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ... import files
from ...errors import StoreError

try:
    import fcntl
except ImportError:  # not on this system: two writers are then not noticed
    fcntl = None  # type: ignore[assignment]


class Log:
    """A log has tab-separated rows in `file`, and beside it `file.rsfast.json`, which says what they are rows of.

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
        self._absolute = file.absolute()  # a model may change the working directory
        self._handle = -1
        try:
            files.make_folder(file.parent)
            self._handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_NONBLOCK", 0), 0o666)
            found = files.kind_of(self._handle)
            if found is not None:
                raise OSError(22, f"it is {found}, not a file")
            self._lock()
            self.finished = self._rows()
            self.arguments = self._agreed(arguments, defaults)
            here, there = os.fstat(self._handle), self._absolute.stat()
            self._size = here.st_size
            self._numbered = os.path.samestat(here, there)  # on some network file systems they differ from the start
        except (OSError, ValueError) as error:
            self.close()
            raise StoreError(f"{file} cannot be written: {getattr(error, 'strerror', None) or error}.") from None
        except StoreError:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if error is None:
                self._check()
        finally:
            self.close()

    def close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def append(self, *cells: object) -> None:
        """Write one row, whole or not at all; it is a StoreError if the file is not the one that was written so far."""
        self._check()
        line = ("\t".join(map(str, cells)) + "\n").encode()
        self._write(line)
        self._size += len(line)
        self._check()
        self.finished.add(int(str(cells[0])))

    def _check(self) -> None:
        here = os.fstat(self._handle)
        try:
            there: os.stat_result | None = self._absolute.stat()
        except OSError:
            there = None
        if there is None or (self._numbered and not os.path.samestat(here, there)):
            happened = "deleted, renamed or replaced"
        elif there.st_size != self._size:
            happened = f"changed by another program ({self._size:,} bytes were written, {there.st_size:,} are there)"
        else:
            return
        raise StoreError(f"{self.file} was {happened} while it was being written: rows may be lost. Run the same command again.")

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
            if len(cells) != len(self.columns) or not re.fullmatch("[0-9]{1,18}", cells[0]) or int(cells[0]) in finished:
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
        files.write(self.beside, json.dumps(asked, indent=1) + "\n")
        os.ftruncate(self._handle, 0)
        self._write(("\t".join(self.columns) + "\n").encode())
        return asked

    def _beside(self) -> dict[str, Any]:
        try:
            with files.open_regular(self.beside) as opened:
                found = json.loads(opened.read().decode())
            if isinstance(found, dict):
                return found
        except OSError as error:
            raise StoreError(f"{self.beside} cannot be read: {error.strerror or error}.") from None
        except (ValueError, RecursionError):
            pass
        raise StoreError(f"{self.beside} is damaged: give another outfile.")
