"""What the shims share: fresh noise for every call, images of any layout, and the seed that repeats it all."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from .. import checks, sampling, walk
from ..errors import InvalidArgumentError
from ..noise import Noise
from ..transforms import Identity, Transform

WHOLE = Identity()


class Draws:
    """A seed and a running counter of image ids, so that no two calls share noise.

    Attributes
    ----------
    seed : int
        0 … 2^64 - 1, drawn afresh unless it is set.  With `next_id` it determines all noise to come: an object of the same seed
        that is asked the same gives the same votes.  Setting it starts the ids again.
    next_id : int
        Image id of the next call.
    """

    _seed: int | None = None
    next_id = 0

    @property
    def seed(self) -> int:
        if self._seed is None:  # also in a subclass whose __init__ does not call this one's
            self._seed = sampling.check_seed(None)
        return self._seed

    @seed.setter
    def seed(self, value: int | None) -> None:
        self._seed = None if value is None else sampling.check_seed(value)
        self.next_id = 0

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

        At most `batch_size` copies are in memory.  A model without parameters runs where the image is.
        """
        num = checks.whole("the number of draws", num, 1, 2**32 - 1)
        batch = None if batch_size is None else min(checks.whole("batch_size", batch_size, 1), num, 2**24)
        counts = sampling.sample_counts(
            model, image[None], noise=noise, num_classes=num_classes, transform=transform, n0=0, n=num, seed=self.seed,
            ids=[self.next_id], batch=batch, device=device_of(model, image), value_range=None,
        )  # fmt: skip
        self.next_id += 1
        return counts.estimation[0]


def device_of(model: Any, image: torch.Tensor) -> torch.device:
    """Where a model's parameters are; for a model that has none, where the image is."""
    several = list(model) if isinstance(model, (list, tuple)) else [model]
    found = [[one] if isinstance(one, torch.nn.Module) else walk.modules(one) for one in several]
    own = walk.first_parameter([module for modules in found for module in modules])
    return image.device if own is None else own.device


def image_of(x: object) -> torch.Tensor:
    """One image as float tensor [C, H, W]: from [C, H, W], [H, W], [D], or a batch of one."""
    try:
        image = x if isinstance(x, torch.Tensor) else torch.as_tensor(np.asarray(x))
    except (TypeError, ValueError, RuntimeError):
        raise InvalidArgumentError(f"x is {type(x).__name__}: give one image [C, H, W] as a tensor or an array.") from None
    shape = tuple(image.shape)
    if len(shape) == 4 and shape[0] == 1:
        image = image[0]
    elif len(shape) not in (1, 2, 3):
        raise InvalidArgumentError(f"x has shape {shape}: give one image [C, H, W]; for a batch use rsfast.certify.")
    return image.detach().reshape((1,) * (3 - image.ndim) + tuple(image.shape))


def level(alpha: Any) -> float:
    """One failure probability."""
    if np.ndim(alpha) != 0:
        raise InvalidArgumentError("alpha is an array: give one failure probability for the call (0.001 is customary).")
    return float(checks.alpha(alpha))


def to_eval(model: object) -> None:
    """`model.eval()`, where there is such a thing."""
    switch = getattr(model, "eval", None)
    if callable(switch):
        switch()
