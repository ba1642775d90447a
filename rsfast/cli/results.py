"""rsfast status, recertify, report, export: everything that needs no network and no noise."""

from __future__ import annotations

import collections
import dataclasses
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..files import printable
from .options import FloatList, Folder, Named, combined, rederive
from .progress import duration

if TYPE_CHECKING:
    from ..report import ResultTable


UNREADABLE_NAMED = 5


@click.command()
@click.argument("run", type=click.Path())
def status(run: str) -> None:
    """Say how far a run is: what was asked for, finished, could not be read, is missing, and of which shards."""
    from ..runs.store import standing

    state = standing(Path(run))
    manifest, finished = state.manifest, len(state.finished)
    sample, images = manifest.settings.get("sample"), manifest.data["images"]
    asked = images if sample is None else sample["images"]
    shards = "1 shard" if state.shards == 1 else f"{state.shards} shards"
    click.echo(f"{manifest.kind} run of {printable(manifest.model['name'])} on {printable(manifest.data['name'])}")
    if state.asked is None:
        click.echo(f"  finished   {finished} of {asked} images, in {shards}")
        click.echo("  asked for  not known: written before runs said so")
    else:
        click.echo(f"  asked for  {len(state.asked)} of {images} images")
        others = f", and {finished - state.done} others" if finished > state.done else ""
        click.echo(f"  finished   {state.done} of {len(state.asked)} images{others}, in {shards}")
    if state.unreadable:
        click.echo(f"  unreadable {len(state.unreadable)}, tried again by the next call")
        for image, problem in list(state.unreadable.items())[:UNREADABLE_NAMED]:
            click.echo(f"             image {image}: {printable(problem)}")
        if len(state.unreadable) > UNREADABLE_NAMED:
            click.echo(f"             and {len(state.unreadable) - UNREADABLE_NAMED} others")
    if state.what_is_missing:
        click.echo(f"  missing    {state.what_is_missing}")
    elif state.asked is not None:
        click.echo(f"  missing    none{': done but for the unreadable' if state.unreadable else ': done'}")
    rate = state.samples / state.seconds if state.seconds else 0.0
    click.echo(f"  samples    {state.samples:,} in {duration(state.seconds)} of work, {rate:,.0f} a second")
    if state.last_written is not None:
        click.echo(f"  last line  {duration(max(time.time() - state.last_written, 0.0))} ago")
    left = state.missing if state.asked is not None else max(asked - finished, 0)
    if finished and left > 0:
        all_images = "all images" if state.asked is None else "what is missing"
        click.echo(f"  {all_images} would take {duration(state.seconds / finished * left)} more of one process")
    settings = ", ".join(f"{key}={_short(value)}" for key, value in sorted(manifest.settings.items()))
    click.echo(f"  settings   {printable(settings)}")


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 160 else text[:157] + "…"


columns = combined(
    click.option(
        "--radii", type=FloatList(), help="Give the table these columns, separated by commas.  [default: what fits the radii]"
    ),
    click.option(
        "--per-255", is_flag=True, help="Show radii as multiples of 1/255, and take those of --radii so, too: 2 is 2/255."
    ),
)


@click.command()
@click.argument("run", type=Named())
@rederive
@columns
@click.option("--out", type=Named(), help="Write the rows, too, as .tsv or .csv.")
def recertify(run: str, radii: list[float] | None, per_255: bool, out: str | None, **options: Any) -> None:
    """Certify a stored run at another alpha, norm or bound, without the network.

    The guarantee is for an alpha chosen before the radii are seen.  Trying several and keeping the best spends it.
    """
    from ..runs.read import Instead, result_table

    wanted, per = _checked(radii, per_255)
    if out is not None:
        _check_export(Path(out))
    table = result_table(Path(run), Instead(**options))
    _print([table], wanted, per)
    click.echo(table.details.get("certificate", table.details.get("test", "")))
    if out is not None:
        _export(table, Path(out))


@click.command()
@click.argument("paths", nargs=-1, required=True, type=Named())
@columns
@click.option(
    "--out", type=Folder(), help="Write the plot (PNG, SVG), the table (CSV, JSON) and a one-file HTML report into this folder."
)
def report(paths: Sequence[str], radii: list[float] | None, per_255: bool, out: str | None) -> int:
    """Show the certified accuracy of runs and of foreign logs.

    PATHS are run directories, logs (idx label predict radius correct time), or folders of both, which are searched.  What
    cannot be read is named, and the exit code is then 3; it is 1 if nothing can be read.
    """
    from ..report import check_plottable

    wanted, per = _checked(radii, per_255)
    if out is not None:
        _check_report(Path(out))
    tables, unreadable = _tables(paths)
    if out is not None:
        check_plottable(tables)
    _print(tables, wanted, per)
    if out is not None:
        for file in _write_report(tables, wanted, Path(out), per):
            click.echo(f"wrote {file}")
    for sentence in unreadable:
        click.echo(f"rsfast: {sentence}", err=True)
    return 3 if unreadable else 0


