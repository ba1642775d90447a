"""The arguments that certificates share: a class's probability, what it leaves, and the most that any other class has."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import checks
from ..checks import Floats
from ..errors import InvalidArgumentError

PROBABILITIES = "probabilities from 0 to 1"
SCALES = "positive noise levels, from 1e-280 to 1e280"


def failure(
    p_lower: ArrayLike, q_upper: ArrayLike | None, names: tuple[str, str] = ("p_lower", "q_upper")
) -> tuple[Floats, Floats]:
    """(p, q) with q = 1 - p, as given where it is given, else rounded up; p is at most 1 - q, also where it was given larger."""
    p = checks.floats(names[0], p_lower, 0.0, 1.0, PROBABILITIES)
    if q_upper is None:
        return p, np.where(p >= 0.5, 1.0 - p, np.minimum(np.nextafter(1.0 - p, 2.0), 1.0))  # exact, or rounded up
    q = checks.floats(names[1], q_upper, 0.0, 1.0, PROBABILITIES)
    p, q = checks.together(**{names[0]: p, names[1]: q})
    bad = np.abs(p + q - 1.0) > 1e-9
    if bad.any():
        index = np.unravel_index(int(np.argmax(bad)), p.shape)
        raise InvalidArgumentError(
            f"{names[1]}{checks.at(index)}={q[index]} is not the failure probability of {names[0]}={p[index]}: "
            f"give 1 - {names[0]}, computed without cancellation."
        )
    return np.where(p >= 0.5, np.minimum(p, 1.0 - q), p), q


def classes(p_lower: ArrayLike, p_upper: ArrayLike | None, q_upper: ArrayLike | None, **others: Floats) -> list[Floats]:
    """[p, q, other, *others], broadcast: `other` bounds every other class and is at most q, which is all that is left."""
    p, q = failure(p_lower, q_upper)
    other = q if p_upper is None else checks.floats("p_upper", p_upper, 0.0, 1.0, PROBABILITIES)
    p, q, other, *rest = checks.together(p_lower=p, q_upper=q, p_upper=other, **others)
    return [p, q, np.minimum(np.minimum(other, q), 1.0), *rest]


def scale(name: str, value: ArrayLike) -> Floats:
    return checks.floats(name, value, 1e-280, 1e280, SCALES)


def order(value: ArrayLike) -> Floats:
    return checks.floats("order", value, np.finfo(float).tiny, np.inf, "a norm's order: a positive number or inf")


def dimension(name: str, value: ArrayLike) -> Floats:
    return checks.counts(name, value, 1)


def certified(radius: Floats, leads: NDArray[np.bool_]) -> Floats:
    """The radius where the class leads and the radius is positive, else 0; NaN certifies nothing.

    Nor does a subnormal radius: it may have been rounded up by more than every margin.
    """
    return np.where(leads & (radius >= np.finfo(float).tiny), radius, 0.0)
