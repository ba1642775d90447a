"""Sources that fit in memory: scikit-learn's digits, NumPy's files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .. import extras
from ..errors import DataError
from .base import ArraySource
from .files import shown
from .npy import archived, mapped


def digits(split: str) -> ArraySource:
    """The 1797 handwritten digits bundled with scikit-learn, [1, 8, 8]; every third image is the test split."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DataError(f"the digits data set comes with scikit-learn: {extras.advice('sklearn', error)}.") from None
    data = load_digits()
    test = np.arange(len(data.target)) % 3 == 2
    chosen = test if split == "test" else ~test
    images = (data.images[chosen] / 16).astype(np.float32)
    return ArraySource(f"digits ({split})", images, data.target[chosen], num_classes=10)


def npz(path: Path) -> ArraySource:
    """Arrays `x` (or `images`) and `y` (or `labels`, optional) of a NumPy .npz file."""
    found, names = archived(path, {"images": ("x", "images"), "labels": ("y", "labels")})
    if "images" not in found:
        raise DataError(f"{shown(path)} holds {shown(', '.join(names)) or 'nothing'}: name the images x and the labels y.")
    return ArraySource(shown(path.name), found["images"], found.get("labels"))


def npy(path: Path) -> ArraySource:
    """A .npy file of images [N, H, W] or [N, C, H, W], as a memory map."""
    return ArraySource(shown(path.name), mapped(path), None)
