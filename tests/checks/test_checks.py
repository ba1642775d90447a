"""Arguments that are no numbers, and numbers that float64 does not hold."""

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch

from rsfast import checks
from rsfast.errors import InvalidArgumentError, RsfastError


class Contrary:
    """Everything that is asked of it raises something of its own."""

    def __repr__(self):
        raise ZeroDivisionError

    def __float__(self):
        raise KeyError

    def __array__(self, *_, **__):
        raise LookupError

    def __iter__(self):
        raise AttributeError


NO_NUMBERS = [
    None, "0.9", b"0.9", ["0.9"], 1 + 0j, np.array([1 + 0j]), [[1], [1, 2]], [None], np.array([None]), {}, {"a": 1}, set(),
    Contrary(), [Contrary()], (i for i in (1,)), np.datetime64("2020"), np.timedelta64(1), np.ma.masked,
    np.ma.array([0.9, 0.8], mask=[False, True]), np.zeros(1, dtype=[("a", float)]), torch.ones(1, requires_grad=True),
    torch.eye(2).to_sparse(), torch.ones(1, dtype=torch.bfloat16), slice(1), len, object(), 10**400, -(10**5000), [10**5000],
]  # fmt: skip


@pytest.mark.parametrize("value", NO_NUMBERS, ids=lambda value: type(value).__name__)
def test_what_is_no_number_is_refused_in_one_short_sentence(value):
    for check in (
        lambda: checks.floats("p", value, 0.0, 1.0, "probabilities from 0 to 1"),
        lambda: checks.counts("k", value),
        lambda: checks.alpha(value),
        lambda: checks.one_alpha(value),
        lambda: checks.order(value),
        lambda: checks.whole("n", value, 1, 100),
        lambda: checks.choice("name", value, ["a", "b"]),
    ):
        with pytest.raises(InvalidArgumentError) as caught:
            check()
        assert len(str(caught.value)) < 300


@pytest.mark.parametrize("value", [0.5, np.float16(0.5), [0.5], (0.5,), Fraction(1, 2), Decimal("0.5"), np.longdouble(0.5),
                                   np.float32(0.5), torch.tensor(0.5), np.ma.array([0.5]), True, range(2), np.zeros((0, 3))])  # fmt: skip
def test_every_kind_of_real_number_is_taken_as_it_is(value):
    array = checks.floats("p", value, 0.0, 1.0, "probabilities from 0 to 1")
    assert array.dtype == np.float64
    assert array.shape == np.shape(value)
    assert (array == np.asarray(value, dtype=np.float64)).all()


@pytest.mark.parametrize(
    "value",
    [
        np.longdouble(1) - np.longdouble(2) ** -60,
        Fraction(10**20 - 1, 10**20),
        Decimal("0.99999999999999999999"),
        [Fraction(9, 10)],
    ],
)
def test_a_probability_is_never_rounded_towards_certifying(value):
    """The doubles next to these are 1 (an infinite radius) or above them."""
    with pytest.raises(InvalidArgumentError, match="more digits than float64 holds: give the double on its safe side"):
        checks.floats("p_lower", value, 0.0, 1.0, "probabilities from 0 to 1")


@pytest.mark.parametrize("value", [2**53 + 1, np.int64(2**53 + 1), np.array([3, 2**53 + 1], dtype=np.uint64), [2**63 + 1]])
def test_counts_that_float64_does_not_hold_are_not_rounded(value):
    with pytest.raises(InvalidArgumentError, match="more digits than float64 holds"):
        checks.counts("count", value)


def test_whole_numbers_of_any_size_are_judged_without_conversion():
    for value in (10**400, 10**5000, math.inf, -math.inf, math.nan, np.float64(np.inf), np.float32(1.5), True):
        with pytest.raises(RsfastError, match="whole number from 1 to 9"):
            checks.whole("n", value, 1, 9)
    assert checks.whole("n", np.float64(3.0), 1, 9) == checks.whole("n", np.uint8(3), 1) == 3
