"""Networks of the published checkpoints by name, with the normalisation of their data set in front."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ... import models
from ...errors import InvalidArgumentError, ModelError
from .datasets import CLASSES, STATISTICS, get_normalize_layer

ARCHITECTURES = ["resnet50", "cifar_resnet20", "cifar_resnet110"]


class Bottleneck(nn.Module):
    """1x1, 3x3 (with the stride), 1x1 convolution and a shortcut."""

    def __init__(self, inside: int, width: int, stride: int) -> None:
        super().__init__()
        outside = 4 * width
        self.conv1 = nn.Conv2d(inside, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outside, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outside)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride != 1 or inside != outside:
            self.downsample = nn.Sequential(nn.Conv2d(inside, outside, 1, stride=stride, bias=False), nn.BatchNorm2d(outside))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        return self.relu(self.bn3(self.conv3(out)) + shortcut)


class ResNet50(nn.Module):
    """ResNet-50 (He et al. 2016; stride in the 3x3 convolutions), parameters named as torchvision names them."""

    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = self._layer(64, 64, 3, stride=1)
        self.layer2 = self._layer(256, 128, 4, stride=2)
        self.layer3 = self._layer(512, 256, 6, stride=2)
        self.layer4 = self._layer(1024, 512, 3, stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(2048, num_classes)

    @staticmethod
    def _layer(inside: int, width: int, blocks: int, stride: int) -> nn.Sequential:
        return nn.Sequential(Bottleneck(inside, width, stride), *[Bottleneck(4 * width, width, 1) for _ in range(blocks - 1)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x).flatten(1))


class Normalized(nn.Sequential):
    """A normalisation layer and a network; takes state dicts with the names of DataParallel (`1.module.…`) or without."""

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        plain = {name.replace("module.", "", 1) if "module." in name[:9] else name: v for name, v in state_dict.items()}
        if plain and not any(name.startswith(("0.", "1.")) for name in plain):
            plain = {f"1.{name}": value for name, value in plain.items()}
        return super().load_state_dict(plain, strict=strict, assign=assign)


def get_architecture(arch: str, dataset: str, num_classes: int | None = None) -> nn.Module:
    """An untrained network on the CPU: normalisation layer, then the architecture.

    Parameters
    ----------
    arch : str
        One of ARCHITECTURES, or an architecture that `rsfast.models.build` knows (then without a normalisation layer).
    dataset : str
        "imagenet" or "cifar10" choose normalisation and classes; for other data sets the architecture does.
    num_classes : int, optional
        Default: the data set's.
    """
    home = dataset if dataset in STATISTICS else "imagenet" if arch == "resnet50" else "cifar10"
    classes = num_classes or CLASSES[home]
    if arch == "resnet50":
        return Normalized(get_normalize_layer(home), ResNet50(classes))
    if arch in ("cifar_resnet20", "cifar_resnet110"):
        network = models.build(arch.replace("cifar_", "cifar-"), num_classes=classes, channels=3)
        return Normalized(get_normalize_layer(home), network)
    try:
        return models.build(arch, num_classes=classes, channels=3 if dataset in STATISTICS else _channels(dataset))
    except InvalidArgumentError:
        known = ", ".join((*ARCHITECTURES, *models.ARCHITECTURES))
        raise InvalidArgumentError(
            f"architecture {arch!r} is not known: give one of {known}, torchvision:NAME or timm:NAME."
        ) from None


def _channels(dataset: str) -> int:
    from .datasets import get_source

    return get_source(dataset).shape[0]


def load_checkpoint(file: str | Path, dataset: str, num_classes: int | None = None) -> nn.Module:
    """The base classifier of a published checkpoint: a torch file with `arch` and `state_dict`.

    Raises
    ------
    ModelError
        A file that cannot be read, is no such checkpoint, or does not fit its architecture.
    """
    path = Path(file)
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}.") from None
    except Exception as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(f"{path} cannot be loaded as a checkpoint: {first}") from error
    if not isinstance(checkpoint, dict) or not {"arch", "state_dict"} <= set(checkpoint):
        raise ModelError(f"{path} is not a checkpoint of locuslab/smoothing: it must hold `arch` and `state_dict`.")
    network = get_architecture(str(checkpoint["arch"]), dataset, num_classes)
    try:
        network.load_state_dict(checkpoint["state_dict"])
    except (RuntimeError, TypeError, AttributeError) as error:
        lines = [line.strip() for line in str(error).splitlines()[1:3]]
        raise ModelError(f"{path} does not fit {checkpoint['arch']}: {' '.join(lines) or error}") from error
    return network.eval()
