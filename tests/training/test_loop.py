"""A training that is stopped ends with the same bits; each option of a recipe does something."""

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import rsfast as rs
from rsfast.models import SmallCNN
from rsfast.training import KeyedNoise
from rsfast.training.loop import StoppedError, Training
from rsfast.training.recipe import Recipe

ROOT = Path(__file__).parents[2]
RECIPE = Recipe(epochs=3, batch=32, learning_rate=3e-3, seed=4)


class Bars:
    """100 images of 8 x 8, whose class is where a bar stands."""

    def __len__(self):
        return 100

    def image(self, index):
        image = np.full((1, 8, 8), 0.2, np.float32)
        image[:, :, 2 * (index % 4) : 2 * (index % 4) + 2] = 0.8
        return image

    def label(self, index):
        return index % 4


class WithDropout(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.network, self.norm, self.drop = SmallCNN(num_classes=4), torch.nn.BatchNorm2d(1), torch.nn.Dropout(0.3)

    def forward(self, x):
        return self.network(self.drop(self.norm(x)))


def training(folder, recipe=RECIPE, make=WithDropout):
    torch.manual_seed(recipe.seed)
    return Training(make(), Bars(), KeyedNoise(rs.Gaussian(0.1), recipe.seed), recipe, folder)


def weights(run):
    return {name: value.clone() for name, value in run.weights.items()}


def trained(folder, recipe=RECIPE, make=WithDropout):
    run = training(folder, recipe, make)
    run.run()
    return run


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("changes", [{}, {"optimizer": "sgd", "ema": 0.9}, {"accumulate": 3, "objective": "consistency"}])
def test_a_training_that_is_stopped_at_any_step_ends_with_the_same_bits(tmp_path, changes):
    recipe = dataclasses.replace(RECIPE, **changes)
    whole = weights(trained(tmp_path / "whole", recipe))
    stops = 0
    while True:
        run = training(tmp_path / "parts", recipe)
        step, left = run._step, 3

        def stopping(rows, step=step):
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGTERM)
            return step(rows)

        run._step = stopping
        try:
            run.run()
            break
        except StoppedError as stop:
            assert stop.number == signal.SIGTERM
            stops += 1
    assert stops >= 3
    assert equal(weights(run), whole)
    one, other = ((tmp_path / name / "log.jsonl").read_text().splitlines() for name in ("whole", "parts"))
    assert [json.loads(line)["loss"] for line in one] == [json.loads(line)["loss"] for line in other]


PROGRAM = """
import sys, time
from pathlib import Path
from tests.training.test_loop import training
run = training(Path(sys.argv[1]))
step = run._step
def slow(rows):
    time.sleep(0.05)
    return step(rows)
run._step = slow
run.run()
"""


TOGETHER = """
import sys
from pathlib import Path
import torch
from rsfast.models import SmallCNN
from rsfast.training.processes import joined
from tests.training.test_loop import Recipe, training
recipe = Recipe(epochs=2, batch=33, optimizer="sgd", learning_rate=0.05, seed=4)
with joined("cpu"):
    run = training(Path(sys.argv[1]), recipe, lambda: SmallCNN(num_classes=4))
    run.run()
"""


def test_two_processes_train_as_one_does(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = os.environ | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    several = [
        subprocess.Popen(
            [sys.executable, "-c", TOGETHER, str(tmp_path / "two")], cwd=ROOT, env=common | {"RANK": str(rank), "WORLD_SIZE": "2"}
        )
        for rank in range(2)
    ]
    assert [process.wait() for process in several] == [0, 0]
    recipe = Recipe(epochs=2, batch=33, optimizer="sgd", learning_rate=0.05, seed=4)
    alone = weights(trained(tmp_path / "one", recipe, lambda: SmallCNN(num_classes=4)))
    two = torch.load(tmp_path / "two" / "state.pt", weights_only=True)["network"]
    for name, value in alone.items():
        torch.testing.assert_close(two[name], value, rtol=1e-3, atol=1e-5)
    losses = [
        [json.loads(line)["loss"] for line in (tmp_path / name / "log.jsonl").read_text().splitlines()] for name in ("one", "two")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_a_training_that_is_killed_ends_with_the_same_bits(tmp_path):
    whole = weights(trained(tmp_path / "whole"))
    folder, kills = tmp_path / "killed", 0
    while True:
        process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(folder)], cwd=ROOT)
        before = (folder / "log.jsonl").read_text() if (folder / "log.jsonl").exists() else ""
        while (
            process.poll() is None and ((folder / "log.jsonl").read_text() if (folder / "log.jsonl").exists() else "") == before
        ):
            time.sleep(0.02)
        if process.poll() is not None:
            assert process.returncode == 0
            break
        time.sleep(0.07)
        process.kill()
        process.wait()
        kills += 1
        if kills == 2:
            break
    assert kills == 2
    assert equal(weights(trained(folder)), whole)


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 5}, {"optimizer": "sgd"}, {"learning_rate": 1e-3}, {"weight_decay": 0.1}, {"schedule": "step", "every": 1},
        {"warmup": 1.0}, {"objective": "consistency", "ramp": {"weight": 2}}, {"ema": 0.5}, {"batch": 16}, {"options": {"copies": 2}}, {"objective": "stability"}, {"amp": True},
    ],
)  # fmt: skip
def test_each_choice_changes_what_is_learned(tmp_path, changes):
    plain = weights(trained(tmp_path / "a", RECIPE, lambda: SmallCNN(num_classes=4)))
    other = weights(trained(tmp_path / "b", dataclasses.replace(RECIPE, **changes), lambda: SmallCNN(num_classes=4)))
    assert not equal(plain, other)


