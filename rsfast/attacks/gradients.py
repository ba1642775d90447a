"""Attacks along gradients, through the expectation over noise."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from .. import checks
from ..errors import InvalidArgumentError
from . import steps as moves
from .smoothed import Smoothed
from .steps import Range

NORMS = (1.0, 2.0, math.inf)


@torch.no_grad()
def pgd(
    smoothed: Smoothed, x: torch.Tensor, y: torch.Tensor, *, epsilon: float | torch.Tensor, norm: float = 2, steps: int = 200,
    step: float = 0.05, value_range: Range = None, ids: Sequence[int] | None = None,
) -> torch.Tensor:  # fmt: skip
    """Return attacked images within epsilon of x, by projected gradients through noise (Madry et al. 2018; Salman et al. 2019).

    Parameters
    ----------
    smoothed : Smoothed
        What is attacked; each step averages over fresh noise.
    x, y : tensors float [B, C, H, W] and int64 [B]
        Images, and the labels that are to be lost.
    epsilon : float, or one for each image
        Radius of the ball, in `norm`.
    norm : float
        1, 2 or inf.
    steps, step
        Number of steps, and the length of the first in units of epsilon; it falls to a tenth of it.
    value_range : (low, high), optional
        Where attacked images stay.  Default: anywhere, as certificates hold anywhere.
    ids : sequence of int, optional
        Of the noise, default 0 … B - 1.

    Raises
    ------
    InvalidArgumentError
        A norm for which there is no step.
    """
    norm, steps = check_norm(norm), checks.whole("steps", steps, 1)
    radius = torch.as_tensor(epsilon, dtype=x.dtype, device=x.device).expand(len(x))
    delta = torch.zeros_like(x)
    for i in range(steps):
        gradient = smoothed.slope(x + delta, y, ids).gradient
        length = step * (1 - 0.9 * i / steps)
        delta = delta + moves.per_image(length * radius) * moves.direction(gradient, norm)
        delta = moves.project(moves.inside(x + delta, value_range) - x, norm, radius)
    return x + delta


@torch.no_grad()
def ddn(
    smoothed: Smoothed, x: torch.Tensor, y: torch.Tensor, *, steps: int = 200, first: float = 1.0, gamma: float = 0.05,
    value_range: Range = None, ids: Sequence[int] | None = None,
) -> torch.Tensor:  # fmt: skip
    """Return near images that most copies answer otherwise, in l2, by decoupled direction and norm (Rony et al. 2019).

    Parameters
    ----------
    smoothed, x, y, steps, value_range, ids
        As in `pgd`.
    first : float
        Norm of the first perturbation.
    gamma : float
        By which the norm changes in a step.

    Returns
    -------
    float [B, C, H, W]; x itself where nothing was found.
    """

    def climb(given: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        found = smoothed.slope(given, y, ids)
        return found.gradient, found.wrong

    start = torch.full((len(x),), first, dtype=x.dtype, device=x.device)
    return moves.ddn(climb, x, steps=checks.whole("steps", steps, 1), first=start, gamma=gamma, value_range=value_range)[0]


@torch.no_grad()
def carlini_wagner(
    smoothed: Smoothed, x: torch.Tensor, y: torch.Tensor, *, steps: int = 200, searches: int = 4, learning_rate: float = 0.02,
    first: float = 1.0, value_range: Range = None, ids: Sequence[int] | None = None,
) -> torch.Tensor:  # fmt: skip
    """Return near images that most copies answer otherwise, in l2 (Carlini & Wagner 2017, §V), through the noise.

        minimise ||d||² + c max(mean P_y(x + d) - mean P_other(x + d), 0)  by Adam,  c by a search of its own for each image

    Parameters
    ----------
    smoothed, x, y, steps, value_range, ids
        As in `pgd`; `steps` in each search.
    searches : int
        How often c is bisected, or multiplied by ten where nothing was found.
    learning_rate : float
        Adam's.
    first : float
        The first c.

    Returns
    -------
    float [B, C, H, W]; x itself where nothing was found.
    """
    low, high = torch.zeros(len(x), device=x.device), torch.full((len(x),), math.inf, device=x.device)
    factor = torch.full((len(x),), float(first), device=x.device)
    best, least = x.clone(), torch.full((len(x),), math.inf, device=x.device)
    for _ in range(checks.whole("searches", searches, 1)):
        delta = torch.zeros_like(x)
        adam = torch.optim.Adam([delta], lr=learning_rate)
        found_now = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        for _ in range(checks.whole("steps", steps, 1)):
            look = smoothed.slope(x + delta, y, ids)
            length = moves.lengths(delta, 2.0)
            better = look.wrong & (length < least)
            best, least = torch.where(moves.per_image(better), x + delta, best), torch.where(better, length, least)
            found_now |= look.wrong
            pull = factor * (look.margin <= 0)
            delta.grad = 2 * delta - moves.per_image(pull) * look.gradient
            adam.step()
            delta.copy_(moves.inside(x + delta, value_range) - x)
        high = torch.where(found_now, torch.minimum(high, factor), high)
        low = torch.where(found_now, low, torch.maximum(low, factor))
        factor = torch.where(torch.isfinite(high), (low + high) / 2, factor * 10)
    return best


def check_norm(norm: float) -> float:
    """A norm in which there are attacks."""
    order = checks.order(norm)
    if order not in NORMS:
        raise InvalidArgumentError(f"norm={order:g} is not attacked: give 1, 2 or inf.")
    return order
