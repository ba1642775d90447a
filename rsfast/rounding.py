"""How far the image that noise is added to lies from the one that was given, and what that takes off a radius.

Noise is added in float32.  An image in float64, and one that is normalised before the noise is added, is first rounded to numbers
that are near it; the votes are of the smoothed classifier there.  A ball of radius R around the rounded image holds the ball of
radius R - distance around the image that was given, and that is what is certified.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .checks import Floats

NORMS = 3
"""Distances are kept in l1, l2 and linf: they bound those in every other norm."""

_UP = 1.0 + 1e-9  # more than the sums of 2^34 distances are wrong by
PREDICTABLE = 1e-3
"""A prediction is for the rounded image: one that is further off than this share of the noise level is refused."""

Normalisation = tuple[np.ndarray, np.ndarray]
"""mean and std, float32 [C], that the image is normalised with before noise is added."""


def distances(given: np.ndarray, normalised: Normalisation | None = None) -> Floats:
    """l1, l2 and linf distance between each image and the one that is drawn around, rounded up.

    Parameters
    ----------
    given : float [B, C, H, W]
        Finite, as the user gave them.
    normalised : (mean, std), optional
        float32 [C] each: of whole images float32((x - mean) / std) is formed before the noise is added.

    Returns
    -------
    float64 [B, 3]
        In the units of the image; 0 where nothing is rounded.
    """
    found = np.zeros((len(given), NORMS))
    if given.dtype != np.float64 and normalised is None:
        return found
    for b, image in enumerate(given):
        exact, used = image.astype(np.float64), image.astype(np.float32)
        off = np.abs(exact - used)
        if normalised is not None:
            minus, over = (values[:, None, None] for values in normalised)
            at = ((used - minus) / over).astype(np.float64) * over + minus.astype(np.float64)  # where the noise is centred
            off = np.abs(exact - at) + 1e-15 * (np.abs(at) + np.abs(minus))  # and what float64 may have lost here
        largest = float(off.max(initial=0.0))
        squares = np.square(off / largest).sum() if largest else 0.0  # of tiny distances themselves they would be 0
        found[b] = off.sum(), largest * math.sqrt(float(squares)), largest
    return found * _UP


def most(shape: Sequence[int], *, rounded: bool, normalised: Normalisation | None = None) -> Floats:
    """A bound of `distances` for every image in [0, 1] of `shape` (C, H, W), float64 [3].

    `rounded` says whether images are in float64.
    """
    channels, height, width = shape
    of_pixel = np.full(channels, 2.0**-25 if rounded else 0.0)
    if normalised is not None:
        minus = np.abs(normalised[0].astype(np.float64))
        of_pixel = of_pixel + 2.0**-22 * (1.0 + minus)  # two roundings to float32, with room to spare
    return _UP * np.array(
        [height * width * of_pixel.sum(), math.sqrt(height * width * float(np.square(of_pixel).sum())), of_pixel.max()]
    )


def in_norm(found: Floats, order: float, dim: int) -> Floats:
    """What distances [..., 3] are at most in the norm of that order, for images of `dim` pixels: [...].

    Exact for l1, l2 and linf; between them by the interpolation inequality, below l1 by Hoelder's.
    """
    l1, l2, linf = np.moveaxis(found, -1, 0)
    if order in (1.0, 2.0, math.inf):
        return {1.0: l1, 2.0: l2, math.inf: linf}[order]
    if order < 1.0:
        with np.errstate(over="ignore"):
            return np.where(l1 > 0.0, l1 * np.exp((1.0 / order - 1.0) * math.log(dim) * _UP) * _UP, 0.0)
    low, high, share = (l1, l2, 2.0 / order - 1.0) if order < 2.0 else (l2, linf, 2.0 / order)
    return low**share * high ** (1.0 - share) * _UP


def taken_off(radius: Floats, distance: Floats, order: float) -> Floats:
    """The radius around the image that was given, for radii around images so far from it; rounded down.

    The triangle inequality, of the norm's p-th power where p < 1.
    """
    if not distance.any():
        return radius
    if order < 1.0:
        with np.errstate(all="ignore"):
            share = np.minimum(np.where(radius > 0.0, distance / radius, 1.0), 1.0)
            left = radius * np.maximum(1.0 - share**order * _UP, 0.0) ** (1.0 / order) * (1.0 - 1e-12 / order)
        left = np.where(np.isfinite(left) & (left > 0.0), left, 0.0)
    else:
        left = np.maximum(np.nextafter(radius - distance, 0.0), 0.0)
    return np.where(distance > 0.0, left, radius)


__all__ = ["NORMS", "PREDICTABLE", "distances", "in_norm", "most", "taken_off"]
