"""One line for whoever starts a long run: how much faster another runtime would be here."""

from __future__ import annotations

import importlib.util
import time
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import torch

LONG = 160.0
"""Seconds of forward passes from which on a trial, which takes about 8, is worth it."""

GAIN = 1.5
"""How many times faster another runtime must be to be named."""

NEEDS = ("onnx", "onnxruntime", "onnxscript")


def advise(model: object, shape: tuple[int, ...], copies: int, options: dict[str, Any]) -> None:
    """Say, before a long run of a network as it was given, that --runtime auto would take less, if that is so.

    The trial converts the network for ONNX Runtime, which is kept on disk.  It is left out where a choice was made, on a GPU, and
    where what it needs is not installed.
    """
    import torch

    chosen = options["runtime"] != "torch" or options["dtype"] is not None or options["quiet"]
    if chosen or not isinstance(model, torch.nn.Module) or any(map(_missing, NEEDS)):
        return
    own = next(model.parameters(), None)
    if own is None or own.device.type != "cpu" or own.dtype != torch.float32:
        return
    from .. import inference
    from ..errors import RsfastError

    batch = inference.default_batch(shape[0] * shape[1] * shape[2], copies, "cpu")
    with inference.evaluating([*model.modules()]), torch.inference_mode():
        try:
            before = _seconds(model, torch.zeros(batch, *shape)) / batch
            if before * copies < LONG:
                return
            other = inference.prepare(model, shape, runtime="onnxruntime", fold=True, total=copies)
            after = _seconds(other.model, torch.zeros(other.batch, *shape)) / other.batch
        except (RsfastError, RuntimeError):  # what is wrong with the model is told when it is run
            return
    if before >= GAIN * after:
        click.echo(
            f"The forward passes of this run take about {_spoken(before * copies)}; with --runtime auto they would take "
            f"{before / after:.1f} times less.",
            err=True,
        )


def _missing(name: str) -> bool:
    return importlib.util.find_spec(name) is None


def _seconds(model: Any, x: torch.Tensor) -> float:
    """How long the second one of two forward passes takes."""
    model(x)
    began = time.perf_counter()
    model(x)
    return time.perf_counter() - began


def _spoken(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.0f} hours"
