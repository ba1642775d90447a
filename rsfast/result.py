"""What a call returns: votes, certificates, predictions, each with all that is needed to repeat it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from types import NoneType
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from . import checks
from .errors import InvalidArgumentError
from .hints import explained_class
from .noise import Noise
from .noise import check as check_noise
from .request import ABSTAIN, Claim, Smoothing, Stopping
from .rounding import NORMS, in_norm
from .transforms import Identity, Transform
from .transforms import check as check_transform

Integers = NDArray[np.int64]


class _OfImages:
    """What results have in common: some of their fields have a row for each image.

    They are compared by value, `result[index]` is the same of some images (a number, a slice, rows, or a mask), and their repr is
    one line.
    """

    _rows: ClassVar[tuple[str, ...]]

    def __len__(self) -> int:
        return len(getattr(self, self._rows[0]))

    def __getitem__(self, index: Any) -> Self:
        """The same of the images that `index` says: a number, a slice, a list of numbers, or a mask.

        Raises
        ------
        IndexError
            An image that there is not, or something that is no index.
        """
        try:
            chosen = np.atleast_1d(np.arange(len(self))[index])
        except (TypeError, ValueError) as error:
            raise IndexError(f"{checks.shown(index)} is no index of images: give a number, a slice, rows or a mask.") from error
        if chosen.ndim != 1:
            raise IndexError(f"an index of shape {chosen.shape}: results have one axis, that of the images.")
        return dataclasses.replace(self, **{name: _taken(getattr(self, name), chosen) for name in self._rows})  # type: ignore[type-var]

    def __iter__(self) -> Iterator[Self]:
        return (self[i] for i in range(len(self)))

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        names = [field.name for field in dataclasses.fields(self)]  # type: ignore[arg-type]
        return all(_same(getattr(self, name), getattr(other, name)) for name in names)

    __hash__ = None  # type: ignore[assignment]


def _taken(rows: Any, chosen: Integers) -> Any:
    """Some rows of an array, of a tuple (which may be empty) or of another result."""
    if isinstance(rows, tuple):
        return tuple(rows[i] for i in chosen) if rows else ()
    return rows[chosen]


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    return bool(one == other)


def _of(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


@explained_class
@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class VoteCounts(_OfImages):
    """Votes of a base classifier over noisy copies of B images: the artefact that radii are derived from.

    Attributes
    ----------
    selection, estimation : int64 [B, K], or [B, P, K] for an image in P parts
        Votes per class among the first n0 draws (which choose the class) and the n draws of another stream (which bound its
        probability).  Rows may sum to less than n0 and n: a draw whose logits held a NaN votes for no class.
    n0, n : int
        Draws per image and part.
    ids : int64 [B]
        Image ids; with `seed` they determine every noisy copy.
    noise, seed
        What was drawn.
    dim : int
        Pixels per image, C * H * W.
    sigma : float64 [B] or [B, P]
        Noise level of each image and part; default that of a noise of constant level.
    transform : Transform
        What the model was shown.
    part_dims : tuple of int
        Pixels of each part, C times the kept ones.
    backend, dtype, batch, device : str, str, int, str
        Who drew, and the arithmetic of the base classifier (its dtype, micro-batch and device are part of it).
    versions : dict
        Of rsfast, torch and numpy.
    stopping : Stopping, optional
        The rule by which drawing may have ended early.
    drawn : int64 [B]
        Draws of each part that `estimation` counts; n, or less where drawing was stopped.
    tested : int64 [B]
        The class that a certificate is for: the selected one, or the true label where labels are tested.
    reached : int64 [B]
        Index of the plan's last threshold that was certified on the way, -1 for none.
    spent : float64 [B]
        How much of alpha the plan's looks at an image may have used up; 0 without a plan.
    images : tuple of str
        First 16 hex digits of the sha256 of each image's float32 pixels, where drawing may be continued; else empty.
    rounding : float64 [B, 3]
        l1, l2 and linf distance between the image that was given and the one in float32 that was drawn around.  Radii are less by
        as much.
    model : str
        First 16 hex digits of the fingerprint of a torch module, where drawing may be continued; else empty.
    paths : tuple of list
        Where drawing may be continued: draws, and votes of the tested class, at every look of each image; else empty.
    """

    selection: Integers
    estimation: Integers
    n0: int
    n: int
    ids: Integers
    noise: Noise
    seed: int
    dim: int
    sigma: NDArray[np.float64] = dataclasses.field(default_factory=lambda: np.empty(0))
    transform: Transform = dataclasses.field(default_factory=Identity)
    part_dims: tuple[int, ...] = ()
    backend: str = ""
    dtype: str = ""
    batch: int = 0
    device: str = ""
    versions: dict[str, str] = dataclasses.field(default_factory=dict)
    stopping: Stopping | None = None
    drawn: Integers = dataclasses.field(default_factory=lambda: np.empty(0, dtype=np.int64))
    tested: Integers = dataclasses.field(default_factory=lambda: np.empty(0, dtype=np.int64))
    reached: Integers = dataclasses.field(default_factory=lambda: np.empty(0, dtype=np.int64))
    spent: NDArray[np.float64] = dataclasses.field(default_factory=lambda: np.empty(0))
    images: tuple[str, ...] = ()
    rounding: NDArray[np.float64] = dataclasses.field(default_factory=lambda: np.empty(0))
    model: str = ""
    paths: tuple[list[Any], ...] = ()

    _rows: ClassVar[tuple[str, ...]] = (
        "ids", "selection", "estimation", "sigma", "drawn", "tested", "reached", "spent", "images", "rounding", "paths",
    )  # fmt: skip

    def __post_init__(self) -> None:
        self._check_kinds()
        self._check_drawn()
        noise = check_noise(self.noise, self.parts)
        object.__setattr__(self, "noise", noise)
        axes = 2 if self.parts == 1 else 3
        shown = "[B, K]" if self.parts == 1 else f"[B, {self.parts}, K]"
        for name, most in (("selection", np.full(len(self), self.n0)), ("estimation", self.drawn)):
            votes = getattr(self, name)
            fits = votes.ndim == axes and votes.shape[-1] > 0 and len(votes) == len(self.ids)
            fits = fits and (axes == 2 or votes.shape[1] == self.parts)
            if not fits or (votes < 0).any() or (votes.sum(axis=-1) > most.reshape(-1, *[1] * (axes - 2))).any():
                raise InvalidArgumentError(
                    f"{name} is not int {shown} of votes, K at least 1: give a row for each of {len(self.ids)} ids, with at "
                    f"most {most.max(initial=0)} votes."
                )
        if self.selection.shape != self.estimation.shape:
            raise InvalidArgumentError("selection and estimation have different shapes: give votes of the same classes.")
        if self.stopping is None or not self.stopping.labels:
            object.__setattr__(self, "tested", self.selected)
        self._check_reached()
        sigma = np.asarray(self.sigma, dtype=np.float64)
        if not noise.depends_on_input:
            stated = noise.levels_of(self.ids, self.parts).reshape(self.selection.shape[:-1])
            if sigma.size and not np.array_equal(sigma, stated):
                raise InvalidArgumentError(f"sigma is not the level of {noise}: leave it out where the noise has one level.")
            sigma = stated
        if sigma.shape != self.selection.shape[:-1] or not (sigma > 0).all():
            raise InvalidArgumentError(f"sigma has shape {sigma.shape}: give a positive noise level for each image.")
        object.__setattr__(self, "sigma", sigma)
        self._check_rounding()
        if self.parts > 1 and (len(self.part_dims) != self.parts or sum(self.part_dims) != self.dim or min(self.part_dims) < 1):
            raise InvalidArgumentError(
                f"part_dims={self.part_dims}: give the number of pixels of each of {self.parts} parts, {self.dim} together."
            )

    def _check_kinds(self) -> None:
        """Arrays as arrays, numbers as numbers."""
        for name in ("selection", "estimation", "ids", "drawn", "tested", "reached"):
            object.__setattr__(self, name, checks.integers(name, getattr(self, name)))
        for name in ("sigma", "spent", "rounding"):
            object.__setattr__(self, name, checks.doubles(name, getattr(self, name), "numbers, one row for each image"))
        for name, least in (("n0", 0), ("n", 0), ("seed", 0), ("dim", 1), ("batch", 0)):
            most = 2**64 - 1 if name == "seed" else 2**53
            object.__setattr__(self, name, checks.whole(name, getattr(self, name), least, most))
        check_transform(self.transform)
        if not isinstance(self.stopping, (Stopping, NoneType)):
            raise InvalidArgumentError(f"stopping={checks.shown(self.stopping)} is not a rule: give a Stopping, or None.")
        for name in ("images", "paths", "part_dims"):
            if not isinstance(getattr(self, name), (tuple, list)):
                raise InvalidArgumentError(
                    f"{name}={checks.shown(getattr(self, name))} is not a tuple: give one, or leave it out."
                )
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "part_dims", tuple(checks.whole("part_dims", dim, 1) for dim in self.part_dims))
        if self.ids.ndim != 1:
            raise InvalidArgumentError(f"ids has shape {self.ids.shape}: give a list of one id for each image.")

    def _check_drawn(self) -> None:
        """`drawn` and `reached` of every image; all of n and none where they are left out."""
        for name, default in (("drawn", self.n), ("reached", -1), ("spent", 0.0)):
            given = np.shape(getattr(self, name))
            if given == (0,):
                object.__setattr__(self, name, np.full(self.ids.shape, default))
            elif given != self.ids.shape:
                raise InvalidArgumentError(
                    f"{name} has shape {given}: give one for each of {len(self.ids)} images, or leave it out."
                )
        if self.images and len(self.images) != len(self):
            raise InvalidArgumentError(f"images has {len(self.images)} entries: give one for each of {len(self)} ids, or none.")
        if ((self.drawn < 0) | (self.drawn > self.n)).any() or (self.stopping is None and (self.drawn < self.n).any()):
            raise InvalidArgumentError(
                f"drawn reaches from {self.drawn.min()} to {self.drawn.max()} and n={self.n}: fewer draws than n need the "
                "stopping rule that they were drawn by."
            )

    def _check_rounding(self) -> None:
        given = np.asarray(self.rounding, dtype=np.float64)
        given = np.zeros((len(self), NORMS)) if given.shape == (0,) else given
        if given.shape != (len(self), NORMS) or not ((given >= 0.0) & np.isfinite(given)).all():
            raise InvalidArgumentError(
                f"rounding is float {given.shape}: give the l1, l2 and linf distance, not negative, of each of {len(self)} "
                "images, or leave it out."
            )
        object.__setattr__(self, "rounding", given)
        if self.paths and len(self.paths) != len(self):
            raise InvalidArgumentError(f"paths has {len(self.paths)} entries: give one for each of {len(self)} ids, or none.")

    def _check_reached(self) -> None:
        """What a plan says of each image must be something that it can say."""
        classes, stopping = self.selection.shape[-1], self.stopping
        if self.tested.shape != self.ids.shape or ((self.tested < ABSTAIN) | (self.tested >= classes)).any():
            raise InvalidArgumentError(f"tested is not a class, 0 to {classes - 1}, for each of {len(self.ids)} images.")
        thresholds = 0 if stopping is None else stopping.thresholds
        if ((self.reached < -1) | (self.reached >= thresholds)).any() or ((self.tested < 0) & (self.reached >= 0)).any():
            raise InvalidArgumentError(
                f"reached is not the index of one of {thresholds} thresholds, or -1, for each of {len(self)} images whose class "
                "is known: give what the plan reached."
            )

    @property
    def parts(self) -> int:
        """P, 1 for whole images."""
        return self.transform.parts

    @property
    def smoothing(self) -> Smoothing:
        """How the images were smoothed."""
        return Smoothing(self.noise, self.transform, self.part_dims if self.parts > 1 else (self.dim,))

    @property
    def planned(self) -> bool:
        """Whether drawing was ended by a plan whose looks certify."""
        return self.stopping is not None and self.stopping.sequential

    def __repr__(self) -> str:
        classes = _of(self.selection.shape[-1], "class").replace("classs", "classes")
        return f"<VoteCounts of {_of(len(self), 'image')}, {classes}: {self.noise}, n0={self.n0}, n={self.n}, seed={self.seed}>"

    @property
    def without_class(self) -> Integers:
        """Draws that voted for no class because a logit was NaN: int64 [B], or [B, P] for parts."""
        drawn = self.drawn if self.parts == 1 else self.drawn[:, None]
        return drawn - self.estimation.sum(axis=-1)

    def rounded(self, norm: float) -> NDArray[np.float64]:
        """Distance in that norm, at most, from the image that was given to the one that was drawn around: float64 [B]."""
        return in_norm(self.rounding, norm, self.dim)

    @property
    def selected(self) -> Integers:
        """The class with most selection votes (lowest index among equals), ABSTAIN where there is no vote: int64 [B].

        Votes of parts are added.
        """
        votes = self.selection if self.parts == 1 else self.selection.sum(axis=1)
        return np.where(votes.sum(axis=1) > 0, votes.argmax(axis=1), ABSTAIN).astype(np.int64)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Certificate(_OfImages):
    """Certified labels and radii of B images.

    Each row on its own is wrong with probability at most `alpha`: the probability that the reported label is not the
    smoothed classifier's answer throughout the open ball of the reported radius.

    Attributes
    ----------
    label : int64 [B]
        Certified class, or ABSTAIN (-1).
    radius : float64 [B]
        Certified radius in the `norm`, units of the image, rounded down; 0 where abstained.
    p_lower, q_upper : float64 [B], or [B, P] for parts
        Bounds of the class's probability and of its failure, jointly confident.
    abstained : bool [B]
    claim : Claim
        Level, norm and bounds; `alpha`, `norm`, `bound`, `joint` and `multiclass` are its own.
    counts : VoteCounts
        What they were derived from.
    caveats : tuple of str
        What the guarantee additionally rests on, a sentence each; empty for proven certificates.
    """

    label: Integers
    radius: NDArray[np.float64]
    p_lower: NDArray[np.float64]
    q_upper: NDArray[np.float64]
    abstained: NDArray[np.bool_]
    claim: Claim
    counts: VoteCounts
    caveats: tuple[str, ...] = ()

    @property
    def alpha(self) -> float:
        return self.claim.alpha

    @property
    def norm(self) -> float:
        return self.claim.norm

    @property
    def bound(self) -> str:
        return self.claim.bound

    @property
    def joint(self) -> str:
        return self.claim.joint

    @property
    def multiclass(self) -> bool:
        return self.claim.multiclass

    _rows: ClassVar[tuple[str, ...]] = ("label", "radius", "p_lower", "q_upper", "abstained", "counts")

    @property
    def rounding(self) -> NDArray[np.float64]:
        return self.counts.rounded(self.norm)

    def __repr__(self) -> str:
        certified = int((~self.abstained).sum())
        return f"<Certificate: {certified} of {_of(len(self), 'image')} certified in l{self.norm:g} at alpha={self.alpha:g}>"

    def __str__(self) -> str:
        certified = ~self.abstained
        text = (
            f"{int(certified.sum())} of {len(self)} images certified in l{self.norm:g} at alpha={self.alpha:g} "
            f"({self.counts.noise}, n={self.counts.n}, seed={self.counts.seed})"
        )
        if certified.any():
            median = float(np.median(self.radius[certified]))
            text += f"; median radius {floor_decimals(median, 4)}, largest {floor_decimals(float(self.radius.max()), 4)}"
        if self.rounding.any():
            text += f"; rounding to float32 took at most {float(self.rounding.max()) * 1.01:.1e} off a radius"
        return text + "."


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Prediction(_OfImages):
    """Predicted labels of B images; each row is wrong with probability at most `alpha`.

    `label` int64 [B] (ABSTAIN where the two leading classes cannot be told apart), `p_value` float64 [B] of the two-sided
    test, `abstained` bool [B], `counts` the votes (in `estimation`; `n0` is 0).  An answer is for the image as float32
    (`counts.rounding` says how far that is from the one given; more than a thousandth of the noise level is refused).
    """

    label: Integers
    p_value: NDArray[np.float64]
    abstained: NDArray[np.bool_]
    alpha: float
    counts: VoteCounts

    _rows: ClassVar[tuple[str, ...]] = ("label", "p_value", "abstained", "counts")

    def __repr__(self) -> str:
        answered = int((~self.abstained).sum())
        return f"<Prediction: {answered} of {_of(len(self), 'image')} answered at alpha={self.alpha:g}>"


def floor_decimals(value: float, decimals: int) -> str:
    """A radius as text, rounded *down*: 0.12999 to two decimals is 0.12."""
    if not np.isfinite(value):
        return str(value)
    if abs(value) >= 2.0**53:  # a whole number, whose product may overflow
        return f"{int(value)}.{'0' * decimals}".rstrip(".")
    scaled = int(np.floor(value * 10.0**decimals))
    while scaled / 10.0**decimals > value:  # the product may have been rounded up
        scaled -= 1
    return f"{scaled / 10.0**decimals:.{decimals}f}"


def sparse(votes: Any) -> dict[str, int]:
    """A row of votes as {class: votes} without the zeros."""
    return {str(k): int(votes[k]) for k in np.flatnonzero(votes)}


def dense(votes: dict[str, int], num_classes: int) -> Integers:
    """The row of votes that `sparse` described."""
    row = np.zeros(num_classes, dtype=np.int64)
    for k, count in votes.items():
        row[int(k)] = count
    return row


def inference_version(how: dict[str, Any]) -> dict[str, str]:
    """The entry of `VoteCounts.versions` that says how a model was run; none for one that was run as it was given."""
    return {"inference": json.dumps(how, sort_keys=True)} if how else {}
