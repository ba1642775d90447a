"""From the command line's options to base classifiers, and the normalisation in front of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ..models import LoadedModel


def load_models(options: dict[str, Any], classes: int, channels: int) -> LoadedModel:
    """The model, or one for each part of an image; checkpoints belong to models in the order given.

    A normalisation that the checkpoints hold is taken out of the models and set in `options`, as --mean and --std would be, and
    said.

    Raises
    ------
    InvalidArgumentError
        Numbers of options do not fit, --mean or --std contradict a checkpoint, or a checkpoint holds weights of a layer in front
        of the network that is not known and --mean and --std do not say either.
    """
    from .. import models
    from ..errors import InvalidArgumentError

    specs, checkpoints = options["models"], options["checkpoints"]
    if checkpoints and len(checkpoints) != len(specs):
        raise InvalidArgumentError(f"{len(specs)} --model and {len(checkpoints)} --checkpoint: give one for each, or none.")
    loaded = [
        models.load(
            spec,
            checkpoint=checkpoint,
            num_classes=classes,
            channels=channels,
            trust=options["trust_files"],
            pretrained=options["pretrained"],
        )
        for spec, checkpoint in zip(specs, checkpoints or [None] * len(specs), strict=True)
    ]
    given = options["mean"] is not None or options["std"] is not None
    for one in loaded:
        for note in one.notes:
            click.echo(note, err=True)
        if one.before is not None and not given:
            if one.unused:
                raise InvalidArgumentError(one.before)
            click.echo(f"Note: {one.before}", err=True)
        if given and one.mean is not None and one.std is not None:
            _agree(one, options, channels)
    whole = models.together(loaded)
    if not given:
        if whole.mean is None or whole.std is None:  # none, or one for each part, which stays in its model
            return whole
        options["mean"], options["std"] = _spread(whole.mean, channels), _spread(whole.std, channels)
        shown = f"mean {_numbers(options['mean'])} and std {_numbers(options['std'])}"
        click.echo(f"{loaded[0].name}: images are normalised with {shown}, as the checkpoint says.", err=True)
    return models.together([one.apart() for one in loaded])


def fill_from_card(options: dict[str, Any]) -> None:
    """Set data and noise that are not given from the card of the model, if it has one; data are always needed."""
    from ..files import printable
    from ..models.card import has_card, read_card
    from ..noise import NOISES, from_dict

    specs = options["models"]
    card = read_card(Path(specs[0])) if len(specs) == 1 and not options["checkpoints"] and has_card(Path(specs[0])) else None
    if card is not None and options["data"] is None:
        options["data"] = card.data
        click.echo(f"{specs[0]}: the data are {printable(card.data)}, as its card says.", err=True)
    if options["data"] is None:
        context = click.get_current_context()
        raise click.MissingParameter(ctx=context, param=next(one for one in context.command.params if one.name == "data"))
    levels = [name for kind in NOISES.values() for name in kind.options]
    if card is None or any(options.get(name, True) is not None for name in levels) or options["noise"] != "gaussian":
        return
    noise = from_dict(card.noise)
    if noise.depends_on_input:
        return
    options["noise"] = noise.name
    values = dict(zip(noise.options, dataclasses.astuple(noise), strict=False))  # type: ignore[call-overload]
    options.update({name: [value] if name == "sigma" else value for name, value in values.items()})
    click.echo(f"{specs[0]}: the noise is {noise}, as its card says.", err=True)


def _agree(one: LoadedModel, options: dict[str, Any], channels: int) -> None:
    """Refuse --mean and --std that are not the checkpoint's own."""
    from ..errors import InvalidArgumentError

    assert one.mean is not None
    assert one.std is not None
    mean, std = _spread(one.mean, channels), _spread(one.std, channels)
    wanted = ((options["mean"] or [0.0] * channels, mean), (options["std"] or [1.0] * channels, std))
    if any(len(here) != len(there) or max(abs(a - b) for a, b in zip(here, there, strict=True)) > 1e-6 for here, there in wanted):
        raise InvalidArgumentError(
            f"--mean and --std are not those of {one.name}, which normalises with mean {_numbers(mean)} and std "
            f"{_numbers(std)}: leave --mean and --std out."
        )


def _spread(values: Sequence[float], channels: int) -> list[float]:
    """One number for each channel."""
    return list(values) * channels if len(values) == 1 else list(values)


def _numbers(values: Sequence[float]) -> str:
    return ",".join(f"{value:.6g}" for value in values)
