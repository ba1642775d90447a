"""A folder with a trained network: its weights, and a card that says what they are of."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import torch

from .. import checks, files
from ..errors import ModelError

CARD, WEIGHTS, FORMAT = "card.json", "model.safetensors", 1


@dataclasses.dataclass(frozen=True)
class Card:
    """A card says of a network what `rsfast certify` needs to know.

    Attributes
    ----------
    architecture : str
        As `models.build` takes it.
    num_classes, channels : int
    mean, std : tuple of float, optional
        Of the normalisation in front of it.
    noise : dict
        What it was trained for, as `Noise.to_dict` gives it.
    data : str
        What it was trained on, as --data takes it.
    training : dict
        How: objective, recipe, versions; nothing depends on it.
    """

    architecture: str
    num_classes: int
    channels: int
    noise: dict[str, Any]
    data: str
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    training: dict[str, Any] = dataclasses.field(default_factory=dict)


def write_card(folder: Path, card: Card, weights: dict[str, torch.Tensor]) -> None:
    """Write weights (model.safetensors), then the card; each file is there as a whole or not at all."""
    from safetensors.torch import save

    whole = {name: value.detach().cpu().contiguous() for name, value in weights.items()}
    files.write(folder / WEIGHTS, save(whole))
    files.write(folder / CARD, json.dumps({"format": FORMAT} | dataclasses.asdict(card), indent=1, sort_keys=True) + "\n")


def has_card(folder: Path) -> bool:
    """Say whether a card lies in a folder."""
    try:
        return (folder / CARD).is_file()
    except (OSError, ValueError):
        return False


def read_card(folder: Path) -> Card:
    """Read the card of a folder.

    Raises
    ------
    ModelError
        It is none, damaged, or of a newer format.
    """
    file = folder / CARD
    try:
        with files.open_regular(file) as opened:
            fields = json.loads(opened.read(2**24))
        version = fields.pop("format")
        if type(version) is not int or version < 1 or version > FORMAT:
            raise ValueError(f"format {checks.shown(version)}")
        for name in ("mean", "std"):
            fields[name] = None if fields.get(name) is None else tuple(float(value) for value in fields[name])
        card = Card(**fields)
        if not (isinstance(card.architecture, str) and isinstance(card.data, str) and isinstance(card.noise, dict)):
            raise ValueError("its fields are of other kinds")
        checks.whole("num_classes", card.num_classes, 2, 10**7)
        checks.whole("channels", card.channels, 1, 10**4)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ModelError(
            f"{files.shown(file)} is no card of a network ({error}): train again, or give its weights by --checkpoint."
        ) from None
    return card
