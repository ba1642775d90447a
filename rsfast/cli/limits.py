"""rsfast limits: the papers' comparison figures, from formulas and from real logs and runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import Folder, Named

if TYPE_CHECKING:
    from ..report.curves import Classifier


@click.command()
@click.option("--out", required=True, type=Folder(), help="Write the figures and their numbers into this folder.")
@click.option(
    "--logs", type=Named(), help="Read a log, a run directory or a folder of them, for the figures about real classifiers."
)
@click.option(
    "--format",
    "ending",
    type=click.Choice(["svg", "png"]),
    default="svg",
    show_default=True,
    help="Write figures in this format.",
)
def limits(out: str, logs: str | None, ending: str) -> None:
    """Draw what no certificate can exceed beside what certificates give, each figure as CSV and plot.

    Published logs say their noise level and data set in their path, as in imagenet/sigma_0.25; runs say both themselves.
    """
    from ..report import curves

    who, problems = _classifiers(Path(logs)) if logs is not None else ([], [])
    for figure in curves.all_curves(who):
        table, picture = curves.write(figure, Path(out), ending)
        click.echo(f"{picture.name:45} {table.name}")
    for sentence in problems:
        click.echo(f"rsfast: passed over: {sentence}", err=True)


def _classifiers(path: Path) -> tuple[list[Classifier], list[str]]:
    """Those of all logs and runs at and below a path; and a sentence about each that is none."""
    from ..errors import DataError, RsfastError
    from ..files import printable
    from ..report import curves, find

    found = find(path)
    who, problems = curves.classifiers(path) if found.logs else ([], [])
    for run in found.runs:
        try:
            who.append(_of_run(run, run.resolve().name if run == path else str(run.relative_to(path))))
        except RsfastError as error:
            problems.append(str(error))
    problems += found.unreadable
    if not who and problems:
        raise DataError(problems[0])
    if not who:
        raise DataError(
            f"{printable(str(path))} holds no logs with radii and no runs: give a log (idx label predict radius correct time), a "
            "run directory, or a folder of them."
        )
    return who, problems


def _of_run(run: Path, name: str) -> Classifier:
    """The classifier of a run, at its median l2 radius of the images that are right, or of all where labels are not known."""
    import numpy as np

    from ..errors import DataError
    from ..report import curves
    from ..runs.read import Instead, certificate, read_run

    stored = read_run(run)
    noise, counts = stored.counts.noise, stored.counts
    if stored.manifest.kind != "certify" or noise.name != "gaussian" or counts.parts > 1:
        raise DataError(
            f"{run} is no run of `rsfast certify` of whole images under Gaussian noise of one level: the figures are about these "
            "classifiers; give a run of one."
        )
    cert = certificate(stored, Instead(norm=2.0))
    known = (stored.labels >= 0).any()
    radius = np.where((cert.label == stored.labels) | (not known), cert.radius, 0.0)
    (sigma,) = noise.fixed_levels
    title = f"{stored.manifest.data['name']} sigma {sigma:g}"
    return curves.typical(title, radius, sigma, counts.dim, name)
