"""MNIST-like idx files, plain or .gz."""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from pathlib import Path
from typing import IO

import numpy as np

from ..errors import DataError
from .base import ArraySource
from .files import MOST_BYTES, kind_of, open_file, reason, shown
from .npy import DEFLATE


def mnist(path: Path, split: str, num_classes: int | None = None) -> ArraySource:
    """MNIST-like idx files: a folder with t10k-images-idx3-ubyte (or train-…) and its labels, plain or .gz.

    Labels are from 0 to `num_classes` - 1, by default to 9.
    """
    stem = "t10k" if split == "test" else "train"
    classes = 10 if num_classes is None else max(10, num_classes)
    images, labels = (array(_find(path, stem, kind)) for kind in ("images-idx3", "labels-idx1"))
    return ArraySource(f"mnist ({split})", images, labels.astype(np.int64), num_classes=classes)


def _find(path: Path, stem: str, kind: str) -> Path:
    names = [f"{stem}-{kind}-ubyte", f"{stem}-{kind.replace('-idx', '.idx')}-ubyte"]
    for name in [name + end for name in names for end in ("", ".gz")]:
        if kind_of(path / name) not in ("nothing", "a directory"):
            return path / name
    raise DataError(f"{shown(path)} has no {names[0]}, plain or .gz: give the folder with the MNIST idx files.")


def array(file: Path) -> np.ndarray:
    """The uint8 array of an idx file; what its header promises is compared with what the file can hold before it is read.

    Raises
    ------
    DataError
        A file that cannot be read, is no idx file of bytes, or is not as long as it says.
    """
    with open_file(file) as opened:
        size = os.fstat(opened.fileno()).st_size
        try:
            if file.suffix != ".gz":
                return _array(opened, file, size)
            with gzip.GzipFile(fileobj=opened) as unpacked:
                return _array(unpacked, file, size * DEFLATE)
        except (OSError, EOFError, zlib.error, MemoryError) as error:
            kind = "gzip file" if file.suffix == ".gz" else "file"
            raise DataError(f"{shown(file)} is not a readable {kind}: {reason(error)}.") from None


def _array(opened: IO[bytes] | gzip.GzipFile, file: Path, most: int) -> np.ndarray:
    magic = opened.read(4)
    if len(magic) < 4 or magic[:3] != b"\0\0\x08":
        raise DataError(f"{shown(file)} is not an idx file of bytes: it does not begin with 00 00 08.")
    axes = magic[3]
    sides = opened.read(4 * axes)
    if len(sides) < 4 * axes:
        raise DataError(f"{shown(file)} ends within its header: it is torn.")
    if not 1 <= axes <= 4:
        raise DataError(f"{shown(file)} is an idx file of {axes} axes: images have 3, labels 1.")
    shape = struct.unpack(f">{axes}I", sides)
    total = math.prod(shape)
    if total == 0:
        raise DataError(f"{shown(file)} announces {shape} bytes: it holds no images or labels.")
    if total > min(most, MOST_BYTES):
        raise DataError(f"{shown(file)} announces {shape} bytes, more than it can hold: it is damaged.")
    data = opened.read(total)
    more = opened.read(1)
    if len(data) < total or more:
        raise DataError(f"{shown(file)} announces {shape} bytes and holds {'more' if more else len(data)}: it is torn.")
    return np.frombuffer(data, dtype=np.uint8).reshape(shape)
