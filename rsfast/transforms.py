"""What the model is shown of the noisy image: all of it, or one part of a partition of the pixels, resized to the whole's size.

In smoothing by parts (Xia et al. 2024) part j's classifier sees noisy copies of its own pixels only.  A transform says which
pixels these are (`kept`, of every channel alike) and how they become an image again; `View` is that for images of one size.
Noise is drawn for kept pixels alone.
"""

from __future__ import annotations

import base64
import dataclasses
import functools
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .checks import choice, shown, whole
from .errors import InvalidArgumentError
from .hints import explained_class


@dataclasses.dataclass(frozen=True, eq=False)
class View:
    """A view says how one part is shown in images of H x W pixels: with v the noisy kept pixels of a channel,

        out[p] = sum over t of weights[t, p] v[indices[t, p]],      or where `partner` is given
        out[kept[e]] = v[e] + max(v[e], v[partner[e]], 0),  0 elsewhere,

    in float32, in that order of t; then the model's normalisation.

    Attributes
    ----------
    kept : int32 [m], rising positions in the plane of H * W pixels
    indices, weights : int32, float32 [T, H * W]; T = 1, 2 or 4
    partner : int32 [m] or None
    half_width : bool
        Each row keeps one pixel of every pair of columns, so that m = H * W / 2 in rows of W / 2.  Backends may take a short cut.
    """

    kept: NDArray[np.int32]
    indices: NDArray[np.int32]
    weights: NDArray[np.float32]
    partner: NDArray[np.int32] | None = None
    half_width: bool = False


class Transform(Protocol):
    """This is what every transform offers; it is a value that can be compared, hashed and stored."""

    name: ClassVar[str]
    """The key of TRANSFORMS and of `to_dict`."""
    title: ClassVar[str]
    """What it shows, in a word."""
    choices: ClassVar[tuple[str, ...]]
    """The names that the command line chooses it by; none where it takes a file."""
    interpolations: ClassVar[tuple[str, ...]]
    """The ways in which it can show parts."""

    @property
    def parts(self) -> int:
        """Return the number of parts."""

    def view(self, part: int, height: int, width: int) -> View | None:
        """Say how part `part` is shown in images of height x width; None stands for the whole image.

        Raises InvalidArgumentError if images of that size cannot be split so.
        """

    def pixels(self, part: int, height: int, width: int) -> int:
        """Return the number of kept pixels of one channel."""

    def to_dict(self) -> dict[str, Any]: ...


@dataclasses.dataclass(frozen=True)
class Identity:
    """The model sees the whole noisy image."""

    parts = 1
    name: ClassVar[str] = "identity"
    title: ClassVar[str] = "whole images"
    choices: ClassVar[tuple[str, ...]] = ("whole",)
    interpolations: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def chosen(cls, choice: str, interpolation: str | None) -> Transform:
        return cls()

    def view(self, part: int, height: int, width: int) -> None:
        return None

    def pixels(self, part: int, height: int, width: int) -> int:
        return height * width

    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name}


LAYOUTS = ("diagonal", "released")
SMALL = 64  # rows up to which the released layout takes the authors' code for small images
SPLIT_INTERPOLATIONS = ("nearest", "bilinear", "pooled")
INTERPOLATIONS = ("nearest", "bilinear", "frame")


