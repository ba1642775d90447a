"""A folder of image files, one subfolder per class."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .. import checks, extras
from ..errors import DataError, InvalidArgumentError
from .classes import ALPHABET, ClassMap, some
from .files import kind_of, reason, shown
from .pictures import FORMATS, pixels

LONGEST_SIDE = 2**20

NO_CLASSES = {"lost+found", "__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information"}
"""Folders that systems make beside those of people; like hidden ones they are passed over."""

MANY = 20_000
"""After so many names, at least one in fifty has to be an image's."""


class FolderSource:
    """Images of a folder, sorted by path; the classes are its subfolders (none: no labels).

    Files are opened when they are needed.  `resize` scales the shorter side to that many pixels and `crop` cuts the central
    square, both as torchvision does; without them all images must have the size of the first.

    Parameters
    ----------
    class_map : ClassMap, "alphabet" or None
        The model's class of each subfolder.  None: its place in the alphabet, as in torchvision's ImageFolder, if there are as
        many subfolders as classes.  "alphabet": the same where there are fewer.
    num_classes : int, optional
        Of the model.

    Raises
    ------
    DataError
        What cannot be read; subfolders whose classes are not certain.
    InvalidArgumentError
        A class map for images without subfolders, or of another number of classes than the model's.
    """

    def __init__(
        self, path: Path, *, resize: int | None = None, crop: int | None = None, mode: str = "RGB",
        class_map: ClassMap | str | None = None, num_classes: int | None = None,
    ) -> None:  # fmt: skip
        try:
            import PIL  # noqa: F401
        except ImportError as error:
            raise DataError(f"image folders need Pillow: {extras.advice('PIL', error)}.") from None
        if kind_of(path) != "a directory":
            raise DataError(f"{shown(path)} is not a folder: give the folder that holds one subfolder per class.")
        self.path, self.mode = path, mode
        self.resize = None if resize is None else checks.whole("resize", resize, 1, LONGEST_SIDE)
        self.crop = None if crop is None else checks.whole("crop", crop, 1, LONGEST_SIDE)
        try:
            self.files, self.classes = _listing(path)
        except OSError as error:
            where = shown(error.filename or path)
            raise DataError(f"{where} cannot be listed: {reason(error)}. Make it readable or move it away.") from None
        if not self.files:
            raise DataError(f"{shown(path)} holds no images ({', '.join(FORMATS)}).")
        self.name = shown(path.resolve().name if path.name in ("", "..") else path.name)
        nested = [file.relative_to(path).parts for file in self.files]
        if any(len(parts) > 1 for parts in nested) and any(len(parts) == 1 for parts in nested):
            raise DataError(f"{shown(path)} holds images both beside and inside subfolders: put each into its class's subfolder.")
        self.labels: list[int] | None = None
        self.num_classes: int | None = None
        self._by_alphabet = True
        if len(nested[0]) > 1:
            self._label([parts[0] for parts in nested], class_map, num_classes)
        else:
            self.classes = []
            if class_map is not None:
                raise InvalidArgumentError(f"{shown(path)} has no class folders to be mapped: leave the class map out.")
        self.shape = self._shape()
        self.dtype = np.dtype(np.float32)

    def _label(self, folders: list[str], class_map: ClassMap | str | None, num_classes: int | None) -> None:
        """Labels, classes by the map or by the alphabet."""
        used = sorted(set(folders))
        if isinstance(class_map, ClassMap):
            number = dict(zip(used, class_map.of(used), strict=True))
            if class_map.complete and num_classes not in (None, class_map.total):
                raise InvalidArgumentError(
                    f"{class_map.where} names {class_map.total:,} classes and the model has {num_classes:,}: give the class map "
                    "of this model."
                )
            self.num_classes, self._by_alphabet = class_map.total, False
        else:
            if class_map is None and num_classes is not None and num_classes != len(self.classes):
                raise InvalidArgumentError(self._doubt(used, num_classes))
            number = {name: i for i, name in enumerate(self.classes)}
            self.num_classes, self._by_alphabet = len(self.classes), self.classes == used
        outside = [name for name in used if num_classes is not None and number[name] >= num_classes]
        if outside:
            raise InvalidArgumentError(
                f"the folder {shown(outside[0])} is class {number[outside[0]]} and the model has {num_classes:,} classes, from 0 "
                "on: give another class map."
            )
        self.labels = [number[name] for name in folders]

    def _doubt(self, used: list[str], num_classes: int) -> str:
        empty = [name for name in self.classes if name not in used]
        holds = f"{len(self.classes):,} class folders ({some(self.classes)})" + (f", {some(empty)} empty," if empty else "")
        return (
            f"{self.name} has {holds} and the model {num_classes:,} classes, so places in the alphabet need not be the model's "
            f"classes. Give --class-map FILE (folder names with their classes), or --class-map {ALPHABET} if the folders are the "
            "model's first classes in that order."
        )

    def __len__(self) -> int:
        return len(self.files)

    def label(self, index: int) -> int | None:
        return None if self.labels is None else self.labels[index]

    def image(self, index: int) -> NDArray[np.float32]:
        image = self._open(index)
        if image.shape != self.shape:
            raise DataError(
                f"{shown(self.files[index])} is {image.shape[1]}x{image.shape[2]}, other images are "
                f"{self.shape[1]}x{self.shape[2]}: give --resize and --crop."
            )
        return image

    def fingerprint(self) -> str:
        prepared = f"{self.resize} {self.crop} {self.mode}"
        if self.resize is not None or self.crop is not None:
            prepared += " as torchvision"
        digest = hashlib.sha256(f"{prepared}\n".encode())
        for index, file in enumerate(self.files):
            label = "" if self._by_alphabet or self.labels is None else f" {self.labels[index]}"
            digest.update(f"{file.relative_to(self.path).as_posix()}{label}\n".encode(errors="surrogateescape"))
        return digest.hexdigest()

    def _shape(self) -> tuple[int, int, int]:
        if self.crop is not None:
            return (3 if self.mode == "RGB" else 1, self.crop, self.crop)
        problem: DataError | None = None
        for index in range(len(self.files)):
            try:
                channels, height, width = self._open(index).shape
                return (channels, height, width)
            except DataError as error:
                problem = problem or error
        raise DataError(f"no image of {shown(self.path)} can be read; the first says: {problem}")

    def _open(self, index: int) -> NDArray[np.float32]:
        return pixels(self.files[index], self.mode, self.resize, self.crop)


