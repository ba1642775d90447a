"""Data sources: what they read is what was written."""

import gzip
import struct

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
    with pytest.raises(DataError, match="data_batch_1.bin cannot be read"):
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
    with pytest.raises(DataError, match="smaller than the crop of 6"):
        sources.load(str(folder), crop=6).image(4)


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
    np.savez(tmp_path / "d.npz", x=rng.random((2, 4, 4), dtype=np.float32))
    with pytest.raises(DataError, match="not of 8-bit pixels"):
        sources.write_npy(sources.load(str(tmp_path / "d.npz")), tmp_path / "other.npy")
    assert not (tmp_path / "other.npy").exists()
