"""Steps that every attack is made of: directions, projections, projected gradients, and DDN.

Here an attack knows no model: `ascend` says for images in which direction the loss grows, so that attacks on a single network, on
a smoothed classifier and inside of training are the same code.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

Range = tuple[float, float] | None
Ascend = Callable[[torch.Tensor], torch.Tensor]
"""Images [B, C, H, W] to the gradient of the loss that an attack makes larger, in their shape."""
Climb = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
"""The same, and bool [B]: whether these images are answered wrongly."""


def lengths(delta: torch.Tensor, norm: float) -> torch.Tensor:
    """Return the norm of each image's perturbation, [B]."""
    return torch.linalg.vector_norm(delta.flatten(1), ord=norm, dim=1)


def per_image(value: torch.Tensor) -> torch.Tensor:
    """Return numbers [B] so that they multiply images [B, C, H, W]."""
    return value.reshape(-1, 1, 1, 1)


def direction(gradient: torch.Tensor, norm: float) -> torch.Tensor:
    """Return the step of length one that climbs most: signs for linf, one pixel for l1; zero where the gradient is."""
    if math.isinf(norm):
        return gradient.sign()
    if norm == 1.0:
        flat = gradient.flatten(1)
        top = flat.abs().argmax(1, keepdim=True)
        return torch.zeros_like(flat).scatter(1, top, flat.gather(1, top).sign()).reshape(gradient.shape)
    length = lengths(gradient, 2.0)
    return gradient / per_image(length.clamp(min=torch.finfo(length.dtype).tiny))


def project(delta: torch.Tensor, norm: float, epsilon: torch.Tensor) -> torch.Tensor:
    """Return the nearest perturbations (in l2) in the balls of radius epsilon [B] of norm 1, 2 or inf."""
    if math.isinf(norm):
        return torch.maximum(torch.minimum(delta, per_image(epsilon)), -per_image(epsilon))
    if norm == 2.0:
        return delta * per_image((epsilon / lengths(delta, 2.0).clamp(min=1e-30)).clamp(max=1.0))
    flat = delta.flatten(1).abs()  # l1: soft thresholding at what makes the sum epsilon (Duchi et al. 2008, figure 1)
    falling = flat.sort(dim=1, descending=True).values
    over = (falling.cumsum(1) - epsilon[:, None]) / torch.arange(1, flat.shape[1] + 1, device=flat.device)
    last = (falling > over).sum(1).clamp(min=1) - 1
    threshold = over.gather(1, last[:, None]).clamp(min=0.0)
    return (delta.flatten(1).sign() * (flat - threshold).clamp(min=0.0)).reshape(delta.shape)


def inside(x: torch.Tensor, value_range: Range) -> torch.Tensor:
    """Return images cut to their range, if there is one."""
    return x if value_range is None else x.clamp(*value_range)


def pgd(
    ascend: Ascend, x: torch.Tensor, *, norm: float, epsilon: torch.Tensor, steps: int, step: float, start: torch.Tensor | None,
    value_range: Range,
) -> torch.Tensor:  # fmt: skip
    """Return images after `steps` projected steps in the balls of radius epsilon [B] (Madry et al. 2018, §2.1).

    A step has length `step` * epsilon.  `start` is the perturbation to begin with, default none.
    """
    delta = torch.zeros_like(x) if start is None else start.detach()
    for _ in range(steps):
        delta = delta + per_image(step * epsilon) * direction(ascend(x + delta), norm)
        delta = project(inside(x + delta, value_range) - x, norm, epsilon)
    return x + delta


def ddn(
    climb: Climb, x: torch.Tensor, *, steps: int, first: torch.Tensor, gamma: float, value_range: Range
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return each image's nearest wrongly answered neighbour in l2, and whether one was found (Rony et al. 2019, algorithm 1).

    The norm of the perturbation starts at `first` [B], and is divided or multiplied by 1 ± gamma as the image is answered wrongly
    or not; the length of steps falls from 1 to 0.01 along a cosine.  Where nothing was found the image is x.
    """
    delta, norm = torch.zeros_like(x), first.clone()
    best, least = x.clone(), torch.full((len(x),), math.inf, device=x.device)
    most = torch.full_like(norm, math.inf)
    if value_range is not None:
        most = lengths(torch.maximum(x - value_range[0], value_range[1] - x), 2.0)
    for i in range(1, steps + 1):
        rate = 0.01 + 0.99 / 2 * (1 + math.cos(math.pi * i / steps))
        here = inside(x + delta, value_range)
        gradient, wrong = climb(here)
        length = lengths(here - x, 2.0)
        better = wrong & (length < least)
        best, least = torch.where(per_image(better), here, best), torch.where(better, length, least)
        delta = delta + rate * direction(gradient, 2.0)
        norm = torch.minimum(torch.where(wrong, norm * (1 - gamma), norm * (1 + gamma)), most)
        delta = delta * per_image(norm / lengths(delta, 2.0).clamp(min=1e-30))
        delta = inside(x + delta, value_range) - x
    return best, torch.isfinite(least)
