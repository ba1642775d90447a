"""Adversarial training, of a smoothed classifier (SmoothAdv) and of a plain one (Madry et al., TRADES)."""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from .. import checks
from ..attacks import steps as attack
from ..attacks.steps import Range
from ..errors import InvalidArgumentError
from ..keyed_noise import KeyedNoise
from ..noise import Gaussian, Uniform
from .parts_of_losses import Model, frozen, gradient, log_average, logits_of

UNIT: Range = (0.0, 1.0)
ATTACKS = ("pgd", "ddn")


def smooth_adv(
    model: Model,
    x: torch.Tensor,
    y: torch.Tensor,
    noise: KeyedNoise,
    *,
    epsilon: float = 0.5,
    attack_by: str = "pgd",
    steps: int = 4,
    copies: int = 2,
    gamma: float = 0.05,
    value_range: Range = UNIT,
) -> torch.Tensor:
    """Return the loss of SmoothAdv (Salman et al. 2019, §2.2 and pseudocode 1): noise augmentation around attacked images.

        (1 / m) sum_i CE(F(x' + e_i), y),  x' maximises -log (1 / m) sum_i P_y(x' + e_i) within ||x' - x||_2 <= epsilon

    The same e_i are in attack and loss.

    Parameters
    ----------
    model, x, y, noise
        As in `noise_augmentation`.
    epsilon : float
        Radius of the attack, in l2: the paper takes 64, 127, 255 or 512 / 255, and lets it grow over the first ten epochs.
    attack_by : str
        "pgd" (steps of 2 epsilon / steps) or "ddn" (Rony et al. 2019; its norm begins at epsilon).
    steps : int
        T: 2 to 10 in the paper.
    copies : int
        m: 1 to 8.
    gamma : float
        By which DDN changes its norm.
    value_range : (low, high) or None
        Where attacked images stay.
    """
    checks.choice("attack_by", attack_by, ATTACKS)
    added = noise.alone(x, copies)

    def logits(given: torch.Tensor) -> torch.Tensor:
        return logits_of(model, noise.shown(given).repeat_interleave(copies, dim=0) + added, copies)

    def loss(given: torch.Tensor) -> torch.Tensor:
        return functional.nll_loss(log_average(logits(given)), y, reduction="sum")

    def climb(given: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.enable_grad():
            at = given.detach().requires_grad_(True)
            found = logits(at)
            (slope,) = torch.autograd.grad(functional.nll_loss(log_average(found), y, reduction="sum"), at)
        votes = functional.one_hot(found.detach().argmax(2), found.shape[2]).sum(1)
        return slope, votes.argmax(1) != y

    radius = torch.full((len(x),), epsilon, dtype=x.dtype, device=x.device)
    with frozen(model), torch.no_grad():
        if attack_by == "pgd":
            attacked = attack.pgd(
                lambda given: gradient(loss, given), x, norm=2.0, epsilon=radius, steps=steps, step=2 / steps, start=None,
                value_range=value_range,
            )  # fmt: skip
        else:
            nearest, _ = attack.ddn(climb, x, steps=steps, first=radius, gamma=gamma, value_range=value_range)
            attacked = x + attack.project(nearest - x, 2.0, radius)
    return functional.cross_entropy(logits(attacked).flatten(0, 1), y.repeat_interleave(copies))


def adversarial_training(
    model: Model,
    x: torch.Tensor,
    y: torch.Tensor,
    noise: KeyedNoise,
    *,
    epsilon: float = 8 / 255,
    norm: float = math.inf,
    steps: int = 7,
    step: float = 0.25,
    value_range: Range = UNIT,
) -> torch.Tensor:
    """Return the loss of adversarial training (Madry et al. 2018, eq. 2.1): cross-entropy of attacked images, without noise.

        CE(F(x'), y),  x' by PGD from a random start in the ball of radius epsilon

    Parameters
    ----------
    model, x, y
        As in `noise_augmentation`.
    noise : KeyedNoise
        `KeyedNoise(None, seed).at(epoch, ids)`: the key of the random starts.
    epsilon, norm
        8 / 255 in linf on CIFAR-10, 0.3 on MNIST; norm may be 2, too.
    steps, step
        7 steps of 2 / 255 on CIFAR-10, 40 of 0.01 on MNIST; `step` is in units of epsilon.
    value_range : (low, high) or None
        Where attacked images stay.
    """
    _without_noise(noise, "adversarial training")
    norm = checks.order(norm)

    def loss(given: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(logits_of(model, noise.shown(given), 1)[:, 0], y, reduction="sum")

    radius = torch.full((len(x),), epsilon, dtype=x.dtype, device=x.device)
    with frozen(model), torch.no_grad():
        attacked = attack.pgd(
            lambda given: gradient(loss, given), x, norm=norm, epsilon=radius, steps=steps, step=step,
            start=_random_start(noise, x, norm, epsilon, value_range), value_range=value_range,
        )  # fmt: skip
    return functional.cross_entropy(logits_of(model, noise.shown(attacked), 1)[:, 0], y)


def trades(
    model: Model,
    x: torch.Tensor,
    y: torch.Tensor,
    noise: KeyedNoise,
    *,
    weight: float = 6.0,
    epsilon: float = 0.031,
    steps: int = 10,
    step: float = 0.007 / 0.031,
    value_range: Range = UNIT,
) -> torch.Tensor:
    """Return the loss of TRADES (Zhang et al. 2019, algorithm 1): cross-entropy and divergence to attacked images, no noise.

        CE(F(x), y) + (1 / lambda) KL(P(x) || P(x')),  x' maximises that divergence within ||x' - x||_inf <= epsilon

    The attack begins at x + 0.001 N(0, I).

    Parameters
    ----------
    model, x, y
        As in `noise_augmentation`.
    noise : KeyedNoise
        `KeyedNoise(None, seed).at(epoch, ids)`: the key of the random starts.
    weight : float
        1 / lambda: 6 on CIFAR-10 and 1 on MNIST.
    epsilon, steps, step
        0.031 and 10 steps of 0.007 on CIFAR-10, 0.3 and 40 of 0.01 on MNIST; `step` is in units of epsilon.
    value_range : (low, high) or None
        Where attacked images stay.
    """
    _without_noise(noise, "TRADES")
    with frozen(model), torch.no_grad():
        likely = torch.softmax(logits_of(model, noise.shown(x), 1)[:, 0], dim=1)

        def loss(given: torch.Tensor) -> torch.Tensor:
            there = torch.log_softmax(logits_of(model, noise.shown(given), 1)[:, 0], dim=1)
            return functional.kl_div(there, likely, reduction="sum")

        radius = torch.full((len(x),), epsilon, dtype=x.dtype, device=x.device)
        attacked = attack.pgd(
            lambda given: gradient(loss, given), x, norm=math.inf, epsilon=radius, steps=steps, step=step,
            start=noise.start(x, Gaussian(0.001)), value_range=value_range,
        )  # fmt: skip
    clean = logits_of(model, noise.shown(x), 1)[:, 0]
    there = torch.log_softmax(logits_of(model, noise.shown(attacked), 1)[:, 0], dim=1)
    divergence = functional.kl_div(there, torch.softmax(clean, dim=1), reduction="sum") / len(x)
    return functional.cross_entropy(clean, y) + weight * divergence


def _without_noise(noise: KeyedNoise, name: str) -> None:
    if noise.noise is not None:
        raise InvalidArgumentError(
            f"{name} adds no noise: give KeyedNoise(None, seed).at(epoch, ids); smooth_adv is what attacks through noise."
        )


def _random_start(noise: KeyedNoise, x: torch.Tensor, norm: float, epsilon: float, value_range: Range) -> torch.Tensor:
    """A perturbation drawn uniformly from the ball, cut to the range of images."""
    if math.isinf(norm):
        start = noise.start(x, Uniform(epsilon))
    elif norm == 2.0:
        radius = epsilon * noise.uniform(x, first=1) ** (1 / x[0].numel())
        start = attack.per_image(radius) * attack.direction(noise.start(x, Gaussian(1.0)), 2.0)
    else:
        raise InvalidArgumentError(f"norm={norm:g} is none of adversarial training's: give 2 or inf.")
    return attack.inside(x + start, value_range) - x
