"""A Classifier: prepared once, used by any number of calls and threads, anew when its model has changed."""

import concurrent.futures
import copy
import dataclasses
import pickle
import sys

import numpy as np
import pytest
import torch

import rsfast as rs
from rsfast import hints, inference
from rsfast.errors import InvalidArgumentError
from rsfast.models import build
from tests import flat

CALL = {"noise": rs.Gaussian(0.25), "n0": 10, "n": 200, "seed": 3}


@pytest.fixture
def prepared(monkeypatch):
    """How often models are prepared."""
    calls = []

    def counted(*arguments, **options):
        calls.append(options)
        return prepare(*arguments, **options)

    prepare = inference.prepare
    monkeypatch.setattr(inference, "prepare", counted)
    return calls


@pytest.fixture
def network():
    torch.manual_seed(0)
    return build("small-cnn", num_classes=10, channels=1).eval()


def images(rng, count=3, size=8):
    return torch.from_numpy(rng.random((count, 1, size, size), dtype=np.float32))


def test_two_calls_with_one_classifier_prepare_once(prepared, network, rng):
    classifier = rs.Classifier(network, num_classes=10, dtype="auto", batch="auto", fold=True)
    first = rs.certify(classifier, images(rng), **CALL)
    again = rs.certify(classifier, images(rng), **CALL | {"noise": rs.Gaussian(0.5), "n": 1000})
    rs.predict(classifier, images(rng), noise=rs.Gaussian(0.5), n=100)
    assert len(prepared) == 1
    assert (first.counts.batch, first.counts.dtype) == (again.counts.batch, again.counts.dtype)


def test_another_image_size_is_prepared_on_its_own(prepared, network, rng):
    classifier = rs.Classifier(network, num_classes=10, fold=True)
    for size in (8, 12, 8, 12):
        rs.sample_counts(classifier, images(rng, 1, size), **CALL)
    assert len(prepared) == 2


def test_votes_are_those_of_a_bare_model(network, rng):
    x = images(rng)
    classifier = rs.Classifier(network, num_classes=10)
    for _ in range(2):
        found = rs.sample_counts(classifier, x, **CALL)
        plain = rs.sample_counts(network, x, num_classes=10, **CALL)
        assert np.array_equal(found.estimation, plain.estimation)
        assert np.array_equal(found.selection, plain.selection)


@pytest.mark.parametrize("options", [{}, {"fold": True}, {"dtype": "bfloat16"}])
def test_a_model_that_is_trained_further_is_certified_as_it_is_then(network, rng, options):
    x = images(rng)
    classifier = rs.Classifier(network, num_classes=10, batch=64, **options)
    before = rs.sample_counts(classifier, x, **CALL)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3)
    after = rs.sample_counts(classifier, x, **CALL)
    fresh = flat.sample_counts(network, x, num_classes=10, batch=64, **options, **CALL)
    assert np.array_equal(after.estimation, fresh.estimation)
    assert not np.array_equal(after.estimation, before.estimation)


@pytest.mark.parametrize("options", [{}, {"fold": True, "batch": 50}, {"runtime": "onnxruntime", "batch": 50}])
def test_threads_share_a_classifier_and_get_the_votes_of_one(prepared, network, rng, options):
    if options.get("runtime"):
        pytest.importorskip("onnxruntime")
    x = images(rng, 8)
    classifier = rs.Classifier(network, num_classes=10, **options)

    def votes(b):
        return rs.sample_counts(classifier, x[b : b + 1], ids=[b], **CALL).estimation[0]

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        together = list(pool.map(votes, range(8)))
    assert len(prepared) == (1 if options else 0)
    alone = [votes(b) for b in range(8)]
    assert np.array_equal(together, alone)


def test_a_module_in_training_mode_gets_it_back_after_calls_in_threads(network, rng):
    network.train()
    classifier = rs.Classifier(network, num_classes=10)
    x = images(rng, 4)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda b: rs.predict(classifier, x[b : b + 1], noise=rs.Gaussian(0.5), n=50), range(4)))
    assert network.training


def test_a_number_of_classes_beside_a_classifier_must_be_its_own(network, rng):
    classifier = rs.Classifier(network, num_classes=10)
    with pytest.raises(InvalidArgumentError, match="the Classifier has 10"):
        rs.certify(classifier, images(rng), num_classes=5, **CALL)
    with pytest.raises(InvalidArgumentError, match="num_classes is missing"):
        rs.certify(network, images(rng), **CALL)


def test_arguments_of_a_classifier_are_known_by_name_wherever_people_give_them():
    import inspect

    known = [
        name for name in inspect.signature(rs.Classifier.__init__).parameters if name not in ("self", "model", "num_classes")
    ]
    assert list(hints.RUN) == known == list(flat.RUN)
    assert list(hints.CLAIM) == [field.name for field in dataclasses.fields(rs.Claim)] == list(flat.CLAIM)


def test_large_buffers_are_not_kept_between_calls():
    from rsfast.counting import ready

    running = ready.Running([], [], torch.device("cpu"), torch.float32, False, None)
    small, large = running.buffer(4, (1, 8, 8)), running.buffer(ready.KEPT, (1, 2, 1))
    running.give_back(small)
    running.give_back(large)
    assert running.buffer(4, (1, 8, 8)) is small
    assert running.buffer(ready.KEPT, (1, 2, 1)) is not large


def test_buffers_of_many_sizes_are_lent_to_one_thread_at_a_time():
    from rsfast.counting import ready

    running = ready.Running([], [], torch.device("cpu"), torch.float32, False, None)

    def borrow(mine):
        kept = True
        for i in range(500):
            buffer = running.buffer(1, (1, 1, 1 + i + 500 * mine)).fill_(mine)
            kept = kept and bool((buffer == mine).all())
            running.give_back(buffer)
        return kept

    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            kept = list(pool.map(borrow, range(4)))
    finally:
        sys.setswitchinterval(usual)
    assert all(kept)


@pytest.mark.parametrize("copied", [copy.deepcopy, copy.copy, lambda one: pickle.loads(pickle.dumps(one))])
@pytest.mark.parametrize("options", [{}, {"fold": True, "dtype": "bfloat16", "mean": (0.5,), "std": (0.25,)}])
def test_a_copy_of_a_classifier_votes_as_it_does(copied, options, network, rng):
    x = images(rng)
    classifier = rs.Classifier(network, num_classes=10, batch=50, **options)
    before = rs.sample_counts(classifier, x, **CALL)
    other = copied(classifier)
    assert np.array_equal(rs.sample_counts(other, x, **CALL).estimation, before.estimation)
    with torch.no_grad():
        network.classifier.bias += 100 * torch.eye(10)[9]
    of_copy = rs.sample_counts(other, x, **CALL).estimation
    assert np.array_equal(of_copy, before.estimation) == (copied is not copy.copy)
    assert rs.sample_counts(classifier, x, **CALL).estimation[:, 9].sum() == 600
