"""One reader each: bytes in, a value or an RsfastError out; anything else is a finding.

Every target writes the bytes where its reader looks for them, in a folder in memory, and returns what first inputs look like.
"""

from __future__ import annotations

import gzip
import io
import json
import pickle
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bench.results_file import ROOT

DATA = ROOT / "tests" / "data"
Reader = Callable[[bytes], object]


def _corpus(kind: str) -> list[bytes]:
    """The files of tests/corpus of one kind, without the large ones."""
    from tests.corpus.cases import stored

    files = (content for case in stored() if case.name.startswith(f"{kind}: ") for content in case.files.values())
    found = (content.encode() if isinstance(content, str) else content for content in files)
    return [content for content in found if isinstance(content, bytes) and len(content) <= 4096]


def _log(folder: Path) -> tuple[Reader, list[bytes]]:
    from rsfast.report.logs import read_log

    file = folder / "log.tsv"

    def read(data: bytes) -> object:
        file.write_bytes(data)
        return read_log(file)

    logs = [one.read_bytes() for one in sorted((DATA / "logs").glob("*.tsv"))]
    first = [b"\n".join(log.splitlines()[:6]) + b"\n" for log in logs]
    return read, [
        *first,
        first[0].replace(b"\t", b","),
        b"\xef\xbb\xbf" + first[0],
        first[0].replace(b"\n", b"\r\n"),
        *_corpus("log"),
    ]


def _store(folder: Path) -> tuple[Reader, list[bytes]]:
    """The first byte says which file of which kind of run the others replace."""
    from rsfast.runs import store
    from rsfast.runs.read import read_run

    runs = sorted((DATA / "formats" / "1").iterdir())
    places = [file.relative_to(DATA) for run in runs for file in sorted(run.iterdir()) if file.is_file()]

    def read(data: bytes) -> object:
        place = places[data[0] % len(places)] if data else places[0]
        run = folder / "run"
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree((DATA / place).parent, run)
        (run / place.name).write_bytes(data[1:])
        try:
            store.standing(run)
        finally:
            read_run(run)  # both readers must answer, whatever the other one says
        return None

    return read, [bytes([i]) + (DATA / place).read_bytes()[:4000] for i, place in enumerate(places)]


def _array(suffix: str) -> Callable[[Path], tuple[Reader, list[bytes]]]:
    def target(folder: Path) -> tuple[Reader, list[bytes]]:
        from rsfast import sources

        file = folder / f"images{suffix}"

        def read(data: bytes) -> object:
            file.write_bytes(data)
            source = sources.load(file)
            return source.image(len(source) - 1)

        first = []
        for images in (
            np.zeros((2, 3, 4, 4), np.uint8),
            np.full((2, 4, 4), 0.5),
            np.asfortranarray(np.full((1, 1, 3, 5), 0.25, ">f4")),
        ):
            out = io.BytesIO()
            if suffix == ".npz":
                np.savez(out, x=images, y=np.zeros(len(images), np.int64))
            else:
                np.save(out, images)
            first.append(out.getvalue())
        return read, [*first, *_corpus(suffix[1:])]

    return target


def _idx(folder: Path) -> tuple[Reader, list[bytes]]:
    """The first byte says whether the others are images or labels, and whether they are packed."""
    from rsfast import sources

    images = struct.pack(">4B3I", 0, 0, 8, 3, 2, 4, 4) + bytes(32)
    labels = struct.pack(">4B1I", 0, 0, 8, 1, 2) + bytes([1, 7])
    names = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")

    def read(data: bytes) -> object:
        kind = data[0] if data else 0
        for file in folder.glob("t10k-*"):
            file.unlink()
        for name, whole in zip(names, (images, labels), strict=True):
            (folder / name).write_bytes(whole)
        (folder / names[kind % 2]).unlink()
        (folder / (names[kind % 2] + (".gz" if kind % 4 >= 2 else ""))).write_bytes(data[1:])
        source = sources.load(f"mnist:{folder}")
        return source.image(0), source.label(0)

    return read, [
        b"\0" + images,
        b"\1" + labels,
        b"\2" + gzip.compress(images),
        b"\3" + gzip.compress(labels),
        *(b"\0" + one for one in _corpus("idx")),
    ]


def _cifar(folder: Path) -> tuple[Reader, list[bytes]]:
    """The first byte says whether the others are the binary or the Python version."""
    from rsfast import sources

    def read(data: bytes) -> object:
        binary = not data or data[0] % 2 == 0
        for name in ("test_batch.bin", "test_batch"):
            (folder / name).unlink(missing_ok=True)
        (folder / ("test_batch.bin" if binary else "test_batch")).write_bytes(data[1:])
        source = sources.load(f"cifar10:{folder}")
        return source.image(len(source) - 1), source.label(0)

    batch = {b"data": np.zeros((1, 3072), np.uint8), b"labels": [3], b"batch_label": b"testing batch 1 of 1"}
    first = [b"\0" + bytes(3073), *(b"\1" + pickle.dumps(batch, protocol) for protocol in (2, 3, 4, 5))]
    return read, [*first, *(b"\0" + one for one in _corpus("cifar binary")), *(b"\1" + one for one in _corpus("cifar python"))]


def _onnx(folder: Path) -> tuple[Reader, list[bytes]]:
    import onnx
    from onnx import TensorProto, helper

    from rsfast.models import from_onnx

    file = folder / "model.onnx"

    def read(data: bytes) -> object:
        file.write_bytes(data)
        return from_onnx(file)

    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 1, 2, 2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4])
    graph = helper.make_graph([helper.make_node("Flatten", ["x"], ["y"])], "g", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    weights = helper.make_tensor("w", TensorProto.FLOAT, [4, 2], [0.5] * 8)
    nodes = [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("MatMul", ["f", "w"], ["y"])]
    other = helper.make_model(
        helper.make_graph(nodes, "g", [x], [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2])], [weights]),
        opset_imports=[helper.make_opsetid("", 17)], ir_version=8,
    )  # fmt: skip
    outside = onnx.ModelProto()
    outside.CopyFrom(other)
    tensor = outside.graph.initializer[0]
    tensor.ClearField("float_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "../weights"), ("offset", "0"), ("length", "32")):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    return read, [model.SerializeToString(), other.SerializeToString(), outside.SerializeToString(), *_corpus("onnx")]


def _checkpoint(folder: Path) -> tuple[Reader, list[bytes]]:
    import torch
    from safetensors.torch import save

    from rsfast import models

    weights = models.build("small-cnn", num_classes=2, channels=1).state_dict()
    small = {name: value[:1].clone() for name, value in list(weights.items())[:2]}

    def read(data: bytes) -> object:
        file = folder / ("weights.safetensors" if data[:1] == b"\0" else "weights.pt")
        file.write_bytes(data[1:])
        return models.load("small-cnn", checkpoint=file, num_classes=2, channels=1)

    first = [b"\0" + save(small), b"\0" + json.dumps({}).encode()]
    for saved in (small, {"state_dict": small, "epoch": 3}):
        out = io.BytesIO()
        torch.save(saved, out)
        first.append(b"\1" + out.getvalue())
    return read, [*first, *(b"\0" + one for one in _corpus("safetensors")), *(b"\1" + one for one in _corpus("checkpoint"))]


TARGETS: dict[str, Callable[[Path], tuple[Reader, list[bytes]]]] = {
    "log": _log,
    "store": _store,
    "npz": _array(".npz"),
    "npy": _array(".npy"),
    "idx": _idx,
    "cifar10": _cifar,
    "onnx": _onnx,
    "checkpoint": _checkpoint,
}
