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
    if arch in ARCHITECTURES:
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
