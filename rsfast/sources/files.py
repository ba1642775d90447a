"""Files of other people, for data sources: none is waited for or read beyond its size, and every name can be printed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from .. import errors, files
from ..errors import DataError

MOST_BYTES = 2**32
"""The most bytes of a file that is read whole."""


shown = files.shown


def reason(error: Exception) -> str:
    """What an exception says, for the end of a sentence."""
    return files.printable((error.strerror if isinstance(error, OSError) else None) or errors.reason(error))


def kind_of(path: Path) -> str:
    """ "a file", "a directory", "a pipe", …, or "nothing"; links are followed.

    Raises
    ------
    DataError
        The system does not say.
    """
    try:
        return files.kind_of(path) or "a file"
    except (FileNotFoundError, NotADirectoryError):
        return "nothing"
    except (OSError, ValueError) as error:
        raise DataError(f"{shown(path)} cannot be read: {reason(error)}.") from None


def open_file(path: Path) -> BinaryIO:
    """A regular file, open for reading, or a DataError that says why not."""
    kind = kind_of(path)
    if kind not in ("a file", "nothing"):
        raise DataError(f"{shown(path)} cannot be read: it is {kind}, not a file.")
    try:
        return files.open_regular(path)
    except OSError as error:
        raise DataError(f"{shown(path)} cannot be read: {reason(error)}.") from None


def read(path: Path, most: int = MOST_BYTES) -> bytes:
    """A file's bytes, or a DataError that says why not."""
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise DataError(f"{shown(path)} has {size:,} bytes: a file of its kind has at most {most:,}.")
        try:
            return file.read(size)
        except (OSError, MemoryError) as error:
            raise DataError(f"{shown(path)} cannot be read: {reason(error)}.") from None
