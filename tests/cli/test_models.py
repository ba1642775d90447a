"""--model and --checkpoint on the command line."""

import json
import os

import numpy as np
import pytest
import torch

from rsfast.models import build

MEAN, STD = [0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.201]
SMALL = ("--sigma", "0.25", "--n0", "5", "--n", "20", "--alpha", "0.1", "--seed", "5", "--quiet", "--num-classes", "4")


class Trap:
    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return (os.mkdir, (self.marker,))


@pytest.fixture
def certify(rsfast, tmp_path):
    """Certify three images with a checkpoint, into a folder."""
    x = np.random.default_rng(0).integers(0, 256, (3, 3, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "d.npz", x=x, y=np.arange(3))

    def call(checkpoint, *more, out="run"):
        torch.save(checkpoint, tmp_path / "m.pt")
        return rsfast("certify", "--model", "small-cnn", "--checkpoint", tmp_path / "m.pt", "--data", tmp_path / "d.npz", *SMALL,
                      "--out", tmp_path / out, *more)  # fmt: skip

    return call


def settings(folder):
    return json.loads((folder / "run.json").read_text())["settings"]


def weights(prefix=""):
    torch.manual_seed(0)
    return {prefix + name: value for name, value in build("small-cnn", num_classes=4, channels=3).state_dict().items()}


def normalised():
    statistics = {"0.means": torch.tensor(MEAN), "0.sds": torch.tensor(STD)}
    return {"state_dict": {**statistics, **weights("1.module.")}}


def test_a_checkpoints_normalisation_is_that_of_the_run(certify, tmp_path):
    result = certify(normalised())
    assert result.code == 0
    assert "normalised with mean 0.4914,0.4822,0.4465 and std 0.2023,0.1994,0.201, as the checkpoint says" in result.err
    found = settings(tmp_path / "run")
    assert (found["mean"], found["std"]) == (MEAN, STD)
    given = ("--mean", ",".join(map(str, MEAN)), "--std", ",".join(map(str, STD)))
    assert certify(weights(), *given).code == 0  # the same run
    assert certify(normalised(), *given).code == 0


@pytest.mark.parametrize("given", [("--mean", "0.5,0.5,0.5"), ("--mean", "0,0,0", "--std", "1,1,1"), ("--std", "1,1,1")])
def test_a_contradiction_to_the_checkpoint_is_refused(certify, tmp_path, given):
    result = certify(normalised(), *given)
    assert result.code == 1
    assert "which normalises with mean 0.4914,0.4822,0.4465 and std 0.2023,0.1994,0.201: leave --mean and --std out" in result.err
    assert not (tmp_path / "run").exists()


def test_a_layer_that_is_lost_is_said_with_what_to_give(certify):
    result = certify(weights("1."))
    assert result.code == 0
    assert "a layer before the network" in result.err
    assert "--mean and --std; --mean 0,0,0 --std 1,1,1 says that it does nothing" in result.err
    told = certify(weights("1."), "--mean", "0,0,0", "--std", "1,1,1", out="other")
    assert told.code == 0
    assert "a layer before" not in told.err


def test_numbers_of_a_lost_layer_are_refused_unless_the_normalisation_is_given(certify, tmp_path):
    checkpoint = {"0.scale": torch.ones(3), **weights("1.")}
    result = certify(checkpoint)
    assert result.code == 1
    assert "0.scale = 1,1,1" in result.err
    assert not (tmp_path / "run").exists()
    assert certify(checkpoint, "--mean", "0,0,0", "--std", "1,1,1").code == 0


def test_checkpoints_run_code_only_with_trust_files(certify, tmp_path):
    checkpoint = {"state_dict": weights(), "hook": Trap(tmp_path / "marker")}
    result = certify(checkpoint)
    assert result.code == 1
    assert "--trust-files" in result.err
    assert not (tmp_path / "marker").exists()
    assert certify(checkpoint, "--trust-files").code == 0
    assert (tmp_path / "marker").exists()


def test_of_parts_that_are_normalised_differently_each_keeps_its_own(rsfast, tmp_path):
    np.savez(tmp_path / "d.npz", x=np.zeros((1, 3, 8, 8), np.uint8), y=np.zeros(1, int))
    torch.save(normalised(), tmp_path / "a.pt")
    torch.save(weights(), tmp_path / "b.pt")
    names = [item for part in "ab" for item in ("--model", "small-cnn", "--checkpoint", tmp_path / f"{part}.pt")]
    call = ("certify", *names, "--data", tmp_path / "d.npz", *SMALL, "--transform", "diagonal", "--out", tmp_path / "run")
    assert rsfast(*call).code == 0
    assert settings(tmp_path / "run")["mean"] == [0.0] * 3
    refused = rsfast(*call, "--mean", "0,0,0")
    assert refused.code == 1
    assert "leave --mean and --std out" in refused.err
