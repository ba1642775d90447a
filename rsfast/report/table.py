"""One row per image (idx label predict radius correct time), and what is computed from such rows."""

from __future__ import annotations

import csv
import dataclasses
import datetime
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .. import checks
from ..errors import InvalidArgumentError, StoreError
from ..result import ABSTAIN, floor_decimals

COLUMNS = ("idx", "label", "predict", "radius", "correct", "time")


@dataclasses.dataclass(frozen=True)
class ResultTable:
    """Results of one run or log.  `radius` is None for logs of PREDICT, which certify nothing; `label` -1 if unknown."""

    name: str
    idx: NDArray[np.int64]
    label: NDArray[np.int64]
    predict: NDArray[np.int64]
    radius: NDArray[np.float64] | None
    correct: NDArray[np.bool_]
    seconds: NDArray[np.float64]
    details: dict[str, str] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.idx)

    @property
    def labelled(self) -> bool:
        """Whether the true labels are known; without them there is no accuracy."""
        return bool((self.label >= 0).any()) or len(self) == 0

    @property
    def abstained(self) -> NDArray[np.bool_]:
        return self.predict == ABSTAIN


def certified_accuracy(table: ResultTable, radii: Sequence[float]) -> NDArray[np.float64]:
    """Share of images whose label is right and certified at a radius of at least r, for each r."""
    if len(table) == 0:
        raise InvalidArgumentError(f"{table.name} holds no finished images: run `rsfast certify` first.")
    if table.radius is None:
        raise InvalidArgumentError(f"{table.name} holds predictions without radii: certify to get a certified accuracy.")
    if not table.labelled:
        raise InvalidArgumentError(f"{table.name} has no labels, and accuracy needs them.")
    wanted = checks.floats("radii", np.asarray(radii), 0.0, np.inf, "radii, each zero or positive")
    return np.array([float(np.mean(table.correct & (table.radius >= r))) for r in wanted])


def average_certified_radius(table: ResultTable) -> float:
    """Mean over all images of the radius where the label is right, 0 elsewhere (Zhai et al. 2020)."""
    return float(np.mean(np.where(table.correct, table.radius, 0.0))) if table.radius is not None and len(table) else math.nan


def default_radii(tables: Sequence[ResultTable]) -> list[float]:
    """0 to the largest radius in steps of 0.25 (finer for small radii), at most 12 columns."""
    largest = max((float(t.radius.max()) for t in tables if t.radius is not None and len(t)), default=0.0)
    if not math.isfinite(largest):
        largest = 4.0
    if largest > 55:  # not a radius that a norm of images gives; any grid will do
        return [0.0, largest / 2, largest]
    step = next(step for step in (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0) if largest / step <= 11)
    return [round(i * step, 6) for i in range(int(largest / step) + 1)]


def text_table(tables: Sequence[ResultTable], radii: Sequence[float]) -> str:
    """Certified accuracy at the radii, abstentions and average certified radius, one line per table."""
    width = max((len(table.name) for table in tables), default=4)
    certified = any(table.radius is not None for table in tables)
    head = f"{'':{width}}  {'images':>6}  {'abstain':>7}"
    head += "".join(f"  r={r:<5g}" for r in radii) + "      ACR" if certified else f"  {'accuracy':>8}"
    lines = [head.rstrip()]
    for table in tables:
        share = float(table.abstained.mean()) if len(table) else math.nan
        line = f"{table.name:{width}}  {len(table):6d}  {share:7.3f}"
        if not table.labelled:
            certified_share = (
                "" if table.radius is None else f", median radius {floor_decimals(float(np.median(table.radius)), 4)}"
            )
            line += f"  no labels, so no accuracy{certified_share}"
        elif table.radius is None:
            line += f"  {float(table.correct.mean()) if len(table) else math.nan:8.3f}"
        elif len(table):
            line += "".join(f"  {accuracy:7.3f}" for accuracy in certified_accuracy(table, radii))
            line += f"  {floor_decimals(average_certified_radius(table), 4):>7}"
        lines.append(line)
    return "\n".join(lines)


def _cells(table: ResultTable, i: int) -> list[str]:
    seconds = datetime.timedelta(seconds=float(table.seconds[i]))
    radius = [] if table.radius is None else [floor_decimals(float(table.radius[i]), 6)]
    return [
        str(int(table.idx[i])), str(int(table.label[i])), str(int(table.predict[i])), *radius,
        str(int(table.correct[i])), str(seconds),
    ]  # fmt: skip


def _write(table: ResultTable, file: Path, delimiter: str) -> None:
    columns = [column for column in COLUMNS if column != "radius" or table.radius is not None]
    try:
        with file.open("w", newline="", encoding="utf-8") as out:
            writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows(_cells(table, i) for i in range(len(table)))
    except OSError as error:
        raise StoreError(f"{file} cannot be written: {error.strerror or error}.") from None


def write_tsv(table: ResultTable, file: Path) -> None:
    """The field's log: tab-separated idx label predict radius correct time, radius rounded down to 6 decimals."""
    _write(table, file, "\t")


def write_csv(table: ResultTable, file: Path) -> None:
    """The same columns, separated by commas."""
    _write(table, file, ",")
