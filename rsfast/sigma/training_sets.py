"""Training images for a search that reads them in blocks: arrays, tensors, memory maps, or anything with `block`."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import InvalidArgumentError


@runtime_checkable
class TrainingSet(Protocol):
    """A training set is read in blocks; its images and their order must not change."""

    shape: tuple[int, ...]  # of one image

    def __len__(self) -> int: ...

    def block(self, start: int, stop: int) -> NDArray[Any]:
        """Return images start … stop - 1, [stop - start, *shape], always uint8 or always of one floating-point type."""


class InMemory:
    """This holds a tensor, an array, or a memory map that cannot be read as a file."""

    def __init__(self, images: np.ndarray | torch.Tensor) -> None:
        self.images, self.shape = images, tuple(images.shape[1:])

    def __len__(self) -> int:
        return len(self.images)

    def block(self, start: int, stop: int) -> NDArray[Any]:
        return as_array(self.images[start:stop], "training")


class File:
    """This reads a memory map through its file: pages of the map that are touched would count as resident memory."""

    def __init__(self, images: np.memmap) -> None:
        self.shape, self.dtype, self.count = images.shape[1:], images.dtype, len(images)
        self.path, self.image_bytes = Path(str(images.filename)), images[:1].nbytes
        whole = images
        while isinstance(whole.base, np.memmap):
            whole = whole.base
        self.offset = whole.offset + images.ctypes.data - whole.ctypes.data  # a slice's own .offset is that of the whole map

    def __len__(self) -> int:
        return self.count

    def block(self, start: int, stop: int) -> NDArray[Any]:
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset + start * self.image_bytes)
                pixels = np.fromfile(file, self.dtype, (stop - start) * math.prod(self.shape))
            return pixels.reshape(stop - start, *self.shape)
        except (OSError, ValueError) as error:
            raise InvalidArgumentError(
                f"training images {start} to {stop - 1} cannot be read from {self.path}: {error}."
            ) from None

    def identity(self) -> str:
        """Return what tells this content from another without reading it."""
        found = self.path.stat()
        place = [str(self.path), found.st_size, found.st_mtime_ns, self.offset, self.dtype.str, self.count, *self.shape]
        return hashlib.sha256(json.dumps(place).encode()).hexdigest()


def training_set(value: object) -> TrainingSet:
    """Return what was given, as something that is read in blocks."""
    if isinstance(value, TrainingSet):
        return value
    images = value if isinstance(value, (np.ndarray, torch.Tensor)) else as_array(value, "training")
    if images.ndim == 0 or 0 in images.shape:
        raise InvalidArgumentError(f"training has shape {tuple(images.shape)} and holds no pixels: give images [N, ...].")
    if isinstance(images, np.memmap) and images.filename and images.mode != "c" and images.flags.c_contiguous:
        with contextlib.suppress(InvalidArgumentError):  # the file may be gone, or another one, while the map lives on
            file = File(images)
            if file.block(0, 1).tobytes() == images[:1].tobytes():
                return file
    return InMemory(images)


def as_array(value: object, name: str) -> NDArray[Any]:
    try:
        if isinstance(value, torch.Tensor):
            value = value.detach().cpu()
            value = (value.float() if value.dtype == torch.bfloat16 else value).numpy()
        return np.asarray(value)
    except Exception:  # arrays of other libraries fail in many ways
        raise InvalidArgumentError(f"{name} is {type(value).__name__}: give an array or a tensor of images.") from None
