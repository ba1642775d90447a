"""rsfast limits: the papers' comparison figures, from formulas and from real logs."""

from __future__ import annotations

from pathlib import Path

import click

from .options import Folder


@click.command()
@click.option("--out", required=True, type=Folder(), help="Folder for the figures and their numbers.")
@click.option("--logs", type=click.Path(exists=True), help="A log or a folder of logs, for the figures about real classifiers.")
@click.option("--format", "ending", type=click.Choice(["svg", "png"]), default="svg", show_default=True)
def limits(out: str, logs: str | None, ending: str) -> None:
    """What no certificate can exceed, beside what certificates give: each figure as CSV and plot.

    Logs say their noise level and data set in their path, as in imagenet/sigma_0.25; runs and published logs both do.
    """
    from ..report import curves

    for figure in curves.all_curves(Path(logs) if logs else None):
        table, picture = curves.write(figure, Path(out), ending)
        click.echo(f"{picture.name:45} {table.name}")
