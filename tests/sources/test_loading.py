"""Data sources: what they read is what was written."""

import gzip
import os
import struct
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rsfast import sources
from rsfast.errors import DataError, InvalidArgumentError


def as_bytes(source, index):
    return np.rint(source.image(index) * 255).astype(np.uint8)


def test_digits_has_a_fixed_split():
    test, train = sources.load("digits"), sources.load("digits", split="train")
    assert (len(test), len(train)) == (599, 1198)
    assert test.shape == (1, 8, 8)
    assert test.num_classes == 10
    assert [test.label(i) for i in range(8)] == [2, 5, 8, 1, 4, 7, 0, 3]
    assert test.image(0).dtype == np.float32
    assert test.image(0).max() <= 1
    assert test.fingerprint() != train.fingerprint()
    assert test.fingerprint() == sources.load("digits").fingerprint()


@pytest.mark.parametrize("names", [("x", "y"), ("images", "labels"), ("X", "Y")])
def test_npz_of_bytes_and_of_floats(names, tmp_path, rng):
    x, y = rng.integers(0, 256, (4, 3, 5, 6), dtype=np.uint8), np.array([0, 3, 1, 2])
    np.savez(tmp_path / "a.npz", **dict(zip(names, (x, y), strict=True)))
    np.savez(tmp_path / "b.npz", **dict(zip(names, ((x / 255).astype(np.float32), y), strict=True)))
    a, b = sources.load(str(tmp_path / "a.npz")), sources.load(str(tmp_path / "b.npz"))
    assert a.num_classes == 4
    assert (as_bytes(a, 2) == x[2]).all()
    np.testing.assert_array_equal(a.image(1), b.image(1))
    assert [a.label(i) for i in range(4)] == y.tolist()
    assert a.fingerprint() != b.fingerprint()


def test_npz_without_labels(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros((2, 7, 9), np.uint8))
    source = sources.load(str(tmp_path / "a.npz"))
    assert source.label(0) is None
    assert source.num_classes is None
    assert source.shape == (1, 7, 9)


def test_cifar10_binary_batches(tmp_path, rng):
    table = rng.integers(0, 256, (5, 3073), dtype=np.uint8)
    table[:, 0] %= 10
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    (folder / "test_batch.bin").write_bytes(table.tobytes())
    for path in (tmp_path, folder, folder / "test_batch.bin"):
        source = sources.load(f"cifar10:{path}")
        assert len(source) == 5
        assert (as_bytes(source, 3) == table[3, 1:].reshape(3, 32, 32)).all()
        assert source.label(3) == table[3, 0]
    with pytest.raises(DataError, match="has neither data_batch_1.bin nor data_batch_1"):
        sources.load(f"cifar10:{tmp_path}", split="train")
    (folder / "test_batch.bin").write_bytes(table.tobytes()[:-1])
    with pytest.raises(DataError, match="not a multiple of 3073"):
        sources.load(f"cifar10:{tmp_path}")


@pytest.mark.parametrize("compressed", [False, True])
def test_mnist_idx_files(compressed, tmp_path, rng):
    x, y = rng.integers(0, 256, (6, 28, 28), dtype=np.uint8), rng.integers(0, 10, 6, dtype=np.uint8)
    for name, array in (("images-idx3", x), ("labels-idx1", y)):
        data = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
        file = tmp_path / f"t10k-{name}-ubyte{'.gz' if compressed else ''}"
        file.write_bytes(gzip.compress(data) if compressed else data)
    source = sources.load(f"mnist:{tmp_path}")
    assert (as_bytes(source, 4)[0] == x[4]).all()
    assert source.label(4) == y[4]
    assert source.num_classes == 10


def test_a_torn_idx_file_is_refused(tmp_path):
    for name in ("images-idx3", "labels-idx1"):
        (tmp_path / f"t10k-{name}-ubyte").write_bytes(struct.pack(">HBBIII", 0, 8, 3, 5, 2, 2) + b"\0" * 19)
    with pytest.raises(DataError, match="it is torn"):
        sources.load(f"mnist:{tmp_path}")
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(b"GIF89a")
    with pytest.raises(DataError, match="not an idx file"):
        sources.load(f"mnist:{tmp_path}")


