"""Argument checks that more than one layer needs.  Each raises InvalidArgumentError naming the argument and the index."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import InvalidArgumentError

Floats = NDArray[np.float64]


def at(index: tuple[Any, ...]) -> str:
    return f"[{', '.join(str(int(i)) for i in index)}]" if index else ""


def floats(name: str, value: ArrayLike, low: float, high: float, what: str) -> Floats:
    """`value` as float64, every entry in [low, high] (no NaN); `what` says in words what is allowed."""
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidArgumentError(f"{name} is not numeric ({value!r}): give {what}.") from None
    bad = ~((array >= low) & (array <= high))
    if bad.any():
        index = np.unravel_index(int(np.argmax(bad)), array.shape)
        raise InvalidArgumentError(f"{name}{at(index)}={array[index]} is not allowed: give {what}.")
    return array


def counts(name: str, value: ArrayLike, least: int = 0) -> Floats:
    """`value` as whole numbers of at least `least` (float64, exact up to 2^53)."""
    array = floats(name, value, least, 2.0**53, f"whole numbers from {least} to 2^53")
    if (array != np.floor(array)).any():
        index = np.unravel_index(int(np.argmax(array != np.floor(array))), array.shape)
        raise InvalidArgumentError(f"{name}{at(index)}={array[index]} is not a whole number: give counts.")
    return array


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
    array = np.asarray(value)
    try:
        array = array.astype(np.float64)
        bad = ~((array > 0.0) & (array < 1.0))
    except (TypeError, ValueError):
        bad = np.array(True)
    if bad.any():
        shown = value if np.ndim(value) == 0 else array[bad][0]
        raise InvalidArgumentError(
            f"alpha={shown} is not a failure probability: give a number strictly between 0 and 1 (0.001 is customary)."
        )
    return array


def one_alpha(value: ArrayLike) -> float:
    """A failure probability for a whole call."""
    if np.ndim(value) != 0:
        raise InvalidArgumentError("alpha is an array: give one failure probability for the call (0.001 is customary).")
    return float(alpha(value))


def numbers(name: str, value: Any, length: int | None = None) -> tuple[float, ...]:
    """A sequence of finite numbers, of the given length if there is one."""
    try:
        found = tuple(float(item) for item in value)
    except (TypeError, ValueError):
        raise InvalidArgumentError(f"{name}={value!r} is not a sequence of numbers: give one per channel, in a list.") from None
    if length is not None and len(found) != length:
        raise InvalidArgumentError(f"{name} has {len(found)} entries; give one for each of the {length} channels.")
    if not all(math.isfinite(item) for item in found):
        raise InvalidArgumentError(f"{name}={list(found)} holds NaN or infinity: give finite numbers.")
    return found


def choice(name: str, value: object, allowed: Iterable[str]) -> str:
    """One of some names."""
    names = list(allowed)
    if not isinstance(value, str) or value not in names:
        raise InvalidArgumentError(f"{name}={value!r} is not known: give one of {', '.join(names)}.")
    return value


def order(value: object) -> float:
    """The order of a norm: a positive number or inf."""
    array = floats("norm", value, np.finfo(float).tiny, np.inf, "a norm's order: a positive number or inf")  # type: ignore[arg-type]
    if array.ndim:
        raise InvalidArgumentError(f"norm={value!r} is an array: give one norm for the call.")
    return float(array)


def whole(name: str, value: object, least: int, most: int | None = None) -> int:
    """One whole number."""
    limit = f"of at least {least}" if most is None else f"from {least} to {most}"
    number = math.nan
    if not isinstance(value, bool) and isinstance(value, (int, float, np.integer, np.floating)) and value == value // 1:
        number = int(value)
    if not number >= least or (most is not None and number > most):
        raise InvalidArgumentError(f"{name}={value!r} is not allowed: give a whole number {limit}.")
    return int(number)
