"""Which noise is drawn and what a probability is worth: l2 with Gaussian noise, l1 with uniform noise."""

from __future__ import annotations

import abc
from typing import Any

import torch

from ... import certificates
from ...errors import InvalidArgumentError
from ...noise import Gaussian, Noise, Uniform


class Certificate(abc.ABC):
    """A certificate offers noise and gap, and, where noise levels are searched for, estimates of gap and radius.

    One with its own `sample_noise` is drawn by that.
    """

    norm = ""

    def noise(self, level: float) -> Noise | None:
        """Return the noise of one level as rsfast draws it, and None where only `sample_noise` knows."""
        return None

    @abc.abstractmethod
    def sample_noise(self, batch: torch.Tensor, repeated_theta: Any) -> torch.Tensor:
        """Draw noise like `batch` [N, C, H, W], of levels `repeated_theta` (one number, or a tensor that broadcasts)."""

    @abc.abstractmethod
    def compute_gap(self, pABar: float) -> float:  # noqa: N803
        """Return the certified radius in units of the noise level, from a lower bound of the class's probability; round down."""

    def compute_proxy_gap(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the gap that mean scores [N, 2] of the two leading classes would give, differentiable: [N]."""
        raise _without_estimate(self, "compute_proxy_gap")

    def compute_radius_estimate(self, logits: torch.Tensor, theta: torch.Tensor) -> torch.Tensor:
        """Return a differentiable estimate of the radius, [N]."""
        raise _without_estimate(self, "compute_radius_estimate")


def _without_estimate(certificate: Certificate, method: str) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"{type(certificate).__name__} has no {method}, which the search of noise levels needs: define it, or give the levels."
    )


class L2Certificate(Certificate):
    """This draws Gaussian noise and certifies in l2 (Cohen, Rosenfeld & Kolter 2019).

    Parameters
    ----------
    batch_size : int
        Taken as the original takes it; any number of scores is accepted.
    device : str, optional
        Where `sample_noise` draws; default: where its batch is.
    """

    norm = "l2"

    def __init__(self, batch_size: int = 1, device: str | torch.device | None = None) -> None:
        self.batch_size = batch_size
        self.device = device

    def noise(self, level: float) -> Noise | None:
        return Gaussian(level)

    def compute_proxy_gap(self, logits: torch.Tensor) -> torch.Tensor:
        scores = logits.clamp(0.001, 0.999)
        return torch.special.ndtri(scores[:, 0]) - torch.special.ndtri(scores[:, 1])

    def sample_noise(self, batch: torch.Tensor, repeated_theta: Any) -> torch.Tensor:
        return torch.randn_like(batch, device=self.device) * repeated_theta

    def compute_gap(self, pABar: float) -> float:  # noqa: N803
        return float(certificates.cohen_l2(pABar, sigma=1.0))

    def compute_radius_estimate(self, logits: torch.Tensor, theta: torch.Tensor) -> torch.Tensor:
        return theta / 2.0 * self.compute_proxy_gap(logits)


class L1Certificate(Certificate):
    """This draws uniform noise on [-theta, theta] and certifies in l1 (Yang et al. 2020).

    Parameters
    ----------
    device : str, optional
        Where `sample_noise` draws; default: where its batch is.
    """

    norm = "l1"

    def __init__(self, device: str | torch.device | None = None) -> None:
        self.device = device

    def noise(self, level: float) -> Noise | None:
        return Uniform(level)

    def compute_proxy_gap(self, logits: torch.Tensor) -> torch.Tensor:
        return logits[:, 0] - logits[:, 1]

    def sample_noise(self, batch: torch.Tensor, repeated_theta: Any) -> torch.Tensor:
        return (2.0 * torch.rand_like(batch, device=self.device) - 1.0) * repeated_theta

    def compute_gap(self, pABar: float) -> float:  # noqa: N803
        return float(certificates.uniform_l1(pABar, half_width=1.0))

    def compute_radius_estimate(self, logits: torch.Tensor, theta: torch.Tensor) -> torch.Tensor:
        return theta * self.compute_proxy_gap(logits)