@pytest.fixture
def folder(tmp_path, rng):
    for label in ("b", "a"):
        (tmp_path / label).mkdir()
        for i in range(2):
            Image.fromarray(rng.integers(0, 256, (10, 14, 3), dtype=np.uint8)).save(tmp_path / label / f"{i}.png")
    (tmp_path / "a" / "notes.txt").write_text("not an image")
    return tmp_path


def test_a_folder_is_sorted_with_one_class_per_subfolder(folder):
    source = sources.load(f"folder:{folder}")
    assert len(source) == 4
    assert [source.label(i) for i in range(4)] == [0, 0, 1, 1]
    assert source.classes == ["a", "b"]
    assert source.shape == (3, 10, 14)
    stored = np.asarray(Image.open(folder / "a" / "1.png"))
    assert (as_bytes(source, 1) == stored.transpose(2, 0, 1)).all()
    assert sources.load(str(folder)).fingerprint() == source.fingerprint()


def test_resize_crop_and_gray(folder):
    source = sources.load(str(folder), resize=8, crop=6, gray=True)
    assert source.shape == source.image(0).shape == (1, 6, 6)
    assert source.fingerprint() != sources.load(str(folder)).fingerprint()
    with Image.open(folder / "a" / "0.png") as opened:
        small = np.asarray(opened.convert("L").resize((11, 8), Image.Resampling.BILINEAR))
    assert (as_bytes(source, 0)[0] == small[1:7, 2:8]).all()


def test_images_of_different_sizes_ask_for_a_crop(folder):
    Image.new("RGB", (4, 4)).save(folder / "b" / "9.png")
    source = sources.load(str(folder))
    with pytest.raises(DataError, match="9.png is 4x4, other images are 10x14: give --resize and --crop"):
        source.image(4)
    assert sources.load(str(folder), crop=6).image(4).shape == (3, 6, 6)


def test_images_beside_class_folders_are_refused(folder):
    Image.new("RGB", (4, 4)).save(folder / "stray.png")
    with pytest.raises(DataError, match="both beside and inside"):
        sources.load(str(folder))


def test_a_folder_whose_first_image_is_broken_still_opens(folder):
    (folder / "a" / "0.png").write_bytes(b"")
    source = sources.load(str(folder))
    assert source.shape == (3, 10, 14)
    with pytest.raises(DataError, match=r"0\.png cannot be read"):
        source.image(0)
    for file in folder.rglob("*.png"):
        file.write_bytes(b"")
    with pytest.raises(DataError, match="no image of .* can be read"):
        sources.load(str(folder))


def test_options_that_a_source_does_not_take_are_refused(folder, tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros((2, 7, 9), np.uint8))
    for spec, options in (
        (str(folder), {"split": "test"}),
        (str(tmp_path / "a.npz"), {"split": "test"}),
        ("digits", {"crop": 4}),
    ):
        with pytest.raises(InvalidArgumentError):
            sources.load(spec, **options)


def test_links_empty_classes_and_hidden_folders(folder):
    (folder / ".thumbs").mkdir()
    Image.new("RGB", (4, 4)).save(folder / ".thumbs" / "0.png")
    (folder / "aa").mkdir()
    (folder / "c").symlink_to(folder / "b")
    source = sources.load(str(folder))
    assert source.classes == ["a", "aa", "b", "c"]
    assert [source.label(i) for i in range(len(source))] == [0, 0, 2, 2, 3, 3]


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_images_of_more_than_eight_bits_are_refused(folder, dtype):
    Image.fromarray(np.full((10, 14), 1000, dtype)).save(folder / "a" / "0.tif")
    with pytest.raises(DataError, match="only 8-bit images are taken"):
        sources.load(str(folder)).image(1)


