"""A folder of image files, one subfolder per class."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .. import extras
from ..errors import DataError

ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".pgm", ".webp", ".tif", ".tiff"}


def _listing(path: Path) -> tuple[list[Path], list[str]]:
    """Image files, sorted, and the subfolders, sorted; links are followed, hidden names left out."""
    files = []
    for folder, subfolders, names in os.walk(path, followlinks=True):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        files += [Path(folder, name) for name in names if not name.startswith(".") and Path(name).suffix.lower() in ENDINGS]
    classes = sorted(entry.name for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    return sorted(files), classes


class FolderSource:
    """Images of a folder, sorted by path; classes are the sorted names of its subfolders (none: no labels).

    Files are opened when they are needed.  `resize` scales the shorter side to that many pixels (bilinear, antialiased),
    `crop` cuts the central square; without them all images must have the size of the first.
    """

    def __init__(self, path: Path, *, resize: int | None = None, crop: int | None = None, mode: str = "RGB") -> None:
        try:
            import PIL  # noqa: F401
        except ImportError as error:
            raise DataError(f"image folders need Pillow: {extras.advice('PIL', error)}.") from None
        if not path.is_dir():
            raise DataError(f"{path} is not a folder: give the folder that holds one subfolder per class.")
        self.path, self.resize, self.crop, self.mode = path, resize, crop, mode
        try:
            self.files, classes = _listing(path)
        except OSError as error:
            raise DataError(f"{path} cannot be listed: {error.strerror or error}.") from None
        if not self.files:
            raise DataError(f"{path} holds no images ({', '.join(sorted(ENDINGS))}).")
        nested = [file.relative_to(path).parts for file in self.files]
        if any(len(parts) > 1 for parts in nested) and any(len(parts) == 1 for parts in nested):
            raise DataError(f"{path} holds images both beside and inside subfolders: put each into its class's subfolder.")
        labelled = len(nested[0]) > 1
        number = {name: i for i, name in enumerate(classes)}
        self.classes = classes if labelled else []
        self.labels = [number[parts[0]] for parts in nested] if labelled else None
        self.num_classes = len(classes) if labelled else None
        self.name = path.name
        self.shape = self._shape()
        self.dtype = np.dtype(np.float32)

    def __len__(self) -> int:
        return len(self.files)

    def label(self, index: int) -> int | None:
        return None if self.labels is None else self.labels[index]

    def image(self, index: int) -> NDArray[np.float32]:
        image = self._open(index)
        if image.shape != self.shape:
            raise DataError(
                f"{self.files[index]} is {image.shape[1]}x{image.shape[2]}, other images are "
                f"{self.shape[1]}x{self.shape[2]}: give --resize and --crop."
            )
        return image

    def fingerprint(self) -> str:
        digest = hashlib.sha256(f"{self.resize} {self.crop} {self.mode}\n".encode())
        for file in self.files:
            digest.update(f"{file.relative_to(self.path).as_posix()}\n".encode())
        return digest.hexdigest()

    def _shape(self) -> tuple[int, int, int]:
        if self.crop is not None:
            return (3 if self.mode == "RGB" else 1, self.crop, self.crop)
        problem: DataError | None = None
        for index in range(len(self.files)):
            try:
                channels, height, width = self._open(index).shape
                return (channels, height, width)
            except DataError as error:
                problem = problem or error
        raise DataError(f"no image of {self.path} can be read; the first says: {problem}")

    def _open(self, index: int) -> NDArray[np.float32]:
        from PIL import Image, UnidentifiedImageError

        file = self.files[index]
        try:
            with Image.open(file) as opened:
                if opened.mode.startswith(("I", "F")):
                    raise ValueError(f"its pixels are of mode {opened.mode}, only 8-bit images are taken")
                picture = opened.convert(self.mode)
        except (OSError, UnidentifiedImageError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise DataError(f"{file} cannot be read as an image: {error}.") from None
        if self.resize is not None:
            scale = self.resize / min(picture.size)
            picture = picture.resize([round(side * scale) for side in picture.size], Image.Resampling.BILINEAR)
        if self.crop is not None:
            width, height = picture.size
            if min(width, height) < self.crop:
                raise DataError(f"{file} is {height}x{width}, smaller than the crop of {self.crop}: give --resize {self.crop}.")
            left, top = (width - self.crop) // 2, (height - self.crop) // 2
            picture = picture.crop((left, top, left + self.crop, top + self.crop))
        pixels = np.asarray(picture, dtype=np.uint8)
        pixels = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
        return np.ascontiguousarray(pixels).astype(np.float32) / np.float32(255)
