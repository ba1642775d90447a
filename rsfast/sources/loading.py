"""From what a user names to a data source."""

from __future__ import annotations

from pathlib import Path

from ..errors import DataError, InvalidArgumentError
from . import arrays
from .base import Source
from .folder import FolderSource

KINDS = ("digits", "FILE.npz", "FILE.npy", "cifar10:PATH", "mnist:FOLDER", "folder:FOLDER")


def is_folder(spec: str) -> bool:
    """Whether a source's name is that of an image folder."""
    kind, colon, _ = spec.partition(":")
    return bool(kind == "folder" and colon) or (Path(spec).is_dir() and kind not in ("cifar10", "mnist"))


def load(
    spec: str, *, split: str | None = None, resize: int | None = None, crop: int | None = None, gray: bool = False
) -> Source:
    """Open a data source.

    Parameters
    ----------
    spec : str
        `digits` (scikit-learn's), `FILE.npz` (arrays x and y), `FILE.npy` (images without labels, left on disk),
        `cifar10:PATH` (binary batches), `mnist:FOLDER` (idx files), `folder:FOLDER` or just a folder's path (one subfolder per
        class).
    split : str
        "test" (default) or "train", for digits, cifar10 and mnist; other sources have no splits.
    resize, crop, gray
        How image files are prepared (folders only).

    Raises
    ------
    DataError
        What cannot be read and why.
    InvalidArgumentError
        An unknown source, or options the source does not take.
    """
    if split not in (None, "test", "train"):
        raise InvalidArgumentError(f"split={split!r} is not known: give test or train.")
    kind, colon, rest = spec.partition(":")
    path = Path(rest) if colon and kind in ("cifar10", "mnist", "folder", "npz") else Path(spec)
    if not is_folder(spec) and (resize is not None or crop is not None or gray):
        raise InvalidArgumentError(f"--resize, --crop and --gray are for image folders, and {spec!r} is not one.")
    if spec == "digits":
        return arrays.digits(split or "test")
    if kind == "cifar10" and colon:
        return arrays.cifar10(path, split or "test")
    if kind == "mnist" and colon:
        return arrays.mnist(path, split or "test")
    if split is not None:
        raise InvalidArgumentError(f"--split is for digits, cifar10 and mnist: {spec!r} has no splits, leave it out.")
    if is_folder(spec):
        return FolderSource(path, resize=resize, crop=crop, mode="L" if gray else "RGB")
    if path.suffix == ".npz":
        return arrays.npz(path)
    if path.suffix == ".npy":
        return arrays.npy(path)
    if path.exists():
        raise DataError(f"{spec} is neither a folder nor an .npz or .npy file: give one of {', '.join(KINDS)}.")
    raise DataError(f"data source {spec!r} is not known and no such file exists: give one of {', '.join(KINDS)}.")
