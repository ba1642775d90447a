"""Sources that fit in memory: scikit-learn's digits, .npz files, CIFAR-10 binary batches, MNIST idx files."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np

from .. import extras
from ..errors import DataError
from .base import ArraySource, first_existing, read


def digits(split: str) -> ArraySource:
    """The 1797 handwritten digits bundled with scikit-learn, [1, 8, 8]; every third image is the test split."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DataError(f"the digits data set comes with scikit-learn: {extras.advice('sklearn', error)}.") from None
    data = load_digits()
    test = np.arange(len(data.target)) % 3 == 2
    chosen = test if split == "test" else ~test
    images = (data.images[chosen] / 16).astype(np.float32)
    return ArraySource(f"digits ({split})", images, data.target[chosen], num_classes=10)


def npz(path: Path) -> ArraySource:
    """Arrays `x` (or `images`) and `y` (or `labels`, optional) of a NumPy .npz file."""
    try:
        opened = path.open("rb")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from None
    try:
        with opened, np.load(opened, allow_pickle=False) as file:
            names = {name.lower(): name for name in file.files}
            images = next((file[names[key]] for key in ("x", "images") if key in names), None)
            labels = next((file[names[key]] for key in ("y", "labels") if key in names), None)
    except Exception as error:  # a damaged archive fails in many ways
        raise DataError(f"{path} is not a readable .npz file: {error}.") from None
    if images is None:
        raise DataError(f"{path} holds {', '.join(names) or 'nothing'}: name the images x and the labels y.")
    return ArraySource(path.name, images, labels)


def npy(path: Path) -> ArraySource:
    """A .npy file of images [N, H, W] or [N, C, H, W], as a memory map."""
    try:
        images = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path} is not a readable .npy file: {error}.") from None
    return ArraySource(path.name, images, None)


def cifar10(path: Path, split: str) -> ArraySource:
    """CIFAR-10 binary batches: a folder with test_batch.bin or data_batch_1…5.bin, or one such file."""
    names = ["test_batch.bin"] if split == "test" else [f"data_batch_{i}.bin" for i in range(1, 6)]
    files = [path] if path.is_file() else [path / name for name in names]
    if path.is_dir() and not files[0].is_file() and (path / "cifar-10-batches-bin").is_dir():
        files = [path / "cifar-10-batches-bin" / name for name in names]
    records = []
    for file in files:
        data = read(file)
        if len(data) % 3073 or not data:
            raise DataError(f"{file} has {len(data)} bytes, not a multiple of 3073: it is not a CIFAR-10 binary batch.")
        records.append(np.frombuffer(data, dtype=np.uint8).reshape(-1, 3073))
    table = np.concatenate(records)
    if table[:, 0].max() > 9:
        raise DataError(f"{files[0]} holds label {table[:, 0].max()}: it is not a CIFAR-10 binary batch.")
    return ArraySource(f"cifar10 ({split})", table[:, 1:].reshape(-1, 3, 32, 32), table[:, 0].astype(np.int64), 10)


def mnist(path: Path, split: str) -> ArraySource:
    """MNIST-like idx files: a folder with t10k-images-idx3-ubyte (or train-…) and its labels, plain or .gz."""
    stem = "t10k" if split == "test" else "train"

    def find(kind: str) -> Path:
        names = [f"{stem}-{kind}-ubyte", f"{stem}-{kind.replace('-idx', '.idx')}-ubyte"]
        found = first_existing(path / (name + end) for name in names for end in ("", ".gz"))
        if found is None:
            raise DataError(f"{path} has no {names[0]}, plain or .gz: give the folder with the MNIST idx files.")
        return found

    images, labels = _idx(find("images-idx3")), _idx(find("labels-idx1"))
    return ArraySource(f"mnist ({split})", images, labels.astype(np.int64), num_classes=10)


def _idx(file: Path) -> np.ndarray:
    data = read(file)
    if file.suffix == ".gz":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{file} is not a readable gzip file: {error}.") from None
    if len(data) < 4 or data[:3] != b"\0\0\x08":
        raise DataError(f"{file} is not an idx file of bytes: it does not begin with 00 00 08.")
    axes = data[3]
    if len(data) < 4 + 4 * axes:
        raise DataError(f"{file} ends within its header: it is torn.")
    shape = struct.unpack(f">{axes}I", data[4 : 4 + 4 * axes])
    if len(data) != 4 + 4 * axes + int(np.prod(shape)):
        raise DataError(f"{file} announces {shape} bytes and holds {len(data) - 4 - 4 * axes}: it is torn.")
    return np.frombuffer(data, dtype=np.uint8, offset=4 + 4 * axes).reshape(shape)
