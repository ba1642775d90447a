"""What is drawn of an image, and when it is done: everything, until abstention is certain, or as a sequential plan says."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from . import confidence
from .batches import Segment
from .errors import InvalidArgumentError
from .noise import STREAMS
from .result import ABSTAIN, Stopping

if TYPE_CHECKING:
    from .plans import Tables

CURTAILED_LOOKS = 64


class Drawing:
    """The votes of one image so far.

    Attributes
    ----------
    selection, estimation : int64 [parts, K]
        Votes of the selection draws and of the first `drawn` estimation draws.
    drawn : int
        Estimation draws of each part that are counted.
    tested : int
        The class that is tested; ABSTAIN before it is chosen and where nothing voted.
    reached : int
        Index of the last threshold that is certified, -1 for none.
    path : list
        Votes of the tested class at every look of a plan (of two halves a pair).
    """

    def __init__(self, recipe: Recipe, label: int | None = None) -> None:
        self.recipe = recipe
        self.selection = self.estimation = np.zeros((0, 0), dtype=np.int64)
        self.drawn = 0
        self.tested = ABSTAIN if label is None else label
        self.reached = -1
        self.path: list[Any] = []

    def judge(self, segment: int, votes: np.ndarray) -> bool:
        """Take in the votes [parts, K] of a segment; whether the image is done."""
        if not self.selection.size:
            self.selection, self.estimation = np.zeros_like(votes), np.zeros_like(votes)
        if segment == 0 and self.recipe.selects:
            self.selection = votes
            together = votes.sum(axis=0)
            self.tested = int(together.argmax()) if together.any() else ABSTAIN
            return self.recipe.hopeless(self)
        self.estimation = self.estimation + votes
        self.drawn += self.recipe.segments[segment][2]
        return self.recipe.done(self, segment - self.recipe.selects)


class Recipe(Protocol):
    """What is drawn of every image of a call, and when to stop.

    segments : (stream, first, count) in order; wanted : how many to draw before the first judgement; selects : whether the first
    one chooses the class; n0, n : selection draws, and the most estimation draws; total : draws of each part, None where it
    depends on the votes; stopping : what a result says of it.
    """

    segments: Sequence[Segment]
    wanted: int
    selects: bool
    n0: int
    n: int
    total: int | None
    stopping: Stopping | None

    def start(self, label: int | None = None) -> Drawing: ...
    def hopeless(self, drawing: Drawing) -> bool: ...
    def done(self, drawing: Drawing, look: int) -> bool: ...


class _Selecting:
    """A selection segment of n0 draws, unless labels are tested, and looks at the first n_1, n_2, … estimation draws."""

    def __init__(self, n0: int, looks: Sequence[int] | np.ndarray, stream: str, stopping: Stopping | None, wanted: int) -> None:
        self.n0, self.n, self.selects = n0, int(looks[-1]), n0 > 0
        edges = [0, *map(int, looks)]
        of_looks = [(STREAMS[stream], first, end - first) for first, end in itertools.pairwise(edges)]
        self.segments: Sequence[Segment] = [(STREAMS["selection"], 0, n0)] * self.selects + of_looks
        self.wanted = min(wanted + self.selects, len(self.segments))
        self.total: int | None = None
        self.stopping = stopping

    def start(self, label: int | None = None) -> Drawing:
        return Drawing(self, label)

    def hopeless(self, drawing: Drawing) -> bool:
        return False

    def done(self, drawing: Drawing, look: int) -> bool:
        return False


class Everything(_Selecting):
    """All of n0 and n draws, whatever they show."""

    def __init__(self, n0: int, n: int, stream: str = "estimation") -> None:
        super().__init__(n0, [n], stream, None, wanted=1)
        self.total = n0 + n


class Curtailed(_Selecting):
    """All draws, but none after so many failures that the class cannot be shown to win any more (SAMPLING: exact curtailment).

    The answer is the same as with all of them.
    """

    def __init__(self, n0: int, n: int, alpha: float, bound: str) -> None:
        self.least = least_successes(n, alpha, bound)
        first = n - self.least + 1  # no earlier can there be too many failures
        step = max(1, (n - first) // CURTAILED_LOOKS)
        looks = sorted({*range(first, n, step), n})
        super().__init__(n0, looks, "estimation", Stopping(None, alpha), wanted=1)

    def done(self, drawing: Drawing, look: int) -> bool:
        if drawing.tested == ABSTAIN:
            return True
        return drawing.drawn - int(drawing.estimation[0, drawing.tested]) > self.n - self.least


def least_successes(n: int, alpha: float, bound: str = "clopper-pearson") -> int:
    """The least count of n whose lower bound is above one half; n + 1 if there is none."""
    low, high = 0, n + 1
    while low < high:
        middle = (low + high) // 2
        if float(confidence.bound(bound, middle, n, alpha).p_lower) > 0.5:
            high = middle
        else:
            low = middle + 1
    return low


class Sequential(_Selecting):
    """Looks at growing numbers of draws, each tested against all thresholds of a plan."""

    def __init__(self, n0: int, tables: Tables, stopping: Stopping) -> None:
        super().__init__(0 if stopping.labels else n0, tables.looks, "estimation", stopping, wanted=1)
        self.tables = tables

    def hopeless(self, drawing: Drawing) -> bool:
        return drawing.tested == ABSTAIN

    def done(self, drawing: Drawing, look: int) -> bool:
        successes = np.array([drawing.estimation[0, drawing.tested]])
        drawing.path.append(int(successes[0]))
        reached = self.tables.reached(look, successes, np.array([drawing.reached]))
        drawing.reached = int(reached[0])
        return bool(self.tables.finished(look, successes, reached)[0])


def check_labels(labels: object, images: int, classes: int) -> np.ndarray:
    """Labels int64 [B] to be tested, or InvalidArgumentError."""
    try:
        array = np.asarray(labels)
    except (TypeError, ValueError):
        array = np.empty(0)
    whole = array.shape == (images,) and np.issubdtype(array.dtype, np.integer)
    if not whole or (images and (array.min() < 0 or array.max() >= classes)):
        raise InvalidArgumentError(f"labels are not {images} classes: give one integer from 0 to {classes - 1} for each image.")
    return array.astype(np.int64)
