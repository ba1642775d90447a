"""Image files: prepared as torchvision prepares them, by the listed decoders only, and never waited for."""

import contextlib
import os
import socket
import struct
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rsfast import sources
from rsfast.errors import DataError
from rsfast.sources import pictures
from tests.reference import torchvision_sizes


def picture(rng, width, height, mode="RGB"):
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).convert(mode)


def as_bytes(image):
    return np.rint(image * 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("width", "height", "size", "left"),  # by hand, for Resize(256) and CenterCrop(224)
    [
        (500, 366, (349, 256), 62),  # 256 · 500 / 366 = 349.7; (349 - 224) / 2 = 62.5, half to even
        (500, 357, (358, 256), 67),  # 358.5
        (500, 334, (383, 256), 80),  # 383.2; 79.5, half to even
        (500, 375, (341, 256), 58),  # 341.3; 58.5
        (256, 256, (256, 256), 16),
        (1, 1, (256, 256), 16),
        (512, 256, (512, 256), 144),
    ],
)
def test_sizes_and_offsets_are_torchvisions(width, height, size, left):
    assert pictures.resized_size(width, height, 256) == size
    assert pictures.resized_size(height, width, 256) == size[::-1]
    assert pictures.crop_offset(size[0], 224) == left


def test_sizes_equal_those_of_exact_arithmetic():
    for width in range(1, 700, 3):
        for height in (*range(1, 40), *range(41, 700, 17)):
            for shorter in (1, 31, 224, 256):
                assert pictures.resized_size(width, height, shorter) == torchvision_sizes.resized(width, height, shorter)


@pytest.mark.parametrize("side", [1, 2, 5, 8])
def test_crops_are_those_of_the_reference_at_every_size(side, rng):
    for width in range(1, 13):
        for height in range(1, 13):
            image = picture(rng, width, height)
            expected = torchvision_sizes.crop(np.asarray(image), side)
            np.testing.assert_array_equal(np.asarray(pictures.cropped(image, side)), expected)


@pytest.mark.parametrize(("width", "height", "shorter"), [(50, 37, 26), (11, 30, 7), (9, 5, 12), (40, 40, 13)])
def test_resizing_is_bilinear_and_antialiased(width, height, shorter, rng):
    image = picture(rng, width, height)
    found = pictures.resized(image, shorter)
    expected = torchvision_sizes.bilinear(np.asarray(image), *torchvision_sizes.resized(width, height, shorter))
    assert found.size == expected.shape[1::-1]
    assert np.abs(np.asarray(found, dtype=float) - expected).max() <= 1.01  # two passes, each rounded to a whole level


def test_an_image_of_the_wanted_size_is_left_alone(rng):
    image = picture(rng, 12, 8)
    assert pictures.resized(image, 8) is image


