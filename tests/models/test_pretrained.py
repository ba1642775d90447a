"""Networks of torchvision and timm with those libraries' own weights: of libraries made up here, so that nothing is downloaded."""

import sys
import types
import urllib.error
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from rsfast import models
from rsfast.errors import InvalidArgumentError, ModelError
from rsfast.models import Normalized
from rsfast.runs.read import result_table

MEAN, STD = (0.5, 0.25, 0.125), (0.5, 0.5, 0.25)


def network(classes=3):
    torch.manual_seed(0)
    found = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 4, classes))
    found.num_classes = classes
    return found.train()


@pytest.fixture
def timm(monkeypatch):
    """A library with one network; `timm.fails` is raised instead."""
    library = types.ModuleType("timm")
    library.fails = None

    def create_model(name, pretrained=False):
        assert name == "small" and pretrained
        print("downloading")
        if library.fails is not None:
            raise library.fails
        found = network()
        found.pretrained_cfg = {"architecture": "small", "tag": "in1k", "mean": MEAN, "std": STD}
        return found

    library.create_model = create_model
    monkeypatch.setitem(sys.modules, "timm", library)
    return library


@pytest.fixture
def torchvision(monkeypatch):
    library = types.ModuleType("torchvision.models")
    default = SimpleNamespace(meta={"categories": ["a", "b", "c"]}, transforms=lambda: SimpleNamespace(mean=MEAN, std=STD))
    library.get_model_weights = lambda name: SimpleNamespace(DEFAULT=default)
    library.get_model = lambda name, weights: network() if weights is default else None
    monkeypatch.setitem(sys.modules, "torchvision", types.ModuleType("torchvision"))
    monkeypatch.setitem(sys.modules, "torchvision.models", library)


def test_a_network_of_timm_comes_with_its_weights_and_normalisation(timm, capsys):
    loaded = models.load("timm:small", num_classes=3, channels=3, pretrained=True)
    assert (loaded.mean, loaded.std, loaded.classes) == (MEAN, STD, None)
    assert loaded.name == "timm:small (small.in1k)"
    assert isinstance(loaded.model, Normalized) and not loaded.model.network.training
    x = torch.rand(2, 3, 4, 4)
    torch.testing.assert_close(
        loaded.model(x), network()((x - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None])
    )
    assert capsys.readouterr().out == ""


def test_a_network_of_torchvision_knows_its_classes_too(torchvision):
    loaded = models.load("torchvision:small", pretrained=True)
    assert (loaded.mean, loaded.std, loaded.classes) == (MEAN, STD, ("a", "b", "c"))


@pytest.mark.parametrize(
    ("fails", "sentence"),
    [
        (
            urllib.error.URLError("no route"),
            r"weights of timm:small cannot be had \(URLError: .*no route.*give a file with --checkpoint",
        ),
        (RuntimeError("No pretrained weights exist"), "cannot be had .*No pretrained weights exist"),
        (OSError("disk full"), "cannot be had .*disk full"),
    ],
)
def test_weights_that_cannot_be_had_get_one_sentence(timm, fails, sentence):
    timm.fails = fails
    with pytest.raises(ModelError, match=sentence) as refusal:
        models.load("timm:small", num_classes=3, channels=3, pretrained=True)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("spec", "given", "sentence"),
    [
        ("timm:small", {"num_classes": 10}, "has 3 classes and the data 10: give --num-classes 3"),
        ("timm:small", {"channels": 1}, "takes images of 3 channels and the data's have 1"),
        ("timm:small", {"checkpoint": "a.pt"}, "leave one of the two out"),
        ("small-cnn", {}, "pretrained is for torchvision:NAME and timm:NAME"),
        ("tests.reference.factories:linear", {}, "pretrained is for torchvision:NAME and timm:NAME"),
    ],
)
def test_what_does_not_fit_is_refused(timm, spec, given, sentence):
    with pytest.raises(InvalidArgumentError, match=sentence):
        models.load(spec, pretrained=True, **given)


def test_a_library_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ModelError, match="needs timm"):
        models.load("timm:small", pretrained=True)


def test_without_it_the_library_is_offered(timm):
    with pytest.raises(InvalidArgumentError, match="--checkpoint FILE, or take the library's with --pretrained"):
        models.load("timm:small", num_classes=3, channels=3)


def test_the_run_says_how_images_are_normalised(timm, tmp_path):
    from click.testing import CliRunner

    from rsfast.cli import cli

    np.savez(tmp_path / "d.npz", x=np.random.default_rng(0).random((2, 3, 4, 4), np.float32), y=np.arange(2))
    call = ["certify", "--data", str(tmp_path / "d.npz"), "--num-classes", "3", "--sigma", "0.25", "--n0", "10", "--n", "20"]
    ways = {"own": ["--model", "timm:small", "--pretrained"], "none": ["--model", "tests.models.test_pretrained:network"]}
    for name, way in ways.items():
        result = CliRunner().invoke(cli, [*call, *way, "--out", str(tmp_path / name)], catch_exceptions=False)
        assert result.exit_code == 0
    said = {name: result_table(tmp_path / name).details["normalisation"] for name in ways}
    assert (
        said["own"] == "(noisy image - mean) / std, mean = 0.5, 0.25, 0.125 and std = 0.5, 0.5, 0.25, is what the model is given"
    )
    assert said["none"].startswith("none: the model is given pixels in [0, 1] with noise")
