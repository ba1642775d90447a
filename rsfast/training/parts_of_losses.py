"""What several objectives are made of."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator

import torch

from ..inference import evaluating

Model = Callable[[torch.Tensor], torch.Tensor]


def logits_of(model: Model, copies: torch.Tensor, count: int) -> torch.Tensor:
    """Logits [B, count, K] of copies [B * count, C, H, W], float32 or wider."""
    logits = model(copies)
    logits = logits if logits.dtype == torch.float64 else logits.float()
    return logits.reshape(-1, count, logits.shape[-1])


def log_average(logits: torch.Tensor) -> torch.Tensor:
    """Logarithm of the class probabilities averaged over copies: [B, m, K] to [B, K]."""
    return torch.logsumexp(torch.log_softmax(logits, dim=2), dim=1) - math.log(logits.shape[1])


@contextlib.contextmanager
def frozen(model: Model) -> Iterator[None]:
    """The model in eval mode and without gradients of its parameters, as inner attacks see it."""
    if not isinstance(model, torch.nn.Module):
        yield
        return
    held = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in held:
        parameter.requires_grad_(False)
    try:
        with evaluating(list(model.modules())):
            yield
    finally:
        for parameter in held:
            parameter.requires_grad_(True)


def gradient(loss: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """Gradient of a sum over images, in the shape of x."""
    with torch.enable_grad():
        given = x.detach().requires_grad_(True)
        (found,) = torch.autograd.grad(loss(given), given)
    return found
