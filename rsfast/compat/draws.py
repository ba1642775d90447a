"""What the shims share: fresh noise for every call, images of any layout, and the seed that repeats it all."""

from __future__ import annotations

import contextlib
import functools
import math
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch

from .. import checks, rounding, walk
from ..counting import count as sampling
from ..counting.classifier import Engine
from ..errors import InvalidArgumentError
from ..inference import evaluating
from ..models import fingerprint
from ..noise import STREAMS, Gaussian, Noise, levels
from ..transforms import Identity, Transform

WHOLE = Identity()
LEAST = 2**18
"""Pixels: a forward pass takes at least so many where a batch of small images would hold fewer (1 MiB of float32)."""
LARGE = 2**22
"""Pixels of buffers that may be kept between calls, unless `options` make an engine dear (16 MiB of float32)."""


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
        How the classifier is run, as `Engine` takes it: {"dtype": "auto", "fold": True}, for instance.  That is part of the
        classifier that is certified.  Empty: it is run as it is.
    """

    _seed: int | None = None
    next_id = 0
    options: Mapping[str, Any] = {}

    @property
    def seed(self) -> int:
        if self._seed is None:  # also in a subclass whose __init__ does not call this one's
            self._seed = sampling.check_seed(None)
        return self._seed

    @seed.setter
    def seed(self, value: int | None) -> None:
        self._seed = None if value is None else sampling.check_seed(value)
        self.next_id = 0

    def _take_id(self) -> int:
        """The next image id, which nobody else gets."""
        with _counting:
            image_id, self.next_id = self.next_id, self.next_id + 1
        return image_id

    def votes(
        self,
        model: Any,
        image: torch.Tensor,
        noise: Noise,
        num_classes: int,
        num: int,
        batch_size: int | None,
        transform: Transform = WHOLE,
    ) -> np.ndarray:
        """Votes over `num` fresh noisy copies of an image [C, H, W]: int64 [K], or [P, K] for an image in P parts.

        At most `batch_size` copies (or 1 MiB of them) are in memory.  A model without parameters runs where the image is.
        """
        num = checks.whole("the number of draws", num, 1, 2**32 - 1)
        batch = None
        if batch_size is not None:
            batch = max(checks.whole("batch_size", batch_size, 1), LEAST // max(math.prod(image.shape), 1))
            batch = min(batch, num, 2**24)
        image_id = self._take_id()
        options = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in self.options.items()}
        how = {"num_classes": num_classes, "transform": transform, "device": device_of(model, image), **options}
        if batch is None:
            counts = sampling.sample_counts(
                model, image[None], noise=noise, n0=0, n=num, seed=self.seed, ids=[image_id], value_range=None, **how
            )
            return counts.estimation[0]
        images = sampling.check_images(image[None], None, "certify")
        sigma = levels(noise, images, transform.parts)[0]
        stages = [(STREAMS["estimation"], num)]
        with _engine(self, model, {"batch": batch, **how}, batch * images[0].numel()) as engine:
            engine.check_channels(images.shape[1])
            engine.check_size(*images.shape[2:])
            votes = engine.votes(images[0], noise, sigma=sigma, seed=self.seed, image_id=image_id, stages=stages)[0]
        return votes if transform.parts > 1 else votes[0]

    def around(self, x: Any, radius: float, order: float = 2.0, transform: Transform = WHOLE) -> float:
        """What is left, around x as it was given, of a radius around the image that noise was added to (`rsfast.rounding`)."""
        return float(rounding.taken_off(np.array([radius]), np.array([self.moved(x, order, transform)]), order)[0])

    def moved(self, x: Any, order: float = 2.0, transform: Transform = WHOLE) -> float:
        """Distance, at most, from x as it was given to what noise is added to."""
        image = image_of(x)[None]
        mean, std = self.options.get("mean"), self.options.get("std")
        kind = Gaussian(1.0)  # of any noise whose images are not a lattice
        found = sampling.rounding_of(image, kind, sampling.normalised(kind, transform, mean, std, image.shape[1]))
        return float(rounding.in_norm(found, order, image.numel())[0])

    def refuse_far(self, x: Any, level: float) -> None:
        """Raise InvalidArgumentError where a prediction for x in float32 would be for another image."""
        sampling.refuse_far(np.full((1, rounding.NORMS), self.moved(x)), np.array([level]))

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
        engine = Engine(model, num_classes=num_classes, device=device_of(model, image))
        image = sampling.check_images(image[None], None, "certify")[0].to(engine.device)
        image_id, votes = self._take_id(), np.zeros(num_classes, dtype=np.int64)
        with evaluating(engine.modules), torch.no_grad():
            for first in range(0, num, batch):
                noisy = draw(image, image_id, first, min(batch, num - first)).to(engine.torch_dtype)
                shown = noisy.clone() if first == 0 else noisy
                scores = engine.logits(engine.models[0], shown.detach(), [image_id]).clone()
                if first == 0:
                    engine.examine(engine.models[0], shown.detach(), [image_id], scores, functools.partial(shown.copy_, noisy))
                votes += np.asarray(count(scores.argmax(1)[~scores.isnan().any(1)]), dtype=np.int64)
        return votes


_counting = threading.Lock()
_engines: weakref.WeakKeyDictionary[Draws, dict[int, tuple[Any, int, Engine]]] = weakref.WeakKeyDictionary()


@contextlib.contextmanager
def _engine(owner: Draws, model: Any, how: dict[str, Any], pixels: int) -> Iterator[Engine]:
    """An engine for this model, kept as long as the model's tensors are the same.

    Two are kept, for selection and estimation, but only one where their buffers (of so many pixels) are large.  While one is in
    use it is not among those that are kept: a call in another thread makes its own.
    """
    roots = [_root(one) for one in (model if isinstance(model, (list, tuple)) else [model])]
    state = _state(roots, bool(owner.options)) if all(root is not None for root in roots) else None
    if state is None:
        yield Engine(model, **how)
        return
    key = (model if not isinstance(model, list) else tuple(model), how, state)
    kept = _engines.setdefault(owner, {})
    found = kept.pop(how["batch"], None)
    if found is None or found[0] != key:
        _make_room(owner, kept, pixels)
        found = (key, pixels, Engine(model, **how))
    yield found[2]
    _make_room(owner, kept, pixels)
    kept[how["batch"]] = found


def _make_room(owner: Draws, kept: dict[int, tuple[Any, int, Engine]], pixels: int) -> None:
    """Forget the others where an engine with buffers of so many pixels does not go with them."""
    others = list(kept.values())
    if len(others) >= 2 or (not owner.options and pixels + sum(size for _, size, _ in others) > LARGE):
        kept.clear()


def _root(model: Any) -> torch.nn.Module | None:
    """The module that a classifier's answers depend on, if it is known to be one."""
    root = model if isinstance(model, torch.nn.Module) else getattr(model, "rsfast_module", None)
    return root if isinstance(root, torch.nn.Module) else None


