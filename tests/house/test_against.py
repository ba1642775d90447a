"""The comparison of `make show-house` with an earlier revision: its tasks run on this tree, and a slower side is seen."""

import pytest

from bench.house.against import Side, row
from bench.house.modules import ROOT


@pytest.mark.slow
def test_every_task_runs_on_this_tree_with_an_answer_of_its_own(tmp_path):
    after = Side(ROOT, "after.py", tmp_path / "after")
    answers = {}
    try:
        for task in after.tasks:
            once, again = after.run(task), after.run(task)
            assert once["answer"] == again["answer"], task
            answers[task] = once["answer"]
    finally:
        after.close()
    assert len(set(answers.values())) == len(after.tasks) == 7


def test_a_ratio_is_after_over_before_and_its_spread_is_that_of_rounds():
    shown = row([(1.0, 1.1), (2.0, 2.2), (1.0, 1.5), (1.0, 0.9), (1.0, 1.1)])
    assert (shown["before_seconds"], shown["after_seconds"], shown["ratio"]) == (1.0, 1.1, 1.1)
    assert shown["ratio_20"] < 1.1 < shown["ratio_80"]
