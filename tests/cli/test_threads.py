"""How many threads a command takes, and how they wait."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from rsfast.cli import threads


@pytest.fixture
def stat(tmp_path, monkeypatch):
    """What the system says, and no number from outside."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    file = tmp_path / "stat"
    monkeypatch.setattr(threads, "RUNNING", file)
    return file


@pytest.fixture
def chosen(monkeypatch):
    found = []
    monkeypatch.setattr(torch, "set_num_threads", found.append)
    return found


@pytest.mark.parametrize(("running", "number"), [(1, []), (4, [5]), (8, [1]), (100, [1])])
def test_a_busy_machine_gives_as_many_threads_as_processors_are_free(running, number, stat, chosen, tmp_path, capsys):
    stat.write_text(f"cpu 1 2\nprocs_running {running}\nprocs_blocked 0\n")
    threads.settle_threads(None, tmp_path / "run")
    assert chosen == number
    said = capsys.readouterr().err
    assert said == (
        f"{running - 1} other processes are busy here: {number[0]} of torch's threads (--threads).\n" if number else ""
    )


def test_a_moment_in_which_much_runs_counts_for_nothing(stat, chosen, tmp_path, monkeypatch):
    looks = iter([1, 90, 1, 1, 1])
    monkeypatch.setattr(threads.time, "sleep", lambda seconds: stat.write_text(f"procs_running {next(looks)}\n"))
    stat.write_text("procs_running 90\n")
    threads.settle_threads(None, tmp_path / "run")
    assert chosen == []


@pytest.mark.parametrize("content", [None, "cpu 1 2\n", "procs_running many\n", "procs_running "])
def test_a_system_that_does_not_say_leaves_torchs_number(content, stat, chosen, tmp_path):
    if content is not None:
        stat.write_text(content)
    threads.settle_threads(None, tmp_path / "run")
    assert chosen == []


def test_a_process_that_is_kept_to_some_processors_does_not_ask_who_is_busy_on_others(stat, chosen, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2}, raising=False)
    stat.write_text("procs_running 100\n")
    threads.settle_threads(None, tmp_path / "run")
    assert chosen == []


def test_what_is_asked_for_is_taken_on_a_busy_machine(stat, chosen, tmp_path, monkeypatch):
    stat.write_text("procs_running 100\n")
    threads.settle_threads(6, tmp_path / "run")
    assert chosen == [6]
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    threads.settle_threads(None, tmp_path / "run")
    assert chosen == [6]


def test_a_run_that_is_continued_keeps_its_number_of_threads(rsfast, stat, tmp_path, monkeypatch):
    """Whatever the machine does meanwhile."""
    np.savez(tmp_path / "d.npz", x=np.random.default_rng(0).random((2, 1, 8, 8), np.float32))
    run = tmp_path / "run"
    command = ("certify", "--model", "tests.reference.factories:linear", "--data", tmp_path / "d.npz", "--num-classes", 10,
               "--sigma", 0.25, "--n0", 10, "--n", 20, "--out", run)  # fmt: skip
    now = [8]
    monkeypatch.setattr(torch, "get_num_threads", lambda: now[0])
    monkeypatch.setattr(torch, "set_num_threads", lambda number: now.__setitem__(0, number))
    stat.write_text("procs_running 4\n")
    assert "5 of torch's threads" in rsfast(*command, "--count", 1).err
    assert json.loads((run / "run.json").read_text())["versions"]["threads"] == "5"
    for running, own in ((1, 8), (100, 8), (1, 1)):
        stat.write_text(f"procs_running {running}\n")
        now[0] = own
        assert rsfast(*command).code == 0
        assert now == [5]


def test_threads_of_the_command_line_sleep_while_they_wait_unless_the_user_says_how(tmp_path):
    code = "import os; from rsfast.cli import threads; threads.wait_asleep(); print(os.environ.get('OMP_WAIT_POLICY'))"
    own = {name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "KMP_BLOCKTIME")}
    for given, policy in (({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE"), ({"KMP_BLOCKTIME": "5"}, "None")):
        run = subprocess.run([sys.executable, "-c", code], env=own | given, capture_output=True, text=True, check=True)
        assert run.stdout.strip() == policy


def test_torch_is_not_loaded_before_its_threads_are_told_how_to_wait():
    code = "import sys; import rsfast.cli; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
