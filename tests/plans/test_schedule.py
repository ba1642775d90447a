"""Looks and what they may spend."""

import numpy as np
import pytest

from rsfast.errors import InvalidArgumentError
from rsfast.plans.schedule import schedule, spending


def test_the_default_looks_52_times_in_100_000_draws():
    looks = schedule(100_000, 128, 1.1, 128)
    assert len(looks) == 52
    assert looks[:11].tolist() == [128, 256, 384, 512, 640, 768, 896, 1024, 1152, 1280, 1408]
    assert looks[-1] == 100_000
    assert (looks[:-1] % 128 == 0).all()


@pytest.mark.parametrize("n", [1, 127, 128, 129, 130, 1000, 99_999, 10**7])
@pytest.mark.parametrize(
    ("first", "growth", "step"), [(128, 1.1, 128), (100, 1.0, 37), (1, 2.0, 1), (50, 1e9, 8), (1000, 1.5, 1)]
)
def test_looks_increase_and_end_with_n(n, first, growth, step):
    if growth == 1.0 and n > 10**6:
        n = 100_000
    looks = schedule(n, first, growth, step)
    assert (np.diff(looks) > 0).all()
    assert looks[-1] == n
    assert looks[0] == min(first, n)


def test_looks_before_the_last_do_not_depend_on_n():
    short, long = schedule(5_000, 128, 1.1, 128), schedule(70_000, 128, 1.1, 128)
    assert (short[:-1] == long[: len(short) - 1]).all()


def test_a_schedule_that_never_grows_far_is_refused():
    with pytest.raises(InvalidArgumentError, match="look more than 4096 times before n=10000000"):
        schedule(10**7, 128, 1.0, 128)


@pytest.mark.parametrize("final", [0.001, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("spread", [0.5, 1.0, 1.05, 2.0])
@pytest.mark.parametrize("k", [1, 2, 52, 4000])
def test_looks_spend_alpha_and_never_more(final, spread, k):
    shares = spending(np.arange(k), 1e-3, final, spread)
    assert shares.shape == (k,)
    assert (shares >= 0).all()
    assert 1e-3 * (1 - 1e-11) <= shares.sum() <= 1e-3
    if k > 1:
        assert shares[-1] == pytest.approx(final * 1e-3)
    if 2 < k < 100 and final < 1:
        np.testing.assert_allclose(shares[1:-1] / shares[:-2], spread)
