"""A smoothed classifier as a differentiable model: what attacks take for their model."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from .. import checks
from ..counting.images import check_seed
from ..errors import InvalidArgumentError
from ..hints import explained_class
from ..inference import evaluating
from ..keyed_noise import KeyedNoise
from ..noise import Noise
from ..noise import check as check_noise
from ..request import WHOLE
from ..transforms import Transform

Model = Callable[[torch.Tensor], torch.Tensor]
ROWS = 4096
"""Noisy copies in one forward and backward pass."""


@dataclasses.dataclass(frozen=True)
class Slope:
    """What one look at images tells an attack.

    margin : float [B], the largest other class's averaged probability minus that of y.  gradient : its gradient, [B, C, H, W].
    wrong : bool [B], whether most copies vote for another class than y.
    """

    margin: torch.Tensor
    gradient: torch.Tensor
    wrong: torch.Tensor


@explained_class
class Smoothed(nn.Module):
    """This is the soft smoothed classifier: images to logarithms of class probabilities, averaged over noisy copies.

    Its gradient is the expectation over noise (Athalye, Carlini & Wagner 2018; Salman et al. 2019, §2.2), so that ART, foolbox
    and others can attack a smoothed classifier by taking this for their model.  Each call draws fresh noise from a stream of its
    own, never that of a certificate.

    Parameters
    ----------
    model : callable, or a sequence of callables
        Images [N, C, H, W] → logits [N, K], differentiable; with a transform of k parts, k models or one for all.
    noise : Noise
        What the classifier is smoothed by.
    transform : Transform
        What the model is shown.
    mean, std : sequence of float, optional
        Per channel; the model sees (x + noise - mean) / std.
    copies : int
        Noisy copies of each image and part in a call: at least 100 for attacks that are to mean something.
    seed : int, optional
        0 … 2^64 - 1; with the number of calls before it determines the noise of a call.  None draws a fresh one.

    Raises
    ------
    InvalidArgumentError
        Arguments out of range, or a transform that pools pixels and has no gradient of its own.
    """

    def __init__(
        self, model: Model | Sequence[Model], noise: Noise, *, transform: Transform = WHOLE, mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None, copies: int = 100, seed: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        parts = transform.parts
        self.noise, self.transform = check_noise(noise, parts), transform
        several: list[Any] = list(model) if isinstance(model, (list, tuple, nn.ModuleList)) else [model] * parts
        if len(several) != parts:
            raise InvalidArgumentError(f"{len(several)} models for {parts} parts: give one for all parts, or one for each.")
        self.models: list[Model] = several
        self.held = nn.ModuleList([one for one in dict.fromkeys(several) if isinstance(one, nn.Module)])
        self.mean, self.std = mean, std
        self.copies, self.seed = checks.whole("copies", copies, 1, 2**16), check_seed(seed)
        self.drawn = KeyedNoise(self.noise, self.seed, transform, stream="attack")
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logarithms of averaged class probabilities, [B, K]."""
        draws = self._next(range(len(x)))
        return self._logits(x, draws, 0, self.copies).log_softmax(3).logsumexp((1, 2)) - math.log(
            self.copies * self.transform.parts
        )

    def slope(self, x: torch.Tensor, y: torch.Tensor, ids: Sequence[int] | None = None) -> Slope:
        """Return margins of images [B, C, H, W] against labels y [B], with gradients, averaged over fresh noise.

        The model is in eval mode, and its parameters get no gradients.  Memory is that of ROWS copies and parts at a time.
        """
        draws = self._next(range(len(x)) if ids is None else ids)
        held = [p for module in self.held for p in module.parameters() if p.requires_grad]
        for parameter in held:
            parameter.requires_grad_(False)
        try:
            with evaluating([module for one in self.held for module in one.modules()]):
                step = max(1, ROWS // (self.copies * self.transform.parts))
                found = [
                    self._slope(x[i : i + step], y[i : i + step], self._rows(draws, i, i + step)) for i in range(0, len(x), step)
                ]
        finally:
            for parameter in held:
                parameter.requires_grad_(True)
        return Slope(*(torch.cat([getattr(one, field.name) for one in found]) for field in dataclasses.fields(Slope)))

    def _slope(self, x: torch.Tensor, y: torch.Tensor, draws: KeyedNoise) -> Slope:
        at_once = max(1, ROWS // (len(x) * self.transform.parts))
        rival = None
        if at_once < self.copies:  # the rival is known after all copies only
            with torch.no_grad():
                mean, votes = self._averaged(x, draws, 0, self.copies, at_once)
            rival = _rival(mean, y)
        total, gradient = torch.zeros(len(x), device=x.device), torch.zeros_like(x)
        with torch.enable_grad():
            for first in range(0, self.copies, at_once):
                count = min(at_once, self.copies - first)
                given = x.detach().requires_grad_(True)
                logits = self._logits(given, draws, first, count)
                mean_here = logits.softmax(3).sum((1, 2)) / (self.copies * self.transform.parts)
                if rival is None:
                    votes, rival = _votes(logits.detach()), _rival(mean_here.detach(), y)
                margin = mean_here.gather(1, rival[:, None])[:, 0] - mean_here.gather(1, y[:, None])[:, 0]
                (slope,) = torch.autograd.grad(margin.sum(), given)
                total, gradient = total + margin.detach(), gradient + slope
        return Slope(total, gradient, votes.argmax(1) != y)

    def _averaged(
        self, x: torch.Tensor, draws: KeyedNoise, first: int, last: int, step: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        sums: list[torch.Tensor] = []
        votes: list[torch.Tensor] = []
        for at in range(first, last, step):
            logits = self._logits(x, draws, at, min(step, last - at))
            sums.append(logits.softmax(3).sum((1, 2)))
            votes.append(_votes(logits))
        return torch.stack(sums).sum(0), torch.stack(votes).sum(0)

    def _logits(self, x: torch.Tensor, draws: KeyedNoise, first: int, count: int) -> torch.Tensor:
        """Logits [B, parts, count, K] of noisy copies."""
        found, x = [], x.to(torch.float32)
        for part, model in enumerate(self.models):
            own = draws.of_part(part)
            shown = own.shown(x).repeat_interleave(count, dim=0) + own.alone(x, count, first)
            if self.mean is not None or self.std is not None:
                channels = x.shape[1]
                mean = torch.tensor(self.mean or [0.0] * channels, dtype=x.dtype, device=x.device).reshape(-1, 1, 1)
                shown = (shown - mean) / torch.tensor(self.std or [1.0] * channels, dtype=x.dtype, device=x.device).reshape(
                    -1, 1, 1
                )
            logits = model(shown)
            found.append(logits.float().reshape(len(x), count, -1))
        return torch.stack(found, dim=1)

    def _next(self, ids: Sequence[int]) -> KeyedNoise:
        draws = self.drawn.at(self.calls % 2**16, ids)
        self.calls += 1
        return draws

    def _rows(self, draws: KeyedNoise, first: int, last: int) -> KeyedNoise:
        assert draws.ids is not None
        return dataclasses.replace(draws, ids=draws.ids[first:last])


def _votes(logits: torch.Tensor) -> torch.Tensor:
    """Votes [B, K] of logits [B, P, m, K]."""
    return functional.one_hot(logits.argmax(3), logits.shape[3]).sum((1, 2))


def _rival(mean: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The likeliest class but y."""
    return mean.scatter(1, y[:, None], -1.0).argmax(1)
