"""Dual and input-dependent smoothing from the command line: run, stop, continue, report, recertify."""

import json
import sys

import numpy as np
import pytest
import torch

import rsfast as rs
from rsfast import certificates, sources
from rsfast.errors import SoundnessWarning
from rsfast.runs.read import read_run
from rsfast.sigma import NearestNeighbors
from rsfast.transforms import strided_masks

TWO = ("--model", "tests.reference.factories:linear", "--model", "tests.reference.factories:other_linear", "--data", "digits")
ONE = ("--model", "tests.reference.factories:linear", "--data", "digits")
SMALL = ("--n0", 10, "--n", 200, "--alpha", 0.01, "--seed", 5, "--quiet")
DEPENDENT = ("--noise", "input-dependent", "--sigma", 0.3, "--rate", 0.05, "--neighbors", 3)


def digits(count, split="test"):
    source = sources.load("digits", split=split)
    return torch.stack([torch.from_numpy(source.image(i)) for i in range(count)])


def test_a_dual_run_stores_the_votes_of_both_halves(rsfast, tmp_path):
    from tests.reference.factories import linear, other_linear

    run = tmp_path / "run"
    command = ("certify", *TWO, "--sigma", 0.18, "--transform", "diagonal", *SMALL, "--out", run)
    assert rsfast(*command, "--count", 3).code == 0
    result = rsfast(*command, "--count", 8)
    assert result.code == 0, result.err
    assert "(5 of them now)" in result.out
    cert = rs.certify(
        [linear(), other_linear()], digits(8), noise=rs.Gaussian(0.18), num_classes=10, transform=rs.DiagonalSplit(),
        n0=10, n=200, alpha=0.01, seed=5,
    )  # fmt: skip
    stored = read_run(run).counts
    assert stored.transform == rs.DiagonalSplit()
    assert stored.part_dims == (32, 32)
    np.testing.assert_array_equal(stored.selection, cert.counts.selection)
    np.testing.assert_array_equal(stored.estimation, cert.counts.estimation)
    np.testing.assert_array_equal(rs.certify_counts(stored, alpha=0.01).radius, cert.radius)
    line = json.loads((run / "counts-000-of-001.jsonl").read_text().splitlines()[0])
    assert [sum(part.values()) for part in line["estimation"]] == [200, 200]

    status = rsfast("status", run).out
    assert "8 of 599 images" in status
    assert f"{8 * 2 * 210:,}" in status
    for more in ((), ("--joint", "product"), ("--multiclass",), ("--norm", "inf")):
        result = rsfast("recertify", run, *more)
        assert result.code == 0, result.err
    assert "product over 2 parts" in rsfast("recertify", run, "--joint", "product").out
    assert rsfast("report", run, "--out", tmp_path / "report").code == 0
    assert "DiagonalSplit" in (tmp_path / "report" / "report.html").read_text()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("--joint", "product"), "joint="),
        (("--multiclass",), "multiclass="),
        (("--interpolation", "bilinear"), "transform="),
    ],
)
def test_a_dual_run_is_not_continued_with_other_settings(rsfast, tmp_path, change, message):
    command = ("certify", *TWO, "--sigma", 0.18, "--transform", "diagonal", *SMALL, "--out", tmp_path / "run", "--count", 2)
    assert rsfast(*command).code == 0
    result = rsfast(*command, *change)
    assert result.code == 1
    assert message in result.err
    assert "Use another --out" in result.err


def test_masks_from_a_file_unequal_levels_and_one_shared_model(rsfast, tmp_path):
    np.save(tmp_path / "masks.npy", strided_masks(1, 2, 8, 8))
    result = rsfast(
        "certify", *ONE, "--sigma", "0.1,0.3", "--transform", tmp_path / "masks.npy", "--interpolation", "frame", *SMALL,
        "--count", 3, "--out", tmp_path / "run",
    )  # fmt: skip
    assert result.code == 0, result.err
    stored = read_run(tmp_path / "run").counts
    assert stored.sigma.tolist() == [[0.1, 0.3]] * 3
    assert stored.transform == rs.Partition(strided_masks(1, 2, 8, 8), "frame")


