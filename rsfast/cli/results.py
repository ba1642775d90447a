"""rsfast status, recertify, report, export: everything that needs no network and no noise."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import FloatList, rederive
from .progress import duration

if TYPE_CHECKING:
    from ..report import ResultTable


@click.command()
@click.argument("run", type=click.Path())
def status(run: str) -> None:
    """How far a run is."""
    from ..stored import status as read_status

    state = read_status(Path(run))
    settings = state["settings"]
    click.echo(f"{state['kind']} run of {state['model']} on {state['data']}")
    click.echo(f"  finished   {state['finished']} of {state['images']} images, in {state['shards']} shard(s)")
    click.echo(
        f"  samples    {state['samples']:,} in {duration(state['seconds'])} of work, {state['samples_per_second']:,.0f} a second"
    )
    if state["last_written"] is not None:
        click.echo(f"  last line  {duration(time.time() - state['last_written'])} ago")
    if state["finished"] and state["finished"] < state["images"]:
        left = state["seconds"] / state["finished"] * (state["images"] - state["finished"])
        click.echo(f"  all images would take {duration(left)} more of one process")
    click.echo("  settings   " + ", ".join(f"{key}={_short(value)}" for key, value in sorted(settings.items())))


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 160 else text[:157] + "…"


@click.command()
@click.argument("run", type=click.Path())
@rederive
@click.option("--radii", type=FloatList(), help="Columns of the table, separated by commas.")
@click.option("--out", type=click.Path(), help="Also write the rows, as .tsv or .csv.")
def recertify(run: str, radii: list[float] | None, out: str | None, **options: Any) -> None:
    """Certificates of a stored run at another alpha, norm or bound, without the network.

    The guarantee is for an alpha chosen before the radii are seen; trying several and keeping the best spends it.
    """
    from ..stored import result_table

    table = result_table(Path(run), **options)
    _print([table], radii)
    click.echo(table.details.get("certificate", table.details.get("test", "")))
    if out is not None:
        _export(table, Path(out))


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path())
@click.option("--radii", type=FloatList(), help="Columns of the table, separated by commas.")
@click.option("--out", type=click.Path(), help="Folder for the plot (PNG, SVG), the table (CSV) and a one-file HTML report.")
def report(paths: Sequence[str], radii: list[float] | None, out: str | None) -> None:
    """Certified accuracy of runs and of foreign logs.

    PATHS are run directories, TSV or CSV logs (idx label predict radius correct time), or folders of logs.
    """
    tables = _tables(paths)
    _print(tables, radii)
    if out is not None:
        for file in _write_report(tables, radii, Path(out)):
            click.echo(f"wrote {file}")


@click.command()
@click.argument("run", type=click.Path())
@click.argument("file", type=click.Path())
@rederive
def export(run: str, file: str, **options: Any) -> None:
    """Write a run as the field's TSV or as CSV, by the ending of FILE.

    Columns idx label predict radius correct time; radii rounded down to six decimals.
    """
    from ..stored import result_table

    table = result_table(Path(run), **options)
    _export(table, Path(file))
    _print_caveats([table])


def _export(table: ResultTable, file: Path) -> None:
    from ..errors import InvalidArgumentError
    from ..report import write_csv, write_tsv

    writers = {".tsv": write_tsv, ".csv": write_csv}
    if file.suffix not in writers:
        raise InvalidArgumentError(f"{file} ends in {file.suffix or 'nothing'}: give a file that ends in .tsv or .csv.")
    writers[file.suffix](table, file)
    click.echo(f"wrote {len(table)} rows to {file}")


def _tables(paths: Sequence[str]) -> list[ResultTable]:
    from ..errors import DataError
    from ..report import find_logs, read_log
    from ..stored import result_table

    tables = []
    for text in paths:
        path = Path(text)
        if (path / "run.json").exists():
            tables.append(result_table(path))
            continue
        if not path.exists():
            raise DataError(f"{path} does not exist: give a run directory, a log, or a folder of logs.")
        logs = find_logs(path)
        if not logs:
            raise DataError(f"{path} holds no logs (files that begin with idx label predict) and is not a run directory.")
        tables += [read_log(log, str(log.relative_to(path)) if log != path else None) for log in logs]
    return tables


def _print(tables: list[ResultTable], radii: list[float] | None) -> None:
    from ..report import default_radii, text_table

    certified = [table for table in tables if table.radius is not None]
    predicted = [table for table in tables if table.radius is None]
    if certified:
        click.echo(text_table(certified, radii or default_radii(certified)))
    if predicted:
        click.echo(text_table(predicted, []))
    _print_caveats(tables)


def _print_caveats(tables: list[ResultTable]) -> None:
    for table in tables:
        for name, sentence in table.details.items():
            if name.startswith("caveat"):
                click.echo(f"{table.name}: {sentence}")


def _write_report(tables: list[ResultTable], radii: list[float] | None, folder: Path) -> list[Path]:
    import csv

    from ..errors import DataError, StoreError
    from ..report import certified_accuracy, default_radii, write_page, write_plot

    certified = [table for table in tables if table.radius is not None and len(table) and table.labelled]
    if not certified:
        raise DataError("there is nothing to plot: no run or log with certified images and labels was given.")
    radii = radii or default_radii(certified)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "certified_accuracy.csv").open("w", newline="", encoding="utf-8") as out:
            writer = csv.writer(out, lineterminator="\n")
            writer.writerow(["name", *[f"{r:g}" for r in radii]])
            writer.writerows([table.name, *[f"{a:.6f}" for a in certified_accuracy(table, radii)]] for table in certified)
    except OSError as error:
        raise StoreError(f"{folder} cannot be written: {error.strerror or error}.") from None
    write_plot(certified, folder / "certified_accuracy.png")
    write_plot(certified, folder / "certified_accuracy.svg")
    write_page(certified, radii, folder / "report.html")
    return [
        folder / name for name in ("certified_accuracy.csv", "certified_accuracy.png", "certified_accuracy.svg", "report.html")
    ]