@pytest.mark.parametrize("changes", [{"accumulate": 4}, {"channels_last": True}])
def test_how_a_step_is_computed_changes_next_to_nothing(tmp_path, changes):
    recipe = dataclasses.replace(RECIPE, optimizer="sgd", learning_rate=0.05)
    plain = weights(trained(tmp_path / "a", recipe, lambda: SmallCNN(num_classes=4)))
    other = weights(trained(tmp_path / "b", dataclasses.replace(recipe, **changes), lambda: SmallCNN(num_classes=4)))
    for name in plain:
        torch.testing.assert_close(plain[name], other[name], rtol=1e-3, atol=1e-5)


def test_the_network_learns(tmp_path):
    run = trained(tmp_path / "a", dataclasses.replace(RECIPE, epochs=12), lambda: SmallCNN(num_classes=4))
    losses = [json.loads(line)["loss"] for line in (tmp_path / "a" / "log.jsonl").read_text().splitlines()]
    assert losses[-1] < 0.2 * losses[0]
    assert not run.network.training


def test_learning_rates_are_the_schedules():
    cosine = Recipe(epochs=10, learning_rate=1.0, warmup=2.0)
    assert cosine.rate(0, 5) == pytest.approx(0.1)
    assert cosine.rate(25, 5) == pytest.approx(0.5)
    assert cosine.rate(49, 5) < 0.01
    step = Recipe(epochs=90, learning_rate=0.1, schedule="step", every=30)
    assert [step.rate(epoch * 7, 7) for epoch in (0, 29, 30, 89)] == pytest.approx([0.1, 0.1, 0.01, 0.001])


def test_options_grow_over_their_epochs():
    recipe = Recipe("smooth-adv", {"epsilon": 1.0, "steps": 2}, ramp={"epsilon": "4"}, epochs=9)
    assert [recipe.options_at(epoch)["epsilon"] for epoch in (0, 1, 3, 8)] == [0.25, 0.5, 1.0, 1.0]
    assert recipe.options_at(0)["steps"] == 2
    assert Recipe("smooth-mix", ramp={"weight": 10}).options_at(0) == {"weight": 0.5}


def test_another_recipe_does_not_continue_a_run(tmp_path):
    trained(tmp_path / "a")
    with pytest.raises(rs.StoreError, match=r"batch=32, this call has batch=16"):
        training(tmp_path / "a", dataclasses.replace(RECIPE, batch=16))


def test_a_state_that_is_none_is_refused(tmp_path):
    (tmp_path / "state.pt").write_bytes(b"nothing")
    with pytest.raises(rs.StoreError, match="no state of training"):
        training(tmp_path)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"objective": "magic"}, "objective"),
        ({"options": {"wait": 3}}, "noise-augmentation has no option 'wait': give copies"),
        ({"objective": "consistency", "options": {"weight": "much"}}, "weight='much' is no float"),
        ({"epochs": 0}, "epochs=0"),
        ({"accumulate": 200}, "accumulate=200"),
        ({"ema": 1.0}, "ema"),
        ({"objective": "smooth-adv", "ramp": {"steps": 3}}, "no option 'steps' that can grow: give epsilon, gamma"),
        ({"objective": "smooth-adv", "ramp": {"epsilon": "soon"}}, "'soon' is no number of epochs"),
    ],
)
def test_a_recipe_that_is_none_is_refused(given, sentence):
    with pytest.raises(rs.InvalidArgumentError, match=sentence):
        Recipe(**given)
