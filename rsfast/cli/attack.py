"""rsfast attack: try to break the certificates of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .. import names
from .ending import saying_what_is_stored
from .options import Named, Seed, combined, what_to_run

BROKEN = 4


@click.command()
@click.argument("run", type=Named())
@what_to_run
@combined(
    click.option("--attack", "attacks", multiple=True, type=click.Choice(names.ATTACKS),
                 help="Use this one; repeat it for more.  [default: all]"),
    click.option("--steps", type=click.IntRange(min=1), default=200, show_default=True, help="Take so many steps an attack."),
    click.option("--copies", type=click.IntRange(1, 2**16), default=100, show_default=True,
                 help="Take the gradient's mean over so many noisy copies in each step."),
    click.option("--n", type=click.IntRange(1, 2**32 - 1), default=100_000, show_default=True,
                 help="Test each flip by so many fresh draws."),
    click.option("--alpha", type=float, default=0.001, show_default=True,
                 help="Let each flip be none with at most this probability."),
    click.option("--norm", type=float, help="Take another norm than the run's: 1, 2 or inf."),
    click.option("--images", is_flag=True, help="Let flips lie in [0, 1] only, as images do; certificates hold beyond, too."),
    click.option("--count", type=click.IntRange(min=1), help="Take at most this many images.  [default: all]"),
    click.option("--seed", type=Seed(), help="Draw from this seed.  [default: fresh; the file's own when continuing]"),
    click.option("--out", type=Named(), help="Write into this file.  [default: attacks.jsonl in RUN]"),
    click.option("--quiet", is_flag=True, help="Show no progress."),
)  # fmt: skip
def attack(run: str, attacks: tuple[str, ...], out: str | None, quiet: bool, **options: Any) -> int:
    """Compare the smallest flip that attacks find around each certified image of RUN with its radius.

    Give the model and the data of the run.  After a kill the same command continues.  The exit code is 4 if a flip lies inside
    of a certificate, which then is wrong.

    \b
    rsfast attack runs/demo --model small-cnn --checkpoint runs/demo/model.safetensors --data digits --count 20
    """
    from .. import checks
    from ..errors import InvalidArgumentError
    from ..runs.attack import Asked
    from ..runs.attack import attack as attack_run
    from ..runs.store import read_manifest
    from .models import load_models
    from .runs import open_source

    path, alpha = Path(run), checks.one_alpha(options["alpha"])
    manifest = read_manifest(path)
    if manifest.kind != "certify":
        raise InvalidArgumentError(f"{path} holds predictions, which certify no radius to be attacked: run `rsfast certify`.")
    source = open_source(options)
    loaded = load_models(options, manifest.settings["num_classes"], source.shape[0])
    how = {name: options[name] for name in ("steps", "copies", "n", "norm", "images", "seed", "count")}
    asked = Asked(attacks or names.ATTACKS, alpha=alpha, **how)

    def done(finished: int, of: int) -> None:
        if not quiet:
            click.echo(f"{finished}/{of} images attacked", err=True)

    with saying_what_is_stored(path):
        found = attack_run(path, loaded, source, asked, None if out is None else Path(out), done)
    flipped = int((found.distance < float("inf")).sum())
    click.echo(f"{len(found.ids)} certificates were attacked; flips were found of {flipped}.")
    click.echo(f"flips inside of certificates: {len(found.inside)}")
    if flipped:
        click.echo(f"median of smallest flip / radius: {found.ratio:.3f}")
    if len(found.inside):
        click.echo(f"rsfast: the certificates of images {', '.join(map(str, found.inside[:5]))} do not hold.", err=True)
        return BROKEN
    return 0
