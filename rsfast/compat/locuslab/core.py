"""`Smooth`: one image at a time, certified or predicted, with the signatures of locuslab/smoothing's core.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from ... import certificates, checks, confidence
from ...counting.classifier import Classifier
from ...noise import Gaussian
from ...torch import add_noise
from ..draws import Draws, How, image_of, level, to_eval, without_class
from ..forks import forked, forked_class


@forked_class
class Smooth(Draws):
    """A smoothed classifier g gives the class that a base classifier most often gives under Gaussian noise.

    Parameters
    ----------
    base_classifier : torch.nn.Module, callable, or rsfast.Classifier
        Maps [N, C, H, W] to scores [N, num_classes], on any device; noise is added before it, so it has to normalise by itself.
    num_classes : int
    sigma : float
        Standard deviation of the noise, in the units of the image.
    seed : int, optional
        Of the noise; the default draws a fresh one, kept in `seed`.
    options : mapping, optional
        How the classifier is run (`Draws.options`); nothing given runs it as it is.

    Notes
    -----
    Subclasses may override `_sample_noise`, `_count_arr` and `_lower_confidence_bound`; `certify` and `predict` go through them.
    Radii are rounded down, by less than 1e-13 relative; a copy whose scores hold a NaN votes for no class.
    """

    ABSTAIN = -1
    MISCLASSIFIED = -2

    def __init__(
        self,
        base_classifier: Callable[[torch.Tensor], torch.Tensor] | Classifier,
        num_classes: int,
        sigma: float,
        *,
        seed: int | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.seed = seed
        self.options = dict(options or {})
        self.base_classifier = base_classifier
        self.num_classes = num_classes
        self.sigma = sigma

    @forked
    def certify(
        self, x: Any, n0: int, n: int, alpha: float, batch_size: int | None = None, label: int | None = None
    ) -> tuple[int, float]:
        """Return class and l2 radius around one image [C, H, W], right with probability at least 1 - alpha.

        Parameters
        ----------
        x : tensor or array
            The image, in [0, 1] or any other range; [H, W] and a batch of one are taken as well.
        n0, n : int
            Draws that choose the class, and other draws that bound its probability.
        alpha : float
            Failure probability, strictly between 0 and 1.
        batch_size : int, optional
            Noisy copies per forward pass; no more than that many (or 1 MiB of them) are in memory.  Default: by image size.
        label : int, optional
            Of the image, as some forks take it: where the n0 draws choose another class, the n draws are left out.

        Returns
        -------
        (int, float)
            Class and radius; (ABSTAIN, 0.0) if and only if the lower bound of the class's probability is below one half, and
            (MISCLASSIFIED, 0.0) where the class is not `label`.

        Raises
        ------
        InvalidArgumentError
            A bad argument or image; nothing has been drawn.
        ModelError
            The base classifier raised or returned something else than scores.
        """
        alpha = level(alpha)
        n0, n = checks.whole("n0", n0, 1, 2**32 - 1), checks.whole("n", n, 1, 2**32 - 1)
        wanted = None if label is None else checks.whole("label", _number(label), 0)
        to_eval(self.base_classifier)
        counts_selection = self._sample_noise(x, n0, batch_size)
        top = int(np.asarray(counts_selection).argmax())
        if wanted not in (None, top):
            return self.MISCLASSIFIED, 0.0
        counts_estimation = self._sample_noise(x, n, batch_size)
        p_lower = self._lower_confidence_bound(int(counts_estimation[top]), n, alpha)
        if not p_lower >= 0.5:
            return self.ABSTAIN, 0.0
        radius = float(certificates.cohen_l2(p_lower, sigma=float(self.sigma)))
        left = self.around(x, radius)
        return (top, left) if left > 0.0 or left == radius else (self.ABSTAIN, 0.0)

    @forked
    def predict(self, x: Any, n: int, alpha: float, batch_size: int | None = None) -> int:
        """Return g's answer for one image, wrong with probability at most alpha; ABSTAIN where n draws do not tell.

        Arguments and errors are as in `certify`.  The test between the two leading classes is `confidence.prediction_pvalue`.
        """
        alpha = level(alpha)
        to_eval(self.base_classifier)
        self.refuse_far(x, float(self.sigma))
        counts = np.asarray(self._sample_noise(x, n, batch_size))
        order = counts.argsort()[::-1]
        leader, runner_up = int(counts[order[0]]), max(int(counts[order[1]]) if len(order) > 1 else 0, without_class(counts, n))
        if runner_up > leader or float(confidence.prediction_pvalue(leader, runner_up)) > alpha:
            return self.ABSTAIN
        return int(order[0])

    def _sample_noise(self, x: Any, num: int, batch_size: int | None) -> np.ndarray:
        """Votes over `num` fresh noisy copies of x: int64 [num_classes]."""
        image = image_of(x)
        if type(self)._count_arr is not Smooth._count_arr:
            return self._counted_by_hand(image, num, batch_size)
        return self.votes(self.base_classifier, image, How(Gaussian(float(self.sigma)), self.num_classes), num, batch_size)

    def _counted_by_hand(self, image: torch.Tensor, num: int, batch_size: int | None) -> np.ndarray:
        """As `_sample_noise`, showing every batch's answers to a `_count_arr` of a subclass."""
        noise = Gaussian(float(self.sigma))

        def draw(image: torch.Tensor, image_id: int, first: int, copies: int) -> torch.Tensor:
            noisy: torch.Tensor = add_noise(image[None], noise, seed=self.seed, ids=[image_id], first=first, copies=copies)[0]
            return noisy

        def count(answers: torch.Tensor) -> np.ndarray:
            return self._count_arr(answers.cpu().numpy(), self.num_classes)

        return self.votes_by_hand(self.base_classifier, image, self.num_classes, num, batch_size, draw, count)

    def _count_arr(self, arr: np.ndarray, length: int) -> np.ndarray:
        """How often each class 0 … length - 1 occurs in `arr`."""
        return np.bincount(np.asarray(arr, dtype=np.int64), minlength=length)

    def _lower_confidence_bound(self, NA: int, N: int, alpha: float) -> float:  # noqa: N803
        """Exact lower bound, at level 1 - alpha, of a probability seen NA times in N (Clopper-Pearson; rounded down)."""
        return float(confidence.clopper_pearson_lower(NA, N, alpha))


def _number(value: Any) -> Any:
    """The number in a tensor or array of one."""
    try:
        return value.item()
    except (AttributeError, ValueError, RuntimeError):
        return value
