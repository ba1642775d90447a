"""rsfast train: a network, its card, and what reads them."""

import json
import time

import numpy as np
import pytest

from rsfast import models
from rsfast.errors import ModelError
from rsfast.models.card import read_card

TRAIN = ("train", "--data", "digits", "--sigma", 0.25, "--epochs", 4, "--batch", 64, "--quiet", "--out", "a")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def lines(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_what_is_trained_is_certified_by_its_card(rsfast, here):
    result = rsfast(*TRAIN, "--mean", 0.3, "--std", 0.4, "--eval-images", 20, "--eval-every", 2)
    assert result.code == 0, result.err
    assert "Next: rsfast certify --model a --out RUN" in result.out
    card = read_card(here / "a")
    assert (card.architecture, card.num_classes, card.channels, card.data) == ("small-cnn", 10, 1, "digits")
    assert (card.mean, card.std, card.noise) == ((0.3,), (0.4,), {"name": "gaussian", "sigma": 0.25})
    assert [sorted(line) for line in lines(here / "a")][1] == ["certified", "epoch", "learning_rate", "loss", "seconds"]
    assert ["certified" in line for line in lines(here / "a")] == [False, True, False, True]
    assert lines(here / "a")[3]["certified"]["0"] >= lines(here / "a")[3]["certified"]["0.5"]
    result = rsfast("certify", "--model", "a", "--n", 500, "--n0", 20, "--count", 20, "--seed", 0, "--quiet", "--out", "run")
    assert result.code == 0, result.err
    assert "the data are digits, as its card says" in result.err
    assert "sigma=0.25" in result.err
    assert "images are normalised with mean 0.3 and std 0.4" in result.err
    settings = json.loads((here / "run" / "run.json").read_text())["settings"]
    assert (settings["noise"], settings["mean"], settings["std"]) == ({"name": "gaussian", "sigma": 0.25}, [0.3], [0.4])
    by_hand = ("certify", "--model", "small-cnn", "--checkpoint", "a/model.safetensors", "--data", "digits", "--sigma", 0.25,
               "--mean", 0.3, "--std", 0.4, "--n", 500, "--n0", 20, "--count", 20, "--seed", 0, "--quiet", "--out", "hand")  # fmt: skip
    assert rsfast(*by_hand).code == 0
    votes = [[json.loads(line)["estimation"] for line in (here / run / "counts-000-of-001.jsonl").read_text().splitlines()]
             for run in ("run", "hand")]  # fmt: skip
    assert votes[0] == votes[1]
    for run in ("run", "hand"):
        attack = (
            "attack",
            run,
            "--model",
            "a",
            "--count",
            1,
            "--steps",
            5,
            "--copies",
            20,
            "--attack",
            "ddn",
            "--n",
            1000,
            "--quiet",
        )
        result = rsfast(*attack)
        assert result.code == 0, result.err
        assert "1 certificates were attacked" in result.out


def test_what_is_given_goes_before_what_the_card_says(rsfast, here):
    assert rsfast(*TRAIN).code == 0
    result = rsfast("certify", "--model", "a", "--sigma", 0.1, "--n", 100, "--n0", 5, "--count", 2, "--quiet", "--out", "run")
    assert result.code == 0, result.err
    assert json.loads((here / "run" / "run.json").read_text())["settings"]["noise"]["sigma"] == 0.1


def test_a_training_that_is_stopped_by_a_signal_says_so_and_goes_on_to_the_same_bits(rsfast, spawn, here):
    command = [*map(str, TRAIN)]
    command[command.index("--epochs") + 1] = "12"
    whole = [*command[:-1], "whole"]
    assert rsfast(*whole).code == 0
    process = spawn(*command[:-1], str(here / "a"))
    while process.poll() is None and not (here / "a" / "log.jsonl").exists():
        time.sleep(0.01)
    process.terminate()
    err = process.communicate()[1]
    assert process.returncode == 143, err
    assert "the same command continues" in err
    assert rsfast(*command[:-1], str(here / "a")).code == 0
    assert (here / "a" / "model.safetensors").read_bytes() == (here / "whole" / "model.safetensors").read_bytes()


@pytest.mark.parametrize(
    "more",
    [
        ("--objective", "consistency", "--set", "weight=5"),
        ("--objective", "macer", "--set", "copies=4"),
        ("--objective", "trades", "--set", "steps=2"),
        (
            "--optimizer",
            "sgd",
            "--learning-rate",
            0.05,
            "--schedule",
            "step",
            "--every",
            1,
            "--ema",
            0.9,
            "--amp",
            "--channels-last",
        ),
    ],
)
def test_objectives_and_options_are_taken(rsfast, here, more):
    command = [*TRAIN, *more]
    command[command.index("--epochs") + 1] = 1
    assert rsfast(*command).code == 0
    assert np.isfinite(lines(here / "a")[0]["loss"])


def test_other_noises_and_levels_that_depend_on_the_image_are_trained_with(rsfast, here):
    command = ["train", "--data", "digits", "--epochs", 1, "--quiet", "--eval-images", 5, "--out"]
    assert rsfast(*command, "l", "--noise", "laplace", "--scale", 0.2).code == 0
    assert lines(here / "l")[0]["accuracy"] >= 0
    result = rsfast(*command, "i", "--noise", "input-dependent", "--sigma", 0.25, "--rate", 0.04)
    assert result.code == 0, result.err
    assert read_card(here / "i").noise["rate"] == 0.04
    result = rsfast("certify", "--model", "l", "--norm", 1, "--n", 100, "--n0", 5, "--count", 1, "--quiet", "--out", "run")
    assert result.code == 0, result.err


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (("--set", "weight"), "is not NAME=VALUE"),
        (("--set", "weight=1"), "has no option 'weight': give copies"),
        (("--model", "small-cn"), "did you mean small-cnn"),
        (("--sigma", "-1"), "is not a noise level"),
        (("--epochs", "0"), "epochs=0"),
        (("--mean", "0.1,0.2"), "mean"),
    ],
)
def test_what_cannot_be_trained_is_refused(rsfast, here, more, sentence):
    result = rsfast(*TRAIN, *more)
    assert result.code == 1
    assert sentence in result.err
    assert result.out == ""


def test_another_command_does_not_continue_a_training(rsfast, here):
    assert rsfast(*TRAIN).code == 0
    result = rsfast(*TRAIN, "--learning-rate", 0.01)
    assert result.code == 1
    assert "learning_rate=0.002, this call has learning_rate=0.01" in result.err
    result = rsfast(*TRAIN, "--model", "cifar-resnet20")
    assert result.code == 1
    assert "cifar-resnet20" in result.err


def test_a_damaged_card_is_refused(rsfast, here):
    assert rsfast(*TRAIN).code == 0
    for text in (
        "",
        "{}",
        '{"format": 9}',
        "[]",
        (here / "a" / "card.json").read_text().replace('"num_classes": 10', '"num_classes": 0'),
    ):
        (here / "a" / "card.json").write_text(text)
        with pytest.raises(ModelError, match="is no card"):
            models.load("a")
