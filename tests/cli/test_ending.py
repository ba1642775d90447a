"""How a call ends: what it claims, which exit code, and what `rsfast status` says then."""

import os
import subprocess
import sys

import numpy as np
import pytest

from rsfast.runs.read import read_run
from rsfast.runs.store import records

LINEAR = ("--model", "tests.reference.factories:linear", "--num-classes", "10")
SMALL = ("--sigma", "0.25", "--n0", "10", "--n", "100", "--alpha", "0.01", "--seed", "5", "--quiet")
DIGITS = ("certify", *LINEAR, "--data", "digits", *SMALL)


@pytest.fixture
def torn(tmp_path):
    """Eight images, of which 2 and 5 cannot be used."""
    x = np.full((8, 1, 8, 8), 0.5, np.float32)
    x[2, 0, 0, 0], x[5] = np.nan, 7.0
    np.savez(tmp_path / "x.npz", x=x, y=np.arange(8))
    return ("certify", *LINEAR, "--data", tmp_path / "x.npz", *SMALL, "--out", tmp_path / "run")


def test_a_finished_run_says_so_and_exits_with_0(rsfast, tmp_path):
    call = (*DIGITS, "--count", 3, "--out", tmp_path / "run")
    for now in (3, 0):
        result = rsfast(*call)
        assert result.code == 0
        assert f"3 images are stored in {tmp_path / 'run'} ({now} of them now), all that were asked for." in result.out
    said = rsfast("status", tmp_path / "run").out
    assert "asked for  3 of 599 images" in said
    assert "finished   3 of 3 images" in said
    assert "missing    none: done" in said


def test_shards_count_the_whole_run(rsfast, tmp_path):
    call = (*DIGITS, "--count", 8, "--out", tmp_path / "run")
    first = rsfast(*call, "--shard", "0/2")
    assert first.code == 0
    assert "4 images are stored" in first.out
    assert "of 8 asked for; missing: 4 images: 4 of shard 1/2, which was not started. Shard 0/2 has done its part" in first.out
    assert "missing    4 images: 4 of shard 1/2, which was not started" in rsfast("status", tmp_path / "run").out
    second = rsfast(*call, "--shard", "1/2")
    assert second.code == 0
    assert "8 images are stored" in second.out
    assert "(4 of them now), all that were asked for. Shard 1/2 has done its part." in second.out


def test_a_run_that_is_done_but_for_unreadable_images_exits_with_3(rsfast, torn, tmp_path):
    result = rsfast(*torn)
    assert result.code == 3
    assert "6 images are stored" in result.out
    assert "of 8 asked for; 2 could not be read." in result.out
    assert "2 images could not be used" in result.err
    said = rsfast("status", tmp_path / "run").out
    assert "unreadable 2, tried again by the next call" in said
    assert "image 2: image 2 of x.npz holds NaN" in said
    assert "missing    none: done but for the unreadable" in said


def test_allow_missing_makes_it_0_and_says_it_all_the_same(rsfast, torn):
    for command in (torn, ("predict", *torn[1:7], "--sigma", 0.25, "--n", 50, "--quiet", "--out", f"{torn[-1]}-predict")):
        result = rsfast(*command, "--allow-missing")
        assert result.code == 0, result.err
        assert "2 could not be read." in result.out
        assert "2 images could not be used" in result.err


def test_unreadable_images_are_tried_again_and_forgotten_when_they_are_there(rsfast, torn, tmp_path):
    assert rsfast(*torn).code == 3
    np.savez(tmp_path / "x.npz", x=np.full((8, 1, 8, 8), 0.5, np.float32), y=np.arange(8))
    again = rsfast(*torn)
    assert again.code == 0, again.err
    assert "8 images are stored" in again.out
    assert "unreadable" not in rsfast("status", tmp_path / "run").out


def test_bad_arguments_exit_with_2_and_failures_with_1(rsfast, tmp_path):
    assert rsfast(*DIGITS, "--count", "many", "--out", tmp_path / "run").code == 2
    assert rsfast(*DIGITS[:-1]).code == 2
    assert rsfast(*DIGITS, "--alpha", "2", "--out", tmp_path / "run").code == 1


