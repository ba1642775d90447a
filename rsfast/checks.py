"""Argument checks that more than one layer needs.  Each raises InvalidArgumentError naming the argument and the index."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from decimal import Decimal
from numbers import Real
from typing import Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import InvalidArgumentError
from .hints import explained

Floats = NDArray[np.float64]
P = ParamSpec("P")
R = TypeVar("R")

MOST_NUMBERS = 2**16
"""Entries of a sequence that is gone through one by one; an endless one ends there."""


def public(function: Callable[P, R]) -> Callable[P, R]:
    """A numeric function as users call it.

    Floating-point flags are nobody's business, whatever np.errstate the caller has set: 1/0 is on its way to an infinite radius,
    or on a branch not taken.  Wrong argument names are answered with what was meant.
    """

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        with np.errstate(all="ignore"):
            return function(*args, **kwargs)

    return explained(call)


def at(index: tuple[Any, ...]) -> str:
    return f"[{', '.join(str(int(i)) for i in index)}]" if index else ""


def shown(value: object) -> str:
    """`value` for a message: its repr in at most 80 characters, or its type where it has none."""
    try:
        text = repr(value)
    except Exception:  # of somebody else's class; also of whole numbers of more than 4300 digits
        return f"<{type(value).__name__}>"
    text = " ".join(text.split())
    return text if len(text) <= 80 else f"{text[:76]} ..."


def doubles(name: str, value: ArrayLike, what: str) -> Floats:
    """`value` as float64, shape kept.

    Refused: text, dates, complex numbers, masked entries, ragged lists and whatever else is not numbers, and numbers that float64
    does not hold exactly (whole ones beyond 2^53, extended precision, fractions), which rounding would move to an unknown side.
    """
    if type(value) is np.ndarray and value.dtype == np.float64:
        return value
    try:
        given = np.asarray(value)
        if np.ma.is_masked(value) or given.dtype.kind not in "biufO" or not all(map(_real, _foreign(given))):
            raise TypeError
        array = given.astype(np.float64)
        foreign = _foreign(given)
        changed = [a == a and a != float(b) for a, b in zip(foreign, array.flat, strict=False)]
    except OverflowError:
        raise InvalidArgumentError(f"{name} is beyond the range of float64 ({shown(value)}): give {what}.") from None
    except Exception:  # whatever the conversion of foreign objects raises
        raise InvalidArgumentError(f"{name} is not numeric ({shown(value)}): give {what}.") from None
    if any(changed):
        first = changed.index(True)
        index = np.unravel_index(first, given.shape)
        raise InvalidArgumentError(
            f"{name}{at(index)}={shown(foreign[first])} has more digits than float64 holds: give the double on its safe side."
        )
    return array


def _foreign(array: NDArray[Any]) -> list[Any]:
    """The entries that float64 may not hold, flat; none for the common types."""
    kind, size = array.dtype.kind, array.dtype.itemsize
    if kind == "O" or (kind == "f" and size > 8) or (kind in "iu" and size == 8 and ((array > 2**53) | (array < -(2**53))).any()):
        return array.ravel().tolist()  # Python's whole numbers compare exactly with floats
    return []


def _real(item: object) -> bool:
    return isinstance(item, (Real, Decimal))


def floats(name: str, value: ArrayLike, low: float, high: float, what: str) -> Floats:
    """`value` as float64, every entry in [low, high] (no NaN); `what` says in words what is allowed."""
    array = doubles(name, value, what)
    bad = ~((array >= low) & (array <= high))
    if bad.any():
        index = np.unravel_index(int(np.argmax(bad)), array.shape)
        raise InvalidArgumentError(f"{name}{at(index)}={array[index]} is not allowed: give {what}.")
    return array


def number(name: str, value: object, low: float, high: float, what: str) -> float:
    """One number in [low, high]; True is none."""
    if isinstance(value, (bool, np.bool_)):
        raise InvalidArgumentError(f"{name}={shown(value)} is not one number: give {what}.")
    array = floats(name, value, low, high, what)  # type: ignore[arg-type]
    if array.ndim:
        raise InvalidArgumentError(f"{name}={shown(value)} is not one number: give {what}.")
    return float(array)


def counts(name: str, value: ArrayLike, least: int = 0) -> Floats:
    """`value` as whole numbers of at least `least` (float64, exact up to 2^53)."""
    array = floats(name, value, least, 2.0**53, f"whole numbers from {least} to 2^53")
    if (array != np.floor(array)).any():
        index = np.unravel_index(int(np.argmax(array != np.floor(array))), array.shape)
        raise InvalidArgumentError(f"{name}{at(index)}={array[index]} is not a whole number: give counts.")
    return array


def integers(name: str, value: ArrayLike) -> NDArray[np.int64]:
    """Whole numbers of at most 2^53, of any numeric type, as int64; shape kept."""
    if type(value) is np.ndarray and value.dtype == np.int64:
        return value
    array = floats(name, value, -(2.0**53), 2.0**53, "whole numbers")
    if (array != np.floor(array)).any():
        index = np.unravel_index(int(np.argmax(array != np.floor(array))), array.shape)
        raise InvalidArgumentError(f"{name}{at(index)}={array[index]} is not a whole number: give whole numbers.")
    return array.astype(np.int64)


def together(**arrays: Floats) -> list[Floats]:
    """The arrays broadcast against each other."""
    try:
        shape = np.broadcast_shapes(*[array.shape for array in arrays.values()])
    except ValueError:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise InvalidArgumentError(f"shapes do not fit together: {shapes}; give arrays that broadcast.") from None
    return [np.broadcast_to(array, shape) for array in arrays.values()]


def alpha(value: ArrayLike) -> Floats:
    """A failure probability, strictly between 0 and 1."""
    allowed = "a number strictly between 0 and 1 (0.001 is customary)"
    if isinstance(value, str):  # typed as such, shown as such
        raise InvalidArgumentError(f"alpha={value[:76]} is not a failure probability: give {allowed}.")
    array = doubles("alpha", value, allowed)
    bad = ~((array > 0.0) & (array < 1.0))
    if bad.any():
        index = np.unravel_index(int(np.argmax(bad)), array.shape)
        raise InvalidArgumentError(
            f"alpha{at(index)}={array[index] if index else value} is not a failure probability: give {allowed}."
        )
    return array


def one_alpha(value: ArrayLike) -> float:
    """A failure probability for a whole call."""
    array = alpha(value)
    if array.ndim:
        raise InvalidArgumentError("alpha is an array: give one failure probability for the call (0.001 is customary).")
    return float(array)


def numbers(name: str, value: Any, length: int | None = None) -> tuple[float, ...]:
    """A sequence of finite numbers, of the given length if there is one."""
    try:
        if isinstance(value, (str, bytes, bytearray, Mapping, AbstractSet)):
            raise TypeError
        items = list(itertools.islice(value, MOST_NUMBERS + 1))
        if len(items) > MOST_NUMBERS or any(isinstance(item, (str, bytes, bool, np.bool_)) for item in items):
            raise TypeError
        found = tuple(float(item) for item in items)
    except Exception:  # whatever foreign objects raise when they are gone through or converted
        raise InvalidArgumentError(
            f"{name}={shown(value)} is not a sequence of numbers: give one per channel, in a list."
        ) from None
    if length is not None and len(found) != length:
        raise InvalidArgumentError(f"{name} has {len(found)} entries; give one for each of the {length} channels.")
    if not all(math.isfinite(item) for item in found):
        raise InvalidArgumentError(f"{name}={shown(list(found))} holds NaN or infinity: give finite numbers.")
    return found


def choice(name: str, value: object, allowed: Iterable[str]) -> str:
    """One of some names."""
    names = list(allowed)
    if not isinstance(value, str) or value not in names:
        raise InvalidArgumentError(f"{name}={shown(value)} is not known: give one of {', '.join(names)}.")
    return value


def flag(name: str, value: object) -> bool:
    """True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise InvalidArgumentError(f"{name}={shown(value)} is neither True nor False: give one of them.")
    return bool(value)


def order(value: object) -> float:
    """The order of a norm: a positive number or inf."""
    return number("norm", value, np.finfo(float).tiny, np.inf, "a norm's order: a positive number or inf")


def whole(name: str, value: object, least: int, most: int | None = None) -> int:
    """One whole number."""
    limit = f"of at least {least}" if most is None else f"from {least} to {most}"
    number = math.nan
    if not isinstance(value, (bool, np.timedelta64)) and isinstance(value, (int, float, np.integer, np.floating)):
        number = int(value) if isinstance(value, int) or (math.isfinite(value) and value == math.floor(value)) else math.nan
    if not number >= least or (most is not None and number > most):
        raise InvalidArgumentError(f"{name}={shown(value)} is not allowed: give a whole number {limit}.")
    return int(number)
