"""NumPy's file format, read without NumPy's own reader: a header is matched and not evaluated, and promises are checked first."""

from __future__ import annotations

import dataclasses
import math
import os
import re
import zipfile
from pathlib import Path
from typing import IO, Literal

import numpy as np

from ..errors import DataError
from .files import open_file, reason, shown

MOST_HEADER = 2**16
DEFLATE = 1032
"""No byte of a deflated stream becomes more bytes than this."""

_ENTRY = re.compile(
    r"""\s*(['"])(?P<key>\w{1,20})\1\s*:\s*(?:(['"])(?P<text>[^'"]{1,100})\3|(?P<truth>True|False)|"""
    r"""\((?P<numbers>[\d\sL,]{0,2000})\))\s*(?P<end>,|\}\s*$)"""
)
_RECORDS = re.compile(r"""['"]descr['"]\s*:\s*[\[(]""")
_GROUPS = {"descr": "text", "shape": "numbers", "fortran_order": "truth"}
_SIMPLE = re.compile(r"[<>|=]?(b1|[iu][1248]|f(2|4|8|12|16))")


@dataclasses.dataclass(frozen=True)
class Header:
    """What a .npy file says of the array that follows."""

    dtype: np.dtype
    shape: tuple[int, ...]
    fortran: bool
    length: int
    """Bytes of the header itself."""

    @property
    def nbytes(self) -> int:
        return self.dtype.itemsize * math.prod(self.shape)


def header(file: IO[bytes]) -> Header:
    """The header at the beginning of `file`; a ValueError says what is wrong with it."""
    magic = file.read(8)
    if magic[:6] != b"\x93NUMPY" or len(magic) < 8:
        raise ValueError("it does not begin as such a file does")
    if magic[6] not in (1, 2, 3):
        raise ValueError(f"it is of version {magic[6]}, and 1 to 3 are known")
    width = 2 if magic[6] == 1 else 4
    size = file.read(width)
    length = int.from_bytes(size, "little")
    if len(size) < width or length > MOST_HEADER:
        raise ValueError("its header is torn" if len(size) < width else f"its header is of {length:,} bytes")
    text = file.read(length)
    if len(text) < length:
        raise ValueError("its header is torn")
    dtype, shape, fortran = _fields(text.decode("utf-8" if magic[6] == 3 else "latin1"))
    return Header(dtype, shape, fortran, 8 + width + length)


def _fields(text: str) -> tuple[np.dtype, tuple[int, ...], bool]:
    text, place = text.strip(), 1
    found: dict[str, re.Match[str]] = {}
    if text[:1] == "{":
        while match := _ENTRY.match(text, place):
            found[match["key"]] = match
            place = match.end()
            if match["end"] != "," or text[place:].strip() == "}":
                break
    if _RECORDS.search(text):
        raise ValueError("it holds records of several fields, not plain numbers")
    values = [found[key][group] if key in found else None for key, group in _GROUPS.items()]
    descr, numbers, fortran = values
    if descr is None or numbers is None or fortran is None or len(found) != 3:
        raise ValueError(f"its header is damaged: {shown(text[:60])}")
    if "O" in descr:
        raise ValueError("it holds Python objects, which are pickled, and these are not opened")
    if not _SIMPLE.fullmatch(descr):
        raise ValueError(f"it holds {shown(descr)}, not plain numbers")
    parts = [part.strip().removesuffix("L") for part in numbers.split(",")]
    if parts[-1] == "":
        parts.pop()
    if len(parts) > 32 or not all(part.isdecimal() and len(part) < 19 for part in parts):
        raise ValueError(f"its header is damaged: shape ({shown(numbers[:60])})")
    try:
        return np.dtype(descr), tuple(int(part) for part in parts), fortran == "True"
    except TypeError as error:  # a longdouble of another machine
        raise ValueError(reason(error)) from None


def mapped(path: Path) -> np.ndarray:
    """The array of a .npy file, as a read-only memory map.

    Raises
    ------
    DataError
        A file that cannot be read, is damaged, holds Python objects or records, or is not as long as its header says.
    """
    with open_file(path) as file:
        try:
            found = header(file)
            size = os.fstat(file.fileno()).st_size - found.length
            if size != found.nbytes:
                raise ValueError(f"its header promises {found.nbytes:,} bytes and {size:,} follow")
            if size == 0:
                return np.empty(found.shape, found.dtype)
            layout: Literal["F", "C"] = "F" if found.fortran else "C"
            return np.memmap(path, found.dtype, mode="r", offset=found.length, shape=found.shape, order=layout)
        except (OSError, ValueError, MemoryError, OverflowError) as error:
            raise DataError(f"{shown(path)} is not a readable .npy file: {reason(error)}.") from None


def archived(path: Path, wanted: dict[str, tuple[str, ...]]) -> tuple[dict[str, np.ndarray], list[str]]:
    """Arrays of a .npz file, and the names of all that it holds.

    Parameters
    ----------
    path : Path
        The file.
    wanted : dict
        By key of what is returned: the names that it may have in the file, the first that is there counts, in small letters or
        capitals.

    Raises
    ------
    DataError
        As for `mapped`; and an array that the file is too short for, or that does not fit into memory.
    """
    with open_file(path) as opened:
        try:
            with zipfile.ZipFile(opened) as file:
                members = {info.filename.removesuffix(".npy"): info for info in file.infolist() if info.filename.endswith(".npy")}
                size = os.fstat(opened.fileno()).st_size
                chosen = {key: _first(names, members) for key, names in wanted.items()}
                return {key: _member(file, info, size) for key, info in chosen.items() if info is not None}, list(members)
        except DataError as error:
            raise DataError(f"{shown(path)}: {error}") from None
        except Exception as error:  # a damaged archive fails in many ways
            raise DataError(f"{shown(path)} is not a readable .npz file: {reason(error)}.") from None


def _first(names: tuple[str, ...], members: dict[str, zipfile.ZipInfo]) -> zipfile.ZipInfo | None:
    small = {name.lower(): info for name, info in members.items()}
    return next((found for name in names if (found := members.get(name) or small.get(name)) is not None), None)


def _member(file: zipfile.ZipFile, info: zipfile.ZipInfo, size: int) -> np.ndarray:
    name = shown(info.filename)
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name} is compressed by a method that NumPy does not write")
    most = min(info.compress_size, size) * (DEFLATE if info.compress_type == zipfile.ZIP_DEFLATED else 1)
    with file.open(info) as member:
        try:
            found = header(member)
        except ValueError as error:
            raise ValueError(f"{name} cannot be read: {reason(error)}") from None
        if found.length + found.nbytes > min(most, info.file_size):
            raise ValueError(f"{name} promises {found.nbytes:,} bytes, more than the file can hold")
        if found.nbytes > memory():
            raise DataError(
                f"{name} takes {found.nbytes / 2**30:,.1f} GiB and this machine has {memory() / 2**30:,.1f}: save the images as "
                "a .npy file, which is left on disk."
            )
        data = np.empty(found.nbytes, np.uint8)
        filled = 0
        while filled < len(data) and (piece := member.read(min(2**20, len(data) - filled))):
            data[filled : filled + len(piece)] = np.frombuffer(piece, np.uint8)
            filled += len(piece)
        if filled < len(data) or member.read(1):  # reading to the end checks the sum
            raise ValueError(f"{name} promises {found.nbytes:,} bytes and holds {'less' if filled < len(data) else 'more'}")
    return data.view(found.dtype).reshape(found.shape, order="F" if found.fortran else "C")


def memory() -> int:
    """Bytes of this machine's memory, as far as the system says."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return 2**62
