"""From what a user names to a base classifier."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib
import sys
import warnings
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from types import NoneType
from typing import Any

import torch

from .. import checks, extras, names
from ..errors import InvalidArgumentError, ModelError, SoundnessWarning, reason
from ..files import printable
from ..hints import explained, meant, outside
from . import pretrained as library_weights
from .card import WEIGHTS as WEIGHTS_OF_CARD
from .card import has_card, read_card
from .checkpoints import class_names, load_checkpoint
from .exported import from_exported, from_onnx, onnx_sha256
from .fingerprint import fingerprint
from .fitting import fit
from .normalized import Normalized
from .opening import read


def _architecture(place: str, *first: Any) -> Callable[..., torch.nn.Module]:
    module, _, kind = place.partition(".")
    return functools.partial(getattr(importlib.import_module(f".{module}", __package__), kind), *first)


ARCHITECTURES = {name: _architecture(*made) for name, made in names.ARCHITECTURES.items()}
"""Built-in.  `torchvision:NAME` and `timm:NAME` name those libraries' models, if they are installed."""

WEIGHTS = (".pt", ".pth", ".ckpt", ".tar", ".bin", ".safetensors", ".npz", ".pkl", ".h5")


@dataclasses.dataclass(frozen=True)
class LoadedModel:
    """A loaded model is a base classifier (or one for each part of an image), a name to show, and its fingerprint.

    Attributes
    ----------
    mean, std : tuple of float, optional
        Of the normalisation that the checkpoint says comes first; it is part of `model`.
    before : str, optional
        A sentence on something that comes first in the checkpoint and is not known, so that it is not in `model`.
    unused : tuple of str
        Names of weights of that which the checkpoint holds.
    classes : tuple of str, optional
        The checkpoint's own names of the classes, by index.
    notes : tuple of str
        Sentences on what was taken from the checkpoint and what was not.
    """

    model: Callable[[torch.Tensor], torch.Tensor] | list[Callable[[torch.Tensor], torch.Tensor]]
    name: str
    sha256: str
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    before: str | None = None
    unused: tuple[str, ...] = ()
    classes: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()

    def apart(self) -> LoadedModel:
        """Return the same without the normalisation in `model`, for a caller that gives `mean` and `std` elsewhere."""
        if not isinstance(self.model, Normalized):
            return self
        return dataclasses.replace(self, model=self.model.network, sha256=fingerprint(self.model.network))


def together(loaded: Sequence[LoadedModel]) -> LoadedModel:
    """Return models for the parts of an image as one."""
    if len(loaded) == 1:
        return loaded[0]
    models = [model for one in loaded for model in (one.model if isinstance(one.model, list) else [one.model])]
    digest = hashlib.sha256(" ".join(one.sha256 for one in loaded).encode()).hexdigest()
    same = {(one.mean, one.std) for one in loaded}
    mean, std = same.pop() if len(same) == 1 else (None, None)
    before = next((one.before for one in loaded if one.before is not None), None)
    classes = next((one.classes for one in loaded if one.classes is not None), None)
    notes = tuple(note for one in loaded for note in one.notes)
    unused = tuple(name for one in loaded for name in one.unused)
    said: dict[str, Any] = {"mean": mean, "std": std, "before": before, "unused": unused, "classes": classes, "notes": notes}
    return LoadedModel(models, " + ".join(one.name for one in loaded), digest, **said)


@explained
def build(architecture: str, *, num_classes: int, channels: int) -> torch.nn.Module:
    """Build a network of a known architecture, with fresh weights.

    Raises
    ------
    InvalidArgumentError
        Another name, or numbers that are none.
    ModelError
        The library is missing or does not know the name, or the network does not fit into memory.
    """
    num_classes, channels = checks.whole("num_classes", num_classes, 1, 10**7), checks.whole("channels", channels, 1, 10**4)
    if not isinstance(architecture, str):
        raise InvalidArgumentError(
            f"architecture {checks.shown(architecture)} is no name: give one of {', '.join(ARCHITECTURES)}."
        )
    library, _, name = architecture.rpartition(":")
    if not library and name in ARCHITECTURES:
        try:
            return ARCHITECTURES[name](num_classes=num_classes, channels=channels)
        except RuntimeError as error:
            raise ModelError(f"{name} for {num_classes} classes cannot be made ({reason(error, 200)}): give fewer.") from None
    if library not in ("torchvision", "timm"):
        known = ", ".join(ARCHITECTURES)
        raise InvalidArgumentError(f"architecture {_unknown(architecture)}: give one of {known}, torchvision:NAME or timm:NAME.")
    try:
        if library == "torchvision":
            models = importlib.import_module("torchvision.models")
            return models.get_model(name, num_classes=num_classes)
        return importlib.import_module("timm").create_model(name, num_classes=num_classes, in_chans=channels)
    except ImportError as error:
        raise ModelError(f"architecture {architecture!r} needs {library}: {extras.advice(library, error)}.") from None
    except Exception as error:
        raise ModelError(f"{library} cannot build {name!r} ({reason(error)}): give a name that it knows.") from error


