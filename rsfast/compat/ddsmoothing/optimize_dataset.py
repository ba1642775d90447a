"""Noise levels for all images of a loader."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from ...errors import DataError
from .certificate import Certificate
from .optimization import optimize_isotropic_dds


class OptimizeSmoothingParameters:
    """This is what the searches share."""

    def log(self, message: str) -> None:
        """This is called with what has been done; override it to show that."""


class OptimizeIsotropicSmoothingParameters(OptimizeSmoothingParameters):
    """This finds one level for each image.

    Parameters
    ----------
    model : torch.nn.Module
    test_loader : iterable of (images, labels, indices)
        As often as it is walked.
    device : str, optional
        Default: where the images are.
    """

    def __init__(
        self, model: torch.nn.Module, test_loader: Iterable[tuple[torch.Tensor, Any, torch.Tensor]], device: Any = None
    ) -> None:
        self.model, self.loader, self.device = model, test_loader, device
        self.num_samples = sum(len(indices) for _, _, indices in test_loader)
        self.log(f"There are in total {self.num_samples} instances in the testloader")

    def run_optimization(
        self,
        certificate: Certificate,
        lr: float,
        sig_0: torch.Tensor,
        iterations: int,
        num_samples: int,
        filename: str | Path,
    ) -> torch.Tensor:
        """Return levels of all images, by index, a tensor like `sig_0`, and save them to `filename` with torch.save."""
        found = sig_0.detach().clone().reshape(-1)
        for images, _, indices in self.loader:
            start = sig_0.reshape(-1)[indices]
            levels = optimize_isotropic_dds(self.model, images, certificate, lr, start, iterations, int(num_samples), self.device)
            found[indices] = levels.to(found)
        try:
            torch.save(found, filename)
        except (OSError, RuntimeError) as error:
            raise DataError(f"{filename} cannot be written: {error}.") from None
        self.log(f"Optimized parameters of {self.num_samples} instances saved to {filename}.")
        return found
