"""Runs with sequential plans: stored, killed, continued, reported, recertified."""

import json

import numpy as np
import pytest

import rsfast as rs
from rsfast import sources
from rsfast.errors import InvalidArgumentError, StoreError
from rsfast.runs.read import certificate, read_run
from rsfast.runs.store import records
from tests import flat
from tests.reference.factories import linear

from .conftest import kill_until_done

MODEL = ("--model", "tests.reference.factories:linear", "--data", "digits", "--sigma", "0.25")
COMMON = ("--n0", "10", "--alpha", "0.01", "--seed", "5", "--quiet")
GRID = ("--plan", "grid", "--radii", "0,0.1,0.25,0.5")


def lines(run):
    return [json.loads(line) for line in (run / "counts-000-of-001.jsonl").read_text().splitlines()]


@pytest.fixture
def run(rsfast, tmp_path):
    result = rsfast("certify", *MODEL, *COMMON, *GRID, "--n", 5000, "--count", 12, "--out", tmp_path / "run")
    assert result.code == 0, result.err
    return tmp_path / "run"


def test_a_line_says_how_its_drawing_went(run):
    for line in lines(run):
        assert line["path"][-1][0] == line["n"] == sum(line["estimation"].values())
        assert line["path"][-1][1] == line["estimation"].get(str(line["tested"]), 0)
        assert -1 <= line["reached"] <= 3
        assert 0 < line["spent"] <= 0.01
        draws = [draw for draw, _ in line["path"]]
        assert draws == sorted(set(draws))
    assert np.mean([line["n"] for line in lines(run)]) < 3000


def test_report_and_status_tell_what_was_drawn(rsfast, run):
    assert "12 of" in rsfast("status", run).out
    drawn = sum(line["n"] + line["n0"] for line in lines(run))
    assert f"{drawn:,}" in rsfast("status", run).out
    table = rsfast("report", run, "--out", run / "report")
    assert table.code == 0, table.err
    assert "grid plan at alpha = 0.01" in (run / "report" / "report.html").read_text()


def test_recertify_takes_another_norm_and_refuses_another_alpha(rsfast, run):
    assert rsfast("recertify", run, "--norm", "inf").code == 0
    refused = rsfast("recertify", run, "--alpha", "0.001")
    assert refused.code == 1
    assert "stopped as it says" in refused.err


def test_stored_votes_are_continued_in_python_as_the_run_was_made(rsfast, tmp_path):
    run = tmp_path / "run"
    command = ("certify", *MODEL, *COMMON, "--plan", "betting", "--fold", "--n", 300, "--count", 2, "--out", run)
    assert rsfast(*command).code == 0
    x = np.stack([sources.load("digits").image(i) for i in range(2)])
    call = {"noise": rs.Gaussian(0.25), "num_classes": 10, "n0": 10, "n": 900, "alpha": 0.01, "plan": rs.plans.Betting()}
    earlier = read_run(run).counts
    with pytest.raises(InvalidArgumentError, match="this call with the model as it is: fold, runtime"):
        flat.sample_counts(linear(), x, earlier=earlier, **call)
    more = flat.sample_counts(linear(), x, earlier=earlier, fold=True, **call)
    assert rsfast(*command[:-6], "--n", 900, "--count", 2, "--out", run).code == 0
    np.testing.assert_array_equal(more.estimation, read_run(run).counts.estimation)


def test_a_spent_plan_is_not_continued_with_more_draws(rsfast, run):
    refused = rsfast("certify", *MODEL, *COMMON, *GRID, "--n", 10_000, "--count", 12, "--out", run)
    assert refused.code == 1
    assert "n=5000" in refused.err


def test_betting_goes_on_with_more_draws(rsfast, tmp_path):
    command = ("certify", *MODEL, *COMMON, "--plan", "betting", "--radii", "0.05,0.25,0.5", "--count", 12)
    first = rsfast(*command, "--n", 500, "--out", tmp_path / "run")
    assert first.code == 0, first.err
    before = read_run(tmp_path / "run")
    assert before.counts.n <= 500
    more = rsfast(*command, "--n", 4000, "--out", tmp_path / "run")
    assert more.code == 0, more.err
    after = read_run(tmp_path / "run")
    grown = after.counts.drawn > before.counts.drawn
    assert 0 < grown.sum() < 12
    assert (certificate(after).radius >= certificate(before).radius).all()
    whole = rsfast(*command, "--n", 4000, "--out", tmp_path / "whole")
    assert whole.code == 0
    at_once = read_run(tmp_path / "whole").counts
    same = at_once.drawn == after.counts.drawn
    assert same.sum() >= 10  # the pause is one more look
    np.testing.assert_array_equal(at_once.estimation[same], after.counts.estimation[same])


