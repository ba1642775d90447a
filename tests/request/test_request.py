"""Claim, Smoothing, Request and Stopping: right by construction, compared by value."""

import dataclasses

import numpy as np
import pytest

import rsfast as rs
from rsfast import confidence, plans
from rsfast.errors import InvalidArgumentError
from rsfast.request import MOST_DRAWS, WHOLE, Claim, Request, Smoothing, Stopping, bounds, continuable

NOISE = rs.Gaussian(0.25)


def test_a_claim_is_what_certify_takes_by_default():
    import inspect

    given = inspect.signature(rs.certify).parameters
    for field in dataclasses.fields(Claim):
        assert given[field.name].default == getattr(Claim(), field.name) == field.default


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"alpha": 1.0}, "alpha=1.0 is not a failure probability"),
        ({"alpha": [0.1]}, "alpha is an array"),
        ({"norm": 0}, "norm"),
        ({"norm": np.nan}, "norm"),
        ({"bound": "bayes"}, "bound='bayes' is not known: give one of"),
        ({"bound": np.array([1, 2])}, "bound"),
        ({"joint": None}, "joint=None"),
        ({"multiclass": 1}, "multiclass=1"),
    ],
)
def test_a_claim_out_of_range_is_refused(fields, message):
    with pytest.raises(InvalidArgumentError, match=message.replace("[", r"\[")):
        Claim(**fields)


def test_bounds_are_those_of_the_registry_and_the_two_sided_one():
    assert bounds() == (*confidence.BOUNDS, "two-sided")
    for name in bounds():
        assert Claim(bound=name).one_class in confidence.BOUNDS


def test_shares_of_alpha_for_the_other_classes():
    assert [Claim().others, Claim(bound="two-sided").others, Claim(multiclass=True).others] == [0.0, 0.1, 0.5]
    assert Claim(bound="two-sided", multiclass=True).others == 0.1
    assert [Claim().plain, Claim(bound="two-sided").plain, Claim(multiclass=True).plain] == [True, False, False]


def test_a_claim_at_another_level_is_the_same_otherwise():
    claim = Claim(0.01, np.inf, "two-sided")
    assert claim.at(1e-300) == Claim(1e-300, np.inf, "two-sided")


def test_a_smoothing_knows_the_pixels_of_its_parts():
    halves = Smoothing.of([rs.Gaussian(0.1), rs.Gaussian(0.2)], rs.DiagonalSplit(), (3, 4, 6))
    assert (halves.parts, halves.dims, halves.dim) == (2, (36, 36), 72)
    assert halves.levels(3).tolist() == [[0.1, 0.2]] * 3
    assert Smoothing.of(NOISE, WHOLE, (3, 4, 6)).levels(2, 0.7).tolist() == [[0.25], [0.25]]
    depends = Smoothing.of(rs.InputDependentGaussian(lambda x: x, rate=0.1), WHOLE, (1, 2, 2))
    assert depends.levels(2, 0.7).tolist() == [[0.7], [0.7]]
    with pytest.raises(InvalidArgumentError, match="even sizes"):
        Smoothing.of(NOISE, rs.DiagonalSplit(), (1, 3, 3))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"n": 0}, "n=0"),
        ({"n": MOST_DRAWS + 1}, "n=4294967296"),
        ({"n0": -1}, "n0=-1"),
        ({"noise": 0.25}, "is not a noise"),
        ({"plan": "grid"}, "is not a plan"),
        ({"seed": 2**64}, "seed"),
        ({"transform": rs.DiagonalSplit}, "transform"),
    ],
)
def test_a_request_out_of_range_is_refused(fields, message):
    with pytest.raises(InvalidArgumentError, match=message):
        Request(**{"kind": "certify", "noise": NOISE, "n": 100} | fields)


def test_only_betting_goes_on():
    claim = Claim()
    assert not continuable(None)
    for plan in (plans.Grid([0.1]), plans.Radius(), plans.Betting(), plans.Curtail()):
        stopping = Stopping(plan, claim, (0.4, 0.3))
        assert continuable(stopping) == (plan.name == "betting")
        assert stopping.sequential == (plan.name != "curtail")
        assert stopping.thresholds == 2
        assert plan.name in str(stopping) or "abstention" in str(stopping)
    assert Stopping(plans.Grid([0.1, 0.2]), claim).thresholds == 2
