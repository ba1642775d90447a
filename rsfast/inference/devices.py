"""The GPU that a classifier runs on, and what of it belongs to the classifier."""

from __future__ import annotations

import contextlib
from typing import Any

import torch

from .probe import tf32_flags

NOWHERE = contextlib.nullcontext()


def on(device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Make a GPU the current one: torch makes events, streams and graphs there, and libraries launch there."""
    return torch.cuda.device(device) if device.type == "cuda" else NOWHERE


def arithmetic(device: torch.device) -> dict[str, Any]:
    """What the last bits of logits depend on where they are computed, as JSON; nothing on a CPU, where they are repeated.

    The GPU's model, versions of its libraries, and torch's settings as they are now: TF32 for convolutions and matrix products
    (as words where torch was told both ways), whether cuDNN measures its algorithms, deterministic ones, and sums in half
    precision.
    """
    if device.type != "cuda":
        return {}
    flags, products = tf32_flags(), torch.backends.cuda.matmul
    cudnn = torch.backends.cudnn.version() if torch.backends.cudnn.enabled else None  # type: ignore[no-untyped-call]
    if flags is None:
        flags = (torch.backends.cudnn.conv.fp32_precision, products.fp32_precision)  # type: ignore[attr-defined]
    return {
        "gpu": torch.cuda.get_device_name(device),
        "torch": str(torch.__version__),
        "cuda": torch.version.cuda,
        "cudnn": cudnn,
        "tf32": list(flags),
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "deterministic": torch.backends.cudnn.deterministic or torch.are_deterministic_algorithms_enabled(),
        "half_sums": [products.allow_fp16_reduced_precision_reduction, products.allow_bf16_reduced_precision_reduction],
    }