def archive(tmp_path, images):
    np.savez(tmp_path / "x.npz", x=images, y=np.arange(len(images)) % 10)
    return ("--model", "tests.reference.factories:linear", "--data", tmp_path / "x.npz", "--sigma", "0.25", "--num-classes", 10)


def test_betting_does_not_go_on_with_other_images(rsfast, tmp_path, rng):
    images = rng.integers(0, 255, (100, 8, 8), dtype=np.uint8)
    command = ("certify", *archive(tmp_path, images), *COMMON, "--plan", "betting", "--out", tmp_path / "run")
    assert rsfast(*command, "--n", 200).code == 0
    images[1] = 255 - images[1]  # not among those that are looked at again
    archive(tmp_path, images)
    refused = rsfast(*command, "--n", 600)
    assert refused.code == 1
    assert "image 1 of x.npz is not the one that was certified" in refused.err


def test_two_continuations_at_once_stay_readable(rsfast, tmp_path):
    command = ("certify", *MODEL, *COMMON, "--plan", "betting", "--count", 4)
    for n, name in ((200, "a"), (200, "b")):
        assert rsfast(*command, "--n", n, "--out", tmp_path / name).code == 0
    assert rsfast(*command, "--n", 900, "--out", tmp_path / "a").code == 0
    assert rsfast(*command, "--n", 600, "--out", tmp_path / "b", "--shard", "0/1").code == 0
    later = (tmp_path / "a" / "counts-000-of-001.jsonl").read_bytes()
    (tmp_path / "b" / "counts-000-of-002.jsonl").write_bytes(later)
    found = records(tmp_path / "b")
    assert {record["n"] for record in found.values()} <= {200, 896, 900} | {
        record["n"] for record in records(tmp_path / "a").values()
    }
    changed = json.loads(later.splitlines()[-1])
    changed["path"][0][1] -= 1
    changed.pop("crc")
    from rsfast.runs.store import Shard

    with Shard(tmp_path / "b", 1, 3) as shard:
        shard.append({**changed, "n": changed["n"] + 1})
    with pytest.raises(StoreError, match="hold different counts"):
        records(tmp_path / "b")


def test_ways_to_as_many_draws_that_paused_elsewhere_stay_readable(rsfast, tmp_path):
    command = ("certify", *MODEL, *COMMON, "--plan", "betting", "--count", 4)
    for name, pauses in (("a", (200, 600, 900)), ("b", (200, 900))):
        for n in pauses:
            assert rsfast(*command, "--n", n, "--out", tmp_path / name).code == 0
    both = tmp_path / "b"
    (both / "counts-000-of-002.jsonl").write_bytes((tmp_path / "a" / "counts-000-of-001.jsonl").read_bytes())
    found = records(both)
    assert max(record["n"] for record in found.values()) > 600
    other = dict(found[0])
    other["estimation"] = {**other["estimation"], "9": other["estimation"].get("9", 0) + 1}
    from rsfast.runs.store import Shard

    with Shard(both, 1, 3) as shard:
        shard.append(other)
    with pytest.raises(StoreError, match="hold different counts"):
        records(both)


def test_thresholds_of_a_call_that_stored_nothing_are_not_kept(rsfast, tmp_path):
    broken = ("certify", "--model", "tests.reference.factories:fails_on_the_third_image", "--data", "digits", "--sigma", "0.25")
    run = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAMPLES_PER_IMAGE", "0")
        failed = rsfast(*broken, *COMMON, "--plan", "grid", "--radii", "0.02,0.05", "--n", 500, "--count", 3, "--out", run)
    assert failed.code == 1
    command = ("certify", *MODEL, *COMMON, "--plan", "grid", "--radii", "0.02,0.05", "--norm", "inf", "--n", 500, "--count", 3)
    for folder in (run, tmp_path / "fresh"):
        assert rsfast(*command, "--out", folder).code == 0
    first, fresh = (json.loads((folder / "run.json").read_text())["settings"] for folder in (run, tmp_path / "fresh"))
    assert first["thresholds"] == fresh["thresholds"]


def test_a_lattice_of_a_call_that_stored_nothing_is_not_kept_for_another_n(rsfast, tmp_path):
    broken = ("certify", "--model", "tests.reference.factories:fails_on_the_third_image", "--data", "digits", "--sigma", "0.25")
    run = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAMPLES_PER_IMAGE", "0")
        assert rsfast(*broken, *COMMON, "--plan", "radius", "--n", 50, "--count", 1, "--out", run).code == 1
    command = ("certify", *MODEL, *COMMON, "--plan", "radius", "--n", 1000, "--count", 1)
    for folder in (run, tmp_path / "fresh"):
        assert rsfast(*command, "--out", folder).code == 0
    first, fresh = (json.loads((folder / "run.json").read_text())["settings"] for folder in (run, tmp_path / "fresh"))
    assert first["thresholds"] == fresh["thresholds"]


