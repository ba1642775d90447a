"""rsfast reproduce: experiments of the papers."""

from __future__ import annotations

from pathlib import Path

import click

from .options import Folder, Seed

DIMENSIONS = ("2", "6", "18", "60", "180", "400")


@click.group()
def reproduce() -> None:
    """Run experiments of the papers again, beside the papers' own figures."""


@reproduce.command("idrs-toy")
@click.option("--out", required=True, type=Folder(), help="Write curves (CSV, SVG, PNG) and clean-accuracy.csv into this folder.")
@click.option(
    "--dimension",
    "wanted",
    multiple=True,
    type=click.Choice(DIMENSIONS),
    help="Run Table 5 in this dimension; repeat it for more.  [default: all]",
)
@click.option(
    "--n", type=click.IntRange(min=1, max=2**32 - 1), default=10_000, show_default=True, help="Take so many draws of each point."
)
@click.option("--alpha", type=float, default=0.001, show_default=True, help="Let each point fail with at most this probability.")
@click.option("--seed", type=Seed(), default=0, show_default=True, help="Make data, networks and noise from this seed.")
def idrs_toy(out: str, wanted: tuple[str, ...], n: int, alpha: float, seed: int) -> None:
    """Compare constant noise levels with levels that depend on the input (Súkeník et al. 2022, Figures 1 and 10, Table 5).

    One of the two classes lies in a narrow cone.  Figure 1 is always run, Table 5 in the dimensions that are named.  A constant
    sigma certifies nothing beyond its ceiling, the radius of n equal votes.  "beyond" is the share of points that sigma(x)
    certifies there.  Recovered and lost points are those that only sigma(x) or only the constant classifies correctly.
    """
    from ..reproduce import idrs_toy as toy
    from ..result import floor_decimals
    from .memory import keep_freed_memory

    keep_freed_memory()
    dimensions = [int(dimension) for dimension in DIMENSIONS if dimension in wanted or not wanted]
    click.echo(
        f"{'':9}{'setting':36}{'clean':>7}{'paper':>7}{'recovered':>11}{'lost':>6}{'mean sigma':>12}{'largest radius':>16}"
        f"{'ceiling':>9}{'beyond':>8}"
    )
    done: list[toy.Experiment] = []
    for experiment in toy.run_all(dimensions, n=n, alpha=alpha, seed=seed):
        done.append(experiment)
        files = toy.write(done, Path(out))
        for outcome, row in zip(experiment.outcomes, toy.summary(experiment), strict=True):
            paper = "-" if row["paper"] is None else f"{row['paper']:.3f}"
            click.echo(
                f"{row['experiment']:9}{outcome.setting!s:36}{row['clean_accuracy']:7.3f}{paper:>7}{row['recovered']:11d}"
                f"{row['lost']:6d}{row['mean_sigma']:12.3f}{floor_decimals(row['largest_radius'], 3):>16}"
                f"{floor_decimals(row['ceiling'], 3):>9}{row['beyond_ceiling']:8.3f}"
            )
    click.echo(f"wrote {len(files)} files to {out}, among them {files[-1].name}")
