"""From what a user names to a base classifier."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from .. import extras
from ..errors import InvalidArgumentError, ModelError
from .cifar_resnet import CifarResNet
from .exported import from_exported, from_onnx, onnx_sha256, read
from .fingerprint import fingerprint
from .imagenet_resnet import ResNet50
from .small_cnn import SmallCNN

ARCHITECTURES: dict[str, Callable[..., torch.nn.Module]] = {
    "small-cnn": SmallCNN,
    "cifar-resnet20": functools.partial(CifarResNet, 20),
    "cifar-resnet110": functools.partial(CifarResNet, 110),
    "resnet50": ResNet50,
}
"""Built-in.  `torchvision:NAME` and `timm:NAME` name those libraries' models, if they are installed."""

PREFIXES = ("module.", "1.module.", "1.", "_orig_mod.")  # DataParallel, and a normalisation layer in front


@dataclasses.dataclass(frozen=True)
class LoadedModel:
    """A base classifier (or one for each part of an image), a name to show, and its fingerprint."""

    model: Callable[[torch.Tensor], torch.Tensor] | list[Callable[[torch.Tensor], torch.Tensor]]
    name: str
    sha256: str


def together(loaded: Sequence[LoadedModel]) -> LoadedModel:
    """Models for the parts of an image as one."""
    if len(loaded) == 1:
        return loaded[0]
    models = [model for one in loaded for model in (one.model if isinstance(one.model, list) else [one.model])]
    digest = hashlib.sha256(" ".join(one.sha256 for one in loaded).encode()).hexdigest()
    return LoadedModel(models, " + ".join(one.name for one in loaded), digest)


def build(architecture: str, *, num_classes: int, channels: int) -> torch.nn.Module:
    """A network of a known architecture, with fresh weights."""
    library, _, name = architecture.rpartition(":")
    if not library and name in ARCHITECTURES:
        return ARCHITECTURES[name](num_classes=num_classes, channels=channels)
    if library not in ("torchvision", "timm"):
        known = ", ".join(ARCHITECTURES)
        raise InvalidArgumentError(
            f"architecture {architecture!r} is not known: give one of {known}, torchvision:NAME or timm:NAME."
        )
    try:
        if library == "torchvision":
            models = importlib.import_module("torchvision.models")
            return models.get_model(name, num_classes=num_classes)
        return importlib.import_module("timm").create_model(name, num_classes=num_classes, in_chans=channels)
    except ImportError as error:
        raise ModelError(f"architecture {architecture!r} needs {library}: {extras.advice(library, error)}.") from None
    except Exception as error:
        raise ModelError(f"{library} cannot build {name!r}: {error}") from error


def load(
    spec: str, *, checkpoint: str | Path | None = None, num_classes: int | None = None, channels: int | None = None
) -> LoadedModel:
    """Load a base classifier.

    Parameters
    ----------
    spec : str
        `module:factory` (called without arguments, or with num_classes where it takes it), a path to a torch.export
        (.pt2) or ONNX (.onnx) file, or an architecture (`small-cnn`, `cifar-resnet20`, `cifar-resnet110`, `resnet50`,
        `torchvision:NAME`, `timm:NAME`).
    checkpoint : path, optional
        Weights for an architecture or a factory's module: .safetensors, or a torch file holding a state dict, possibly
        under "state_dict" or "model" and with DataParallel prefixes.
    num_classes, channels : int
        What an architecture is built for.

    Raises
    ------
    InvalidArgumentError, ModelError
        With the file or name and what is wrong with it.
    """
    if spec.endswith((".pt2", ".onnx")):
        return _exported(Path(spec), checkpoint)
    library, _, attribute = spec.rpartition(":")
    if spec in ARCHITECTURES or library in ("torchvision", "timm"):
        if checkpoint is None:
            raise InvalidArgumentError(f"model {spec!r} is an architecture: give its weights with --checkpoint FILE.")
        if num_classes is None or channels is None:
            raise InvalidArgumentError(f"model {spec!r} is built for a data set: give num_classes and channels.")
        model: Any = build(spec, num_classes=num_classes, channels=channels)
    elif library:
        model = _made(library, attribute, num_classes)
    else:
        raise InvalidArgumentError(
            f"model {spec!r} is not known: give module:factory, a .pt2 or .onnx file, or one of {', '.join(ARCHITECTURES)} "
            "with --checkpoint."
        )
    if checkpoint is not None:
        if not isinstance(model, torch.nn.Module):
            raise ModelError(f"{spec!r} made a {type(model).__name__}, which takes no checkpoint: leave --checkpoint out.")
        _fill(model, Path(checkpoint), spec)
    name = spec if checkpoint is None else f"{spec} ({Path(checkpoint).name})"
    return LoadedModel(model, name, fingerprint(model, origin="" if isinstance(model, torch.nn.Module) else spec))


def named(spec: str, what: str) -> Any:
    """What `module:attribute` names; the current directory counts as on the path.  `what` is it, for messages."""
    module, _, attribute = spec.rpartition(":")
    if not module or not attribute:
        raise InvalidArgumentError(f"{what} {spec!r} is not module:name.")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # as `python -m` would
    try:
        found = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (Exception, SystemExit) as error:  # importing runs the user's code
        raise ModelError(f"{what} {spec} cannot be imported: {type(error).__name__}: {error}") from error
    return found


def _made(module: str, attribute: str, num_classes: int | None) -> object:
    factory = named(f"{module}:{attribute}", "model")
    if not callable(factory):
        raise ModelError(f"model {module}:{attribute} is {type(factory).__name__}: name a function that returns the model.")
    import inspect

    try:
        takes = "num_classes" in inspect.signature(factory).parameters
    except (TypeError, ValueError):
        takes = False
    try:
        model = factory(num_classes=num_classes) if takes and num_classes is not None else factory()
    except (Exception, SystemExit) as error:
        raise ModelError(f"{module}:{attribute}() raised {type(error).__name__}: {error}") from error
    if not callable(model):
        raise ModelError(f"{module}:{attribute}() returned {type(model).__name__}: return a callable [N, C, H, W] → [N, K].")
    return model


def _exported(path: Path, checkpoint: str | Path | None) -> LoadedModel:
    if checkpoint is not None:
        raise InvalidArgumentError(f"{path} holds its own weights: leave --checkpoint out.")
    if path.suffix == ".onnx":
        return LoadedModel(from_onnx(path), path.name, onnx_sha256(path))
    return LoadedModel(from_exported(path), path.name, hashlib.sha256(read(path)).hexdigest())


def _fill(model: torch.nn.Module, path: Path, spec: str) -> None:
    try:
        path.open("rb").close()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}.") from None
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state: Any = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(f"{path} cannot be loaded as a checkpoint: {text}") from error
    for key in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in state.items()):
        raise ModelError(f"{path} does not hold a state dict: save model.state_dict().")
    try:
        model.load_state_dict(_unwrapped(state, set(model.state_dict())))
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:3]]
        raise ModelError(f"{path} does not fit {spec}: {' '.join(lines)}") from error


def _unwrapped(state: dict[str, torch.Tensor], wanted: set[str]) -> dict[str, torch.Tensor]:
    """The state dict without the prefix that a wrapper put before every name, if the names do not fit as they are."""
    for prefix in ("", *PREFIXES):
        bare = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        if len(bare) == len(state) and set(bare) == wanted:
            return bare
    return state
