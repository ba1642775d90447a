"""Attacks find what is there, and never inside of a certificate."""

import math

import numpy as np
import pytest
import torch

import rsfast as rs
from rsfast import attacks, sources
from rsfast.attacks import steps
from rsfast.models import SmallCNN
from rsfast.training import train_with_noise
from tests.reference.linear import Halfspace, dual_halves, random_halfspace

SIGMA = 0.25
SHAPE = (1, 4, 6)


@pytest.fixture(scope="module")
def halfspace():
    """A linear network and images at known distances from its boundary, on both sides."""
    rng = np.random.default_rng(5)
    model = random_halfspace(rng, math.prod(SHAPE))
    w = model.w.detach().double()
    distances = torch.tensor([0.2, 0.25, 0.35, -0.2, -0.3, 0.25], dtype=torch.float64)
    middle = torch.from_numpy(rng.uniform(0.2, 0.8, (6, math.prod(SHAPE))))
    x = middle - torch.outer(model.distance(middle.float()) - distances, w) / w.norm()
    return model, x.float().reshape(6, *SHAPE)


def exact(model, x, norm):
    """The distance of each image to the boundary: the dual norm of w divides the score."""
    w = model.w.detach().double()
    dual = {1.0: math.inf, 2.0: 2.0, math.inf: 1.0}[norm]
    score = x.double().flatten(1) @ w - model.threshold
    return (score.abs() / torch.linalg.vector_norm(w, ord=dual)).numpy()


def answers(model, x):
    return (model.distance(x) <= 0).long().numpy()


@pytest.mark.parametrize(("attack", "norm"), [("pgd", 2.0), ("pgd", math.inf), ("pgd", 1.0), ("ddn", 2.0), ("cw", 2.0)])
def test_on_a_linear_network_the_exact_distance_is_found(halfspace, attack, norm):
    model, x = halfspace
    smoothed = attacks.Smoothed(model, rs.Gaussian(SIGMA), seed=1)
    found = attacks.smallest_flips(
        smoothed, x, answers(model, x), num_classes=2, norm=norm, attacks=[attack], n=200_000, seed=2, guess=exact(model, x, norm)
    )
    ratio = found.distance / exact(model, x, norm)
    assert (ratio <= 1.05).all(), ratio
    assert (ratio >= 1.0 - 1e-5).all(), ratio
    assert found.attack == (attack,) * len(x)
    assert (found.label == 1 - answers(model, x)).all()
    assert (model.distance(found.images).numpy() * model.distance(x).numpy() < 0).all()


def test_a_guess_that_is_far_off_is_made_up_for(halfspace):
    model, x = halfspace
    smoothed = attacks.Smoothed(model, rs.Gaussian(SIGMA), seed=1)
    found = attacks.smallest_flips(smoothed, x, answers(model, x), num_classes=2, attacks=["pgd"], n=200_000, seed=2, guess=0.02)
    assert (found.distance <= 1.05 * exact(model, x, 2.0)).all()


@pytest.mark.parametrize(("noise", "norm"), [(rs.Gaussian(SIGMA), 2.0), (rs.Laplace(0.2), 1.0), (rs.LatticeGaussian(SIGMA), 2.0)])
def test_a_certificate_holds_and_one_that_is_enlarged_is_caught(halfspace, noise, norm):
    model, x = halfspace
    if noise.lattice is not None:
        x = torch.round(x * 255) / 255
    cert = rs.certify(model, x, noise=noise, num_classes=2, n=100_000, norm=norm, seed=0)
    assert not cert.abstained.any()
    smoothed = attacks.Smoothed(model, noise, seed=1)
    found = attacks.smallest_flips(
        smoothed, x, cert.label, num_classes=2, norm=norm, n=200_000, seed=2, attacks=["pgd"], guess=1.2 * cert.radius
    )
    assert not found.inside(cert.radius).any()
    if norm == 2.0:  # where the certificate is exact
        assert found.inside(1.3 * cert.radius).all()
    if noise.lattice is not None:
        assert torch.equal(torch.round(found.images * 255) / 255, found.images)


