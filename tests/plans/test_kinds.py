"""What can be asked for."""

import json
import math

import numpy as np
import pytest

from rsfast import plans
from rsfast.errors import InvalidArgumentError

EXAMPLES = [
    plans.Grid([0.25, 0.5]),
    plans.Grid((0.0,), final=0.5, growth=1.5, first=10, step=7, futility=0.0, spread=1.0),
    plans.Radius(),
    plans.Radius(0.01, spacing=0.1, final=1.0),
    plans.Betting(),
    plans.Betting(radii=[1, 2], largest=3.0, spacing=0.5),
]


@pytest.mark.parametrize("plan", EXAMPLES, ids=repr)
def test_a_plan_survives_json(plan):
    again = plans.from_dict(json.loads(json.dumps(plan.to_dict())))
    assert again == plan
    assert hash(again) == hash(plan)
    assert type(again) is type(plan)


def test_radii_are_sorted_and_plain_numbers():
    plan = plans.Grid(np.array([1, 0.25, -0.0], dtype=np.float32))
    assert plan.radii == (0.0, 0.25, 1.0)
    assert math.copysign(1, plan.radii[0]) == 1
    assert all(type(r) is float for r in plan.radii)


def test_only_betting_can_be_continued():
    assert [plan.continuable for plan in (plans.Grid([1]), plans.Radius(), plans.Betting())] == [False, False, True]


def test_plans_are_told_from_other_things():
    for plan in EXAMPLES:
        assert plans.check(plan) is plan
    for other in (None, "grid", plans.Grid, {"name": "grid"}):
        with pytest.raises(InvalidArgumentError, match="is not a plan: give"):
            plans.check(other)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: plans.Grid([]), "radii has 0 entries: give"),
        (lambda: plans.Grid(range(4097)), "radii has 4097 entries"),
        (lambda: plans.Grid(0.5), "radii=0.5 is not a list"),
        (lambda: plans.Grid("0.5"), "radii='0.5' is not a list"),
        (lambda: plans.Grid([1, None]), "is not a list of numbers"),
        (lambda: plans.Grid([0.5, -1]), "radii holds -1.0"),
        (lambda: plans.Grid([0.5, math.nan]), "radii holds nan"),
        (lambda: plans.Grid([0.5, math.inf]), "radii holds inf"),
        (lambda: plans.Grid([0.5, 1, 0.5]), "radii holds 0.5 twice"),
        (lambda: plans.Grid([1], final=0), "final=0.0 is not allowed: give"),
        (lambda: plans.Grid([1], final=1.1), "final=1.1 is not allowed"),
        (lambda: plans.Grid([1], growth=0.9), "growth=0.9 is not allowed"),
        (lambda: plans.Grid([1], growth=[1.1]), r"growth=\[1.1\] is not one number"),
        (lambda: plans.Grid([1], growth=True), "growth=True is not one number"),
        (lambda: plans.Grid([1], first=0), "first=0 is not allowed"),
        (lambda: plans.Grid([1], step=1.5), "step=1.5 is not allowed"),
        (lambda: plans.Grid([1], futility=0.6), "futility=0.6 is not allowed"),
        (lambda: plans.Grid([1], futility=math.nan), "futility=nan is not allowed"),
        (lambda: plans.Grid([1], spread=3), "spread=3.0 is not allowed"),
        (lambda: plans.Grid([1], spread="x"), "spread is not numeric"),
        (lambda: plans.Radius(1.0), "tolerance=1.0 is not allowed"),
        (lambda: plans.Radius(-0.1), "tolerance=-0.1 is not allowed"),
        (lambda: plans.Radius(spacing=0.0), "spacing=0.0 is not allowed"),
        (lambda: plans.Betting(largest=9), "largest=9.0 is not allowed"),
        (lambda: plans.Betting(radii=[]), "radii has 0 entries"),
        (lambda: plans.from_dict({"name": "wald"}), "plan's name='wald' is not known: give one of grid, radius, betting"),
        (lambda: plans.from_dict({}), "plan's name=None is not known"),
        (lambda: plans.from_dict({"name": "radius", "radii": [1]}), "a radius plan has no radii: give some of"),
        (lambda: plans.from_dict({"name": "grid"}), "a grid plan without radii"),
        (lambda: plans.from_dict({"name": "grid", "radii": [1], "final": 7}), "final=7.0 is not allowed"),
    ],
)
def test_bad_plans_are_refused_in_one_sentence(make, message):
    with pytest.raises(InvalidArgumentError, match=message) as caught:
        make()
    assert str(caught.value).endswith(".")
