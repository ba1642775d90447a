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
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
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
@pytest.mark.parametrize(
    ("logits", "winner"),
    [
        ([1.0, 1.0 + 1e-9], 1),  # equal in float32
        ([1.0 + 2**-52, 1.0], 0),
        ([1e200, 1e300], 1),  # both infinite in float32
        ([-1e300, -1e200], 1),
        ([1e300, torch.inf], 1),
        ([5e-324, 1e-323], 1),  # both 0 in float32
        ([0.0, 5e-324, 0.0], 1),
        ([-5e-324, -0.0], 1),
        ([-torch.inf, -1.7976931348623157e308], 1),
    ],
)
def test_float64_logits_are_compared_in_float64(name, logits, winner):
    votes = counted(name, torch.tensor([logits], dtype=torch.float64))
    assert votes.tolist() == [int(k == winner) for k in range(len(logits))]


def voted(logits):
    """Votes as Python compares numbers: the first of the largest; a row that holds a NaN has none."""
    votes = [0] * logits.shape[1]
    for row in logits.tolist():
        if all(value == value for value in row):
            votes[row.index(max(row))] += 1
    return votes


def hostile(rng, copies, classes, dtype):
    """Logits that are hard to tell apart: neighbours in the dtype, equal ones, both zeros, infinities, subnormals; few NaN."""
    kind = torch.finfo(dtype)
    around = torch.from_numpy(rng.choice([1.0, -1.0, kind.max, -kind.max, kind.tiny, 3e-5], size=(copies, 1))).to(dtype)
    logits = around.expand(copies, classes).clone()
    for _ in range(2):
        up = torch.nextafter(logits, torch.full_like(logits, torch.inf))
        logits = torch.where(torch.from_numpy(rng.random((copies, classes)) < 0.3), up, logits)
    special = torch.tensor([0.0, -0.0, torch.inf, -torch.inf, kind.smallest_normal / 2, -kind.smallest_normal / 2], dtype=dtype)
    drawn = special[torch.from_numpy(rng.integers(len(special), size=(copies, classes)))]
    logits = torch.where(torch.from_numpy(rng.random((copies, classes)) < 0.1), drawn, logits)
    logits[torch.arange(copies // 4), torch.arange(copies // 4) % classes] = torch.nan  # at every place
    return logits


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("classes", [2, 3, 5, 8, 9, 15, 16, 31, 33, 63, 65, 127, 130, 1000])
def test_votes_are_exact_on_logits_that_are_hard_to_tell_apart(name, classes, rng):
    for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
        logits = hostile(rng, 4 * 33, classes, dtype)
        assert counted(name, logits).tolist() == voted(logits), dtype


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("classes", [2, 17, 257])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_nan_at_any_place_takes_the_vote(name, classes, dtype):
    logits = torch.zeros(classes + 1, classes, dtype=dtype)
    logits[:classes].fill_diagonal_(torch.nan)
    assert counted(name, logits).tolist() == [1] + [0] * (classes - 1)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_logits_of_any_layout_in_memory_are_counted_as_they_are(name, dtype, rng):
    logits = hostile(rng, 24, 6, dtype)
    wide = torch.full((48, 14), torch.nan, dtype=dtype)
    wide[::2, 1:13:2] = logits
    backwards = torch.view_as_complex(torch.stack([logits.double(), -logits.double()], 2)).conj().imag  # negative by a flag
    for same in (logits.T.contiguous().T, wide[::2, 1:13:2], backwards, logits.clone().requires_grad_()):
        assert counted(name, same).tolist() == voted(logits)
        rows = torch.from_numpy(rng.integers(-1, 3, size=24))
        table = counted(name, same, 3, rows)
        for row in range(3):
            assert table[row].tolist() == voted(logits[rows == row])


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
        (torch.zeros(3, 0), torch.zeros(0, dtype=torch.int64)),
        (torch.zeros(3, 4).to_sparse(), torch.zeros(4, dtype=torch.int64)),
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
