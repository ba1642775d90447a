"""Whether a prediction is right follows from label and predict; what a log's own column says is only compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..request import ABSTAIN

FEW = 5


class Said(NamedTuple):
    """This holds a log's own column `correct`: its values, and of each the unit of the last place that is printed."""

    values: NDArray[np.float64]
    units: NDArray[np.float64]


def right(label: NDArray[np.int64], predict: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Say what is right: an abstention is never right, and nothing is where the label is unknown."""
    found: NDArray[np.bool_] = (label == predict) & (predict != ABSTAIN)
    return found


def compared(
    file: str,
    idx: NDArray[np.int64],
    label: NDArray[np.int64],
    predict: NDArray[np.int64],
    radius: NDArray[np.float64],
    said: Said,
) -> str | None:
    """Return a sentence about a column `correct` that says the same in another way; None if it says just the same.

    Raises
    ------
    DataError
        It contradicts label and predict; the first rows are named, and how many there are.
    """
    truth = right(label, predict)
    differs = said.values != truth
    if not differs.any():
        return None
    running = np.cumsum(truth)
    if said.values.max() > 1 and np.array_equal(said.values, running):
        return "its column correct is a running count; what is right was computed from label and predict"
    share = running / np.arange(1, len(truth) + 1)
    if ((said.values != 0) & (said.values != 1)).any():
        for factor in (1.0, 100.0):
            if (np.abs(said.values - factor * share) <= np.minimum(said.units, 0.1 * factor) + 1e-9).all():
                return "its column correct is a running accuracy; what is right was computed from label and predict"
    if not said.values[differs].any() and not radius[differs].any():
        return (
            f"its column correct leaves out {_rows(idx, differs)}, where label and predict agree and the radius is 0; they "
            "count as right at radius 0"
        )
    first = int(np.argmax(differs))
    raise DataError(
        f"{file}: correct contradicts label and predict in {int(differs.sum())} of {len(truth)} rows: {_rows(idx, differs)}; "
        f"idx {idx[first]} has label {label[first]}, predict {predict[first]}, correct {said.values[first]:g}. Repair them, or "
        "remove the column correct: it is then computed from label and predict."
    )


def _rows(idx: NDArray[np.int64], which: NDArray[np.bool_]) -> str:
    return listed([str(i) for i in idx[which]], "idx ")


def listed(names: Sequence[str], before: str = "") -> str:
    """Name the first few of some names, and how many more there are."""
    more = len(names) - FEW
    return before + ", ".join(names[:FEW]) + (f" and {more:,} more" if more > 0 else "")
