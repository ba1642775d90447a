"""NumPy's files: what NumPy writes is read, and what is damaged, hostile or something else is refused in one sentence."""

import io
import tracemalloc
import zipfile

import numpy as np
import pytest

from rsfast import sources
from rsfast.errors import DataError
from rsfast.sources import npy


def saved(array, **options):
    out = io.BytesIO()
    np.save(out, array, **options)
    return out.getvalue()


def with_header(text, content=b"", version=1):
    body = text.encode("latin1") + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + len(body).to_bytes(2 if version == 1 else 4, "little") + body + content


def archive(path, compression=zipfile.ZIP_DEFLATED, **members):
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return path


def load(path, content):
    """The array in a .npy file and in both kinds of .npz file, which agree."""
    path.with_suffix(".npy").write_bytes(content)
    found = npy.mapped(path.with_suffix(".npy"))
    for compression in (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED):
        packed, names = npy.archived(archive(path.with_suffix(".npz"), compression, x=content), {"x": ("x",)})
        assert names == ["x"]
        np.testing.assert_array_equal(packed["x"], found)
        assert packed["x"].dtype == found.dtype
    return found


@pytest.mark.parametrize("dtype", ["u1", "<f4", ">f4", "<f8", "<f2", ">i8", "<u2", "?", np.longdouble])
@pytest.mark.parametrize("shape", [(), (0,), (7,), (2, 3), (2, 3, 4), (0, 5), (2, 1, 3, 4)])
def test_numpys_arrays_are_read_in_every_order_and_byte_order(dtype, shape, tmp_path, rng):
    array = rng.integers(0, 2, shape).astype(dtype)
    for ordered in (array, np.asfortranarray(array)):
        found = load(tmp_path / "a", saved(ordered))
        np.testing.assert_array_equal(found, array)
        assert found.dtype == array.dtype


@pytest.mark.parametrize(
    "text",
    [
        "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3), }",
        "{'shape':(2,3),'fortran_order':False,'descr':'<u1'}",
        '{"descr": "|u1", "fortran_order": False, "shape": (2L, 3L)}   ',
        "  {'fortran_order': False, 'descr': 'u1', 'shape': (2, 3,)}",
    ],
)
@pytest.mark.parametrize("version", [1, 2, 3])
def test_headers_of_other_writers_are_read(text, version, tmp_path):
    assert load(tmp_path / "a", with_header(text, bytes(range(6)), version)).tolist() == [[0, 1, 2], [3, 4, 5]]


HEADERS = {
    "{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000,), }": "promises 1,000,000,000,000 bytes",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999999, 99999999999999999), }": "promises",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (" + "9" * 5000 + ",), }": "damaged",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (-3,), }": "damaged",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (True,), }": "damaged",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (2.5,), }": "damaged",
    "{'descr': '|u1', 'fortran_order': False, 'shape': 3, }": "damaged",
    "{'descr': '|u1', 'fortran_order': 2, 'shape': (3,), }": "damaged",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (" + "1," * 40 + "), }": "damaged",
    "{'descr': '|u1', 'fortran_order': False, }": "damaged",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (3,), 'more': 'x', }": "damaged",
    "{'descr': 3, 'fortran_order': False, 'shape': (3,), }": "damaged",
    "{'descr': ('|u1', (3,)), 'fortran_order': False, 'shape': (3,), }": "records",
    "{'descr': [('a', '<i4'), ('b', '|u1', (3,))], 'fortran_order': False, 'shape': (3,), }": "records",
    "{'descr': '|O', 'fortran_order': False, 'shape': (3,), }": "Python objects, which are pickled",
    "{'descr': '<U5', 'fortran_order': False, 'shape': (3,), }": "<U5, not plain numbers",
    "{'descr': '|V0', 'fortran_order': False, 'shape': (3,), }": "not plain numbers",
    "{'descr': '<c8', 'fortran_order': False, 'shape': (3,), }": "not plain numbers",
    "{'descr': '<M8[ns]', 'fortran_order': False, 'shape': (3,), }": "not plain numbers",
    "{'descr': '<f1', 'fortran_order': False, 'shape': (3,), }": "not plain numbers",
    "{'descr': '" + "<" * 3000 + "', 'fortran_order': False, 'shape': (3,), }": "damaged",
    "{'descr': __import__('os').system('true'), 'fortran_order': False, 'shape': (3,), }": "damaged",
    "(" * 5000: "damaged",
    "{" * 5000: "damaged",
    "": "damaged",
    "{}": "damaged",
    "'''": "damaged",
    "{'descr': '|u1'\0, 'fortran_order': False, 'shape': (3,), }": "damaged",
    "\xff\xfe\x1b[31m": "damaged",
}