@explained
def load(
    spec: str,
    *,
    checkpoint: str | Path | None = None,
    num_classes: int | None = None,
    channels: int | None = None,
    trust: bool = False,
    pretrained: bool = False,
) -> LoadedModel:
    """Load a base classifier.

    Parameters
    ----------
    spec : str
        `module:factory` (called without arguments, or with num_classes where it takes it), a path to a torch.export
        (.pt2) or ONNX (.onnx) file, a folder that `rsfast train` wrote, or an architecture (`small-cnn`, `cifar-resnet20`,
        `cifar-resnet110`, `resnet50`,
        `torchvision:NAME`, `timm:NAME`).
    checkpoint : path, optional
        Weights for an architecture or a factory's module: .safetensors, or a torch file holding a state dict, possibly in
        containers and with the prefixes of wrappers.  A normalisation in front of the network that the file holds, or that
        its `arch` tells (checkpoints of Cohen et al.), becomes part of the model.
    num_classes, channels : int
        What an architecture is built for.
    trust : bool
        Whether code that a checkpoint or a .pt2 file names may run.  Without it nothing in a file is executed.
    pretrained : bool
        Take the library's own weights of `torchvision:NAME` or `timm:NAME`, which it downloads, and the normalisation that they
        were trained with, which becomes part of the model.

    Warns
    -----
    SoundnessWarning
        The checkpoint holds weights of something that comes before the network and is not known: `before` says it.  Of a layer
        that it does not hold, `certify` warns.

    Raises
    ------
    InvalidArgumentError, ModelError
        With the file or name and what is wrong with it.
    """
    if not isinstance(spec, (str, Path)) or not isinstance(checkpoint, (str, Path, NoneType)):
        raise InvalidArgumentError(
            f"spec={checks.shown(spec)} with checkpoint={checks.shown(checkpoint)} are not both names: give a string or a Path."
        )
    spec, trust = str(spec), checks.flag("trust", trust)
    if checks.flag("pretrained", pretrained):
        return _pretrained(spec, checkpoint, num_classes, channels)
    if checkpoint is None and has_card(Path(spec)):
        return _of_card(Path(spec))
    if spec.endswith((".pt2", ".onnx")):
        return _exported(Path(spec), checkpoint, trust)
    library, _, attribute = spec.rpartition(":")
    if spec in ARCHITECTURES or library in ("torchvision", "timm"):
        if checkpoint is None:
            or_own = "" if spec in ARCHITECTURES else ", or take the library's with --pretrained"
            raise InvalidArgumentError(f"model {spec!r} is an architecture: give its weights with --checkpoint FILE{or_own}.")
        if num_classes is None or channels is None:
            raise InvalidArgumentError(f"model {spec!r} is built for a data set: give num_classes and channels.")
        make: Callable[[], Any] | None = functools.partial(build, spec, num_classes=num_classes, channels=channels)
        with torch.device("meta" if spec in ARCHITECTURES else "cpu"):  # before it takes memory, the weights must fit
            model: Any = build(spec, num_classes=num_classes, channels=channels)
    elif library:
        model, make = _made(library, attribute, num_classes), None
    else:
        if spec.endswith(WEIGHTS):
            raise InvalidArgumentError(
                f"{spec!r} is a file of weights: give the architecture as the model, and the file with --checkpoint."
            )
        raise InvalidArgumentError(
            f"model {_unknown(spec)}: give module:factory, a .pt2 or .onnx file, or one of {', '.join(ARCHITECTURES)} "
            "with --checkpoint."
        )
    if checkpoint is None:
        return LoadedModel(model, spec, fingerprint(model, origin="" if isinstance(model, torch.nn.Module) else spec))
    if not isinstance(model, torch.nn.Module):
        raise ModelError(f"{spec!r} made a {type(model).__name__}, which takes no checkpoint: leave --checkpoint out.")
    loaded = _filled(model, make, Path(checkpoint), spec, trust)
    if loaded.before is not None and isinstance(loaded.model, torch.nn.Module):
        _BEFORE[loaded.model] = loaded.before
        if loaded.unused:
            warnings.warn(loaded.before, SoundnessWarning, stacklevel=2)
    return loaded


def _pretrained(spec: str, checkpoint: str | Path | None, num_classes: int | None, channels: int | None) -> LoadedModel:
    if checkpoint is not None:
        raise InvalidArgumentError(
            f"{spec} is to have the library's weights and those of {checkpoint}: leave one of the two out."
        )
    found = library_weights.pretrained(spec, num_classes, channels)
    whole = Normalized(found.network, found.mean, found.std)
    name = f"{spec} ({printable(found.weights)})"
    return LoadedModel(whole, name, fingerprint(whole), mean=found.mean, std=found.std, classes=found.classes)


def warn_of_what_came_before(model: object, mean: object, std: object) -> None:
    """Warn of a layer before the network that a checkpoint had, that is not in `model`, and that is not given instead."""
    for one in model if isinstance(model, (list, tuple)) else [model]:
        if mean is None and std is None and isinstance(one, torch.nn.Module) and one in _BEFORE:
            warnings.warn(_BEFORE[one], SoundnessWarning, stacklevel=outside())


