"""Logs that others wrote: idx label predict [radius] [correct] [time], separated by tabs, commas, semicolons or spaces."""

from __future__ import annotations

import codecs
import csv
import os
import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import DataError
from ..files import as_path, open_regular, printable, shown
from ..request import ABSTAIN
from . import cells
from .correct import Said, compared, listed, right
from .table import ResultTable

NEEDED = ("idx", "label", "predict")
COLUMNS = (*NEEDED, "radius", "correct", "time")
EXPECTED = "idx label predict [radius] [correct] [time]"
LARGEST = 1 << 27  # bytes
LONGEST = 1 << 15  # characters of a line
HEAD = 1 << 12  # bytes that show whether a file is a log


class Row(NamedTuple):
    """A row is one line: numbers, or their text where that is compared only later."""

    line: int
    idx: int
    label: int
    predict: int
    radius: float
    correct: tuple[float, float]
    seconds: float


class Form(NamedTuple):
    """A form is how a log's first line says that its lines are written; `delimiter` None stands for any blanks."""

    delimiter: str | None
    columns: tuple[str, ...]

    def split(self, line: str) -> list[str]:
        if self.delimiter is None:
            return line.split(None, len(self.columns) - 1) if self.columns else line.split()
        if '"' not in line:
            return line.split(self.delimiter)
        return next(csv.reader([line], delimiter=self.delimiter))


def _form(line: str) -> Form | None:
    """What a first line says; None if it is not a log's."""
    for delimiter in ("\t", ",", ";", None):
        found = Form(delimiter, ()).split(line.lstrip("# "))
        columns = tuple(name.strip().lower() for name in found)
        if set(NEEDED) <= set(columns):
            return Form(delimiter, columns)
    return None


