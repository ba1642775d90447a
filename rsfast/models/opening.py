"""Opening files of models: read whole, looked at before anything in them is believed, and never executed unless trusted."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path

from ..errors import ModelError
from ..files import open_regular, shown

TRUST = "If you made the file yourself or trust whoever did, give --trust-files (in Python trust=True)."


class UntrustedError(Exception):
    """This is raised where something in a file would run code; the text completes "it holds …"."""


def read(model: str | Path | bytes) -> bytes:
    """Return a file's bytes, or raise a ModelError that says why not."""
    if isinstance(model, bytes):
        return model
    name = shown(model)
    try:
        with open_regular(model) as file:
            data = file.read()
    except OSError as error:
        raise ModelError(f"{name} cannot be read: {error.strerror or error}.") from None
    except MemoryError:
        raise ModelError(f"{name} cannot be read: it does not fit into memory.") from None
    if not data:
        raise ModelError(f"{name} is empty: the file was not written to its end; copy or save it again.")
    return data


def refusal(file: object, what: str) -> ModelError:
    """Return the error for a file that is not opened because `what` in it would run code."""
    return ModelError(f"{shown(file)} cannot be loaded: it holds {what}, which can run code when it is opened. {TRUST}")


def archive(data: bytes) -> zipfile.ZipFile:
    """Open a zip file as torch writes them: every entry once, stored as it is, and no more in them than the file has.

    Raises
    ------
    zipfile.BadZipFile
        Damaged, or written by something else; the text completes "it is …".
    """
    try:
        found = zipfile.ZipFile(io.BytesIO(data))
        entries = found.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OverflowError, EOFError, IndexError, UnicodeError):
        raise zipfile.BadZipFile("damaged or cut short: copy or save it again") from None
    names = [entry.filename.partition("/")[2] or entry.filename for entry in entries]
    if "constants.pkl" in names or any(name.startswith("code/") for name in names):
        raise zipfile.BadZipFile(
            "a TorchScript program, which is not read: export the model with torch.export or save model.state_dict()"
        )
    if names and all(name.endswith(".npy") for name in names):
        raise zipfile.BadZipFile("an .npz file of arrays: weights are read from .safetensors or a torch file")
    if any(entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 for entry in entries):
        raise zipfile.BadZipFile("a zip file with compressed or encrypted entries, which torch does not write: save it again")
    if len({entry.filename for entry in entries}) < len(entries) or sum(entry.file_size for entry in entries) > len(data):
        raise zipfile.BadZipFile("a zip file whose entries overlap, which torch does not write: save it again")
    for one in entries:
        if one.CRC == 0:  # torch was told not to compute sums
            one.CRC = None  # type: ignore[assignment]
    return found


def entry(found: zipfile.ZipFile, name: str) -> bytes:
    """Return an entry of an archive, checked against its sum."""
    try:
        return found.read(name)
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OverflowError, EOFError, RuntimeError):
        raise zipfile.BadZipFile("damaged or cut short: copy or save it again") from None


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Leave out what torch logs and warns of while it reads a file: whatever goes wrong is raised as well."""
    before = logging.root.manager.disable
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(before)