def test_damaged_archives_are_refused(tmp_path, rng):
    np.savez_compressed(tmp_path / "a.npz", x=rng.integers(0, 256, (4, 9, 9), dtype=np.uint8), y=np.arange(4))
    whole = bytearray((tmp_path / "a.npz").read_bytes())
    refused = 0
    for _ in range(200):
        damaged = whole.copy()
        damaged[int(rng.integers(len(whole)))] ^= int(rng.integers(1, 256))
        (tmp_path / "b.npz").write_bytes(damaged)
        try:
            sources.load(str(tmp_path / "b.npz"))
        except DataError:
            refused += 1
    assert refused > 20


@pytest.mark.parametrize("content", [b"", b"\0\0\x08", b"\0\0\x08\x03\0\0", b"\x1f\x8b\x08\0broken"])
def test_damaged_idx_files_are_refused(content, tmp_path):
    for end in ("", ".gz"):
        (tmp_path / f"t10k-images-idx3-ubyte{end}").write_bytes(content)
        (tmp_path / f"t10k-labels-idx1-ubyte{end}").write_bytes(content)
    with pytest.raises(DataError):
        sources.load(f"mnist:{tmp_path}")
    for name in ("images-idx3", "labels-idx1"):
        (tmp_path / f"t10k-{name}-ubyte").unlink()
    with pytest.raises(DataError):
        sources.load(f"mnist:{tmp_path}")


def test_a_npy_file_is_left_on_disk_and_gives_its_images(tmp_path, rng):
    images = rng.integers(0, 256, (5, 3, 4, 6), dtype=np.uint8)
    np.save(tmp_path / "x.npy", images)
    source = sources.load(str(tmp_path / "x.npy"))
    assert source.shape == (3, 4, 6)
    assert source.label(0) is None
    assert isinstance(sources.blocks(source), np.memmap)
    np.testing.assert_array_equal(source.image(3), images[3].astype(np.float32) / np.float32(255))
    (tmp_path / "torn.npy").write_bytes((tmp_path / "x.npy").read_bytes()[:90])
    with pytest.raises(DataError, match=r"not a readable \.npy file"):
        sources.load(str(tmp_path / "torn.npy"))


def test_a_folder_is_read_in_blocks(tmp_path, rng):
    from PIL import Image

    pixels = rng.integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    for i, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / f"{i}.png")
    blocks = sources.blocks(sources.load(str(tmp_path)))
    assert len(blocks) == 5
    expected = pixels.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(blocks.block(2, 9), expected[2:])


def test_a_source_is_packed_into_one_file_and_back(tmp_path, rng):
    from PIL import Image

    pixels = rng.integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
    for i, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / f"{i}.png")
    source = sources.load(str(tmp_path))
    steps = []
    sources.write_npy(source, tmp_path / "all.npy", lambda: steps.append(1))
    packed = sources.load(str(tmp_path / "all.npy"))
    assert len(steps) == len(packed) == 6
    for i in range(6):
        np.testing.assert_array_equal(packed.image(i), source.image(i))
    assert not list(tmp_path.glob(".*partial"))


def test_floating_point_images_are_packed_as_they_are(tmp_path, rng):
    np.savez(tmp_path / "single.npz", x=rng.random((2, 4, 4), dtype=np.float32))
    np.savez(tmp_path / "double.npz", x=rng.random((2, 4, 4)).astype(">f8"))
    np.savez(tmp_path / "half.npz", x=rng.random((2, 4, 4)).astype(np.float16))
    digits = sources.load("digits", split="train")
    for source in (digits, *(sources.load(tmp_path / f"{name}.npz") for name in ("single", "double", "half"))):
        sources.write_npy(source, tmp_path / "packed.npy")
        packed = sources.load(tmp_path / "packed.npy")
        assert packed.images.dtype == source.dtype
        np.testing.assert_array_equal(packed.images, source.images)