def _listing(path: Path) -> tuple[list[Path], list[str]]:
    """Image files, sorted, and the subfolders, sorted; links are followed, hidden names and links back into a parent left out."""
    if path.resolve() == Path(path.resolve().anchor):
        raise DataError(f"{shown(path)} is the whole file system: give the folder that holds one subfolder per class.")
    files: list[Path] = []
    classes: list[str] = []
    seen = 0
    waiting: list[tuple[Path, tuple[tuple[int, int], ...]]] = [(path, (_identity(path),))]
    while waiting:
        folder, above = waiting.pop()
        with os.scandir(folder) as entries:
            for entry in entries:
                seen += 1
                if seen > MANY and len(files) * 50 < seen:
                    raise DataError(
                        f"of the first {seen - 1:,} names in {shown(path)} only {len(files):,} are images: give the folder that "
                        "holds one subfolder per class."
                    )
                if entry.name.startswith(".") or entry.name in NO_CLASSES:
                    continue
                if _is_folder(entry):
                    inner = Path(folder, entry.name)
                    identity = _identity(inner)
                    if identity in above:
                        continue
                    waiting.append((inner, (*above, identity)))
                    if folder == path:
                        classes.append(entry.name)
                elif _ending(entry.name) in FORMATS:
                    files.append(Path(folder, entry.name))
                elif folder == path and entry.is_symlink() and _leads_nowhere(entry):
                    raise DataError(
                        f"{shown(Path(folder, entry.name))} is a link to nothing: mend or remove it, for it counts "
                        "among the classes."
                    )
    return sorted(files), sorted(classes)


def _ending(name: str) -> str:
    before, dot, ending = name.rpartition(".")
    return f".{ending.lower()}" if before and dot else ""


def _identity(folder: Path) -> tuple[int, int]:
    found = folder.stat()
    return found.st_dev, found.st_ino


def _leads_nowhere(entry: os.DirEntry[str]) -> bool:
    try:
        entry.stat()
    except OSError:
        return True
    return False


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False
