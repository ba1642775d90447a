"""What is drawn of an image, and when it is done: everything, until abstention is certain, or as a sequential plan says."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from .. import confidence
from ..errors import InvalidArgumentError
from ..noise import STREAMS
from ..plans import Curtail, Tables
from ..request import ABSTAIN, Claim, Stopping

Segment = tuple[int, int, int]
"""Stream, first draw, number of draws (of each part)."""

CURTAILED_LOOKS = 64
LEAST_SHARE = 1e-300  # of alpha at one look; bounds take shares of it


@dataclasses.dataclass(frozen=True)
class Paused:
    """A drawing that may be continued: votes [parts, K] of both stages, draws, tested class, last threshold reached, path."""

    selection: np.ndarray
    estimation: np.ndarray
    drawn: int
    tested: int
    reached: int
    path: list[Any]


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
    spent : float
        How much of alpha the looks may have used up.
    path : list of [int, int, …]
        Of a plan: draws, and votes of the tested class (in each part), at every look.
    sigma : float64 [parts]
        Noise levels.
    segments, wanted
        What is still to be drawn (`counting.conveyor.Job`).
    over : bool
        Whether nothing is.
    """

    def __init__(self, recipe: Recipe, sigma: np.ndarray, label: int | None = None, earlier: Paused | None = None) -> None:
        self.recipe, self.sigma = recipe, sigma
        self.selection = self.estimation = np.zeros((0, 0), dtype=np.int64)
        self.drawn, self.reached, self.spent = 0, -1, 0.0
        self.tested = ABSTAIN if label is None else label
        self.path: list[Any] = []
        self.segments, self.wanted, self.over = list(recipe.segments), recipe.wanted, False
        self._selects, self._look = recipe.selects, 0
        if earlier is not None:
            self._continue(earlier)

    def _continue(self, earlier: Paused) -> None:
        self.selection, self.estimation = earlier.selection, earlier.estimation
        self.drawn, self.tested, self.reached, self.path = earlier.drawn, earlier.tested, earlier.reached, list(earlier.path)
        looks = self.recipe.looks
        self._look = int(np.searchsorted(looks, self.drawn, side="right"))
        self._selects = False
        self.segments = _of_looks(self.recipe.stream, [self.drawn, *looks[self._look :]])
        self.wanted = 1
        met = self._look > 0 and looks[self._look - 1] == self.drawn
        self.spent = self.recipe.spent(self._look - 1) if self._look else 0.0
        self.over = not self.segments or self.recipe.hopeless(self) or (met and self.recipe.done(self, self._look - 1))

    def judge(self, segment: int, votes: np.ndarray) -> bool:
        """Take in the votes [parts, K] of a segment; whether the image is done."""
        if not self.selection.size:
            self.selection, self.estimation = np.zeros_like(votes), np.zeros_like(votes)
        if segment == 0 and self._selects:
            self.selection = votes
            together = votes.sum(axis=0)
            self.tested = int(together.argmax()) if together.any() else ABSTAIN
            return self.recipe.hopeless(self)
        self.estimation = self.estimation + votes
        self.drawn += self.segments[segment][2]
        look = self._look
        self._look += 1
        self.spent = self.recipe.spent(look)
        if self.recipe.stopping is not None and self.recipe.stopping.sequential:
            self.path.append([self.drawn, *(int(of_part[self.tested]) for of_part in self.estimation)])
        return self.recipe.done(self, look)


class Recipe(Protocol):
    """What is drawn of every image of a call, and when to stop.

    segments : (stream, first, count) in order; wanted : how many to draw before the first judgement; selects : whether the first
    one chooses the class; looks : numbers of estimation draws at which votes are judged; stream : theirs; n0, n : selection
    draws, and the most estimation draws; total : draws of each part, None where it depends on the votes; stopping : what a
    result says of it.
    """

    segments: Sequence[Segment]
    wanted: int
    selects: bool
    looks: Sequence[int]
    stream: str
    n0: int
    n: int
    total: int | None
    stopping: Stopping | None

    def start(self, sigma: np.ndarray, label: int | None = None, earlier: Paused | None = None) -> Drawing: ...
    def hopeless(self, drawing: Drawing) -> bool: ...
    def done(self, drawing: Drawing, look: int) -> bool: ...
    def spent(self, look: int) -> float: ...


