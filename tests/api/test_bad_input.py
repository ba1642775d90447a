"""Every bad input gets one clear sentence, before anything is drawn; what was finished is kept."""

import numpy as np
import pytest
import torch

import rsfast as rs
from tests import flat

X = torch.full((2, 1, 4, 4), 0.5)


def never(x):
    raise AssertionError("the model ran on input that should have been refused")


def certify(x=X, model=never, **changes):
    call = {"noise": rs.Gaussian(0.25), "num_classes": 2, "n0": 10, "n": 100, "alpha": 0.01, "seed": 0} | changes
    return flat.certify(model, x, **call)


def with_value(value):
    x = X.clone()
    x[1, 0, 2, 3] = value
    return x


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": with_value(torch.nan)}, r"x\[1\] holds NaN or infinity"),
        ({"x": with_value(torch.inf)}, r"x\[1\] holds NaN or infinity"),
        ({"x": with_value(1.5)}, r"x\[1\] reaches from 0.5 to 1.5, outside the declared range \[0, 1\]"),
        ({"x": with_value(-0.1)}, "outside the declared range"),
        ({"x": X[0]}, r"x has shape \(1, 4, 4\).*pass x\[None\]"),
        ({"x": X[0, 0]}, r"takes a batch \(B, C, H, W\)"),
        ({"x": X[:0]}, "holds no pixels: give at least one image"),
        ({"x": X[:, :0]}, "holds no pixels"),
        ({"x": X.to(torch.uint8)}, "x is torch.uint8"),
        ({"x": "images"}, "x is str"),
        ({"alpha": 0.0}, "alpha=0.0 is not a failure probability"),
        ({"alpha": 1.0}, "alpha=1.0 is not"),
        ({"alpha": -1}, "alpha=-1 is not"),
        ({"alpha": float("nan")}, "alpha=nan is not"),
        ({"alpha": "small"}, "alpha=small is not"),
        ({"alpha": [0.1, 0.2]}, "alpha is an array"),
        ({"alpha": 1e-40}, "n=100 draws cannot certify anything at alpha=1e-40.*at least 133"),
        ({"n": 6}, "n=6 draws cannot certify anything at alpha=0.01.*Give n of at least 7"),
        ({"n": 0}, "n=0 is not allowed"),
        ({"n": 10.5}, "n=10.5 is not allowed"),
        ({"n": 2**32}, "n=4294967296 is not allowed"),
        ({"n0": 0}, "n0=0 is not allowed"),
        ({"n0": True}, "n0=True is not allowed"),
        ({"num_classes": 0}, "num_classes=0 is not allowed"),
        ({"seed": -1}, "seed=-1 is not allowed"),
        ({"seed": 2**64}, "seed="),
        ({"ids": [1, 1]}, "id 1 occurs 2 times"),
        ({"ids": [1]}, "one integer for each of 2 images"),
        ({"ids": [0, 2**32]}, "give ids from 0 to 2\\^32 - 1"),
        ({"ids": [0.5, 1.0]}, "one integer for each"),
        ({"batch": 0}, "batch=0 is not allowed"),
        ({"dtype": "float64"}, "dtype='float64' is not known"),
        ({"device": "tpu9"}, "device='tpu9'"),
        ({"backend": "fast"}, "backend='fast' is not known"),
        ({"norm": 0}, "norm=0"),
        ({"bound": "wald"}, "bound='wald' is not known"),
        ({"mean": [0.5, 0.5], "std": [1.0]}, "one for each of the 1 channels"),
        ({"std": [0.0]}, "std positive"),
        ({"model": "resnet"}, "model is str; give a callable"),
        ({"noise": 0.25}, "noise=0.25 is not a noise: give rsfast.Gaussian"),
        ({"value_range": 1}, "value_range=1 is not a range"),
        ({"value_range": (1, 0)}, "is not a range"),
        ({"value_range": (0, 1, 2)}, "is not a range"),
        ({"value_range": None, "x": X * 1e38}, "outside the declared range"),
        ({"mean": 0.5}, "mean=0.5 is not a sequence of numbers"),
        ({"mean": ["a"]}, "is not a sequence of numbers"),
        ({"mean": [float("nan")]}, "holds NaN or infinity"),
        ({"std": [1e-39]}, "std positive"),
        ({"ids": 5}, "ids=5 is not a sequence"),
        ({"norm": [2, 3]}, "is not one number: give a norm"),
        ({"bound": ["clopper-pearson"]}, "is not known"),
        ({"dtype": [1]}, "is not known"),
        ({"device": [1]}, "is not known to torch"),
        ({"x": X.to_sparse()}, "takes a tensor or array"),
        ({"x": X.to("meta")}, "takes a tensor or array"),
        ({"num_classes": 10**13}, "num_classes=10000000000000 is not allowed"),
    ],
)
def test_certify_refuses(changes, message):
    with pytest.raises(rs.InvalidArgumentError, match=message) as caught:
        certify(**changes)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 330


@pytest.mark.parametrize("sigma", [0.0, -1.0, float("nan"), float("inf"), 1e-9, 1e9, "big", None])
def test_noise_refuses_a_sigma_that_is_not_a_noise_level(sigma):
    with pytest.raises(rs.InvalidArgumentError, match="is not a noise level"):
        rs.Gaussian(sigma)


