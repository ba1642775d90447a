"""rsfast train: a network that has something to certify."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .. import names
from .options import FloatList, Folder, Listing, Seed, combined, data_sources
from .progress import duration
from .smoothing import which_noise

if TYPE_CHECKING:
    from ..models.card import Card
    from ..noise import Noise
    from ..sources.base import Source
    from ..training.loop import Training
    from ..training.recipe import Recipe

EVALUATION = 1000
"""Draws of an image at most, when certified accuracy is looked at between epochs."""
IN_SIGMA = (0.0, 0.5, 1.0, 1.5, 2.0)
"""The radii that are looked at, in units of sigma."""
OF_RECIPE = (
    "objective", "epochs", "batch", "optimizer", "learning_rate", "momentum", "weight_decay", "schedule", "every", "factor",
    "warmup", "accumulate", "ema", "amp", "channels_last", "seed",
)  # fmt: skip


how_to_train = combined(
    click.option("--objective", type=click.Choice(names.OBJECTIVES), default="noise-augmentation", show_default=True,
                 help="Take this objective; docs/training.md tells them apart."),
    click.option("--set", "settings", multiple=True,
                 help="Set an option of the objective, such as weight=10; repeat it for more."),
    click.option("--ramp", "ramps", multiple=True,
                 help="Let an option of the objective grow for so many epochs, such as epsilon=10; repeat it for more."),
    click.option("--epochs", type=int, default=30, show_default=True, help="Show every image so many times."),
    click.option("--batch", type=int, default=128, show_default=True, help="Take so many images a step."),
    click.option("--optimizer", type=click.Choice(names.OPTIMIZERS), default="adamw", show_default=True, help="Take this one."),
    click.option("--learning-rate", type=float, default=2e-3, show_default=True, help="Begin with this learning rate."),
    click.option("--momentum", type=float, default=0.9, show_default=True, help="Give sgd this (Nesterov) momentum."),
    click.option("--weight-decay", type=float, default=1e-4, show_default=True, help="Let weights decay so."),
    click.option("--schedule", type=click.Choice(names.SCHEDULES), default="cosine", show_default=True,
                 help="Let the learning rate fall by a cosine to 0, or by steps."),
    click.option("--every", type=int, default=30, show_default=True, help="Take a step of the schedule after so many epochs."),
    click.option("--factor", type=float, default=0.1, show_default=True, help="Let a step of the schedule multiply by this."),
    click.option("--warmup", type=float, default=0.0, show_default=True, help="Let the learning rate grow for so many epochs."),
    click.option("--accumulate", type=int, default=1, show_default=True, help="Divide a step into so many forward passes."),
    click.option("--ema", type=float, default=0.0, show_default=True,
                 help="Keep a moving average of the weights with this decay, and write that."),
    click.option("--amp", is_flag=True, help="Use bfloat16 where torch's autocast does."),
    click.option("--channels-last", is_flag=True, help="Lay out the weights so in memory."),
    click.option("--seed", type=Seed(), default=0, show_default=True, help="Draw weights, order and noise from this seed."),
)  # fmt: skip


what_to_train = combined(
    click.option("--model", "architecture", default="small-cnn", show_default=True,
                 help=f"Train this architecture: {', '.join(names.ARCHITECTURES)}, torchvision:NAME or timm:NAME."),
    click.option("--data", required=True, cls=Listing, what=data_sources, help="Read {}, or an image folder."),
    click.option("--mean", type=FloatList(), help="Subtract this from each channel: 0.4914,0.4822,0.4465."),
    click.option("--std", type=FloatList(), help="Divide each channel by this."),
)  # fmt: skip

around_it = combined(
    click.option("--eval-images", type=click.IntRange(min=0), default=0, show_default=True,
                 help="Test certified accuracy on so many test images between epochs, by a cheap plan."),
    click.option("--eval-every", type=click.IntRange(min=1), default=5, show_default=True, help="Do that after so many epochs."),
    click.option("--device", help="Run on cpu, cuda, cuda:1, …  [default: cuda if torch sees one, else cpu]"),
    click.option("--threads", type=click.IntRange(1, 1024), help="Use so many threads.  [default: torch's]"),
    click.option("--out", type=Folder(), required=True, help="Write into this folder; the same command continues."),
    click.option("--quiet", is_flag=True, help="Show no progress."),
)  # fmt: skip


@click.command()
@what_to_train
@which_noise
@how_to_train
@around_it
def train(architecture: str, out: str, quiet: bool, **options: Any) -> None:
    """Train a network on noisy images, so that it has something to certify.

    It writes model.safetensors and card.json, which `rsfast certify --model FOLDER` reads, and log.jsonl with a line for each
    epoch.  After Ctrl-C, SIGTERM or a kill the same command continues, on a CPU to the same bits.  Under torchrun each process
    takes its share of every batch.

    \b
    rsfast train --data digits --sigma 0.25 --out runs/digits
    rsfast certify --model runs/digits --n 10000 --out runs/a

    \b
    rsfast train --data mnist:DIR --sigma 0.5 --objective consistency --set weight=5 --eval-images 100 --out runs/mnist
    """
    import torch

    from ..training.processes import joined
    from .memory import keep_freed_memory

    keep_freed_memory()
    if options["threads"]:
        torch.set_num_threads(options["threads"])
    with joined(options["device"]) as processes:
        _train(architecture, Path(out), quiet or not processes.first, options)


def _train(architecture: str, folder: Path, quiet: bool, options: dict[str, Any]) -> None:
    from ..training.loop import StoppedError

    recipe = _recipe(options)
    source = _source(options["data"], "train")
    card = _card(architecture, source, options)
    training, noise = _training(card, source, recipe, options, folder)
    if not quiet and training.state.epoch + training.state.step:
        click.echo(f"continuing after {training.state.epoch} epochs and {training.state.step} steps.", err=True)

    def done(line: dict[str, Any]) -> None:
        if not quiet:
            click.echo(_shown(line, recipe.epochs), err=True)

    try:
        training.run(_evaluation(options, noise, card.num_classes, training), done)
    except StoppedError as stop:
        state = training.state
        click.echo(
            f"rsfast: stopped. {state.epoch} epochs and {state.step} steps are stored in {folder}; the same command continues.",
            err=True,
        )
        sys.exit(128 + stop.number)
    if not training.processes.first:
        return
    _write(folder, card, noise, training, recipe)
    click.echo(f"wrote {folder / 'model.safetensors'} and card.json. Next: rsfast certify --model {folder} --out RUN")


def _recipe(options: dict[str, Any]) -> Recipe:
    from ..errors import InvalidArgumentError
    from ..training.recipe import Recipe

    given: dict[str, dict[str, str]] = {"settings": {}, "ramps": {}}
    for option, found in given.items():
        for text in options[option]:
            name, equals, value = text.partition("=")
            if not equals or not name:
                raise InvalidArgumentError(f"{text!r} is not NAME=VALUE: give --set weight=10, or --ramp epsilon=10.")
            found[name.replace("-", "_")] = value
    return Recipe(options=given["settings"], ramp=given["ramps"], **{name: options[name] for name in OF_RECIPE})


def _source(spec: str, split: str) -> Source:
    """A split of what has splits, and the whole of what has none."""
    from .. import sources
    from ..sources import WITH_SPLITS

    return sources.load(spec, split=split if spec.partition(":")[0] in WITH_SPLITS else None)


def _card(architecture: str, source: Source, options: dict[str, Any]) -> Card:
    """What is known of the network before it is trained."""
    from ..errors import InvalidArgumentError
    from ..models.card import Card

    if source.num_classes is None or source.num_classes < 2:
        raise InvalidArgumentError(
            f"{source.name} has {source.num_classes or 'no'} classes: train on images with at least two labels."
        )
    mean, std = _per_channel(options["mean"], source), _per_channel(options["std"], source)
    return Card(architecture, source.num_classes, source.shape[0], {}, options["data"], mean, std)


def _per_channel(values: list[float] | None, source: Source) -> tuple[float, ...] | None:
    from .. import checks

    return None if values is None else checks.numbers("--mean and --std", values, source.shape[0])


def _training(card: Card, source: Source, recipe: Recipe, options: dict[str, Any], folder: Path) -> tuple[Training, Noise]:
    import torch

    from .. import files, models
    from ..backends.base import normalisation
    from ..keyed_noise import KeyedNoise
    from ..request import WHOLE
    from ..training.loop import Training
    from .smoothing import make_noise

    files.make_folder(folder)
    noise = make_noise({**options, "multiclass": False}, WHOLE, source, folder / "levels")
    torch.manual_seed(recipe.seed)
    network = models.build(card.architecture, num_classes=card.num_classes, channels=card.channels)
    if card.mean is not None or card.std is not None:
        mean, std = normalisation(card.mean, card.std, card.channels)
        network = models.Normalized(network, mean.tolist(), std.tolist())
    network.to(options["device"] or ("cuda" if torch.cuda.is_available() else "cpu"))
    drawn = None if recipe.objective in names.WITHOUT_NOISE else noise
    levels = None if drawn is None or not drawn.depends_on_input else _levels(drawn, source)
    keyed = KeyedNoise(drawn, recipe.seed, levels=levels)
    about = f"{card.architecture}, {source.name} {source.fingerprint()[:16]}, mean {card.mean}, std {card.std}, {noise.to_dict()}"
    return Training(network, source, keyed, recipe, folder, about), noise


def _levels(noise: Noise, source: Source) -> Any:
    """The level of every training image."""
    import numpy as np
    import torch

    step, found = 512, []
    for first in range(0, len(source), step):
        block = torch.stack([torch.from_numpy(source.image(i)) for i in range(first, min(first + step, len(source)))])
        found.append(noise.levels_of(block)[:, 0])
    return np.concatenate(found)


def _evaluation(
    options: dict[str, Any], noise: Noise, classes: int, training: Training
) -> Callable[[Any], dict[str, Any]] | None:
    """What is looked at between epochs: certified accuracy of Gaussian noise at a few radii, else the smoothed accuracy."""
    import numpy as np
    import torch

    from ..api import certify, predict
    from ..plans import Grid

    if not options["eval_images"]:
        return None
    test = _source(options["data"], "test")
    rows = range(0, len(test), max(1, len(test) // options["eval_images"]))[: options["eval_images"]]
    x = torch.stack([torch.from_numpy(np.asarray(test.image(row), dtype=np.float32)) for row in rows])
    labels = np.array([test.label(row) for row in rows])

    def evaluate(network: Any) -> dict[str, Any]:
        if (training.state.epoch + 1) % options["eval_every"] and training.state.epoch + 1 < training.recipe.epochs:
            return {}
        x_there = x.to(training.device)
        if noise.family != "gaussian":
            answers = predict(network, x_there, noise=noise, num_classes=classes, n=EVALUATION, seed=training.recipe.seed)
            return {"accuracy": float((answers == labels).mean())}
        radii = [factor * noise.fixed_levels[0] for factor in IN_SIGMA]
        cert = certify(
            network, x_there, noise=noise, num_classes=classes, n=EVALUATION, plan=Grid(radii), labels=labels.tolist(),
            seed=training.recipe.seed,
        )  # fmt: skip
        right = cert.label == labels
        return {"certified": {f"{radius:g}": float((right & (cert.radius >= radius)).mean()) for radius in radii}}

    return evaluate


def _shown(line: dict[str, Any], epochs: int) -> str:
    text = f"epoch {line['epoch']}/{epochs}: loss {line['loss']:.4f}, {duration(line['seconds'])}"
    if "certified" in line:
        text += ", certified accuracy " + ", ".join(f"{share:.3f} at {radius}" for radius, share in line["certified"].items())
    return text + (f", smoothed accuracy {line['accuracy']:.3f}" if "accuracy" in line else "")


def _write(folder: Path, card: Card, noise: Noise, training: Training, recipe: Recipe) -> None:
    import dataclasses

    from ..counting.count import versions
    from ..models.card import write_card

    inner = "network." if card.mean is not None or card.std is not None else ""
    weights = {name.removeprefix(inner): value for name, value in training.weights.items()}
    about = {"recipe": recipe.to_dict(), "versions": versions(), "lines": training.lines[-1:]}
    write_card(folder, dataclasses.replace(card, noise=noise.to_dict(), training=about), weights)
