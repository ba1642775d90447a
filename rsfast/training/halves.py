"""Training for smoothing by parts: each part's noisy pixels, resized to the whole, are what a network is tuned on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from ..errors import InvalidArgumentError
from ..keyed_noise import KeyedNoise
from .augmentation import noise_augmentation
from .parts_of_losses import Model


def halves(
    model: Model | Sequence[Model],
    x: torch.Tensor,
    y: torch.Tensor,
    noise: KeyedNoise,
    *,
    objective: Callable[..., torch.Tensor] = noise_augmentation,
    **options: Any,
) -> torch.Tensor:
    """Return an objective on every part of split images (Xia et al. 2024, §5.1; training details in §6.1).

    Parameters
    ----------
    model : callable, or one for each part
        One network for all parts gets the mean of their losses; several get the sum, as if each were trained alone.
    x, y
        Whole images and labels.
    noise : KeyedNoise
        With the transform that splits: `KeyedNoise(rsfast.Gaussian(0.18), seed, transform=rsfast.DiagonalSplit())`.
    objective : callable
        What is applied to each part: `noise_augmentation` or `consistency` in the paper, with weight 10.
    options
        The objective's own.

    Raises
    ------
    InvalidArgumentError
        Images that are not split, or a number of networks that is not that of parts.

    Notes
    -----
    The paper tunes copies of one network for 40 epochs of CIFAR-10 by Adam, learning rate 1e-3, a tenth of it from epochs 25 and
    35 on; 15 epochs of ImageNet from 1e-5, a tenth of it from epochs 5 and 10 on.
    """
    parts = noise.transform.parts
    several = isinstance(model, (list, tuple, torch.nn.ModuleList))
    networks: list[Model] = list(model) if isinstance(model, (list, tuple, torch.nn.ModuleList)) else [model] * parts  # type: ignore[list-item]
    if parts < 2:
        raise InvalidArgumentError("the noise splits no image: give KeyedNoise(…, transform=rsfast.DiagonalSplit()).")
    if len(networks) != parts:
        raise InvalidArgumentError(f"{len(networks)} models for {parts} parts: give one for all parts, or one for each.")
    losses = [objective(network, x, y, noise.of_part(part), **options) for part, network in enumerate(networks)]
    total = torch.stack(losses).sum()
    return total if several else total / parts
