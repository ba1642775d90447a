"""Labels of image folders are the model's classes, not places in the alphabet by accident."""

import json

import numpy as np
import pytest
from PIL import Image

from rsfast import sources
from rsfast.errors import DataError, InvalidArgumentError
from rsfast.sources.classes import class_map, read_class_map


@pytest.fixture
def folder(tmp_path):
    """Class folders that a model with the classes 0 … 4 of these names in reverse has; the one for class 2 is missing."""
    for number, name in enumerate(("n01440764", "n01443537", "n02099601", "n03000684")):
        (tmp_path / "val" / name).mkdir(parents=True)
        Image.new("RGB", (4, 4), (number, 0, 0)).save(tmp_path / "val" / name / "0.png")
    return tmp_path / "val"


NAMES = ["n03000684", "n02099601", "n01484850", "n01443537", "n01440764"]
RIGHT = [4, 3, 1, 0]


def labels(source):
    return [source.label(i) for i in range(len(source))]


FORMS = {
    "class_to_idx": json.dumps({name: i for i, name in enumerate(NAMES)}),
    "nested class_to_idx": json.dumps({"epoch": 3, "class_to_idx": {name: i for i, name in enumerate(NAMES)}}),
    "list": json.dumps(NAMES),
    "nested list": json.dumps({"classes": NAMES}),
    "list of several names": json.dumps([[name, "crane"] for name in NAMES]),
    "Keras": json.dumps({str(i): [name, f"word {i}"] for i, name in enumerate(NAMES)}),
    "transformers": json.dumps({"id2label": {str(i): name for i, name in enumerate(NAMES)}}),
    "lines": "".join(f"{name} {i}\n" for i, name in reversed(list(enumerate(NAMES)))),
    "lines of a table": "\r\n".join(f"{name},{i}" for i, name in enumerate(NAMES)),
    "names alone": "\n".join(NAMES) + "\n\n",
    "synsets": "".join(f"{name} tench, Tinca tinca {i}th\n" for i, name in enumerate(NAMES)),
    "byte order mark": "\ufeff" + json.dumps(NAMES),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_class_map_of_every_form_gives_the_models_labels(form, folder, tmp_path):
    (tmp_path / "map").write_text(FORMS[form])
    source = sources.load(folder, class_map=tmp_path / "map", num_classes=5)
    assert labels(source) == RIGHT
    assert source.num_classes == 5


def test_without_a_class_map_another_number_of_classes_is_a_question(folder):
    for number in (3, 5, 1000):
        with pytest.raises(InvalidArgumentError, match=r"val has 4 class folders .* and the model .* Give --class-map FILE"):
            sources.load(folder, num_classes=number)
    assert labels(sources.load(folder)) == labels(sources.load(folder, num_classes=4)) == [0, 1, 2, 3]
    assert labels(sources.load(folder, num_classes=1000, class_map="alphabet")) == [0, 1, 2, 3]
    with pytest.raises(InvalidArgumentError, match="the folder n03000684 is class 3 and the model has 3 classes"):
        sources.load(folder, num_classes=3, class_map="alphabet")


def test_a_missing_class_folder_shifts_no_label_once_there_is_a_class_map(folder):
    (folder / "n01443537" / "0.png").unlink()
    (folder / "n01443537").rmdir()
    assert labels(sources.load(folder, class_map={name: i for i, name in enumerate(NAMES)}, num_classes=5)) == [4, 1, 0]
    with pytest.raises(InvalidArgumentError, match="3 class folders"):
        sources.load(folder, num_classes=4)


def test_an_empty_class_folder_is_named_in_the_question(folder):
    (folder / "aa").mkdir()
    assert sources.load(folder).num_classes == 5
    with pytest.raises(InvalidArgumentError, match=r"5 class folders \(aa, .*\), aa empty, and the model 4 classes"):
        sources.load(folder, num_classes=4)
    assert labels(sources.load(folder, class_map=NAMES)) == RIGHT  # a folder without images needs no class


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "names no class"),
        ("{}", "holds neither folder names with whole numbers nor a list"),
        ("[]", "names no class"),
        ("[1, 2]", "holds 1 where the name of a class is expected"),
        ('{"n01440764": 0.5}', "holds neither"),
        ('{"n01440764": true}', "holds neither"),
        ('{"n01440764": -1}', "n01440764 has the index -1"),
        ('{"n01440764": 10000000}', "has the index 10000000"),
        ('{"n01440764": 1' + "0" * 5000 + "}", "not readable as JSON"),
        ('{"n01440764": 0, "n01440764": 1}', "names n01440764 twice"),
        ('["n01440764", "n01440764"]', "names n01440764 twice"),
        ('{"0": "n01440764", "2": "n01443537"}', "numbers 2 classes, but not from 0 to 1"),
        ('{"classes": 1000}', "does not name the folders n01440764, n01443537"),
        ('{"a": 0, "b": 1}', "does not name the folders n01440764, n01443537, n02099601, n03000684; it names a, b"),
        ("[" * 100_000, "not readable as JSON"),
        ('{"n01440764": 0', "not readable as JSON"),
        ("n01440764 0\nn01443537\n", "the line 'n01443537' does not end in an index"),
        ("n01440764 0\nn01440764 1\n", "names n01440764 twice"),
        ("3\n3\n5\n", "names 3 twice"),
        ("a" + " " * 50_000 + "b", "does not name the folders"),
        ("n01440764 0\nn01443537 1\nn02099601 2\nn03000684 7\n", "the folder n03000684 is class 7 and the model has 5 classes"),
        (json.dumps([*NAMES[:2], *NAMES[3:]]), "names 4 classes and the model has 5"),
        (json.dumps(["background", *NAMES]), "names 6 classes and the model has 5"),
        ("\x00\x93NUMPY", "does not name the folders"),
    ],
)
def test_what_is_no_class_map_of_these_folders_is_refused(content, sentence, folder, tmp_path):
    (tmp_path / "map.json").write_text(content)
    with pytest.raises((DataError, InvalidArgumentError), match=sentence) as found:
        sources.load(folder, class_map=str(tmp_path / "map.json"), num_classes=5)
    assert len(str(found.value)) < 600


