"""Networks of torchvision and timm with those libraries' own weights, and the normalisation that they were trained with."""

from __future__ import annotations

import contextlib
import importlib
import io
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from .. import extras
from ..errors import InvalidArgumentError, ModelError, reason

LIBRARIES = ("torchvision", "timm")


class Pretrained(NamedTuple):
    """A network with its weights, what they are called, and what the library says about its input and its classes."""

    network: torch.nn.Module
    weights: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: tuple[str, ...] | None


def pretrained(spec: str, num_classes: int | None, channels: int | None) -> Pretrained:
    """The network that `torchvision:NAME` or `timm:NAME` names; the library downloads weights that it has not kept.

    Raises
    ------
    InvalidArgumentError
        Another name, or a network for other classes or channels than these.
    ModelError
        The library is missing or does not know the name, or the weights cannot be had.
    """
    library, _, name = spec.rpartition(":")
    if library not in LIBRARIES:
        raise InvalidArgumentError(
            f"model {spec!r} has no weights in a library: pretrained is for torchvision:NAME and timm:NAME."
        )
    make = _of_torchvision if library == "torchvision" else _of_timm
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            found = make(name)
    except ImportError as error:
        raise ModelError(f"model {spec!r} needs {library}: {extras.advice(library, error)}.") from None
    except Exception as error:  # of the network, of the file system, of the library
        raise ModelError(
            f"the pretrained weights of {spec} cannot be had ({type(error).__name__}: {reason(error, 200)}): check the name and "
            "the connection, or give a file with --checkpoint."
        ) from error
    if channels is not None and len(found.mean) not in (1, channels):
        raise InvalidArgumentError(
            f"{spec} takes images of {len(found.mean)} channels and the data's have {channels}: give others."
        )
    classes = _classes(found)
    if num_classes is not None and classes not in (None, num_classes):
        raise InvalidArgumentError(
            f"the pretrained {spec} has {classes:,} classes and the data {num_classes:,}: give --num-classes {classes}, and "
            "for an image folder a --class-map."
        )
    found.network.eval()
    return found


def _of_torchvision(name: str) -> Pretrained:
    models = importlib.import_module("torchvision.models")
    weights = models.get_model_weights(name).DEFAULT
    shown, categories = weights.transforms(), weights.meta.get("categories")
    network = models.get_model(name, weights=weights)
    return Pretrained(network, str(weights), _numbers(shown.mean), _numbers(shown.std), tuple(categories) if categories else None)


def _of_timm(name: str) -> Pretrained:
    network = importlib.import_module("timm").create_model(name, pretrained=True)
    said: dict[str, Any] = dict(network.pretrained_cfg)
    weights = ".".join(filter(None, (said.get("architecture") or name, said.get("tag"))))
    return Pretrained(network, weights, _numbers(said["mean"]), _numbers(said["std"]), None)


def _classes(found: Pretrained) -> int | None:
    """How many classes a network has, as far as it is said."""
    said = getattr(found.network, "num_classes", None)
    return len(found.classes) if found.classes else said if isinstance(said, int) else None


def _numbers(values: Sequence[float]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