@pytest.mark.parametrize("kind", ["folder", "pipe", "no folder", "no npy"])
def test_packing_says_where_it_cannot_write(kind, tmp_path):
    file = tmp_path / ("a.npz" if kind == "no npy" else "none/a.npy" if kind == "no folder" else "a.npy")
    if kind == "folder":
        file.mkdir()
    elif kind == "pipe":
        os.mkfifo(file)
    with pytest.raises(DataError, match="does not end in" if kind == "no npy" else "cannot be written"):
        sources.write_npy(sources.load("digits"), file)
    assert not list(tmp_path.glob(".*partial"))


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("", "names no file or folder"),
        ("cifar10:", "names no file or folder"),
        ("mnist:", "names no file or folder"),
        ("folder:", "names no file or folder"),
        ("cifar:x", "did you mean cifar10:PATH"),
        ("CIFAR-10:x", "did you mean cifar10:PATH"),
        ("cifar10", "did you mean cifar10:PATH"),
        ("minst:x", "did you mean mnist:PATH"),
        ("digit", "did you mean digits"),
        ("Digits", "did you mean digits"),
        ("imagenet", "is not known and no such file exists: give one of"),
        ("no\udcff\nsuch", r"\\udcff\\nsuch"),
        ("a\0b", "cannot be read"),
        ("x" * 300, "File name too long"),
        ("x" * 5000, "File name too long"),
        ("/dev/null", "is neither a folder nor"),
        ("/proc/self/status", "is neither a folder nor"),
        ("cifar10:/dev/zero", "it is a device, not a file"),
        ("cifar10:/proc/self/status", "has 0 bytes"),
        ("mnist:/dev/null", "has no t10k-images"),
        ("npz:/dev/zero", "is neither a folder nor"),
    ],
)
def test_a_source_that_is_none_is_one_sentence_that_can_be_printed(spec, sentence):
    with pytest.raises((DataError, InvalidArgumentError), match=sentence) as found:
        sources.load(spec)
    assert str(found.value).isprintable()
    assert len(str(found.value)) < 700


@pytest.mark.parametrize("spec", [None, 5, ["digits"]])
def test_a_source_is_named_by_text(spec):
    with pytest.raises(InvalidArgumentError, match="a data source is"):
        sources.load(spec)


@pytest.mark.parametrize("spec", ["/", "folder:/", "//", "/usr/..", "/proc", "/sys", "/dev"])
def test_whole_systems_are_refused_at_once(spec):
    began = time.monotonic()
    with pytest.raises(DataError):
        sources.load(spec)
    assert time.monotonic() - began < 10


def test_a_folder_of_few_images_among_many_files_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("rsfast.sources.folder.MANY", 100)
    (tmp_path / "a").mkdir()
    for i in range(150):
        (tmp_path / "a" / f"{i}.txt").write_bytes(b"")
    Image.new("L", (4, 4)).save(tmp_path / "a" / "0.png")
    with pytest.raises(DataError, match=r"of the first 100 names in .* only \d+ are images: give the folder"):
        sources.load(tmp_path)


@pytest.mark.parametrize("ending", [".npz", ".npy"])
@pytest.mark.parametrize("kind", ["folder", "pipe", "loop", "link to a device"])
def test_files_that_are_none_are_refused_at_once(ending, kind, tmp_path):
    path = tmp_path / f"a{ending}"
    {
        "folder": path.mkdir,
        "pipe": lambda: os.mkfifo(path),
        "loop": lambda: path.symlink_to(path),
        "link to a device": lambda: path.symlink_to("/dev/zero"),
    }[kind]()
    with pytest.raises(DataError, match="holds no images" if kind == "folder" else "cannot be read"):
        sources.load(path)


def test_links_back_into_a_parent_are_left_out(folder):
    (folder / "a" / "loop").symlink_to(folder)
    (folder / "b" / "here").symlink_to(folder / "b")
    (folder / "c").symlink_to(folder)
    source = sources.load(folder)
    assert len(source) == 4
    assert source.classes == ["a", "b"]


def test_a_class_that_is_a_link_to_nothing_is_refused(folder):
    for place in ("gone", "aa"):
        (folder / "aa").symlink_to(folder / place)
        with pytest.raises(DataError, match="aa is a link to nothing: mend or remove it"):
            sources.load(folder)
        (folder / "aa").unlink()


