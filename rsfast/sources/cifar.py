"""CIFAR-10 as its authors give it: the binary version and the one for Python."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import DataError
from . import pickles
from .base import ArraySource
from .files import kind_of, read, reason, shown

RECORD = 3073
CLASSES = 10


def cifar10(path: Path, split: str) -> ArraySource:
    """CIFAR-10: a folder with its batches, binary or for Python, or with the folder that the archive unpacks; or one batch.

    The batches for Python are pickles; they are read without unpickling (see `pickles`).
    """
    names = ["test_batch"] if split == "test" else [f"data_batch_{i}" for i in range(1, 6)]
    files = [path] if kind_of(path) not in ("a directory", "nothing") else _found(path, names)
    batches = [_batch(file) for file in files]
    images, labels = (np.concatenate(arrays) for arrays in zip(*batches, strict=True))
    return ArraySource(f"cifar10 ({split})", images, labels, CLASSES)


def _found(folder: Path, names: list[str]) -> list[Path]:
    for place, ending in (("", ".bin"), ("cifar-10-batches-bin", ".bin"), ("", ""), ("cifar-10-batches-py", "")):
        files = [folder / place / (name + ending) for name in names]
        if kind_of(files[0]) != "nothing":
            return files
    if kind_of(folder) == "nothing":
        raise DataError(f"{shown(folder)} is not there: give the folder with CIFAR-10's batches.")
    packed = [name for name in ("cifar-10-python.tar.gz", "cifar-10-binary.tar.gz") if kind_of(folder / name) == "a file"]
    if packed:
        raise DataError(f"{shown(folder / packed[0])} is packed: unpack it (tar xf {packed[0]}) and give the folder.")
    raise DataError(
        f"{shown(folder)} has neither {names[0]}.bin nor {names[0]}: give the folder that CIFAR-10's archive unpacks, of the "
        "binary version or of that for Python."
    )


def _batch(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 [N, 3, 32, 32] and labels int64 [N] of one file."""
    data = read(file)
    if data[:2] == b"\x1f\x8b":
        raise DataError(f"{shown(file)} is packed: unpack it (tar xf {shown(file.name)}) and give the folder.")
    if len(data) and len(data) % RECORD == 0:
        table = np.frombuffer(data, dtype=np.uint8).reshape(-1, RECORD)
        return _checked(file, table[:, 1:], table[:, 0])
    if data[:1] != b"\x80" and data[-1:] != b".":
        raise DataError(
            f"{shown(file)} has {len(data)} bytes, not a multiple of {RECORD}, and is no pickle: it is not a CIFAR-10 batch."
        )
    try:
        fields = pickles.loads(data)
    except (ValueError, MemoryError, OverflowError) as error:
        raise DataError(f"{shown(file)} is not a CIFAR-10 batch: {reason(error)}.") from None
    if not isinstance(fields, dict):
        raise DataError(f"{shown(file)} is not a CIFAR-10 batch: it does not hold a dict.")
    by_name = {key.decode("latin1") if isinstance(key, bytes) else key: value for key, value in fields.items()}
    if "labels" not in by_name or "data" not in by_name:
        raise DataError(
            f"{shown(file)} is not a CIFAR-10 batch: it holds {shown(', '.join(map(str, by_name))) or 'nothing'}, not data and "
            "labels."
        )
    images, labels = by_name["data"], by_name["labels"]
    if isinstance(labels, list) and all(type(label) is int and abs(label) < 2**62 for label in labels):
        labels = np.array(labels, dtype=np.int64)
    return _checked(file, images, labels)


def _checked(file: Path, images: object, labels: object) -> tuple[np.ndarray, np.ndarray]:
    if not isinstance(images, np.ndarray) or not isinstance(labels, np.ndarray) or images.dtype != np.uint8:
        raise DataError(f"{shown(file)} is not a CIFAR-10 batch: its data are not an array of bytes, or its labels not numbers.")
    if images.ndim == 0 or images.size != 3072 * len(images) or labels.shape != images.shape[:1] or labels.dtype.kind not in "iu":
        raise DataError(
            f"{shown(file)} is not a CIFAR-10 batch: its data are {images.shape} and its labels {labels.shape} {labels.dtype}."
        )
    wrong = (labels < 0) | (labels >= CLASSES)
    if wrong.any():
        raise DataError(
            f"{shown(file)}: the label of image {int(np.argmax(wrong))} is {labels[np.argmax(wrong)]}: CIFAR-10's are 0 to 9, so "
            "this is another data set or a damaged file."
        )
    return images.reshape(-1, 3, 32, 32), labels.astype(np.int64)