def test_an_input_dependent_run_takes_the_levels_of_its_nearest_neighbours(rsfast, tmp_path):
    from tests.reference.factories import linear

    run = tmp_path / "run"
    command = ("certify", *ONE, *DEPENDENT, "--offset", "minimum", *SMALL, "--out", run)
    assert rsfast(*command, "--count", 4).code == 0
    result = rsfast(*command, "--count", 9)
    assert result.code == 0, result.err
    train = digits(len(sources.load("digits", split="train")), "train")
    sigma = NearestNeighbors(train, base=0.3, rate=0.05, k=3, m="minimum")
    noise = rs.InputDependentGaussian(sigma)
    cert = rs.certify(linear(), digits(9), noise=noise, num_classes=10, n0=10, n=200, alpha=0.01, seed=5)
    stored = read_run(run).counts
    np.testing.assert_array_equal(stored.sigma, cert.counts.sigma)
    np.testing.assert_array_equal(stored.estimation, cert.counts.estimation)
    np.testing.assert_array_equal(rs.certify_counts(stored, alpha=0.01).radius, cert.radius)
    assert np.ptp(stored.sigma) > 0.001
    assert (cert.radius <= certificates.cohen_l2(cert.p_lower, sigma=cert.counts.sigma)).all()
    assert stored.noise == noise
    assert cert.caveats == ()
    result = rsfast("report", run, "--out", tmp_path / "report")
    assert result.code == 0, result.err
    page = (tmp_path / "report" / "report.html").read_text()
    assert "sigma(x) from" in page
    assert "on trust" not in page
    assert (run / "levels" / "sigma.jsonl").exists()


def test_other_training_data_are_another_run(rsfast, tmp_path, rng):
    command = ("certify", *ONE, *DEPENDENT, "--offset", 1, *SMALL, "--count", 2, "--out", tmp_path / "run")
    assert rsfast(*command).code == 0
    np.save(tmp_path / "train.npy", rng.integers(0, 256, (50, 8, 8), dtype=np.uint8))
    result = rsfast(*command, "--train", tmp_path / "train.npy")
    assert result.code == 1
    assert "was started with noise=" in result.err


def test_input_dependent_smoothing_of_an_image_folder(rsfast, tmp_path, rng):
    from PIL import Image

    for split, count in (("train", 12), ("test", 3)):
        for name in ("cats", "dogs"):
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    command = (
        "certify", "--model", "tests.reference.factories:pixels", "--data", tmp_path / "test", *DEPENDENT, *SMALL,
        "--out", tmp_path / "run", "--num-classes", 10, "--class-map", "alphabet",
    )  # fmt: skip
    result = rsfast(*command)
    assert result.code == 1
    assert "--train" in result.err
    result = rsfast(*command, "--train", tmp_path / "train")
    assert result.code == 0, result.err
    stored = read_run(tmp_path / "run").counts
    images = [torch.from_numpy(sources.load(str(tmp_path / "train")).image(i)) for i in range(24)]
    test = [torch.from_numpy(sources.load(str(tmp_path / "test")).image(i)) for i in range(6)]
    expected = NearestNeighbors(torch.stack(images), base=0.3, rate=0.05, k=3, m="average")(torch.stack(test))
    np.testing.assert_allclose(stored.sigma, expected, rtol=1e-12)


def test_a_rate_on_trust_is_said_to_be_so_everywhere(rsfast, tmp_path):
    run = tmp_path / "run"
    command = (
        "certify", *ONE, "--noise", "input-dependent", "--sigma-function",
        "tests.reference.factories:level_by_brightness", *SMALL, "--count", 3, "--out", run,
    )  # fmt: skip
    result = rsfast(*command)
    assert result.code == 1
    assert "give the --rate" in result.err
    result = rsfast(*command, "--rate", 0.02, "--sigma", 0.25)
    assert result.code == 1
    assert "--sigma was given" in result.err
    result = rsfast(*command, "--rate", 0.02)
    assert result.code == 0, result.err
    assert "taken on trust" in result.out
    assert "taken on trust" in rsfast("export", run, tmp_path / "log.tsv").out
    result = rsfast("report", run, "--out", tmp_path / "report")
    assert result.code == 0
    assert "taken on trust" in result.out
    assert "taken on trust" in (tmp_path / "report" / "report.html").read_text()
    with pytest.warns(SoundnessWarning):
        cert = rs.certify_counts(read_run(run).counts, alpha=0.01)
    assert "on trust" in cert.caveats[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--sigma", "0.1,0.2"), "--sigma has 2 levels"),
        (("--sigma", 0.1, "--rate", 0.1), "--rate: only --noise input-dependent"),
        (("--sigma", 0.1, "--joint", "product"), "are for split images"),
        (("--sigma", 0.1, "--transform", "quarters"), "whole, diagonal, released"),
        (("--sigma", 0.1, "--transform", "missing.npy"), "missing.npy cannot be read"),
        (("--sigma", 0.1, "--transform", "diagonal", "--interpolation", "frame"), "nearest, bilinear, pooled"),
        (("--sigma", 0.1, "--transform", "diagonal", "--noise", "input-dependent"), "whole images and two classes"),
        (("--sigma", 0.1, "--noise", "input-dependent", "--neighbors", 10**6), "1000000"),
        (("--sigma", 0.1, "--noise", "input-dependent", "--train", "missing.npz"), "missing.npz"),
        (("--sigma", 0.1, "--checkpoint", "a", "--checkpoint", "b"), "1 --model and 2 --checkpoint"),
    ],
)
def test_options_that_do_not_fit_are_refused_in_a_sentence(rsfast, tmp_path, options, message):
    result = rsfast("certify", *ONE, *options, *SMALL, "--out", tmp_path / "run")
    assert result.code == 1
    assert message in result.err
    assert "Traceback" not in result.err
    assert not list((tmp_path / "run").glob("counts-*")) if (tmp_path / "run").exists() else True


