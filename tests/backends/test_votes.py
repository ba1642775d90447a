"""Counting: largest logit, lowest index among equals, no vote for a row with a NaN."""

import os

import numpy as np
import pytest
import torch

from rsfast import backends
from rsfast.errors import InvalidArgumentError

NAMES = list(backends.BACKENDS)


def counted(name, logits, images=None):
    classes = logits.shape[1]
    votes = torch.zeros(classes if images is None else (images, classes), dtype=torch.int64, device=device(name))
    backends.get(name).count(logits.to(device(name)), votes)
    return votes.cpu()


def device(name):
    return "cuda" if name == "triton" and os.environ.get("RSFAST_TEST_GPU") == "1" else "cpu"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("classes", [1, 2, 10, 1000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_votes_equal_argmax_and_bincount(name, classes, dtype, rng):
    logits = torch.from_numpy(rng.normal(size=(37, classes))).to(dtype)
    first = logits.double().numpy().argmax(axis=1)  # numpy takes the first of equals
    assert counted(name, logits).tolist() == np.bincount(first, minlength=classes).tolist()


@pytest.mark.parametrize("name", NAMES)
def test_rows_are_shared_out_over_images_and_added(name, rng):
    logits = torch.from_numpy(rng.normal(size=(12, 5))).float()
    votes = counted(name, logits, images=3)
    assert votes.sum(dim=1).tolist() == [4, 4, 4]
    for b in range(3):
        assert torch.equal(votes[b], counted(name, logits[4 * b : 4 * b + 4]))
    backends.get(name).count(logits.to(device(name)), moved := votes.to(device(name)))
    assert moved.sum(dim=1).tolist() == [8, 8, 8]


@pytest.mark.parametrize("name", NAMES)
def test_the_lowest_class_wins_a_tie(name):
    logits = torch.tensor([[1.0, 3.0, 3.0], [0.0, -0.0, -1.0], [-0.0, 0.0, -1.0], [-torch.inf] * 3, [0.0, torch.inf, torch.inf]])
    assert counted(name, logits).tolist() == [3, 2, 0]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("nan", [torch.nan, -torch.nan])
def test_a_row_with_a_nan_votes_for_no_class(name, nan):
    logits = torch.tensor([[nan, 1.0, 2.0], [1.0, 2.0, nan], [nan] * 3, [torch.inf, nan, 0.0], [0.0, 0.0, 1.0]])
    negative = logits.clone()
    negative.view(torch.int32)[torch.isnan(negative)] |= -(2**31)
    assert counted(name, logits).tolist() == [0, 0, 1]
    assert counted(name, negative).tolist() == [0, 0, 1]


@pytest.mark.parametrize("name", NAMES)
def test_infinities_and_subnormals_are_ordered(name):
    tiny = 1e-45
    logits = torch.tensor([[-torch.inf, -1.0, tiny], [torch.inf, 3e38, 1.0], [-tiny, 0.0, -1.0], [-3e38, -torch.inf, -torch.inf]])
    assert counted(name, logits).tolist() == [2, 1, 1]


@pytest.mark.parametrize("name", NAMES)
def test_no_rows_is_no_votes(name):
    assert counted(name, torch.empty(0, 4)).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("logits", "votes"),
    [
        (torch.zeros(3, 4), torch.zeros(5, dtype=torch.int64)),
        (torch.zeros(3, 4), torch.zeros(2, 4, dtype=torch.int64)),
        (torch.zeros(3, 4), torch.zeros(4, dtype=torch.int32)),
        (torch.zeros(3, 4, dtype=torch.int64), torch.zeros(4, dtype=torch.int64)),
        (torch.zeros(3), torch.zeros(4, dtype=torch.int64)),
    ],
)
def test_logits_and_votes_that_do_not_fit_are_refused(name, logits, votes):
    with pytest.raises(InvalidArgumentError):
        backends.get(name).count(logits.to(device(name)), votes.to(device(name)))
