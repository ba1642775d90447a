"""Images as they are checked, once, and what belongs to each: id, noise level, and how far float32 moved it."""

from __future__ import annotations

import hashlib
import itertools
import secrets
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch

from .. import checks, rounding
from ..backends import base
from ..errors import InvalidArgumentError, reason
from ..inference import DTYPES
from ..noise import Noise
from ..request import WHOLE
from ..stopping.rules import Paused
from ..transforms import Transform

Range = tuple[float, float] | None


class Image(NamedTuple):
    """One image that is drawn around.

    pixels : float32 Tensor [C, H, W].  sigma : float64 [P], the noise level of each part.  id : of the noise.  label : the class
    that is tested, None for the selected one.  paused : where drawing goes on.  rounding : float64 [3], `rounding.distances`.
    """

    pixels: torch.Tensor
    sigma: np.ndarray
    id: int
    label: int | None = None
    paused: Paused | None = None
    rounding: np.ndarray = np.zeros(rounding.NORMS)


class Looked(NamedTuple):
    """Images as they were checked, and what belongs to each."""

    pixels: torch.Tensor  # float32 [B, C, H, W]
    ids: np.ndarray  # int64 [B]
    rounding: np.ndarray  # float64 [B, 3]
    labels: np.ndarray | None  # int64 [B]


def check_seed(seed: int | None) -> int:
    """The seed given, or a fresh one."""
    return secrets.randbits(63) if seed is None else checks.whole("seed", seed, 0, 2**64 - 1)


def as_tensor(x: object) -> torch.Tensor:
    """A tensor, or an array of any memory layout and byte order as one; TypeError or ValueError for anything else."""
    if isinstance(x, torch.Tensor):
        return x
    array = np.asarray(x)
    if np.ma.is_masked(x):
        raise ValueError("an array with masked entries")
    if min(array.strides, default=0) < 0:  # also of axes of one entry, where it counts as contiguous and torch refuses it
        array = array.copy()
    return torch.from_numpy(np.require(array, array.dtype.newbyteorder("="), ("C", "W")))


def _kind(x: object) -> str:
    """What was given instead of images."""
    layout, dtype = getattr(x, "layout", None), getattr(x, "dtype", None)
    if isinstance(x, torch.Tensor):
        return f"a tensor on {x.device} of layout {layout}"
    return f"{type(x).__name__} of {checks.shown(dtype)}" if dtype is not None else type(x).__name__


def check_range(value_range: Range) -> tuple[float, float]:
    """(low, high) of a declared range; a very large one for None."""
    if value_range is None:
        return -1e30, 1e30  # beyond, sums of squares overflow float32
    try:
        found = checks.numbers("value_range", value_range)
    except InvalidArgumentError:
        found = ()
    if len(found) != 2 or not found[0] < found[1]:
        raise InvalidArgumentError(f"value_range={checks.shown(value_range)} is not a range: give (low, high) or None.")
    return found[0], found[1]


def check_images(x: object, value_range: Range, caller: str) -> torch.Tensor:
    """Images as float32 [B, C, H, W], finite and inside `value_range`."""
    try:
        images = as_tensor(x)
        if images.layout != torch.strided or images.device.type == "meta" or images.is_nested:
            raise TypeError
    except Exception:  # arrays of other libraries fail in many ways
        raise InvalidArgumentError(f"x is {_kind(x)}; {caller}() takes a tensor or array (B, C, H, W) of pixels.") from None
    if images.ndim != 4:
        hint = " For one image pass x[None]." if images.ndim == 3 else ""
        raise InvalidArgumentError(f"x has shape {tuple(images.shape)}; {caller}() takes a batch (B, C, H, W).{hint}")
    if 0 in images.shape:
        raise InvalidArgumentError(f"x has shape {tuple(images.shape)} and holds no pixels: give at least one image.")
    if not images.is_floating_point():
        raise InvalidArgumentError(f"x is {images.dtype}; give floating-point images (for 8-bit images x.float() / 255).")
    images = images.detach()
    try:
        finite = torch.isfinite(images).flatten(1).all(dim=1)
        images = images.to(torch.float32)
    except RuntimeError as error:
        raise InvalidArgumentError(f"x is {images.dtype}, which torch cannot convert ({reason(error)}): give float32.") from None
    if not bool(finite.all()):
        raise InvalidArgumentError(f"x[{int((~finite).nonzero()[0])}] holds NaN or infinity: repair or leave out that image.")
    low, high = check_range(value_range)
    if not bool(((images >= low) & (images <= high)).all()):
        outside = ((images < low) | (images > high)).flatten(1).any(dim=1)
        b = int(outside.nonzero()[0])
        raise InvalidArgumentError(
            f"x[{b}] reaches from {float(images[b].min()):g} to {float(images[b].max()):g}, outside the declared range "
            f"[{low:g}, {high:g}]: rescale it, or give value_range=(low, high) or None."
        )
    return images


