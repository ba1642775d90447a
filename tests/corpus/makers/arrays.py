"""NumPy files, idx files and CIFAR batches that cannot be read."""

from __future__ import annotations

import gzip
import io
import pickle
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..cases import FOLDER, PIPE, Case
from .damage import flip, idx, npy, npy_with_header, npz, put

X = (np.arange(2 * 3 * 4 * 4) % 251).astype(np.uint8).reshape(2, 3, 4, 4)
Y = np.array([0, 2])
IMAGES, LABELS = npy(X), npy(Y)
WHOLE = npz(x=X, y=Y)
SHAPE = "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3, 4, 4), }"


def archive(**entries: bytes) -> bytes:
    """A zip file with these entries, whatever they are."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in entries.items():
            file.writestr(zipfile.ZipInfo(name.replace("__", ".")), content)
    return buffer.getvalue()


class _Runs:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("a pickle ran",))


NPY: dict[str, bytes] = {
    "empty": b"",
    "four bytes": b"\x93NUM",
    "no header": IMAGES[:8],
    "cut in the header": IMAGES[:40],
    "cut in the data": IMAGES[:-5],
    "one byte too long for its shape": IMAGES[:-1],
    "another magic number": put(IMAGES, 0, b"PK\x03\x04"),
    "version 9": put(IMAGES, 6, b"\x09\x00"),
    "version 0": put(IMAGES, 6, b"\x00\x00"),
    "a header of no length": put(IMAGES, 8, b"\x00\x00"),
    "a header longer than the file": put(IMAGES, 8, b"\xff\xff"),
    "a header that is no literal": npy_with_header("{'descr': open, 'fortran_order': False, 'shape': (2,)}", bytes(8)),
    "a header with an open bracket": npy_with_header("{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3", bytes(6)),
    "a header with an open string": npy_with_header("{'descr': '|u1, 'fortran_order': False}", bytes(6)),
    "a header of brackets": npy_with_header("(" * 5000, bytes(8)),
    "a header that is a list": npy_with_header("[1, 2, 3]", bytes(8)),
    "a header without a shape": npy_with_header("{'descr': '|u1', 'fortran_order': False}", bytes(8)),
    "a header of NUL bytes": npy_with_header("\0" * 60, bytes(8)),
    "a header beyond ASCII": npy_with_header("{'déscr': '|u1', 'fortran_order': False, 'shape': (2,)}", bytes(8)),
    "an unknown type": npy_with_header(SHAPE.replace("|u1", "|q9"), bytes(96)),
    "a type of 2 GB": npy_with_header(SHAPE.replace("|u1", "|V2147483647"), bytes(96)),
    "a type that is a number": npy_with_header(SHAPE.replace("'|u1'", "17"), bytes(96)),
    "objects": npy(np.array([[[1, "a"]]], dtype=object)),
    "objects that would run code": npy(np.array([[[_Runs()]]], dtype=object)),
    "records": npy(np.zeros((2, 3, 4), dtype=[("a", "u1"), ("b", "f4")])),
    "text": npy(np.array([["a", "b"]])),
    "dates": npy(np.zeros((2, 3, 4), dtype="M8[s]")),
    "complex numbers": npy(X.astype(np.complex64)),
    "booleans": npy(X > 3),
    "integers of 16 bits": npy(X.astype(np.int16)),
    "quadruple precision": npy_with_header(SHAPE.replace("|u1", "<f16"), bytes(16 * 96)),
    "a negative size": npy_with_header(SHAPE.replace("(2,", "(-2,"), bytes(96)),
    "a size beyond 64 bits": npy_with_header(SHAPE.replace("(2,", f"({10**25},"), bytes(96)),
    "a size of a million million": npy_with_header(SHAPE.replace("(2,", "(1000000000000,"), bytes(96)),
    "a size that is a fraction": npy_with_header(SHAPE.replace("(2,", "(2.5,"), bytes(96)),
    "a size that is text": npy_with_header(SHAPE.replace("(2,", "('2',"), bytes(96)),
    "an order that is a word": npy_with_header(SHAPE.replace("False", "'perhaps'"), bytes(96)),
    "no images": npy(X[:0]),
    "images without pixels": npy(X[:, :, :0]),
    "a single number": npy(np.float32(3)),
    "one axis": npy(X.reshape(-1)),
    "two axes": npy(X.reshape(2, -1)),
    "five axes": npy(X[None]),
    "sixty axes": npy_with_header(SHAPE.replace("(2, 3, 4, 4)", "(" + "1," * 60 + ")"), bytes(1)),
    "sixty-five axes": npy_with_header(SHAPE.replace("(2, 3, 4, 4)", "(" + "1," * 65 + ")"), bytes(1)),
    "an .npz under another name": WHOLE,
    "a PNG under another name": b"\x89PNG\r\n\x1a\n" + bytes(60),
    "pixels above one": npy(X.astype(np.float32)),
    "pixels below zero": npy(X.astype(np.float32) / -255),
    "pixels that are no numbers": npy(np.full((2, 3, 4, 4), np.nan, np.float32)),
    "pixels that are infinite": npy(np.full((2, 3, 4, 4), np.inf)),
}

NPZ: dict[str, bytes] = {
    "empty": b"",
    "text": b"not a zip file\n",
    "cut in half": WHOLE[: len(WHOLE) // 2],
    "without its directory": WHOLE[:-40],
    "a bare .npy": IMAGES,
    "no entries": archive(),
    "other names": npz(data=X, target=Y),
    "a flipped bit in the pixels": flip(WHOLE, WHOLE.index(X.tobytes()) + 7, 1),
    "a flipped bit in a header": flip(WHOLE, WHOLE.index(b"descr")),
    "a flipped bit in a local name": flip(WHOLE, 31),
    "a compression that nobody knows": put(WHOLE, WHOLE.rindex(b"PK\x01\x02") + 10, b"\x63\x00"),
    "encrypted entries": put(WHOLE, WHOLE.rindex(b"PK\x01\x02") + 8, b"\x01\x00"),
    "images that are no .npy": archive(x__npy=b"hello", y__npy=LABELS),
    "images that are empty": archive(x__npy=b"", y__npy=LABELS),
    "images that are cut": archive(x__npy=IMAGES[:-9], y__npy=LABELS),
    "images that are objects": npz(x=np.array([[[1, "a"]]], dtype=object)),
    "images that would run code": npz(x=np.array([[[_Runs()]]], dtype=object)),
    "images in integers": npz(x=X.astype(np.int64), y=Y),
    "images of one axis": npz(x=X.reshape(-1), y=Y),
    "no images": npz(x=X[:0], y=Y[:0]),
    "labels of another number": npz(x=X, y=np.arange(3)),
    "labels in two axes": npz(x=X, y=Y[None]),
    "labels with a fraction": npz(x=X, y=np.array([0.5, 1])),
    "labels below zero": npz(x=X, y=np.array([-1, 1])),
    "labels beyond 10^7": npz(x=X, y=np.array([0, 2**62])),
    "labels beyond 63 bits": npz(x=X, y=np.array([0, 2**64 - 1], dtype=np.uint64)),
    "labels in words": npz(x=X, y=np.array(["cat", "dog"])),
    "labels that are objects": npz(x=X, y=np.array([0, None], dtype=object)),
    "labels that are no .npy": archive(x__npy=IMAGES, y__npy=b"\x00\x01"),
    "labels in one-hot rows": npz(x=X, y=np.eye(3)[Y]),
    "a directory far away": put(WHOLE, -6, b"\xff\xff\xff\x7f"),
    "pixels above one": npz(x=X.astype(np.float32), y=Y),
    "pixels that are no numbers": npz(x=np.full((2, 3, 4, 4), np.nan), y=Y),
}

DIGITS = (np.arange(2 * 4 * 4) % 250).astype(np.uint8).reshape(2, 4, 4)
IDX, IDX_LABELS = idx(DIGITS), idx(np.array([1, 7]))
NAMES = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
MNIST: dict[str, tuple[bytes, bytes]] = {
    "empty images": (b"", IDX_LABELS),
    "empty labels": (IDX, b""),
    "three bytes of images": (IDX[:3], IDX_LABELS),
    "a header without sizes": (IDX[:4], IDX_LABELS),
    "a header cut in a size": (IDX[:11], IDX_LABELS),
    "images one byte short": (IDX[:-1], IDX_LABELS),
    "images one byte long": (IDX + b"\0", IDX_LABELS),
    "another magic number": (put(IDX, 0, b"\x93NUM"), IDX_LABELS),
    "images of 16 bits": (put(IDX, 2, b"\x0b"), IDX_LABELS),
    "images of floating point": (put(IDX, 2, b"\x0d"), IDX_LABELS),
    "images of an unknown type": (put(IDX, 2, b"\x77"), IDX_LABELS),
    "no axes": (put(IDX, 3, b"\x00"), IDX_LABELS),
    "255 axes": (put(IDX, 3, b"\xff") + bytes(1100), IDX_LABELS),
    "one axis of images": (idx(DIGITS.reshape(-1)), IDX_LABELS),
    "two axes of images": (idx(DIGITS.reshape(2, -1)), IDX_LABELS),
    "a size of zero": (idx(DIGITS[:0]), idx(np.zeros(0))),
    "images of no pixels": (idx(DIGITS[:, :0]), IDX_LABELS),
    "sizes whose product overflows": (bytes([0, 0, 8, 3]) + b"\xff" * 12 + bytes(8), IDX_LABELS),
    "sizes whose product is 2^64": (bytes([0, 0, 8, 3]) + (b"\x00\x40\x00\x00" * 2) + b"\x00\x10\x00\x00", IDX_LABELS),
    "little-endian sizes": (IDX[:4] + b"\2\0\0\0\4\0\0\0\4\0\0\0" + IDX[16:], IDX_LABELS),
    "labels of another number": (IDX, idx(np.array([1, 7, 3]))),
    "labels in two axes": (IDX, idx(np.array([[1], [7]]))),
    "labels one byte short": (IDX, IDX_LABELS[:-1]),
    "a label of 255": (IDX, idx(np.array([1, 255]))),
    "images and labels swapped": (IDX_LABELS, IDX),
    "labels that are images": (IDX, IDX),
    "text": (b"hello, world\n", IDX_LABELS),
    "gzip without its ending": (gzip.compress(IDX, mtime=0), IDX_LABELS),
}
GZIP: dict[str, bytes] = {
    "empty": b"",
    "not gzip": IDX,
    "cut": gzip.compress(IDX, mtime=0)[:-9],
    "with a wrong checksum": flip(gzip.compress(IDX, mtime=0), -6),
    "with a flipped bit": flip(gzip.compress(IDX, mtime=0), 20),
    "of an unknown method": put(gzip.compress(IDX, mtime=0), 2, b"\x09"),
    "with rubbish after it": gzip.compress(IDX, mtime=0) + b"rubbish",
    "of text": gzip.compress(b"hello\n", mtime=0),
    "gzipped twice": gzip.compress(gzip.compress(IDX, mtime=0), mtime=0),
}

RECORD = bytes([3]) + bytes(3072)
BATCH = {b"data": np.zeros((2, 3072), np.uint8), b"labels": [1, 2], b"batch_label": b"testing batch 1 of 1"}


def pickled(value: Any, protocol: int = 2) -> bytes:
    return pickle.dumps(value, protocol)


CIFAR_BINARY: dict[str, bytes] = {
    "empty": b"",
    "one byte": b"\x03",
    "one byte short": RECORD[:-1],
    "one byte long": RECORD + b"\0",
    "a label of 10": bytes([10]) + RECORD[1:],
    "a label of 255 in the second record": RECORD + bytes([255]) + RECORD[1:],
    "CIFAR-100's records": (bytes([3, 40]) + bytes(3072)) * 2,
    "text": b"hello\n",
    "a gzip file": gzip.compress(RECORD, mtime=0),
}
CIFAR_PYTHON: dict[str, bytes] = {
    "empty": b"",
    "cut": pickled(BATCH)[:-9],
    "cut in the pixels": pickled(BATCH)[:3000],
    "a list": pickled([1, 2, 3]),
    "a number": pickled(7),
    "no data": pickled({b"labels": [1, 2]}),
    "no labels": pickled({b"data": BATCH[b"data"]}),
    "labels of another number": pickled({**BATCH, b"labels": [1]}),
    "a label of 10": pickled({**BATCH, b"labels": [1, 10]}),
    "a label below zero": pickled({**BATCH, b"labels": [1, -1]}),
    "a label that is a word": pickled({**BATCH, b"labels": [1, b"cat"]}),
    "a label that is nothing": pickled({**BATCH, b"labels": [1, None]}),
    "labels that are a number": pickled({**BATCH, b"labels": 3}),
    "rows of another length": pickled({**BATCH, b"data": np.zeros((2, 3000), np.uint8)}),
    "floating-point pixels": pickled({**BATCH, b"data": np.zeros((2, 3072), np.float32)}),
    "pixels that are a list": pickled({**BATCH, b"data": [[0] * 12] * 2}),
    "pixels that are objects": pickled({**BATCH, b"data": np.array([[None] * 4] * 2, dtype=object)}),
    "no rows": pickled({b"data": np.zeros((0, 3072), np.uint8), b"labels": []}),
    "CIFAR-100's labels": pickled({b"data": BATCH[b"data"], b"fine_labels": [1, 2], b"coarse_labels": [0, 1]}),
    "print": pickled(_Runs()),
    "print in the labels": pickled({**BATCH, b"labels": [1, _Runs()]}),
    "os.system": b"cposix\nsystem\n(S'true'\ntR.",
    "eval": b"c__builtin__\neval\n(S'1'\ntR.",
    "a global of NumPy's": b"cnumpy\nload\n(S'x'\ntR.",
    "subclasses by getattr": b"c__builtin__\ngetattr\n(c__builtin__\nobject\nS'__subclasses__'\ntR.",
    "an empty stack": b".",
    "a mark too many": b"(.",
    "an unknown opcode": b"\x80\x02\xff.",
    "a memo that is not there": b"\x80\x02h\x05.",
    "a persistent id": b"\x80\x02U\x01aQ.",
    "an extension": b"\x80\x02\x82\x01.",
    "protocol 77": b"\x80M.",
    "a string longer than the file": b"\x80\x02X\xff\xff\xff\x7fabc.",
    "a frame longer than the file": b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7fN.",
    "a number of a million digits": b"I" + b"9" * 6000 + b"\n.",
    "nested lists": b"\x80\x02" + b"]" * 3000 + b"a" * 2999 + b".",
    "a list that holds itself": b"\x80\x02]q\x00h\x00a.",
    "a tar archive": bytes(257) + b"ustar\0" + bytes(249),
}


def cases() -> Iterator[Case]:
    for what, content in NPY.items():
        yield Case(f"npy: {what}", {"a.npy": content}, "every_image(sources.load('a.npy'))")
    for what, content in NPZ.items():
        yield Case(f"npz: {what}", {"a.npz": content}, "every_image(sources.load('a.npz'))")
    for what, pair in MNIST.items():
        files: dict[str, Any] = {f"m/{name}": content for name, content in zip(NAMES, pair, strict=True)}
        if what.startswith("gzip"):
            files = {f"m/{NAMES[0]}": pair[0], f"m/{NAMES[1]}": pair[1]}
        yield Case(f"idx: {what}", files, "every_image(sources.load('mnist:m', num_classes=10))")
    for what, content in GZIP.items():
        files = {f"m/{NAMES[0]}.gz": content, f"m/{NAMES[1]}": IDX_LABELS}
        yield Case(f"idx: a gzip file, {what}", files, "every_image(sources.load('mnist:m'))")
    yield Case("idx: no folder", {}, "sources.load('mnist:m')")
    yield Case("idx: an empty folder", {"m": FOLDER}, "sources.load('mnist:m')")
    yield Case("idx: images without labels", {f"m/{NAMES[0]}": IDX}, "sources.load('mnist:m')")
    yield Case("idx: labels without images", {f"m/{NAMES[1]}": IDX_LABELS}, "sources.load('mnist:m')")
    yield Case("idx: a file instead of its folder", {"m": IDX}, "sources.load('mnist:m')")
    yield Case(
        "idx: another split", {f"m/{NAMES[0]}": IDX, f"m/{NAMES[1]}": IDX_LABELS}, "sources.load('mnist:m', split='train')"
    )
    yield Case("idx: images that are a pipe", {f"m/{NAMES[0]}": PIPE, f"m/{NAMES[1]}": IDX_LABELS}, "sources.load('mnist:m')")
    for what, content in CIFAR_BINARY.items():
        yield Case(f"cifar binary: {what}", {"c/test_batch.bin": content}, "every_image(sources.load('cifar10:c'))")
    for what, content in CIFAR_PYTHON.items():
        yield Case(f"cifar python: {what}", {"c/test_batch": content}, "every_image(sources.load('cifar10:c'))")
    yield Case("cifar: no folder", {}, "sources.load('cifar10:c')")
    yield Case("cifar: an empty folder", {"c": FOLDER}, "sources.load('cifar10:c')")
    yield Case("cifar: four training batches of five", {f"c/data_batch_{i}.bin": RECORD for i in range(1, 5)},
               "sources.load('cifar10:c', split='train')")  # fmt: skip
    yield Case("cifar: a pipe", {"c/test_batch.bin": PIPE}, "sources.load('cifar10:c')")
    names = {
        "that is not there": ("sources.load('none.npz')", {}),
        "that is not known": ("sources.load('imagenet')", {}),
        "that is almost known": ("sources.load('cifar-10:c')", {}),
        "that is empty": ("sources.load('')", {}),
        "of a kind without a place": ("sources.load('mnist:')", {}),
        "that is None": ("sources.load(None)", {}),
        "that is a number": ("sources.load(5)", {}),
        "with a NUL": (r"sources.load('a\0.npz')", {}),
        "with a NUL of a folder": (r"sources.load('folder:a\0')", {}),
        "that is too long": ("sources.load('a' * 5000 + '.npz')", {}),
        "of another kind of file": ("sources.load('a.txt')", {"a.txt": "hello"}),
        "of a folder that ends in .npz": ("sources.load('a.npz/x.npz')", {"a.npz": FOLDER}),
        "of a pipe that ends in .npz": ("sources.load('a.npz')", {"a.npz": PIPE}),
        "of a pipe that ends in .npy": ("sources.load('a.npy')", {"a.npy": PIPE}),
        "of a device": ("sources.load('cifar10:/dev/zero')", {}),
        "that is not UTF-8": ("sources.load('\\udcff.npz')", {"\udcff.npz": b"rubbish"}),
        "behind a link to itself": ("sources.load('a.npz')", {"a.npz": {"link": "a.npz"}}),
        "with a split that there is not": ("sources.load('digits', split='validation')", {}),
        "with a split of an .npz": ("sources.load('a.npz', split='test')", {"a.npz": WHOLE}),
        "with a size of an .npz": ("sources.load('a.npz', resize=8)", {"a.npz": WHOLE}),
        "with fewer classes than labels": ("sources.load('a.npz', num_classes=2)", {"a.npz": WHOLE}),
        "with a class map of an .npz": ("sources.load('a.npz', class_map='alphabet')", {"a.npz": WHOLE}),
    }  # fmt: skip
    for what, (call, files) in names.items():
        yield Case(f"source: a name {what}", files, call)
