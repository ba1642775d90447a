"""Runs a base classifier over noisy copies and counts its votes: noise → model → argmax, batch by batch."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from . import backends, checks, walk
from .backends import base
from .errors import InvalidArgumentError, ModelError, RsfastError
from .noise import Gaussian
from .transforms import Identity

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
PIXELS_PER_BATCH = {"cpu": 2**18, "cuda": 2**24}

Model = Callable[[torch.Tensor], torch.Tensor]


def default_batch(dim: int, total: int, device: str) -> int:
    """Noisy copies per forward pass for images of `dim` pixels of which `total` copies are drawn.

    At most 1024, 2^18 pixels on a CPU and 2^24 on a GPU; then as many equal batches as that takes, so that little or nothing
    of the last one is padding.
    """
    most = min(max(PIXELS_PER_BATCH.get(device, 2**22) // max(dim, 1), 8), 1024)
    batches = -(-max(total, 1) // most)
    return -(-max(total, 1) // batches)


class Engine:
    """A base classifier, how its input is prepared, and a buffer for one batch of noisy copies.

    Parameters
    ----------
    model : callable
        Maps [N, C, H, W] to logits [N, K]; a copy's logits must not depend on the others in its batch.  Torch modules, also
        those inside a function or object, are in eval mode while it runs and get their mode back.  A module that has to be
        cast or moved is copied first; yours is not changed.
    num_classes : int
        K.
    batch : int, optional
        Noisy copies per forward pass; default by image size (`default_batch`).  Every pass has exactly this many; the last
        one of an image is filled up with zeros that do not count.  Part of the base classifier: another batch size may
        change the last bit of a logit.
    dtype : str, optional
        "float32", "bfloat16" or "float16": of the model's input and weights; default the model's own (float32 for a
        model in float64).
    device : str, optional
        Default: where the model is.
    channels_last : bool
        Memory layout of the model's input.
    backend : str
        Who draws and counts; "auto" takes the fastest that can.  The choice never changes a bit of the noise.
    mean, std : sequence of float, optional
        Per channel; the model sees (x + noise - mean) / std.  Leave out if the model normalises by itself.
    """

    def __init__(
        self,
        model: Model,
        *,
        num_classes: int,
        batch: int | None = None,
        dtype: str | None = None,
        device: str | torch.device | None = None,
        channels_last: bool = False,
        backend: str = "auto",
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        if not callable(model):
            raise InvalidArgumentError(f"model is {type(model).__name__}; give a callable that maps [N, C, H, W] to [N, K].")
        if dtype is not None:
            checks.choice("dtype", dtype, DTYPES)
        if backend != "auto":
            backends.get(backend)
        self.num_classes = checks.whole("num_classes", num_classes, 1, 10**7)
        self.batch = None if batch is None else checks.whole("batch", batch, 1, 2**24)
        self.channels_last = bool(channels_last)
        self.backend_name = backend
        self.mean = None if mean is None else checks.numbers("mean", mean)
        self.std = None if std is None else checks.numbers("std", std)
        self._modules = walk.modules(model)
        own = walk.first_parameter(self._modules)
        self.device = _device(device, own)
        own_dtype = own.dtype if own is not None and own.dtype in DTYPES.values() else torch.float32
        self.torch_dtype = DTYPES[dtype] if dtype is not None else own_dtype
        self.model = _placed(model, own, self.device, self.torch_dtype)
        if self.model is not model:
            self._modules = walk.modules(self.model)
        self._buffer: torch.Tensor | None = None

    @property
    def dtype(self) -> str:
        return str(self.torch_dtype).removeprefix("torch.")

    def batch_for(self, dim: int, total: int) -> int:
        """Copies per forward pass for images of `dim` pixels of which `total` copies are drawn."""
        return self.batch or default_batch(dim, total, self.device.type)

    def check_channels(self, channels: int) -> None:
        """Raise InvalidArgumentError if mean and std do not fit images of this many channels."""
        base.normalisation(self.mean, self.std, channels)

    def buffer(self, batch: int, shape: Sequence[int]) -> torch.Tensor:
        """The model's input for one batch of images of `shape` (C, H, W); allocated once, overwritten by every batch."""
        if self._buffer is None or self._buffer.shape != (batch, *shape):
            self._buffer = None
            layout = torch.channels_last if self.channels_last else torch.contiguous_format
            self._buffer = torch.empty((batch, *shape), dtype=self.torch_dtype, device=self.device, memory_format=layout)
        return self._buffer

    def backend_for(self, x: torch.Tensor, noise: Gaussian) -> backends.Backend:
        return backends.choose(self.backend_name, x, noise)

    def votes(
        self,
        image: torch.Tensor,
        noise: Gaussian,
        *,
        seed: int,
        image_id: int,
        stages: Sequence[tuple[int, int]],
        progress: Callable[[int], None] | None = None,
    ) -> np.ndarray:
        """Votes of one image [C, H, W]: int64 [len(stages), K] for stages of (stream, number of draws).

        All stages run as one sequence of batches.  Every batch is a function of (image, seed, image id, stages, batch)
        alone, so an interrupted image that is started again gives the same votes.
        """
        x = image[None].to(self.device)
        backend = self.backend_for(x, noise)
        total = sum(n for _, n in stages)
        buffer = self.buffer(self.batch_for(image.numel(), total), image.shape)
        votes = torch.zeros((len(stages), self.num_classes), dtype=torch.int64, device=self.device)
        sigma, ids = np.array([noise.sigma]), np.array([image_id])
        with evaluating(self._modules), torch.inference_mode():
            for pieces in _batches(stages, len(buffer)):
                at = 0
                for _, stream, first, end in pieces:
                    backend.perturb(
                        x, noise, Identity(), sigma=sigma, mean=self.mean, std=self.std, seed=seed, stream=stream, ids=ids,
                        first=first, count=end - first, out=buffer[at : at + end - first],
                    )  # fmt: skip
                    at += end - first
                if at < len(buffer):
                    buffer[at:].zero_()
                logits = self._logits(buffer, image_id)
                begin = 0
                for stage, _, first, end in pieces:
                    backend.count(logits[begin : begin + end - first], votes[stage])
                    begin += end - first
                if progress is not None:
                    progress(at)
        return votes.cpu().numpy()

    def _logits(self, batch: torch.Tensor, image_id: int) -> torch.Tensor:
        try:
            logits = self.model(batch)
        except RsfastError:
            raise
        except Exception as error:
            raise ModelError(
                f"the model raised {type(error).__name__} on image id {image_id}, input {list(batch.shape)} {self.dtype}: "
                f"{_first_line(error)}"
            ) from error
        if not isinstance(logits, torch.Tensor) or logits.ndim != 2 or len(logits) != len(batch):
            shown = list(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
            raise ModelError(
                f"the model returned {shown} for a batch of {len(batch)}: it must return logits "
                f"[{len(batch)}, {self.num_classes}]."
            )
        if not logits.is_floating_point() or logits.device != batch.device:
            raise ModelError(
                f"the model returned {logits.dtype} on {logits.device} for input on {batch.device}: it must return "
                "floating-point logits there."
            )
        if logits.shape[1] != self.num_classes:
            raise ModelError(
                f"the model returns {logits.shape[1]} logits an image and num_classes={self.num_classes}: "
                f"give num_classes={logits.shape[1]}."
            )
        return logits


def _batches(stages: Sequence[tuple[int, int]], batch: int) -> Iterator[list[tuple[int, int, int, int]]]:
    """The pieces (stage, stream, first, end) of each batch; every batch is full but perhaps the last."""
    pieces: list[tuple[int, int, int, int]] = []
    room = batch
    for stage, (stream, n) in enumerate(stages):
        first = 0
        while first < n:
            end = min(n, first + room)
            pieces.append((stage, stream, first, end))
            room -= end - first
            first = end
            if room == 0:
                yield pieces
                pieces, room = [], batch
    if pieces:
        yield pieces


@contextlib.contextmanager
def evaluating(modules: Sequence[torch.nn.Module]) -> Iterator[None]:
    """The modules in eval mode; each one's mode is put back afterwards."""
    training = [module for module in modules if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _device(given: str | torch.device | None, own: torch.Tensor | None) -> torch.device:
    try:
        device = torch.device(given) if given is not None else own.device if own is not None else torch.device("cpu")
    except (RuntimeError, TypeError) as error:
        raise InvalidArgumentError(f"device={given!r} is not known to torch: {_first_line(error)}") from None
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
            f"the model could not be copied to {device} as {dtype} ({_first_line(error)}): move it yourself and give its "
            "own device and dtype."
        ) from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
