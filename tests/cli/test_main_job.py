"""certify → status → report → recertify → export on real images, and everything around them."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest
import torch

import rsfast as rs
from rsfast import sources
from rsfast.runs.read import read_run

LINEAR = ("--model", "tests.reference.factories:linear", "--data", "digits")
SMALL = ("--sigma", "0.25", "--n0", "10", "--n", "200", "--alpha", "0.01", "--seed", "5", "--quiet")


def log(file, delimiter="\t"):
    return list(csv.DictReader(file.read_text().splitlines(), delimiter=delimiter))


@pytest.fixture
def run(rsfast, tmp_path):
    result = rsfast("certify", *LINEAR, *SMALL, "--count", 12, "--out", tmp_path / "run")
    assert result.code == 0, result.err
    assert "12 images are stored" in result.out
    return tmp_path / "run"


def test_the_stored_counts_are_those_of_the_api(run):
    from tests.reference.factories import linear

    source = sources.load("digits")
    x = torch.stack([torch.from_numpy(source.image(i)) for i in range(12)])
    cert = rs.certify(linear(), x, noise=rs.Gaussian(0.25), num_classes=10, n0=10, n=200, alpha=0.01, seed=5, ids=range(12))
    stored = read_run(run).counts
    np.testing.assert_array_equal(stored.selection, cert.counts.selection)
    np.testing.assert_array_equal(stored.estimation, cert.counts.estimation)
    np.testing.assert_array_equal(rs.certify_counts(stored, alpha=0.01).radius, cert.radius)


def test_each_line_carries_what_is_needed_to_repeat_it(run):
    lines = [json.loads(line) for line in (run / "counts-000-of-001.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines] == list(range(12))
    for line in lines:
        assert sum(line["estimation"].values()) == 200
        assert line["seed"] == 5
        assert line["backend"] == "native"
        assert {"model", "config", "versions", "crc", "n0", "n", "seconds", "label"} <= set(line)


def test_the_same_command_finds_nothing_left_to_do(rsfast, run):
    before = (run / "counts-000-of-001.jsonl").read_bytes()
    result = rsfast("certify", *LINEAR, *SMALL, "--count", 12, "--out", run)
    assert result.code == 0
    assert "(0 of them now)" in result.out
    assert (run / "counts-000-of-001.jsonl").read_bytes() == before


def test_a_run_can_be_extended_and_sharded_and_gives_the_same_counts(rsfast, run, tmp_path):
    assert rsfast("certify", *LINEAR, *SMALL, "--count", 15, "--out", run).code == 0
    for index in (2, 0, 1):
        assert rsfast("certify", *LINEAR, *SMALL, "--count", 15, "--shard", f"{index}/3", "--out", tmp_path / "b").code == 0
    one, other = read_run(run).counts, read_run(tmp_path / "b").counts
    assert one.ids.tolist() == other.ids.tolist() == list(range(15))
    np.testing.assert_array_equal(one.estimation, other.estimation)


def test_a_fresh_seed_is_kept_when_the_run_continues(rsfast, tmp_path):
    command = ("certify", *LINEAR, "--sigma", 0.25, "--n0", 5, "--n", 50, "--quiet", "--out", tmp_path / "run")
    assert rsfast(*command, "--count", 2).code == 0
    assert rsfast(*command, "--count", 4).code == 0
    assert len(read_run(tmp_path / "run").counts) == 4
    result = rsfast(*command, "--count", 4, "--seed", 1)
    assert result.code == 1
    assert "was started with seed=" in result.err


def test_every_and_start_choose_images(rsfast, tmp_path):
    rsfast("certify", *LINEAR, *SMALL, "--start", 3, "--every", 4, "--count", 3, "--out", tmp_path / "run")
    assert read_run(tmp_path / "run").counts.ids.tolist() == [3, 7, 11]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("--sigma", "0.5"), "noise="),
        (("--n", "300"), "n=200, this call has n=300"),
        (("--alpha", "0.02"), "alpha=0.01, this call has alpha=0.02"),
        (("--dtype", "bfloat16"), "dtype=float32, this call has dtype=bfloat16"),
        (("--batch", "7"), "batch="),
        (("--batch", "7", "--norm", "1"), "norm=2.0, this call has norm=1.0"),
        (("--model", "tests.reference.factories:pixels"), "different models are not mixed"),
        (("--split", "train"), "different data are not mixed"),
    ],
)
def test_a_different_setting_is_refused_and_changes_nothing(rsfast, run, change, message):
    before = (run / "counts-000-of-001.jsonl").read_bytes()
    what = LINEAR[2:] if "--model" in change else LINEAR
    result = rsfast("certify", *what, *SMALL, "--count", 12, "--out", run, *change)
    assert result.code == 1
    assert message in result.err
    assert result.err.count("\n") == 1
    assert (run / "counts-000-of-001.jsonl").read_bytes() == before


def test_status_tells_how_far_it_is(rsfast, run):
    out = rsfast("status", run).out
    assert "12 of 599 images" in out
    assert "2,520 in" in out
    assert "n=200" in out


def test_report_prints_the_table_and_writes_files_that_need_no_network(rsfast, run, tmp_path):
    result = rsfast("report", run, "--radii", "0,0.1,0.2", "--out", tmp_path / "report")
    assert result.code == 0, result.err
    assert "r=0.1" in result.out
    files = {file.name for file in (tmp_path / "report").iterdir()}
    assert files == {*(f"certified_accuracy.{ending}" for ending in ("csv", "json", "png", "svg")), "report.html"}
    page = (tmp_path / "report" / "report.html").read_text()
    assert "<svg" in page
    assert "seed = 5" in page
    assert "src=" not in page
    assert (tmp_path / "report" / "certified_accuracy.png").read_bytes().startswith(b"\x89PNG")
    rows = [line.split(",") for line in (tmp_path / "report" / "certified_accuracy.csv").read_text().splitlines()]
    assert rows[0] == ["name", "0", "0.1", "0.2", "images", "asked"]
    assert rows[1][0] == "run"


def test_export_writes_the_fields_tsv_rounded_down(rsfast, run, tmp_path):
    assert rsfast("export", run, tmp_path / "a.tsv").code == 0
    assert rsfast("export", run, tmp_path / "a.csv").code == 0
    rows = log(tmp_path / "a.tsv")
    assert list(rows[0]) == ["idx", "label", "predict", "radius", "correct", "time"]
    stored = read_run(run)
    cert = rs.certify_counts(stored.counts, alpha=0.01)
    for i, row in enumerate(rows):
        assert 0 <= cert.radius[i] - float(row["radius"]) < 1.0001e-6
        assert int(row["predict"]) == cert.label[i]
        assert int(row["correct"]) == int(cert.label[i] == stored.labels[i])
        hours, minutes, seconds = row["time"].split(":")
        assert float(seconds) == pytest.approx(stored.seconds[i] - 60 * (int(minutes) + 60 * int(hours)), abs=1e-5)
    assert log(tmp_path / "a.csv", ",") == rows
    assert rsfast("report", tmp_path / "a.tsv").out.split()[-1] == rsfast("report", run).out.split()[-1]


def test_recertify_uses_the_stored_counts(rsfast, run, tmp_path):
    result = rsfast("recertify", run, "--alpha", 0.1, "--norm", "inf", "--out", tmp_path / "b.tsv")
    assert result.code == 0, result.err
    assert "linf, alpha = 0.1" in result.out
    rows = log(tmp_path / "b.tsv")
    expected = rs.certify_counts(read_run(run).counts, alpha=0.1, norm=float("inf")).radius
    assert [float(row["radius"]) for row in rows] == pytest.approx(expected, abs=1.1e-6)


def test_predict_stores_votes_and_reports_accuracy(rsfast, tmp_path):
    result = rsfast(
        "predict", *LINEAR, "--sigma", 0.25, "--n", 100, "--seed", 3, "--count", 6, "--quiet", "--out", tmp_path / "p"
    )
    assert result.code == 0, result.err
    assert "accuracy" in rsfast("report", tmp_path / "p").out
    assert rsfast("export", tmp_path / "p", tmp_path / "p.tsv").code == 0
    rows = log(tmp_path / "p.tsv")
    assert list(rows[0]) == ["idx", "label", "predict", "correct", "time"]
    refused = rsfast("recertify", tmp_path / "p", "--norm", 1)
    assert refused.code == 1
    assert "predictions" in refused.err


def test_an_architecture_with_a_checkpoint(rsfast, tmp_path):
    from safetensors.torch import save_file

    from rsfast.models import build

    torch.manual_seed(0)
    save_file(build("small-cnn", num_classes=10, channels=1).state_dict(), tmp_path / "m.safetensors")
    result = rsfast("certify", "--model", "small-cnn", "--checkpoint", tmp_path / "m.safetensors", "--data", "digits", *SMALL,
                    "--count", 2, "--mean", "0.3", "--std", "0.4", "--channels-last", "--out", tmp_path / "run")  # fmt: skip
    assert result.code == 0, result.err
    assert "small-cnn (m.safetensors)" in rsfast("status", tmp_path / "run").out


def test_help_needs_no_heavy_imports():
    code = (
        "import sys\nfrom rsfast.cli import cli\n"
        "try: cli(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'numba', 'numpy', 'matplotlib', 'triton', 'scipy'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.parametrize("command", ["certify", "predict", "demo", "info", "status", "recertify", "report", "export"])
def test_every_command_explains_itself(rsfast, command):
    result = rsfast(command, "--help")
    assert result.code == 0
    assert "Usage:" in result.out


def test_info_names_every_backend(rsfast):
    out = rsfast("info").out
    for name in ("triton", "native", "numba", "reference"):
        assert name in out
    assert "native     available" in out


def test_info_says_what_a_missing_extension_costs(rsfast, monkeypatch):
    from rsfast.backends import native

    monkeypatch.setattr(native, "_C", None)
    monkeypatch.setattr(native, "_import_error", "No module named 'rsfast._C'", raising=False)
    out = rsfast("info").out
    assert "native     missing: the C++ extension rsfast._C is missing" in out
    assert "cost: noise and votes come from numba" in out
    assert "to get it:" in out


def test_demo_runs_small(rsfast, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules["rsfast.cli.demo"], "EPOCHS", 2)
    result = rsfast("demo", "--out", tmp_path / "demo", "--images", 5, "--n", 100)
    assert result.code == 0, result.err
    files = {file.name for file in (tmp_path / "demo").iterdir()}
    assert {"model.safetensors", "results.tsv", "report.html", "certified_accuracy.png", "certified_accuracy.svg"} <= files
    assert "ACR" in result.out


def test_a_demo_is_continued_by_certify(rsfast, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules["rsfast.cli.demo"], "EPOCHS", 1)
    out = tmp_path / "demo"
    assert rsfast("demo", "--out", out, "--images", 2, "--n", 50).code == 0
    call = (
        "certify",
        "--model",
        "small-cnn",
        "--checkpoint",
        out / "model.safetensors",
        "--data",
        "digits",
        "--sigma",
        0.25,
    )
    result = rsfast(*call, "--n", 50, "--seed", 0, "--count", 4, "--quiet", "--out", out)
    assert result.code == 0, result.err
    assert rsfast("demo", "--out", out, "--images", 5, "--n", 50).code == 0
    assert read_run(out).counts.ids.tolist() == [0, 1, 2, 3, 4]


def test_shards_started_together_without_a_seed_share_one(spawn, tmp_path):
    call = ("certify", *LINEAR, "--sigma", 0.25, "--n0", 5, "--n", 50, "--count", 6, "--quiet", "--out", tmp_path / "run")
    processes = [spawn(*call, "--shard", f"{i}/3") for i in range(3)]
    for process in processes:
        assert process.wait(120) == 0, process.stderr.read()
    assert read_run(tmp_path / "run").counts.ids.tolist() == list(range(6))


def test_the_default_batches_are_equal_and_waste_little():
    from rsfast.inference import default_batch

    for dim, total in ((64, 10_100), (3072, 1100), (150_528, 100_100), (64, 3), (3072, 100_100)):
        batch = default_batch(dim, total, "cpu")
        passes = -(-total // batch)
        assert batch <= 1024
        assert passes * batch - total < passes


def test_a_run_with_measured_choices_continues_with_them(rsfast, tmp_path, monkeypatch):
    from safetensors.torch import save_file

    from rsfast import inference, models

    torch.manual_seed(0)
    save_file(models.build("small-cnn", num_classes=10, channels=1).state_dict(), tmp_path / "m.safetensors")
    model = ("--model", "small-cnn", "--checkpoint", tmp_path / "m.safetensors", "--data", "digits")
    command = ("certify", *model, *SMALL, "--dtype", "auto", "--batch", "auto", "--fold", "--out", tmp_path / "run")
    assert rsfast(*command, "--count", 2).code == 0
    settings = json.loads((tmp_path / "run" / "run.json").read_text())["settings"]
    assert settings["inference"]["runtime"] == "torch"

    def refuse(*arguments, **options):
        raise AssertionError("measured again")

    monkeypatch.setattr(inference.batching, "duration", refuse)
    monkeypatch.setattr(inference.batching, "batch_rates", refuse)
    result = rsfast(*command, "--count", 4)
    assert result.code == 0, result.err
    assert "(2 of them now)" in result.out
