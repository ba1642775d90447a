"""What runs: models that were placed or prepared, and how the copies of some images go through them."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import threading
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch

from .. import backends, inference
from ..errors import ModelError, RsfastError, SoundnessWarning, reason
from ..hints import outside
from ..inference import default_batch, evaluating, on
from ..noise import Noise
from ..transforms import Transform

Model = Callable[[torch.Tensor], torch.Tensor]

KEPT = 2**22
"""Pixels of buffers that are kept between calls: 16 MiB of float32."""


@dataclasses.dataclass(eq=False)
class Running:
    """Models that run, what they take, and what is known of them; shared by calls and threads.

    Attributes
    ----------
    models : list of callable
        One for all parts, or one for each.
    modules : list of Module
        What is inside them.
    device, dtype, channels_last
        Of their input.
    batch : int or None
        Rows of their input, where that was given or measured.
    measured : dict
        What "auto" found, and of int8 the cards of the files (`inference.Prepared`).
    how : dict
        What else than dtype, batch and layout makes the classifier that runs; empty for models as they were given.
    precision : str
        What it computes in, where that is not the dtype of its input.
    """

    models: list[Model]
    modules: list[torch.nn.Module]
    device: torch.device
    dtype: torch.dtype
    channels_last: bool
    batch: int | None
    measured: dict[str, Any] = dataclasses.field(default_factory=dict)
    how: dict[str, Any] = dataclasses.field(default_factory=dict)
    turns: contextlib.AbstractContextManager[Any] = dataclasses.field(default_factory=contextlib.nullcontext)
    caveats: list[str] = dataclasses.field(default_factory=list)
    precision: str = ""

    def __post_init__(self) -> None:
        self._mixes: dict[tuple[int, ...], bool] = {}
        self._fitting: dict[tuple[int, ...], int] = {}
        self._examined: set[tuple[int, ...]] = set()
        self._spare: dict[tuple[int, ...], list[torch.Tensor]] = {}
        self._spare_lock = threading.Lock()

    @property
    def identity(self) -> dict[str, Any]:
        """`how`, and on a GPU what else the last bits of its logits depend on now (`inference.arithmetic`)."""
        return self.how | inference.arithmetic(self.device)

    @property
    def dtype_name(self) -> str:
        """What is computed in."""
        return self.precision or str(self.dtype).removeprefix("torch.")

    def batch_for(self, dim: int, total: int | None) -> int:
        """Copies per forward pass for images of `dim` pixels of which `total` copies are drawn, None for any number."""
        return self.batch or default_batch(dim, 2**40 if total is None else total, self.device.type)

    def buffer(self, batch: int, shape: Sequence[int]) -> torch.Tensor:
        """The models' input for one batch of images of `shape` (C, H, W), of nobody else's until it is given back."""
        size = (batch, *shape)
        with self._spare_lock:
            kept = self._spare.get(size)
            if kept:
                return kept.pop()
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        try:
            return torch.empty(size, dtype=self.dtype, device=self.device, memory_format=layout)
        except RuntimeError as error:
            if not inference.is_out_of_memory(error):
                raise
            raise too_large(size, self.dtype_name, error) from error

    def give_back(self, buffer: torch.Tensor) -> None:
        """Keep a buffer for the next call, if it is not large."""
        with self._spare_lock:
            kept = sum(one.numel() for of_size in self._spare.values() for one in of_size)
            if kept + buffer.numel() <= KEPT:
                self._spare.setdefault(tuple(buffer.shape), []).append(buffer)

    def fitting(self, shape: Sequence[int], total: int | None) -> int:
        """`batch_for`, halved until a forward pass fits in the device's memory.

        Only where the batch was not given, and not on a CPU, where the system kills a process that asks for too much.
        """
        usual = self.batch_for(math.prod(shape), total)
        if self.batch is not None or self.device.type == "cpu":
            return usual
        key = (*shape, usual)
        if key not in self._fitting:
            try:
                _, self._fitting[key] = inference.halving(lambda batch: self._attempt(batch, shape), usual)
            except Exception:  # what the model says of real images is told when it is run on them
                self._fitting[key] = usual
        return self._fitting[key]

    def _attempt(self, batch: int, shape: Sequence[int]) -> None:
        with self._spare_lock:
            self._spare.clear()
        x = self.buffer(batch, shape).zero_()
        following = self.buffer(batch, shape)  # of the next batch's noise
        with on(self.device), evaluating(self.modules), torch.inference_mode():
            for model in self.models:
                model(x)
        del following

    def batching(self, shape: Sequence[int], total: int | None, images: int) -> tuple[int, bool, str | None]:
        """Copies per forward pass, whether a batch may hold copies of several images, and what the user should know of that.

        Of every image a model is shown `total` copies, None where that is not known before.  Where it is, the copies of one image
        fill whole batches by themselves, but for batches that were given and for small numbers on a GPU; otherwise several images
        share a batch, if the models keep the bits of their logits then.  The batch does not depend on the number of images.
        """
        dim, remark = math.prod(shape), None
        usual, batch = self.batch_for(dim, total), self.fitting(shape, total)
        if batch < usual:
            said = f"a batch of {usual} copies does not fit in the memory of {self.device}"
            remark = f"{said}: running with {batch}; give batch={batch}."
        elif total is not None and self.device.type == "cuda" and self.batch is None:
            most = self.batch_for(dim, None)
            batch = most if total < 8 * most else batch
        wasted = 1.0 if total is None else (-total % batch) / total
        return batch, images > 1 and wasted > 1 / 16 and self.can_mix(shape, batch), remark

    def can_mix(self, shape: Sequence[int], batch: int) -> bool:
        """Whether logits keep their bits when a row stands elsewhere in a batch, beside others; measured once for a shape."""
        key = (*shape, batch)
        if key not in self._mixes:
            try:
                rows = inference.Rows(shape, None).take(batch, self.dtype, self.device, channels_last=self.channels_last)
                with on(self.device), evaluating(self.modules), torch.inference_mode():
                    self._mixes[key] = all(inference.rows_keep_their_bits(model, rows) for model in self.models)
            except Exception:  # what the model says of real images is told when it is run on them
                self._mixes[key] = False
        return self._mixes[key]

    def examined(self, model: Model, batch: torch.Tensor) -> bool:
        """Whether `Ready.examine` has passed this model for batches of this shape."""
        return (id(model), *batch.shape) in self._examined

    def passed(self, model: Model, batch: torch.Tensor) -> None:
        self._examined.add((id(model), *batch.shape))


@dataclasses.dataclass(frozen=True, eq=False)
class Ready:
    """What one call runs: models, and how many copies go through them at a time.

    Attributes
    ----------
    running : Running
        The models.
    transform, shape : Transform, (C, H, W)
        Of the images.
    num_classes, mean, std, backend
        Of the Classifier.
    batch : int
        Copies per forward pass.
    together : bool
        Whether a batch may hold copies of several images.
    remark : str or None
        What the user should know of the batch.
    """

    running: Running
    transform: Transform
    shape: tuple[int, ...]
    num_classes: int
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    backend: str
    batch: int
    together: bool
    remark: str | None = None

    @property
    def device(self) -> torch.device:
        return self.running.device

    @property
    def dtype(self) -> str:
        return self.running.dtype_name

    def backend_for(self, x: torch.Tensor, noise: Noise) -> backends.Backend:
        return backends.choose(self.backend, x, noise, self.transform)

    def backend_name(self, noise: Noise) -> str:
        """Who draws this noise."""
        return self.backend_for(torch.empty((1, *self.shape), device=self.device), noise).name

    def sequences(self) -> list[tuple[Model, list[int]]]:
        """Each model with the parts it is shown."""
        models, parts = self.running.models, list(range(self.transform.parts))
        if len(models) == 1:
            return [(models[0], parts)]
        return [(model, [part]) for model, part in zip(models, parts, strict=True)]

    def logits(self, model: Model, batch: torch.Tensor, ids: Sequence[int]) -> torch.Tensor:
        """The model's logits [N, K] of a batch with copies of the images `ids`; ModelError if it returns anything else."""
        copies = len(batch)  # the model may change the shape
        try:
            returned = model(batch)
            logits = inference.taken(returned)
        except RsfastError:
            raise
        except Exception as error:
            if inference.is_out_of_memory(error):
                raise too_large(batch.shape, self.dtype, error) from error
            images = list(dict.fromkeys(ids))
            named = ", ".join(map(str, images[:3])) + (f" and {len(images) - 3} more" if len(images) > 3 else "")
            raise ModelError(
                f"the model raised {type(error).__name__} on image id {named}, "
                f"input {list(batch.shape)} {self.dtype}: "
                f"{reason(error)}."
            ) from error
        return inference.checked(logits, returned, copies, batch.device, self.num_classes)

    def examine(
        self,
        model: Model,
        batch: torch.Tensor,
        ids: Sequence[int],
        logits: torch.Tensor,
        refill: Callable[[], torch.Tensor],
    ) -> None:
        """Raise ModelError unless a model classifies every copy of a batch by itself; `inference.examine` explains the arguments.

        A model that draws random numbers gets a SoundnessWarning and a sentence in `caveats`.
        """
        caveat = inference.examine(lambda x: self.logits(model, x, ids), refill, batch, logits, self.dtype)
        self.running.passed(model, batch)
        if caveat is not None and caveat not in self.running.caveats:
            self.running.caveats.append(caveat)
            warnings.warn(caveat, SoundnessWarning, stacklevel=outside())


def too_large(shape: Sequence[int], dtype: str, error: BaseException) -> ModelError:
    return ModelError(
        f"input {list(shape)} {dtype} and the forward pass do not fit in memory ({reason(error)}): give a smaller batch."
    )
