"""A model elsewhere: copied to a device in a dtype and memory layout, and what a device computes fast."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import nn

from .. import checks, walk
from ..errors import InvalidArgumentError, ModelError, reason
from .memory import is_out_of_memory
from .probe import Model, tf32


class WithTf32:
    """A model that runs with TF32 on or off, whatever torch is set to."""

    def __init__(self, model: Model, on: bool) -> None:
        self.model = model
        self.on = on

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        with tf32(self.on):
            return self.model(x)


def fast_dtypes(device: torch.device) -> list[str]:
    """Dtypes of half size that the hardware computes in."""
    if device.type == "cuda":
        return (["bfloat16"] if torch.cuda.is_bf16_supported(including_emulation=False) else []) + ["float16"]
    if device.type == "cpu":
        predicates = [getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")]
        return ["bfloat16"] if any(predicate is not None and predicate() for predicate in predicates) else []
    return []


def has_vnni() -> bool:
    """Whether this CPU adds products of 8-bit integers in 32 bits: others saturate on the way, and are another classifier."""
    predicate = getattr(torch.cpu, "_is_vnni_supported", None)
    return predicate is not None and bool(predicate())


def copied(module: nn.Module, device: torch.device, dtype: torch.dtype, channels_last: bool) -> nn.Module:
    """A copy in eval mode, of modules that it does not list as its own, too."""
    layout = torch.channels_last if channels_last else torch.preserve_format
    try:
        made = copy.deepcopy(module).to(device=device, dtype=dtype)
        for one in (*made.modules(), *walk.modules(made)):
            one.training = False
        for tensor in (*made.parameters(), *made.buffers()):
            if tensor.ndim == 4:
                tensor.data = tensor.data.to(memory_format=layout)
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise ModelError(
            f"the model could not be copied to {device} as {dtype} ({reason(error)}): move it yourself and leave dtype and "
            "device out."
        ) from error
    return made


def image_shape(shape: Sequence[int]) -> tuple[int, ...]:
    if not isinstance(shape, Sequence) or isinstance(shape, str) or len(shape) != 3:
        raise InvalidArgumentError(f"shape={shape!r} is not that of an image: give (C, H, W).")
    return tuple(checks.whole("shape", size, 1) for size in shape)


def named_device(device: str | torch.device) -> torch.device:
    try:
        return torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise InvalidArgumentError(f"device={device!r} is not known to torch: {reason(error)}.") from None
