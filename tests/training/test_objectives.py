"""Objectives equal their formulas on a batch whose noise was drawn before, replay, and leave the model as it was."""

import copy
import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import nn

import rsfast as rs
from rsfast import names, training
from rsfast.models import SmallCNN
from rsfast.torch import add_noise
from rsfast.training import KeyedNoise
from tests.training import references

SIGMA, SEED, EPOCH = 0.25, 11, 7
IDS = [5, 3, 1000, 77, 12, 0, 41, 2]


@pytest.fixture(scope="module")
def batch():
    generator = torch.Generator().manual_seed(0)
    x, y = torch.rand((8, 1, 8, 8), generator=generator), torch.arange(8) % 4
    torch.manual_seed(3)
    model = SmallCNN(num_classes=4, channels=1)
    for parameter in model.parameters():
        parameter.data.mul_(2.0)  # answers that differ
    return model, x, y


@pytest.fixture
def noise():
    return KeyedNoise(rs.Gaussian(SIGMA), SEED).at(EPOCH, IDS)


def recorded(x, count, noise=None, **more):
    """Copies 0 … count - 1 of every image, one batch for each, from the library's function that shows what is certified."""
    noisy = add_noise(
        x, noise or rs.Gaussian(SIGMA), seed=SEED, ids=IDS, copies=count, first=65536 * EPOCH, stream="training", **more
    )
    return list(noisy.unbind(1))


def noises(x, count):
    return recorded(torch.zeros_like(x), count)


def start(x, noise, first=0):
    return add_noise(torch.zeros_like(x), noise, seed=SEED, ids=IDS, first=65536 * EPOCH + first, stream="start")


def share(x):
    return start(x[:, :1, :1, :1], rs.Uniform(0.5)).flatten() + 0.5


CASES = {
    "noise-augmentation": (
        {"copies": 3},
        lambda model, x, y: references.augmentation(model, recorded(x, 3), y),
    ),
    "stability": (
        {"weight": 1.5, "copies": 2},
        lambda model, x, y: references.stability(model, x, recorded(x, 2), y, 1.5),
    ),
    "consistency": (
        {"weight": 10.0, "entropy": 0.5, "copies": 2},
        lambda model, x, y: references.consistency(model, recorded(x, 2), y, 10.0, 0.5),
    ),
    "macer": (
        {"weight": 12.0, "copies": 16, "temperature": 4.0},
        lambda model, x, y: references.macer(model, recorded(x, 16), y, SIGMA, 12.0, 8.0, 4.0),
    ),
    "smooth-adv": (
        {"epsilon": 0.5, "steps": 4, "copies": 3},
        lambda model, x, y: references.smooth_pgd(model, x, noises(x, 3), y, 0.5, 4),
    ),
    "smooth-mix": (
        {"weight": 5.0, "step": 0.5, "steps": 3, "copies": 2},
        lambda model, x, y: references.smooth_mix(model, x, noises(x, 2), y, 5.0, 0.5, 3, share(x) / 2),
    ),
    "trades": (
        {"weight": 6.0, "epsilon": 0.1, "steps": 5, "step": 0.25},
        lambda model, x, y: references.trades(model, x, y, start(x, rs.Gaussian(0.001)), 6.0, 0.1, 5, 0.025),
    ),
    "adversarial-training": (
        {"epsilon": 0.1, "steps": 5, "step": 0.25},
        lambda model, x, y: references.madry(model, x, y, start(x, rs.Uniform(0.1)), 0.1, 5, 0.025),
    ),
}


def given(name):
    return KeyedNoise(None if name in names.WITHOUT_NOISE else rs.Gaussian(SIGMA), SEED).at(EPOCH, IDS)


def test_every_objective_has_a_reference():
    assert set(CASES) == set(training.OBJECTIVES)


@pytest.mark.parametrize("name", CASES)
def test_an_objective_is_its_formula(batch, name):
    options, reference = CASES[name]
    model, x, y = batch
    expected = reference(model, x, y)
    wanted = torch.autograd.grad(expected, list(model.parameters()))
    got = training.OBJECTIVES[name](model, x, y, given(name), **options)
    found = torch.autograd.grad(got, list(model.parameters()))
    assert got.item() == pytest.approx(expected.item(), rel=1e-6)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5 * float(other.abs().max()))


