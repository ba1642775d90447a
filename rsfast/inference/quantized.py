"""dtype="int8": a model in integer arithmetic, as one ONNX file that ONNX Runtime and OpenVINO run alike.

Weights are int8 with a scale for each channel, activations uint8 with a scale for each tensor, which the least and largest values
of the calibrating copies set (QDQ form).  What comes of it is a network of its own: it is what is certified.  So that it is also
as accurate as the one that was given, the classes that both choose are compared on copies that set no scale.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import json
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import ModelError
from .calibration import Calibration, shown

GOOD = 0.95
"""Share of equal labels below which the first and the last layer are left in floating point if that is better."""

NODES = ("Conv", "ConvTranspose", "Gemm", "MatMul")
CARD = "rsfast"
"""Key of an ONNX file's metadata under which its card stands."""

TRIED = 256
"""Copies on which that is decided."""

ROWS = 16  # of a forward pass while scales are set and labels compared

Session = Callable[[np.ndarray], np.ndarray]


def made(
    exported: bytes, session: Callable[[bytes], Session], calibration: Calibration, memory: Callable[[torch.Tensor], np.ndarray],
    batch: int | None,
) -> bytes:  # fmt: skip
    """The ONNX file in integer arithmetic of one in float32, its card in its metadata.

    Parameters
    ----------
    exported : bytes
        The model in float32.
    session : callable
        An ONNX file → a function that runs it.
    calibration : Calibration
    memory : callable
        Copies [N, C, H, W] → the array that the file takes.
    batch : int or None
        The batch that the file was exported for, None for any.
    """
    rows = batch or ROWS
    inputs = [memory(one) for one in _in_batches(calibration.inputs(), rows)]
    compared = _Compared(session(exported), calibration, memory, rows)
    found, left = _quantized(exported, inputs, ends_in_float=False), 0
    first = compared.agreement(session(found), TRIED)
    if first < GOOD:
        other = _quantized(exported, inputs, ends_in_float=True)
        if compared.agreement(session(other), TRIED) > first:
            found, left = other, 2
    card = {
        "dtype": "int8",
        "agreement": compared.agreement(session(found), calibration.compared),
        "float_layers": left,
        "calibration": shown(calibration),
        "versions": {name: importlib.import_module(name).__version__ for name in ("onnx", "onnxruntime", "torch")},
    }
    return with_card(found, card)


def refuse_unlike(card: dict[str, Any], calibration: Calibration) -> None:
    """Raise ModelError where integer arithmetic chooses other classes than allowed."""
    share = float(card["agreement"])
    if share < calibration.least:
        raise ModelError(
            f"in int8 the model chooses the same class in {share:.1%} of {calibration.compared} noisy copies and "
            f"{calibration.least:.0%} are asked for: take another dtype, or accept it with "
            f"least={np.floor(1000 * share) / 1000:g} in the Calibration (--least-agreement)."
        )


def card_of(model: bytes) -> dict[str, Any] | None:
    """The card in an ONNX file's metadata, None if there is none."""
    import onnx

    for entry in onnx.load_model_from_string(model).metadata_props:
        if entry.key == CARD:
            with contextlib.suppress(ValueError):
                found = json.loads(entry.value)
                return found if isinstance(found, dict) else None
    return None


def with_card(model: bytes, card: dict[str, Any]) -> bytes:
    """An ONNX file with a card in its metadata, and with the sha256 of the file without it on the card."""
    import onnx

    found = onnx.load_model_from_string(model)
    kept = [(entry.key, entry.value) for entry in found.metadata_props if entry.key != CARD]
    del found.metadata_props[:]
    digest = hashlib.sha256(found.SerializeToString(deterministic=True)).hexdigest()
    onnx.helper.set_model_props(found, dict(kept) | {CARD: json.dumps(card | {"sha256": digest}, sort_keys=True)})
    return found.SerializeToString(deterministic=True)


def _quantized(exported: bytes, inputs: list[np.ndarray], ends_in_float: bool) -> bytes:
    """A QDQ file with scales from `inputs`; the first and the last layer stay in float32 where `ends_in_float`."""
    import onnx
    from onnxruntime import quantization

    model = onnx.load_model_from_string(exported)
    layers = [node.name for node in model.graph.node if node.op_type in NODES]
    name = model.graph.input[0].name

    class Reader:
        """As quantization.CalibrationDataReader."""

        def __init__(self) -> None:
            self.left = iter([{name: one} for one in inputs])

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.left, None)

    with tempfile.TemporaryDirectory() as folder, _quiet():
        given, source, target = (Path(folder) / f"{step}.onnx" for step in ("given", "float", "int8"))
        given.write_bytes(exported)
        quantization.shape_inference.quant_pre_process(str(given), str(source), skip_symbolic_shape=True)
        quantization.quantize_static(
            str(source), str(target), Reader(), quant_format=quantization.QuantFormat.QDQ, per_channel=True,
            activation_type=quantization.QuantType.QUInt8, weight_type=quantization.QuantType.QInt8,
            nodes_to_exclude=[layers[0], layers[-1]] if ends_in_float and layers else None,
        )  # fmt: skip
        return target.read_bytes()


class _Compared:
    """The classes that the model chooses in floating point, beside those that it chooses in integers."""

    def __init__(self, plain: Session, calibration: Calibration, memory: Callable[[torch.Tensor], np.ndarray], rows: int) -> None:
        self.plain, self.memory, self.rows = plain, memory, rows
        self.calibration = calibration
        self.expected: list[np.ndarray] = []

    def agreement(self, integer: Session, most: int) -> float:
        """The share of the first copies in which both choose the same class."""
        same = count = 0
        for number, copies in enumerate(self.calibration.others(self.rows)):
            shown = self.memory(_filled(copies, self.rows))
            if number == len(self.expected):
                self.expected.append(self.plain(shown).argmax(axis=1)[: len(copies)])
            labels = integer(shown).argmax(axis=1)[: len(copies)]
            same, count = same + int((labels == self.expected[number]).sum()), count + len(copies)
            if count >= most:
                break
        return same / count


def _in_batches(copies: torch.Tensor, rows: int) -> Iterator[torch.Tensor]:
    for first in range(0, len(copies), rows):
        yield _filled(copies[first : first + rows], rows)


def _filled(copies: torch.Tensor, rows: int) -> torch.Tensor:
    """`rows` copies, the first ones again after the last."""
    return copies if len(copies) == rows else copies[torch.arange(rows) % len(copies)]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what the quantizer prints, logs and warns of; what fails still raises."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
