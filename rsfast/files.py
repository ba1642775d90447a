"""Files that are written whole or not at all, and read only where they are files."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path
from typing import BinaryIO

from .errors import InvalidArgumentError, StoreError

KINDS = {
    stat.S_IFDIR: "a directory", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}  # fmt: skip


def as_path(file: object, name: str = "file") -> Path:
    """What was given as the name of a file, str or path; InvalidArgumentError if it is none."""
    if not isinstance(file, (str, os.PathLike)):
        raise InvalidArgumentError(f"{name} is {type(file).__name__}: give the name of a file, a str or a pathlib.Path.")
    return Path(file)


def kind_of(file: int | str | os.PathLike[str]) -> str | None:
    """What lies at a path or handle that is no regular file ("a directory", "a pipe", …), None of a regular file.

    Links are followed.

    Raises
    ------
    OSError
        Nothing is there, or it cannot be looked at.
    """
    mode = os.stat(file).st_mode  # noqa: PTH116
    return None if stat.S_ISREG(mode) else KINDS.get(stat.S_IFMT(mode), "no regular file")


def open_regular(file: str | os.PathLike[str]) -> BinaryIO:
    """Open a regular file for reading, in binary; never waits for the other end of a pipe.

    Raises
    ------
    OSError
        It is missing, unreadable or something else than a regular file; `strerror` is a sentence's end.
    """
    try:
        handle = os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except ValueError:  # a NUL in the name
        raise FileNotFoundError(2, "its name holds a NUL character") from None
    try:
        found = kind_of(handle)
        if found is not None:
            raise OSError(22, f"it is {found}, not a file")
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def write(file: str | os.PathLike[str], content: str | bytes) -> None:
    """Write a file so that its name holds the whole new content or what it held before, whatever happens meanwhile.

    The content is written beside the file, synchronised, and renamed.  A link is followed and kept; a file that is there
    keeps its permissions.

    Parameters
    ----------
    file : path
        A new file or a regular one, in a folder that exists.
    content : str or bytes
        Text is encoded as UTF-8; what UTF-8 cannot hold is escaped.

    Raises
    ------
    StoreError
        It cannot be written; what was there is unchanged, and nothing is left beside it.
    """
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    target, scratch = as_path(file), None
    try:
        permissions = _permissions(target)
        target = Path(os.path.realpath(target))
        scratch = target.with_name(f".{secrets.token_hex(8)}.partial")  # short: a name may be as long as names can be
        handle = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        with os.fdopen(handle, "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(handle)
        if permissions is not None:
            with contextlib.suppress(OSError):  # a file system without permissions
                scratch.chmod(permissions)
        scratch.replace(target)
        scratch = None
        _sync_folder(target.parent)
    except (OSError, ValueError) as error:
        kept = "; it is as it was" if os.path.isfile(file) else ""  # noqa: PTH113 (never raises)
        raise StoreError(f"{file} cannot be written: {_why(target, error)}{kept}.") from None
    finally:
        if scratch is not None:
            with contextlib.suppress(OSError):
                scratch.unlink()


def check_writable(file: str | os.PathLike[str]) -> None:
    """Refuse before any work what `write` would refuse after it, as far as that can be known.

    Raises
    ------
    StoreError
        The name is too long, its folder is missing or cannot be written, or something else than a regular file that may be
        written lies there.
    """
    target = as_path(file)
    try:
        _permissions(target)
        target = Path(os.path.realpath(target))
        folder = target.parent.stat()
        if not stat.S_ISDIR(folder.st_mode):
            raise NotADirectoryError(20, f"{target.parent} is not a folder")
        if not os.access(target.parent, os.W_OK | os.X_OK):
            raise PermissionError(13, f"nothing can be written into {target.parent}")
    except (OSError, ValueError) as error:
        raise StoreError(f"{file} cannot be written: {_why(target, error)}.") from None


def make_folder(folder: str | os.PathLike[str]) -> None:
    """Make a folder to write into, and those above it; one that is there is taken.

    Raises
    ------
    StoreError
        It cannot be made, is no folder, or nothing can be written into it.
    """
    try:
        if not os.fspath(folder):
            raise OSError(22, "an empty name is no folder's: give a name, or . for this one")
        path = Path(folder)
        if os.path.lexists(path) and kind_of(path) != "a directory":
            raise OSError(22, f"it is {kind_of(path) or 'a file'}, not a folder: give another name")
        path.mkdir(parents=True, exist_ok=True)
        if not os.access(path, os.W_OK | os.X_OK):
            raise PermissionError(13, "nothing can be written into it")
    except (OSError, ValueError) as error:
        raise StoreError(f"{folder} cannot be written: {getattr(error, 'strerror', None) or error}.") from None


def _permissions(file: Path) -> int | None:
    """The mode of a regular file that may be replaced; None if nothing is there."""
    try:
        found, mode = kind_of(file), file.stat().st_mode
    except FileNotFoundError:
        return None
    if found is not None:
        raise OSError(22, f"it is {found}, not a file")
    if not os.access(file, os.W_OK):  # renaming would not ask
        raise PermissionError(13, "it is write-protected")
    return stat.S_IMODE(mode)


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # where folders cannot be synchronised, the rename is not either
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _why(target: Path, error: OSError | ValueError) -> str:
    if isinstance(error, FileNotFoundError):
        return f"there is no folder {target.parent}: make it, or give another name"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def printable(text: str) -> str:
    """A name as a line of text: line ends, control characters and bytes that are no UTF-8 are escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shown(name: object) -> str:
    """A name that can be printed in a sentence: `printable`, the middle of a long one left out."""
    text = printable(str(name))
    return text if len(text) <= 400 else f"{text[:190]} … {text[-190:]}"
