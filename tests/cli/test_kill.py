"""kill -9 at any moment: nothing finished is lost, and the counts are those of an uninterrupted run."""

import numpy as np

from rsfast.runs.read import read_run
from rsfast.runs.store import Shard

from .conftest import kill_until_done

COMMAND = ("certify", "--model", "tests.reference.factories:slow", "--data", "digits", "--sigma", "0.25", "--n0", "10", "--n", "300",
           "--alpha", "0.01", "--seed", "5", "--batch", "32", "--count", "9", "--quiet", "--num-classes", "10")  # fmt: skip


def test_killed_runs_continue_bit_for_bit(rsfast, spawn, tmp_path, rng):
    whole = rsfast(*COMMAND, "--out", tmp_path / "whole")
    assert whole.code == 0, whole.err
    kills = kill_until_done(spawn, [*COMMAND, "--out", tmp_path / "killed"], tmp_path / "killed", rng, most=3)
    assert kills >= 2
    one, other = read_run(tmp_path / "whole").counts, read_run(tmp_path / "killed").counts
    assert other.ids.tolist() == list(range(9))
    np.testing.assert_array_equal(one.selection, other.selection)
    np.testing.assert_array_equal(one.estimation, other.estimation)


def test_a_second_process_on_the_same_shard_is_refused(rsfast, spawn, tmp_path):
    assert rsfast(*COMMAND, "--count", 1, "--out", tmp_path / "run").code == 0
    with Shard(tmp_path / "run"):
        second = spawn(*COMMAND, "--out", tmp_path / "run")
        assert second.wait(120) == 1
    assert "being written by another process" in second.stderr.read()
