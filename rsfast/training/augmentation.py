"""Training on noisy images, alone and with a regularizer that asks copies of one image for one answer."""

from __future__ import annotations

import torch
from torch.nn import functional

from ..keyed_noise import KeyedNoise
from .parts_of_losses import Model, log_average, logits_of


def noise_augmentation(model: Model, x: torch.Tensor, y: torch.Tensor, noise: KeyedNoise, *, copies: int = 1) -> torch.Tensor:
    """Return the cross-entropy of noisy images (Lecuyer et al. 2019; Cohen, Rosenfeld & Kolter 2019, §3.3).

        (1 / m) sum_i CE(F(x + e_i), y),  averaged over the batch

    Parameters
    ----------
    model : callable
        Images [N, C, H, W] → logits [N, K].
    x, y : tensors [B, C, H, W] and int64 [B]
    noise : KeyedNoise
        That of this batch, `noise.at(epoch, ids)`: Gaussian, generalised Gaussian (Hayes 2020; Kumar et al. 2020), Laplace,
        uniform, input-dependent with a rate of its own (Súkeník et al. 2022, Appendix E.4), or none.
    copies : int
        m; the papers take 1, and one sigma for training and certifying.
    """
    logits = logits_of(model, noise.copies(x, copies), copies)
    return functional.cross_entropy(logits.flatten(0, 1), y.repeat_interleave(copies))


def stability(
    model: Model, x: torch.Tensor, y: torch.Tensor, noise: KeyedNoise, *, weight: float = 2.0, copies: int = 1
) -> torch.Tensor:
    """Return the loss of stability training with noise, STN (Li, Chen, Wang & Carin 2019, §5.1; Zheng et al. 2016).

        CE(F(x), y) + gamma * (1 / m) sum_i -sum_j P_j(x) log P_j(x + e_i),  P = softmax F

    Parameters
    ----------
    model, x, y, noise, copies
        As in `noise_augmentation`; all images, clean and noisy, are one forward pass.
    weight : float
        gamma, which the paper does not state; 2 in the experiments of Jeong & Shin 2020.  The paper's sigma is 0.7 on MNIST and
        100 / 255 on CIFAR-10.
    """
    given = torch.cat([noise.shown(x), noise.copies(x, copies)])
    logits = logits_of(model, given, 1)[:, 0]
    clean, noisy = logits[: len(x)], logits[len(x) :]
    likely = torch.softmax(clean, dim=1).repeat_interleave(copies, dim=0)
    return functional.cross_entropy(clean, y) + weight * functional.cross_entropy(noisy, likely)


def consistency(
    model: Model,
    x: torch.Tensor,
    y: torch.Tensor,
    noise: KeyedNoise,
    *,
    weight: float = 10.0,
    entropy: float = 0.5,
    copies: int = 2,
) -> torch.Tensor:
    """Return the loss of noise augmentation with consistency regularization (Jeong & Shin 2020, §3).

        (1 / m) sum_i [CE(F(x + e_i), y) + lambda KL(P_mean || P(x + e_i))] + eta H(P_mean),  P_mean = (1 / m) sum_i P(x + e_i)

    Parameters
    ----------
    model, x, y, noise
        As in `noise_augmentation`.
    weight : float
        lambda: 20 on MNIST, or 10 for sigma 0.25 and 5 for larger ones (the authors' commands in two repositories); Xia et al.
        2024, §5.1, take 10.
    entropy : float
        eta.
    copies : int
        m, at least 2.
    """
    logits = logits_of(model, noise.copies(x, copies), copies)
    each = functional.cross_entropy(logits.flatten(0, 1), y.repeat_interleave(copies))
    log_mean = log_average(logits)
    mean = log_mean.exp()
    negative_entropy = (mean * log_mean).sum(1)
    cross = -(mean[:, None] * torch.log_softmax(logits, dim=2)).sum(2).mean(1)
    return each + (weight * (cross + negative_entropy) - entropy * negative_entropy).mean()
