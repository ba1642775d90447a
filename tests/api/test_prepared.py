"""Folding, measured dtype and batch, and runtimes through certify and runs; nothing here depends on what is fastest."""

import importlib.util
import json

import numpy as np
import pytest
import torch

import rsfast as rs
from rsfast import models
from rsfast.counting.classifier import Engine
from rsfast.errors import BackendUnavailableError, InvalidArgumentError

CALL = {"noise": rs.Gaussian(0.25), "num_classes": 10, "n0": 10, "n": 90, "seed": 1}


@pytest.fixture
def network():
    torch.manual_seed(0)
    net = models.build("cifar-resnet20", num_classes=10, channels=3)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return net.eval()


def test_a_folded_network_votes_as_it_did(network, rng):
    x = torch.from_numpy(rng.random((2, 3, 8, 8), dtype=np.float32))
    plain = rs.sample_counts(network, x, **CALL)
    folded = rs.sample_counts(network, x, fold=True, **CALL)
    assert np.abs(plain.estimation - folded.estimation).sum() <= 2  # a tie in the last bit may fall otherwise
    assert json.loads(folded.versions["inference"]) == {"runtime": "torch", "folded": [21]}
    assert "inference" not in plain.versions


def test_what_auto_chose_is_recorded_and_gives_the_same_votes_when_it_is_asked_for(network, rng):
    x = torch.from_numpy(rng.random((1, 3, 8, 8), dtype=np.float32))
    counts = rs.sample_counts(network, x, dtype="auto", batch="auto", fold=True, **CALL)
    engine = Engine(network, num_classes=10, dtype="auto", batch="auto", fold=True)
    engine.prepare((3, 8, 8), 100, {"batch": counts.batch, "dtype": counts.dtype, "channels_last": False})
    assert (engine.batch, engine.dtype, engine.measured) == (counts.batch, counts.dtype, {})
    again = rs.sample_counts(network, x, dtype=counts.dtype, batch=counts.batch, fold=True, channels_last=None, **CALL)
    assert again.dtype == counts.dtype
    assert (again.batch, again.estimation.sum()) == (counts.batch, 90)


def test_two_halves_take_what_was_measured_for_the_first(network, rng):
    x = torch.from_numpy(rng.random((1, 3, 8, 8), dtype=np.float32))
    engine = Engine([network, network], num_classes=10, dtype="auto", batch="auto", fold=True, transform=rs.DiagonalSplit())
    votes = engine.votes(x[0], CALL["noise"], sigma=[0.25, 0.25], seed=1, image_id=0, stages=[(0, 5), (1, 20)])
    assert votes.sum(axis=2).tolist() == [[5, 5], [20, 20]]
    assert engine.folded == [21, 21]


@pytest.mark.parametrize("runtime", [name for name in ("openvino", "onnxruntime") if importlib.util.find_spec(name) is None])
def test_a_runtime_that_is_missing_says_how_to_get_it(network, runtime):
    with pytest.raises(BackendUnavailableError, match="pip install"):
        rs.sample_counts(network, torch.zeros(1, 3, 8, 8), runtime=runtime, **CALL)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"dtype": "int8"}, "dtype='int8'"), ({"runtime": "tensorrt"}, "runtime='tensorrt'"), ({"batch": "many"}, "batch='many'")],
)
def test_unknown_choices_are_refused(network, change, message):
    with pytest.raises(InvalidArgumentError, match=message):
        rs.sample_counts(network, torch.zeros(1, 3, 8, 8), **CALL, **change)


def test_a_default_batch_that_does_not_fit_is_halved_and_said_so():
    """On a device that is no CPU; the meta device holds no data and stands for one here."""

    def model(x):
        if len(x) > 300:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return x.flatten(1)[:, :2]

    engine = Engine(model, num_classes=2)
    engine.device = torch.device("meta")
    said = engine.fit((1, 4, 4), 5000)
    assert engine.batch == 250
    assert "1000 copies" in said
    assert "batch=250" in said
    assert engine.fit((1, 4, 4), 5000) is None
    explicit = Engine(model, num_classes=2, batch=1000)
    explicit.device = torch.device("meta")
    assert explicit.fit((1, 4, 4), 5000) is None
    assert Engine(model, num_classes=2).fit((1, 4, 4), 5000) is None  # a CPU


def test_a_smaller_batch_is_told_to_the_caller(monkeypatch):
    monkeypatch.setattr(Engine, "fit", lambda self, shape, total: "a batch of 1000 copies does not fit; running with 250.")
    with pytest.warns(RuntimeWarning, match="running with 250"):
        rs.sample_counts(lambda x: x.flatten(1)[:, :10], torch.zeros(1, 1, 4, 4), **CALL)
