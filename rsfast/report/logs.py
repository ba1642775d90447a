"""Logs that others wrote: idx label predict [radius] correct time, separated by tabs or commas."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from ..errors import DataError
from .table import ResultTable

HEADS = (b"idx\tlabel\tpredict", b"idx,label,predict")


def is_log(file: Path) -> bool:
    try:
        with file.open("rb") as opened:
            return opened.read(32).startswith(HEADS)
    except OSError:
        return False


def find_logs(path: Path) -> list[Path]:
    """The logs at or below a path, sorted."""
    if path.is_file():
        return [path]
    return sorted(file for file in path.rglob("*") if file.is_file() and is_log(file))


def read_log(file: Path, name: str | None = None) -> ResultTable:
    """Read one log.

    Radii are taken as printed.  The logs of Cohen et al. print three significant digits rounded to nearest, up to 0.005
    above what was certified; at the radii of the published tables that makes no difference.

    Raises
    ------
    DataError
        With the line that cannot be read.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file} cannot be read: {error}.") from None
    if not text.startswith(("idx\tlabel\tpredict", "idx,label,predict")):
        raise DataError(f"{file} is not a log: its first line is not idx label predict [radius] correct time.")
    rows = []
    reader = csv.DictReader(text.splitlines(), delimiter="\t" if text.startswith("idx\t") else ",")
    has_radius = "radius" in (reader.fieldnames or [])
    for number, row in enumerate(reader, start=2):
        try:
            rows.append((
                int(row["idx"]), int(row["label"]), int(row["predict"]), float(row["radius"]) if has_radius else 0.0,
                bool(int(row["correct"])), _seconds(row.get("time") or "0"),
            ))  # fmt: skip
        except (KeyError, TypeError, ValueError):
            raise DataError(
                f"{file} line {number} is not idx label predict [radius] correct time: repair or remove it."
            ) from None
    idx, label, predict, radius, correct, seconds = zip(*rows, strict=True) if rows else ((),) * 6
    radii = np.array(radius, dtype=np.float64)
    if has_radius and (np.isnan(radii).any() or (radii < 0).any()):
        raise DataError(f"{file} holds a radius that is negative or not a number: repair or remove that line.")
    return ResultTable(
        name=name or file.name,
        idx=np.array(idx, dtype=np.int64),
        label=np.array(label, dtype=np.int64),
        predict=np.array(predict, dtype=np.int64),
        radius=radii if has_radius else None,
        correct=np.array(correct, dtype=bool),
        seconds=np.array(seconds, dtype=np.float64),
        details={"source": file.name},
    )


def _seconds(text: str) -> float:
    """Seconds of "0:02:31.238689", "1 day, 0:00:01" or "12.5"."""
    days, _, clock = text.rpartition(", ")
    total = 0.0
    for part in clock.split(":"):
        total = 60.0 * total + float(part)
    return total + (86400.0 * int(days.split()[0]) if days else 0.0)
