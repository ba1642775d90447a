"""A noise level for each image, by gradient ascent on an estimate of its radius (Alfarra et al. 2022, Algorithm 1)."""

from __future__ import annotations

from typing import Any

import torch

from ... import checks
from ...inference import evaluating, taken
from .certificate import Certificate


def optimize_isotropic_dds(
    model: torch.nn.Module,
    batch: torch.Tensor,
    certificate: Certificate,
    learning_rate: float,
    sig_0: torch.Tensor,
    iterations: int,
    samples: int,
    device: Any = None,
) -> torch.Tensor:
    """Find the levels of one batch of images.

    Parameters
    ----------
    model : torch.nn.Module
        Maps [N, C, H, W] to scores [N, K], which the estimate takes for probabilities; run in eval mode, without gradients of its
        parameters.
    batch : tensor [B, C, H, W]
    certificate : Certificate
    learning_rate : float
    sig_0 : tensor [B]
        Levels to begin with; it is not changed.
    iterations, samples : int
        Steps, and noisy copies of each image in a step.
    device : str, optional
        Where it runs; default: where `batch` is.

    Returns
    -------
    tensor [B], detached.
    """
    iterations, samples = checks.whole("iterations", iterations, 0), checks.whole("samples", samples, 1)
    batch = batch if device is None else batch.to(device)
    sigma = sig_0.detach().to(batch.device, torch.float32).clone().reshape(-1)
    copies = batch.repeat_interleave(samples, dim=0)
    wanted = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in wanted:
        parameter.requires_grad_(False)
    try:
        with evaluating(list(model.modules())), torch.enable_grad():
            for _ in range(iterations):
                sigma.requires_grad_(True)
                levels = sigma.repeat_interleave(samples).reshape(-1, *(1,) * (batch.ndim - 1))
                scores = taken(model(copies + certificate.sample_noise(copies, levels)))
                leading = scores.reshape(len(batch), samples, -1).mean(dim=1).topk(2).values
                radius = certificate.compute_radius_estimate(leading, sigma)
                (gradient,) = torch.autograd.grad(radius.sum(), sigma)
                sigma = (sigma + learning_rate * gradient).detach()
    finally:
        for parameter in wanted:
            parameter.requires_grad_(True)
    return sigma.detach()
