"""Libraries of attacks take the smoothed classifier for their model."""

import numpy as np
import pytest
import torch

import rsfast as rs
from rsfast import attacks
from tests.reference.linear import random_halfspace

SHAPE = (1, 4, 6)


@pytest.fixture
def target():
    """An image in the middle of the unit cube's centre and a corner, and its exact distance from the boundary."""
    model = random_halfspace(np.random.default_rng(5), 24)
    x = (0.5 + 0.3 * model.w.detach() / model.w.detach().norm()).reshape(1, *SHAPE)
    return attacks.Smoothed(model, rs.Gaussian(0.1), seed=1), x.float(), float(model.distance(x))


def confirmed(smoothed, x):
    return rs.predict(smoothed.models[0], x, noise=smoothed.noise, num_classes=2, n=10_000, seed=9)


@pytest.mark.filterwarnings("ignore")
def test_art_attacks_it_by_gradients_and_by_decisions(target):
    art = pytest.importorskip("art")
    from art.attacks.evasion import HopSkipJump, ProjectedGradientDescent
    from art.estimators.classification import PyTorchClassifier

    assert art
    smoothed, x, distance = target
    estimator = PyTorchClassifier(smoothed, loss=torch.nn.NLLLoss(), input_shape=SHAPE, nb_classes=2, clip_values=(0.0, 1.0))
    for most, attack in (
        (
            1.31,
            ProjectedGradientDescent(estimator, norm=2, eps=1.3 * distance, eps_step=0.1 * distance, max_iter=20, verbose=False),
        ),
        # of few evaluations, and generators that cannot be seeded: 1.27 to 2.05 in 16 runs
        (3.0, HopSkipJump(estimator, norm=2, max_iter=10, max_eval=300, init_eval=10, verbose=False)),
    ):
        found = torch.from_numpy(attack.generate(x.numpy())).float()
        assert confirmed(smoothed, (x + 1.2 * (found - x)).clamp(0, 1)).tolist() == [1], attack  # attacks end on the boundary
        assert 0.9 * distance <= float((found - x).norm()) < most * distance


@pytest.mark.filterwarnings("ignore")
def test_foolbox_attacks_it(target):
    foolbox = pytest.importorskip("foolbox")
    smoothed, x, distance = target
    model = foolbox.PyTorchModel(smoothed.eval(), bounds=(0, 1), device="cpu")
    _, found, _ = foolbox.attacks.L2DeepFoolAttack(steps=30, overshoot=0.3)(model, x, torch.tensor([0]), epsilons=None)
    assert confirmed(smoothed, found.detach()).tolist() == [1]
    assert distance <= float((found - x).norm()) < 2 * distance