@explained_class
@dataclasses.dataclass(frozen=True)
class DiagonalSplit:
    """This splits an image into two: the two diagonals of every 2 x 2 block of pixels (Xia et al. 2024, §4.2, figure 2).

    Parameters
    ----------
    interpolation : str, optional
        How a sub-image of H x W/2 pixels (its rows are the image's) is resized to H x W.  "nearest" and "bilinear" are those of
        torch's `interpolate` with align_corners=False.  "pooled" leaves the kept pixels v in their places and everything else 0,
        and adds to each kept pixel the maximum of its 2 x 2 block, M (v + nearest_upsample(maxpool2(v))).  Default: nearest, and
        for the released layout what the authors' code does, pooled for images of at most 64 rows and bilinear for larger ones.
    layout : str
        "diagonal": part 0 keeps column 2c + row mod 2.  "released": the masks of the authors' code, in which the first pair of
        columns has the opposite parity of all others.

    Notes
    -----
    H and W must be even; images of odd size are refused, because padding would add pixels that are not the image's.
    """

    interpolation: str | None = None
    layout: str = "diagonal"
    parts = 2
    name: ClassVar[str] = "diagonal-split"
    title: ClassVar[str] = "diagonals"
    choices: ClassVar[tuple[str, ...]] = LAYOUTS
    interpolations: ClassVar[tuple[str, ...]] = SPLIT_INTERPOLATIONS

    @classmethod
    def chosen(cls, choice: str, interpolation: str | None) -> Transform:
        return cls(interpolation, choice)

    def __post_init__(self) -> None:
        choice("layout", self.layout, LAYOUTS)
        if self.interpolation is None and self.layout == "diagonal":
            object.__setattr__(self, "interpolation", "nearest")
        if self.interpolation is not None:
            choice("interpolation", self.interpolation, SPLIT_INTERPOLATIONS)

    def fill(self, height: int) -> str:
        """Return the interpolation of images of so many rows."""
        return self.interpolation or ("pooled" if height <= SMALL else "bilinear")

    def view(self, part: int, height: int, width: int) -> View:
        self._check(height, width)
        return _diagonal_view(self, part, height, width)

    def pixels(self, part: int, height: int, width: int) -> int:
        self._check(height, width)
        return height * width // 2

    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name, **dataclasses.asdict(self)}

    def kept(self, part: int, height: int, width: int) -> NDArray[np.int64]:
        """Return the positions of the kept pixels, row by row: int64 [H * W / 2]."""
        row, pair = np.mgrid[:height, : width // 2]
        second = (row + part + (pair > 0 if self.layout == "released" else 0)) % 2
        return (row * width + 2 * pair + second).ravel()

    def _check(self, height: int, width: int) -> None:
        if height % 2 or width % 2:
            raise InvalidArgumentError(
                f"images are {height}x{width} and a diagonal split takes even sizes: crop or resize them, or give a Partition."
            )


@explained_class
@dataclasses.dataclass(frozen=True)
class Partition:
    """This splits an image by any partition of the pixels, the same for all channels (Xia et al. 2024, Appendix A.3).

    Parameters
    ----------
    masks : bool array [k, H, W]
        Each pixel is true in exactly one mask, and every mask has at least one pixel.
    interpolation : str
        "nearest" or "bilinear": each part's pixels form a rectangle, row by row (all rows that keep any pixel keep equally many),
        and are resized to H x W as torch's `interpolate` does with align_corners=False ("nearest": position floor(i h / H), which
        torch's rounding misses for a few sizes that are no multiples).  "frame": they stay in their places and
        all other pixels are 0; this takes any masks.

    Raises
    ------
    InvalidArgumentError
        Masks that are no partition, or no rectangles where these are needed.
    """

    masks: dataclasses.InitVar[ArrayLike]
    interpolation: str = "nearest"
    owner: bytes = dataclasses.field(init=False, repr=False)  # part of each pixel, row by row
    shape: tuple[int, int] = dataclasses.field(init=False)
    parts: int = dataclasses.field(init=False)
    name: ClassVar[str] = "partition"
    title: ClassVar[str] = "masks"
    choices: ClassVar[tuple[str, ...]] = ()
    interpolations: ClassVar[tuple[str, ...]] = INTERPOLATIONS

    def __post_init__(self, masks: ArrayLike) -> None:
        choice("interpolation", self.interpolation, INTERPOLATIONS)
        try:
            table = np.asarray(masks)
        except Exception:  # arrays of other libraries fail in many ways
            raise InvalidArgumentError(
                "masks are no array (rows of different lengths, for instance): give bool [k, H, W], k from 1 to 255."
            ) from None
        if table.ndim != 3 or table.dtype != np.bool_ or not 1 <= len(table) <= 255 or table[0].size == 0:
            raise InvalidArgumentError(f"masks are {table.shape} {table.dtype}: give bool [k, H, W], k from 1 to 255.")
        if (table.sum(axis=0) != 1).any() or not table.any(axis=(1, 2)).all():
            raise InvalidArgumentError(
                "masks are no partition: each pixel must be true in exactly one mask, and every mask needs a pixel."
            )
        object.__setattr__(self, "owner", table.argmax(axis=0).astype(np.uint8).tobytes())
        object.__setattr__(self, "shape", (int(table.shape[1]), int(table.shape[2])))
        object.__setattr__(self, "parts", len(table))
        if self.interpolation != "frame":
            for part in range(self.parts):
                _rectangle(self._mask(part), part)

    def view(self, part: int, height: int, width: int) -> View:
        self._check(height, width)
        return _partition_view(self, part)

    def pixels(self, part: int, height: int, width: int) -> int:
        self._check(height, width)
        return self.owner.count(part)

    def to_dict(self) -> dict[str, Any]:
        packed = base64.b64encode(zlib.compress(self.owner, 9)).decode()
        return {"name": self.name, "interpolation": self.interpolation, "shape": list(self.shape), "owner": packed}

    def _mask(self, part: int) -> NDArray[np.bool_]:
        return np.frombuffer(self.owner, dtype=np.uint8).reshape(self.shape) == part

    def _check(self, height: int, width: int) -> None:
        if (height, width) != self.shape:
            raise InvalidArgumentError(
                f"images are {height}x{width} and the masks {self.shape[0]}x{self.shape[1]}: give masks of the images' size."
            )


def strided_masks(rows: int, columns: int, height: int, width: int) -> NDArray[np.bool_]:
    """Return masks [rows * columns, H, W] of the pixels that are equal modulo `rows` and `columns`: sub-sampled images."""
    height = whole("height", height, 1, 2**15)
    width = whole("width", width, 1, 2**24 // height)
    whole("rows", rows, 1, height)
    whole("columns", columns, 1, width)
    y, x = np.mgrid[:height, :width]
    part = y % rows * columns + x % columns
    return part[None] == np.arange(rows * columns)[:, None, None]


@functools.lru_cache(maxsize=64)
def whole_view(height: int, width: int) -> View:
    """Return the whole image as a part."""
    every = np.arange(height * width, dtype=np.int32)
    return View(every, every[None], np.ones((1, height * width), dtype=np.float32))


@functools.lru_cache(maxsize=1024)
def _diagonal_view(split: DiagonalSplit, part: int, height: int, width: int) -> View:
    kept = split.kept(part, height, width)
    if split.fill(height) == "pooled":
        row, pair = np.divmod(np.arange(len(kept)), width // 2)
        partner = ((row ^ 1) * (width // 2) + pair).astype(np.int32)
        indices, weights = _frame(kept, height * width)
        return View(kept.astype(np.int32), indices, weights, partner, half_width=True)
    indices, weights = _resized(split.fill(height), (height, width // 2), (height, width))
    return View(kept.astype(np.int32), indices, weights, half_width=True)


@functools.lru_cache(maxsize=1024)
def _partition_view(partition: Partition, part: int) -> View:
    mask = partition._mask(part)
    kept = np.flatnonzero(mask)
    if partition.interpolation == "frame":
        return View(kept.astype(np.int32), *_frame(kept, mask.size))
    return View(kept.astype(np.int32), *_resized(partition.interpolation, _rectangle(mask, part), partition.shape))


def _rectangle(mask: NDArray[np.bool_], part: int) -> tuple[int, int]:
    """Height and width of the sub-image that the kept pixels form."""
    in_row = mask.sum(axis=1)
    used = in_row[in_row > 0]
    if (used != used[0]).any():
        raise InvalidArgumentError(
            f"mask {part} keeps {used.min()} to {used.max()} pixels a row, which is no rectangle: give interpolation='frame', or "
            "masks whose rows keep equally many or none."
        )
    return len(used), int(used[0])


def _frame(kept: NDArray[np.int64], plane: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Kept pixels in their places, 0 elsewhere."""
    indices, weights = np.zeros((1, plane), dtype=np.int32), np.zeros((1, plane), dtype=np.float32)
    indices[0, kept], weights[0, kept] = np.arange(len(kept)), 1.0
    return indices, weights


def _axis(interpolation: str, source: int, target: int) -> list[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """(index, weight) pairs of one axis."""
    place = np.arange(target)
    if interpolation == "nearest":
        return [(place * source // target, np.ones(target))]
    position = np.maximum((place + 0.5) * source / target - 0.5, 0.0)
    first = np.minimum(position.astype(np.int64), source - 1)
    share = position - first
    return [(first, 1.0 - share), (np.minimum(first + 1, source - 1), share)]


def _resized(
    interpolation: str, source: tuple[int, int], target: tuple[int, int]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Indices and weights [T, H * W] that resize a `source` image to `target`; weights that are 0 everywhere are left out."""
    indices, weights = [], []
    for y, of_y in _axis(interpolation, source[0], target[0]):
        for x, of_x in _axis(interpolation, source[1], target[1]):
            weight = (of_y[:, None] * of_x[None, :]).ravel().astype(np.float32)
            if weight.any():
                indices.append((y[:, None] * source[1] + x[None, :]).ravel().astype(np.int32))
                weights.append(weight)
    return np.stack(indices), np.stack(weights)


TRANSFORMS = {kind.name: kind for kind in (Identity, DiagonalSplit, Partition)}


def is_transform(value: object) -> bool:
    """Say whether this is a transform that is known here; a subclass may show something else."""
    return type(value) in TRANSFORMS.values()


def check(transform: object) -> Transform:
    """Return `transform` if it is one, and raise InvalidArgumentError otherwise."""
    if not isinstance(transform, tuple(TRANSFORMS.values())):
        raise InvalidArgumentError(f"transform={shown(transform)} is not a transform: give rsfast.DiagonalSplit(), for instance.")
    return transform  # type: ignore[return-value]


def _masks(owner: object, shape: object) -> NDArray[np.bool_]:
    """Masks [k, H, W] of a part number for each pixel, packed as `Partition.to_dict` does."""
    try:
        height, width = (whole("shape", n, 1, 2**15) for n in shape)  # type: ignore[attr-defined]
        packed = base64.b64decode(owner, validate=True)  # type: ignore[arg-type]
        flat = zlib.decompressobj().decompress(packed, height * width + 1)  # a few bytes can stand for gigabytes
        table = np.frombuffer(flat, dtype=np.uint8).reshape(height, width)
    except Exception:  # whatever base64, zlib and damaged fields raise
        raise InvalidArgumentError(
            f"a partition is described by owner={shown(owner)}, shape={shown(shape)}: give what its to_dict() gave."
        ) from None
    return np.asarray(table[None] == np.arange(int(table.max()) + 1)[:, None, None])


def from_dict(fields: dict[str, Any]) -> Transform:
    """Return the transform that `to_dict` described."""
    if not isinstance(fields, Mapping):
        raise InvalidArgumentError(f"a transform is described by {shown(fields)}: give the dict of to_dict().")
    fields = dict(fields)
    name = fields.pop("name", None)
    if not isinstance(name, str) or name not in TRANSFORMS:
        raise InvalidArgumentError(f"transform {shown(name)} is not known: give one of {', '.join(TRANSFORMS)}.")
    if name == "identity" and fields:
        raise InvalidArgumentError(f"the whole image is described by {shown(fields)}: it takes nothing.")
    if name == "partition":
        fields["masks"] = _masks(fields.pop("owner", None), fields.pop("shape", None))
    return TRANSFORMS[name](**fields)


__all__: Sequence[str] = ["DiagonalSplit", "Identity", "Partition", "Transform", "View", "strided_masks"]
