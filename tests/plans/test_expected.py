"""What plans are expected to cost, and what radii take."""

import numpy as np
import pytest
from scipy import stats

import rsfast as rs
from rsfast import plans
from rsfast.errors import InvalidArgumentError
from rsfast.numerics.normal import ndtr
from rsfast.stopping import forecast
from tests import flat


@pytest.fixture
def tables():
    return plans.tables(plans.Grid([0.5, 1.0, 2.0]), ndtr(-np.array([0.5, 1.0, 2.0])), alpha=0.001, n=10_000)


def test_images_far_from_every_threshold_cost_little_and_come_out_right(tables):
    found = plans.expected(tables, [100, 5000, 99_000, 50_000], [100_000] * 4)
    assert (found.draws[[0, 1, 3]] < 400).all()
    np.testing.assert_allclose(found.reached[2], 1.0)
    assert found.reached[[0, 1, 3]].max() == 0.0


def test_expected_draws_are_those_of_simulated_images(tables, rng):
    p = rng.uniform(0.4, 1.0, 40)
    found = plans.expected(tables, np.round(p * 10**9), np.full(40, 10**9), repetitions=400)
    total = 0
    for _ in range(400):
        counts, at, reached, active, drawn = np.zeros(40, int), 0, np.full(40, -1), np.ones(40, bool), np.zeros(40)
        for look, n in enumerate(tables.looks):
            counts += rng.binomial(n - at, p)
            at = n
            now = tables.reached(look, counts, reached)
            reached = np.where(active, now, reached)
            drawn = np.where(active, n, drawn)
            active &= ~tables.finished(look, counts, now)
        total += drawn.mean()
    assert found.draws.mean() == pytest.approx(total / 400, rel=0.05)


def test_a_pilot_that_leaves_much_open_spreads_over_thresholds():
    z = np.array([0.5, 1.0, 2.0])
    patient = plans.tables(plans.Grid(z), ndtr(-z), alpha=0.001, n=1_000_000)  # misses hardly any probability above a threshold
    found = plans.expected(patient, [9], [10], repetitions=2000)
    above = stats.beta.sf(ndtr(z), 9.5, 1.5)  # .934, .661, .070
    np.testing.assert_allclose(found.reached[0], above, atol=0.05)  # 4.5 standard errors


@pytest.mark.parametrize("arguments", [([3], [2]), ([], []), ([1.5], [2]), ([[1]], [[2]])])
def test_counts_that_are_no_pilot_are_refused(tables, arguments):
    with pytest.raises(InvalidArgumentError):
        plans.expected(tables, *arguments)


def test_least_draws_are_the_least_that_certify():
    for need in forecast.needs(rs.Gaussian(0.5), [0.25, 0.5, 1.5], alpha=0.001):
        enough = forecast.waterfall(rs.Gaussian(0.5), alpha=0.001, n=need.draws)
        one_less = forecast.waterfall(rs.Gaussian(0.5), alpha=0.001, n=need.draws - 1)
        assert one_less < need.radius <= enough
        assert need.probability == pytest.approx(float(ndtr(need.radius / 0.5)), rel=1e-9)


def test_radii_far_beyond_any_number_of_draws_are_answered():
    (need,) = forecast.needs(rs.Gaussian(0.12), [1.3], alpha=0.001)
    assert need.draws > 1e15
    for radii in ([float("nan")], [-1.0]):
        with pytest.raises(InvalidArgumentError, match="each zero or positive"):
            forecast.needs(rs.Gaussian(0.12), radii, alpha=0.001)


def test_the_waterfall_is_the_fields_number():
    assert forecast.waterfall(rs.Gaussian(1.0), alpha=0.001, n=100_000) == pytest.approx(3.8115, abs=1e-4)
    uniform = forecast.waterfall(rs.Uniform(0.5), alpha=0.001, n=1000, norm=1, dim=12)
    assert 0 < uniform < 0.5


def test_a_pilot_forecasts_what_the_plan_then_does(rng):
    import torch

    def coin(x):
        return torch.stack([torch.zeros(len(x)), x.flatten(1)[:, 0]], dim=1)

    x = torch.zeros(60, 1, 2, 2)
    x[:, 0, 0, 0] = torch.from_numpy(rng.normal(0.3, 0.5, 60)).float()
    call = {"noise": rs.Gaussian(0.5), "num_classes": 2, "value_range": None, "n0": 50}
    pilot = flat.sample_counts(coin, x, n=2000, seed=0, **call)
    plan = rs.plans.Grid([0.0, 0.25, 0.5])
    seen = forecast.forecast(pilot, plan, claim=rs.Claim(0.001), n=10_000)
    cert = flat.certify(coin, x, n=10_000, seed=1, plan=plan, **call)
    assert seen.draws == pytest.approx(cert.counts.drawn.mean(), rel=0.4)
    for radius, share in zip(seen.radii, seen.certified, strict=True):
        assert share == pytest.approx(float((~cert.abstained & (cert.radius >= radius - 1e-9)).mean()), abs=0.06)
    with pytest.raises(InvalidArgumentError, match="drawn by a plan"):
        forecast.forecast(cert.counts, plan, claim=rs.Claim(0.001), n=10_000)
