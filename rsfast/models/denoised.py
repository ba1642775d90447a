"""A denoiser in front of a classifier: diffusion denoised smoothing (Carlini et al. 2023) as one base classifier."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from .. import checks
from ..errors import InvalidArgumentError

PREDICTS = ("noise", "image")


class Denoised(nn.Module):
    """This is classifier(denoiser(x)) for noisy x in the scale of [0, 1], with one step of a diffusion model as the denoiser.

    A diffusion model is trained on x_t = sqrt(a_t) z + sqrt(1 - a_t) noise with images z in [-1, 1].  An image with Gaussian
    noise of level sigma is such an x_t up to scale, at the step t whose sqrt((1 - a_t) / a_t) is 2 sigma.  No noise is added
    here: that of `certify` is what the denoiser removes, and `certify` must be given the same sigma.

    Parameters
    ----------
    denoiser : callable
        (x_t [N, C, H, W], t int64 [N]) → what `predicts` says, [N, C, H, W]; more channels (learned variances) are cut off.
    classifier : callable
        Images [N, C, H, W] in [0, 1] → logits [N, K]; it resizes and normalises by itself.
    sigma : float
        Standard deviation of the noise on images in [0, 1].
    alphas_cumprod : sequence of float
        The schedule: a_0, a_1, …, falling, each in (0, 1).
    predicts : str
        "noise", as most diffusion models do, or "image" (z itself).

    Attributes
    ----------
    t : int
        The first step with at least as much noise as `sigma` (the published loop's, which skips step 0).

    Raises
    ------
    InvalidArgumentError
        A schedule that is none, or whose last step has less noise than sigma.

    Notes
    -----
    Whatever this computes, certificates of the smoothed classifier hold; the choice of t only decides how good they are.
    """

    def __init__(
        self,
        denoiser: Callable[[torch.Tensor, torch.Tensor], Any],
        classifier: Callable[[torch.Tensor], torch.Tensor],
        *,
        sigma: float,
        alphas_cumprod: Sequence[float] | torch.Tensor,
        predicts: str = "noise",
    ) -> None:
        super().__init__()
        self.predicts = checks.choice("predicts", predicts, PREDICTS)
        level = float(checks.floats("sigma", sigma, 1e-12, 1e12, "one positive number"))
        given = alphas_cumprod.detach().cpu().tolist() if isinstance(alphas_cumprod, torch.Tensor) else alphas_cumprod
        schedule = checks.numbers("alphas_cumprod", given)
        if len(schedule) < 2 or not all(0.0 < a < 1.0 for a in schedule) or list(schedule) != sorted(schedule, reverse=True):
            raise InvalidArgumentError(
                "alphas_cumprod is no schedule of noise: give numbers in (0, 1) that fall from step to step."
            )
        noise = [math.sqrt((1.0 - a) / a) for a in schedule]
        steps = [t for t in range(1, len(schedule)) if noise[t] >= 2.0 * level]
        if not steps:
            raise InvalidArgumentError(
                f"sigma={level:g} is more noise than the schedule's last step has ({noise[-1] / 2.0:.3g} on images in [0, 1]): "
                "give a smaller sigma or another diffusion model."
            )
        self.t = steps[0]
        self.scale, self.spread = math.sqrt(schedule[self.t]), math.sqrt(1.0 - schedule[self.t])
        self.denoiser, self.classifier = denoiser, classifier

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        noisy = self.scale * (2.0 * x - 1.0)
        found = self.denoiser(noisy, torch.full((len(x),), self.t, dtype=torch.int64, device=x.device))
        found = getattr(found, "sample", found)[:, : x.shape[1]]  # .sample: of the library diffusers
        image = found if self.predicts == "image" else (noisy - self.spread * found) / self.scale
        return self.classifier((image.clamp(-1.0, 1.0) + 1.0) / 2.0)
