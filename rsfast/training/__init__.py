"""Objectives that make certificates large, each a plain function (model, x, y, noise, …) → loss, and the noise they draw.

noise = rsfast.training.KeyedNoise(rsfast.Gaussian(0.25), seed=0)
loss = rsfast.training.consistency(model, x, y, noise.at(epoch, ids), weight=10)
"""

from collections.abc import Callable
from typing import Any

from .. import names
from ..keyed_noise import KeyedNoise, shown
from .adversarial import adversarial_training, smooth_adv, trades
from .augmentation import consistency, noise_augmentation, stability
from .denoising import denoiser_mse, denoiser_stability
from .gaussian_augmentation import train_with_noise
from .halves import halves
from .macer import macer
from .smooth_mix import smooth_mix

OBJECTIVES: dict[str, Callable[..., Any]] = {name: globals()[name.replace("-", "_")] for name in names.OBJECTIVES}
"""Those of a classifier on whole images, by name."""

__all__ = [
    "OBJECTIVES",
    "KeyedNoise",
    "adversarial_training",
    "consistency",
    "denoiser_mse",
    "denoiser_stability",
    "halves",
    "macer",
    "noise_augmentation",
    "shown",
    "smooth_adv",
    "smooth_mix",
    "stability",
    "trades",
    "train_with_noise",
]