@click.command()
@click.argument("run", type=Named())
@click.argument("file", type=Named())
@rederive
def export(run: str, file: str, **options: Any) -> None:
    """Write a run as the field's TSV or as CSV, by the ending of FILE.

    The columns are idx label predict radius correct time.  Radii are rounded down to six decimals.
    """
    from ..runs.read import Instead, result_table

    _check_export(Path(file))
    table = result_table(Path(run), Instead(**options))
    _print_missing([table])
    _export(table, Path(file))
    _print_caveats([table])


def _checked(radii: list[float] | None, per_255: bool) -> tuple[list[float] | None, int]:
    """The radii of --radii as they are, and of which unit's multiples they are shown as."""
    import numpy as np

    from .. import checks
    from ..report import in_units

    per = 255 if per_255 else 1
    if radii is None:
        return None, per
    checks.floats("radii", np.asarray(radii), 0.0, 1e300, "radii, each zero or positive")
    return [in_units(radius, per) for radius in radii], per


def _check_export(file: Path) -> None:
    from ..errors import InvalidArgumentError
    from ..files import check_writable

    if file.suffix.lower() not in (".tsv", ".csv"):
        raise InvalidArgumentError(f"{file} ends in {file.suffix or 'nothing'}: give a file that ends in .tsv or .csv.")
    check_writable(file)


def _check_report(folder: Path) -> None:
    """Refuse what can be known before: a name that is no folder's, and a missing matplotlib."""
    from ..errors import StoreError
    from ..report.plot import new_figure

    if os.path.lexists(folder) and not os.path.isdir(folder):  # noqa: PTH112 (never raises)
        raise StoreError(f"{folder} is not a folder: give another --out.")
    new_figure()


def _export(table: ResultTable, file: Path) -> None:
    from ..report import write_csv, write_tsv

    (write_tsv if file.suffix.lower() == ".tsv" else write_csv)(table, file)
    click.echo(f"wrote {len(table)} rows to {file}")


def _tables(paths: Sequence[str]) -> tuple[list[ResultTable], list[str]]:
    """Everything that can be read at and below the paths, and a sentence about each that cannot."""
    from ..errors import DataError, RsfastError
    from ..files import printable
    from ..report import find

    found = [(Path(text), find(Path(text))) for text in paths]
    read: list[tuple[Path, ResultTable]] = []
    unreadable: list[str] = []
    for path, here in found:
        for sentence in here.sentences(path):
            click.echo(sentence, err=True)
        unreadable += here.unreadable
        if not here.runs and not here.logs:
            unreadable.append(
                f"{printable(str(path))} holds no logs (files that begin with idx label predict) and no run directories."
            )
        for file in sorted([*here.runs, *here.logs]):
            name = file.resolve().name if file == path else str(file.relative_to(path))
            try:
                read.append((file, _table(file, printable(name), run=file in here.runs)))
            except RsfastError as error:
                unreadable.append(str(error))
    if not read:
        for sentence in unreadable[:-1]:
            click.echo(f"rsfast: {sentence}", err=True)
        raise DataError(unreadable[-1])
    times = collections.Counter(table.name for _, table in read)
    return [
        table if times[table.name] == 1 else dataclasses.replace(table, name=printable(str(file))) for file, table in read
    ], unreadable


def _table(file: Path, name: str, *, run: bool) -> ResultTable:
    from ..report import read_log
    from ..runs.read import result_table

    return result_table(file, name=name) if run else read_log(file, name)


def _print(tables: list[ResultTable], radii: list[float] | None, per: int = 1) -> None:
    from ..report import default_radii, text_table

    certified = [table for table in tables if table.radius is not None]
    predicted = [table for table in tables if table.radius is None]
    _print_missing(tables)
    if certified:
        click.echo(text_table(certified, radii or default_radii(certified, per), per))
    if predicted:
        click.echo(text_table(predicted, []))
    _print_caveats(tables)


def _print_missing(tables: list[ResultTable]) -> None:
    for table in tables:
        if table.standing:
            click.echo(f"{table.name}: {table.standing}")


def _print_caveats(tables: list[ResultTable]) -> None:
    from ..report import norms_differ

    if norms_differ(tables):
        click.echo(norms_differ(tables))
    for table in tables:
        for sentence in table.caveats:
            click.echo(f"{table.name}: {sentence}")


def _write_report(tables: list[ResultTable], radii: list[float] | None, folder: Path, per: int = 1) -> list[Path]:
    from ..report import write_report

    return write_report(tables, radii, folder, per)