def test_a_level_that_grows_with_the_distance_is_attacked_as_it_is_drawn(halfspace):
    model, x = halfspace

    class Levels:
        rate, proven = 0.3, True

        def __call__(self, images):
            middle = np.full(images[0].numel(), 0.5)
            return SIGMA * np.exp(0.3 * np.linalg.norm(images.double().flatten(1).numpy() - middle, axis=1) - 0.3)

    kind = rs.InputDependentGaussian(Levels())
    cert = rs.certify(model, x, noise=kind, num_classes=2, n=20_000, seed=0)
    found = attacks.smallest_flips(
        attacks.Smoothed(model, kind, seed=1), x, cert.label, num_classes=2, n=200_000, seed=2, attacks=["pgd"], guess=0.3
    )
    assert (cert.radius > 0).any()
    assert not found.inside(cert.radius).any()
    assert (found.distance <= 1.05 * exact(model, x, 2.0)).all()


def test_two_halves_are_attacked_together():
    rng = np.random.default_rng(3)
    split, sigma = rs.DiagonalSplit("nearest"), (0.2, 0.3)
    x = torch.from_numpy(rng.uniform(0.2, 0.8, (1, 4, 8))).float()
    models, _ = dual_halves(rng, x, split, sigma, (0.9, 0.8))
    noise = [rs.Gaussian(level) for level in sigma]
    cert = rs.certify(models, x[None], noise=noise, transform=split, num_classes=2, n=50_000, seed=0)
    smoothed = attacks.Smoothed(models, noise, transform=split, seed=1)
    found = attacks.smallest_flips(
        smoothed, x[None], cert.label, num_classes=2, n=50_000, seed=2, attacks=["pgd"], guess=1.2 * cert.radius
    )
    assert not found.inside(cert.radius).any()
    assert found.inside(1.3 * cert.radius).all()


@pytest.fixture(scope="module")
def digits():
    train, test = (sources.load("digits", split=split) for split in ("train", "test"))
    x, y = (torch.stack([torch.from_numpy(s.image(i)) for i in range(len(s))]) for s in (train, test))
    torch.manual_seed(0)
    network = SmallCNN(num_classes=10, channels=1)
    labels = torch.tensor([train.label(i) for i in range(len(train))])
    train_with_noise(network, x, labels, sigma=SIGMA, epochs=15, learning_rate=4e-3)
    return network, y


def certified(network, x, n):
    cert = rs.certify(network, x, noise=rs.Gaussian(SIGMA), num_classes=10, n=n, seed=0)
    rows = np.flatnonzero(~cert.abstained)
    return x[torch.from_numpy(rows)], cert.label[rows], cert.radius[rows]


def test_no_flip_is_found_inside_a_certificate_of_a_trained_network(digits):
    network, images = digits
    x, label, radius = certified(network, images[:5], 10_000)
    assert len(x) >= 3
    found = attacks.smallest_flips(
        attacks.Smoothed(network, rs.Gaussian(SIGMA), seed=1), x, label, num_classes=10, attacks=["pgd", "ddn"], steps=60,
        n=10_000, seed=2, guess=1.2 * radius,
    )  # fmt: skip
    assert not found.inside(radius).any(), (found.distance, radius)
    assert np.isfinite(found.distance).all()
    assert np.median(found.distance / radius) < 2.5
    assert found.inside(5.0 * radius).all()  # the same question can be answered with yes


@pytest.mark.slow
def test_no_flip_is_found_inside_many_certificates_of_a_trained_network(digits):
    network, images = digits
    x, label, radius = certified(network, images[:16], 100_000)
    found = attacks.smallest_flips(
        attacks.Smoothed(network, rs.Gaussian(SIGMA), seed=1), x, label, num_classes=10, seed=2, guess=1.2 * radius
    )
    assert not found.inside(radius).any(), (found.distance, radius)


def test_what_attacks_find_replays(digits):
    network, images = digits

    def once():
        smoothed = attacks.Smoothed(network, rs.Gaussian(SIGMA), seed=7, copies=20)
        y = network(images[:2]).argmax(1)
        return [
            attack(smoothed, images[:2], y, steps=5, **more)
            for attack, more in ((attacks.pgd, {"epsilon": 0.5}), (attacks.ddn, {}), (attacks.carlini_wagner, {"searches": 2}))
        ]

    with torch.no_grad():
        assert all(torch.equal(one, other) for one, other in zip(once(), once(), strict=True))