def _decoded(data: bytes) -> str:
    """Text of UTF-8, or of UTF-16 with a byte order mark."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16")
    if b"\0" in data:
        raise ValueError("it holds NUL bytes, and is no text")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is no UTF-8 text (byte {error.start})") from None


def is_log(file: Path) -> bool:
    """Say whether a file begins as a log does.

    Raises
    ------
    OSError
        It cannot be read, or is no regular file.
    """
    with open_regular(file) as opened:
        head = opened.read(HEAD)
    text = head.decode("utf-16" if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig", "replace")
    return _form(re.split(r"[\r\n]", text.lstrip(), maxsplit=1)[0]) is not None


def read_log(file: str | Path, name: str | None = None) -> ResultTable:
    """Read one log.

    The first line names the columns, in any order and case; others than these six are passed over.  `radius` is missing in
    logs of PREDICT.  What is right is computed from `label` and `predict` (-1: abstained, never right); a column `correct` is
    compared with it.  `details` says what was odd, as caveats.

    Radii are taken as printed.  The logs of Cohen et al. print three significant digits rounded to nearest, up to 0.005
    above what was certified; at the radii of the published tables that makes no difference.

    Raises
    ------
    DataError
        It cannot be read, is not a log, holds a line that is no result (which is named), an idx twice, a radius that is
        negative, infinite or not a number, or a column `correct` that contradicts label and predict.
    """
    file = as_path(file)
    where = shown(file)
    text = _text(file, where)
    form, lines = _lines(where, text)
    rows, remarks = _rows(where, form, lines, whole_end=text.endswith(("\n", "\r")))
    _refuse_twice(where, rows)
    idx, label, predict = (np.array([row[i] for row in rows], dtype=np.int64) for i in (1, 2, 3))
    radius = np.array([row.radius for row in rows], dtype=np.float64)
    remarks += _refuse_radii(where, rows, radius, predict)
    if "correct" in form.columns and rows:
        values, units = np.array([row.correct for row in rows], dtype=np.float64).T
        remarks.append(compared(where, idx, label, predict, radius, Said(values, units)))
    told = [remark for remark in remarks if remark is not None]
    return ResultTable(
        name=printable(name or file.name),
        idx=idx,
        label=label,
        predict=predict,
        radius=radius if "radius" in form.columns else None,
        correct=right(label, predict),
        seconds=np.array([row.seconds for row in rows], dtype=np.float64),
        details={"source": printable(file.name), **{f"caveat {i}": remark for i, remark in enumerate(told, start=1)}},
    )


def _text(file: Path, where: str) -> str:
    try:
        with open_regular(file) as opened:
            size = os.fstat(opened.fileno()).st_size
            data = opened.read(LARGEST + 1) if size <= LARGEST else b""
        if max(size, len(data)) > LARGEST:
            raise ValueError(f"it has more than {LARGEST >> 20} MiB, and no log has: split it")
        if data.startswith(b"\x1f\x8b"):
            raise ValueError("it is compressed: unpack it with gunzip")
        return _decoded(data)
    except MemoryError:
        raise DataError(f"{where} cannot be read: it does not fit in memory. Split it.") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{where} cannot be read: {getattr(error, 'strerror', None) or error}.") from None


def _lines(where: str, text: str) -> tuple[Form, list[tuple[int, str]]]:
    """The form, and every line after the first that is not blank, with its number."""
    lines = [
        (number, line) for number, line in enumerate(re.split(r"\r\n|\r|\n", text), start=1) if line.strip(' \t,;"\f\v\u00a0')
    ]
    for number, line in lines:
        if len(line) > LONGEST:
            raise DataError(f"{where} is not a log: line {number} has {len(line):,} characters; a log has a result in each line.")
    form = _form(lines[0][1]) if lines else None
    if form is None:
        found = f"its first line is {_shown(lines[0][1])}, not" if lines else "it is empty, and should begin with"
        raise DataError(f"{where} is not a log: {found} {EXPECTED} (separated by tabs, commas, semicolons or spaces).")
    twice = [column for column in COLUMNS if form.columns.count(column) > 1]
    if twice:
        raise DataError(f"{where} has the column {twice[0]} {form.columns.count(twice[0])} times: rename or remove the others.")
    return form, lines[1:]


def _rows(where: str, form: Form, lines: list[tuple[int, str]], *, whole_end: bool) -> tuple[list[Row], list[str | None]]:
    """The results, and what is said of lines that are none."""
    place = {column: form.columns.index(column) for column in COLUMNS if column in form.columns}
    most = max(at for column, at in place.items() if column != "time")
    rows: list[Row] = []
    remarks: list[str | None] = []
    heads: list[str] = []
    for number, line in lines:
        found = form.split(line)
        if tuple(name.strip().lower() for name in found) == form.columns:
            heads.append(str(number))
            continue
        if number == lines[-1][0] and not whole_end:
            if len(found) <= most:
                remarks.append(f"its last line ({number}) was cut short and is left out")
                continue
            if form.columns[-1] in ("label", "predict", "radius"):
                raise DataError(
                    f"{where} ends without a line end, so that its last {form.columns[-1]} ({_shown(found[-1])}) may be cut "
                    "short: add a line end if it is whole, or remove the line."
                )
        if len(found) <= most or any(cell.strip() for cell in found[len(form.columns) :]):
            raise DataError(
                f"{where} line {number} is not {EXPECTED}: it has {len(found)} cells where the first line has "
                f"{len(form.columns)} ({_shown(line)}); repair or remove it."
            )
        rows.append(_row(where, number, {column: found[at] for column, at in place.items() if at < len(found)}, form))
    if heads:
        remarks.append(f"it is several logs joined: the first line comes again in line {listed(heads)}")
    return rows, remarks


def _row(where: str, number: int, cell: dict[str, str], form: Form) -> Row:
    column = "idx"
    try:
        idx = cells.whole(cell["idx"])
        column = "label"
        label = cells.whole(cell["label"])
        column = "predict"
        predict = cells.whole(cell["predict"])
        column = "radius"
        radius = cells.number(cell["radius"], comma=form.delimiter == ";") if "radius" in cell else 0.0
        column = "correct"
        correct = cells.truth(cell["correct"]) if "correct" in cell else (0.0, 1.0)
        column = "time"
        seconds = cells.seconds(cell.get("time", ""))
        below = [
            name for name, value, least in (("idx", idx, 0), ("label", label, -1), ("predict", predict, -1)) if value < least
        ]
        if below:
            column = below[0]
            raise ValueError(f"is below {0 if column == 'idx' else -1}")
    except ValueError as error:
        raise DataError(
            f"{where} line {number} is not {EXPECTED}: its {column} {_shown(cell[column])} {error}; repair or remove it."
        ) from None
    return Row(number, idx, label, predict, radius, correct, seconds)


def _refuse_twice(where: str, rows: list[Row]) -> None:
    twice = [idx for idx, times in Counter(row.idx for row in rows).items() if times > 1]
    if twice:
        lines = [str(row.line) for row in rows if row.idx == twice[0]]
        raise DataError(
            f"{where} holds {listed([str(idx) for idx in twice], 'idx ')} more than once (idx {twice[0]} in lines "
            f"{listed(lines)}), and each image counts once: remove the other lines, or give each log by itself."
        )


def _refuse_radii(where: str, rows: list[Row], radius: np.ndarray, predict: np.ndarray) -> list[str | None]:
    """Radii are zero or positive and finite; where a row abstains they mean nothing, and become 0."""
    abstained = predict == ABSTAIN
    bad = ~abstained & ~((radius >= 0) & np.isfinite(radius))
    if bad.any():
        row = rows[int(np.argmax(bad))]
        more = f" ({int(bad.sum())} lines are like this)" if bad.sum() > 1 else ""
        raise DataError(
            f"{where} line {row.line} has radius {row.radius:g}, and a certified radius is zero or positive and finite: repair "
            f"or remove that line{more}."
        )
    odd = abstained & (radius != 0)
    if not odd.any():
        return []
    radius[abstained] = 0.0
    return [f"where it abstains, the radius is other than 0 ({int(odd.sum())} times): it means nothing and is left out"]


def _shown(text: str) -> str:
    text = printable(text.strip())
    return f"'{text if len(text) <= 80 else text[:79] + '…'}'"
