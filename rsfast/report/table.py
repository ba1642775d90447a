"""One row per image (idx label predict radius correct time), and what is computed from such rows."""

from __future__ import annotations

import csv
import dataclasses
import datetime
import io
import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .. import checks, files
from ..errors import InvalidArgumentError
from ..request import ABSTAIN
from ..result import floor_decimals

COLUMNS = ("idx", "label", "predict", "radius", "correct", "time")


@dataclasses.dataclass(frozen=True)
class ResultTable:
    """A table holds the results of one run or log.

    `radius` is None for logs of PREDICT, which certify nothing; `label` -1 if unknown; `asked` is how many images the run was
    asked for, None if that is not known, `unreadable` how many of them could not be read, `missing` says in words what is
    still to come, if anything is; `norm` is that of the radii, None if it is not known.
    """

    name: str
    idx: NDArray[np.int64]
    label: NDArray[np.int64]
    predict: NDArray[np.int64]
    radius: NDArray[np.float64] | None
    correct: NDArray[np.bool_]
    seconds: NDArray[np.float64]
    details: dict[str, str] = dataclasses.field(default_factory=dict)
    asked: int | None = None
    unreadable: int = 0
    missing: str = ""
    norm: float | None = None

    def __len__(self) -> int:
        return len(self.idx)

    @property
    def labelled(self) -> bool:
        """Say whether the true labels are known; without them there is no accuracy."""
        return bool((self.label >= 0).any()) or len(self) == 0

    @property
    def certified(self) -> bool:
        """Say whether it has a certified accuracy."""
        return self.radius is not None and len(self) > 0 and self.labelled

    @property
    def unfinished(self) -> bool:
        """Say whether something is still to come; every figure is then of the images that are there."""
        return bool(self.missing)

    @property
    def images(self) -> str:
        """Say how many images there are, and of how many if that are not all."""
        return str(len(self)) if self.asked is None or len(self) >= self.asked else f"{len(self)} of {self.asked}"

    @property
    def standing(self) -> str:
        """Return a sentence about images that were asked for and are not there, or nothing."""
        unreadable = f"{self.unreadable} could not be read and {'is' if self.unreadable == 1 else 'are'} in no figure"
        if self.missing:
            more = f"; {unreadable}" if self.unreadable else ""
            return (
                f"unfinished: {self.images} images are there, and every figure is of these alone; missing: {self.missing}{more}."
            )
        return f"{self.images} images are there; {unreadable}." if self.unreadable else ""

    @property
    def caveats(self) -> list[str]:
        """Say what has to be said beside its figures."""
        return [sentence for key, sentence in self.details.items() if key.startswith("caveat")]

    @property
    def abstained(self) -> NDArray[np.bool_]:
        return self.predict == ABSTAIN


def norms_differ(tables: Sequence[ResultTable]) -> str:
    """Return a sentence if radii of different norms stand side by side, or nothing."""
    known = sorted({table.norm for table in tables if table.certified and table.norm is not None})
    if len(known) < 2:
        return ""
    return (
        f"radii of different norms ({', '.join(f'l{norm:g}' for norm in known)}) are not comparable: report each norm by itself."
    )


def certified_accuracy(table: ResultTable, radii: Sequence[float]) -> NDArray[np.float64]:
    """Return the share of images whose label is right and certified at a radius of at least r, for each r."""
    if len(table) == 0:
        raise InvalidArgumentError(f"{table.name} holds no finished images: run `rsfast certify` first.")
    if table.radius is None:
        raise InvalidArgumentError(f"{table.name} holds predictions without radii: certify to get a certified accuracy.")
    if not table.labelled:
        raise InvalidArgumentError(f"{table.name} has no labels, and accuracy needs them.")
    wanted = checks.floats("radii", np.asarray(radii), 0.0, np.inf, "radii, each zero or positive")
    return np.array([float(np.mean(table.correct & (table.radius >= r))) for r in wanted])


def average_certified_radius(table: ResultTable) -> float:
    """Return the mean over all images of the radius where the label is right, 0 elsewhere (Zhai et al. 2020)."""
    return float(np.mean(np.where(table.correct, table.radius, 0.0))) if table.radius is not None and len(table) else math.nan