_BEFORE: weakref.WeakKeyDictionary[torch.nn.Module, str] = weakref.WeakKeyDictionary()


def named(spec: str, what: str) -> Any:
    """Return what `module:attribute` names; the current directory counts as on the path.  `what` names it in messages."""
    module, _, attribute = spec.rpartition(":") if isinstance(spec, str) else ("", "", "")
    if not module or not attribute:
        raise InvalidArgumentError(f"{what} {checks.shown(spec)} is not module:name.")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # as `python -m` would
    try:
        found = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (Exception, SystemExit) as error:  # importing runs the user's code
        raise ModelError(f"{what} {spec} cannot be imported: {type(error).__name__}: {reason(error)}.") from error
    return found


def _of_card(folder: Path) -> LoadedModel:
    """The network of a folder that `rsfast train` wrote, behind its normalisation."""
    card = read_card(folder)
    loaded = load(card.architecture, checkpoint=folder / WEIGHTS_OF_CARD, num_classes=card.num_classes, channels=card.channels)
    name = f"{card.architecture} ({printable(folder.resolve().name)})"
    if (card.mean is None and card.std is None) or not isinstance(loaded.model, torch.nn.Module):
        return dataclasses.replace(loaded, name=name)
    mean, std = card.mean or (0.0,) * card.channels, card.std or (1.0,) * card.channels
    whole = Normalized(loaded.model, mean, std)
    return dataclasses.replace(loaded, model=whole, name=name, sha256=fingerprint(whole), mean=mean, std=std)


def _unknown(given: str) -> str:
    """That a name is not known, and the built-in one that was meant, if one was."""
    close = meant(given, ARCHITECTURES)
    return f"{checks.shown(given)} is not known" + ("" if close is None else f" (did you mean {close}?)")


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
        raise ModelError(f"{module}:{attribute}() raised {type(error).__name__}: {reason(error)}.") from error
    if not callable(model):
        raise ModelError(f"{module}:{attribute}() returned {type(model).__name__}: return a callable [N, C, H, W] → [N, K].")
    return model


def _exported(path: Path, checkpoint: str | Path | None, trust: bool) -> LoadedModel:
    if checkpoint is not None:
        raise InvalidArgumentError(f"{path} holds its own weights: leave --checkpoint out.")
    if path.suffix == ".onnx":
        model = from_onnx(path)
        return LoadedModel(model, path.name, onnx_sha256(path), notes=_noted(path.name, getattr(model, "card", None)))
    return LoadedModel(from_exported(path, trust=trust), path.name, hashlib.sha256(read(path)).hexdigest())


def _noted(name: str, card: dict[str, Any] | None) -> tuple[str, ...]:
    """What the card of `rsfast prepare` says, in a sentence."""
    if card is None or "model" not in card:
        return ()
    inside = " It normalises by itself: leave --mean and --std out." if card.get("mean") or card.get("std") else ""
    return (f"{name}: {printable(str(card['model']))} in {printable(str(card.get('dtype')))}.{inside}",)


def _filled(
    outline: torch.nn.Module, make: Callable[[], torch.nn.Module] | None, path: Path, spec: str, trust: bool
) -> LoadedModel:
    """A network with the weights of a file; `outline` has its names and shapes, and is it where nothing makes it."""
    checkpoint = load_checkpoint(path, trust=trust)
    file = printable(path.name)
    found = fit(checkpoint, outline, file, spec, _fitting_architecture)
    for name, tensor in outline.state_dict().items():
        if name in found.state and found.state[name].is_complex() and not tensor.is_complex():
            raise ModelError(
                f"{file} does not fit {spec}: {name} is complex, of which the real part would be left; give real weights."
            )
    model = outline if make is None else make()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            missing = model.load_state_dict(found.state, strict=False).missing_keys
    except Exception as error:
        raise ModelError(f"{file} does not fit {spec}: {reason(error, 300)}.") from error
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing:
        raise ModelError(f"{file} does not fit {spec}: it lacks {', '.join(missing[:5])}; give the architecture of the file.")
    whole = model if found.mean is None or found.std is None else Normalized(model, found.mean, found.std)
    said = {name: getattr(found, name) for name in ("mean", "std", "before", "unused", "notes")}
    return LoadedModel(whole, f"{spec} ({path.name})", fingerprint(whole), classes=class_names(checkpoint), **said)


def _fitting_architecture(names: set[str]) -> str:
    """A sentence's end: the built-in architecture that has these names, if one has."""
    names = {name for name in names if not name.endswith("num_batches_tracked")}
    for architecture in ARCHITECTURES:
        if names == _names_of(architecture):
            return f"the file fits {architecture}: give that as the model"
    return ""


@functools.cache
def _names_of(architecture: str) -> frozenset[str]:
    with torch.device("meta"):
        network = ARCHITECTURES[architecture](num_classes=2, channels=1)
    return frozenset(name for name in network.state_dict() if not name.endswith("num_batches_tracked"))
