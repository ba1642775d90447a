"""Balls inside balls: never too large, and no smaller than documented."""

import math

import mpmath as mp
import pytest

from rsfast.certificates import l1_to_lp, l2_to_lp

mp.mp.dps = 50


@pytest.mark.parametrize(("function", "of"), [(l2_to_lp, mp.mpf(1) / 2), (l1_to_lp, mp.mpf(1))])
@pytest.mark.parametrize("order", [0.5, 1.0, 1.5, 2.0, 3.0, 17.0, math.inf])
@pytest.mark.parametrize("dim", [1, 2, 784, 150528])
def test_the_lp_ball_is_the_largest_inside(function, of, order, dim):
    for radius in (1e-200, 0.3, 1.0, 7.3e150):
        exact = mp.mpf(radius) * mp.power(dim, -max(mp.mpf(0), of - 1 / mp.mpf(order)))
        got = float(function(radius, dim=dim, order=order))
        assert exact * (1 - mp.mpf("2e-14")) <= got <= exact, (radius, dim, order)
