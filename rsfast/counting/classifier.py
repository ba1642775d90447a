"""Runs a base classifier over noisy copies and counts its votes: noise → model → argmax, batch by batch."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from .. import backends, checks, inference, walk
from ..backends import base
from ..errors import InvalidArgumentError, ModelError, RsfastError, SoundnessWarning, reason
from ..inference import DTYPES, RUNTIMES, default_batch, evaluating
from ..noise import Noise
from ..transforms import Identity, Transform
from ..transforms import check as check_transform
from . import conveyor as batches

Model = Callable[[torch.Tensor], torch.Tensor]


class Engine:
    """A base classifier, how its input is prepared, and a buffer for one batch of noisy copies.

    Parameters
    ----------
    model : callable, or a sequence of callables
        Maps [N, C, H, W] to logits [N, K], or to what holds them (`.logits`, "logits", the first entry of a tuple); a copy's
        logits must not depend on the others in its batch (docs/soundness.md, "What a model may do").  Torch modules, also
        those inside a function or object, are in eval mode while it runs and get their mode back.  A module that has to be
        cast or moved is copied first; yours is not changed.  With a transform of k parts, k models or one for all.
    num_classes : int
        K, at least 2.
    batch : int or "auto", optional
        Noisy copies per forward pass; default by image size (`default_batch`), "auto" measures.  Every pass has exactly this
        many; the last one of an image is filled up with zeros that do not count.  Part of the base classifier: another batch
        size may change the last bit of a logit.
    dtype : str, optional
        "float32", "bfloat16" or "float16": of the model's input and weights; default the model's own (float32 for a
        model in float64).  "auto" measures what is fastest here; the choice is part of the classifier that is certified.
    device : str, optional
        Default: where the model is.
    channels_last : bool, optional
        Memory layout of the model's input; default contiguous, measured with dtype="auto".
    fold : bool
        Fold batch norms into the layers before them, if the logits stay the same (`inference.verify`).
    runtime : str
        "torch", "compile", "cudagraph", "openvino" or "onnxruntime" (`inference.prepare`).
    backend : str
        Who draws and counts; "auto" takes the fastest that can.  The choice never changes a bit of the noise.
    mean, std : sequence of float, optional
        Per channel; the model sees (x + noise - mean) / std.  Leave out if the model normalises by itself.
    transform : Transform
        What a model is shown of each noisy image.
    """

    def __init__(
        self,
        model: Model | Sequence[Model],
        *,
        num_classes: int,
        batch: int | str | None = None,
        dtype: str | None = None,
        device: str | torch.device | None = None,
        channels_last: bool | None = None,
        fold: bool = False,
        runtime: str = "torch",
        backend: str = "auto",
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        transform: Transform | None = None,
    ) -> None:
        self.transform = Identity() if transform is None else check_transform(transform)
        models = _models(model, self.transform.parts)
        if dtype is not None:
            checks.choice("dtype", dtype, ("auto", *DTYPES))
        self.runtime, self.fold = checks.choice("runtime", runtime, RUNTIMES), checks.flag("fold", fold)
        if not isinstance(backend, str) or backend != "auto":
            backends.get(backend)
        self.num_classes = _classes(num_classes)
        self._wanted = {"batch": batch, "dtype": dtype, "channels_last": channels_last}
        measured = isinstance(batch, str) and batch == "auto"
        self.batch = None if batch is None or measured else checks.whole("batch", batch, 1, 2**24)
        self.channels_last = channels_last is not None and checks.flag("channels_last", channels_last)
        self._measures = measured or dtype == "auto"
        self.measured: dict[str, Any] = {}  # what "auto" found, once prepared
        self.folded: list[int] = []  # batch norms folded, per model, once prepared
        self.backend_name = backend
        self.mean = None if mean is None else checks.numbers("mean", mean)
        self.std = None if std is None else checks.numbers("std", std)
        found = [walk.modules(one) for one in models]
        self._modules = [module for of_one in found for module in of_one]
        own = walk.first_parameter(self._modules)
        self.device = _device(device, own)
        own_dtype = own.dtype if own is not None and own.dtype in DTYPES.values() else torch.float32
        self.torch_dtype = DTYPES[dtype] if dtype is not None and dtype != "auto" else own_dtype
        self._prepared_for: tuple[int, ...] | None = None
        self._given = models
        self._buffers: dict[int, torch.Tensor] = {}
        self._mixes: dict[tuple[int, ...], bool] = {}
        self._examined: set[tuple[int, ...]] = set()
        self.caveats: list[str] = []  # what was found of the models while they ran, a sentence each
        if self._measures or self.fold or self.runtime != "torch":
            self.models = models  # `prepare` makes what runs
            return
        self.models = []
        for i, one in enumerate(models):
            placed = _placed(one, walk.first_parameter(found[i]), self.device, self.torch_dtype)
            self.models.append(placed)
            found[i] = found[i] if placed is one else walk.modules(placed)
        self._modules = [module for of_one in found for module in of_one]

    def prepare(self, shape: Sequence[int], total: int | None, chosen: dict[str, Any] | None = None) -> None:
        """Make the models that run for images of `shape` (C, H, W) of which a model is shown `total` copies (None: any number).

        `chosen` holds batch, dtype and channels_last that an earlier engine found by measuring: they are taken instead.  Does
        nothing where nothing is to be measured, folded or converted, or for a shape that is prepared already.
        """
        if not (self._measures or self.fold or self.runtime != "torch") or self._prepared_for == tuple(shape):
            return
        wanted: dict[str, Any] = dict(self._wanted)
        if chosen is not None and self._measures:
            wanted |= {name: chosen[name] for name in ("batch", "dtype", "channels_last")}
        options: dict[str, Any] = {"fold": self.fold, "runtime": self.runtime, "device": self.device, "total": total}
        made = []
        for model in self._given:
            prepared = inference.prepare(model, tuple(shape), **wanted, **options)
            wanted = {"batch": prepared.batch, "dtype": prepared.dtype, "channels_last": prepared.channels_last}
            made.append(prepared)
        self.models = [prepared.model for prepared in made]
        self.batch, self.channels_last, self.torch_dtype = made[0].batch, made[0].channels_last, DTYPES[made[0].dtype]
        self.measured = made[0].record["measured"]
        self.folded = [prepared.record["folded"] for prepared in made]
        self._modules = [module for one in self.models for module in walk.modules(one)]
        self._prepared_for = tuple(shape)
        self._examined.clear()

    def fit(self, shape: Sequence[int], total: int | None) -> str | None:
        """Halve a default batch until a forward pass of it fits in the device's memory; a sentence if that was needed.

        Only where the batch was not given, and not on a CPU, where the system kills a process that asks for too much.
        """
        if self.batch is not None or self.device.type == "cpu":
            return None
        usual = self.batch_for(math.prod(shape), total)

        def attempt(batch: int) -> None:
            self._buffers.clear()
            x = self.buffer(batch, shape).zero_()
            self.buffer(batch, shape, slot=1)  # of the next batch's noise
            with evaluating(self._modules), torch.inference_mode():
                for model in self.models:
                    model(x)

        try:
            _, batch = inference.halving(attempt, usual)
        except Exception:  # what the model says of real images is told when it is run on them
            return None
        if batch == usual:
            return None
        self.batch = batch
        return f"a batch of {usual} copies does not fit in the memory of {self.device}: running with {batch}; give batch={batch}."

    @property
    def how(self) -> dict[str, Any]:
        """What else than dtype, batch and layout makes the classifier that runs; empty for a model as it was given."""
        if not self.fold and self.runtime == "torch":
            return {}
        return {"runtime": self.runtime, "folded": self.folded}

    @property
    def dtype(self) -> str:
        return str(self.torch_dtype).removeprefix("torch.")

    def batch_for(self, dim: int, total: int | None) -> int:
        """Copies per forward pass for images of `dim` pixels of which `total` copies are drawn, None for any number."""
        return self.batch or default_batch(dim, 2**40 if total is None else total, self.device.type)

    def check_channels(self, channels: int) -> None:
        """Raise InvalidArgumentError if mean and std do not fit images of this many channels."""
        base.normalisation(self.mean, self.std, channels)

    @property
    def modules(self) -> Sequence[torch.nn.Module]:
        """Torch modules that run."""
        return self._modules

    def buffer(self, batch: int, shape: Sequence[int], slot: int = 0) -> torch.Tensor:
        """The model's input for one batch of images of `shape` (C, H, W); allocated once a slot, overwritten by every batch."""
        if slot not in self._buffers or self._buffers[slot].shape != (batch, *shape):
            self._buffers.pop(slot, None)
            layout = torch.channels_last if self.channels_last else torch.contiguous_format
            size = (batch, *shape)
            try:
                self._buffers[slot] = torch.empty(size, dtype=self.torch_dtype, device=self.device, memory_format=layout)
            except RuntimeError as error:
                if not inference.is_out_of_memory(error):
                    raise
                raise _too_large(size, self.dtype, error) from error
        return self._buffers[slot]

    def check_size(self, height: int, width: int) -> None:
        """Raise InvalidArgumentError if the transform does not take images of this size."""
        for part in range(self.transform.parts):
            self.transform.pixels(part, height, width)

    def backend_for(self, x: torch.Tensor, noise: Noise) -> backends.Backend:
        return backends.choose(self.backend_name, x, noise, self.transform)

    def votes(
        self,
        image: torch.Tensor,
        noise: Noise,
        *,
        sigma: Sequence[float] | np.ndarray,
        seed: int,
        image_id: int,
        stages: Sequence[tuple[int, int]],
        progress: Callable[[int], None] | None = None,
    ) -> np.ndarray:
        """Votes of one image [C, H, W]: int64 [len(stages), parts, K] for stages of (stream, draws of each part).

        `sigma` is the noise level of each part.  All draws of one model run as one sequence of batches.  Every batch is a
        function of (image, sigma, seed, image id, stages, batch) alone, so an interrupted image that is started again gives
        the same votes.
        """
        parts = self.transform.parts
        total = sum(n for _, n in stages) * (parts if len(self.models) == 1 else 1)
        self.prepare(image.shape, total)
        votes = np.zeros((len(stages), parts, self.num_classes), dtype=np.int64)

        def judge(stage: int, found: np.ndarray) -> bool:
            votes[stage] = found
            return False

        segments = [(stream, 0, n) for stream, n in stages]
        job = batches.Job(image, sigma, image_id, segments, judge, wanted=len(segments))
        batch = self.batch_for(image.numel(), total)
        for _ in batches.run(self, [job], noise, seed=seed, shape=image.shape, batch=batch, together=False, progress=progress):
            pass
        return votes

    def batching(self, shape: Sequence[int], total: int | None, images: int) -> tuple[int, bool]:
        """Copies per forward pass, and whether a batch may hold copies of several images.

        `total` copies are drawn of every image, None if that is not known before.  Where it is, the copies of one image fill
        whole batches by themselves, but for batches that were given and for small numbers on a GPU; otherwise several images
        share a batch, if the model keeps the bits of its logits then.  The first does not depend on the number of images.
        """
        dim = math.prod(shape)
        most = self.batch_for(dim, None)
        batch = self.batch_for(dim, total)
        if total is not None and self.device.type == "cuda" and self.batch is None and total < 8 * most:
            batch = most
        wasted = 1.0 if total is None else (-total % batch) / total
        return batch, images > 1 and wasted > 1 / 16 and self.can_mix(shape, batch)

    def can_mix(self, shape: Sequence[int], batch: int) -> bool:
        """Whether logits keep their bits when a row stands elsewhere in a batch, beside others; measured once for a shape."""
        key = (*shape, batch)
        if key not in self._mixes:
            try:
                rows = inference.Rows(shape, None).take(batch, self.torch_dtype, self.device, channels_last=self.channels_last)
                with evaluating(self._modules), torch.inference_mode():
                    self._mixes[key] = all(inference.rows_keep_their_bits(model, rows) for model in self.models)
            except Exception:  # what the model says of real images is told when it is run on them
                self._mixes[key] = False
        return self._mixes[key]

    def sequences(self) -> list[tuple[Model, list[int]]]:
        """Each model with the parts it is shown."""
        parts = list(range(self.transform.parts))
        if len(self.models) == 1:
            return [(self.models[0], parts)]
        return [(model, [part]) for model, part in zip(self.models, parts, strict=True)]

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
                raise _too_large(batch.shape, self.dtype, error) from error
            images = list(dict.fromkeys(ids))
            named = ", ".join(map(str, images[:3])) + (f" and {len(images) - 3} more" if len(images) > 3 else "")
            raise ModelError(
                f"the model raised {type(error).__name__} on image id {named}, "
                f"input {list(batch.shape)} {self.dtype}: "
                f"{reason(error)}."
            ) from error
        return inference.checked(logits, returned, copies, batch.device, self.num_classes)

    def examined(self, model: Model, batch: torch.Tensor) -> bool:
        """Whether `examine` has passed this model for batches of this shape."""
        return (id(model), *batch.shape) in self._examined

    def examine(
        self,
        model: Model,
        batch: torch.Tensor,
        ids: Sequence[int],
        logits: torch.Tensor,
        refill: Callable[[], torch.Tensor],
    ) -> None:
        """Raise ModelError unless a model classifies every copy of a batch by itself; `inference.examine` explains the arguments.

        A model that draws random numbers gets a SoundnessWarning, once, and a sentence in `caveats`.
        """
        key = (id(model), *batch.shape)
        caveat = inference.examine(lambda x: self.logits(model, x, ids), refill, batch, logits, self.dtype)
        self._examined.add(key)
        if caveat is not None and caveat not in self.caveats:
            self.caveats.append(caveat)
            warnings.warn(caveat, SoundnessWarning, stacklevel=2)


