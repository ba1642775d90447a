"""`Smooth` of github.com/xiasong0501/DRS (Xia et al. 2024, dual randomized smoothing), with radii that hold.

The authors' code clips each half's quantile at 0 and combines what is left; with a half below one half that claims too much
(docs/errata.md).  Here the radius is the exact one of both halves together, and both bounds hold jointly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from .. import certificates, checks, confidence
from ..errors import InvalidArgumentError
from ..noise import Gaussian
from ..request import JOINTS
from ..transforms import DiagonalSplit, Transform
from ..transforms import check as check_transform
from .draws import Draws, How, image_of, level, to_eval
from .forks import forked, forked_class

Classifier = Callable[[torch.Tensor], torch.Tensor]

RELEASED = DiagonalSplit(layout="released")


@forked_class
class Smooth(Draws):
    """This has two base classifiers, each shown noisy copies of its half of the pixels; the largest sum of probabilities wins.

    Parameters
    ----------
    base_classifier_l, base_classifier_r : torch.nn.Module or callable
        Map [N, C, H, W] to scores [N, num_classes]; the left one is shown part 0.
    num_classes : int
    sigma : float
        Standard deviation of the noise on both halves.
    transform : Transform
        Two parts; default the masks and the resizing of the released code (at most 64 rows: pooled; more: bilinear).
    joint : str
        How both bounds hold together: "bonferroni", each at alpha / 2, or "product" (`certificates.dual_certify_product`).
    seed : int, optional
        Of the noise; the default draws a fresh one, kept in `seed`.
    options : mapping, optional
        How the classifiers are run (`Draws.options`); nothing given runs them as they are.

    Notes
    -----
    Subclasses may override `_sample_noise`, which returns both halves' votes, and, for "bonferroni", `_lower_confidence_bound`.
    """

    ABSTAIN = -1
    transform: Transform = RELEASED
    joint = "bonferroni"

    def __init__(
        self,
        base_classifier_l: Classifier,
        base_classifier_r: Classifier,
        num_classes: int,
        sigma: float,
        *,
        transform: Transform = RELEASED,
        joint: str = "bonferroni",
        seed: int | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        if check_transform(transform).parts != 2:
            raise InvalidArgumentError(
                f"the transform shows {transform.parts} part(s): give one of two, DiagonalSplit() for instance."
            )
        self.base_classifier_l = base_classifier_l
        self.base_classifier_r = base_classifier_r
        self.num_classes = num_classes
        self.sigma = sigma
        self.transform = transform
        self.joint = checks.choice("joint", joint, JOINTS)
        self.seed = seed
        self.options = dict(options or {})

    @forked
    def certify(self, x: Any, n0: int, n: int, alpha: float, batch_size: int | None = None) -> tuple[int, float]:
        """Return class and l2 radius around one image [C, H, W], right with probability at least 1 - alpha.

        Parameters
        ----------
        x : tensor or array
            The image, of even height and width for a diagonal split.
        n0, n : int
            Draws of each half that choose the class, and other draws of each half that bound its probabilities.
        alpha : float
            Failure probability, strictly between 0 and 1.
        batch_size : int, optional
            Noisy copies per forward pass of a half.

        Returns
        -------
        (int, float)
            Class and radius; (ABSTAIN, 0.0) where the lower bounds of both halves do not add up to more than 1.

        Raises
        ------
        InvalidArgumentError, ModelError
            As `rsfast.certify`.
        """
        alpha = level(alpha)
        n0, n = checks.whole("n0", n0, 1, 2**32 - 1), checks.whole("n", n, 1, 2**32 - 1)
        for model in (self.base_classifier_l, self.base_classifier_r):
            to_eval(model)
        left, right = self._sample_noise(x, n0, batch_size)
        top = int((np.asarray(left) + np.asarray(right)).argmax())
        left, right = self._sample_noise(x, n, batch_size)
        radius = self.around(x, self._radius(int(left[top]), int(right[top]), n, alpha), transform=self.transform)
        return (top, radius) if radius > 0.0 else (self.ABSTAIN, 0.0)

    @forked
    def predict(self, x: Any, n: int, alpha: float, batch_size: int | None = None) -> int:
        """Return the class with the largest sum of both halves' probabilities, wrong with probability at most alpha, or ABSTAIN.

        A tenth of the n draws of each half choose the class, the others show that its sum exceeds 1.  (The released code's
        `predict` does not run: it names a classifier that the object does not have.)
        """
        n = checks.whole("n", n, 2, 2**32 - 1)
        first = max(1, n // 10)
        return self.certify(x, first, n - first, alpha, batch_size)[0]

    def _radius(self, votes_l: int, votes_r: int, n: int, alpha: float) -> float:
        sigma = float(self.sigma)
        if self.joint == "product":
            return float(certificates.dual_certify_product(votes_l, votes_r, n, alpha, sigma=sigma))
        p_l, p_r = (self._lower_confidence_bound(votes, n, alpha / 2.0) for votes in (votes_l, votes_r))
        return float(certificates.dual_l2(p_l, p_r, sigma_left=sigma))

    def _sample_noise(self, x: Any, num: int, batch_size: int | None) -> tuple[np.ndarray, np.ndarray]:
        """Votes of both halves over `num` fresh noisy copies of each: int64 [num_classes] twice."""
        models = [self.base_classifier_l, self.base_classifier_r]
        votes = self.votes(
            models, image_of(x), How(Gaussian(float(self.sigma)), self.num_classes, self.transform), num, batch_size
        )
        return votes[0], votes[1]

    def _count_arr(self, arr: np.ndarray, length: int) -> np.ndarray:
        """How often each class 0 … length - 1 occurs in `arr`: for a subclass's own `_sample_noise`."""
        return np.bincount(np.asarray(arr, dtype=np.int64), minlength=length)

    def _lower_confidence_bound(self, NA: int, N: int, alpha: float) -> float:  # noqa: N803
        """Exact lower bound, at level 1 - alpha, of a probability seen NA times in N (Clopper-Pearson; rounded down)."""
        return float(confidence.clopper_pearson_lower(NA, N, alpha))
