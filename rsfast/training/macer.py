"""Training that makes the certified radius itself larger."""

from __future__ import annotations

import torch
from torch.nn import functional

from ..errors import InvalidArgumentError
from ..keyed_noise import KeyedNoise
from .parts_of_losses import Model, log_average, logits_of


def macer(
    model: Model,
    x: torch.Tensor,
    y: torch.Tensor,
    noise: KeyedNoise,
    *,
    weight: float = 12.0,
    margin: float = 8.0,
    temperature: float = 16.0,
    copies: int = 16,
) -> torch.Tensor:
    """Return the loss of MACER (Zhai et al. 2020, algorithm 1): cross-entropy of the smoothed classifier and a hinge.

        mean over the batch of  -log mean_i P_y(x + e_i) + lambda (sigma / 2) [Phi^-1(q_2) - Phi^-1(q_1) + gamma]

    The second term is over correctly answered images whose margin Phi^-1(q_1) - Phi^-1(q_2) is at most gamma; q_1 and q_2 are the
    two largest of mean_i softmax(beta F(x + e_i)).

    Parameters
    ----------
    model, x, y
        As in `noise_augmentation`.
    noise : KeyedNoise
        Gaussian, of one level or input-dependent.
    weight : float
        lambda: 12 on CIFAR-10 for sigma 0.25 and 1 and 4 for sigma 0.5; 16 on MNIST, and 6 for sigma 1.
    margin : float
        gamma.
    temperature : float
        beta.
    copies : int
        k.

    Raises
    ------
    InvalidArgumentError
        Noise for which sigma Phi^-1 is no radius.
    """
    if noise.noise is None or noise.noise.family not in ("gaussian", "input-dependent"):
        raise InvalidArgumentError("MACER's radius is that of Gaussian noise: give KeyedNoise(rsfast.Gaussian(sigma)).")
    logits = logits_of(model, noise.copies(x, copies), copies)
    classification = functional.nll_loss(log_average(logits), y)
    average = torch.softmax(temperature * logits, dim=2).mean(1)
    top, classes = average.topk(2, dim=1)
    with torch.no_grad():
        gap = torch.special.ndtri(top[:, 0]) - torch.special.ndtri(top[:, 1])
        counted = (classes[:, 0] == y) & torch.isfinite(gap) & (gap <= margin)
    sigma = torch.as_tensor(noise.levels_of(x), dtype=top.dtype, device=x.device)
    first, second = top[counted].unbind(1)
    hinge = torch.special.ndtri(second) - torch.special.ndtri(first) + margin
    return classification + weight * (hinge * sigma[counted] / 2).sum() / len(x)
