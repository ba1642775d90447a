"""Converted models on disk: named by what they are made of, whole or made again, bounded."""

import os
import sys
import types

import pytest
import torch

from rsfast import walk
from rsfast.inference import artefacts, preparation


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("RSFAST_CACHE_DIR", str(tmp_path))
    return tmp_path / "models"


def never():
    raise AssertionError("it was made again")


def network(seed=0):
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))


def digest_of(seed):
    return walk.digest(network(seed))


X = torch.zeros(2, 1, 2, 2)


def test_what_was_made_once_is_read_back():
    assert artefacts.kept("a", lambda: b"content") == b"content"
    assert artefacts.kept("a", never) == b"content"


def test_a_key_changes_with_weights_input_and_versions():
    keys = {
        artefacts.key(digest_of(0), X, {"torch": "1"}), artefacts.key(digest_of(1), X, {"torch": "1"}),
        artefacts.key(digest_of(0), X.double(), {"torch": "1"}), artefacts.key(digest_of(0), X[:, :, :1], {"torch": "1"}),
        artefacts.key(digest_of(0), X, {"torch": "2"}),
    }  # fmt: skip
    assert len(keys) == 5
    assert artefacts.key(digest_of(0), X, {"torch": "1"}) in keys
    assert artefacts.key(digest_of(0), X[:1], {"torch": "1"}) in keys  # for any batch


@pytest.mark.parametrize("damage", [b"", b"short", b"\0" * 64, None])
def test_a_damaged_artefact_is_made_again(folder, damage):
    artefacts.kept("a", lambda: b"content")
    (file,) = folder.iterdir()
    file.write_bytes(file.read_bytes()[:-1] + b"?" if damage is None else damage)
    assert artefacts.kept("a", lambda: b"again") == b"again"
    assert artefacts.kept("a", never) == b"again"


def test_an_artefact_under_another_name_is_not_taken(folder):
    artefacts.kept("a", lambda: b"content")
    (file,) = folder.iterdir()
    file.rename(folder / "b.model")
    assert artefacts.kept("b", lambda: b"other") == b"other"


def test_what_was_not_used_for_longest_goes_first(folder, monkeypatch):
    monkeypatch.setattr(artefacts, "MOST_BYTES", 300)
    for number, name in enumerate("abc"):
        artefacts.kept(name, lambda: bytes(68))  # 100 bytes with the digest
        os.utime(folder / f"{name}.model", (number, number))
    artefacts.kept("a", never)  # used now
    artefacts.kept("d", lambda: bytes(68))
    assert {one.path.stem for one in artefacts.listed()} == {"a", "c", "d"}
    artefacts.kept("e", lambda: bytes(400))  # larger than the folder may be
    assert len(artefacts.listed()) == 3


def test_a_folder_that_cannot_be_written_only_costs_time(monkeypatch):
    monkeypatch.setenv("RSFAST_CACHE_DIR", "/proc/nowhere")
    assert artefacts.kept("a", lambda: b"content") == b"content"
    assert artefacts.listed() == []


def test_a_converted_network_is_read_by_the_next_preparation(monkeypatch):
    for name in ("onnxruntime", "onnxscript"):
        pytest.importorskip(name)
    from rsfast import inference

    first = inference.prepare(network(), (1, 2, 2), runtime="onnxruntime", batch=4)
    assert len(artefacts.listed()) == 2  # the file, and the logits that it is compared with
    monkeypatch.setattr(torch.onnx, "export", lambda *_, **__: never())
    again = inference.prepare(network(), (1, 2, 2), runtime="onnxruntime", batch=4)
    x = torch.rand(4, 1, 2, 2)
    assert torch.equal(first.model(x), again.model(x))


def test_the_command_says_what_is_kept_and_removes_it():
    from click.testing import CliRunner

    from rsfast.cli.cache import cache

    artefacts.kept("a", lambda: bytes(2**20))
    assert "1 converted models, 1.0 MiB, are in" in CliRunner().invoke(cache).output
    assert "were removed" in CliRunner().invoke(cache, ["--clear"]).output
    assert artefacts.listed() == []


def test_what_is_kept_of_a_network_is_not_that_of_other_versions_of_its_libraries(monkeypatch):
    library = types.ModuleType("a_library")
    library.__version__ = "1"
    monkeypatch.setitem(sys.modules, "a_library", library)
    layer = type("Layer", (torch.nn.Flatten,), {"__module__": "a_library.layers"})
    names = []
    for version in ("1", "1", "2"):
        library.__version__ = version
        made = preparation._Preparation(layer(), (1, 2, 2), preparation._Place(None, "torch", None, None), None, None, 1.0)
        names.append(made._key("look"))
    assert names[0] == names[1] != names[2]
