"""What torchvision's transforms of PIL images are documented to do, slowly and in exact arithmetic."""

from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction

import numpy as np


def resized(width, height, shorter):
    """Resize(int): "the smaller edge will be matched to this number"; int(size * long / short) is the other one."""
    longer = shorter * max(width, height) // min(width, height)
    return (shorter, longer) if width <= height else (longer, shorter)


def crop(pixels, side):
    """CenterCrop(int) of [H, W, C], pixel by pixel: int(round((length - side) / 2.0)), and 0 outside, the odd one after."""
    height, width = pixels.shape[:2]
    found = np.zeros((side, side, pixels.shape[2]), pixels.dtype)
    top, left = (_begin(length, side) for length in (height, width))
    for i in range(side):
        for j in range(side):
            if 0 <= top + i < height and 0 <= left + j < width:
                found[i, j] = pixels[top + i, left + j]
    return found


def _begin(length, side):
    if length >= side:
        return int((Decimal(length - side) / 2).quantize(Decimal(1), ROUND_HALF_EVEN))
    return -((side - length) // 2)


def bilinear(pixels, width, height):
    """Antialiased bilinear resizing of [H, W, C], without rounding: a triangle as wide as a new pixel."""
    across = _weights(pixels.shape[1], width)
    down = _weights(pixels.shape[0], height)
    return np.einsum("qh,pw,hwc->qpc", down, across, pixels.astype(float))


def _weights(old, new):
    found = np.zeros((new, old))
    scale = max(Fraction(old, new), Fraction(1))
    for i in range(new):
        centre = (Fraction(i) + Fraction(1, 2)) * Fraction(old, new)
        for j in range(old):
            distance = abs((Fraction(j) + Fraction(1, 2)) - centre) / scale
            found[i, j] = float(max(Fraction(0), 1 - distance))
        found[i] /= found[i].sum()
    return found
