"""The data sets of locuslab/smoothing by name, and every other source that rsfast reads."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from ... import sources
from ...errors import DataError, InvalidArgumentError
from ...sources.base import Source

DATASETS = ["imagenet", "cifar10"]
CLASSES = {"imagenet": 1000, "cifar10": 10}
STATISTICS = {
    "imagenet": ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    "cifar10": ([0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010]),
}
FOLDERS = {"imagenet": "IMAGENET_DIR", "cifar10": "CIFAR10_DIR"}
"""By data set: the environment variable that names its folder."""


class Dataset:
    """This gives a source as pairs (image tensor [C, H, W] in [0, 1], label)."""

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


def get_source(dataset: str, split: str = "test", class_map: str | None = None) -> Source:
    """Return the source that a data set's name means.

    Parameters
    ----------
    dataset : str
        `imagenet` (folders `val` and `train` of $IMAGENET_DIR, one subfolder per class; resized to 256, centre crop of 224),
        `cifar10` ($CIFAR10_DIR or ./dataset_cache, binary batches or the pickled ones that torchvision unpacks), or whatever
        `rsfast.sources.load` takes.
    split : str
        "test" or "train".  Images of the training set are prepared like test images, without random crops and flips.
    class_map : path, optional
        The model's class of each folder, as `rsfast.sources.load` takes it; needed where there are fewer folders than classes.

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
        path = Path(folder) / ("val" if split == "test" else "train")
        return sources.load(f"folder:{path}", resize=256, crop=224, class_map=class_map, num_classes=CLASSES["imagenet"])
    if dataset == "cifar10":
        place = Path(os.environ.get(FOLDERS["cifar10"]) or "dataset_cache")
        if sources.kind_of(place) == "nothing":
            raise DataError(f"the data set cifar10 is read from {place}, which is not there: set CIFAR10_DIR to its folder.")
        return sources.load(f"cifar10:{place}", split=split, class_map=class_map)
    has_splits = dataset == "digits" or dataset.startswith(("cifar10:", "mnist:"))
    if split == "train" and not has_splits:
        raise InvalidArgumentError(f"--split train is for imagenet, cifar10, digits and mnist: {dataset!r} has no splits.")
    return sources.load(dataset, split=split if has_splits else None, class_map=class_map)


def get_dataset(dataset: str, split: str, class_map: str | None = None) -> Dataset:
    """Return pairs of images and labels; the arguments are those of `get_source`."""
    return Dataset(get_source(dataset, split, class_map))


def get_num_classes(dataset: str) -> int:
    """Return the number of classes of a data set."""
    if dataset in CLASSES:
        return CLASSES[dataset]
    return classes_of(get_source(dataset))


def classes_of(source: Source) -> int:
    """Return the number of classes that a source's labels are from."""
    if source.num_classes is None:
        raise DataError(f"{source.name} has no labels to count classes by: give a data set with labels.")
    return source.num_classes


def get_normalize_layer(dataset: str) -> torch.nn.Module:
    """Return the layer that stands before the networks of imagenet and cifar10."""
    if dataset not in STATISTICS:
        raise InvalidArgumentError(f"the statistics of {dataset!r} are not known: give one of {', '.join(STATISTICS)}.")
    return NormalizeLayer(*STATISTICS[dataset])


class NormalizeLayer(torch.nn.Module):
    """This is (x - mean) / sd per channel, as the first layer of a base classifier; it holds no entries of the state dict.

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