def default_radii(tables: Sequence[ResultTable], per: int = 1) -> list[float]:
    """Return round multiples of 1 / `per` from 0 to the largest finite radius, at most 12."""
    radii = [t.radius[np.isfinite(t.radius)] for t in tables if t.radius is not None]
    largest = per * max((float(r.max()) for r in radii if len(r)), default=0.0)
    if largest < 1e-300:
        return [0.0]
    exponent = math.floor(math.log10(largest / 11))
    steps = (float(f"{first}e{e}") for e in (exponent, exponent + 1) for first in (1, 2.5 if per == 1 else 2, 5))
    step = next(step for step in steps if largest / step <= 11)
    return [in_units(float(f"{i * step:.9g}"), per) for i in range(int(largest / step) + 1)]


def in_units(value: float, per: int) -> float:
    """Return `value` / `per`, rounded up: a radius that is reached is also reached exactly."""
    radius = value / per
    return radius if per == 1 or Fraction(radius) * per >= Fraction(value) else math.nextafter(radius, math.inf)


def shown_radius(radius: float, per: int = 1) -> str:
    """Return a radius as the head of a column: 0.5, or 2/255."""
    return f"{radius * per:g}" + (f"/{per}" if per != 1 else "")


def shown_average(table: ResultTable, per: int = 1) -> str:
    """Return the average certified radius, rounded down."""
    average = average_certified_radius(table)
    return floor_decimals(average, 4) if per == 1 else f"{floor_decimals(math.nextafter(average * per, 0), 4)}/{per}"


def shortened(name: str, most: int = 60) -> str:
    """Return a long name without its middle."""
    return name if len(name) <= most else f"{name[: most // 2 - 1]}…{name[-most // 2 :]}"


def text_table(tables: Sequence[ResultTable], radii: Sequence[float], per: int = 1) -> str:
    """Show certified accuracy at the radii (as multiples of 1 / `per`), abstentions and average certified radius."""
    certified = any(table.radius is not None for table in tables)
    heads = [*(f"r={shown_radius(r, per)}" for r in radii), "ACR"] if certified else ["accuracy"]
    lines = [(["", "images", "abstain", *heads], "")]
    for table in tables:
        cells = [shortened(table.name), table.images, f"{table.abstained.mean():.3f}" if len(table) else "nan"]
        remark = ""
        if not table.labelled:
            median = "" if table.radius is None else f", median radius {floor_decimals(float(np.median(table.radius)), 4)}"
            remark = f"  no labels, so no accuracy{median}"
        elif table.radius is None:
            cells.append(f"{table.correct.mean():.3f}" if len(table) else "nan")
        elif len(table):
            cells += [*(f"{accuracy:.3f}" for accuracy in certified_accuracy(table, radii)), shown_average(table, per)]
        lines.append((cells, remark))
    widths = [max(len(cells[i]) for cells, _ in lines if i < len(cells)) for i in range(len(lines[0][0]))]
    return "\n".join(
        f"{cells[0]:{widths[0]}}"
        + "".join(f"  {cell:>{width}}" for cell, width in zip(cells[1:], widths[1:], strict=False))
        + remark
        for cells, remark in lines
    )


def _cells(table: ResultTable, i: int) -> list[str]:
    seconds = datetime.timedelta(seconds=float(table.seconds[i]))
    radius = [] if table.radius is None else [floor_decimals(float(table.radius[i]), 6)]
    return [
        str(int(table.idx[i])), str(int(table.label[i])), str(int(table.predict[i])), *radius,
        str(int(table.correct[i])), str(seconds),
    ]  # fmt: skip


def _write(table: ResultTable, file: str | Path, delimiter: str) -> None:
    columns = [column for column in COLUMNS if column != "radius" or table.radius is not None]
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(_cells(table, i) for i in range(len(table)))
    files.write(file, out.getvalue())


def write_tsv(table: ResultTable, file: str | Path) -> None:
    """Write the field's log: tab-separated idx label predict radius correct time, radius rounded down to 6 decimals.

    The file is replaced as a whole or, with a StoreError, not at all.
    """
    _write(table, file, "\t")


def write_csv(table: ResultTable, file: str | Path) -> None:
    """Write the same columns, separated by commas."""
    _write(table, file, ",")
