"""The Adversarial Robustness Toolbox's randomized smoothing, drawn and certified by rsfast, one batch of noisy copies at a time.

`PyTorchRandomizedSmoothing`, `NumpyRandomizedSmoothing` and the trainers `PyTorchMACER`, `PyTorchSmoothAdv`, `PyTorchSmoothMix`
are the toolbox's classes with its constructors; `fit`, gradients and everything else are the toolbox's own.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from .. import certificates, checks, confidence, extras
from ..inference import taken
from ..noise import Gaussian
from .draws import Draws, How, without_class

try:
    from art.config import ART_NUMPY_DTYPE
    from art.estimators.certification import randomized_smoothing as toolbox
except ImportError as error:
    raise ImportError(
        f"rsfast.compat.art needs the Adversarial Robustness Toolbox ({error}): {extras.advice('art', error)}."
    ) from None

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Smoothing(Draws):
    """This stands before the toolbox's own class: its counts, bounds and radii are rsfast's.

    The noise is added to x before preprocessing, which belongs to the base classifier.  `seed` (an attribute, fresh unless it is
    set) repeats all draws; see `rsfast.compat.draws.Draws`.
    """

    sample_size: int
    scale: float
    alpha: float
    nb_classes: int

    def certify(self, x: np.ndarray, n: int, batch_size: int = 32) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return class and certified l2 radius of each input.

        Parameters
        ----------
        x : array [B, …]
        n : int
            Draws that bound the probability of a class which `sample_size` other draws chose.
        batch_size : int
            Noisy copies per forward pass; no more than that many (or 1 MiB of them) are in memory.

        Returns
        -------
        (int64 [B], float64 [B])
            -1 and 0.0 where the lower bound of the class's probability, at level 1 - alpha, is below one half.
        """
        labels, radii = np.full(len(x), -1, dtype=np.int64), np.zeros(len(x))
        for i, x_i in enumerate(x):
            top = int(np.argmax(self._prediction_counts(x_i, n=self.sample_size, batch_size=batch_size)))
            votes = self._prediction_counts(x_i, n=n, batch_size=batch_size)
            p_lower = self._lower_confidence_bound(int(votes[top]), n)
            if p_lower >= 0.5:
                radius = float(certificates.cohen_l2(p_lower, sigma=float(self.scale)))
                left = self.around(_image(x_i), radius)
                if left > 0.0 or left == radius:
                    labels[i], radii[i] = top, left
        return labels, radii

    def predict(self, x: np.ndarray, batch_size: int = 128, verbose: bool = False, **kwargs: Any) -> NDArray[np.float64]:
        """Return the smoothed classifier's answers: one-hot rows [B, nb_classes], rows of zeros where it abstains.

        With `is_abstain=False` it always answers.  `verbose` shows the toolbox's progress bar.
        """
        answers = kwargs.get("is_abstain")
        if answers is not None and not isinstance(answers, bool):
            raise ValueError(f"is_abstain={answers!r} is not a bool: give True or False.")
        from tqdm.auto import tqdm

        rows = []
        for x_i in tqdm(x, desc="Randomized smoothing", disable=not verbose):
            self.refuse_far(_image(x_i), float(self.scale))
            votes = self._prediction_counts(x_i, batch_size=batch_size)
            second, first = np.sort([0.0, *votes])[-2:]
            second = max(second, without_class(votes, self.sample_size))
            tells = second <= first and float(confidence.prediction_pvalue(first, second)) <= self.alpha
            row = np.zeros(votes.shape)
            if answers is False or tells:
                row[np.argmax(votes)] = 1
            rows.append(row)
        return np.array(rows)

    def _prediction_counts(self, x: np.ndarray, n: int | None = None, batch_size: int = 128) -> NDArray[np.float64]:
        """Votes over n (default `sample_size`) fresh noisy copies of one input: float64 [nb_classes]."""
        x = np.asarray(x, dtype=ART_NUMPY_DTYPE)
        image = torch.from_numpy(np.ascontiguousarray(x)).reshape(_as_image(x.shape))
        number = checks.whole("n", self.sample_size if n is None else n, 1, 2**32 - 1)
        model = self._base_classifier(x.shape)
        return self.votes(model, image, How(Gaussian(float(self.scale)), self.nb_classes), number, batch_size).astype(np.float64)

    def _base_classifier(self, shape: tuple[int, ...]) -> Any:
        """Noisy images [N, C, H, W] → scores [N, nb_classes]."""
        return _Predicted(self, shape)

    def _lower_confidence_bound(self, n_class_samples: int, n_total_samples: int) -> float:
        """Exact lower bound at level 1 - alpha (Clopper-Pearson; rounded down)."""
        return float(confidence.clopper_pearson_lower(int(n_class_samples), n_total_samples, self.alpha))


