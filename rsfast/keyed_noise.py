"""Noise of training and of attacks: any noise of the package, drawn by its kernels, keyed by (seed, epoch, image)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from . import backends, checks
from .backends import base
from .counting.images import check_ids
from .errors import InvalidArgumentError
from .hints import explained_class
from .noise import PART_STREAMS, STREAMS, Noise, Uniform
from .noise import check as check_noise
from .request import WHOLE
from .transforms import Transform, View
from .transforms import check as check_transform

COPIES = 2**16
"""Copies of an image that one epoch can draw; so many epochs fit into the counter, too."""


def shown(view: View, images: torch.Tensor) -> torch.Tensor:
    """Return images [B, C, H, W] as a view shows them; only the kept pixels are looked at.  It has a gradient."""
    device = images.device
    v = images.flatten(2)[:, :, base.on_device(view, "kept", device)]
    if view.partner is None:
        pairs = zip(base.on_device(view, "weights", device), base.on_device(view, "indices", device), strict=True)
        return torch.stack([weights.to(v.dtype) * v[:, :, indices] for weights, indices in pairs]).sum(0).reshape(images.shape)
    frame = torch.zeros_like(images).flatten(2)
    other = v[:, :, base.on_device(view, "partner", device)]
    frame[:, :, base.on_device(view, "kept", device)] = v + torch.maximum(v, other).clamp(min=0)
    return frame.reshape(images.shape)


@explained_class
@dataclasses.dataclass(frozen=True)
class KeyedNoise:
    """This is the noise of a training run, each draw of which is a function of (seed, epoch, image id, copy, pixel) alone.

    `KeyedNoise(rsfast.Gaussian(0.25), seed=0)` is made once; `noise.at(epoch, ids)` is given to an objective, with the positions
    of the batch's images in the data set.  A run that is repeated, split over processes or continued draws the same.

    Parameters
    ----------
    noise : Noise, optional
        Any noise of the package, in the units of the images; None adds nothing (the row sigma = 0 of Li et al. 2019), and the
        seed is for random starts alone.
    seed : int
        0 … 2^64 - 1.
    transform, part
        Show this part of each noisy image, as it will be shown when it is certified (Xia et al. 2024, §5.1).
    levels : array, float [N], optional
        The level of each image by its id, where the noise depends on the input: computed once instead of in every batch.
    backend : str
        Who draws; never changes a bit.
    stream : str
        "training", or another of `rsfast.noise.STREAMS`: streams share no noise.
    epoch, ids
        What `at` sets.

    Raises
    ------
    InvalidArgumentError
        Arguments out of range, or noise and transform that do not fit.

    Notes
    -----
    Input-dependent augmentation with a training rate of its own (Súkeník et al. 2022, Appendix E.4, `trr`) is
    `KeyedNoise(InputDependentGaussian(function of that rate), seed)`.
    """

    noise: Noise | None
    seed: int = 0
    transform: Transform = WHOLE
    part: int = 0
    levels: np.ndarray | None = dataclasses.field(default=None, compare=False, repr=False)
    backend: str = "auto"
    stream: str = "training"
    epoch: int = 0
    ids: np.ndarray | None = dataclasses.field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        parts = check_transform(self.transform).parts
        if self.noise is not None:
            object.__setattr__(self, "noise", check_noise(self.noise, parts))
        checks.choice("stream", self.stream, STREAMS)
        for name, most in (("seed", 2**64 - 1), ("part", parts - 1), ("epoch", COPIES - 1)):
            object.__setattr__(self, name, checks.whole(name, getattr(self, name), 0, most))

    def at(self, epoch: int, ids: Iterable[int]) -> KeyedNoise:
        """Return the noise of a batch: images `ids` of the data set, in this epoch (0 … 65,535)."""
        given = ids.tolist() if isinstance(ids, torch.Tensor) else list(ids)
        return dataclasses.replace(self, epoch=epoch, ids=check_ids(given, len(given)))

    def of_part(self, part: int) -> KeyedNoise:
        """Return the noise of another part of split images."""
        return dataclasses.replace(self, part=part)

    def levels_of(self, x: torch.Tensor) -> np.ndarray:
        """Return the level of each image of a batch, float64 [B]; zeros without noise."""
        if self.noise is None:
            return np.zeros(len(x))
        if self.levels is not None and self.noise.depends_on_input:
            return np.asarray(self.levels, dtype=np.float64)[self._ids(x)]
        return self.noise.levels_of(x.detach(), self.transform.parts)[:, self.part]

    def shown(self, x: torch.Tensor) -> torch.Tensor:
        """Return images as a model is shown them without noise; the gradient passes."""
        view = self.transform.view(self.part, x.shape[2], x.shape[3])
        return x if view is None else shown(view, x)

    def copies(self, x: torch.Tensor, count: int = 1, first: int = 0) -> torch.Tensor:
        """Return noisy copies first … first + count - 1 of each image, [B * count, C, H, W]; row b * count + s is of image b.

        Image plus noise (and what shows a part) is one pass.  Where x requires a gradient, it gets that of its sum of copies.
        """
        if self.noise is None:
            return self.shown(x).repeat_interleave(count, dim=0)
        if x.requires_grad and torch.is_grad_enabled():
            return self.shown(x).repeat_interleave(count, dim=0) + self.alone(x, count, first)
        return self._draw(self.noise, x, self.levels_of(x), count, first, STREAMS[self.stream])

    def alone(self, x: torch.Tensor, count: int = 1, first: int = 0) -> torch.Tensor:
        """Return the noise of these copies without the images: shown(x) + alone(x) is copies(x), up to float32's rounding.

        Raises
        ------
        InvalidArgumentError
            A transform that is not linear (pooled diagonals).
        """
        view = self.transform.view(self.part, x.shape[2], x.shape[3])
        if view is not None and view.partner is not None:
            raise InvalidArgumentError(
                "the transform pools pixels, which is not linear, so that noise has no gradient of its own: train with "
                "interpolation='nearest', or by an objective without attacks."
            )
        if self.noise is None:
            return torch.zeros_like(x).repeat_interleave(count, dim=0)
        return self._draw(self.noise, torch.zeros_like(x), self.levels_of(x), count, first, STREAMS[self.stream])

    def start(self, x: torch.Tensor, noise: Noise, first: int = 0) -> torch.Tensor:
        """Return draws of another noise in the shape of x, for random starts: whole images, one copy of each."""
        zeros = torch.zeros_like(x)
        whole = dataclasses.replace(self, transform=WHOLE, part=0)
        return whole._draw(noise, zeros, np.full(len(x), noise.fixed_levels[0]), 1, first, STREAMS["start"])

    def uniform(self, x: torch.Tensor, first: int = 0) -> torch.Tensor:
        """Return one number in [0, 1] for each image, float32 [B]."""
        return self.start(x.detach()[:, :1, :1, :1], Uniform(0.5), first).flatten() + 0.5

    def _ids(self, x: torch.Tensor) -> np.ndarray:
        if self.ids is None or len(self.ids) != len(x):
            given = "no ids" if self.ids is None else f"{len(self.ids)} ids"
            raise InvalidArgumentError(
                f"the noise has {given} for {len(x)} images: give noise.at(epoch, ids), the images' positions in the data set."
            )
        return self.ids

    def _draw(self, noise: Noise, x: torch.Tensor, levels: np.ndarray, count: int, first: int, stream: int) -> torch.Tensor:
        count = checks.whole("copies", count, 1, COPIES)
        first = checks.whole("first", first, 0, COPIES - count) + COPIES * self.epoch
        images = x.detach().to(torch.float32)
        out = torch.empty((len(x) * count, *x.shape[1:]), dtype=torch.float32, device=x.device)
        ids: Any = self._ids(x)
        backends.choose(self.backend, images, noise, self.transform).perturb(
            images, noise, self.transform, part=self.part, sigma=levels, mean=None, std=None, seed=self.seed,
            stream=stream + PART_STREAMS * self.part, ids=ids, first=first, count=count, out=out,
        )  # fmt: skip
        return out


__all__ = ["COPIES", "KeyedNoise", "shown"]
