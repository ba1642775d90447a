"""Image folders on the command line: which class of the model a folder is."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from rsfast import models
from rsfast.compat.locuslab import certify as compat_certify
from rsfast.compat.locuslab import datasets
from rsfast.errors import InvalidArgumentError, ModelError
from rsfast.runs.store import records

SMALL = ("--sigma", "0.05", "--n0", "10", "--n", "100", "--alpha", "0.01", "--seed", "5", "--quiet", "--gray")
NAMES = ["ant", "bee", "cat", "dog"]


@pytest.fixture
def folder(tmp_path):
    """Two of four classes; the first pixels of an image say which it is, as `factories:pixels` reads them."""
    for name in ("cat", "dog"):
        (tmp_path / "val" / name).mkdir(parents=True)
        pixels = np.zeros((8, 8), np.uint8)
        pixels[0, NAMES.index(name)] = 255
        Image.fromarray(pixels).save(tmp_path / "val" / name / "0.png")
    return tmp_path / "val"


@pytest.fixture
def checkpoint(tmp_path):
    """A small network that says which of its four classes are which, and weights for them."""

    def write(**more):
        torch.manual_seed(0)
        network = models.build("small-cnn", num_classes=4, channels=1)
        torch.save({"state_dict": network.state_dict(), **more}, tmp_path / "net.pt")
        return ("--model", "small-cnn", "--checkpoint", tmp_path / "net.pt")

    return write


PIXELS = ("--model", "tests.reference.factories:pixels", "--num-classes", 10)


def labels(run):
    return [record["label"] for _, record in sorted(records(run).items())]


def test_fewer_folders_than_classes_are_asked_about_before_anything_is_run(rsfast, folder, tmp_path):
    result = rsfast("certify", *PIXELS, "--data", folder, *SMALL, "--out", tmp_path / "run")
    assert result.code == 1
    assert "val has 2 class folders (cat, dog) and the model 10 classes" in result.err
    assert "Give --class-map FILE" in result.err
    assert not (tmp_path / "run").exists()


def test_with_a_class_map_the_labels_are_the_models(rsfast, folder, tmp_path):
    (tmp_path / "map.json").write_text(json.dumps({name: i for i, name in enumerate(NAMES)}))
    command = ("certify", *PIXELS, "--data", folder, *SMALL, "--out", tmp_path / "run")
    assert rsfast(*command, "--class-map", tmp_path / "map.json").code == 0
    assert labels(tmp_path / "run") == [2, 3]
    assert "1.000" in rsfast("report", tmp_path / "run").out
    other = rsfast(*command, "--class-map", "alphabet")
    assert (other.code, "belongs to another run" in other.err or "not mixed" in other.err) == (1, True)


def test_the_alphabet_is_taken_where_it_is_asked_for(rsfast, folder, tmp_path):
    command = ("certify", *PIXELS, "--data", folder, *SMALL, "--class-map", "alphabet", "--out", tmp_path / "run")
    assert rsfast(*command).code == 0
    assert labels(tmp_path / "run") == [0, 1]


@pytest.mark.parametrize("entry", [{"classes": NAMES}, {"class_to_idx": {name: i for i, name in enumerate(NAMES)}}])
def test_a_checkpoints_own_classes_are_the_class_map(entry, rsfast, folder, checkpoint, tmp_path):
    result = rsfast("certify", *checkpoint(**entry), "--data", folder, *SMALL, "--out", tmp_path / "run")
    assert result.code == 0, result.err
    assert labels(tmp_path / "run") == [2, 3]


def test_a_checkpoint_that_does_not_know_a_folder_is_named(rsfast, folder, checkpoint, tmp_path):
    result = rsfast(
        "certify", *checkpoint(classes=["ant", "bee", "cow", "dog"]), "--data", folder, *SMALL, "--out", tmp_path / "a"
    )
    assert "the checkpoint net.pt does not name the folder cat; it names ant, bee, cow, dog" in result.err
    counted = checkpoint(classes=4)  # a number is no list of names
    result = rsfast("certify", *counted, "--num-classes", 4, "--data", folder, *SMALL, "--out", tmp_path / "a")
    assert "2 class folders" in result.err


def test_checkpoints_that_disagree_are_refused(tmp_path):
    for name, classes in (("a", NAMES), ("b", NAMES[::-1])):
        torch.save({"classes": classes}, tmp_path / f"{name}.pt")
    with pytest.raises(InvalidArgumentError, match="the classes of a.pt and b.pt differ"):
        models.own_classes([tmp_path / "a.pt", tmp_path / "b.pt"])
    assert models.own_classes([tmp_path / "a.pt"]) == (tuple(NAMES), "a.pt")
    torch.save({"epoch": 3}, tmp_path / "c.pt")
    assert models.own_classes([tmp_path / "c.pt"]) is None
    with pytest.raises(ModelError, match="nothing.pt cannot be read"):
        models.own_classes([tmp_path / "nothing.pt"])


def test_imagenet_of_the_drop_in_asks_and_takes_a_class_map(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("IMAGENET_DIR", str(tmp_path))
    with pytest.raises(InvalidArgumentError, match="2 class folders"):
        datasets.get_dataset("imagenet", "test")
    (tmp_path / "map.txt").write_text("cat 281\ndog 207\n")
    data = datasets.get_dataset("imagenet", "test", str(tmp_path / "map.txt"))
    assert [label for _, label in data] == [281, 207]
    assert data[0][0].shape == (3, 224, 224)
    command = ["imagenet", "tests.reference.factories:linear", "0.25", str(tmp_path / "log.tsv"), "--N0", "5", "--N", "10"]
    with pytest.raises(InvalidArgumentError, match="Give --class-map FILE"):
        compat_certify.run(command)


def test_pack_takes_digits(rsfast, tmp_path):
    assert rsfast("pack", "digits", tmp_path / "train.npy", "--split", "train").code == 0
    packed = np.load(tmp_path / "train.npy")
    assert (packed.shape, packed.dtype) == ((1198, 1, 8, 8), np.float32)
