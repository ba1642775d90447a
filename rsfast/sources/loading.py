"""From what a user names to a data source."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .. import hints
from ..errors import DataError, InvalidArgumentError
from .base import Source, check_classes
from .classes import ALPHABET, ClassMap, class_map, read_class_map
from .files import kind_of, shown
from .folder import FolderSource


class Kind(NamedTuple):
    """How a data source is named (a word, NAME:PLACE or FILE.SUFFIX), and what opens it, by which of its arguments."""

    shown: str
    opener: str  # of this package, as module.function
    takes: tuple[str, ...]  # of path, split and num_classes


SOURCES = {
    "digits": Kind("digits", "arrays.digits", ("split",)),
    "npz": Kind("FILE.npz", "arrays.npz", ("path",)),
    "npy": Kind("FILE.npy", "arrays.npy", ("path",)),
    "cifar10": Kind("cifar10:PATH", "cifar.cifar10", ("path", "split")),
    "mnist": Kind("mnist:FOLDER", "idx.mnist", ("path", "split", "num_classes")),
}
KINDS = (*(kind.shown for kind in SOURCES.values()), "folder:FOLDER")
WITH_SPLITS = tuple(name for name, kind in SOURCES.items() if "split" in kind.takes)
_WORDS = tuple(name for name, kind in SOURCES.items() if kind.shown == name)
_PLACES = tuple(name for name, kind in SOURCES.items() if kind.shown.startswith(f"{name}:"))
_SUFFIXES = {f".{name}": name for name, kind in SOURCES.items() if kind.shown == f"FILE.{name}"}
_PREFIXES = (*_PLACES, "folder", "npz")


def is_folder(spec: str) -> bool:
    """Whether a source's name is that of an image folder."""
    kind, colon, _ = spec.partition(":")
    named = kind in _PLACES or spec in _WORDS
    return bool(kind == "folder" and colon) or (not named and kind_of(Path(spec)) == "a directory")


def has_class_folders(spec: str) -> bool:
    """Whether a source's name is that of a folder with subfolders, which may be classes."""
    if not is_folder(spec):
        return False
    path = Path(spec.removeprefix("folder:"))
    try:
        return any(entry.is_dir() and not entry.name.startswith(".") for entry in path.iterdir())
    except OSError:
        return False


def load(
    spec: str | os.PathLike[str], *, split: str | None = None, resize: int | None = None, crop: int | None = None,
    gray: bool = False, class_map: str | os.PathLike[str] | Mapping[str, int] | Sequence[str] | ClassMap | None = None,
    num_classes: int | None = None,
) -> Source:  # fmt: skip
    """Open a data source.

    Parameters
    ----------
    spec : str
        What KINDS names: `digits` (scikit-learn's), `FILE.npz` (arrays x and y), `FILE.npy` (images without labels, left on
        disk), `cifar10:PATH` (batches, binary or for Python), `folder:FOLDER` or just a folder's path (one subfolder per class).
    split : str
        "test" (default) or "train", for what WITH_SPLITS names; other sources have no splits.
    resize, crop, gray
        How image files are prepared (folders only), as by torchvision's `Resize(resize)` and `CenterCrop(crop)`.
    class_map : path, mapping or sequence
        The model's class of each subfolder (folders only): a file (`read_class_map` lists its forms), folder names with classes,
        names in the order of the classes, or "alphabet".  Default: the alphabet, if there are as many subfolders as classes.
    num_classes : int
        Of the model; labels are then known to be below it.

    Raises
    ------
    DataError
        What cannot be read and why.
    InvalidArgumentError
        An unknown source, options the source does not take, or labels that the model does not have.
    """
    if split not in (None, "test", "train"):
        raise InvalidArgumentError(f"split={split!r} is not known: give test or train.")
    if not isinstance(spec, (str, os.PathLike)):
        raise InvalidArgumentError(f"a data source is {type(spec).__name__}: give one of {', '.join(KINDS)}.")
    spec = os.fsdecode(spec)
    kind, colon, rest = spec.partition(":")
    if not spec or (colon and kind in _PREFIXES and not rest):
        raise InvalidArgumentError(f"{shown(repr(spec))} names no file or folder: give one of {', '.join(KINDS)}.")
    if not is_folder(spec):
        if resize is not None or crop is not None or gray:
            raise InvalidArgumentError(f"--resize, --crop and --gray are for image folders, and {_quoted(spec)} is not one.")
        if class_map is not None:
            raise InvalidArgumentError(f"a class map is for image folders, and {_quoted(spec)} is not one: leave it out.")
    if split is not None and not (kind in WITH_SPLITS and (colon or spec in _WORDS)):
        *others, last = WITH_SPLITS
        raise InvalidArgumentError(f"--split is for {', '.join(others)} and {last}: {_quoted(spec)} has no splits, leave it out.")
    path = Path(rest) if colon and kind in _PREFIXES else Path(spec)
    if is_folder(spec):
        mapped = _class_map(class_map)
        mode = "L" if gray else "RGB"
        return FolderSource(path, resize=resize, crop=crop, mode=mode, class_map=mapped, num_classes=num_classes)
    source = _opened(spec, path, {"path": path, "split": split or "test", "num_classes": num_classes})
    if num_classes is not None:
        check_classes(source, num_classes)
    return source


def _opened(spec: str, path: Path, given: Mapping[str, Any]) -> Source:
    kind, colon, _ = spec.partition(":")
    name = spec if spec in _WORDS else kind if colon and kind in _PLACES else _SUFFIXES.get(path.suffix)
    if name is not None:
        module, _, function = SOURCES[name].opener.partition(".")
        source: Source = getattr(importlib.import_module(f".{module}", __package__), function)(
            **{option: given[option] for option in SOURCES[name].takes}
        )
        return source
    if kind_of(path) != "nothing":
        raise DataError(
            f"{shown(spec)} is neither a folder nor an {' or '.join(_SUFFIXES)} file: give one of {', '.join(KINDS)}."
        )
    raise DataError(
        f"data source {_quoted(spec)} is not known and no such file exists: {_hint(spec)}give one of {', '.join(KINDS)}."
    )


def _quoted(spec: str) -> str:
    return f"'{shown(spec)}'"


def _hint(spec: str) -> str:
    """What a name that is almost right was meant to be."""
    near = hints.meant(spec.partition(":")[0][:40].replace("-", ""), (*_WORDS, *_PLACES, "folder"))
    return "" if near is None else f"did you mean {near}{'' if near in _WORDS else ':PATH'}? Otherwise "


def _class_map(given: str | os.PathLike[str] | Mapping[str, int] | Sequence[str] | ClassMap | None) -> ClassMap | str | None:
    if given is None or given == ALPHABET or isinstance(given, ClassMap):
        return given
    if isinstance(given, (str, os.PathLike)):
        return read_class_map(Path(given))
    return class_map(given)
