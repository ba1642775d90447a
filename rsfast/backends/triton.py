"""Triton: draws on a CUDA device, or in Triton's interpreter (TRITON_INTERPRET=1) on the CPU, with the same bits."""

from __future__ import annotations

import contextlib
import importlib.util
import os

import torch

from ..errors import BackendUnavailableError
from ..noise import Gaussian
from ..transforms import Identity
from . import base


def interpreting() -> bool:
    """Whether kernels run in Triton's interpreter.  Set TRITON_INTERPRET=1 before the first import of triton."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def _next_power_of_two(n: int) -> int:
    return 1 << max(n - 1, 0).bit_length()


class TritonBackend:
    name = "triton"

    def why_not(self, x: torch.Tensor, noise: Gaussian, transform: Identity) -> str | None:
        if importlib.util.find_spec("triton") is None:
            return "triton is not installed (pip install rsfast[triton]; CUDA builds of torch bring it)"
        if interpreting() and x.device.type != "cpu":
            return "TRITON_INTERPRET=1 is set, which is for tensors on the CPU"
        if not interpreting() and x.device.type != "cuda":
            return f"it draws on a CUDA device and x is on {x.device}"
        return base.unsupported(noise, transform)

    def perturb(self, x: torch.Tensor, noise: Gaussian, transform: Identity, **call) -> None:  # type: ignore[no-untyped-def]
        _require(self.why_not(x, noise, transform))
        from ..kernels.perturb import perturb_kernel

        rows = base.prepare(x, **call)
        _, channels, plane = rows.pixels.shape
        size = channels * plane
        if rows.total == 0 or size == 0:
            return
        all_tiles = -(-size // 64)
        tiles = min(_next_power_of_two(all_tiles), 1024 if interpreting() else max(8, _next_power_of_two(all_tiles // 65535)))
        out = rows.memory()
        with _on(x.device):
            perturb_kernel[(rows.total, -(-all_tiles // tiles))](
                rows.pixels,
                torch.from_numpy(rows.scale).to(x.device),
                torch.from_numpy(rows.ids.astype("int64")).to(x.device),
                out.view(torch.int16) if out.dtype == torch.bfloat16 else out,
                size,
                plane,
                rows.first,
                rows.count,
                rows.stream,
                rows.seed & 0xFFFFFFFF,
                rows.seed >> 32,
                C=channels,
                CHANNELS_LAST=rows.channels_last,
                BFLOAT16=out.dtype == torch.bfloat16,
                TILES=tiles,
                enable_fp_fusion=False,
            )

    def count(self, logits: torch.Tensor, votes: torch.Tensor) -> None:
        _require(None if interpreting() or logits.device.type == "cuda" else f"logits are on {logits.device}")
        from ..kernels.votes import count_kernel, rows_per_program

        logits, table = base.check_votes(logits, votes)
        rows, classes = logits.shape
        if rows == 0:
            return
        width = _next_power_of_two(classes)
        height = max(1, 2**16 // width) if interpreting() else rows_per_program(width)
        with _on(logits.device):
            count_kernel[(-(-rows // height),)](
                logits, table, rows, classes, rows // len(table), ROWS=height, CLASSES=width, enable_fp_fusion=False
            )


def _on(device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Triton launches on the current device; make it the tensors'."""
    return torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext()


def _require(reason: str | None) -> None:
    if reason is not None:
        raise BackendUnavailableError(f"the triton backend cannot run: {reason}. Use backend='auto'.")
