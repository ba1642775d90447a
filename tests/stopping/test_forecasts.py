"""What radii take in halves and under levels that depend on the input, and how far a forecast can be from what is drawn."""

import math

import numpy as np
import pytest
import torch
from scipy import optimize
from scipy.stats import norm

import rsfast as rs
from rsfast import plans
from rsfast.certifying import radii
from rsfast.errors import InvalidArgumentError
from rsfast.noise import check
from rsfast.numerics.normal import ndtr
from rsfast.plans.expected import _walk
from rsfast.request import WHOLE, Smoothing
from rsfast.stopping import forecast
from tests import flat

HALVES = rs.DiagonalSplit()


def ask(noise, parts=2, dim=16, order=2.0, **how):
    transform = HALVES if parts == 2 else rs.transforms.Identity()
    smoothing = Smoothing(check(noise, parts), transform, (dim // 2,) * 2 if parts == 2 else (dim,))
    return smoothing, rs.Claim(0.001, order, **how)


def least_shift(p, sigmas):
    """The least l2 shift that brings the halves' mean probability to one half: over all ways of sharing it, in SciPy."""
    z = norm.ppf(p)

    def needed(angle):
        a, b = math.cos(angle), math.sin(angle)
        return optimize.brentq(lambda r: norm.cdf(z - r * a / sigmas[0]) + norm.cdf(z - r * b / sigmas[1]) - 1.0, 0.0, 50.0)

    return min(needed(angle) for angle in np.linspace(0.0, math.pi / 2, 721))


@pytest.mark.parametrize(
    ("noise", "sigmas"), [(rs.Gaussian(0.18), (0.18, 0.18)), ([rs.Gaussian(0.1), rs.Gaussian(0.3)], (0.1, 0.3))]
)
def test_the_largest_radius_of_halves_is_that_of_all_votes_in_each(noise, sigmas):
    got = forecast.waterfall_of(*ask(noise), 100_000)
    exact = least_shift(0.0005 ** (1 / 100_000), sigmas)  # each half's bound at half of alpha
    assert exact * (1 - 1e-3) < got <= exact * (1 + 1e-5)
    assert got > forecast.waterfall(rs.Gaussian(min(sigmas)), alpha=0.001, n=100_000)


def test_the_largest_radius_under_levels_of_the_input_is_that_of_an_image_at_the_level():
    noise = rs.InputDependentGaussian(lambda x: np.full(len(x), 0.3), rate=0.02)
    counts = rs.VoteCounts(
        selection=[[9, 0]], estimation=[[5000, 0]], n0=9, n=5000, ids=[0], noise=noise, seed=0, dim=16, sigma=[0.3]
    )
    with pytest.warns(rs.SoundnessWarning):
        want = rs.certify_counts(counts, alpha=0.001).radius[0]
    assert forecast.waterfall_of(*ask(noise, parts=1), 5000, 0.3) == want
    (need,) = forecast.needs_of(*ask(noise, parts=1), [0.5], 0.3)
    assert need.probability > norm.cdf(0.5 / 0.3)  # dearer than constant noise


CASES = {
    "halves": (ask(rs.Gaussian(0.18)), None),
    "halves joined by their product": (ask(rs.Gaussian(0.18), joint="product"), None),
    "halves, others bounded": (ask(rs.Gaussian(0.18), multiclass=True), None),
    "others bounded": (ask(rs.Gaussian(0.18), parts=1, bound="two-sided"), None),
    "halves in l1": (ask(rs.Laplace(0.2), order=1.0), None),
    "lattice halves": (ask(rs.LatticeGaussian(0.18)), None),
    "level of the input": (ask(rs.InputDependentGaussian(lambda x: x, rate=0.01), parts=1), 0.25),
}


@pytest.mark.parametrize("case", CASES)
def test_least_draws_are_the_least_that_certify_whatever_is_asked(case):
    asked, level = CASES[case]
    for need in forecast.needs_of(*asked, [0.0, 0.1, 0.3], level):
        assert forecast.waterfall_of(*asked, need.draws, level) >= need.radius
        assert forecast.waterfall_of(*asked, need.draws, level) > 0.0
        less = forecast.waterfall_of(*asked, need.draws - 1, level)
        assert less < need.radius or less == 0.0


def pilot(p, draws, rng, noise=None):
    successes = rng.binomial(draws, p)
    return rs.VoteCounts(
        selection=np.tile([100, 0], (len(p), 1)), estimation=np.stack([successes, draws - successes], 1), n0=100, n=draws,
        ids=np.arange(len(p)), noise=noise or rs.Gaussian(0.5), seed=0, dim=12,
    )  # fmt: skip


PLAN = rs.plans.Grid([0.25, 0.5, 0.75, 1.0])
POPULATIONS = {
    "just below 0.5": np.full(150, 0.99),
    "where 0.5 takes most draws": np.full(150, 1.01),
    "where 1.0 takes most draws": np.full(150, 2.02),
    "half below, half above": np.repeat([1.49, 1.52], 75),
    "far from all": np.full(150, 5.0),
    "spread": np.linspace(-1.0, 4.0, 150),
}


@pytest.mark.parametrize("name", POPULATIONS)
def test_what_a_plan_draws_and_certifies_lies_within_the_forecasts_interval(name, rng):
    """4 pilots of each, 24 in all, at confidence 0.95: more than 5 misses have probability below 1e-3, here none of a kind misses twice."""
    p = ndtr(POPULATIONS[name])
    tables = plans.tables(
        PLAN, np.array(radii.thresholds(Smoothing(rs.Gaussian(0.5), WHOLE, (12,)), 2.0, PLAN.radii)), alpha=0.001, n=100_000
    )
    misses = 0
    for draws in (100, 1000, 1000, 10_000):
        seen = forecast.forecast(pilot(p, draws, rng), PLAN, claim=rs.Claim(0.001), n=100_000)
        drawn, reached = _walk(tables, p, rng)
        least, most = seen.draws_between
        within = least <= drawn.mean() <= most
        for j, (low, high) in enumerate(zip(*seen.certified_between, strict=True)):
            within &= low <= (reached >= j).mean() <= high
        misses += not within
        assert least <= seen.draws <= most
    assert misses <= 1


def test_a_pilot_of_more_draws_brings_the_bounds_nearer(rng):
    p = ndtr(POPULATIONS["spread"])
    width = []
    for draws in (100, 1000, 10_000, 100_000):
        least, most = forecast.forecast(pilot(p, draws, rng), PLAN, claim=rs.Claim(0.001), n=100_000).draws_between
        width.append(most - least)
    assert (np.diff(width) < 0).all()
    assert width[-1] < 0.2 * width[0]


@pytest.mark.parametrize("kind", ["halves", "level of the input", "others bounded"])
def test_a_forecast_of_looks_that_are_certified_one_by_one_agrees_with_what_is_drawn(kind, rng):
    def coin(x):
        return torch.stack([torch.zeros(len(x)), x.flatten(1)[:, 0]], dim=1)

    x = torch.zeros(24, 1, 2, 2)
    x[:, 0, 0, 0] = torch.from_numpy(rng.normal(0.3, 0.5, 24)).float()
    call = {"noise": rs.Gaussian(0.5), "num_classes": 2, "value_range": None, "n0": 50}
    how = {}
    if kind == "halves":
        call["transform"], x[:, 0, 1, 1] = HALVES, x[:, 0, 0, 0]
    elif kind == "level of the input":
        noise = rs.InputDependentGaussian(lambda images: np.full(len(images), 0.5), rate=0.0)
        call["noise"] = noise
    else:
        how = {"bound": "two-sided"}
    plan = rs.plans.Grid([0.0, 0.25])
    with pytest.warns(rs.SoundnessWarning) if kind == "level of the input" else _nothing():
        cert = flat.certify(coin, x, n=4000, seed=1, plan=plan, **how, **call)
    pilot = flat.sample_counts(coin, x, n=1000, seed=0, **call)
    seen = forecast.forecast(pilot, plan, claim=rs.Claim(0.001, **how), n=4000)
    assert seen.draws == pytest.approx(cert.counts.drawn.mean(), rel=0.4)
    assert seen.draws_between[0] <= cert.counts.drawn.mean() <= seen.draws_between[1]
    for radius, share, low, high in zip(seen.radii, seen.certified, *seen.certified_between, strict=True):
        certified = float((~cert.abstained & (cert.radius >= radius)).mean())
        assert share == pytest.approx(certified, abs=0.1)
        assert low <= certified <= high


def _nothing():
    import contextlib

    return contextlib.nullcontext()


def test_a_pilot_that_says_nothing_is_refused(rng):
    with pytest.raises(InvalidArgumentError, match="holds no images"):
        forecast.forecast(pilot(np.empty(0), 10, rng), PLAN, claim=rs.Claim(0.001), n=1000)