@pytest.mark.parametrize("text", HEADERS, ids=range(len(HEADERS)))
def test_damaged_and_hostile_headers_are_refused_in_one_sentence(text, tmp_path):
    content = with_header(text, bytes(24))
    (tmp_path / "a.npy").write_bytes(content)
    archive(tmp_path / "a.npz", x=content)
    for name in ("a.npy", "a.npz"):
        tracemalloc.start()
        with pytest.raises(DataError, match="not a readable") as found:
            sources.load(tmp_path / name)
        assert tracemalloc.get_traced_memory()[1] < 2**22
        tracemalloc.stop()
        assert HEADERS[text] in str(found.value)
        assert len(str(found.value)) < 400
        assert str(found.value).isprintable()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x93NUMPY",
        b"\x93NUMPY\1\0",
        b"\x93NUMPY\1\0\xff\xff{",
        b"\x93NUMPY\4\0\2\0{}",
        b"\x93NUMPY\2\0\xff\xff\xff\xff{}",
        b"PK\3\4",
    ],
)
def test_torn_files_are_refused(content, tmp_path):
    (tmp_path / "a.npy").write_bytes(content)
    (tmp_path / "b.npz").write_bytes(content)
    archive(tmp_path / "a.npz", x=content)
    for name in ("a.npy", "a.npz", "b.npz"):
        with pytest.raises(DataError, match="not a readable"):
            sources.load(tmp_path / name)


def test_files_that_are_too_short_or_too_long_are_refused(tmp_path):
    whole = saved(np.zeros((2, 4, 4), np.uint8))
    for content in (whole[:-1], whole + b"\0"):
        (tmp_path / "a.npy").write_bytes(content)
        archive(tmp_path / "a.npz", x=content)
        for name in ("a.npy", "a.npz"):
            with pytest.raises(DataError, match="promises"):
                sources.load(tmp_path / name)


def test_one_bit_anywhere_in_a_file_is_refused_or_read_as_an_array(tmp_path, rng):
    whole = saved(rng.integers(0, 256, (3, 4, 5), dtype=np.uint8))
    for _ in range(200):
        damaged = bytearray(whole)
        damaged[int(rng.integers(130))] ^= 1 << int(rng.integers(8))
        (tmp_path / "a.npy").write_bytes(damaged)
        try:
            assert sources.load(tmp_path / "a.npy").images.ndim == 4
        except DataError as error:
            assert "a.npy" in str(error)


def test_an_archive_of_objects_is_not_unpickled(tmp_path):
    class Evil:
        def __reduce__(self):
            return (pytest.fail, ("code was run",))

    np.savez(tmp_path / "a.npz", x=np.array([Evil()], dtype=object), y=np.zeros(1, int))
    with pytest.raises(DataError, match="x.npy cannot be read: it holds Python objects, which are pickled"):
        sources.load(tmp_path / "a.npz")


def test_an_archive_whose_sizes_are_lies_takes_no_memory_for_them(tmp_path):
    content = with_header("{'descr': '|u1', 'fortran_order': False, 'shape': (4000, 1000, 1000), }", bytes(100))
    whole = archive(tmp_path / "a.npz", zipfile.ZIP_STORED, x=content).read_bytes()
    directory = whole.index(b"PK\1\2")
    for place in (directory + 20, directory + 24):  # compressed and real size
        lying = bytearray(whole)
        lying[place : place + 4] = (2**32 - 2).to_bytes(4, "little")
        (tmp_path / "a.npz").write_bytes(lying)
        tracemalloc.start()
        with pytest.raises(DataError, match="promises 4,000,000,000 bytes, more than the file can hold"):
            sources.load(tmp_path / "a.npz")
        assert tracemalloc.get_traced_memory()[1] < 2**22
        tracemalloc.stop()