def test_a_file_is_resized_and_cropped_as_one_image(tmp_path, rng):
    image = picture(rng, 50, 37)
    image.save(tmp_path / "a.png")
    source = sources.load(tmp_path, resize=26, crop=22)
    small = np.asarray(image.resize((35, 26), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(as_bytes(source.image(0)), small[2:24, 6:28].transpose(2, 0, 1))  # (35 - 22) / 2 = 6.5 → 6


def test_an_image_smaller_than_the_crop_is_padded_with_black(tmp_path, rng):
    image = picture(rng, 3, 4)
    image.save(tmp_path / "a.png")
    expected = np.zeros((6, 6, 3), np.uint8)
    expected[1:5, 1:4] = np.asarray(image)  # three black columns: one before, two after
    np.testing.assert_array_equal(as_bytes(sources.load(tmp_path, crop=6).image(0)), expected.transpose(2, 0, 1))


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n{ } loop\n"


def test_a_postscript_file_of_another_name_starts_no_interpreter(tmp_path, rng, monkeypatch):
    picture(rng, 8, 8).save(tmp_path / "b.png")
    (tmp_path / "a.png").write_bytes(POSTSCRIPT)
    started = []
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: started.append(a))
    source = sources.load(tmp_path)
    with pytest.raises(DataError, match=r"a\.png cannot be read as an image: it is none of BMP, JPEG, PNG, PPM, TIFF, WEBP"):
        source.image(0)
    assert not started


@pytest.mark.parametrize("kind", ["GIF", "ICO", "PCX", "TGA", "PDF"])
def test_decoders_that_are_not_listed_are_not_opened(kind, tmp_path, rng):
    picture(rng, 8, 8).save(tmp_path / "a.x", format=kind)
    (tmp_path / "a.x").rename(tmp_path / "a.jpg")
    with pytest.raises(DataError, match="it is none of"):
        sources.load(tmp_path)


@pytest.mark.parametrize("ending", sorted(pictures.FORMATS))
def test_every_listed_ending_is_read(ending, tmp_path, rng):
    image = picture(rng, 9, 7, "L" if ending == ".pgm" else "RGB")
    image.save(tmp_path / f"a{ending.upper()}", format=pictures.FORMATS[ending])
    assert sources.load(tmp_path).shape == (3, 7, 9)


def test_pipes_sockets_devices_and_circular_links_are_refused_at_once(tmp_path, rng):
    picture(rng, 8, 8).save(tmp_path / "z.png")
    os.mkfifo(tmp_path / "a.png")
    (tmp_path / "b.png").symlink_to("/dev/zero")
    (tmp_path / "c.png").symlink_to("c.png")
    listener = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    os.chdir(tmp_path)
    listener.bind("d.png")
    os.chdir(here)
    (tmp_path / "e.png").symlink_to("nothing")
    said = []

    def read():
        source = sources.load(tmp_path)
        for index in range(5):
            with pytest.raises(DataError) as found:
                source.image(index)
            said.append(str(found.value))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(20)
    listener.close()
    assert len(said) == 5
    for sentence, word in zip(said, ("a pipe", "a device", "symbolic links", "a socket", "No such file"), strict=True):
        assert word in sentence


def test_an_image_that_would_grow_beyond_memory_is_left_out_and_others_are_read(tmp_path, rng):
    Image.new("L", (1, 60000)).save(tmp_path / "a.png")
    picture(rng, 8, 8).save(tmp_path / "b.png")
    source = sources.load(tmp_path, resize=5000, crop=4)
    with pytest.raises(DataError, match=r"a\.png cannot be read as an image: it would be resized to 300000000x5000"):
        source.image(0)
    assert source.image(1).shape == (3, 4, 4)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, *more, bits=8, colour=2, rows=b""):
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    chunks = [chunk(b"IHDR", head), *more, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize(("width", "height"), [(12000, 12000), (100_000, 100_000), (2**31 - 1, 2**31 - 1), (0, 5)])
def test_an_image_that_promises_more_than_it_holds_is_refused(width, height, tmp_path):
    (tmp_path / "a.png").write_bytes(png(width, height))
    with pytest.raises(DataError, match=r"a\.png cannot be read"):
        sources.load(tmp_path)


def test_text_that_unpacks_to_gigabytes_is_refused(tmp_path):
    bomb = b"Comment\0\0" + zlib.compress(b"\0" * 2**24)
    (tmp_path / "a.png").write_bytes(png(1, 1, chunk(b"zTXt", bomb), rows=b"\0\1\2\3"))
    with pytest.raises(DataError, match=r"a\.png cannot be read as an image: Decompressed data too large"):
        sources.load(tmp_path)


@pytest.mark.parametrize("kept", [0, 0.002, 0.02, 0.1, 0.3, 0.7])
@pytest.mark.parametrize("ending", [".png", ".jpg", ".bmp", ".webp", ".tif", ".ppm"])
def test_a_torn_image_is_refused(kept, ending, tmp_path, rng):
    picture(rng, 16, 16).save(tmp_path / f"a{ending}")
    whole = (tmp_path / f"a{ending}").read_bytes()
    (tmp_path / f"a{ending}").write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(DataError, match="cannot be read"):
        sources.load(tmp_path)


def test_damaged_images_are_refused_or_read_and_nothing_else(tmp_path, rng):
    for ending in (".png", ".jpg", ".bmp", ".webp", ".tif", ".ppm"):
        picture(rng, 12, 9).save(tmp_path / f"a{ending}")
        whole = (tmp_path / f"a{ending}").read_bytes()
        for _ in range(25):
            damaged = bytearray(whole)
            damaged[int(rng.integers(min(len(whole), 200)))] = int(rng.integers(256))
            (tmp_path / "b.bin").write_bytes(damaged)
            with contextlib.suppress(DataError):
                assert pictures.pixels(tmp_path / "b.bin", "RGB", None, None).dtype == np.float32


def test_other_modes_become_what_convert_makes_of_them(tmp_path, rng):
    for mode in ("RGBA", "P", "L", "LA", "1", "CMYK", "YCbCr"):
        image = picture(rng, 8, 6, "L" if mode == "LA" else "RGB").convert(mode)
        name = "a.tif" if mode in ("CMYK", "YCbCr") else "a.png"
        image.save(tmp_path / name)
        with Image.open(tmp_path / name) as opened:
            expected = np.asarray(opened.convert("RGB")).transpose(2, 0, 1)
        np.testing.assert_array_equal(as_bytes(pictures.pixels(tmp_path / name, "RGB", None, None)), expected)


def test_a_transparent_palette_warns_of_nothing(tmp_path):
    image = Image.new("P", (4, 4))
    image.putpalette([1, 2, 3] * 256)
    image.save(tmp_path / "a.png", transparency=b"\0\1\2")
    assert as_bytes(sources.load(tmp_path).image(0))[:, 0, 0].tolist() == [1, 2, 3]


def test_an_orientation_is_not_followed(tmp_path, rng):
    image = picture(rng, 9, 6)
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "a.png", exif=exif)
    assert sources.load(tmp_path).shape == (3, 6, 9)


def test_of_an_animation_the_first_frame_is_read(tmp_path, rng):
    first, second = picture(rng, 8, 8), picture(rng, 8, 8)
    first.save(tmp_path / "a.png", save_all=True, append_images=[second])
    np.testing.assert_array_equal(as_bytes(sources.load(tmp_path).image(0)), np.asarray(first).transpose(2, 0, 1))


def test_bytes_that_are_no_utf8_can_be_in_a_name_and_printed(tmp_path, rng):
    folder = os.fsencode(tmp_path) + b"/caf\xe9\n"
    Path(os.fsdecode(folder)).mkdir()
    picture(rng, 8, 8).save(os.fsdecode(folder + b"/b.png"))
    Path(os.fsdecode(folder + b"/\xff\x1b[31m.png")).write_bytes(b"")
    source = sources.load(tmp_path)
    assert len(source.fingerprint()) == 64
    with pytest.raises(DataError) as found:
        source.image(1)
    str(found.value).encode("ascii")
    assert "\n" not in str(found.value)
    code = f"from rsfast import sources; s = sources.load({os.fsdecode(folder)!r}); print(s.name)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, env={**os.environ, "PYTHONIOENCODING": "utf-8"})
    assert ended.returncode == 0, ended.stderr