def test_smooth_adv_by_ddn_is_its_formula(batch, noise):
    model, x, _ = batch
    with torch.no_grad():
        answers = model(x).argmax(1)  # so that DDN has something to find
    expected = references.smooth_ddn(model, x, noises(x, 3), answers, 1.0, 8, 0.05)
    got = training.smooth_adv(model, x, answers, noise, attack_by="ddn", epsilon=1.0, steps=8, copies=3)
    assert got.item() == pytest.approx(expected.item(), rel=1e-6)
    assert got.item() > references.augmentation(model, recorded(x, 3), answers).item() + 1e-3


def test_macer_counts_some_images_and_leaves_others_out(batch):
    """Otherwise the comparison above says little."""
    model, x, y = batch
    plain = references.macer(model, recorded(x, 16), y, SIGMA, 0.0, 8.0, 4.0)
    hinged = references.macer(model, recorded(x, 16), y, SIGMA, 12.0, 8.0, 4.0)
    assert hinged > plain
    assert references.macer(model, recorded(x, 16), model(x).argmax(1), SIGMA, 12.0, 8.0, 4.0) != hinged


@pytest.mark.parametrize("name", CASES)
def test_an_objective_replays_and_leaves_the_model_as_it_was(batch, name):
    _, x, y = batch
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 4))
    model[0].bias.requires_grad_(False)
    call = training.OBJECTIVES[name]
    again = copy.deepcopy(model)
    losses = [call(one, x, y, given(name)).item() for one in (model, again)]
    assert losses[0] == losses[1]
    assert model.training
    assert [p.requires_grad for p in model.parameters()] == [True, False, True, True, True, True]
    assert call(again, x, y, given(name).at(EPOCH + 1, IDS)).item() != losses[0]


@pytest.mark.parametrize(
    "kind", [rs.Gaussian(0.3), rs.Laplace(0.2), rs.GeneralizedGaussian(0.3, 4.0), rs.Uniform(0.4), rs.LatticeGaussian(0.25)]
)
def test_any_noise_is_drawn_as_it_is_certified(batch, kind):
    model, x, y = batch
    x = (x * 255).round() / 255
    got = training.noise_augmentation(model, x, y, KeyedNoise(kind, SEED).at(EPOCH, IDS), copies=2)
    assert got.item() == pytest.approx(references.augmentation(model, recorded(x, 2, kind), y).item(), rel=1e-6)


class Levels:
    rate, proven = 0.04, True

    def __call__(self, x):
        return 0.1 + 0.01 * np.asarray(x).mean(axis=(1, 2, 3))

    def describe(self):
        return {"name": "levels"}


def test_levels_that_depend_on_the_image_may_be_computed_once(batch):
    model, x, y = batch
    kind = rs.InputDependentGaussian(Levels())
    noise = KeyedNoise(kind, SEED).at(EPOCH, IDS)
    table = np.full(1001, np.nan)
    table[IDS] = Levels()(x)
    kept = KeyedNoise(kind, SEED, levels=table).at(EPOCH, IDS)
    copies = noise.copies(x, 2)
    assert torch.equal(copies, kept.copies(x, 2))
    assert torch.equal(copies, torch.stack(recorded(x, 2, kind), 1).flatten(0, 1))
    assert math.isfinite(training.macer(model, x, y, kept).item())


def test_an_image_has_the_same_noise_in_whatever_batch_it_is(batch):
    _, x, _ = batch
    every = KeyedNoise(rs.Gaussian(SIGMA), SEED)
    whole = every.at(3, IDS).copies(x, 2).reshape(8, 2, 1, 8, 8)
    turned = every.at(3, IDS[::-1]).copies(x.flip(0), 2).reshape(8, 2, 1, 8, 8)
    assert torch.equal(turned.flip(0), whole)
    assert torch.equal(every.at(3, IDS[4:6]).copies(x[4:6], 1, first=1), whole[4:6, 1])


def test_training_and_certifying_share_no_noise(batch):
    _, x, _ = batch
    trained = KeyedNoise(rs.Gaussian(SIGMA), SEED).at(0, IDS).copies(x)
    assert not (trained == add_noise(x, rs.Gaussian(SIGMA), seed=SEED, ids=IDS)).any()


