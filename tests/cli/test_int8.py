"""--dtype int8 on the command line, and `rsfast prepare`: what is deployed is what was certified."""

import json

import numpy as np
import pytest
import torch

import rsfast as rs
from rsfast import sources
from rsfast.inference import Calibration
from rsfast.runs.read import read_run

for name in ("onnx", "onnxruntime", "onnxscript"):
    pytest.importorskip(name)

LINEAR = ("--model", "tests.reference.factories:linear", "--data", "digits", "--sigma", "0.25")
SMALL = ("--n0", "10", "--n", "200", "--alpha", "0.01", "--seed", "5", "--quiet")
INT8 = ("--dtype", "int8", "--runtime", "onnxruntime")


def images(positions):
    source = sources.load("digits")
    return torch.stack([torch.from_numpy(source.image(i)) for i in positions])


def test_a_run_in_int8_is_that_of_the_api_with_images_outside_the_run(rsfast, tmp_path):
    from tests.reference.factories import linear

    result = rsfast("certify", *LINEAR, *SMALL, *INT8, "--count", 6, "--out", tmp_path / "run")
    assert result.code == 0, result.err
    order = np.random.default_rng(0).permutation(len(sources.load("digits"))).tolist()
    chosen = sorted([position for position in order if position >= 6][:64])
    given = Calibration(images(chosen), rs.Gaussian(0.25))
    classifier = rs.Classifier(linear(), num_classes=10, dtype="int8", runtime="onnxruntime", calibration=given)
    cert = rs.certify(classifier, images(range(6)), noise=rs.Gaussian(0.25), n0=10, n=200, alpha=0.01, seed=5, ids=range(6))
    stored = read_run(tmp_path / "run")
    assert (stored.counts.estimation == cert.counts.estimation).all()
    assert stored.manifest.settings["dtype"] == "int8"
    assert stored.manifest.settings["inference"]["int8"] == json.loads(cert.counts.versions["inference"])["int8"]


def test_a_run_in_int8_grows_and_is_continued(rsfast, tmp_path):
    for count in (4, 4, 7):
        result = rsfast("certify", *LINEAR, *SMALL, *INT8, "--count", count, "--out", tmp_path / "run")
        assert result.code == 0, result.err
    assert len(read_run(tmp_path / "run").counts) == 7


def test_a_run_in_int8_is_not_continued_with_other_scales(rsfast, tmp_path):
    rsfast("certify", *LINEAR, *SMALL, *INT8, "--count", 4, "--out", tmp_path / "run")
    result = rsfast("certify", *LINEAR, *SMALL, *INT8, "--calibrate", "digits", "--count", 5, "--out", tmp_path / "run")
    assert result.code == 1 and "was started with inference.int8=" in result.err


def test_images_of_the_run_do_not_calibrate_either_where_both_are_of_the_same_data(rsfast, tmp_path):
    given = ("--split", "train", "--calibrate", "digits")
    result = rsfast("certify", *LINEAR, *SMALL, *INT8, *given, "--out", tmp_path / "run")
    assert result.code == 1 and "--dtype int8 needs images that are not certified, and 0 of" in result.err


def test_a_run_in_int8_is_not_continued_where_sums_saturate(rsfast, tmp_path, monkeypatch):
    assert rsfast("certify", *LINEAR, *SMALL, *INT8, "--count", 3, "--out", tmp_path / "run").code == 0
    here = read_run(tmp_path / "run").manifest.settings["inference"]["vnni"]
    monkeypatch.setattr("rsfast.inference.has_vnni", lambda: not here)
    result = rsfast("certify", *LINEAR, *SMALL, *INT8, "--count", 4, "--out", tmp_path / "run")
    assert result.code == 1 and "was started with inference.vnni=" in result.err


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--calibrate", "digits"), "--calibrate: give --dtype int8, too, or leave that out"),
        (("--least-agreement", "0.5"), "--least-agreement: give --dtype int8"),
        (("--dtype", "int8", "--runtime", "auto"), "--dtype int8 needs images that are not certified, and 0 of"),
        (("--dtype", "int8", "--count", "3"), "dtype='int8' is nothing that runtime='torch' computes in"),
    ],
)
def test_what_does_not_fit_is_said(rsfast, tmp_path, options, sentence):
    result = rsfast("certify", *LINEAR, *SMALL, *options, "--out", tmp_path / "run")
    assert result.code == 1 and sentence in result.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("dtype", ["int8", "float32"])
def test_what_is_deployed_is_what_was_certified(rsfast, tmp_path, dtype):
    file = tmp_path / "deployed.onnx"
    result = rsfast("prepare", *LINEAR, "--split", "train", "--dtype", dtype, "--mean", "0.3", "--std", "2", "--out", file)
    assert result.code == 0, result.err
    card = json.loads((tmp_path / "deployed.onnx.json").read_text())
    assert card["model"] == "tests.reference.factories:linear" and card["dtype"] == dtype and card["mean"] == [0.3]
    assert ("agreement" in card) == (dtype == "int8")
    result = rsfast(
        "certify", "--model", file, "--data", "digits", "--sigma", 0.25, *SMALL, "--count", 4, "--out", tmp_path / "run"
    )
    assert result.code == 0, result.err
    assert "leave --mean and --std out" in result.err
    stored = read_run(tmp_path / "run").counts
    votes = rs.sample_counts(
        rs.Classifier(rs.models.from_onnx(file), num_classes=10, batch=stored.batch), images(range(4)), noise=rs.Gaussian(0.25),
        n0=10, n=200, seed=5, ids=range(4),
    )  # fmt: skip
    assert (votes.estimation == stored.estimation).all()


def test_the_file_chooses_the_classes_of_the_normalised_model(rsfast, tmp_path):
    from tests.reference.factories import linear

    file = tmp_path / "deployed.onnx"
    assert rsfast("prepare", *LINEAR, "--mean", "0.3", "--std", "0.5", "--out", file).code == 0
    x = images(range(200)) + 0.25 * torch.randn(200, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        same = rs.models.from_onnx(file)(x).argmax(1) == linear()((x - 0.3) / 0.5).argmax(1)
    assert float(same.float().mean()) > 0.95


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--out", "deployed.pt"), "does not end in .onnx"),
        (("--out", "nowhere/deployed.onnx"), "--out nowhere/deployed.onnx: there is no folder nowhere"),
        (("--out", "deployed.onnx", "--least-agreement", "1.0"), "chooses the same class in"),
    ],
)
def test_prepare_refuses_in_a_sentence(rsfast, tmp_path, monkeypatch, options, sentence):
    monkeypatch.chdir(tmp_path)
    result = rsfast("prepare", *LINEAR, *options)
    assert result.code == 1 and sentence in result.err
    assert list(tmp_path.iterdir()) == []
