"""Files of torch.save, of which nothing is executed."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import io
import pathlib
import re
import secrets
import types
import zipfile
from typing import Any

import numpy as np
import torch

from ..errors import reason
from .opening import UntrustedError, archive, entry, quietly

NOT_PICKLES = {
    b"\x1f\x8b": "compressed with gzip: unpack it first",
    b"BZh": "compressed with bzip2: unpack it first",
    b"\xfd7zXZ": "compressed with xz: unpack it first",
    b"7z\xbc\xaf": "a 7z archive: unpack it first",
    b"Rar!": "a RAR archive: unpack it first",
    b"version https://git-lfs": "a pointer of Git LFS, not the file itself: fetch it with `git lfs pull`",
    b"<": "a web page, not a checkpoint: the download went wrong",
    b"\x89HDF": "an HDF5 file of Keras: weights are read from .safetensors or a torch file",
    b"\x93NUMPY": "a NumPy array: weights are read from .safetensors or a torch file",
}


def unpickled(data: bytes) -> Any:
    """Return what torch.save wrote: tensors, containers, numbers, and a few harmless types of the standard library and NumPy.

    Raises
    ------
    UntrustedError
        It names something else, which unpickling would call.
    zipfile.BadZipFile
        No such file; the text completes "it is …".
    """
    check(data)
    try:
        with quietly(), np.errstate(all="ignore"), _allowing():
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:
        text = reason(error, 10_000)
        found = re.search(r"GLOBAL (\S+) (?:was|whose)", text) or re.search(r"class '([\w.]+)'", text)
        if found is not None:
            raise UntrustedError(_what(found[1])) from None
        if "eights only load failed" in text or "weights_only" in text:
            why = re.search(r"WeightsUnpickler error: (.+?)(?: Please | Check the |$)", text)
            shown = f" ({why[1].strip()[:200]})" if why is not None else ""
            raise UntrustedError(f"a pickle that torch does not open as weights alone{shown}") from None
        raise zipfile.BadZipFile(f"damaged or not written by torch.save ({reason(error, 200)}): copy or save it again") from None


def trusted(data: bytes) -> Any:
    """Return whatever torch.save wrote, with all the code that it names.

    Raises
    ------
    zipfile.BadZipFile
        As `unpickled`, or that code fails.
    """
    check(data)
    try:
        with quietly():
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=False)
    except Exception as error:
        raise zipfile.BadZipFile(f"a file whose code fails ({type(error).__name__}: {reason(error)})") from error


def check(data: bytes) -> None:
    """Raise zipfile.BadZipFile, with what it is, for a file that torch.save did not write."""
    for start, what in NOT_PICKLES.items():
        if data[:64].lstrip().startswith(start):
            raise zipfile.BadZipFile(what)
    if data[257:262] == b"ustar":
        raise zipfile.BadZipFile("a tar archive: unpack it first")
    if not data.startswith(b"PK"):
        if not data.startswith(b"\x80"):
            raise zipfile.BadZipFile("not a file that torch.save wrote, nor .safetensors")
        return
    found = archive(data)
    names = [name.partition("/")[2] or name for name in found.namelist()]
    if "archive_format" in names or "serialized_exported_program.json" in names:
        raise zipfile.BadZipFile("a program of torch.export: give it as the model, under a name that ends with .pt2")
    if "data.pkl" not in names:
        raise zipfile.BadZipFile("a zip file without what torch.save writes: unpack it first")
    for name in found.namelist():
        entry(found, name)


def _what(name: str) -> str:
    """What a pickle names, in words."""
    if name.startswith("torch.nn.modules.") or name.endswith(("DataParallel", "ResNet", "Sequential")):
        return f"a whole module ({name}) instead of its weights, model.state_dict()"
    return f"{name} besides weights"


class _Array:
    """Stands for numpy.ndarray, which pickles of arrays name: called, it would reserve whatever memory it is asked for."""

    def __new__(cls, *_: object, **__: object) -> _Array:
        raise ValueError("an array is made by its name, without its numbers")


def _empty_array(kind: object, shape: object, code: object) -> np.ndarray:
    """What NumPy's pickles begin an array with; its state then brings shape and numbers, which must fit together."""
    if kind is not _Array or shape != (0,):
        raise ValueError("an array begins with a shape of its own")
    return np.empty(0, dtype=np.uint8)


def _allowing() -> Any:
    """While it is open, torch's weights-only reader takes these types, too."""
    core = getattr(np, "_core", None) or np.core
    scalar, array = core.multiarray.scalar, core.multiarray._reconstruct
    kinds = [type(np.dtype(one)) for one in "?bBhHiIlLqQefdFDUS"]
    allowed: list[Any] = [np.dtype, np.ndarray, scalar, array, *kinds, list, dict, tuple, set, int, float, complex]
    named = tuple(int(part) for part in torch.__version__.split(".")[:2]) >= (2, 7)  # names of other versions of NumPy and Python
    allowed += [argparse.Namespace, types.SimpleNamespace, pathlib.PosixPath, pathlib.PurePosixPath]
    allowed += [datetime.datetime, datetime.date, datetime.timedelta, datetime.timezone]
    if named:
        allowed = [one for one in allowed if one is not np.ndarray and one is not array]
        allowed += [
            (_Array, "numpy.ndarray"),
            (np.ndarray, f"numpy.{secrets.token_hex(16)}"),
        ]  # filled, under no name to call it by
        for home in ("numpy.core.multiarray", "numpy._core.multiarray"):
            allowed += [(scalar, f"{home}.scalar"), (_empty_array, f"{home}._reconstruct")]
        allowed += [(pathlib.PosixPath, "pathlib._local.PosixPath"), (pathlib.PosixPath, "pathlib.PosixPath")]
    if hasattr(torch.serialization, "safe_globals"):
        return torch.serialization.safe_globals(allowed)
    torch.serialization.add_safe_globals(allowed)
    return contextlib.nullcontext()