def _state(roots: list[Any], copied: bool) -> list[Any] | None:
    """Something that changes when an engine for these modules must be made anew; None where torch does not tell.

    Where an engine runs a copy of the modules it is their fingerprint, since every change counts that the copy would not show:
    of values, also through `.data`, and of attributes.  An engine that runs the modules themselves shows them by itself.
    """
    found = [tensor for root in roots for tensor in (*root.parameters(), *root.buffers())]
    if copied or any(tensor.dtype == torch.float64 for tensor in found):
        return [fingerprint(root) for root in roots]
    try:
        return [(id(one), one.data_ptr(), one._version, one.device, one.dtype) for one in found]
    except RuntimeError:  # inference tensors have no version
        return None


def device_of(model: Any, image: torch.Tensor) -> torch.device:
    """Where a model's parameters are; for a model that has none, where the image is."""
    several = list(model) if isinstance(model, (list, tuple)) else [model]
    found = [[root] if (root := _root(one)) is not None else walk.modules(one) for one in several]
    own = walk.first_parameter([module for modules in found for module in modules])
    return image.device if own is None else own.device


def image_of(x: object) -> torch.Tensor:
    """One image as float tensor [C, H, W]: from [C, H, W], [H, W], [D], or a batch of one."""
    try:
        image = sampling.as_tensor(x)
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