def test_a_class_map_that_cannot_be_read_is_refused(folder, tmp_path):
    for name in ("nothing.json", "", "."):
        with pytest.raises(DataError, match="cannot be read"):
            sources.load(folder, class_map=str(tmp_path / name))
    with pytest.raises(InvalidArgumentError, match="the class map is int"):
        sources.load(folder, class_map=5)


def test_a_class_map_is_for_class_folders(folder, tmp_path):
    with pytest.raises(InvalidArgumentError, match="a class map is for image folders"):
        sources.load("digits", class_map=NAMES)
    with pytest.raises(InvalidArgumentError, match="has no class folders"):
        sources.load(folder / "n01440764", class_map=NAMES)


def test_folders_of_several_names_may_share_a_class(folder):
    shared = {"n01440764": 0, "n01443537": 0, "n02099601": 1, "n03000684": 1}
    assert labels(sources.load(folder, class_map=shared, num_classes=2)) == [0, 0, 1, 1]


def test_a_name_of_two_classes_stands_for_neither():
    found = class_map([["n02012849", "crane"], ["n03126707", "crane"]])
    assert found.index == {"n02012849": 0, "n03126707": 1}
    assert (found.total, found.complete) == (2, True)


def test_other_labels_are_another_data_set(folder):
    plain = sources.load(folder).fingerprint()
    assert sources.load(folder, num_classes=1000, class_map="alphabet").fingerprint() == plain
    mapped = sources.load(folder, class_map=NAMES).fingerprint()
    assert mapped != plain
    assert sources.load(folder, class_map={**dict(zip(NAMES, range(5), strict=True)), "n03000684": 2}).fingerprint() != mapped
    (folder / "aa").mkdir()
    assert sources.load(folder).fingerprint() != plain


def test_accents_are_the_same_however_they_are_composed(tmp_path):
    (tmp_path / "cafe\u0301").mkdir()
    Image.new("L", (4, 4)).save(tmp_path / "cafe\u0301" / "0.png")
    assert labels(sources.load(tmp_path, class_map=["bar", "caf\xe9"])) == [1]


def test_a_list_of_names_with_spaces_is_one_name_a_line(tmp_path):
    (tmp_path / "map.txt").write_text("golden retriever\ntabby cat\n")
    assert read_class_map(tmp_path / "map.txt").index == {"golden retriever": 0, "tabby cat": 1}
    (tmp_path / "map.txt").write_text("golden retriever\t7\ntabby cat\t2\n")
    assert read_class_map(tmp_path / "map.txt").index == {"golden retriever": 7, "tabby cat": 2}
    (tmp_path / "map.txt").write_text("9\n10\n8\n")
    assert read_class_map(tmp_path / "map.txt").index == {"9": 0, "10": 1, "8": 2}


@pytest.mark.parametrize("kind", ["npz", "mnist", "cifar10"])
def test_a_label_that_the_model_does_not_have_is_found_when_the_data_are_opened(kind, tmp_path):
    images, wrong = np.zeros((4, 3, 32, 32), np.uint8), np.array([0, 1, 255, 3])
    if kind == "npz":
        np.savez(tmp_path / "a.npz", x=images, y=wrong)
        spec = tmp_path / "a.npz"
    elif kind == "cifar10":
        spec = f"cifar10:{tmp_path}"
        (tmp_path / "test_batch.bin").write_bytes(np.c_[wrong.astype(np.uint8), images.reshape(4, -1)].tobytes())
    else:
        spec = f"mnist:{tmp_path}"
        (tmp_path / "t10k-images-idx3-ubyte").write_bytes(bytes.fromhex("00000803000000040000002000000020") + bytes(4096))
        (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(bytes.fromhex("0000080100000004") + bytes(wrong.tolist()))
    with pytest.raises((DataError, InvalidArgumentError), match="label of image 2 is 255"):
        sources.load(spec, num_classes=10)


def test_idx_files_of_more_classes_are_read_when_the_model_has_them(tmp_path):
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(bytes.fromhex("00000803000000020000000200000002") + bytes(8))
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(bytes.fromhex("0000080100000002") + bytes([46, 3]))
    with pytest.raises(DataError, match="the label of image 0 is 46: give classes from 0 to 9"):
        sources.load(f"mnist:{tmp_path}")
    assert sources.load(f"mnist:{tmp_path}", num_classes=47).num_classes == 47