def test_other_compressions_are_refused(tmp_path):
    archive(tmp_path / "a.npz", zipfile.ZIP_LZMA, x=saved(np.zeros((2, 8, 8), np.uint8)))
    with pytest.raises(DataError, match="compressed by a method that NumPy does not write"):
        sources.load(tmp_path / "a.npz")


def test_an_array_larger_than_memory_is_not_begun(tmp_path, monkeypatch):
    monkeypatch.setattr(npy, "memory", lambda: 1000)
    np.savez(tmp_path / "a.npz", x=np.zeros((4, 20, 20), np.uint8))
    with pytest.raises(DataError, match=r"x.npy takes .* and this machine has .*: save the images as a \.npy file"):
        sources.load(tmp_path / "a.npz")


def test_names_in_an_archive(tmp_path):
    archive(tmp_path / "a.npz", X=saved(np.full((1, 2, 2), 7, np.uint8)), x=saved(np.zeros((1, 2, 2), np.uint8)))
    assert sources.load(tmp_path / "a.npz").images.max() == 0
    archive(tmp_path / "a.npz", z=b"", **{"\x1b[31m": b""})
    with pytest.raises(DataError, match=r"holds z, \\x1b\[31m: name the images x"):
        sources.load(tmp_path / "a.npz")
    archive(tmp_path / "a.npz")
    with pytest.raises(DataError, match="holds nothing: name the images x"):
        sources.load(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"x": np.zeros((4, 4), np.uint8)}, r"images of shape \(4, 4\)"),
        ({"x": np.zeros((0, 1, 4, 4), np.uint8)}, "holds no images"),
        ({"x": np.zeros((2, 0, 4, 4), np.uint8)}, "holds no images"),
        ({"x": np.zeros((2, 4, 4), np.int32)}, "holds int32 images"),
        ({"x": np.zeros((2, 4, 4), bool)}, "holds bool images"),
        ({"x": np.zeros((2, 8, 9, 3), np.uint8)}, r"reads as \[N, H, W, C\]"),
        ({"x": np.zeros((2, 4, 4), np.uint8), "y": np.zeros(3, int)}, r"labels \(3,\) int64: give one integer each"),
        ({"x": np.zeros((2, 4, 4), np.uint8), "y": np.zeros((2, 10), int)}, "give one integer each"),
        ({"x": np.zeros((2, 4, 4), np.uint8), "y": np.zeros(2)}, "give one integer each"),
        ({"x": np.zeros((2, 4, 4), np.uint8), "y": np.array([0, -1])}, "the label of image 1 is -1"),
        (
            {"x": np.zeros((2, 4, 4), np.uint8), "y": np.array([2**63, 0], np.uint64)},
            "the label of image 0 is 9223372036854775808",
        ),
    ],
)
def test_arrays_that_are_no_images_are_refused(arrays, sentence, tmp_path):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=sentence):
        sources.load(tmp_path / "a.npz")


def test_images_are_the_same_in_every_order_and_a_bad_pixel_is_of_one_image(tmp_path, rng):
    images = rng.random((3, 2, 4, 5)).astype(np.float32)
    images[1, 0, 0, 0], images[2, 0, 0, 0] = np.nan, 1.5
    np.save(tmp_path / "a.npy", np.asfortranarray(images).astype(">f4"))
    source = sources.load(tmp_path / "a.npy")
    np.testing.assert_array_equal(source.image(0), images[0])
    assert source.image(0).flags.c_contiguous
    assert source.image(0).dtype == np.dtype("<f4")
    for index, sentence in ((1, "image 1 of a.npy holds NaN"), (2, "image 2 of a.npy reaches from")):
        with pytest.raises(DataError, match=sentence):
            source.image(index)
