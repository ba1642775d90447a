"""Noisy copies that integer arithmetic is fitted to, and others on which its labels are compared."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from .. import backends, checks
from ..errors import InvalidArgumentError
from ..noise import PART_STREAMS, STREAMS, Noise
from ..noise import check as check_noise
from ..transforms import Identity, Transform
from ..transforms import check as check_transform

WHOLE = Identity()
FOR_INT8 = ("auto", "onnxruntime", "openvino")
"""What runs a model in integers."""


@dataclasses.dataclass(frozen=True, eq=False)
class Calibration:
    """Images from which `dtype="int8"` takes its scales, and on which it is compared with the model in floating point.

    Noisy copies of one half of the images set the scales, copies of the other half show in how many the two choose the same
    class.  Take images like those that will be certified, and none of these: the network must not depend on what it is certified
    on.

    Parameters
    ----------
    images : tensor or array, float [M, C, H, W]
        Clean images in the units of `noise`, at least 2.
    noise : Noise
        The noise of the copies: that of the calls to come.
    transform : Transform
        What the model is shown.
    mean, std : sequence of float, optional
        Per channel, for `inference.prepare`; a Classifier takes its own.
    copies : int
        How many noisy copies set the scales.
    compared : int
        How many other noisy copies are compared, at least 2,000.
    least : float
        The share of them in which both must choose the same class, from 0 to 1; a model below is refused with the figure.

    Raises
    ------
    InvalidArgumentError
        An argument outside its range, or images that are none.
    """

    images: torch.Tensor
    noise: Noise
    transform: Transform = WHOLE
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    copies: int = 64
    compared: int = 2000
    least: float = 0.9
    part: int | None = None  # of a model that is shown one part only

    def __post_init__(self) -> None:
        images = torch.as_tensor(self.images)
        if images.ndim != 4 or not images.is_floating_point() or len(images) < 2 or 0 in images.shape:
            raise InvalidArgumentError(
                f"calibration images are {images.dtype} {list(images.shape)}: give at least 2 floating-point images "
                "[M, C, H, W], of which one half sets the scales and the other shows what they are worth."
            )
        if not bool(images.isfinite().all()):
            raise InvalidArgumentError("calibration images hold NaN or infinity: give finite pixels.")
        transform = check_transform(self.transform)
        object.__setattr__(self, "images", images.detach().to("cpu", torch.float32, copy=True).contiguous())
        object.__setattr__(self, "noise", check_noise(self.noise, transform.parts))
        checks.whole("copies", self.copies, 1, 2**16)
        checks.whole("compared", self.compared, 2000, 2**24)
        checks.floats("least", self.least, 0.0, 1.0, "a share from 0 to 1")

    @property
    def sha256(self) -> str:
        """A hash of all that sets the scales and of what they are compared on."""
        said: list[object] = [self.noise.to_dict(), self.transform.to_dict(), self.part, self.copies, self.compared]
        said += [None if values is None else list(values) for values in (self.mean, self.std)]
        digest = hashlib.sha256(json.dumps([said, list(self.images.shape)], sort_keys=True).encode())
        digest.update(self.images.numpy().tobytes())
        return digest.hexdigest()

    def inputs(self, most: int | None = None) -> torch.Tensor:
        """What sets the scales, or the first of it: float32 [copies, C, H, W] as the model is shown them."""
        number = self.copies if most is None else min(most, self.copies)
        return torch.cat([*self._drawn(self.images[::2], number, 64)])

    def others(self, batch: int) -> Iterator[torch.Tensor]:
        """What is compared: noisy copies of the other images, `compared` in all, in pieces of at most `batch`."""
        yield from self._drawn(self.images[1::2], self.compared, batch, odd=True)

    def _drawn(self, images: torch.Tensor, number: int, batch: int, odd: bool = False) -> Iterator[torch.Tensor]:
        """Copy after copy of all images in turn, each with noise of its own."""
        parts = range(check_transform(self.transform).parts) if self.part is None else (self.part,)
        levels = self.noise.levels_of(images, self.transform.parts)
        backend = backends.choose("auto", images, self.noise, self.transform)
        per_image = -(-number // (len(images) * len(parts)))
        turns = [(copy, part, image) for copy in range(per_image) for image in range(len(images)) for part in parts][:number]
        for first in range(0, number, batch):
            chosen = turns[first : first + batch]
            out = torch.empty(len(chosen), *images.shape[1:])
            for row, (copy, part, image) in enumerate(chosen):
                backend.perturb(
                    images[image : image + 1], self.noise, self.transform, part=part, sigma=levels[image : image + 1, part],
                    mean=self.mean, std=self.std, seed=0, stream=STREAMS["calibration"] + PART_STREAMS * part,
                    ids=np.array([2 * image + odd]), first=copy, count=1, out=out[row : row + 1],
                )  # fmt: skip
            yield out


def check_integers(runtime: str, calibration: Calibration | None) -> None:
    """Raise InvalidArgumentError unless dtype="int8" can be had with this runtime and calibration."""
    if runtime not in FOR_INT8:
        raise InvalidArgumentError(
            f"dtype='int8' is nothing that runtime={runtime!r} computes in: give runtime='onnxruntime', 'openvino' or 'auto'."
        )
    if calibration is None:
        raise InvalidArgumentError(
            "dtype='int8' needs images that set its scales: give calibration=rsfast.Calibration(images, noise), of images that "
            "are not certified (on the command line --calibrate)."
        )


def shown(calibration: Calibration) -> dict[str, object]:
    """What a record says of a calibration, as JSON."""
    return {
        "images": len(calibration.images),
        "noise": str(calibration.noise),
        "copies": calibration.copies,
        "compared": calibration.compared,
        "pixels": math.prod(calibration.images.shape[1:]),
        "sha256": calibration.sha256,
    }
