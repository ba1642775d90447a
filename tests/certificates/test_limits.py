"""No certificate exceeds a limit."""

import math

import numpy as np
import pytest

from rsfast import certificates as c
from tests.reference.cases import pairs


@pytest.mark.parametrize("order", [1.0, 2.0, 5.0, math.inf])
@pytest.mark.parametrize("dim", [1, 3, 784, 150528])
def test_no_certificate_exceeds_a_limit(order, dim, rng):
    p1, p2 = pairs(rng, 400)
    p1 = np.maximum(p1, 0.5)
    p2 = np.minimum(p2, 1 - p1)
    more = {"sigma": 0.5, "dim": dim, "order": order, "p_upper": p2}
    gaussian = c.gaussian_lp(p1, **more)
    if order >= 2.0:
        for limit in (c.kumar_iid, c.unimodal_iid, c.kumar_generalized_gaussian):
            assert (limit(p1, **more) >= gaussian).all(), limit.__name__
        assert (c.unimodal_iid(p1, **more) <= c.kumar_iid(p1, **more) * (1 + 1e-12)).all()
    uniform = c.uniform_lp(p1, half_width=0.5, dim=dim, order=order, p_upper=p2)
    if order >= 2.0:
        assert (c.kumar_uniform_cube(half_width=0.5, dim=dim, order=order) >= uniform).all()
    assert (c.kumar_uniform_l1_ball(scale=0.5, dim=dim) >= c.uniform_ball(p1, scale=0.5, dim=dim, p_upper=p2)).all()
    assert (c.wu_l2(p1, sigma=0.5, dim=dim) >= c.cohen_l2(p1, sigma=0.5)).all()


def test_limits_say_nothing_where_nothing_is_proved():
    assert c.kumar_iid(0.4, sigma=1.0, dim=10, order=2.0, p_upper=0.1) == math.inf
    assert c.kumar_generalized_gaussian(0.9, sigma=1.0, dim=1, order=2.0, p_upper=1e-80) == math.inf
    assert c.wu_l2(1 - 1e-7, sigma=1.0, dim=10) == math.inf


def test_std_of_scale():
    assert float(c.std_of_scale(1.0, shape=1.0)) == pytest.approx(math.sqrt(2))
    assert float(c.std_of_scale(1.0, shape=2.0)) == pytest.approx(math.sqrt(0.5))
    assert float(c.std_of_scale(1.0, shape=1e6)) == pytest.approx(1 / math.sqrt(3), rel=1e-5)


@pytest.mark.filterwarnings("error")
def test_limits_at_the_ends_neither_warn_nor_vanish():
    assert c.kumar_generalized_gaussian(1e-300, p_upper=1e-300, sigma=1.0, dim=10_000, order=2.0) > 0
    assert c.unimodal_iid(0.5, sigma=1.0, dim=10, order=1e-300) == math.inf
    assert c.kumar_uniform_cube(half_width=1.0, dim=10, order=1e-300) == math.inf
    assert c.kumar_iid(0.9, sigma=1e200, dim=1e7, order=0.5, p_upper=1e-300) > 1e200
    assert float(c.generalized_gaussian_kl(1e10, scale=1.0, shape=59)) == math.inf
    assert float(c.generalized_gaussian_kl_bound(1e-100, scale=1e-200, shape=60)) == math.inf
