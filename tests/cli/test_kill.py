"""kill -9 at any moment: nothing finished is lost, and the counts are those of an uninterrupted run."""

import time

import numpy as np

from rsfast.store import Shard, records
from rsfast.stored import read_run

COMMAND = ("certify", "--model", "tests.reference.factories:slow", "--data", "digits", "--sigma", "0.25", "--n0", "10", "--n", "300",
           "--alpha", "0.01", "--seed", "5", "--batch", "32", "--count", "12", "--quiet", "--num-classes", "10")  # fmt: skip


def test_killed_runs_continue_bit_for_bit(spawn, tmp_path, rng):
    whole = spawn(*COMMAND, "--out", tmp_path / "whole")
    assert whole.wait(120) == 0, whole.stderr.read()
    finished, kills = 0, 0
    while True:
        process = spawn(*COMMAND, "--out", tmp_path / "killed")
        target = finished + int(rng.integers(1, 5))
        while process.poll() is None and finished < target:
            time.sleep(0.02)
            finished = len(records(tmp_path / "killed"))
        if process.poll() is not None:
            assert process.returncode == 0, process.stderr.read()
            break
        time.sleep(float(rng.uniform(0, 0.1)))
        process.kill()
        process.wait()
        kills += 1
        assert len(records(tmp_path / "killed")) >= finished
        finished = len(records(tmp_path / "killed"))
    assert kills >= 2
    one, other = read_run(tmp_path / "whole").counts, read_run(tmp_path / "killed").counts
    assert other.ids.tolist() == list(range(12))
    np.testing.assert_array_equal(one.selection, other.selection)
    np.testing.assert_array_equal(one.estimation, other.estimation)


def test_a_second_process_on_the_same_shard_is_refused(spawn, tmp_path):
    assert spawn(*COMMAND, "--out", tmp_path / "run").wait(120) == 0
    with Shard(tmp_path / "run"):
        second = spawn(*COMMAND, "--out", tmp_path / "run")
        assert second.wait(120) == 1
    assert "being written by another process" in second.stderr.read()
