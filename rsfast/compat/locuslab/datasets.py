"""The data sets of locuslab/smoothing by name, and every other source that rsfast reads."""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ... import sources
from ...errors import DataError, InvalidArgumentError
from ...sources.base import ArraySource, Source

DATASETS = ["imagenet", "cifar10"]
CLASSES = {"imagenet": 1000, "cifar10": 10}
STATISTICS = {
    "imagenet": ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    "cifar10": ([0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010]),
}
FOLDERS = {"imagenet": "IMAGENET_DIR", "cifar10": "CIFAR10_DIR"}
"""By data set: the environment variable that names its folder."""


class Dataset:
    """A source as pairs (image tensor [C, H, W] in [0, 1], label)."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        label = self.source.label(index)
        return torch.from_numpy(self.source.image(index)), -1 if label is None else label

    def __iter__(self) -> Iterator[tuple[torch.Tensor, int]]:
        return (self[index] for index in range(len(self)))


def get_source(dataset: str, split: str = "test") -> Source:
    """The source that a data set's name means.

    Parameters
    ----------
    dataset : str
        `imagenet` (folders `val` and `train` of $IMAGENET_DIR, one subfolder per class; resized to 256, centre crop of 224),
        `cifar10` ($CIFAR10_DIR or ./dataset_cache, binary batches or the pickled ones that torchvision unpacks), or whatever
        `rsfast.sources.load` takes.
    split : str
        "test" or "train".  Images of the training set are prepared like test images, without random crops and flips.

    Raises
    ------
    DataError, InvalidArgumentError
        What is missing or cannot be read.
    """
    if split not in ("train", "test"):
        raise InvalidArgumentError(f"split={split!r} is not known: give train or test.")
    if dataset == "imagenet":
        folder = os.environ.get(FOLDERS["imagenet"])
        if not folder:
            raise DataError("the data set imagenet is read from the folder that IMAGENET_DIR names, and it is not set: set it.")
        return sources.load(f"folder:{Path(folder) / ('val' if split == 'test' else 'train')}", resize=256, crop=224)
    if dataset == "cifar10":
        return _cifar10(Path(os.environ.get(FOLDERS["cifar10"]) or "dataset_cache"), split)
    has_splits = dataset == "digits" or dataset.startswith(("cifar10:", "mnist:"))
    if split == "train" and not has_splits:
        raise InvalidArgumentError(f"--split train is for imagenet, cifar10, digits and mnist: {dataset!r} has no splits.")
    return sources.load(dataset, split=split if has_splits else None)


def get_dataset(dataset: str, split: str) -> Dataset:
    """Pairs of images and labels; arguments as in `get_source`."""
    return Dataset(get_source(dataset, split))


def get_num_classes(dataset: str) -> int:
    """Number of classes of a data set."""
    if dataset in CLASSES:
        return CLASSES[dataset]
    classes = get_source(dataset).num_classes
    if classes is None:
        raise DataError(f"{dataset} has no labels to count classes by: give a data set with labels.")
    return classes


def get_normalize_layer(dataset: str) -> torch.nn.Module:
    """The layer that stands before the networks of imagenet and cifar10."""
    if dataset not in STATISTICS:
        raise InvalidArgumentError(f"the statistics of {dataset!r} are not known: give one of {', '.join(STATISTICS)}.")
    return NormalizeLayer(*STATISTICS[dataset])


class NormalizeLayer(torch.nn.Module):
    """(x - mean) / sd per channel, as the first layer of a base classifier; holds no entries of the state dict.

    Parameters
    ----------
    means, sds : sequence of float
        One for each channel.
    """

    def __init__(self, means: Sequence[float], sds: Sequence[float]) -> None:
        super().__init__()
        self.means: torch.Tensor
        self.sds: torch.Tensor
        self.register_buffer("means", torch.tensor(list(means)).reshape(-1, 1, 1), persistent=False)
        self.register_buffer("sds", torch.tensor(list(sds)).reshape(-1, 1, 1), persistent=False)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return (input - self.means) / self.sds


def _cifar10(folder: Path, split: str) -> Source:
    pickled = [f for f in (folder, folder / "cifar-10-batches-py") if (f / "test_batch").is_file()]
    if not pickled:
        if not folder.is_dir():
            raise DataError(f"the data set cifar10 is read from {folder}, which is not there: set CIFAR10_DIR to its folder.")
        return sources.load(f"cifar10:{folder}", split=split)
    names = ["test_batch"] if split == "test" else [f"data_batch_{i}" for i in range(1, 6)]
    images, labels = zip(*[_pickled_batch(pickled[0] / name) for name in names], strict=True)
    return ArraySource(f"cifar10 ({split})", np.concatenate(images), np.concatenate(labels), CLASSES["cifar10"])


def _pickled_batch(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 [N, 3, 32, 32] and labels of a batch as the Toronto archive for Python holds it."""
    try:
        fields = _Batch(io.BytesIO(file.read_bytes()), encoding="bytes").load()
        images, labels = np.asarray(fields[b"data"]), np.asarray(fields[b"labels"], dtype=np.int64)
        return images.reshape(-1, 3, 32, 32).astype(np.uint8, casting="safe"), labels
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror or error}.") from None
    except Exception as error:  # a damaged pickle fails in many ways
        raise DataError(f"{file} is not a CIFAR-10 batch ({type(error).__name__}: {error}).") from None


class _Batch(pickle.Unpickler):
    """Builds arrays and nothing else."""

    ALLOWED = {"_codecs encode", "numpy dtype", "numpy ndarray"} | {
        f"numpy.{core}.multiarray _reconstruct" for core in ("core", "_core")
    }

    def find_class(self, module: str, name: str) -> Any:
        if f"{module} {name}" not in self.ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return super().find_class(module.replace("numpy.core", "numpy._core") if np.__version__ >= "2" else module, name)
