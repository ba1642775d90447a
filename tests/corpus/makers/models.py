"""Checkpoints, exported programs and ONNX files that cannot be used."""

from __future__ import annotations

import collections
import functools
import io
import pickle
import re
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from ..cases import FOLDER, PIPE, Case
from .arrays import archive
from .damage import flip, npy, npz, put


class _Runs:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("a pickle ran",))


def saved(value: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


@functools.cache
def weights() -> dict[str, torch.Tensor]:
    """Weights of the two layers of `factories.tiny`."""
    torch.manual_seed(0)
    return {"1.weight": torch.randn(3, 16).round(decimals=1), "1.bias": torch.zeros(3)}


def safe(state: dict[str, torch.Tensor]) -> bytes:
    from safetensors.torch import save

    return save(state)


def safe_with_header(header: bytes, data: bytes = bytes(64)) -> bytes:
    return len(header).to_bytes(8, "little") + header + data


def checkpoints() -> Iterator[tuple[str, Any]]:
    state = weights()
    good, old = saved(state), saved(state, _use_new_zipfile_serialization=False)
    old = re.sub(rb"\d{9,}", lambda found: b"7" * len(found[0]), old)  # addresses
    yield from {
        "empty": b"",
        "one byte": b"\x80",
        "text": b"hello\n",
        "a web page": b"<!DOCTYPE html><html>404</html>",
        "a pointer of Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n",
        "gzip": b"\x1f\x8b\x08" + bytes(40),
        "bzip2": b"BZh9" + bytes(40),
        "a tar archive": bytes(257) + b"ustar\0" + bytes(249),
        "HDF5": b"\x89HDF\r\n\x1a\n" + bytes(40),
        "a NumPy array": npy(np.zeros(3)),
        "an .npz": npz(a=np.zeros(3)),
        "cut in half": good[: len(good) // 2],
        "without its directory": good[:-30],
        "a flipped bit in a weight": flip(good, good.index(state["1.weight"].numpy().tobytes()) + 5, 1),
        "a flipped bit in a pickled name": flip(good, good.index(b"1.weight"), 1),
        "a flipped bit in the directory": flip(good, good.rindex(b"PK\x01\x02") + 30),
        "a compressed entry": put(good, good.rindex(b"PK\x01\x02") + 10, b"\x08\x00"),
        "an empty zip": archive(),
        "a zip of other things": archive(readme__txt=b"hello"),
        "a TorchScript program": archive(**{"m/data__pkl": b".", "m/constants__pkl": b"."}),
        "the old format, cut": old[:200],
        "the old format with another magic number": put(old, 10, b"\0\0"),
        "a pickle of a module": saved(torch.nn.Linear(2, 2)),
        "a pickle that prints": saved(_Runs()),
        "a pickle that prints inside a state": saved({**state, "hook": _Runs()}),
        "a plain pickle that prints": pickle.dumps(_Runs(), 2),
        "os.system": b"\x80\x02cposix\nsystem\nX\x02\x00\x00\x00lsq\x00\x85R.",
        "a defaultdict of state": saved({"state_dict": collections.defaultdict(list)}),
        "a list": saved([1, 2, 3]),
        "a number": saved(7),
        "one tensor": saved(torch.zeros(3)),
        "an empty dict": saved({}),
        "an empty state": saved({"state_dict": {}}),
        "state that is a list": saved({"state_dict": [1, 2]}),
        "of a ResNet": saved({"layer1.0.conv1.weight": torch.zeros(4, 3, 3, 3), "fc.weight": torch.zeros(3, 4)}),
        "one layer missing": saved({"1.weight": state["1.weight"]}),
        "one layer too many": saved({**state, "2.weight": torch.zeros(3, 3)}),
        "another shape": saved({"1.weight": torch.zeros(3, 17), "1.bias": torch.zeros(3)}),
        "other classes": saved({"1.weight": torch.zeros(5, 16), "1.bias": torch.zeros(5)}),
        "values that are no tensors": saved({"1.weight": [1.0, 2.0], "1.bias": 3}),
        "keys that are numbers": saved({1: state["1.weight"], 2: state["1.bias"]}),
        "weights that are complex": saved({"1.weight": torch.zeros(3, 16, dtype=torch.complex64), "1.bias": torch.zeros(3)}),
        "weights that are sparse": saved({"1.weight": torch.zeros(3, 16).to_sparse(), "1.bias": torch.zeros(3)}),
        "a folder": FOLDER,
        "a pipe": PIPE,
        "a link to itself": {"link": "a.pt"},
    }.items()


def safetensors() -> Iterator[tuple[str, bytes]]:
    good = safe(weights())
    entry = b'{"1.weight":{"dtype":"F32","shape":[3,16],"data_offsets":[0,192]}}'
    yield from {
        "empty": b"",
        "seven bytes": good[:7],
        "cut in the header": good[:30],
        "cut in the data": good[:-5],
        "bytes after the data": good + bytes(9),
        "a header of 2^63 bytes": b"\xff\xff\xff\xff\xff\xff\xff\x7f" + good[8:],
        "a header that is no JSON": safe_with_header(b"{hello"),
        "a header that is a list": safe_with_header(b"[1, 2]"),
        "a header of brackets": safe_with_header(b"[" * 20_000),
        "an unknown type": safe_with_header(entry.replace(b"F32", b"F99"), bytes(192)),
        "offsets backwards": safe_with_header(entry.replace(b"[0,192]", b"[192,0]"), bytes(192)),
        "offsets beyond the file": safe_with_header(entry.replace(b"192]", b"99999]"), bytes(192)),
        "a shape that does not fit": safe_with_header(entry.replace(b"16", b"17"), bytes(192)),
        "a shape below zero": safe_with_header(entry.replace(b"[3,", b"[-3,"), bytes(192)),
        "a shape that overflows": safe_with_header(entry.replace(b"[3,16]", b"[9223372036854775807,9]"), bytes(192)),
        "no tensors": safe_with_header(b"{}", b""),
        "other names": safe({"a": torch.zeros(3)}),
        "a torch file": saved(weights()),
        "text": b"hello, this is not a checkpoint\n",
    }.items()


@functools.cache
def program() -> bytes:
    """A small network of torch.export."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3)).eval()
    exported = torch.export.export(net, (torch.zeros(2, 1, 4, 4),), dynamic_shapes=({0: torch.export.Dim("n")},))
    buffer = io.BytesIO()
    torch.export.save(exported, buffer)
    return buffer.getvalue()


def _rezipped(data: bytes, change: Any) -> bytes:
    """A zip file with its entries changed: name -> content, or None to leave one out."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w") as new:
        for entry in old.infolist():
            content = change(entry.filename, old.read(entry))
            if content is not None:
                new.writestr(zipfile.ZipInfo(entry.filename), content)
    return buffer.getvalue()


def programs() -> Iterator[tuple[str, Any]]:
    good = program()

    def only(end: str, content: bytes | None) -> bytes:
        return _rezipped(good, lambda name, old: content if name.endswith(end) else old)

    yield from {
        "empty": b"",
        "text": b"hello\n",
        "cut in half": good[: len(good) // 2],
        "an empty zip": archive(),
        "weights only": saved(weights()),
        "a zip of other things": archive(readme__txt=b"hello"),
        "without its program": only("model.json", None),
        "a program that is no JSON": only("model.json", b"{hello"),
        "a program that is a list": only("model.json", b"[]"),
        "a program of brackets": only("model.json", b"[" * 50_000),
        "a program without a graph": only("model.json", b'{"graph_module": {}}'),
        "weights that are pickled": only("model.pt", pickle.dumps(_Runs(), 2)),
        "a version of the future": only("version", b"999999"),
        "an archive of the future": only("archive_version", b"999"),
        "a TorchScript program": archive(**{"m/data__pkl": b".", "m/constants__pkl": b".", "m/code/a__py": b"x"}),
        "a folder": FOLDER,
        "a pipe": PIPE,
    }.items()


def onnx_model(change: Any = None, **options: Any) -> bytes:
    """[n, 1, 4, 4] -> [n, 3] by flattening and slicing, changed before it is written."""
    from onnx import TensorProto, helper

    kind = options.get("kind", TensorProto.FLOAT)
    inputs = [helper.make_tensor_value_info("x", kind, options.get("shape", ["n", 1, 4, 4]))]
    outputs = [helper.make_tensor_value_info("y", kind, options.get("out", ["n", 3]))]
    nodes = [
        helper.make_node("Flatten", ["x"], ["f"]),
        helper.make_node(options.get("operator", "Slice"), ["f", "b", "e", "a"], ["y"]),
    ]
    constants = [helper.make_tensor(name, TensorProto.INT64, [1], [value]) for name, value in (("b", 0), ("e", 3), ("a", 1))]
    graph = helper.make_graph(nodes, "g", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", options.get("opset", 17))], ir_version=9)
    if change is not None:
        change(model, helper, TensorProto)
    return model.SerializeToString()


def _weights_in(location: str) -> bytes:
    def change(model: Any, helper: Any, proto: Any) -> None:
        tensor = model.graph.initializer.add(name="w", data_type=proto.FLOAT, dims=[3], data_location=proto.EXTERNAL)
        for key, value in (("location", location), ("length", "12")):
            tensor.external_data.add(key=key, value=value)

    return onnx_model(change)


def _engine(model: Any, helper: Any, proto: Any) -> None:
    model.graph.node.append(helper.make_node("EPContext", ["x"], ["z"], domain="com.microsoft", ep_cache_context="engine"))


def _second_input(model: Any, helper: Any, proto: Any) -> None:
    model.graph.input.append(helper.make_tensor_value_info("t", proto.FLOAT, [1]))


def _second_output(model: Any, helper: Any, proto: Any) -> None:
    model.graph.output.append(helper.make_tensor_value_info("f", proto.FLOAT, ["n", 16]))


def onnx_files() -> Iterator[tuple[str, bytes]]:
    good = onnx_model()
    yield from {
        "empty": b"",
        "text": b"hello, world, this is no model\n",
        "zeros": bytes(100),
        "cut in half": good[: len(good) // 2],
        "its first twenty bytes": good[:20],
        "a flipped bit": flip(good, len(good) // 2),
        "a length beyond its end": put(good, good.index(b"Flatten") - 1, b"\xff"),
        "a number without an end": b"\x08" + b"\xff" * 20,
        "a group that was never closed": b"\x0b" * 30,
        "a torch checkpoint": saved(weights()),
        "no nodes": onnx_model(lambda model, *_: model.graph.ClearField("node")),
        "no graph": onnx_model(lambda model, *_: model.ClearField("graph")),
        "no inputs": onnx_model(lambda model, *_: model.graph.ClearField("input")),
        "no outputs": onnx_model(lambda model, *_: model.graph.ClearField("output")),
        "two inputs": onnx_model(_second_input),
        "two outputs": onnx_model(_second_output),
        "an unknown operator": onnx_model(operator="Swirl"),
        "an opset of the future": onnx_model(opset=999),
        "an opset of zero": onnx_model(opset=0),
        "a format of the future": onnx_model(lambda model, *_: setattr(model, "ir_version", 99)),
        "an input of integers": onnx_model(kind=7),
        "an input of text": onnx_model(kind=8),
        "a compiled engine": onnx_model(_engine),
        "weights in a file that is not there": _weights_in("w.bin"),
        "weights outside its folder": _weights_in("../w.bin"),
        "weights in the system": _weights_in("/etc/hostname"),
        "weights in the empty name": _weights_in(""),
        "weights in its own folder's name": _weights_in("."),
        "a cycle": onnx_model(lambda model, *_: model.graph.node[0].input.__setitem__(0, "y")),
        "a name that nobody makes": onnx_model(lambda model, *_: model.graph.node[0].input.__setitem__(0, "nobody")),
    }.items()


def cases() -> Iterator[Case]:
    fill = "load('tests.corpus.networks:tiny', checkpoint='a{}')"
    for what, content in checkpoints():
        yield Case(f"checkpoint: {what}", {"a.pt": content}, f"certified({fill.format('.pt')})")
    for what, content in safetensors():
        yield Case(f"safetensors: {what}", {"a.safetensors": content}, fill.format(".safetensors"))
    for what, content in programs():
        yield Case(f"pt2: {what}", {"a.pt2": content}, "load('a.pt2')")
    for what, content in onnx_files():
        yield Case(f"onnx: {what}", {"a.onnx": content}, "load('a.onnx')")
    good = saved(weights())
    runs = {
        "batches of one": onnx_model(shape=[1, 1, 4, 4], out=[1, 3]),
        "images of another size": onnx_model(shape=["n", 1, 5, 5]),
        "three axes": onnx_model(shape=["n", 4, 4]),
    }
    for what, content in runs.items():
        yield Case(f"onnx: exported for {what}", {"a.onnx": content}, "certified(load('a.onnx'))")
    yield Case("onnx: fewer logits than classes", {"a.onnx": onnx_model()}, "certified(load('a.onnx'), num_classes=4)")
    yield Case("pt2: fewer logits than classes", {"a.pt2": program()}, "certified(load('a.pt2'), num_classes=4)")
    yield Case("pt2: images of another size", {"a.pt2": program()}, "certified(load('a.pt2'), images=torch.zeros(1, 1, 5, 5))")
    names: dict[str, tuple[str, dict[str, Any]]] = {
        "that is not known": ("load('resnet51')", {}),
        "that is empty": ("load('')", {}),
        "that is None": ("load(None)", {}),
        "that is a number": ("load(3)", {}),
        "of a library without a model": ("load('torchvision:', checkpoint='a.pt', num_classes=3, channels=1)", {"a.pt": good}),
        "of a module without a factory": ("load('tests.corpus.networks:')", {}),
        "of a factory without a module": ("load(':tiny')", {}),
        "of a module that is not there": ("load('no.such:factory')", {}),
        "of a factory that is not there": ("load('tests.corpus.networks:none')", {}),
        "of a factory that fails": ("load('tests.reference.factories:broken')", {}),
        "of a factory that leaves": ("load('tests.reference.factories:exits')", {}),
        "of a factory that is a number": ("load('tests.reference.factories:not_a_function')", {}),
        "of a factory that returns nothing": ("load('tests.reference.factories:returns_nothing')", {}),
        "of an architecture without weights": ("load('small-cnn')", {}),
        "of an architecture without classes": ("load('small-cnn', checkpoint='a.pt')", {"a.pt": good}),
        "of weights": ("load('a.pt')", {"a.pt": good}),
        "of weights for a function": ("load('tests.reference.factories:pixels', checkpoint='a.pt')", {"a.pt": good}),
        "of a program with weights": ("load('a.pt2', checkpoint='a.pt')", {"a.pt": good, "a.pt2": program()}),
        "of a missing program": ("load('none.pt2')", {}),
        "of a missing ONNX file": ("load('none.onnx')", {}),
        "of missing weights": ("load('tests.corpus.networks:tiny', checkpoint='none.pt')", {}),
        "of weights that are a number": ("load('tests.corpus.networks:tiny', checkpoint=3)", {}),
        "with a NUL": (r"load('a\0.onnx')", {}),
        "that is too long": ("load('a' * 5000 + '.pt2')", {}),
        "of an architecture for weights of another": (
            "load('cifar-resnet20', checkpoint='a.pt', num_classes=3, channels=1)", {"a.pt": good}),
        "of an architecture for no classes": ("load('small-cnn', checkpoint='a.pt', num_classes=0, channels=1)", {"a.pt": good}),
        "of an architecture for words": ("load('small-cnn', checkpoint='a.pt', num_classes='ten', channels=1)", {"a.pt": good}),
    }  # fmt: skip
    for what, (call, files) in names.items():
        yield Case(f"model: a name {what}", files, call)
