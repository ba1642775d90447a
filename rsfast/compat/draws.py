"""What the shims share: fresh noise for every call, images of any layout, and the seed that repeats it all."""

from __future__ import annotations

import functools
import math
import threading
import weakref
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch

from .. import checks, rounding, walk
from ..counting.classifier import Classifier, for_one_job, root_of
from ..counting.conveyor import Draws as Stream
from ..counting.count import Given, collect, votes_of
from ..counting.images import Image, as_tensor, check_images, check_seed, normalised, rounding_of
from ..counting.images import refuse_far as refuse_far_images
from ..errors import InvalidArgumentError
from ..inference import evaluating
from ..noise import STREAMS, Gaussian, Noise
from ..request import WHOLE, Request
from ..transforms import Transform

LEAST = 2**18
"""Pixels: a forward pass takes at least so many where a batch of small images would hold fewer (1 MiB of float32)."""


class How(NamedTuple):
    """What is drawn around an image, and how many classes vote."""

    noise: Noise
    num_classes: int
    transform: Transform = WHOLE


class Draws:
    """A seed and a running counter of image ids, so that no two calls share noise.

    Attributes
    ----------
    seed : int
        0 … 2^64 - 1, drawn afresh unless it is set.  With `next_id` it determines all noise to come: an object of the same seed
        that is asked the same gives the same votes.  Setting it starts the ids again.
    next_id : int
        Image id of the next call.
    options : dict
        How the classifier is run, as `rsfast.Classifier` takes it: {"dtype": "auto", "fold": True}, for instance.  That is part
        of the classifier that is certified.  Empty: it is run as it is.
    """

    _seed: int | None = None
    next_id = 0
    options: Mapping[str, Any] = {}

    @property
    def seed(self) -> int:
        if self._seed is None:  # also in a subclass whose __init__ does not call this one's
            self._seed = check_seed(None)
        return self._seed

    @seed.setter
    def seed(self, value: int | None) -> None:
        self._seed = None if value is None else check_seed(value)
        self.next_id = 0

    def _take_id(self) -> int:
        """The next image id, which nobody else gets."""
        with _counting:
            image_id, self.next_id = self.next_id, self.next_id + 1
        return image_id

    def votes(self, model: Any, image: torch.Tensor, how: How, num: int, batch_size: int | None) -> np.ndarray:
        """Votes over `num` fresh noisy copies of an image [C, H, W]: int64 [K], or [P, K] for an image in P parts.

        At most `batch_size` copies (or 1 MiB of them) are in memory.  A model without parameters runs where the image is.
        """
        num = checks.whole("the number of draws", num, 1, 2**32 - 1)
        batch = None
        if batch_size is not None:
            batch = max(checks.whole("batch_size", batch_size, 1), LEAST // max(math.prod(image.shape), 1))
            batch = min(batch, num, 2**24)
        classifier, image_id = self._classifier(model, image, how, batch), self._take_id()
        if batch is None and classifier is not model:
            request = Request("count", how.noise, num, transform=how.transform, seed=self.seed)
            return collect(classifier, image[None], request, Given([image_id]), "certify").estimation[0]
        pixels = check_images(image[None], None, "certify")
        sigma = how.noise.levels_of(pixels, how.transform.parts)[0]
        ready = classifier.ready(how.transform, pixels.shape[1:], total=num)
        shown, draws = Image(pixels[0], sigma, image_id), Stream(how.noise, self.seed)
        found = votes_of(ready, shown, draws, [(STREAMS["estimation"], num)])[0]
        return found if how.transform.parts > 1 else found[0]

    def _classifier(self, model: Any, image: torch.Tensor, how: How, batch: int | None) -> Classifier:
        """The Classifier that was given in the model's place, or one that runs a model as `options` say."""
        if isinstance(model, Classifier):
            if self.options or model.num_classes != how.num_classes:
                raise InvalidArgumentError(
                    f"a Classifier of {model.num_classes} classes was given with options={dict(self.options)} and "
                    f"{how.num_classes} classes: it says how it is run; leave options out, and give its number of classes."
                )
            return model
        given = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in self.options.items()}
        options = {"num_classes": how.num_classes, "device": device_of(model, image), "value_range": None, **given}
        return for_one_job(model, **options) if batch is None else _kept(self, model, {"batch": batch, **options})

    def around(self, x: Any, radius: float, order: float = 2.0, transform: Transform = WHOLE) -> float:
        """What is left, around x as it was given, of a radius around the image that noise was added to (`rsfast.rounding`)."""
        return float(rounding.taken_off(np.array([radius]), np.array([self.moved(x, order, transform)]), order)[0])

    def moved(self, x: Any, order: float = 2.0, transform: Transform = WHOLE) -> float:
        """Distance, at most, from x as it was given to what noise is added to."""
        image = image_of(x)[None]
        model = getattr(self, "base_classifier", None)
        mean, std = self.options.get("mean"), self.options.get("std")
        if isinstance(model, Classifier):
            mean, std = model.mean, model.std
        kind = Gaussian(1.0)  # of any noise whose images are not a lattice
        found = rounding_of(image, kind, normalised(kind, transform, mean, std, image.shape[1]))
        return float(rounding.in_norm(found, order, image.numel())[0])

    def refuse_far(self, x: Any, level: float) -> None:
        """Raise InvalidArgumentError where a prediction for x in float32 would be for another image."""
        refuse_far_images(np.full((1, rounding.NORMS), self.moved(x)), np.array([level]))

    def votes_by_hand(
        self,
        model: Any,
        image: torch.Tensor,
        num_classes: int,
        num: int,
        batch_size: int | None,
        draw: Callable[[torch.Tensor, int, int, int], torch.Tensor],
        count: Callable[[torch.Tensor], np.ndarray],
    ) -> np.ndarray:
        """As `votes`, for a subclass that draws or counts by itself: int64 [K].

        `draw(image, image_id, first, copies)` makes a batch [copies, C, H, W]; `count` is shown the class of every copy whose
        scores hold no NaN and returns votes [K].
        """
        num = checks.whole("the number of draws", num, 1, 2**32 - 1)
        batch = min(num, 1000 if batch_size is None else checks.whole("batch_size", batch_size, 1))
        classifier = model
        if not isinstance(model, Classifier):
            classifier = for_one_job(model, num_classes=num_classes, device=device_of(model, image))
        ready = classifier.ready(WHOLE, image.shape, total=num)
        (run, _), running = ready.sequences()[0], ready.running
        image = check_images(image[None], None, "certify")[0].to(ready.device)
        image_id, votes = self._take_id(), np.zeros(num_classes, dtype=np.int64)
        with evaluating(running.modules), torch.no_grad():
            for first in range(0, num, batch):
                noisy = draw(image, image_id, first, min(batch, num - first)).to(running.dtype)
                shown = noisy.clone() if first == 0 else noisy
                scores = ready.logits(run, shown.detach(), [image_id]).clone()
                if first == 0:
                    ready.examine(run, shown.detach(), [image_id], scores, functools.partial(shown.copy_, noisy))
                votes += np.asarray(count(scores.argmax(1)[~scores.isnan().any(1)]), dtype=np.int64)
        return votes


