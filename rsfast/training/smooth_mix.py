"""Training on mixtures of images and over-attacked ones."""

from __future__ import annotations

import torch
from torch.nn import functional

from ..attacks import steps as attack
from ..attacks.steps import Range
from ..keyed_noise import KeyedNoise
from .parts_of_losses import Model, frozen, gradient, log_average, logits_of


def smooth_mix(
    model: Model,
    x: torch.Tensor,
    y: torch.Tensor,
    noise: KeyedNoise,
    *,
    weight: float = 5.0,
    step: float = 1.0,
    steps: int = 4,
    copies: int = 4,
    value_range: Range = (0.0, 1.0),
) -> torch.Tensor:
    """Return the loss of SmoothMix (Jeong et al. 2021, algorithm 1): augmentation, and mixtures on the way to over-confidence.

        (1 / m) sum_i [CE(F(x + e_i), y) + eta 1(answered y) KL(y_mix || P(x_mix + e_i))]
        x_mix = (1 - u) x + u x',  y_mix = (1 - u) P_mean(x) + u / K,  u uniform on [0, 1/2], one for each image

    x' is after `steps` unrestricted steps of length alpha along the gradient of -log P_mean_y; the same e_i are everywhere.

    Parameters
    ----------
    model, x, y, noise
        As in `noise_augmentation`.
    weight : float
        eta: 1 or 5 (`eta` of the authors' commands); their first ten epochs let it grow.
    step, steps
        alpha and T: on MNIST 2, 4 and 8 steps of 1 for sigma 0.25, 0.5 and 1; on CIFAR-10 4 steps of 0.5, 1 and 2.
    copies : int
        m: 4 on MNIST, 2 on CIFAR-10.
    value_range : (low, high) or None
        Where attacked images stay.
    """
    added = noise.alone(x, copies)

    def logits(given: torch.Tensor) -> torch.Tensor:
        return logits_of(model, noise.shown(given).repeat_interleave(copies, dim=0) + added, copies)

    def loss(given: torch.Tensor) -> torch.Tensor:
        return functional.nll_loss(log_average(logits(given)), y, reduction="sum")

    far = x
    with frozen(model), torch.no_grad():
        for _ in range(steps):
            far = attack.inside(far + step * attack.direction(gradient(loss, far), 2.0), value_range)
    clean = logits(x)
    mean = log_average(clean).exp()
    share = noise.uniform(x) / 2
    mixed = attack.per_image(1 - share) * x + attack.per_image(share) * far
    likely = (1 - share)[:, None] * mean + share[:, None] / mean.shape[1]
    there = torch.log_softmax(logits(mixed), dim=2)
    divergence = functional.kl_div(there, likely[:, None].expand_as(there), reduction="none").sum(2).mean(1)
    answered = (mean.argmax(1) == y).to(divergence.dtype)
    each = functional.cross_entropy(clean.flatten(0, 1), y.repeat_interleave(copies))
    return each + weight * (answered * divergence).mean()