def test_predict_takes_input_dependent_noise(rsfast, tmp_path):
    result = rsfast("predict", *ONE, *DEPENDENT, "--n", 100, "--seed", 1, "--quiet", "--count", 3, "--out", tmp_path / "run")
    assert result.code == 0, result.err
    assert (read_run(tmp_path / "run").counts.sigma > 0).all()


@pytest.mark.parametrize("smoothing", ["dual", "input-dependent"])
def test_the_demo_runs_in_both_modes(rsfast, tmp_path, smoothing, monkeypatch):
    monkeypatch.setattr(sys.modules["rsfast.cli.demo"], "EPOCHS", 1)
    result = rsfast("demo", "--smoothing", smoothing, "--images", 2, "--n", 400, "--out", tmp_path / "demo")
    assert result.code == 0, result.err
    assert (tmp_path / "demo" / "report.html").exists()


@pytest.mark.parametrize(
    ("options", "noise", "function"),
    [
        (("laplace", "--scale", 0.2), rs.Laplace(0.2), lambda p, q: certificates.laplace_l1(p, scale=0.2, q_upper=q)),
        (
            ("generalized-gaussian", "--scale", 0.2, "--shape", 3),
            rs.GeneralizedGaussian(0.2, 3),
            lambda p, q: certificates.generalized_gaussian_l1(p, scale=0.2, shape=3, q_upper=q),
        ),
        (("uniform", "--scale", 0.2), rs.Uniform(0.2), lambda p, q: certificates.uniform_l1(p, half_width=0.2, q_upper=q)),
    ],
)
def test_other_noises_certify_in_l1(rsfast, tmp_path, options, noise, function):
    result = rsfast("certify", *ONE, "--noise", *options, *SMALL, "--norm", 1, "--count", 4, "--out", tmp_path / "run")
    assert result.code == 0, result.err
    stored = read_run(tmp_path / "run").counts
    assert stored.noise == noise
    cert = rs.certify_counts(stored, alpha=0.01, norm=1)
    np.testing.assert_allclose(cert.radius, function(cert.p_lower, cert.q_upper), rtol=1e-13)
    assert rsfast("report", tmp_path / "run").code == 0
    result = rsfast("certify", *ONE, "--noise", options[0], *SMALL, "--norm", 1, "--out", tmp_path / "other")
    assert result.code == 1
    assert "--scale is missing" in result.err


def test_packed_training_images_give_the_same_levels(rsfast, tmp_path):
    from PIL import Image

    rng = np.random.default_rng(3)
    for i in range(12):
        Image.fromarray(rng.integers(0, 256, (8, 8), dtype=np.uint8)).save(tmp_path / f"{i:02d}.png")
    result = rsfast("pack", f"folder:{tmp_path}", tmp_path / "train.npy", "--gray")
    assert result.code == 0, result.err
    for name, train in (("a", (tmp_path / "train.npy",)), ("b", (f"folder:{tmp_path}", "--gray"))):
        data = ("--data", f"folder:{tmp_path}", "--gray") if name == "b" else ONE[2:]
        options = ("certify", *ONE[:2], *data, *DEPENDENT, "--offset", 1, *SMALL, "--count", 2, "--num-classes", 10)
        result = rsfast(*options, "--train", train[0], "--out", tmp_path / "runs" / name)
        assert result.code == 0, result.err


def test_lattice_noise_takes_8_bit_images_only(rsfast, tmp_path, rng):
    np.savez(tmp_path / "bytes.npz", x=rng.integers(0, 256, (3, 8, 8), dtype=np.uint8), y=np.arange(3))
    command = ("certify", "--model", "tests.reference.factories:linear", "--noise", "lattice-gaussian", "--sigma", 0.25, *SMALL)
    command += ("--num-classes", 10)
    result = rsfast(*command, "--data", tmp_path / "bytes.npz", "--out", tmp_path / "run")
    assert result.code == 0, result.err
    assert read_run(tmp_path / "run").counts.noise == rs.LatticeGaussian(0.25)
    result = rsfast(*command, "--data", "digits", "--count", 3, "--out", tmp_path / "other")
    assert result.code == 1
    assert "multiples of 1/255" in result.err