def _classes(num_classes: int) -> int:
    if isinstance(num_classes, (int, float, np.number)) and num_classes == 1:
        raise InvalidArgumentError(f"num_classes=1, which every image would be certified for: {inference.ONE_LOGIT}")
    return checks.whole("num_classes", num_classes, 2, 10**7)


def _models(model: Model | Sequence[Model], parts: int) -> list[Model]:
    """One model for all parts, or one for each."""
    several = isinstance(model, Sequence) and not callable(model) and not isinstance(model, (str, bytes))
    models: list[Any] = list(model) if several else [model]  # type: ignore[arg-type]
    if not models:
        raise InvalidArgumentError("model is an empty sequence: give a callable that maps [N, C, H, W] to [N, K].")
    for one in models:
        if not callable(one):
            raise InvalidArgumentError(f"model is {type(one).__name__}; give a callable that maps [N, C, H, W] to [N, K].")
    if several and len(models) not in (1, parts):
        allowed = "one" if parts == 1 else f"one, or {parts}"
        raise InvalidArgumentError(f"{len(models)} models were given and the transform shows {parts} part(s): give {allowed}.")
    return models


def _device(given: str | torch.device | None, own: torch.Tensor | None) -> torch.device:
    try:
        if isinstance(given, bool):
            raise TypeError("True and False are no devices")
        device = torch.device(given) if given is not None else own.device if own is not None else torch.device("cpu")
    except Exception as error:
        said = reason(error, 200)
        raise InvalidArgumentError(f"device={checks.shown(given)} is not known to torch ({said}): give cpu or cuda.") from None
    if device.type not in ("cpu", "cuda"):
        whose = "the model's" if given is None else "the given"
        raise InvalidArgumentError(f"{whose} device is {str(device)!r}: models are run on cpu and cuda; move it there.")
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise InvalidArgumentError(f"device={str(given)!r} was asked for and torch sees no CUDA device: give device='cpu'.")
        if device.index is None:
            device = torch.device("cuda", torch.cuda.current_device())
        if device.index >= torch.cuda.device_count():
            raise InvalidArgumentError(
                f"device={str(given)!r} is not here: torch sees {torch.cuda.device_count()} CUDA device(s)."
            )
    return device


def _placed(model: Model, own: torch.Tensor | None, device: torch.device, dtype: torch.dtype) -> Model:
    if own is None or not isinstance(model, torch.nn.Module) or (own.device == device and own.dtype == dtype):
        return model
    try:
        moved = copy.deepcopy(model)
        return moved.to(device=device, dtype=dtype)
    except Exception as error:
        raise ModelError(
            f"the model could not be copied to {device} as {dtype} ({reason(error)}): move it yourself and give its "
            "own device and dtype."
        ) from error


def _too_large(shape: Sequence[int], dtype: str, error: BaseException) -> ModelError:
    return ModelError(
        f"input {list(shape)} {dtype} and the forward pass do not fit in memory ({reason(error)}): give a smaller batch."
    )
