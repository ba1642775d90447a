"""Runs a base classifier over noisy copies and counts its votes: noise → model → argmax, batch by batch."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from . import backends, checks
from .errors import InvalidArgumentError, ModelError, RsfastError
from .noise import Gaussian
from .transforms import Identity

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
PIXELS_PER_BATCH = {"cpu": 2**18, "cuda": 2**24}

Model = Callable[[torch.Tensor], torch.Tensor]


def default_batch(dim: int, device: str) -> int:
    """Noisy copies per forward pass for images of `dim` pixels: 64 to 1024 on a CPU for small images, fewer for large."""
    return int(min(max(PIXELS_PER_BATCH.get(device, 2**22) // dim, 8), 1024))


class Engine:
    """A base classifier, how its input is prepared, and a buffer for one batch of noisy copies.

    Parameters
    ----------
    model : callable
        Maps [N, C, H, W] to logits [N, K].  A torch module is put into eval mode while it runs, and copied first if it has
        to be cast or moved; yours is not changed.
    num_classes : int
        K.
    batch : int, optional
        Noisy copies per forward pass; default by image size.  Part of the base classifier: another batch size may change
        the last bit of a logit.
    dtype : str, optional
        "float32", "bfloat16" or "float16": of the model's input and weights; default the model's own.
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
        if dtype is not None and dtype not in DTYPES:
            raise InvalidArgumentError(f"dtype={dtype!r} is not known: give one of {', '.join(DTYPES)}.")
        if backend != "auto":
            backends.get(backend)
        self.num_classes = checks.whole("num_classes", num_classes, 1)
        self.batch = None if batch is None else checks.whole("batch", batch, 1, 2**24)
        self.channels_last = bool(channels_last)
        self.backend_name = backend
        self.mean, self.std = mean, std
        own = _parameter(model)
        try:
            self.device = (
                torch.device(device) if device is not None else own.device if own is not None else torch.device("cpu")
            )
        except RuntimeError as error:
            raise InvalidArgumentError(f"device={device!r} is not known to torch: {_first_line(error)}") from None
        if self.device.type == "cuda" and not torch.cuda.is_available():
            raise InvalidArgumentError(
                f"device={str(device)!r} was asked for and torch sees no CUDA device: give device='cpu'."
            )
        own_dtype = own.dtype if own is not None and own.dtype in DTYPES.values() else torch.float32
        self.torch_dtype = DTYPES[dtype] if dtype is not None else own_dtype
        self.model = _placed(model, own, self.device, self.torch_dtype)
        self._buffer: torch.Tensor | None = None

    @property
    def dtype(self) -> str:
        return str(self.torch_dtype).removeprefix("torch.")

    def batch_for(self, dim: int) -> int:
        return self.batch or default_batch(dim, self.device.type)

    def buffer(self, shape: Sequence[int]) -> torch.Tensor:
        """The model's input for one batch of images of `shape` (C, H, W); allocated once, overwritten by every batch."""
        wanted = (self.batch_for(int(np.prod(shape))), *shape)
        if self._buffer is None or self._buffer.shape != wanted:
            layout = torch.channels_last if self.channels_last else torch.contiguous_format
            self._buffer = torch.empty(wanted, dtype=self.torch_dtype, device=self.device, memory_format=layout)
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

        All stages run as one sequence of full batches, of which only the last is shorter.  Every batch is a function of
        (image, seed, image id, stages, batch) alone, so an interrupted image that is started again gives the same votes.
        """
        x = image[None].to(self.device)
        backend = self.backend_for(x, noise)
        buffer = self.buffer(image.shape)
        votes = torch.zeros((len(stages), self.num_classes), dtype=torch.int64, device=self.device)
        sigma, ids = np.array([noise.sigma]), np.array([image_id])
        pieces = [(stage, stream, first, end) for stage, stream, first, end in _pieces(stages, len(buffer))]
        with evaluating(self.model), torch.inference_mode():
            at = 0
            pending: list[tuple[int, int, int]] = []
            for i, (stage, stream, first, end) in enumerate(pieces):
                rows = slice(at, at + end - first)
                backend.perturb(
                    x, noise, Identity(), sigma=sigma, mean=self.mean, std=self.std, seed=seed, stream=stream, ids=ids,
                    first=first, count=end - first, out=buffer[rows],
                )  # fmt: skip
                pending.append((stage, rows.start, rows.stop))
                at = rows.stop
                if at == len(buffer) or i == len(pieces) - 1:
                    logits = self._logits(buffer[:at], image_id)
                    for which, begin, stop in pending:
                        backend.count(logits[begin:stop], votes[which])
                    if progress is not None:
                        progress(at)
                    at, pending = 0, []
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
        if logits.shape[1] != self.num_classes:
            raise ModelError(
                f"the model returns {logits.shape[1]} logits an image and num_classes={self.num_classes}: "
                f"give num_classes={logits.shape[1]}."
            )
        return logits


def _pieces(stages: Sequence[tuple[int, int]], batch: int) -> Iterator[tuple[int, int, int, int]]:
    """(stage, stream, first, end) such that consecutive pieces fill batches exactly, the last one perhaps not."""
    room = batch
    for stage, (stream, n) in enumerate(stages):
        first = 0
        while first < n:
            end = min(n, first + room)
            yield stage, stream, first, end
            room = room - (end - first) or batch
            first = end


@contextlib.contextmanager
def evaluating(model: object) -> Iterator[None]:
    """Every torch submodule in eval mode; each one's mode is put back afterwards."""
    modules = [module for module in model.modules() if module.training] if isinstance(model, torch.nn.Module) else []
    for module in modules:
        module.training = False
    try:
        yield
    finally:
        for module in modules:
            module.training = True


def _parameter(model: object) -> torch.Tensor | None:
    if isinstance(model, torch.nn.Module):
        return next((t for t in (*model.parameters(), *model.buffers()) if t.is_floating_point()), None)
    return None


def _placed(model: Model, own: torch.Tensor | None, device: torch.device, dtype: torch.dtype) -> Model:
    if own is None or (own.device == device and own.dtype == dtype):
        return model
    try:
        moved = copy.deepcopy(model)
        return moved.to(device=device, dtype=dtype)  # type: ignore[attr-defined]
    except Exception as error:
        raise ModelError(
            f"the model could not be copied to {device} as {dtype} ({_first_line(error)}): move it yourself and give its "
            "own device and dtype."
        ) from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