def test_thresholds_of_a_run_are_those_it_began_with(rsfast, run, monkeypatch):
    from rsfast.certifying import radii

    settings = json.loads((run / "run.json").read_text())["settings"]
    monkeypatch.setattr(radii, "thresholds", lambda *arguments: tuple(q * (1 - 1e-12) for q in (0.4, 0.3, 0.2, 0.1)))
    again = rsfast("certify", *MODEL, *COMMON, *GRID, "--n", 5000, "--count", 14, "--out", run)
    assert again.code == 0, again.err
    assert json.loads((run / "run.json").read_text())["settings"] == settings


def test_a_betting_run_without_images_reports_nothing(rsfast, tmp_path):
    command = ("certify", *MODEL, *COMMON, "--plan", "betting", "--count", 1, "--shard", "1/2", "--out", tmp_path / "run")
    assert rsfast(*command).code == 0
    assert rsfast("recertify", tmp_path / "run").code == 0


def test_tested_labels_need_labels(rsfast, tmp_path, rng):
    result = rsfast("certify", *MODEL, *COMMON, *GRID, "--test-labels", "--n", 2000, "--count", 12, "--out", tmp_path / "run")
    assert result.code == 0, result.err
    for line in lines(tmp_path / "run"):
        assert (line["tested"], line["n0"], line["selection"]) == (line["label"], 0, {})
    np.savez(tmp_path / "x.npz", x=rng.integers(0, 255, (3, 8, 8), dtype=np.uint8))
    model = ("--model", "tests.reference.factories:linear", "--data", tmp_path / "x.npz", "--sigma", "0.25", "--num-classes", 10)
    refused = rsfast("certify", *model, *COMMON, *GRID, "--test-labels", "--out", tmp_path / "other")
    assert refused.code == 1
    assert "has none" in refused.err


def test_curtailed_runs_have_the_rows_of_full_ones(rsfast, tmp_path):
    command = ("certify", *MODEL[:4], "--sigma", "4", *COMMON, "--n", 1500, "--count", 30)
    for name, more in (("full", ()), ("short", ("--plan", "curtail"))):
        assert rsfast(*command, *more, "--out", tmp_path / name).code == 0
    full, short = (certificate(read_run(tmp_path / name)) for name in ("full", "short"))
    np.testing.assert_array_equal(full.label, short.label)
    np.testing.assert_array_equal(full.radius, short.radius)
    assert (short.counts.drawn < 1500).any()
    refused = rsfast("recertify", tmp_path / "short", "--multiclass")
    assert refused.code == 1
    assert "need not abstain" in refused.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--plan", "grid"), "give --radii"),
        (("--radii", "0.5"), "--plan all takes none"),
        (("--plan", "radius", "--radii", "0.5"), "--plan radius takes none"),
        (("--plan", "betting", "--final", "0.5"), "--plan betting takes none"),
        (("--test-labels",), "is for plans"),
        (("--plan", "curtail", "--test-labels"), "tests no labels"),
        (("--bound", "bayes"), "is not known"),
    ],
)
def test_options_that_do_not_go_together_are_refused(rsfast, tmp_path, options, message):
    refused = rsfast("certify", *MODEL, *COMMON, "--n", 500, *options, "--out", tmp_path / "run")
    assert refused.code == 1
    assert message in refused.err
    assert not (tmp_path / "run").exists()


KILLED = ("certify", "--model", "tests.reference.factories:slow", "--data", "digits", "--sigma", "0.25", "--n0", "10", "--n", "3000",
          "--alpha", "0.01", "--seed", "5", "--batch", "64", "--count", "9", "--quiet", *GRID)  # fmt: skip


def test_killed_plans_continue_bit_for_bit(rsfast, spawn, tmp_path, rng):
    whole = rsfast(*KILLED, "--out", tmp_path / "whole")
    assert whole.code == 0, whole.err
    kills = kill_until_done(spawn, [*KILLED, "--out", tmp_path / "killed"], tmp_path / "killed", rng, most=3)
    assert kills >= 2
    one, other = records(tmp_path / "whole"), records(tmp_path / "killed")
    assert set(one) == set(other) == set(range(9))
    for i in range(9):
        for name in ("n", "selection", "estimation", "path", "reached", "tested", "spent"):
            assert one[i][name] == other[i][name]
