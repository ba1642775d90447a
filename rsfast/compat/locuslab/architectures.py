"""Networks of the published checkpoints by name, with the normalisation of their data set in front."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ... import models
from ...errors import InvalidArgumentError, ModelError, reason
from ...files import printable
from ...models.fitting import fit
from .datasets import CLASSES, STATISTICS, NormalizeLayer, get_normalize_layer

ARCHITECTURES = ["resnet50", "cifar_resnet20", "cifar_resnet110"]


class Normalized(nn.Sequential):
    """This is a normalisation layer and a network; it takes state dicts as checkpoints hold them.

    Names may have the prefixes of wrappers (`1.module.…`, `module.1.…`), and the statistics of the layer (`0.means`, `0.sds`),
    which are then taken instead of the data set's.
    """

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        if strict and isinstance(self[0], NormalizeLayer):
            return self.fill(state_dict, "the state dict", type(self[1]).__name__, assign)
        return super().load_state_dict(state_dict, strict=strict, assign=assign)

    def fill(self, state_dict: Mapping[str, Any], file: str, arch: str, assign: bool = False) -> Any:
        """Do what `load_state_dict` does, with names for messages."""
        layer, network = self[0], self[1]
        found = fit(state_dict, network, file, arch, lambda names: "")
        if found.unused:
            raise ModelError(
                f"{file} holds numbers that {arch} has no place for ({', '.join(found.unused[:5])}): leave them out."
            )
        if found.mean is not None and found.std is not None:
            for name, values in (("means", found.mean), ("sds", found.std)):
                old = getattr(layer, name)
                setattr(layer, name, torch.tensor(values, dtype=old.dtype, device=old.device).reshape(-1, 1, 1))
        return network.load_state_dict(found.state, strict=False, assign=assign)


def get_architecture(arch: str, dataset: str, num_classes: int | None = None) -> nn.Module:
    """Return an untrained network on the CPU: the normalisation layer, then the architecture.

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


def load_checkpoint(file: str | Path, dataset: str, num_classes: int | None = None, *, trust: bool = False) -> nn.Module:
    """Return the base classifier of a published checkpoint, a torch file with `arch` and `state_dict`.

    Nothing that the file names is executed unless `trust` is given.

    Raises
    ------
    ModelError
        A file that cannot be read, is no such checkpoint, or does not fit its architecture.
    """
    path = Path(file)
    name = printable(str(path))
    checkpoint = models.load_checkpoint(path, trust=trust)
    if not isinstance(checkpoint, dict) or not {"arch", "state_dict"} <= set(checkpoint):
        raise ModelError(f"{name} is not a checkpoint of locuslab/smoothing: it must hold `arch` and `state_dict`.")
    arch = str(checkpoint["arch"])
    network = get_architecture(arch, dataset, num_classes)
    try:
        if isinstance(network, Normalized):
            network.fill(checkpoint["state_dict"], name, arch)
        else:
            network.load_state_dict(checkpoint["state_dict"])
    except (RuntimeError, TypeError, AttributeError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"{name} does not fit {arch}: {reason(error)}.") from error
    return network.eval()
