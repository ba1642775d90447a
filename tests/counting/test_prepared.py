"""Folding, measured dtype and batch, and runtimes through certify and runs; nothing here depends on what is fastest."""

import importlib.util
import json

import numpy as np
import pytest
import torch

import rsfast as rs
from rsfast import models
from rsfast.counting import ready
from rsfast.counting.conveyor import Draws
from rsfast.counting.count import votes_of
from rsfast.counting.images import Image
from rsfast.errors import BackendUnavailableError, InvalidArgumentError
from rsfast.request import WHOLE
from tests import flat

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
    plain = flat.sample_counts(network, x, **CALL)
    folded = flat.sample_counts(network, x, fold=True, **CALL)
    assert np.abs(plain.estimation - folded.estimation).sum() <= 2  # a tie in the last bit may fall otherwise
    assert json.loads(folded.versions["inference"]) == {"runtime": "torch", "folded": [21]}
    assert "inference" not in plain.versions


def test_what_auto_chose_is_recorded_and_gives_the_same_votes_when_it_is_asked_for(network, rng):
    x = torch.from_numpy(rng.random((1, 3, 8, 8), dtype=np.float32))
    counts = flat.sample_counts(network, x, dtype="auto", batch="auto", fold=True, **CALL)
    classifier = rs.Classifier(network, num_classes=10, dtype="auto", batch="auto", fold=True)
    chosen = {"batch": counts.batch, "dtype": counts.dtype, "channels_last": False}
    found = classifier.ready(WHOLE, (3, 8, 8), total=100, chosen=chosen)
    assert (found.batch, found.dtype, found.running.measured) == (counts.batch, counts.dtype, {})
    again = flat.sample_counts(network, x, dtype=counts.dtype, batch=counts.batch, fold=True, channels_last=None, **CALL)
    assert again.dtype == counts.dtype
    assert (again.batch, again.estimation.sum()) == (counts.batch, 90)


def test_two_halves_take_what_was_measured_for_the_first(network, rng):
    x = torch.from_numpy(rng.random((1, 3, 8, 8), dtype=np.float32))
    classifier = rs.Classifier([network, network], num_classes=10, dtype="auto", batch="auto", fold=True)
    found = classifier.ready(rs.DiagonalSplit(), (3, 8, 8), total=25)
    votes = votes_of(found, Image(x[0], np.array([0.25, 0.25]), 0), Draws(CALL["noise"], 1), [(0, 5), (1, 20)])
    assert votes.sum(axis=2).tolist() == [[5, 5], [20, 20]]
    assert found.running.how["folded"] == [21, 21]


@pytest.mark.parametrize("runtime", [name for name in ("openvino", "onnxruntime") if importlib.util.find_spec(name) is None])
def test_a_runtime_that_is_missing_says_how_to_get_it(network, runtime):
    with pytest.raises(BackendUnavailableError, match="pip install"):
        flat.sample_counts(network, torch.zeros(1, 3, 8, 8), runtime=runtime, **CALL)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"dtype": "int8"}, "dtype='int8'"), ({"runtime": "tensorrt"}, "runtime='tensorrt'"), ({"batch": "many"}, "batch='many'")],
)
def test_unknown_choices_are_refused(network, change, message):
    with pytest.raises(InvalidArgumentError, match=message):
        flat.sample_counts(network, torch.zeros(1, 3, 8, 8), **CALL, **change)


def test_a_default_batch_that_does_not_fit_is_halved_and_said_so():
    """On a device that is no CPU; the meta device holds no data and stands for one here."""

    def model(x):
        if len(x) > 300:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return x.flatten(1)[:, :2]

    def running(batch=None, device="meta"):
        return ready.Running([model], [], torch.device(device), torch.float32, False, batch)

    batch, _, said = running().batching((1, 4, 4), 5000, 1)
    assert batch == 250
    assert "1000 copies" in said
    assert "batch=250" in said
    assert running(1000).batching((1, 4, 4), 5000, 1) == (1000, False, None)
    assert running(device="cpu").batching((1, 4, 4), 5000, 1) == (1000, False, None)


def test_a_smaller_batch_is_told_to_the_caller(monkeypatch):
    monkeypatch.setattr(ready.Running, "fitting", lambda self, shape, total: 25)
    with pytest.warns(RuntimeWarning, match="running with 25; give batch=25"):
        flat.sample_counts(lambda x: x.flatten(1)[:, :10], torch.zeros(1, 1, 4, 4), **CALL)
