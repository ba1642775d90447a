"""Trying a classifier out: inputs to try, what comes back, and whether two answers are the same."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from .. import names
from ..errors import InvalidArgumentError, ModelError, RsfastError, reason
from . import outputs
from .memory import is_out_of_memory

DTYPES: dict[str, torch.dtype] = {name: getattr(torch, name) for name in names.DTYPES}
INPUTS: dict[str, torch.dtype] = DTYPES | {names.INT8: torch.float32}
"""What a model takes that computes in a dtype."""

SAME = {"float32": 1e-3, "float16": 2e-2, "bfloat16": 1e-1, names.INT8: 1e-1}
"""By dtype: how far logits of one input may be apart, in units of their spread, before they count as different."""

Model = Callable[[torch.Tensor], Any]
"""[N, C, H, W] → logits [N, K], or what holds them (`outputs.taken`)."""


class Rows:
    """Inputs to try a classifier on: the user's own, or uniform pixels with noise on them, the same in every process."""

    def __init__(self, shape: Sequence[int], calibration: torch.Tensor | None) -> None:
        self.shape = tuple(shape)
        self.given = calibration is not None
        if calibration is None:
            generator = torch.Generator().manual_seed(0)
            pixels = torch.rand(16, *self.shape, generator=generator)
            calibration = pixels + 0.25 * torch.randn(pixels.shape, generator=generator)
        if not isinstance(calibration, torch.Tensor) or tuple(calibration.shape[1:]) != self.shape or not len(calibration):
            shown = list(calibration.shape) if isinstance(calibration, torch.Tensor) else type(calibration).__name__
            raise InvalidArgumentError(f"calibration is {shown}: give a tensor [N, {', '.join(map(str, self.shape))}].")
        if not calibration.is_floating_point() or not bool(calibration.isfinite().all()):
            raise InvalidArgumentError("calibration holds NaN, infinity or whole numbers: give finite floating-point inputs.")
        self.values = calibration.detach().float().cpu()

    def __len__(self) -> int:
        return len(self.values)

    def take(self, n: int, dtype: torch.dtype, device: torch.device, *, channels_last: bool = False) -> torch.Tensor:
        """[n, C, H, W]: the rows, from the first again after the last."""
        chosen = self.values[torch.arange(n) % len(self.values)]
        layout = torch.channels_last if channels_last else torch.contiguous_format
        return chosen.to(device=device, dtype=dtype, memory_format=layout).contiguous(memory_format=layout)


def logits_of(model: Model, x: torch.Tensor) -> torch.Tensor:
    """The model's logits [N, K] of one batch.

    Raises
    ------
    ModelError
        It raised, or returned something else.  Running out of memory is passed on as it is.
    """
    try:
        returned = model(x.detach())  # another object each time: a model may remember those that it has seen
        logits = outputs.taken(returned)
    except RsfastError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise ModelError(
            f"the model raised {type(error).__name__} on input {list(x.shape)} {str(x.dtype).removeprefix('torch.')}: "
            f"{reason(error)}."
        ) from error
    return outputs.checked(logits, returned, len(x), x.device)


def difference(logits: torch.Tensor, expected: torch.Tensor) -> float:
    """Largest difference of a logit in units of the spread (largest minus smallest) of the expected ones.

    Infinity if the shapes differ or only one of the two is NaN or infinite somewhere; where both are, nothing is compared.
    """
    logits, expected = logits.double().cpu(), expected.double().cpu()
    if logits.shape != expected.shape or bool((logits.isfinite() != expected.isfinite()).any()):
        return math.inf
    finite = expected.isfinite()
    if not bool(finite.any()):
        return 0.0
    logits, expected = logits[finite], expected[finite]
    apart = float((logits - expected).abs().max())
    spread = float(expected.max() - expected.min())
    return apart / spread if spread > 0 else (0.0 if apart == 0 else math.inf)


def rows_keep_their_bits(model: Model, x: torch.Tensor) -> bool:
    """Whether the logits of `x` are the same, bit for bit, when its rows stand elsewhere in the batch, beside other rows."""
    logits = logits_of(model, x.clone()).clone()
    for by in {len(x) // 2, 1} - {0, len(x)}:
        moved = torch.empty_like(x).copy_(x.roll(by, 0))  # in the memory layout of x
        moved[:by] = 1 - 3 * moved[:by]
        if not torch.equal(logits_of(model, moved)[by:], logits[: len(x) - by]):
            return False
    return True


_holding = threading.Lock()
_held: dict[int, int] = {}
"""By id of a module that was in training mode: how many calls hold it in eval mode."""


@contextlib.contextmanager
def evaluating(modules: Sequence[torch.nn.Module]) -> Iterator[None]:
    """The modules in eval mode; each one's mode is put back when the last call that needs it, in whatever thread, has ended."""
    with _holding:
        training = [module for module in modules if module.training or id(module) in _held]
        for module in training:
            module.training = False
            _held[id(module)] = _held.get(id(module), 0) + 1
    try:
        yield
    finally:
        with _holding:
            for module in training:
                _held[id(module)] -= 1
                if not _held[id(module)]:
                    del _held[id(module)]
                    module.training = True


def tf32_flags() -> tuple[bool, bool] | None:
    """torch's settings for convolutions and matrix products on a GPU; None if they contradict each other."""
    try:
        return bool(torch.backends.cudnn.allow_tf32), bool(torch.backends.cuda.matmul.allow_tf32)
    except RuntimeError:  # torch 2.9 and newer: set through the old names and the new ones
        return None


@contextlib.contextmanager
def tf32(on: bool) -> Iterator[None]:
    """TF32 on or off for convolutions and matrix products on a GPU; torch's settings are put back afterwards."""
    flags = tf32_flags()
    if flags is None:
        raise InvalidArgumentError(
            "torch's TF32 settings were changed through old and new names (allow_tf32, fp32_precision) and contradict each "
            "other: change them through one of the two, or leave tf32 out."
        )
    _set_tf32(on, on)
    try:
        yield
    finally:
        _set_tf32(*flags)


def precisely() -> contextlib.AbstractContextManager[None]:
    """float32 products in float32, where torch lets us choose."""
    return contextlib.nullcontext() if tf32_flags() is None else tf32(False)


def _set_tf32(convolutions: bool, products: bool) -> None:
    torch.backends.cudnn.allow_tf32 = convolutions
    torch.backends.cuda.matmul.allow_tf32 = products
