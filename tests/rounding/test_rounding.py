"""The image that is certified is the one that was given: what float32 moves is taken off, or the image is refused."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch

import rsfast as rs
from rsfast import rounding
from rsfast.errors import InvalidArgumentError
from rsfast.numerics.normal import ndtr
from tests import flat

NOISE = rs.Gaussian(0.25)
CALL = {"noise": NOISE, "num_classes": 2, "n": 2000, "n0": 20, "value_range": None, "seed": 3}


def split_at(threshold):
    """Class 0 below a threshold of the first pixel, which is compared in float64."""

    def model(x):
        first = x.flatten(1)[:, 0].double()
        return torch.stack([threshold - first, torch.zeros_like(first)], dim=1)

    return model


def exact_distance(given, order):
    """In fractions, of float64 numbers to their float32 neighbours."""
    off = [abs(Fraction(float(v)) - Fraction(float(np.float32(v)))) for v in np.ravel(given)]
    if order == math.inf:
        return float(max(off))
    return float(sum(off)) if order == 1 else math.sqrt(float(sum(value**2 for value in off)))


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1.0, 255.0, 1e7, 1e20])
def test_distances_are_those_of_exact_arithmetic_rounded_up(rng, scale):
    x = scale * rng.random((3, 2, 5, 4))
    found = rounding.distances(x)
    for b in range(3):
        for column, order in enumerate((1, 2, math.inf)):
            exact = exact_distance(x[b], order)
            assert exact <= found[b, column] <= exact * (1 + 1e-8)


def test_nothing_is_taken_off_images_that_float32_holds(rng):
    x = rng.random((2, 1, 4, 4)).astype(np.float32)
    assert not rounding.distances(x).any()
    assert not rounding.distances(x.astype(np.float64)).any()
    cert = flat.certify(split_at(0.5), x.astype(np.float64), **CALL)
    assert (cert.radius == flat.certify(split_at(0.5), x, **CALL).radius).all()
    assert not cert.rounding.any()


@pytest.mark.parametrize("order", [0.5, 1.0, 1.3, 2.0, 3.0, 10.0, math.inf])
def test_distances_in_any_norm_are_bounds(rng, order):
    off = rng.random((50, 30)) ** rng.integers(1, 20, size=(50, 1))
    kept = np.stack([off.sum(1), np.sqrt((off**2).sum(1)), off.max(1)], axis=1)
    true = off.max(1) if order == math.inf else (off**order).sum(1) ** (1 / order)
    bound = rounding.in_norm(kept, order, 30)
    assert (bound >= true * (1 - 1e-14)).all()
    if order in (1.0, 2.0, math.inf):
        assert np.allclose(bound, true, rtol=1e-14)


@pytest.mark.parametrize("order", [0.3, 1.0, 2.0, math.inf])
def test_what_is_left_of_a_radius_and_the_distance_fit_into_it(rng, order):
    radius = 10.0 ** rng.uniform(-3, 3, size=500)
    distance = radius * rng.random(500) ** 4 * 1.2
    left = rounding.taken_off(radius, distance, order)
    power = min(order, 1.0)
    assert (left >= 0).all()
    assert (left**power + distance**power <= radius**power * (1 + 1e-12))[left > 0].all()
    assert (left[distance < 0.1 * radius] > 0).mean() > (0.4 if order < 1 else 0.99)


@pytest.mark.parametrize(
    ("pixel", "threshold"),
    [(16777217.0, 16777216.5), (33554433.0, 33554432.5), (2.0**40 + 1.0, 2.0**40 + 0.5), (1e9 + 7.0, 1e9 + 6.5)],
)
def test_a_radius_never_reaches_beyond_the_boundary_of_the_image_that_was_given(pixel, threshold):
    x = np.full((1, 1, 1, 1), pixel)
    cert = flat.certify(split_at(threshold), x, **CALL)
    right = int(pixel > threshold)  # of probability Phi(|pixel - threshold| / sigma) around x
    assert cert.abstained[0] or (cert.label[0] == right and cert.radius[0] <= abs(pixel - threshold))
    assert cert.rounding[0] >= abs(pixel - float(np.float32(pixel)))


@pytest.mark.parametrize("mean", [0.3, -1.7, 5e5])
def test_what_normalisation_rounds_is_taken_off(mean):
    x = np.full((1, 1, 1, 1), 4194304.0, dtype=np.float32)  # where float32 counts in halves
    cert = flat.certify(lambda t: split_at(0.0)(t - float(np.float32(4194304.0 - mean))), x, mean=[mean], std=[1.0], **CALL)
    centre = float(np.float32(np.float32(4194304.0) - np.float32(mean)))
    moved = abs(4194304.0 - float(np.float32(mean)) - centre)
    assert moved <= cert.rounding[0] <= moved * (1 + 1e-6) + 1e-8
    ordinary = flat.certify(split_at(0.0), np.full((1, 1, 2, 2), 0.9, dtype=np.float32), mean=[0.4914], std=[0.247], **CALL)
    assert 0 < ordinary.rounding[0] < 1e-6


def test_a_radius_in_another_norm_is_less_by_the_distance_in_that_norm(rng):
    x = rng.random((2, 1, 6, 6))
    counts = flat.sample_counts(split_at(-3.0), x, **CALL)
    for norm in (1, 1.5, 2, 4, math.inf):
        cert = rs.certify_counts(counts, norm=norm)
        exact = rs.certify_counts(flat.sample_counts(split_at(-3.0), x.astype(np.float32), **CALL), norm=norm)
        assert (cert.radius == np.nextafter(exact.radius - cert.rounding, 0)).all()
    assert "rounding to float32 took at most" in str(cert)


def coin(x):
    return torch.stack([x.flatten(1)[:, 0] - 0.5, torch.zeros(len(x))], dim=1)


@pytest.mark.parametrize("options", [{}, {"bound": "two-sided"}, {"mean": [0.3], "std": [0.2]}])
def test_radii_of_a_grid_hold_around_images_in_float64(rng, options):
    x = 0.5 + 0.5 * rng.random((4, 1, 8, 8))
    x[:, 0, 0, 0] = [1.0, 1.0 - 1e-9, 0.9 + 1e-9, 0.55]
    model = (lambda t: coin(t * 0.2 + 0.3)) if "mean" in options else coin
    call = {**CALL, "noise": rs.Gaussian(0.5), "n": 4000, "plan": rs.plans.Grid([0.0, 0.1, 0.25])} | options
    cert = flat.certify(model, x, **call)
    assert (cert.radius <= x[:, 0, 0, 0] - 0.5).all()
    assert (cert.radius[:2] >= 0.25).all()  # no radius of the grid falls short of itself
    assert (cert.rounding > 0).all()


def test_predictions_say_how_far_the_image_was_moved_and_refuse_another_one():
    x = np.full((1, 1, 1, 1), 0.1)
    details = rs.predict_details(split_at(0.5), x, noise=NOISE, num_classes=2, seed=0)
    assert details.label[0] == 0
    assert details.counts.rounding[0, 1] == pytest.approx(abs(0.1 - float(np.float32(0.1))), rel=1e-8)
    with pytest.raises(InvalidArgumentError, match=r"x\[0\] is moved by 1 where it is rounded to float32"):
        flat.predict(split_at(16777216.5), np.full((1, 1, 1, 1), 16777217.0), noise=NOISE, num_classes=2, value_range=None)


def test_lattice_noise_takes_the_lattice_in_float64_and_nothing_beside_it():
    noise = rs.LatticeGaussian(0.25)
    on = np.arange(16).reshape(1, 1, 4, 4) / 255.0
    call = {"noise": noise, "num_classes": 2, "n": 500, "n0": 10, "seed": 1}
    cert = flat.certify(split_at(0.5), on, **call)
    assert (cert.radius == flat.certify(split_at(0.5), on.astype(np.float32), **call).radius).all()
    assert not cert.rounding.any()
    off = on.copy()
    off[0, 0, 1, 1] += 1e-10
    with pytest.raises(InvalidArgumentError, match="not on the lattice of multiples of 1/255"):
        flat.certify(split_at(0.5), off, **call)


def test_pixels_too_large_for_float32_are_called_too_large():
    with pytest.raises(InvalidArgumentError, match="reaches from 1e"):
        flat.certify(coin, np.full((1, 1, 1, 1), 1e35), **CALL)


def test_the_shims_take_the_same_distance_off():
    from rsfast.compat import ddsmoothing, locuslab

    class Fixed(locuslab.Smooth):
        def _sample_noise(self, x, num, batch_size):
            return np.array([num, 0])

    smooth = Fixed(coin, 2, 0.25)
    x = np.full((1, 1, 1), 0.1)
    label, radius = smooth.certify(x, 10, 1000, 0.001)
    exact = smooth.certify(x.astype(np.float32), 10, 1000, 0.001)[1]
    distance = abs(0.1 - float(np.float32(0.1)))
    assert label == 0
    assert exact - distance * (1 + 1e-6) <= radius <= exact - distance
    assert smooth.certify(np.full((1, 1, 1), 16777217.0), 10, 1000, 0.001) == (-1, 0.0)
    with pytest.raises(InvalidArgumentError, match="a prediction would be for another image"):
        smooth.predict(np.full((1, 1, 1), 16777217.0), 10, 0.001)
    gapped = ddsmoothing.Smooth(split_at(16777216.5), 2, 0.25, ddsmoothing.L2Certificate())
    assert gapped.certify(np.full((1, 1, 1), 16777217.0), 10, 1000, 0.001) == (-1, 0.0)


def nan_with_probability(share):
    """Logits of which a share is NaN, by the last pixel; of the rest all are of class 0."""

    def model(x):
        first, last = x.flatten(1)[:, 0], x.flatten(1)[:, -1]
        logits = torch.stack([torch.ones_like(first), torch.zeros_like(first), -torch.ones_like(first)], dim=1)
        logits[last < float(0.25 * _quantile(share))] = math.nan
        return logits

    return model


def _quantile(share):
    from statistics import NormalDist

    return NormalDist().inv_cdf(share)


@pytest.mark.parametrize("bound", ["two-sided", "clopper-pearson"])
@pytest.mark.parametrize("share", [0.3, 0.45, 0.49])
def test_nan_is_a_class_of_its_own_where_other_classes_are_bounded(bound, share):
    x = torch.zeros(1, 1, 2, 2)
    several = {"multiclass": bound == "clopper-pearson", "bound": bound}
    cert = flat.certify(nan_with_probability(share), x, **{**CALL, "num_classes": 3, "n": 100_000}, **several)
    true = 0.25 * _quantile(1 - share)  # NaN beats class 0 as soon as it has more than half
    assert cert.radius[0] <= true
    assert cert.radius[0] >= 0.8 * true - 0.01
    assert abs(cert.counts.without_class[0] / 100_000 - share) < 0.01


@pytest.mark.parametrize(("share", "label"), [(0.3, 0), (0.6, -1), (0.5, -1)])
def test_predictions_abstain_where_nan_may_be_the_most_frequent_class(share, label):
    x = torch.zeros(1, 1, 2, 2)
    found = flat.predict(nan_with_probability(share), x, noise=NOISE, num_classes=3, n=2000, value_range=None, seed=1)
    assert found[0] == label
    from rsfast.compat import locuslab

    assert locuslab.Smooth(nan_with_probability(share), 3, 0.25, seed=2).predict(x[0], 2000, 0.001) == label


def test_votes_of_parts_count_nan_in_each_part():
    counts = rs.VoteCounts(
        selection=[[[1, 0], [1, 0]]], estimation=[[[700, 0], [900, 50]]], n0=1, n=1000, ids=[0], noise=NOISE, seed=0, dim=8,
        transform=rs.DiagonalSplit(), part_dims=(4, 4),
    )  # fmt: skip
    assert counts.without_class.tolist() == [[300, 50]]
    spread = rs.certify_counts(counts, bound="two-sided").radius[0]
    as_class = rs.VoteCounts(
        selection=[[[1, 0, 0], [1, 0, 0]]], estimation=[[[700, 0, 300], [900, 50, 50]]], n0=1, n=1000, ids=[0], noise=NOISE,
        seed=0, dim=8, transform=rs.DiagonalSplit(), part_dims=(4, 4),
    )  # fmt: skip
    assert spread == rs.certify_counts(as_class, bound="two-sided").radius[0]


def test_betting_is_continued_with_the_same_classifier_only(rng):
    x = torch.full((3, 1, 2, 2), 0.5) + 0.05 * torch.randn(3, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    call = {**CALL, "plan": rs.plans.Betting(), "n0": 20}
    few = {**call, "n": 200}
    more = {**call, "n": 3000, "seed": None}
    first = flat.certify(coin, x, **few)
    again = flat.certify(lambda t: coin(t), x, earlier=first.counts, **more)  # another object that answers the same
    assert (again.counts.drawn > 200).any()
    with pytest.raises(InvalidArgumentError, match="the model votes otherwise on the first copies of image id"):
        flat.certify(lambda t: coin(t).flip(1), x, earlier=first.counts, **more)
    with (
        pytest.warns(rs.SoundnessWarning, match="random"),
        pytest.raises(InvalidArgumentError, match="the model votes otherwise"),
    ):
        flat.certify(lambda t: torch.rand(len(t), 2), x, earlier=first.counts, **more)
    tested = flat.certify(coin, x, labels=[0, 0, 0], **few)
    with pytest.raises(InvalidArgumentError, match="the model votes otherwise"):
        flat.certify(lambda t: coin(t - 0.3), x, labels=[0, 0, 0], earlier=tested.counts, **more)
    flat.certify(coin, x, labels=[0, 0, 0], earlier=tested.counts, **more)


def test_a_module_is_known_by_its_fingerprint(rng):
    x = torch.full((2, 1, 2, 2), 0.5)
    call = {**CALL, "plan": rs.plans.Betting(), "n0": 20}
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
    first = flat.certify(net, x, **{**call, "n": 200})
    assert len(first.counts.model) == 16
    passes = []
    net[1].register_forward_hook(lambda *_: passes.append(1))
    with torch.no_grad():
        net[1].weight.mul_(-1)
    with pytest.raises(InvalidArgumentError, match="fingerprint"):
        flat.certify(net, x, earlier=first.counts, **{**call, "n": 3000, "seed": None})


def test_exact_probability_of_the_reference_is_that_of_the_normal_distribution():
    assert float(ndtr(2.0)) == pytest.approx(0.9772498680518208, rel=1e-14)


def test_distances_too_small_to_be_squared_are_kept():
    image = np.full((1, 1, 2, 2), 3e-200)  # float32 makes 0 of it
    l1, l2, linf = rounding.distances(image)[0]
    assert l1 == pytest.approx(12e-200, rel=1e-8) and l2 == pytest.approx(6e-200, rel=1e-8) and linf == pytest.approx(3e-200)