def _of_looks(stream: str, edges: Sequence[int]) -> list[Segment]:
    return [(STREAMS[stream], first, end - first) for first, end in itertools.pairwise(edges)]


class _Selecting:
    """A selection segment of n0 draws, unless labels are tested, and looks at the first n_1, n_2, … estimation draws."""

    def __init__(self, n0: int, looks: Sequence[int] | np.ndarray, stream: str, stopping: Stopping | None) -> None:
        self.looks: Sequence[int] = [int(look) for look in looks]
        self.n0, self.n, self.selects, self.stream = n0, self.looks[-1], n0 > 0, stream
        self.segments: Sequence[Segment] = [(STREAMS["selection"], 0, n0)] * self.selects
        self.segments = [*self.segments, *_of_looks(stream, [0, *self.looks])]
        self.wanted = 1 + self.selects
        self.total: int | None = None
        self.stopping = stopping

    def start(self, sigma: np.ndarray, label: int | None = None, earlier: Paused | None = None) -> Drawing:
        return Drawing(self, sigma, label, earlier)

    def hopeless(self, drawing: Drawing) -> bool:
        return drawing.tested == ABSTAIN

    def done(self, drawing: Drawing, look: int) -> bool:
        return False

    def spent(self, look: int) -> float:
        return 0.0


class Everything(_Selecting):
    """All of n0 and n draws, whatever they show."""

    def __init__(self, n0: int, n: int, stream: str = "estimation") -> None:
        super().__init__(n0, [n], stream, None)
        self.total = n0 + n

    def hopeless(self, drawing: Drawing) -> bool:
        return False


