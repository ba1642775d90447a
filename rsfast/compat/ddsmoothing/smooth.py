"""`Smooth` of ddsmoothing: certify returns the gap."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from ... import checks, confidence, rounding
from ...counting.classifier import Classifier
from ..draws import Draws, How, image_of, level, to_eval, without_class
from ..forks import forked, forked_class
from .certificate import Certificate, L1Certificate, L2Certificate

NORMS = {"l1": 1.0, "l2": 2.0, "linf": np.inf}


@forked_class
class Smooth(Draws):
    """This is a smoothed classifier under the noise of a certificate.

    Parameters
    ----------
    base_classifier : torch.nn.Module, callable, or rsfast.Classifier
        Maps [N, C, H, W] to scores [N, num_classes].
    num_classes : int
    sigma : tensor or float
        Level of the noise: one number, or what the certificate's `sample_noise` takes.
    certificate : Certificate
    seed : int, optional
        Of the noise where rsfast draws it; the default draws a fresh one, kept in `seed`.
    options : mapping, optional
        How the classifier is run where rsfast draws (`Draws.options`); nothing given runs it as it is.

    Notes
    -----
    One level with an `L1Certificate` or `L2Certificate` is drawn and counted by rsfast.  Levels that differ between pixels, and
    certificates with a `sample_noise` of their own, are drawn by it, batch by batch.
    """

    ABSTAIN = -1

    def __init__(
        self,
        base_classifier: Callable[[torch.Tensor], torch.Tensor] | Classifier,
        num_classes: int,
        sigma: Any,
        certificate: Certificate,
        *,
        seed: int | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.base_classifier = base_classifier
        self.num_classes = num_classes
        self.sigma = sigma
        self.certificate = certificate
        self.seed = seed
        self.options = dict(options or {})

    @forked
    def certify(
        self, x: Any, n0: int, n: int, alpha: float, batch_size: int | None = None, device: Any = None
    ) -> tuple[int, float]:
        """Return class and gap around one image [C, H, W]; the radius sigma * gap is right with probability at least 1 - alpha.

        Parameters
        ----------
        x : tensor or array
        n0, n : int
            Draws that choose the class, and other draws that bound its probability.
        alpha : float
            Failure probability, strictly between 0 and 1.
        batch_size : int, optional
            Noisy copies per forward pass.
        device : str, optional
            Where the image is taken to; default: where the model is.

        Returns
        -------
        (int, float)
            (ABSTAIN, 0.0) if and only if the lower bound of the class's probability is below one half.
        """
        alpha = level(alpha)
        n0, n = checks.whole("n0", n0, 1, 2**32 - 1), checks.whole("n", n, 1, 2**32 - 1)
        to_eval(self.base_classifier)
        top = int(np.asarray(self._sample_noise(x, n0, batch_size, device=device)).argmax())
        votes = self._sample_noise(x, n, batch_size, device=device)
        p_lower = self._lower_confidence_bound(int(votes[top]), n, alpha)
        if not p_lower >= 0.5:
            return self.ABSTAIN, 0.0
        gap = float(self.certificate.compute_gap(p_lower))
        left = self._around(x, gap)
        return (top, left) if left > 0.0 or left == gap else (self.ABSTAIN, 0.0)

    def _around(self, x: Any, gap: float) -> float:
        """The gap around x as it was given: rounding to float32 moves it, in units of the smallest noise level."""
        moved = self.moved(x, NORMS.get(self.certificate.norm, 1.0))  # no norm of order 1 or more exceeds l1
        return float(rounding.taken_off(np.array([gap]), np.array([moved / self._least_level() * (1.0 + 1e-6)]), 1.0)[0])

    def _least_level(self) -> float:
        return float(torch.as_tensor(self.sigma).min())

    @forked
    def predict(self, x: Any, n: int, alpha: float, batch_size: int | None = None, device: Any = None) -> int:
        """Return the smoothed classifier's answer, wrong with probability at most alpha; ABSTAIN where n draws do not tell."""
        alpha = level(alpha)
        to_eval(self.base_classifier)
        self.refuse_far(x, self._least_level())
        counts = np.asarray(self._sample_noise(x, n, batch_size, device=device))
        second, first = np.sort([0, *counts])[-2:]
        second = max(second, without_class(counts, n))
        if second > first or float(confidence.prediction_pvalue(first, second)) > alpha:
            return self.ABSTAIN
        return int(counts.argmax())

    def _sample_noise(self, x: Any, num: int, batch_size: int | None, device: Any = None) -> np.ndarray:
        """Votes over `num` fresh noisy copies of x: int64 [num_classes]."""
        image = image_of(x)
        image = image if device is None else image.to(device)
        own = type(self.certificate).sample_noise in (L1Certificate.sample_noise, L2Certificate.sample_noise)
        if own and torch.as_tensor(self.sigma).numel() == 1:
            noise = self.certificate.noise(float(self.sigma))
            if noise is not None and type(self)._count_arr is Smooth._count_arr:
                return self.votes(self.base_classifier, image, How(noise, self.num_classes), num, batch_size)
        return self._drawn_by_the_certificate(image, num, batch_size)

    def _drawn_by_the_certificate(self, image: torch.Tensor, num: int, batch_size: int | None) -> np.ndarray:
        def draw(image: torch.Tensor, _: int, first: int, copies: int) -> torch.Tensor:
            repeated = image.expand(copies, *image.shape)
            sigma = self.sigma.to(image.device) if isinstance(self.sigma, torch.Tensor) else self.sigma
            return repeated + self.certificate.sample_noise(repeated, sigma)

        def count(answers: torch.Tensor) -> np.ndarray:
            return self._count_arr(answers, answers.device, self.num_classes).cpu().numpy()

        return self.votes_by_hand(self.base_classifier, image, self.num_classes, num, batch_size, draw, count)

    def _count_arr(self, arr: torch.Tensor, device: Any, length: int) -> torch.Tensor:
        """How often each class 0 … length - 1 occurs in `arr`: int64 [length] on `device`."""
        return torch.bincount(arr.to(device), minlength=length)

    def _lower_confidence_bound(self, NA: int, N: int, alpha: float) -> float:  # noqa: N803
        """Exact lower bound, at level 1 - alpha, of a probability seen NA times in N (Clopper-Pearson; rounded down)."""
        return float(confidence.clopper_pearson_lower(NA, N, alpha))
