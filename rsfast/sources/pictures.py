"""Image files as pixels, prepared as torchvision prepares PIL images: `Resize(int)`, `CenterCrop(int)`, `ToTensor()`."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .files import open_file, reason, shown

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = {
    ".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".bmp": "BMP", ".ppm": "PPM", ".pgm": "PPM", ".webp": "WEBP", ".tif": "TIFF",
    ".tiff": "TIFF",
}  # fmt: skip
"""By ending of a file's name; only these decoders are ever opened, whatever a file's name."""

MOST_PIXELS = 2**27
"""The most pixels of an image once it is resized or padded."""


def pixels(file: Path, mode: str, resize: int | None, crop: int | None) -> NDArray[np.float32]:
    """An image file as [C, H, W] in [0, 1]; `mode` is RGB or L.

    As torchvision's loader does: the first frame, without its alpha, as it is stored (an EXIF orientation is not followed).

    Raises
    ------
    DataError
        A file that cannot be read, is none of FORMATS, is torn, has more than 8 bits a pixel in one channel, or is too large.
    """
    from PIL import Image

    with open_file(file) as opened, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of metadata; pixels that are missing are errors
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            if os.fstat(opened.fileno()).st_size == 0:
                raise DataError("it is empty")
            with Image.open(opened, formats=sorted(set(FORMATS.values()))) as image:
                if image.mode.startswith(("I", "F")):
                    raise DataError(f"its pixels are of mode {image.mode}, only 8-bit images are taken")
                picture = image.convert(mode)
            if resize is not None:
                picture = resized(picture, resize)
            if crop is not None:
                picture = cropped(picture, crop)
            data = np.asarray(picture, dtype=np.uint8)
        except Image.UnidentifiedImageError:
            kinds = ", ".join(sorted(set(FORMATS.values())))
            raise DataError(f"{shown(file)} cannot be read as an image: it is none of {kinds}, or damaged.") from None
        except Exception as error:  # a damaged image fails in many ways
            raise DataError(f"{shown(file)} cannot be read as an image: {reason(error)}.") from None
    data = data[None] if data.ndim == 2 else data.transpose(2, 0, 1)
    return np.ascontiguousarray(data).astype(np.float32) / np.float32(255)


def resized_size(width: int, height: int, shorter: int) -> tuple[int, int]:
    """Width and height once the shorter side has `shorter` pixels; the longer is rounded down, as torchvision does."""
    longer = int(shorter * max(width, height) / min(width, height))
    return (shorter, longer) if width <= height else (longer, shorter)


def resized(picture: Image, shorter: int) -> Image:
    """`Resize(shorter)`: bilinear, antialiased."""
    from PIL.Image import Resampling

    width, height = picture.size
    size = resized_size(width, height, shorter)
    _check_pixels(*size)
    return picture if size == picture.size else picture.resize(size, Resampling.BILINEAR)


def crop_offset(side: int, crop: int) -> int:
    """Where the central `crop` pixels of a side begin, as torchvision rounds; negative where black is added before the image."""
    return round((side - crop) / 2) if side >= crop else -((crop - side) // 2)


def cropped(picture: Image, crop: int) -> Image:
    """`CenterCrop(crop)`: a side that is shorter is made longer with black."""
    _check_pixels(crop, crop)
    left, top = (crop_offset(side, crop) for side in picture.size)
    return picture.crop((left, top, left + crop, top + crop))


def _check_pixels(width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        raise DataError(f"it would be resized to {height}x{width} and at most {MOST_PIXELS:,} pixels are taken")