def test_an_undeclared_range_can_be_declared():
    assert len(certify(x=X * 4, value_range=(0, 2), model=lambda x: x.flatten(1)[:, :2])) == 2
    assert len(certify(x=X * -40, value_range=None, model=lambda x: x.flatten(1)[:, :2])) == 2


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda x: x.flatten(1)[:, :5], "returns 5 logits an image and num_classes=2: give num_classes=5"),
        (lambda x: x.flatten(1)[:, :1], "returns 1 logits an image"),
        (lambda x: x, r"returned \[110, 1, 4, 4\] for a batch of 110"),
        (lambda x: x.flatten(1)[:1, :2], r"returned \[1, 2\]"),
        (lambda x: (x,), "returned tuple"),
        (lambda x: x.flatten(1)[:, :2].int(), "logits"),
    ],
)
def test_a_model_that_does_not_return_logits_is_refused(model, message):
    with pytest.raises(rs.RsfastError, match=message):
        certify(model=model)


def test_a_model_that_raises_in_the_middle_loses_nothing_that_was_finished():
    x = torch.rand(4, 1, 4, 4)
    calls = []

    def fragile(batch):
        calls.append(len(batch))
        if len(calls) == 4:  # the second asks whether copies are classified by themselves
            raise RuntimeError("expected 3 channels\nand a long trace")
        return batch.flatten(1)[:, :2]

    with pytest.raises(rs.ModelError, match="raised RuntimeError on image id 12.*expected 3 channels") as caught:
        certify(x=x, model=fragile, ids=[10, 11, 12, 13], batch=110)
    assert "\n" not in str(caught.value)
    assert "2 images were finished" in str(caught.value)
    assert caught.value.finished == 2
    kept = rs.certify_counts(caught.value.counts, alpha=0.01)
    whole = certify(x=x, model=lambda b: b.flatten(1)[:, :2], ids=[10, 11, 12, 13], batch=110)
    np.testing.assert_array_equal(kept.radius, whole.radius[:2])


def test_a_batch_that_does_not_fit_in_memory_is_named():
    def large(batch):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 68719476736 bytes.")

    with pytest.raises(rs.ModelError, match=r"input \[64, 1, 4, 4\] float32 .* in memory .*: give a smaller batch"):
        certify(model=large, batch=64)
    if torch.cuda.is_available():
        return
    with pytest.raises(rs.ModelError, match=r"input \[16777216, 3, 1024, 1024\] float32 .*: give a smaller batch"):
        certify(x=torch.zeros(1, 1, 1, 1).expand(2, 3, 1024, 1024), batch=2**24)


def test_a_model_that_raises_at_once_has_nothing_to_keep():
    with pytest.raises(rs.ModelError) as caught:
        certify(model=lambda x: 1 / 0)
    assert caught.value.finished == 0
    assert caught.value.counts is None


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, rs.BackendUnavailableError])
def test_whatever_stops_a_call_carries_the_finished_images(error):
    calls = []

    def stops(batch):
        calls.append(len(batch))
        if len(calls) == 4:  # the second asks whether copies are classified by themselves
            raise error("now")
        return batch.flatten(1)[:, :2]

    with pytest.raises((error, rs.ModelError)) as caught:
        certify(x=torch.rand(4, 1, 4, 4), model=stops, batch=110)
    assert caught.value.finished == 2
    assert len(caught.value.counts) == 2


def test_means_from_a_generator_last_for_the_whole_call():
    call = {"noise": rs.Gaussian(0.25), "num_classes": 2, "n0": 5, "n": 50, "seed": 0, "batch": 11}
    first = flat.sample_counts(lambda x: x.flatten(1)[:, :2], X, mean=[0.5], **call)
    again = flat.sample_counts(lambda x: x.flatten(1)[:, :2], X, mean=(m for m in [0.5]), **call)
    assert (first.estimation == again.estimation).all()


def test_votes_in_lists_are_taken():
    counts = rs.VoteCounts(
        selection=[[9, 1]], estimation=[[90, 10]], n0=10, n=100, ids=[0], noise=rs.Gaussian(1.0), seed=0, dim=4
    )
    assert rs.certify_counts(counts, alpha=0.01).radius[0] > 0.8


def test_a_cuda_device_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(rs.InvalidArgumentError, match="no CUDA device"):
        certify(device="cuda")


def test_counts_that_cannot_be_certified_are_refused():
    counts = rs.predict_details(lambda x: x.flatten(1)[:, :2], X, noise=rs.Gaussian(0.5), num_classes=2, n=100).counts
    with pytest.raises(rs.InvalidArgumentError, match="separate sample"):
        rs.certify_counts(counts)


def test_impossible_counts_are_refused():
    votes = np.array([[5, 6]])
    good = {"n0": 20, "n": 20, "ids": np.array([0]), "noise": rs.Gaussian(1.0), "seed": 0, "dim": 4}
    rs.VoteCounts(selection=votes, estimation=votes, **good)
    for changes in (
        {"n": 10},
        {"n0": 10},
        {"ids": np.array([0, 1])},
        {"selection": -votes},
        {"selection": votes[:, :1]},
        {"selection": votes[:, :0], "estimation": votes[:, :0]},
    ):
        with pytest.raises(rs.InvalidArgumentError):
            rs.VoteCounts(**({"selection": votes, "estimation": votes} | good | changes))