@pytest.mark.parametrize("data", ["test-labels", "plain"])
def test_a_label_that_is_no_class_is_left_out_and_breaks_nothing(rsfast, tmp_path, monkeypatch, data):
    from rsfast.sources.base import ArraySource

    np.savez(tmp_path / "x.npz", x=np.full((4, 1, 8, 8), 0.5, np.float32), y=np.arange(4))
    monkeypatch.setattr(ArraySource, "label", lambda self, index: (0, 255, -1, 3)[index])
    plan = ("--plan", "grid", "--radii", "0.02", "--test-labels") if data == "test-labels" else ()
    call = ("certify", *LINEAR, "--data", tmp_path / "x.npz", *SMALL, *plan, "--out", tmp_path / "run")
    for _ in range(2):
        result = rsfast(*call)
        assert result.code == 3, result.err
        assert "has the label 255, and classes are 0 to 9" in result.err
        assert read_run(tmp_path / "run").counts.ids.tolist() == [0, 3]
    assert rsfast("report", tmp_path / "run").code == 0


@pytest.fixture
def meddling(monkeypatch, tmp_path):
    monkeypatch.setenv("RUN", str(tmp_path / "run"))
    monkeypatch.setenv("SAMPLES_PER_IMAGE", "110")
    model = ("--model", "tests.reference.factories:meddling", "--num-classes", 10, "--data", "digits")
    return ("certify", *model, *SMALL, "--count", 6, "--batch", 110, "--out", tmp_path / "run")


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("delete", "was deleted, renamed or replaced while this run was written"),
        ("rename", "If it was renamed, all before is safe there"),
        ("save", "another file was put in the place of"),
        ("empty", "to 0 bytes while this run was written"),
    ],
)
def test_what_is_done_to_the_run_in_the_middle_ends_it_with_1_and_no_claim(rsfast, meddling, monkeypatch, what, message):
    monkeypatch.setenv("MEDDLE", what)
    result = rsfast(*meddling)
    assert result.code == 1
    assert message in result.err
    assert "are stored" not in result.out


def test_a_run_whose_file_was_saved_in_the_middle_is_finished_by_the_same_command(rsfast, meddling, monkeypatch, tmp_path):
    monkeypatch.setenv("MEDDLE", "save")
    assert rsfast(*meddling).code == 1
    monkeypatch.setenv("SAMPLES_PER_IMAGE", "100000")
    result = rsfast(*meddling)
    assert result.code == 0, result.err
    assert "6 images are stored" in result.out
    whole = rsfast(*meddling[:-1], tmp_path / "whole")
    assert whole.code == 0
    one, other = records(tmp_path / "whole"), records(tmp_path / "run")
    assert [one[i]["estimation"] for i in range(6)] == [other[i]["estimation"] for i in range(6)]


@pytest.mark.parametrize(("what", "code"), [("interrupt", 130), ("terminate", 143)])
def test_a_run_that_is_stopped_says_what_is_stored(rsfast, meddling, monkeypatch, tmp_path, what, code):
    monkeypatch.setenv("MEDDLE", what)
    result = rsfast(*meddling)
    assert result.code == code
    count = len(records(tmp_path / "run"))
    assert 1 <= count <= 3
    plural = "s are" if count > 1 else " is"
    assert (
        f"stopped. {count} image{plural} stored in {tmp_path / 'run'}, of 6 asked for; missing: {6 - count} images" in result.err
    )
    assert "the same command continues." in result.err
    assert f"missing    {6 - count} images" in rsfast("status", tmp_path / "run").out
    monkeypatch.setenv("SAMPLES_PER_IMAGE", "100000")
    assert rsfast(*meddling).code == 0


def test_a_table_of_an_unfinished_run_says_so(rsfast, meddling, monkeypatch, tmp_path):
    monkeypatch.setenv("MEDDLE", "interrupt")
    assert rsfast(*meddling).code == 130
    count = len(records(tmp_path / "run"))
    assert f"{count} of 6 images are there" in rsfast("report", tmp_path / "run").out


def test_status_imports_no_torch_for_a_plan_either(rsfast, tmp_path):
    plan = ("--plan", "grid", "--radii", "0.02", "--count", 2, "--out", tmp_path / "run")
    assert rsfast(*DIGITS, *plan).code == 0
    code = (
        "import sys; sys.argv = ['rsfast', 'status', sys.argv[1]]\nfrom rsfast.cli import main\nmain()\n"
        "print('torch imported:', 'torch' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code, tmp_path / "run"], capture_output=True, text=True, check=True).stdout
    assert "finished   2 of 2 images" in said
    assert "torch imported: False" in said


def test_status_of_a_pipe_does_not_wait_for_it(rsfast, tmp_path):
    assert rsfast(*DIGITS, "--count", 2, "--out", tmp_path / "run").code == 0
    for name in ("counts-000-of-001.jsonl", "run.json"):
        (tmp_path / "run" / name).unlink()
        os.mkfifo(tmp_path / "run" / name)
        refused = rsfast("status", tmp_path / "run")
        assert refused.code == 1
        assert "cannot be read: it is a pipe, not a file" in refused.err
