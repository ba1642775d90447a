"""Counting: largest logit, lowest index among equals, no vote for a row with a NaN."""

import os

import numpy as np
import pytest
import torch

from rsfast.errors import InvalidArgumentError

from .by_name import NAMES, backend


def counted(name, logits, images=None, rows=None):
    classes = logits.shape[1]
    votes = torch.zeros(classes if images is None else (images, classes), dtype=torch.int64, device=device(name))
    backend(name).count(logits.to(device(name)), votes, None if rows is None else rows.to(device(name)))
    return votes.cpu()


def device(name):
    return "cuda" if name == "triton" and os.environ.get("RSFAST_TEST_GPU") == "1" else "cpu"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("classes", [1, 2, 3, 7, 10, 17, 64, 100, 1000])
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
    backend(name).count(logits.to(device(name)), moved := votes.to(device(name)))
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
        backend(name).count(logits.to(device(name)), votes.to(device(name)))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("classes", [1, 3, 10, 1000])
@pytest.mark.parametrize("images", [1, 2, 7])
def test_rows_say_which_row_of_votes_each_copy_counts_in(name, classes, images, rng):
    copies = 41
    logits = torch.from_numpy(rng.integers(-3, 3, size=(copies, classes))).float()  # with ties
    logits[rng.integers(copies, size=5), rng.integers(classes, size=5)] = torch.nan
    rows = torch.from_numpy(rng.integers(-1, images, size=copies))  # in any order, some for padding
    expected = np.zeros((images, classes), dtype=np.int64)
    for row, scores in zip(rows.tolist(), logits.numpy(), strict=True):
        if row >= 0 and not np.isnan(scores).any():
            expected[row, scores.argmax()] += 1
    assert counted(name, logits, images, rows).tolist() == expected.tolist()


@pytest.mark.parametrize("name", NAMES)
def test_rows_of_one_vote_row_each_equal_no_rows(name, rng):
    logits = torch.from_numpy(rng.normal(size=(12, 5))).float()
    assert torch.equal(counted(name, logits, 3, torch.arange(3).repeat_interleave(4)), counted(name, logits, 3))
    assert torch.equal(counted(name, logits, None, torch.zeros(12, dtype=torch.int64)), counted(name, logits))


@pytest.mark.parametrize("name", NAMES)
def test_padding_votes_for_nobody(name, rng):
    logits = torch.from_numpy(rng.normal(size=(6, 5))).float()
    assert counted(name, logits, 2, torch.full((6,), -1)).sum() == 0
    assert counted(name, logits, 0, torch.full((6,), -1)).shape == (0, 5)
    assert counted(name, torch.empty(0, 5), 2, torch.empty(0, dtype=torch.int64)).sum() == 0


@pytest.mark.parametrize("name", NAMES)
def test_rows_with_a_stride_are_read_as_they_are(name, rng):
    logits = torch.from_numpy(rng.normal(size=(6, 5))).float()
    rows = torch.tensor([[0, 9], [1, 9], [1, 9], [0, 9], [2, 9], [2, 9]])[:, 0]
    assert counted(name, logits, 3, rows).sum(dim=1).tolist() == [2, 2, 2]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "rows",
    [
        torch.zeros(3, dtype=torch.int64),
        torch.zeros(4, dtype=torch.int32),
        torch.zeros(4),
        torch.zeros(4, 1, dtype=torch.int64),
    ],
)
def test_rows_that_do_not_fit_are_refused(name, rows):
    with pytest.raises(InvalidArgumentError, match=r"rows are .*give int64 \[4\]"):
        counted(name, torch.zeros(4, 5), 2, rows)


@pytest.mark.parametrize("name", [name for name in NAMES if device(name) == "cpu"])
@pytest.mark.parametrize("bad", [-2, 2, 2**62, -(2**63)])
def test_rows_outside_the_votes_are_refused_on_the_cpu(name, bad):
    votes = torch.zeros(2, 5, dtype=torch.int64)
    with pytest.raises(InvalidArgumentError, match=r"votes have rows 0 … 1, and -1 stands for"):
        backend(name).count(torch.zeros(4, 5), votes, torch.tensor([0, 1, bad, 0]))
    assert votes.sum() == 0


@pytest.mark.parametrize("bad", [-2, 2, 2**62, -(2**63)])
def test_the_device_kernel_ignores_rows_outside_the_votes(bad):
    pytest.importorskip("triton")
    from rsfast.kernels.votes import count_kernel

    where = device("triton")
    votes = torch.zeros(2, 4, dtype=torch.int64, device=where)
    logits, rows = torch.zeros(3, 4, device=where), torch.tensor([1, bad, 0], device=where)
    count_kernel[(1,)](logits, votes, rows, 3, 4, 2, 1, ROWS=4, CLASSES=4, HAS_ROWS=True, enable_fp_fusion=False)
    assert votes.cpu().tolist() == [[1, 0, 0, 0], [1, 0, 0, 0]]