def normalised(
    noise: Noise, transform: Transform, mean: Sequence[float] | None, std: Sequence[float] | None, channels: int
) -> rounding.Normalisation | None:
    """mean and std where images are normalised, and so rounded, before the noise is added to them; None elsewhere."""
    if (mean is None and std is None) or transform != WHOLE or noise.lattice is not None:
        return None
    return base.normalisation(mean, std, channels)


def rounding_of(x: object, noise: Noise, normal: rounding.Normalisation | None) -> np.ndarray:
    """`rounding.distances` of checked images, as they were given; InvalidArgumentError where lattice noise refuses them."""
    given = as_tensor(x).detach()
    if noise.lattice is not None:
        base.check_lattice(given, noise.lattice)
        return np.zeros((len(given), rounding.NORMS))
    exact = torch.float32 if given.dtype in DTYPES.values() else torch.float64  # a dtype of NumPy's that holds the numbers
    if exact == torch.float32 and normal is None:
        return np.zeros((len(given), rounding.NORMS))
    return np.concatenate([rounding.distances(image[None].cpu().to(exact).numpy(), normal) for image in given])


def refuse_far(distances: np.ndarray, level: np.ndarray) -> None:
    """Raise InvalidArgumentError for an image that float32 moves so far that a prediction for it would be for another one."""
    far = np.flatnonzero(distances[:, 1] > rounding.PREDICTABLE * level)
    if far.size:
        raise InvalidArgumentError(
            f"x[{far[0]}] is moved by {distances[far[0], 1]:.3g} where it is rounded to float32, and the noise level is "
            f"{level[far[0]]:.3g}: a prediction would be for another image; give pixels nearer to zero (x / 255, for instance)."
        )


def check_ids(ids: Iterable[int] | None, images: int) -> np.ndarray:
    """Ids as int64 [B], distinct, below 2^32; 0 … B - 1 if not given."""
    try:
        array = np.arange(images) if ids is None else np.asarray(list(itertools.islice(ids, images + 1)))
    except Exception:  # whatever foreign objects raise when they are gone through
        raise InvalidArgumentError(
            f"ids={checks.shown(ids)} is not a sequence: give one integer for each of {images} images."
        ) from None
    if array.shape != (images,) or (images and not np.issubdtype(array.dtype, np.integer)):
        raise InvalidArgumentError(f"ids has shape {array.shape} {array.dtype}: give one integer for each of {images} images.")
    if images and (array.min() < 0 or array.max() >= 2**32):
        raise InvalidArgumentError(f"ids reach from {array.min()} to {array.max()}: give ids from 0 to 2^32 - 1.")
    values, repeats = np.unique(array, return_counts=True)
    if (repeats > 1).any():
        raise InvalidArgumentError(
            f"id {values[repeats > 1][0]} occurs {repeats.max()} times: two images with one id would share their noise; "
            "give distinct ids."
        )
    return array.astype(np.int64)


def image_sha256(image: torch.Tensor) -> str:
    """First 16 hex digits of the sha256 of an image's float32 pixels."""
    return hashlib.sha256(image.cpu().contiguous().numpy().tobytes()).hexdigest()[:16]
