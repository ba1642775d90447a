"""runtime="auto": the fastest way whose logits agree, within a budget, weighed against the draws to come."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

import rsfast as rs
from rsfast import inference
from rsfast.errors import ModelError
from rsfast.inference import choosing, preparation
from rsfast.inference.choosing import Way
from rsfast.models import build
from rsfast.request import WHOLE

from . import networks


@dataclasses.dataclass
class Made:
    """What a fake preparation returns."""

    name: str
    record: dict[str, Any]


def chosen(rates, *, draws=None, refused=(), differing=(), budget=60.0, seconds=1.0):
    """The name of the way that is taken, and the rows, where `rates` are images a second of the ways by name."""
    prepared = []

    def prepare(way):
        prepared.append(way.name)
        if way.name in refused:
            raise ModelError("it cannot be converted.")
        return Made(way.name, {"measured": {}, "difference": 0.5 if way.name in differing else 0.0})

    ways = [choosing.AS_GIVEN, *(Way(name, {}, (), seconds) for name in rates if name != "as given")]
    best = choosing.fastest(
        prepare, lambda made: rates[made.name], ways=ways, draws=draws, budget=budget,
        agree=lambda made: made.record["difference"] < 0.1,
    )  # fmt: skip
    return best.name, best.record["measured"]["runtimes"], prepared


def test_the_fastest_way_is_taken_and_all_are_recorded():
    name, rows, _ = chosen({"as given": 100.0, "a": 300.0, "b": 200.0})
    assert name == "a"
    assert {way: row["images_per_second"] for way, row in rows.items()} == {"as given": 100.0, "a": 300.0, "b": 200.0}


def test_the_model_as_given_stays_where_little_is_gained():
    assert chosen({"as given": 100.0, "a": 109.0, "b": 90.0})[0] == "as given"


def test_a_way_whose_logits_differ_or_that_cannot_be_is_not_taken():
    name, rows, _ = chosen({"as given": 1.0, "a": 9.0, "b": 8.0, "c": 2.0}, refused=("a",), differing=("b",))
    assert name == "c"
    assert "cannot be converted" in rows["a"]["skipped"]
    assert "differ by 0.5" in rows["b"]["skipped"]


def test_nothing_is_prepared_for_draws_that_are_over_sooner():
    name, rows, prepared = chosen({"as given": 100.0, "a": 900.0}, draws=99, seconds=1.0)
    assert (name, prepared) == ("as given", ["as given"])
    assert rows["a"]["skipped"] == "99 copies take 1.0 s as it is, and preparing it about 1 s"
    assert chosen({"as given": 100.0, "a": 900.0}, draws=101, seconds=1.0)[0] == "a"


def test_what_would_not_be_ready_within_the_budget_is_not_tried():
    name, rows, prepared = chosen({"as given": 1.0, "a": 9.0}, budget=0.9, seconds=1.0)
    assert (name, prepared) == ("as given", ["as given"])
    assert rows["a"]["skipped"] == "preparing it takes about 1 s, for which no time is left"


def test_a_long_run_leaves_more_time_to_try():
    assert chosen({"as given": 1.0, "a": 9.0}, budget=0.9, seconds=1.0, draws=100)[0] == "a"


def test_what_is_not_installed_is_said():
    assert Way("x", {}, ("torch", "no_such_library")).missing == "no_such_library"
    assert Way("x", {}, ("torch",)).missing is None


@pytest.fixture
def network():
    torch.manual_seed(0)
    return build("cifar-resnet20", num_classes=10, channels=3).eval()


@pytest.fixture
def quick(monkeypatch):
    """Only what is always here and fast to prepare."""
    monkeypatch.setitem(choosing.WAYS, "cpu", choosing.FOLDED)


def test_a_prepared_model_says_what_was_tried_and_gives_the_same_logits(network, quick):
    found = inference.prepare(network, (3, 8, 8), runtime="auto", batch=8, seconds=0.05)
    assert set(found.record["measured"]["runtimes"]) == {"as given", "folded", "folded, channels last"}
    x = torch.rand(8, 3, 8, 8)
    with torch.inference_mode():
        torch.testing.assert_close(found.model(x).float(), network(x), rtol=1e-3, atol=1e-3)


def test_a_classifier_that_is_run_as_given_is_the_bare_model(network, monkeypatch, rng):
    monkeypatch.setitem(choosing.WAYS, "cpu", [])
    x = torch.from_numpy(rng.random((2, 3, 8, 8), dtype=np.float32))
    call = {"noise": rs.Gaussian(0.25), "n0": 5, "n": 60, "seed": 1}
    found = rs.sample_counts(rs.Classifier(network, num_classes=10, runtime="auto", batch=20), x, **call)
    plain = rs.sample_counts(rs.Classifier(network, num_classes=10, batch=20), x, **call)
    assert "inference" not in found.versions
    assert np.array_equal(found.estimation, plain.estimation)


def test_what_was_chosen_is_taken_again_without_measuring(network, quick, monkeypatch):
    classifier = rs.Classifier(network, num_classes=10, runtime="auto")
    chosen = {"batch": 16, "dtype": "float32", "channels_last": True, "inference": {"runtime": "torch", "folded": [21]}}
    monkeypatch.setattr(choosing, "fastest", lambda *_, **__: pytest.fail("it was measured"))
    ready = classifier.ready(WHOLE, (3, 8, 8), total=100, chosen=chosen)
    assert (ready.batch, ready.running.channels_last) == (16, True)
    assert ready.running.how == {"runtime": "torch", "folded": [21]}


def test_a_network_is_folded_once_for_all_ways(monkeypatch):
    calls = []
    folding = preparation.fold_batch_norms
    monkeypatch.setattr(preparation, "fold_batch_norms", lambda *given: calls.append(1) or folding(*given))
    monkeypatch.setitem(choosing.WAYS, "cpu", choosing.FOLDED)
    model = networks.depthwise()
    prepared = inference.prepare(model, networks.SHAPE, runtime="auto", batch=4, seconds=0)
    assert len(calls) == 1
    assert sum("images_per_second" in row for row in prepared.record["measured"]["runtimes"].values()) >= 3
