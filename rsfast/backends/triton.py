"""Triton: draws on a CUDA device, or in Triton's interpreter (TRITON_INTERPRET=1) on the CPU, with the same bits."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import itertools
import math
import os
from typing import Any

import numpy as np
import torch

from ..errors import BackendUnavailableError
from ..kernels import coefficients as const
from ..noise import Noise
from ..transforms import Transform, View
from . import base


def interpreting() -> bool:
    """Whether kernels run in Triton's interpreter.  Set TRITON_INTERPRET=1 before the first import of triton."""
    return os.environ.get("TRITON_INTERPRET") == "1"


DEVICES = ("cuda",)  # where kernels run when nothing interprets them; tests add "cpu" for a GPU in software


def _runs_on(device: torch.device) -> bool:
    return device.type == "cpu" if interpreting() else device.type in DEVICES


def _next_power_of_two(n: int) -> int:
    return 1 << max(n - 1, 0).bit_length()


@functools.cache
def _installed() -> bool:
    """Whether triton is there: asked once, since looking takes longer than many a call."""
    return importlib.util.find_spec("triton") is not None


class TritonBackend:
    name = "triton"

    def why_not(self, x: torch.Tensor, noise: Noise, transform: Transform) -> str | None:
        if not _installed():
            return "triton is not installed (pip install triton; CUDA builds of torch bring it)"
        if not _runs_on(x.device):
            if interpreting():
                return "TRITON_INTERPRET=1 is set, which is for tensors on the CPU"
            return f"it draws on a CUDA device and x is on {x.device}"
        return base.unsupported(noise, transform)

    def perturb(self, x: torch.Tensor, noise: Noise, transform: Transform, **call) -> None:  # type: ignore[no-untyped-def]
        _require(self.why_not(x, noise, transform))
        rows = base.prepare(x, noise, transform, base.Asked(**call))
        if rows.total == 0 or rows.pixels.numel() == 0:
            return
        dim = rows.out[0].numel()
        _require(None if dim <= MOST_PIXELS else f"it draws images of at most {MOST_PIXELS} pixels and these have {dim}")
        with _on(x.device):
            if rows.view is None:
                _whole(rows)
            else:
                _part(rows, rows.view, x.shape[3])

    def count(self, logits: torch.Tensor, votes: torch.Tensor, rows: torch.Tensor | None = None) -> None:
        _require(None if _runs_on(logits.device) else f"logits are on {logits.device}")
        from ..kernels.votes import count_kernel, rows_per_program

        logits, table, rows = base.check_votes(logits, votes, rows)
        copies, classes = logits.shape
        if copies == 0 or len(table) == 0:
            return
        width = _next_power_of_two(classes)
        _require(None if width <= 2**20 else f"it counts votes of at most {2**20} classes and there are {classes}")
        height = max(1, 2**16 // width) if interpreting() else rows_per_program(width)
        with _on(logits.device):
            count_kernel[(-(-copies // height),)](
                logits, table, rows, copies, classes, len(table), copies // len(table), ROWS=height, CLASSES=width,
                HAS_ROWS=rows is not None, enable_fp_fusion=False,
            )  # fmt: skip


def _word(value: int) -> int:
    """A counter word with its highest bit as the sign: a kernel is compiled for every type of its arguments, and this is one."""
    return (value + 2**31) % 2**32 - 2**31


def _arguments(rows: base.Rows) -> dict[str, Any]:
    """What all perturbing kernels take, by name."""
    device, out = rows.pixels.device, rows.memory()
    return {
        "pixels": rows.pixels,
        "scale": base.sent(rows.scale, device),
        "ids": base.sent(rows.ids.astype("int64"), device),
        "table": _constant(rows.draw.table, device),
        "thresholds": _constant(rows.draw.thresholds, device),
        "high": _constant(rows.draw.high, device),
        "length": len(rows.draw.high),
        "step": rows.draw.step,
        "out": out.view(torch.int16) if out.dtype == torch.bfloat16 else out,
        "first": _word(rows.first),
        "count": rows.count,
        "stream_id": rows.stream,  # Triton refuses to launch a kernel with an argument `stream`
        "k0": _word(rows.seed),
        "k1": _word(rows.seed >> 32),
        "C": rows.pixels.shape[1],
        "KIND": rows.draw.kind,
        "CHANNELS_LAST": rows.channels_last,
        "BFLOAT16": out.dtype == torch.bfloat16,
        "enable_fp_fusion": False,
    }


MOST_PIXELS = 2**30  # places in an image are 32-bit numbers


_constants: dict[tuple[int, torch.device], tuple[np.ndarray, torch.Tensor]] = {}


def _constant(array: np.ndarray, device: torch.device) -> torch.Tensor:
    """A table of `backends.tables`, copied to the device once; it is never written to."""
    key = (id(array), device)
    if key not in _constants:
        if len(_constants) >= 64:
            _constants.clear()
        _constants[key] = (array, torch.from_numpy(array).to(device))  # the array is kept, so that its id stays its own
    return _constants[key][1]


ALONG = 2**15
"""Copies and images of a launch: grids end at 65535 in their second and third direction, and rows stay aligned."""


def _launch(kernel: Any, rows: base.Rows, programs: int, **named: Any) -> None:
    """Launch `programs` for every row."""
    images, arguments = len(rows.ids), _arguments(rows) | named
    whole = {name: arguments[name] for name in ("pixels", "scale", "ids", "out")}
    for b, copy in itertools.product(range(0, images, ALONG), range(0, rows.count, ALONG)):
        if b or copy:
            arguments |= {name: tensor[b * rows.count + copy if name == "out" else b :] for name, tensor in whole.items()}
            arguments["first"] = _word(rows.first + copy)
        kernel[(programs, min(ALONG, rows.count - copy), min(ALONG, images - b))](**arguments)


def _whole(rows: base.Rows) -> None:
    from ..kernels.perturb import perturb_kernel

    _, channels, plane = rows.pixels.shape
    all_tiles = -(-channels * plane // 64)
    tiles = _tiles(all_tiles, const.TILES_OF_A_WARP[rows.draw.kind])
    if interpreting() and plane % 64 == 0:
        tiles = math.gcd(plane // 64, 1024)
    _launch(
        perturb_kernel, rows, -(-all_tiles // tiles), D=channels * plane, plane=plane, TILES=tiles,
        EVEN=plane % (64 * tiles) == 0, num_warps=1,
    )  # fmt: skip


def _tiles(all_tiles: int, on_a_device: int) -> int:
    """Tiles of 64 pixels that a program draws; many in the interpreter, whose time goes by programs."""
    return min(_next_power_of_two(all_tiles), 1024) if interpreting() else on_a_device


def _part(rows: base.Rows, view: View, width: int) -> None:
    from ..kernels import perturb_part as kernels

    device, (_, channels, m) = rows.pixels.device, rows.pixels.shape
    common = {"gain": base.sent(rows.gain, device), "offset": base.sent(rows.offset, device), "m": m}
    fill = base.fill_of(view)
    if fill == const.TAPS:
        taps, plane = view.indices.shape
        pixels = 65536 if interpreting() else 512
        pixels = min(pixels, _next_power_of_two(channels * plane))
        _launch(
            kernels.taps_kernel, rows, -(-channels * plane // pixels), indices=base.on_device(view, "indices", device),
            weights=base.on_device(view, "weights", device), plane=plane, T=taps, PIXELS=pixels, **common,
        )  # fmt: skip
        return
    halo = kernels.halo_tiles(fill, width // 2)
    all_tiles = -(-channels * m // 64)
    tiles = _tiles(all_tiles + 2 * halo, max(16, _next_power_of_two(6 * halo)))
    own = tiles - 2 * halo
    _launch(
        kernels.half_width_kernel, rows, -(-all_tiles // own), kept=base.on_device(view, "kept", device), half=width // 2,
        FILL=fill, TILES=tiles, HALO=halo, **common,
    )  # fmt: skip


def _on(device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Triton launches on the current device; make it the tensors'."""
    return torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext()


def _require(reason: str | None) -> None:
    if reason is not None:
        raise BackendUnavailableError(f"the triton backend cannot run: {reason}. Use backend='auto'.")
