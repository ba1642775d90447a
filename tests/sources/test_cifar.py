"""CIFAR-10 in both versions of its authors; pickles are read without unpickling."""

import collections
import datetime
import os
import pickle
import pickletools
import tracemalloc

import numpy as np
import pytest

from rsfast import sources
from rsfast.errors import DataError
from rsfast.sources import pickles


@pytest.fixture
def batch(rng):
    return rng.integers(0, 256, (12, 3072), dtype=np.uint8), rng.integers(0, 10, 12).tolist()


def python2(images, labels):
    """A batch exactly as Python 2 and its NumPy wrote the published ones, protocol 2."""

    def text(value):
        return b"U" + bytes([len(value)]) + value

    def whole(number):
        return b"K" + bytes([number]) if number < 256 else b"M" + number.to_bytes(2, "little")

    array = b"cnumpy.core.multiarray\n_reconstruct\nq\x05cnumpy\nndarray\nq\x06K\x00\x85q\x07" + text(b"b") + b"\x87Rq\x08"
    shape = b"(K\x01" + whole(len(images)) + b"M\x00\x0c\x86"
    dtype = (
        b"cnumpy\ndtype\n" + text(b"u1") + b"K\x00K\x01\x87R(K\x03" + text(b"|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    )
    content = images.tobytes()
    array += shape + dtype + b"\x89T" + len(content).to_bytes(4, "little") + content + b"tb"
    names = b"](" + b"".join(text(b"cat_%d.png" % i) for i in range(len(images))) + b"e"
    numbers = b"](" + b"".join(whole(label) for label in labels) + b"e"
    return (
        b"\x80\x02}q\x01(" + text(b"batch_label") + text(b"testing batch 1 of 1") + text(b"labels") + numbers
        + text(b"data") + array + text(b"filenames") + names + b"u."
    )  # fmt: skip


def check(source, images, labels):
    assert (len(source), source.shape, source.num_classes) == (len(labels), (3, 32, 32), 10)
    assert [source.label(i) for i in range(len(source))] == labels
    for i in (0, len(labels) - 1):
        np.testing.assert_array_equal(np.rint(source.image(i) * 255), images[i].reshape(3, 32, 32))


def test_what_python_2_wrote_is_what_unpickling_gives(batch):
    data = python2(*batch)
    found, expected = pickles.loads(data), pickle.loads(data, encoding="bytes")
    assert found.keys() == expected.keys()
    np.testing.assert_array_equal(found[b"data"], expected[b"data"])
    assert found[b"labels"] == expected[b"labels"] == batch[1]
    assert found[b"filenames"] == expected[b"filenames"]


@pytest.mark.parametrize("place", ["", "cifar-10-batches-py"])
def test_batches_for_python_are_read(place, batch, tmp_path):
    (tmp_path / place).mkdir(exist_ok=True)
    (tmp_path / place / "test_batch").write_bytes(python2(*batch))
    check(sources.load(f"cifar10:{tmp_path}"), *batch)
    check(sources.load(f"cifar10:{tmp_path / place / 'test_batch'}"), *batch)
    for number in range(1, 6):
        (tmp_path / place / f"data_batch_{number}").write_bytes(python2(batch[0], [number] * 12))
    train = sources.load(f"cifar10:{tmp_path}", split="train")
    assert [train.label(i) for i in range(0, 60, 12)] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize("keys", [str, str.encode])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("as_array", [False, True])
def test_batches_that_were_pickled_again_are_read(protocol, keys, order, as_array, batch, tmp_path):
    images, labels = batch
    fields = {keys("data"): np.array(images, order=order), keys("labels"): np.array(labels, ">i4") if as_array else labels}
    (tmp_path / "test_batch").write_bytes(pickle.dumps(fields, protocol=protocol))
    check(sources.load(f"cifar10:{tmp_path}"), images, labels)


def test_the_binary_version_is_preferred_and_both_are_one_data_set(batch, tmp_path):
    images, labels = batch
    (tmp_path / "test_batch").write_bytes(python2(images, labels))
    python = sources.load(f"cifar10:{tmp_path}")
    (tmp_path / "test_batch.bin").write_bytes(np.c_[np.array(labels, np.uint8), images].tobytes())
    binary = sources.load(f"cifar10:{tmp_path}")
    assert binary.fingerprint() == python.fingerprint()
    np.testing.assert_array_equal(binary.images, python.images)


class Run:
    """Runs code when it is unpickled."""

    def __init__(self, function, *arguments):
        self.what = function, arguments

    def __reduce__(self):
        return self.what


HOSTILE = {
    "system": pickle.dumps({b"data": Run(os.mkdir, "owned"), b"labels": []}),
    "eval": pickle.dumps({b"data": Run(eval, "open('owned', 'w')"), b"labels": []}, protocol=0),
    "old instance": b"(S'owned'\nios\nmkdir\n.",
    "class": pickle.dumps({b"data": collections.OrderedDict(), b"labels": datetime.date(2020, 1, 1)}),
    "object array": pickle.dumps({b"data": np.array([Run(os.mkdir, "owned")]), b"labels": [0]}),
    "extension registry": b"\x80\x02\x82\x01.",
    "persistent id": b"\x80\x02}Powned\n.",
    "out of band": b"\x80\x05\x97.",
    "dotted name": b"\x80\x04\x8c\x05numpy\x8c\x11os.mkdir.__call__\x93.",
    "call of what was called": b"\x80\x02cnumpy\ndtype\nU\x02u1\x85R)R.",
    "state of a name": b"\x80\x02cnumpy\ndtype\n}U\x01aK\x01sb.",
    "huge memo": b"\x80\x02Nr\xff\xff\xff\x7f0.",
    "codec": b"\x80\x02c_codecs\nencode\nX\x05\0\0\0owned\x8c\x04zlib\x86R.",
    "array that is not there": b"\x80\x02cnumpy\nndarray\n" + b"\x8a\x06\0\0\0\0\0\x10\x85\x85R.",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_pickle_that_asks_for_more_than_arrays_is_refused_and_runs_nothing(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "test_batch").write_bytes(HOSTILE[name])
    tracemalloc.start()
    with pytest.raises(DataError, match="test_batch is not a CIFAR-10 batch") as found:
        sources.load(f"cifar10:{tmp_path}")
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()
    assert not (tmp_path / "owned").exists()
    assert len(str(found.value)) < 400


def test_a_refusal_names_what_was_asked_for(tmp_path):
    (tmp_path / "test_batch").write_bytes(HOSTILE["eval"])
    with pytest.raises(DataError, match="it names __builtin__.eval, and only arrays are read"):
        sources.load(f"cifar10:{tmp_path}")


@pytest.mark.parametrize(
    "pieces",
    [
        [b"\x80\x02(" * 5, b"."],
        [b"\x80\x02", b"]" + b"\x85" * 20_000, b"."],
        [b"\x80\x02}", b"]" + b"\x85" * 20_000, b"Ns."],
        [b"\x80\x02X\xff\xff\xff\x7fabc."],
        [b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7fabc."],
        [b"\x80\x02I" + b"9" * 10_000 + b"\n."],
        [b"\x80\x02c_codecs\nencode\nX\x10'\0\0", b"a" * 10_000, b"\x8c\x06latin1\x86q\0R" + b"c_codecs\nencode\nh\0R" * 1000, b"."],
        [b"\x80\x02]q\0(h\0h\0h\0e."],
        [b"\x80\x02cnum\\dpy\nnd\\qarray\n."],
        [b""], [b"."], [b"\x80"], [b"\x80\x02"], [b"N."], [b"\xff\xff."], [b"0."], [b"a."], [b"u."], [b"R."], [b"b."], [b"h\5."],
    ],
    ids=range(21),
)  # fmt: skip
def test_damaged_pickles_are_refused(pieces, tmp_path):
    (tmp_path / "test_batch").write_bytes(b"".join(pieces))
    with pytest.raises(DataError, match="test_batch"):
        sources.load(f"cifar10:{tmp_path}")


def test_one_byte_anywhere_in_a_batch_is_refused_or_read(batch, tmp_path, rng):
    whole = python2(batch[0][:1], batch[1][:1])
    structure = [place for _, _, place in pickletools.genops(whole)]
    for _ in range(150):
        damaged = bytearray(whole)
        damaged[int(rng.choice(structure)) + int(rng.integers(4)) - 3] = int(rng.integers(256))
        (tmp_path / "test_batch").write_bytes(damaged)
        try:
            assert sources.load(f"cifar10:{tmp_path}").shape == (3, 32, 32)
        except DataError as error:
            assert "test_batch" in str(error)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({b"data": np.zeros((2, 3072), np.uint8), b"fine_labels": [0, 1]}, "it holds data, fine_labels, not data and labels"),
        ({b"data": np.zeros((2, 3072)), b"labels": [0, 1]}, "not an array of bytes"),
        ({b"data": np.zeros((2, 100), np.uint8), b"labels": [0, 1]}, r"its data are \(2, 100\)"),
        ({b"data": np.zeros((2, 3072), np.uint8), b"labels": [0]}, r"its labels \(1,\)"),
        ({b"data": np.zeros((2, 3072), np.uint8), b"labels": [0, 10]}, "the label of image 1 is 10"),
        ({b"data": np.zeros((2, 3072), np.uint8), b"labels": [0, -1]}, "the label of image 1 is -1"),
        ({b"data": np.zeros((2, 3072), np.uint8), b"labels": ["cat", "dog"]}, "its labels not numbers"),
        ({b"data": np.zeros((2, 3072), np.uint8), b"labels": [0, 2**80]}, "its labels not numbers"),
        ({b"data": [1, 2], b"labels": [0, 1]}, "not an array of bytes"),
        ({b"data": np.zeros((), np.uint8), b"labels": [0]}, "its data are"),
        ({b"data": np.zeros((0, 3072), np.uint8), b"labels": []}, "holds no images"),
        ([1, 2], "does not hold a dict"),
    ],
)
def test_pickles_of_something_else_are_refused(fields, sentence, tmp_path):
    (tmp_path / "test_batch").write_bytes(pickle.dumps(fields, protocol=4))
    with pytest.raises(DataError, match=sentence):
        sources.load(f"cifar10:{tmp_path}")


def test_what_is_missing_or_packed_is_said(batch, tmp_path):
    with pytest.raises(DataError, match="nowhere is not there"):
        sources.load(f"cifar10:{tmp_path / 'nowhere'}")
    with pytest.raises(DataError, match="neither test_batch.bin nor test_batch: give the folder"):
        sources.load(f"cifar10:{tmp_path}")
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(b"\x1f\x8b\x08")
    for path in (tmp_path, tmp_path / "cifar-10-python.tar.gz"):
        with pytest.raises(DataError, match=r"is packed: unpack it \(tar xf cifar-10-python.tar.gz\)"):
            sources.load(f"cifar10:{path}")
    (tmp_path / "data_batch_1").write_bytes(python2(*batch))
    with pytest.raises(DataError, match="data_batch_2 cannot be read: No such file"):
        sources.load(f"cifar10:{tmp_path}", split="train")
    (tmp_path / "test_batch").mkdir()
    with pytest.raises(DataError, match="test_batch cannot be read: it is a directory"):
        sources.load(f"cifar10:{tmp_path}")
