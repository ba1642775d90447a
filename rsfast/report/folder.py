"""A folder with everything about some runs and logs: table, curve and page."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

from .. import files
from ..errors import DataError
from .page import Picture, page
from .plot import png, svg
from .table import ResultTable, average_certified_radius, certified_accuracy, default_radii, shown_radius


def write_report(
    tables: Sequence[ResultTable], radii: Sequence[float] | None, folder: str | Path, per: int = 1,
    pictures: Sequence[Picture] = (),
) -> list[Path]:  # fmt: skip
    """Write certified_accuracy.csv, .json, .png and .svg and report.html into a folder, and return their names.

    Everything is made before anything is written; each file is then replaced as a whole.  Radii in the JSON are as they are,
    and elsewhere shown as multiples of 1 / `per`.  The page shows the pictures, too.

    Raises
    ------
    DataError
        No table has certified images with labels.
    StoreError
        Something cannot be written.
    """
    folder = files.as_path(folder, "folder")
    certified = [table for table in tables if table.certified]
    check_plottable(certified)
    columns = list(radii) if radii else default_radii(certified, per)
    content: dict[str, str | bytes] = {
        "certified_accuracy.csv": _csv(certified, columns, per),
        "certified_accuracy.json": _json(tables, columns),
        "certified_accuracy.png": png(certified, per),
        "certified_accuracy.svg": svg(certified, per),
        "report.html": page(tables, columns, per=per, pictures=pictures),
    }
    files.make_folder(folder)
    for name, data in content.items():
        files.write(folder / name, data)
    return [folder / name for name in content]


def check_plottable(tables: Sequence[ResultTable]) -> None:
    """Refuse tables of which none has a curve."""
    if not any(table.certified for table in tables):
        raise DataError("there is nothing to plot: no run or log with certified images and labels was given.")


def _csv(tables: Sequence[ResultTable], radii: Sequence[float], per: int) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["name", *[shown_radius(r, per) for r in radii], "images", "asked"])
    for table in tables:
        accuracies = [f"{a:.6f}" for a in certified_accuracy(table, radii)]
        writer.writerow([table.name, *accuracies, len(table), "" if table.asked is None else table.asked])
    return out.getvalue()


def _json(tables: Sequence[ResultTable], radii: Sequence[float]) -> str:
    found = [
        {
            "name": table.name,
            "images": len(table),
            "asked": table.asked,
            "unreadable": table.unreadable,
            "unfinished": table.unfinished,
            "abstained": int(table.abstained.sum()),
            "certified_accuracy": certified_accuracy(table, radii).tolist() if table.certified else None,
            "average_certified_radius": average_certified_radius(table) if table.certified else None,
            "accuracy": float(table.correct.mean()) if table.radius is None and table.labelled and len(table) else None,
            "details": table.details,
        }
        for table in tables
    ]
    return json.dumps({"radii": list(radii), "tables": found}, indent=1) + "\n"