@pytest.mark.parametrize("objective", [training.noise_augmentation, training.consistency, training.smooth_adv])
@pytest.mark.parametrize("networks", [1, 2])
def test_halves_apply_an_objective_to_each_half(batch, objective, networks):
    model, x, y = batch
    split = rs.DiagonalSplit("nearest")
    torch.manual_seed(5)
    models = model if networks == 1 else [model, SmallCNN(num_classes=4, channels=1)]
    noise = KeyedNoise(rs.Gaussian(0.18), SEED, transform=split).at(EPOCH, IDS)
    got = training.halves(models, x, y, noise, objective=objective, copies=2)
    each = [
        objective(network, x, y, dataclasses.replace(noise, part=part), copies=2)
        for part, network in enumerate(models if networks == 2 else [model, model])
    ]
    assert got.item() == pytest.approx(sum(each).item() / (1 if networks == 2 else 2), rel=1e-6)
    if objective is training.noise_augmentation:
        drawn = [recorded(x, 2, rs.Gaussian(0.18), transform=split, part=part) for part in (0, 1)]
        first = references.augmentation(model, drawn[0], y)
        assert each[0].item() == pytest.approx(first.item(), rel=1e-6)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_noise_alone_and_images_add_up_to_copies(batch, interpolation):
    _, x, _ = batch
    noise = KeyedNoise(rs.Gaussian(SIGMA), SEED, transform=rs.DiagonalSplit(interpolation), part=1).at(EPOCH, IDS)
    sums = noise.shown(x).repeat_interleave(2, 0) + noise.alone(x, 2)
    torch.testing.assert_close(noise.copies(x, 2), sums, rtol=0, atol=1e-6)
    moving = x.clone().requires_grad_(True)
    noise.copies(moving, 2).sum().backward()
    assert moving.grad is not None
    assert 0 < int((moving.grad != 0).sum()) < x.numel()  # only pixels that are shown


def test_denoisers_are_trained_towards_the_image_or_the_classifiers_answer(batch, noise):
    model, x, y = batch
    torch.manual_seed(9)
    denoiser = nn.Conv2d(1, 1, 3, padding=1)
    copies = recorded(x, 2)
    mse = sum(((denoiser(copy) - x) ** 2).mean() for copy in copies) / 2
    assert training.denoiser_mse(denoiser, x, y, noise, copies=2).item() == pytest.approx(mse.item(), rel=1e-6)
    answers = model(x).argmax(1)
    stability = sum(nn.functional.cross_entropy(model(denoiser(copy)), answers) for copy in copies) / 2
    got = training.denoiser_stability(denoiser, x, y, noise, classifier=model, copies=2)
    assert got.item() == pytest.approx(stability.item(), rel=1e-6)
    got.backward()
    assert denoiser.weight.grad is not None
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


REFUSED = {
    "no ids": (
        lambda m, x, y: training.noise_augmentation(m, x, y, KeyedNoise(rs.Gaussian(0.1))),
        r"give noise\.at\(epoch, ids\)",
    ),
    "other ids": (
        lambda m, x, y: training.stability(m, x, y, KeyedNoise(rs.Gaussian(0.1)).at(0, range(3))),
        "3 ids for 8 images",
    ),
    "macer's noise": (lambda m, x, y: training.macer(m, x, y, KeyedNoise(rs.Laplace(0.1)).at(0, IDS)), "Gaussian noise"),
    "noise in TRADES": (lambda m, x, y: training.trades(m, x, y, KeyedNoise(rs.Gaussian(0.1)).at(0, IDS)), "adds no noise"),
    "epoch": (lambda m, x, y: KeyedNoise(None).at(65536, IDS), "epoch=65536"),
    "attack": (
        lambda m, x, y: training.smooth_adv(m, x, y, KeyedNoise(rs.Gaussian(0.1)).at(0, IDS), attack_by="fgsm"),
        "attack_by",
    ),
    "halves of a whole": (lambda m, x, y: training.halves(m, x, y, KeyedNoise(rs.Gaussian(0.1)).at(0, IDS)), "splits no image"),
    "pooled": (
        lambda m, x, y: KeyedNoise(rs.Gaussian(0.1), transform=rs.DiagonalSplit("pooled")).at(0, IDS).alone(x),
        "not linear",
    ),
    "three networks": (
        lambda m, x, y: training.halves([m] * 3, x, y, KeyedNoise(rs.Gaussian(0.1), transform=rs.DiagonalSplit()).at(0, IDS)),
        "3 models for 2 parts",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused(batch, name):
    call, sentence = REFUSED[name]
    with pytest.raises(rs.InvalidArgumentError, match=sentence):
        call(*batch)