def test_what_systems_put_beside_images_counts_for_nothing(folder):
    plain = sources.load(folder).fingerprint()
    for name in (".DS_Store", "a/.DS_Store", "a/._0.png", "Thumbs.db", "b/notes.txt"):
        (folder / name).write_bytes(b"x")
    for name in (".ipynb_checkpoints", "__MACOSX", "lost+found", "a/.git"):
        (folder / name).mkdir()
        Image.new("RGB", (4, 4)).save(folder / name / "0.png")
    source = sources.load(folder)
    assert (source.classes, source.fingerprint()) == (["a", "b"], plain)


def test_classes_are_sorted_by_code_point_and_images_may_lie_deeper(tmp_path):
    for name in ("b/x", "B", "10", "9", "a"):
        (tmp_path / name).mkdir(parents=True)
        Image.new("RGB", (4, 4)).save(tmp_path / name / "0.PNG")
    source = sources.load(tmp_path)
    assert source.classes == ["10", "9", "B", "a", "b"]
    assert [source.label(i) for i in range(5)] == [0, 1, 2, 3, 4]
    assert source.files[4] == tmp_path / "b" / "x" / "0.PNG"


def test_a_class_folder_that_cannot_be_listed_is_an_error_and_not_an_empty_class(folder, monkeypatch):
    real = os.scandir

    def scandir(path):
        if Path(path).name == "b":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(DataError, match="b cannot be listed: Permission denied. Make it readable"):
        sources.load(folder)


def idx(array):
    return struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (bytes.fromhex("00000803000000040000002000000020") + bytes(4095), "holds 4095: it is torn"),
        (bytes.fromhex("00000803000000040000002000000020") + bytes(4097), "holds more: it is torn"),
        (bytes.fromhex("00000803ffffffffffffffffffffffff"), "more than it can hold"),
        (bytes.fromhex("00000803ffffffff0000000100000001"), "more than it can hold"),
        (bytes.fromhex("000008ff") + bytes(1020), "of 255 axes"),
        (bytes.fromhex("00000800") + bytes(1), "of 0 axes"),
        (bytes.fromhex("00000801") + bytes.fromhex("00000002") + bytes(2), "holds images of shape"),
        (bytes.fromhex("00000803000000000000002000000020"), "holds no images"),
        (bytes.fromhex("0000080300000000ffffffffffffffff"), "holds no images"),  # more than an address, times nothing
        (bytes.fromhex("00000c0300000004"), "not an idx file of bytes"),
        (bytes.fromhex("03080000"), "not an idx file of bytes"),
    ],
)
def test_damaged_idx_headers_are_refused_plain_and_packed(content, sentence, tmp_path):
    for end in ("", ".gz"):
        for file in tmp_path.iterdir():
            file.unlink()
        (tmp_path / f"t10k-images-idx3-ubyte{end}").write_bytes(gzip.compress(content) if end else content)
        (tmp_path / f"t10k-labels-idx1-ubyte{end}").write_bytes(gzip.compress(idx(np.zeros(4, np.uint8))) if end else b"")
        if not end:
            (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx(np.zeros(4, np.uint8)))
        with pytest.raises(DataError, match=sentence):
            sources.load(f"mnist:{tmp_path}")


@pytest.mark.parametrize(
    "change", [lambda d: d[:-1], lambda d: d[:-9], lambda d: d[:20], lambda d: d + b"garbage", lambda d: b""]
)
def test_a_packed_idx_file_that_is_cut_or_goes_on_is_refused(change, tmp_path):
    images, labels = idx(np.zeros((4, 5, 5), np.uint8)), idx(np.zeros(4, np.uint8))
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(change(gzip.compress(images)))
    (tmp_path / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))
    with pytest.raises(DataError, match=r"images-idx3-ubyte\.gz"):
        sources.load(f"mnist:{tmp_path}")


def test_a_packed_file_that_would_unpack_to_gigabytes_is_read_no_further_than_its_header_says(tmp_path):
    tail = gzip.compress(idx(np.zeros((1, 2, 2), np.uint8)) + bytes(2**26), 1)
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(tail)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(np.zeros(1, np.uint8))))
    tracemalloc.start()
    with pytest.raises(DataError, match="holds more: it is torn"):
        sources.load(f"mnist:{tmp_path}")
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()
