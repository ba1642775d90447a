"""Cells of logs as numbers: what others print where Cohen et al. print a whole number, a radius, a truth value or a time."""

from __future__ import annotations

import decimal
import math
import re

WHOLE = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]{1,5})?|[+-]?inf(inity)?|nan", re.ASCII | re.IGNORECASE)
TENSOR = re.compile(r"tensor\(\[?([^],()]+)\]?(, [^()]*)?\)")  # what torch prints of a number that was not taken out
LATEST = 1e9  # seconds that a time may say


def bare(cell: str) -> str:
    """Return a cell without blanks around it and without torch's wrapping."""
    cell = cell.strip()
    wrapped = TENSOR.fullmatch(cell) if cell.startswith("tensor(") else None
    return wrapped[1].strip() if wrapped else cell


def number(cell: str, comma: bool = False) -> float:
    """Read a number, infinite and NaN ones too; with `comma`, one that is written with a decimal comma, too.

    Raises
    ------
    ValueError
        It is none.
    """
    text = bare(cell)
    if comma and text.count(",") == 1 and "." not in text:
        text = text.replace(",", ".")
    if len(text) > 1000 or not NUMBER.fullmatch(text):
        raise ValueError("is no number")
    return float(text)


def whole(cell: str) -> int:
    """Read a whole number, also one that is written as 3.0.

    Raises
    ------
    ValueError
        It is none, or beyond 18 digits.
    """
    text = bare(cell)
    if WHOLE.fullmatch(text):
        return int(text)
    value = number(text)
    if not (math.isfinite(value) and value == math.floor(value) and abs(value) <= 2.0**53):
        raise ValueError("is no whole number")
    return int(value)


def truth(cell: str) -> tuple[float, float]:
    """Return the number that stands for true and false, and the unit of the last place that is printed of it.

    Raises
    ------
    ValueError
        It is neither a number nor True or False.
    """
    text = bare(cell).rstrip("%")
    if text.lower() in ("true", "false"):
        return float(text.lower() == "true"), 1.0
    value = number(text)
    if not math.isfinite(value):
        raise ValueError("is no truth value")
    exponent = decimal.Decimal(text).as_tuple().exponent
    return value, min(1.0, 10.0 ** int(exponent))


def seconds(cell: str) -> float:
    """Return the seconds of "0:02:31.238689", "1 day, 0:00:01" or "12.5", and 0 of an empty cell and of a clock that was set
    back.

    Raises
    ------
    ValueError
        It is no time.
    """
    days, _, clock = bare(cell).rpartition(", ")
    total = 0.0
    for part in clock.split(":") if clock else []:
        total = 60.0 * total + number(part)
    if days:
        count, _, unit = days.partition(" ")
        if unit not in ("day", "days"):
            raise ValueError("is no time")
        total += 86400.0 * whole(count)
    if not abs(total) <= LATEST:
        raise ValueError("is no time")
    return max(0.0, total)
