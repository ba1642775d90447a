"""What the shims stand for: the published loops, rewritten from their description, and the toolbox's class as it is on PyPI.

`Loop` is locuslab/smoothing: per batch repeat, randn_like * sigma, forward pass, argmax, a Python loop over the answers; bound by the
beta quantile, radius by the normal quantile.  `Dual` is the authors' dual smoothing of small images: mask, noise on the frame, max
pooling and nearest upsampling under the mask, each half by itself; each half's radius clipped at 0.  `Gap` is ddsmoothing: noise by
the certificate, counts by torch.unique.  `toolbox()` is ART's class; it takes its bound from statsmodels, which it does not require:
the same beta quantile comes from SciPy here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.stats
import torch
from torch.nn.functional import interpolate, max_pool2d

from rsfast.transforms import DiagonalSplit


def lower_bound(votes: int, n: int, alpha: float) -> float:
    return float(scipy.stats.beta.ppf(alpha, votes, n - votes + 1)) if votes else 0.0


class Loop:
    def __init__(self, model: torch.nn.Module, classes: int, sigma: float) -> None:
        self.model, self.classes, self.sigma = model, classes, sigma

    def certify(self, x: torch.Tensor, n0: int, n: int, alpha: float, batch: int) -> tuple[int, float]:
        self.model.eval()
        top = int(self.sample(x, n0, batch).argmax())
        bound = lower_bound(int(self.sample(x, n, batch)[top]), n, alpha)
        return (-1, 0.0) if bound < 0.5 else (top, self.sigma * float(scipy.stats.norm.ppf(bound)))

    def sample(self, x: torch.Tensor, n: int, batch: int) -> np.ndarray:
        counts = np.zeros(self.classes, dtype=int)
        with torch.no_grad():
            while n > 0:
                this = min(batch, n)
                n -= this
                copies = x.repeat((this, 1, 1, 1))
                answers = self.model(copies + torch.randn_like(copies) * self.sigma).argmax(1)
                for answer in answers.numpy():
                    counts[answer] += 1
        return counts


class Gap(Loop):
    def certify(self, x: torch.Tensor, n0: int, n: int, alpha: float, batch: int) -> tuple[int, float]:
        cls, radius = super().certify(x, n0, n, alpha, batch)
        return cls, radius / self.sigma

    def sample(self, x: torch.Tensor, n: int, batch: int) -> np.ndarray:
        counts = torch.zeros(self.classes, dtype=torch.float64)
        with torch.no_grad():
            while n > 0:
                this = min(batch, n)
                n -= this
                copies = x.repeat((this, 1, 1, 1))
                answers = self.model(copies + torch.randn_like(copies) * self.sigma).argmax(1)
                classes, votes = answers.unique(sorted=False, return_counts=True)
                counts[classes] += votes
        return counts.numpy()


def clipped_radius(votes: tuple[int, int], n: int, alpha: float, sigma: float) -> float:
    """The released rule: each half bounded at alpha, its quantile clipped at 0, the sum over sqrt 2."""
    radii = [max(0.0, sigma * float(scipy.stats.norm.ppf(lower_bound(k, n, alpha)))) for k in votes]
    return sum(radii) / 2**0.5


class Dual:
    def __init__(self, left: torch.nn.Module, right: torch.nn.Module, classes: int, sigma: float) -> None:
        self.models, self.classes, self.sigma = (left, right), classes, sigma

    def certify(self, x: torch.Tensor, n0: int, n: int, alpha: float, batch: int) -> tuple[int, float]:
        for model in self.models:
            model.eval()
        left, right = self.sample(x, n0, batch)
        top = int((left + right).argmax())
        left, right = self.sample(x, n, batch)
        radius = clipped_radius((int(left[top]), int(right[top])), n, alpha, self.sigma)
        return (-1, radius) if radius < 1e-5 else (top, radius)

    def sample(self, x: torch.Tensor, n: int, batch: int) -> list[np.ndarray]:
        counts = [np.zeros(self.classes, dtype=int) for _ in self.models]
        height, width = x.shape[1:]
        with torch.no_grad():
            while n > 0:
                this = min(batch, n)
                n -= this
                for part, model in enumerate(self.models):
                    mask = torch.zeros(height * width)
                    mask[torch.from_numpy(DiagonalSplit(layout="released").kept(part, height, width))] = 1
                    mask = mask.reshape(1, 1, height, width)
                    copies = (x * mask).repeat((this, 1, 1, 1))
                    noisy = copies + torch.randn_like(copies) * self.sigma * mask
                    pooled = interpolate(max_pool2d(noisy, 2), size=(height, width), mode="nearest")
                    for answer in model(noisy + pooled * mask).argmax(1).numpy():
                        counts[part][answer] += 1
        return counts


def toolbox(ours: bool) -> Any:
    """The toolbox's PyTorchRandomizedSmoothing or ours."""
    from art.estimators.certification.randomized_smoothing import PyTorchRandomizedSmoothing

    if ours:
        from rsfast.compat import art

        return art.PyTorchRandomizedSmoothing

    class Toolbox(PyTorchRandomizedSmoothing):
        def _lower_confidence_bound(self, n_class_samples: float, n_total_samples: int) -> float:
            return lower_bound(int(n_class_samples), n_total_samples, self.alpha)

    return Toolbox
