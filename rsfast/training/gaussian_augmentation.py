"""Gaussian data augmentation (Cohen, Rosenfeld & Kolter 2019, §3.3; Lecuyer et al. 2019)."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ..keyed_noise import shown
from ..transforms import Transform


def train_with_noise(
    model: torch.nn.Module,
    x: torch.Tensor,
    y: torch.Tensor,
    *,
    sigma: float,
    epochs: int,
    batch: int = 128,
    learning_rate: float = 2e-3,
    seed: int = 0,
    transform: Transform | None = None,
    part: int = 0,
    progress: Callable[[int, float], None] | None = None,
) -> None:
    """Train `model` in place on x + N(0, sigma²), or on one part of it, with AdamW and a one-cycle learning rate.

    Parameters
    ----------
    x, y : tensors [B, C, H, W] and [B]
        Images in the units of sigma, and labels.
    seed : int
        Order and noise; two runs on one machine with one seed give the same weights.
    transform, part
        Show the model this part of each noisy image, as it will be shown when it is certified (Xia et al. 2024, §5.1).
    progress : callable, optional
        Called with (epochs done, mean loss of the epoch).
    """
    generator = torch.Generator().manual_seed(seed)
    steps = -(-len(x) // batch)
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=epochs * steps)
    view = None if transform is None else transform.view(part, x.shape[2], x.shape[3])
    model.train()
    for epoch in range(epochs):
        total = 0.0
        for rows in torch.split(torch.randperm(len(x), generator=generator), batch):
            noisy = x[rows] + sigma * torch.randn(x[rows].shape, generator=generator)
            noisy = noisy if view is None else shown(view, noisy)
            loss = torch.nn.functional.cross_entropy(model(noisy), y[rows])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += float(loss.detach()) * len(rows)
        if progress is not None:
            progress(epoch + 1, total / len(x))
    model.eval()