_counting = threading.Lock()
_classifiers: weakref.WeakKeyDictionary[Draws, dict[int, tuple[Any, Classifier]]] = weakref.WeakKeyDictionary()


def _kept(owner: Draws, model: Any, how: dict[str, Any]) -> Classifier:
    """A Classifier of this model, kept for the next calls: for two numbers of copies, those of selection and estimation."""
    key = (model if not isinstance(model, list) else tuple(model), how)
    with _counting:
        kept = _classifiers.setdefault(owner, {})
        found = kept.get(how["batch"])
        if found is None or found[0] != key:
            if len(kept) >= 2:
                kept.clear()
            found = kept[how["batch"]] = (key, Classifier(model, **how))
    return found[1]


def device_of(model: Any, image: torch.Tensor) -> torch.device:
    """Where a model's parameters are; for a model that has none, where the image is."""
    several = list(model) if isinstance(model, (list, tuple)) else [model]
    found = [[root] if (root := root_of(one)) is not None else walk.modules(one) for one in several]
    own = walk.first_parameter([module for modules in found for module in modules])
    return image.device if own is None else own.device


def image_of(x: object) -> torch.Tensor:
    """One image as float tensor [C, H, W]: from [C, H, W], [H, W], [D], or a batch of one."""
    try:
        image = as_tensor(x)
    except (TypeError, ValueError, RuntimeError):
        raise InvalidArgumentError(f"x is {type(x).__name__}: give one image [C, H, W] as a tensor or an array.") from None
    shape = tuple(image.shape)
    if len(shape) == 4 and shape[0] == 1:
        image = image[0]
    elif len(shape) not in (1, 2, 3):
        raise InvalidArgumentError(f"x has shape {shape}: give one image [C, H, W]; for a batch use rsfast.certify.")
    return image.detach().reshape((1,) * (3 - image.ndim) + tuple(image.shape))


def without_class(votes: np.ndarray, num: int) -> int:
    """Draws whose scores were NaN: a class of their own where the leading classes are compared."""
    return max(num - int(np.asarray(votes).sum()), 0)


def level(alpha: Any) -> float:
    """One failure probability."""
    return checks.one_alpha(alpha)


def to_eval(model: object) -> None:
    """`model.eval()`, where there is such a thing."""
    switch = getattr(model, "eval", None)
    if callable(switch):
        switch()