class Curtailed(_Selecting):
    """All draws, but none after so many failures that the class cannot be shown to win any more.

    The answer is the same as with all of them.
    """

    def __init__(self, n0: int, n: int, claim: Claim) -> None:
        self.least = least_successes(n, claim)
        first = n - self.least + 1  # no earlier can there be too many failures
        step = max(1, (n - first) // CURTAILED_LOOKS)
        looks = sorted({*range(first, n, step), n})
        super().__init__(n0, looks, "estimation", Stopping(Curtail(), claim))

    def done(self, drawing: Drawing, look: int) -> bool:
        return drawing.drawn - int(drawing.estimation[0, drawing.tested]) > self.n - self.least


def least_successes(n: int, claim: Claim) -> int:
    """The least count of n whose lower bound is above one half; n + 1 if there is none."""
    low, high = 0, n + 1
    while low < high:
        middle = (low + high) // 2
        if float(confidence.bound(claim.one_class, middle, n, claim.alpha).p_lower) > 0.5:
            high = middle
        else:
            low = middle + 1
    return low


class Sequential(_Selecting):
    """Looks at growing numbers of draws, each tested against all thresholds of a plan by its tables."""

    def __init__(self, n0: int, tables: Tables, stopping: Stopping) -> None:
        super().__init__(0 if stopping.labels else n0, tables.looks, "estimation", stopping)
        self.tables = tables

    def done(self, drawing: Drawing, look: int) -> bool:
        successes = np.array([drawing.estimation[0, drawing.tested]])
        reached = self.tables.reached(look, successes, np.array([drawing.reached]))
        drawing.reached = int(reached[0])
        return bool(self.tables.finished(look, successes, reached)[0])

    def spent(self, look: int) -> float:
        return self.tables.spent(look)


Certify = Callable[[np.ndarray, int, int, float, np.ndarray], float]
"""(votes [parts, K], tested class, draws, alpha, noise levels [parts]) → radius, rounded down."""


@dataclasses.dataclass(frozen=True)
class Looks:
    """What `OverLooks` looks for, and when: numbers of draws, each look's share of alpha, radii, and when to give one up."""

    draws: np.ndarray
    shares: np.ndarray
    radii: Sequence[float]
    margin: float


class OverLooks(_Selecting):
    """Looks at growing numbers of draws, each certified on its own at its share of alpha: for whatever has a certificate.

    P(some look's radius is false) is at most the sum of the shares.  A radius of the list is given up when the share of
    successes seen, raised by a margin, would not reach it with all draws; that is no part of the guarantee.

    Parameters
    ----------
    certify : callable
        The certificate of a look.
    quick : callable, optional
        The same to a few percent, in less time: asked first whether to give up.
    """

    def __init__(self, n0: int, looks: Looks, certify: Certify, stopping: Stopping, quick: Certify | None = None) -> None:
        super().__init__(0 if stopping.labels else n0, looks.draws, "estimation", stopping)
        self.shares, self.radii, self.margin, self.certify = looks.shares, np.array(looks.radii), looks.margin, certify
        self.quick = quick

    def done(self, drawing: Drawing, look: int) -> bool:
        sigma, share = drawing.sigma, float(self.shares[look])
        radius = 0.0  # of a look that spends nothing (final=1: all but the last)
        if share >= LEAST_SHARE:
            radius = self.certify(drawing.estimation, drawing.tested, drawing.drawn, share, sigma)
        certain = (self.radii <= radius) & (radius > 0.0)  # radius 0 asks for any positive one
        drawing.reached = max(drawing.reached, int(certain.sum()) - 1)
        if drawing.reached + 1 == len(self.radii) or look + 1 == len(self.looks):
            return True
        if np.isinf(self.margin):
            return False
        votes = self._hoped(drawing)
        following = self.radii[drawing.reached + 1]
        if self.quick is not None:
            hoped = self.quick(votes, drawing.tested, self.n, float(self.shares[-1]), sigma)
            if hoped > 0.0 and hoped >= following:
                return False
            if hoped < 0.9 * following:
                return True
        hoped = self.certify(votes, drawing.tested, self.n, float(self.shares[-1]), sigma)
        return hoped <= 0.0 or hoped < following

    def _hoped(self, drawing: Drawing) -> np.ndarray:
        """Votes [parts, K] of all n draws if the tested class does as well as can be hoped, and the others as before."""
        share = drawing.estimation / drawing.drawn
        own = share[:, drawing.tested]
        raised = own + self.margin * np.sqrt(own * (1.0 - own) / drawing.drawn) + self.margin**2 / drawing.drawn
        votes = np.floor(share * self.n).astype(np.int64)
        votes[:, drawing.tested] = 0
        winner = np.floor(np.minimum(raised, 1.0) * self.n).astype(np.int64)
        left, others = self.n - winner, votes.sum(axis=1)
        votes = np.where((others > left)[:, None], votes * left[:, None] // np.maximum(others, 1)[:, None], votes)
        votes[:, drawing.tested] = winner
        return votes

    def spent(self, look: int) -> float:
        return float(self.shares[: look + 1].sum())


def check_labels(labels: object, images: int, classes: int) -> np.ndarray:
    """Labels int64 [B] to be tested, or InvalidArgumentError."""
    try:
        array = np.asarray(labels)
    except Exception:  # arrays of other libraries fail in many ways
        array = np.empty(0)
    whole = array.shape == (images,) and np.issubdtype(array.dtype, np.integer)
    if not whole or (images and (array.min() < 0 or array.max() >= classes)):
        raise InvalidArgumentError(f"labels are not {images} classes: give one integer from 0 to {classes - 1} for each image.")
    return array.astype(np.int64)
