"""What a file of weights holds."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import InvalidArgumentError, ModelError, reason
from ..files import shown
from ..hints import explained
from . import pickles
from .opening import UntrustedError, read, refusal

NAMES = ("classes", "class_names", "categories", "class_to_idx", "idx_to_class")
INSIDE = ("meta", "hyper_parameters", "args", "config")
"""Where names of classes lie, if not at the top."""


@explained
def load_checkpoint(path: str | Path, *, trust: bool = False) -> Any:
    """Return a .safetensors file's tensors, or what torch.save wrote into a file.

    Nothing is executed unless `trust` is given: of a torch file only tensors, containers, numbers and a few harmless types
    are read.

    Raises
    ------
    ModelError
        A file that cannot be read, is damaged, is something else, or holds more than that.
    """
    if not isinstance(path, (str, Path)):
        raise InvalidArgumentError(f"path is {type(path).__name__}: give the name of a checkpoint.")
    path = Path(path)
    data = read(path)
    name = shown(path)
    if path.suffix == ".safetensors" or _is_safetensors(data):
        try:
            from safetensors.torch import load

            return load(data)
        except Exception as error:
            raise ModelError(f"{name} cannot be loaded as a checkpoint: it is no .safetensors file ({reason(error)}).") from None
    try:
        return pickles.trusted(data) if trust else pickles.unpickled(data)
    except UntrustedError as error:
        raise refusal(path, str(error)) from None
    except zipfile.BadZipFile as error:
        raise ModelError(f"{name} cannot be loaded as a checkpoint: it is {error}.") from None


def class_names(checkpoint: Any) -> tuple[str, ...] | None:
    """Return the names of classes that a checkpoint holds, by index; None if it holds none, or not one for each index from 0."""
    if not isinstance(checkpoint, Mapping):
        return None
    for place in (checkpoint, *(checkpoint.get(name) for name in INSIDE)):
        held = place if isinstance(place, Mapping) else getattr(place, "__dict__", {})
        for name in NAMES:
            found = _names(held.get(name))
            if found is not None:
                return found
    return None


def _names(value: Any) -> tuple[str, ...] | None:
    if isinstance(value, Mapping):
        pairs = {v: k for k, v in value.items()} if all(isinstance(k, str) for k in value) else dict(value)
        try:
            value = [pairs[index] for index in range(len(value))]
        except (KeyError, TypeError):
            return None
    if isinstance(value, (list, tuple)) and value and all(isinstance(one, str) for one in value):
        return tuple(value)
    return None


def _is_safetensors(data: bytes) -> bool:
    return data[8:9] == b"{" and int.from_bytes(data[:8], "little") <= len(data)
