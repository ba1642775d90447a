"""Conformance: every kind of data that SOURCES lists is read as it was written, says what is wrong, and is offered by the command."""

import struct

import numpy as np
import pytest

from rsfast import sources
from rsfast.errors import DataError, InvalidArgumentError
from tests.cli.conftest import rsfast  # noqa: F401

RNG = np.random.default_rng(3)
PLANES = {split: RNG.integers(0, 256, (count, 6, 5), dtype=np.uint8) for split, count in (("test", 3), ("train", 4))}
COLOURS = {split: RNG.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8) for split, count in (("test", 3), ("train", 5))}


def labels(count):
    return np.arange(count) * 3 % 10


def digits(folder):
    from sklearn.datasets import load_digits

    data = load_digits()
    test = np.arange(len(data.target)) % 3 == 2
    images = (data.images / 16 * 255)[:, None]
    return "digits", {"test": (images[test], data.target[test]), "train": (images[~test], data.target[~test])}


def npz(folder):
    np.savez(folder / "a.npz", x=COLOURS["test"], y=labels(3))
    return folder / "a.npz", {"test": (COLOURS["test"], labels(3))}


def npy(folder):
    np.save(folder / "a.npy", COLOURS["test"])
    return folder / "a.npy", {"test": (COLOURS["test"], [None] * 3)}


def cifar10(folder):
    for name, images, of in [
        ("test_batch", COLOURS["test"], labels(3)),
        *((f"data_batch_{i + 1}", COLOURS["train"][i : i + 1], labels(5)[i : i + 1]) for i in range(5)),
    ]:
        records = np.concatenate([of[:, None].astype(np.uint8), images.reshape(len(images), -1)], axis=1)
        (folder / f"{name}.bin").write_bytes(records.tobytes())
    return f"cifar10:{folder}", {split: (images, labels(len(images))) for split, images in COLOURS.items()}


def mnist(folder):
    for stem, split in (("t10k", "test"), ("train", "train")):
        images = PLANES[split]
        (folder / f"{stem}-images-idx3-ubyte").write_bytes(struct.pack(">4I", 0x803, *images.shape) + images.tobytes())
        (folder / f"{stem}-labels-idx1-ubyte").write_bytes(
            struct.pack(">2I", 0x801, len(images)) + labels(len(images)).astype(np.uint8).tobytes()
        )
    return f"mnist:{folder}", {split: (images[:, None], labels(len(images))) for split, images in PLANES.items()}


WRITTEN = {"digits": digits, "npz": npz, "npy": npy, "cifar10": cifar10, "mnist": mnist}
"""By kind: writes small data into a folder; the name to load, and of each split images [N, C, H, W] in 0 … 255 and labels."""


def test_every_kind_is_written_here():
    assert set(WRITTEN) == set(sources.SOURCES)


@pytest.fixture(params=sources.SOURCES)
def kind(request):
    return request.param


def splits(kind):
    return kind in sources.WITH_SPLITS


def place(kind):
    return sources.SOURCES[kind].shown.startswith(f"{kind}:")


def test_what_was_written_is_read(kind, tmp_path):
    spec, written = WRITTEN[kind](tmp_path)
    assert set(written) == ({"test", "train"} if splits(kind) else {"test"})
    for split, (images, of) in written.items():
        source = sources.load(spec, split=split if splits(kind) else None)
        assert (len(source), source.shape) == (len(images), images.shape[1:])
        assert [source.label(i) for i in range(len(source))] == list(of)
        assert source.num_classes is None or all(label < source.num_classes for label in of)
        for i in range(len(source)):
            image = source.image(i)
            assert image.flags.c_contiguous
            assert image.dtype == source.dtype == np.float32
            np.testing.assert_allclose(image * 255, images[i], rtol=0, atol=1e-4)


def test_the_test_split_is_the_default(kind, tmp_path):
    if splits(kind):
        spec, written = WRITTEN[kind](tmp_path)
        assert len(sources.load(spec)) == len(written["test"][0]) != len(written["train"][0])


def test_other_kinds_refuse_a_split(kind, tmp_path):
    spec, _ = WRITTEN[kind](tmp_path)
    if not splits(kind):
        with pytest.raises(InvalidArgumentError, match="has no splits, leave it out"):
            sources.load(spec, split="test")


def test_the_fingerprint_is_that_of_the_data(kind, tmp_path):
    spec, written = WRITTEN[kind](tmp_path)
    prints = [sources.load(spec, split=split if splits(kind) else None).fingerprint() for split in (*written, *written)]
    assert prints[: len(written)] == prints[len(written) :]
    assert len(set(prints)) == len(written)


def test_labels_beyond_the_model_are_refused(kind, tmp_path):
    spec, written = WRITTEN[kind](tmp_path)
    if written["test"][1][0] is not None:
        with pytest.raises(InvalidArgumentError, match="num_classes=2 is less than the"):
            sources.load(spec, num_classes=2)


def test_what_is_not_there_or_torn_is_a_sentence(kind, tmp_path):
    spec, _ = WRITTEN[kind](tmp_path)
    files = sorted(file for file in tmp_path.rglob("*") if file.is_file())
    for file in files:
        file.write_bytes(file.read_bytes()[:-7])
    if files:
        with pytest.raises(DataError) as torn:
            sources.load(spec).image(0)
        assert str(torn.value).endswith(".")
        with pytest.raises(DataError):
            sources.load(str(spec).replace(str(tmp_path), str(tmp_path / "absent")))


def test_a_name_without_its_place_is_asked_for_one(kind):
    if place(kind):
        with pytest.raises(InvalidArgumentError, match="names no file or folder"):
            sources.load(f"{kind}:")
        with pytest.raises(DataError, match=f"did you mean {kind}:PATH"):
            sources.load(kind)


def test_image_options_are_refused(kind, tmp_path):
    spec, _ = WRITTEN[kind](tmp_path)
    with pytest.raises(InvalidArgumentError, match="are for image folders"):
        sources.load(spec, crop=2)
    with pytest.raises(InvalidArgumentError, match="a class map is for image folders"):
        sources.load(spec, class_map="alphabet")


def test_the_command_names_it(kind, rsfast):  # noqa: F811
    said = " ".join(rsfast("certify", "--help").out.split())
    assert sources.SOURCES[kind].shown in said
    assert (kind in said.partition("Take this set of")[2].partition("[")[0]) == splits(kind)


def test_a_folder_of_a_data_set_s_name_does_not_stand_for_it(kind, tmp_path, monkeypatch):
    if sources.SOURCES[kind].shown == kind:
        (tmp_path / kind).mkdir()
        monkeypatch.chdir(tmp_path)
        assert len(sources.load(kind)) == len(WRITTEN[kind](tmp_path)[1]["test"][0])
        assert sources.is_folder(f"./{kind}")
