"""Denoised smoothing: a denoiser is trained in front of a classifier that stays as it is."""

from __future__ import annotations

import torch
from torch.nn import functional

from ..keyed_noise import KeyedNoise
from .parts_of_losses import Model, frozen, logits_of


def denoiser_mse(denoiser: Model, x: torch.Tensor, y: torch.Tensor, noise: KeyedNoise, *, copies: int = 1) -> torch.Tensor:
    """Return the mean over pixels of (D(x + e) - x)² (Salman et al. 2020, its MSE objective).

    Parameters
    ----------
    denoiser : callable
        Noisy images [N, C, H, W] → images in the same shape.
    x, noise
        As in `noise_augmentation`.
    y
        Labels, which this objective does not look at.
    copies : int
        Noisy copies of each image; the paper takes 1.
    """
    return functional.mse_loss(denoiser(noise.copies(x, copies)), noise.shown(x).repeat_interleave(copies, dim=0))


def denoiser_stability(
    denoiser: Model, x: torch.Tensor, y: torch.Tensor, noise: KeyedNoise, *, classifier: Model, copies: int = 1
) -> torch.Tensor:
    """Return the stability loss of a denoiser (Salman et al. 2020, its Stab objective): CE(F(D(x + e)), argmax F(x)).

    Parameters
    ----------
    denoiser, x, noise, copies
        As in `denoiser_mse`.
    y
        Labels, which this objective does not look at: the classifier's own answers stand for them.
    classifier : callable
        The frozen F, images → logits; several classifiers in front of which one denoiser is to stand take turns.

    Notes
    -----
    The paper trains 90 epochs by Adam from 1e-3, or 20 epochs of this loss after the other.
    """
    with frozen(classifier):
        with torch.no_grad():
            answers = logits_of(classifier, noise.shown(x), 1)[:, 0].argmax(1)
        logits = logits_of(classifier, denoiser(noise.copies(x, copies)), copies)
    return functional.cross_entropy(logits.flatten(0, 1), answers.repeat_interleave(copies))