class _TorchSmoothing(Smoothing):
    """Stands before the toolbox's torch classes: noise and model meet on the model's device, without a way through NumPy."""

    def _base_classifier(self, shape: tuple[int, ...]) -> Any:
        own = type(self)._predict_classifier is toolbox.PyTorchRandomizedSmoothing._predict_classifier  # type: ignore[attr-defined]
        in_torch = not self.preprocessing_operations or self.all_framework_preprocessing  # type: ignore[attr-defined]
        if not own or not in_torch or self.postprocessing_defences:  # type: ignore[attr-defined]
            return super()._base_classifier(shape)
        self._model.train(mode=False)  # type: ignore[attr-defined]
        made, kept = _Scores(self, shape), _scores.get(self)
        if len(shape) == 3 and not made.prepares and self.nb_classes > 1:
            return made.rsfast_module
        if kept is None or not made.same(kept):
            _scores[self] = kept = made
        return kept


class _Predicted:
    """The toolbox's own prediction of noisy images, through NumPy.

    The classifier is held weakly: it is not part of what the engine looks into (its optimizer, its training data).
    """

    def __init__(self, classifier: Any, shape: tuple[int, ...]) -> None:
        self.classifier: Any = weakref.ref(classifier)
        self.shape = shape

    def __call__(self, noisy: torch.Tensor) -> torch.Tensor:
        copies = noisy.reshape(-1, *self.shape).cpu().numpy()
        scores = self.classifier()._predict_classifier(x=copies, batch_size=len(copies), training_mode=False)
        scores = np.ascontiguousarray(scores)
        kept = scores if np.issubdtype(scores.dtype, np.floating) else scores.astype(np.float64)  # in their own precision
        return torch.from_numpy(kept).to(noisy.device)


class _Scores:
    """A torch classifier's preprocessing and model on noisy images [N, C, H, W]."""

    def __init__(self, classifier: Any, shape: tuple[int, ...]) -> None:
        self.classifier: Any = weakref.ref(classifier)
        self.rsfast_module, self.shape = classifier.model, shape
        self.prepares = any(_changes(step) for step in classifier.preprocessing_operations)

    def same(self, other: _Scores) -> bool:
        return (self.rsfast_module is other.rsfast_module) and (self.shape, self.prepares) == (other.shape, other.prepares)

    def __call__(self, noisy: torch.Tensor) -> torch.Tensor:
        x = noisy.reshape(-1, *self.shape)
        if self.prepares:
            x, _ = self.classifier()._apply_preprocessing(x, y=None, fit=False)
        scores = taken(self.rsfast_module(x))
        return scores[:, None] if scores.ndim == 1 else scores


_scores: weakref.WeakKeyDictionary[Any, _Scores] = weakref.WeakKeyDictionary()  # so that an engine can be kept for them


def _changes(step: Any) -> bool:
    """Whether a preprocessing step does anything: (x - 0) / 1 does not."""
    mean, std = getattr(step, "mean", None), getattr(step, "std", None)
    return mean is None or std is None or bool(np.any(np.asarray(mean) != 0)) or bool(np.any(np.asarray(std) != 1))


def _image(x: Any) -> np.ndarray:
    """One input [C, H, W] with the digits that were given."""
    given = np.asarray(x)
    return given.reshape(_as_image(given.shape))


def _as_image(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (1,) * (3 - len(shape)) + tuple(shape) if len(shape) <= 3 else (1, 1, int(np.prod(shape)))


class PyTorchRandomizedSmoothing(_TorchSmoothing, toolbox.PyTorchRandomizedSmoothing):
    """This is art.estimators.certification.randomized_smoothing.PyTorchRandomizedSmoothing, with rsfast inside."""


class NumpyRandomizedSmoothing(Smoothing, toolbox.NumpyRandomizedSmoothing):
    """This is art.estimators.certification.randomized_smoothing.NumpyRandomizedSmoothing, with rsfast inside."""


class PyTorchMACER(PyTorchRandomizedSmoothing, toolbox.PyTorchMACER):
    """This is the toolbox's MACER trainer (Zhai et al. 2020), certified by rsfast."""

    # the toolbox's own list names a parameter that no object has, so that its get_params fails
    estimator_params: ClassVar[list[str]] = [
        *toolbox.PyTorchRandomizedSmoothing.estimator_params, "beta", "gamma", "lmbda", "gaussian_samples",
    ]  # fmt: skip


class PyTorchSmoothAdv(PyTorchRandomizedSmoothing, toolbox.PyTorchSmoothAdv):
    """This is the toolbox's SmoothAdv trainer (Salman et al. 2019), certified by rsfast."""


class PyTorchSmoothMix(PyTorchRandomizedSmoothing, toolbox.PyTorchSmoothMix):
    """This is the toolbox's SmoothMix trainer (Jeong et al. 2021), certified by rsfast."""


__all__ = [
    "NumpyRandomizedSmoothing",
    "PyTorchMACER",
    "PyTorchRandomizedSmoothing",
    "PyTorchSmoothAdv",
    "PyTorchSmoothMix",
]