@pytest.mark.parametrize("norm", [1.0, 2.0, math.inf])
def test_projection_is_into_the_ball_and_nearest(norm):
    generator = torch.Generator().manual_seed(0)
    delta = torch.randn((5, 1, 3, 3), generator=generator, dtype=torch.float64)
    epsilon = torch.tensor([0.5, 1.0, 2.0, 0.1, 100.0], dtype=torch.float64)
    got = steps.project(delta, norm, epsilon)
    assert (steps.lengths(got, norm) <= epsilon * (1 + 1e-12)).all()
    assert torch.equal(got[4], delta[4])
    inner = steps.project(torch.randn((5, 1, 3, 3), generator=generator, dtype=torch.float64), norm, epsilon)
    obtuse = ((delta - got) * (inner - got)).flatten(1).sum(1)  # characterises the nearest point of a convex set
    assert (obtuse <= 1e-12).all()


def test_the_slope_is_the_gradient_of_the_averaged_margin_whatever_fits_into_a_pass(digits, monkeypatch):
    network, images = digits
    y = network(images[:3]).argmax(1)
    looks = []
    for rows in (4096, 60, 7):
        monkeypatch.setattr("rsfast.attacks.smoothed.ROWS", rows)
        looks.append(attacks.Smoothed(network, rs.Gaussian(SIGMA), seed=3, copies=20).slope(images[:3], y))
    for look in looks[1:]:
        torch.testing.assert_close(look.margin, looks[0].margin)
        torch.testing.assert_close(look.gradient, looks[0].gradient, rtol=1e-4, atol=1e-6)
        assert torch.equal(look.wrong, looks[0].wrong)
    x = images[:3].clone().requires_grad_(True)
    mean = attacks.Smoothed(network, rs.Gaussian(SIGMA), seed=3, copies=20)(x).exp()
    assert mean.sum(1).tolist() == pytest.approx([1.0] * 3, rel=1e-5)
    rival = mean.detach().scatter(1, y[:, None], -1.0).argmax(1)
    (mean.gather(1, rival[:, None]) - mean.gather(1, y[:, None])).sum().backward()
    torch.testing.assert_close(looks[0].gradient, x.grad, rtol=1e-4, atol=1e-6)


def test_normalisation_is_that_of_the_certificate(halfspace):
    model, x = halfspace
    behind = Halfspace(model.w.detach() * 0.5, model.threshold - 0.3 * model.w.sum().item())  # the same of (x - 0.3) / 0.5
    smoothed = attacks.Smoothed(behind, rs.Gaussian(SIGMA), mean=[0.3], std=[0.5], seed=1)
    plain = attacks.Smoothed(model, rs.Gaussian(SIGMA), seed=1)
    y = torch.from_numpy(answers(model, x))
    torch.testing.assert_close(smoothed.slope(x, y).margin, plain.slope(x, y).margin, rtol=1e-3, atol=1e-4)
    found = attacks.smallest_flips(smoothed, x, answers(model, x), num_classes=2, attacks=["pgd"], n=200_000, seed=2, guess=0.2)
    assert (found.distance <= 1.05 * exact(model, x, 2.0)).all()


REFUSED = {
    "norm": ({"norm": 3}, "give 1, 2 or inf"),
    "attack": ({"attacks": ["fgsm"]}, "pgd, ddn, cw"),
    "abstained": ({"labels": [-1] * 6}, "leave out what abstained"),
    "steps": ({"steps": 0}, "steps=0"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused(halfspace, name):
    model, x = halfspace
    given, sentence = REFUSED[name]
    with pytest.raises(rs.InvalidArgumentError, match=sentence):
        attacks.smallest_flips(
            attacks.Smoothed(model, rs.Gaussian(SIGMA)), x, **{"labels": answers(model, x), "num_classes": 2, **given}
        )


def test_pooled_diagonals_are_refused(halfspace):
    model, x = halfspace
    smoothed = attacks.Smoothed(model, rs.Gaussian(SIGMA), transform=rs.DiagonalSplit("pooled"))
    with pytest.raises(rs.InvalidArgumentError, match="not linear"):
        smoothed(x)
