"""rsfast certify, rsfast predict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import how_to_run, what_to_run

if TYPE_CHECKING:
    from ..run import Plan


@click.command()
@what_to_run
@click.option("--sigma", type=float, required=True, help="Standard deviation of the Gaussian noise, images being in [0, 1].")
@click.option("--n0", type=int, default=100, show_default=True, help="Draws that choose the class.")
@click.option("--n", type=int, default=100_000, show_default=True, help="Draws that bound its probability.")
@click.option("--alpha", type=float, default=0.001, show_default=True, help="Failure probability per image.")
@click.option("--norm", type=float, default=2.0, show_default=True, help="Of the certified ball: 1, 2, inf, …")
@how_to_run
def certify(sigma: float, n0: int, n: int, alpha: float, norm: float, **options: Any) -> None:
    """Certify a data set, image by image, into a run directory.

    Killed at any moment, nothing finished is lost: the same command continues.  `rsfast report`, `rsfast export` and
    `rsfast recertify` read the directory.

    \b
    rsfast certify --model small-cnn --checkpoint runs/demo/model.safetensors --data digits \\
                   --sigma 0.25 --n 10000 --out runs/a
    """
    from .. import checks
    from ..api import check_level
    from ..noise import Gaussian

    noise = Gaussian(sigma)
    n, n0 = checks.whole("n", n, 1, 2**32 - 1), checks.whole("n0", n0, 1, 2**32 - 1)
    check_level(alpha, n)
    checks.floats("norm", norm, 1e-300, float("inf"), "a norm's order: a positive number or inf")

    def plan(classes: int) -> Plan:
        from ..run import Plan

        return Plan("certify", noise, classes, n=n, alpha=alpha, n0=n0, seed=options["seed"], norm=norm)

    _run(plan, n0 + n, options)


@click.command()
@what_to_run
@click.option("--sigma", type=float, required=True, help="Standard deviation of the Gaussian noise, images being in [0, 1].")
@click.option("--n", type=int, default=1000, show_default=True, help="Draws per image.")
@click.option("--alpha", type=float, default=0.001, show_default=True, help="Failure probability per image.")
@how_to_run
def predict(sigma: float, n: int, alpha: float, **options: Any) -> None:
    """The smoothed classifier's answers for a data set, into a run directory (cheaper than certifying)."""
    from .. import checks
    from ..noise import Gaussian

    noise = Gaussian(sigma)
    n = checks.whole("n", n, 1, 2**32 - 1)
    checks.alpha(alpha)

    def plan(classes: int) -> Plan:
        from ..run import Plan

        return Plan("predict", noise, classes, n=n, alpha=alpha, seed=options["seed"])

    _run(plan, n, options)


def _run(make_plan: Any, samples_per_image: int, options: dict[str, Any]) -> None:
    import torch

    from .. import models, sources
    from ..engine import Engine
    from ..errors import InvalidArgumentError
    from ..run import Part, execute
    from .memory import keep_freed_memory
    from .progress import Progress

    keep_freed_memory()
    if options["threads"]:
        torch.set_num_threads(options["threads"])
    source = sources.load(
        options["data"], split=options["split"], resize=options["resize"], crop=options["crop"], gray=options["gray"]
    )
    classes = options["num_classes"] or source.num_classes
    if classes is None:
        raise InvalidArgumentError(f"{source.name} has no labels to count classes by: give --num-classes.")
    if source.num_classes is not None and classes < source.num_classes:
        raise InvalidArgumentError(f"--num-classes {classes} is less than the {source.num_classes} classes of {source.name}.")
    loaded = models.load(options["model"], checkpoint=options["checkpoint"], num_classes=classes, channels=source.shape[0])
    movable = torch.cuda.is_available() and isinstance(loaded.model, torch.nn.Module)
    engine = Engine(
        loaded.model,
        num_classes=classes,
        batch=options["batch"],
        dtype=options["dtype"],
        device=options["device"] or ("cuda" if movable else None),
        channels_last=options["channels_last"],
        backend=options["backend"],
        mean=options["mean"],
        std=options["std"],
    )
    index, shards = options["shard"]
    part = Part(options["start"], options["count"], options["every"], index, shards)
    out = Path(options["out"])
    outcome = execute(make_plan(classes), loaded, source, engine, out, part, Progress(samples_per_image, quiet=options["quiet"]))
    finished = outcome.before + outcome.now
    click.echo(f"{finished} images are stored in {out} ({outcome.now} of them now). Next: rsfast report {out}")
    if outcome.problems:
        raise click.ClickException(
            f"{len(outcome.problems)} image(s) could not be read and are not in the run; the first: {outcome.problems[0]} "
            "Repair them and run the same command again."
        )
