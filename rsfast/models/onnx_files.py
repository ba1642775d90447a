"""What an ONNX file names besides itself, read from its bytes: other files with weights, and compiled engines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ..errors import ModelError
from ..files import kind_of, printable

Message = dict[int, str]

FIELDS: dict[str, Message] = {  # onnx.proto: where messages lie that may hold tensors or nodes
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
    "entry": {},
}
OPERATOR = 4  # field of a node
KEY, VALUE = 1, 2  # of an entry
VARINT, LONG, BYTES, SHORT = 0, 1, 2, 5


def elsewhere(model: bytes) -> list[str]:
    """Return the files that hold an ONNX model's weights, as it names them, each once.

    Raises
    ------
    ValueError
        It is no such model, or damaged.
    ModelError
        It runs an engine that was compiled elsewhere.
    """
    found: dict[str, None] = {}
    todo = [("model", memoryview(model))]
    while todo:
        kind, message = todo.pop()
        entry: dict[int, bytes] = {}
        for field, content in _fields(message):
            if field in FIELDS[kind]:
                todo.append((FIELDS[kind][field], content))
            elif kind == "node" and field == OPERATOR and bytes(content) == b"EPContext":
                raise ModelError(
                    "the ONNX model holds a compiled engine (EPContext), which is not run: export the model without."
                )
            elif kind == "entry":
                entry[field] = bytes(content)
        if entry.get(KEY) == b"location":
            found[entry.get(VALUE, b"").decode("utf-8", "backslashreplace")] = None
    return sorted(found)


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Field number and content of everything in a message that has a length."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        kind = tag & 7
        if kind == VARINT:
            _, place = _varint(message, place)
        elif kind in (LONG, SHORT):
            place += 8 if kind == LONG else 4
        elif kind == BYTES:
            length, place = _varint(message, place)
            if place + length > len(message):
                raise ValueError("cut short")
            yield tag >> 3, message[place : place + length]
            place += length
        else:
            raise ValueError(f"a field of kind {kind}")
    if place > len(message):
        raise ValueError("cut short")


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(message):
            raise ValueError("cut short")
        byte = message[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
    raise ValueError("a number without end")


def beside(model: Path, location: str) -> Path:
    """Return the file that a model names, if it lies in the model's folder or below.

    Raises
    ------
    ModelError
        It lies elsewhere, is missing, or is no file.
    """
    name, shown = printable(str(model)), printable(location)
    parts = re.split(r"[/\\]", location)
    if not location or "\0" in location or ".." in parts or not parts[0] or parts[0].endswith(":"):
        raise ModelError(f"{name} names weights outside its folder ({shown!r}): it is not opened. Export it with its weights.")
    file = model.parent / location
    try:
        kind = kind_of(file)
    except (OSError, ValueError):
        raise ModelError(f"{name} names weights in {shown!r}, which is not there: put that file beside it.") from None
    if kind is not None:
        raise ModelError(f"{name} names weights in {shown!r}, which is {kind}: put the file beside it.")
    return file
