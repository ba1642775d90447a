"""JSON that is equal where values are equal, strictly read."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return _ENCODER.encode(value)


def digest(value: Any) -> str:
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is not a number")


_DECODER = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_no_number)


def parse(content: bytes) -> Any:
    """JSON, or ValueError: also for keys that occur twice, NaN, infinity, and nesting too deep to be ours."""
    try:
        return _DECODER.decode(content.decode("utf-8"))
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except ValueError as error:
        if "int_max_str_digits" in str(error):
            raise ValueError("a number has thousands of digits") from None
        raise


def is_whole(value: object, low: int, high: int) -> bool:
    """Whether a JSON value is a whole number from low to high (True is none, 1.0 is none)."""
    return type(value) is int and low <= value <= high


def is_real(value: object, low: float, high: float) -> bool:
    """Whether a JSON value is a finite number from low to high."""
    return type(value) in (int, float) and low <= value <= high and math.isfinite(value)  # type: ignore[operator, arg-type]


def shown(value: Any) -> str:
    """A value for a message."""
    text = repr(value) if not isinstance(value, str) else value
    return text if len(text) <= 60 else text[:57] + "…"
