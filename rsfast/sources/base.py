"""What every data source offers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, InvalidArgumentError
from .files import kind_of, reason, shown


class Source(Protocol):
    """Images by position 0 … len - 1; an image's position is also its id."""

    name: str
    shape: tuple[int, int, int]
    num_classes: int | None
    dtype: np.dtype  # float64 where images are given with more digits than float32 holds, else float32

    def __len__(self) -> int: ...

    def image(self, index: int) -> NDArray[np.floating]:
        """Image [C, H, W] in [0, 1], of `dtype`; raises DataError if it cannot be read."""

    def label(self, index: int) -> int | None:
        """Its label, or None if the source has none."""

    def fingerprint(self) -> str:
        """Hex digits that change when the images' names, number, shape or preparation do.

        Not their pixels: a run stores those of every finished image as a hash of its own.
        """


class ArraySource:
    """A source held in memory: images uint8 (divided by 255) or floating point, [N, H, W] or [N, C, H, W]."""

    def __init__(self, name: str, images: np.ndarray, labels: np.ndarray | None, num_classes: int | None = None) -> None:
        if images.ndim == 3:
            images = images[:, None]
        if images.ndim != 4:
            raise DataError(f"{name} holds images of shape {images.shape}: give [N, H, W] or [N, C, H, W].")
        if images.size == 0:
            raise DataError(f"{name} holds no images (shape {images.shape}).")
        if not (images.dtype == np.uint8 or np.issubdtype(images.dtype, np.floating)):
            raise DataError(f"{name} holds {images.dtype} images: give uint8, or floating point in [0, 1].")
        if images.dtype.itemsize > 8:
            raise DataError(f"{name} holds {images.dtype} images: give float64 or float32, whose rounding is accounted for.")
        if images.dtype == np.uint8 and images.shape[3] == 3 and min(images.shape[1:3]) > 4:
            raise DataError(
                f"{name} holds images of shape {images.shape}, which reads as [N, H, W, C]: give [N, C, H, W], such as "
                "x.transpose(0, 3, 1, 2)."
            )
        if labels is not None:
            labels = _labels(name, np.asarray(labels), len(images), num_classes)
        self.name = name
        self.images = images
        self.labels = labels
        self.dtype = np.dtype(np.float64 if images.dtype.itemsize > 4 else np.float32)
        self.shape = (int(images.shape[1]), int(images.shape[2]), int(images.shape[3]))
        self.num_classes = num_classes if num_classes is not None or labels is None else int(labels.max()) + 1

    def __len__(self) -> int:
        return len(self.images)

    def image(self, index: int) -> NDArray[np.floating]:
        image = np.ascontiguousarray(self.images[index])
        if image.dtype == np.uint8:
            return image.astype(np.float32) / np.float32(255)
        image = image.astype(self.dtype)
        if not np.isfinite(image).all():
            raise DataError(f"image {index} of {self.name} holds NaN or infinity.")
        if image.min() < 0 or image.max() > 1:
            raise DataError(
                f"image {index} of {self.name} reaches from {image.min():g} to {image.max():g}: give floating-point images "
                "in [0, 1] (or uint8)."
            )
        return image

    def label(self, index: int) -> int | None:
        return None if self.labels is None else int(self.labels[index])

    def fingerprint(self) -> str:
        return hashlib.sha256(f"{self.images.dtype} {self.images.shape} {self.labels is None}".encode()).hexdigest()


def _labels(name: str, labels: np.ndarray, images: int, num_classes: int | None) -> np.ndarray:
    if labels.shape != (images,) or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(f"{name} holds {images} images and labels {labels.shape} {labels.dtype}: give one integer each.")
    most = 10**7 if num_classes is None else num_classes
    wrong = (labels < 0) | (labels >= most)
    if wrong.any():
        position = int(np.argmax(wrong))
        raise DataError(f"{name}: the label of image {position} is {labels[position]}: give classes from 0 to {most - 1:,}.")
    return labels


def check_classes(source: Source, num_classes: int) -> None:
    """A DataError if a label of the source is none of a model's classes 0 … num_classes - 1.

    Sources whose labels stand for less than they seem to (`FolderSource`) check more than that when they are made.
    """
    if source.num_classes is None or source.num_classes <= num_classes:
        return
    wrong = (i for i in range(len(source)) if (label := source.label(i)) is not None and label >= num_classes)
    where = next((f": the label of image {i} is {source.label(i)}" for i in wrong), "")
    raise InvalidArgumentError(
        f"num_classes={num_classes} is less than the {source.num_classes} classes of {source.name}{where}. Give the model's "
        "number of classes, or mend the labels."
    )


class _Blocks:
    """A source as blocks of images [n, C, H, W], read when they are needed."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.shape: tuple[int, ...] = source.shape

    def __len__(self) -> int:
        return len(self.source)

    def block(self, start: int, stop: int) -> NDArray[np.float32]:
        return np.stack([self.source.image(index) for index in range(start, min(stop, len(self)))])


def blocks(source: Source) -> np.ndarray | _Blocks:
    """The images of a source as an array where they are one already, else as something that reads them in blocks."""
    return source.images if isinstance(source, ArraySource) else _Blocks(source)


def write_npy(source: Source, file: Path, done: Callable[[], None] = lambda: None) -> None:
    """Write a source's images to `file`, .npy, [N, C, H, W]; a file that is there is replaced once all is written.

    Images of 8 bits are written as uint8; those of an array of floating-point numbers as float32 or float64, as they are.

    Raises
    ------
    DataError
        An image that cannot be read, or that is of neither kind; a file that cannot be written.
    """
    if file.suffix != ".npy":
        raise DataError(f"{shown(file)} does not end in .npy: give FILE.npy.")
    if kind_of(file) not in ("a file", "nothing"):
        raise DataError(f"{shown(file)} cannot be written: it is {kind_of(file)}. Give FILE.npy.")
    as_floats = isinstance(source, ArraySource) and source.images.dtype != np.uint8
    partial = file.with_name(f".{file.name}.partial")
    try:
        kind = source.dtype if as_floats else np.dtype(np.uint8)
        packed = np.lib.format.open_memmap(partial, mode="w+", dtype=kind, shape=(len(source), *source.shape))
        for index in range(len(source)):
            image = source.image(index)
            packed[index] = image if as_floats else np.rint(image * 255)
            kept = packed[index] if as_floats else packed[index].astype(np.float32) / np.float32(255)
            if not np.array_equal(kept, image):
                raise DataError(f"image {index} of {source.name} is not of 8-bit pixels: packing would change it.")
            done()
        packed.flush()
        partial.replace(file)
    except (OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{shown(file)} cannot be written: {reason(error)}.") from None
    finally:
        partial.unlink(missing_ok=True)
