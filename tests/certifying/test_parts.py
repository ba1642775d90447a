"""Dual smoothing and partitions, from images to certificates."""

import dataclasses

import numpy as np
import pytest
import torch

import rsfast as rs
from rsfast import certificates, confidence
from rsfast.errors import InvalidArgumentError, ModelError
from rsfast.noise import STREAMS
from rsfast.transforms import strided_masks
from tests import flat
from tests.reference.linear import dual_halves, moved

SPLIT = rs.DiagonalSplit()


def image(rng, channels=2, side=8):
    return torch.from_numpy(rng.uniform(0.3, 0.7, (channels, side, side)).astype(np.float32))


def first_pixels(x):
    return x.flatten(1)[:, :10]


def test_votes_are_those_of_each_half_drawn_by_hand(rng):
    x = image(rng)[None]
    counts = flat.sample_counts(
        [first_pixels, lambda x: first_pixels(x.flip(1))], x, noise=rs.Gaussian(0.25), num_classes=10, transform=SPLIT,
        n0=13, n=57, seed=5, ids=[3], batch=16,
    )  # fmt: skip
    assert counts.selection.shape == counts.estimation.shape == (1, 2, 10)
    assert counts.part_dims == (64, 64)
    backend = rs.backends.get("reference")
    for part in (0, 1):
        for stage, n, votes in (("selection", 13, counts.selection), ("estimation", 57, counts.estimation)):
            out = torch.empty(n, 2, 8, 8)
            backend.perturb(
                x, rs.Gaussian(0.25), SPLIT, part=part, sigma=np.array([0.25]), mean=None, std=None, seed=5,
                stream=STREAMS[stage] + 256 * part, ids=np.array([3]), first=0, count=n, out=out,
            )  # fmt: skip
            logits = first_pixels(out.flip(1) if part else out)
            assert votes[0, part].tolist() == np.bincount(logits.argmax(1), minlength=10).tolist()


@pytest.mark.parametrize("backend", ["native", "numba", "reference"])
@pytest.mark.parametrize("batch", [7, 64])
def test_votes_do_not_depend_on_backend_or_batch_or_on_one_model_or_two(backend, batch, rng):
    x = torch.stack([image(rng), image(rng)])
    call = {"noise": rs.Gaussian(0.3), "num_classes": 10, "transform": rs.DiagonalSplit("bilinear"), "n0": 10, "n": 45, "seed": 1}
    shared = flat.sample_counts(first_pixels, x, backend=backend, batch=batch, **call)
    two = flat.sample_counts([first_pixels, first_pixels], x, backend="auto", batch=16, **call)
    assert (shared.estimation == two.estimation).all()
    assert (shared.selection == two.selection).all()
    assert (shared.estimation.sum(axis=2) == 45).all()


@pytest.mark.parametrize(
    ("p", "exact"), [((0.98, 0.55), 0.385), ((0.999, 0.30), 0.454), ((0.10, 0.95), 0.064), ((0.5, 0.5000001), 0.0)]
)
def test_linear_halves_have_the_exact_radius_and_flip_just_behind_it(p, exact, rng):
    """Certified from a large sample, never beyond the exact radius; a perturbation a little longer changes the answer."""
    sigma = (0.25, 0.25)
    x = image(rng, channels=3, side=16)
    models, normals = dual_halves(rng, x, SPLIT, sigma, p)
    radius = float(certificates.dual_l2(*p, sigma_left=0.25))
    assert radius == pytest.approx(exact, abs=5e-4)

    def lead(steps):
        at = moved(x, SPLIT, normals, steps)
        total = 0.0
        for part, model in enumerate(models):
            distance = model.distance(at.flatten(1)[:, SPLIT.view(part, 16, 16).kept])
            total += float(torch.special.ndtr(torch.tensor(distance / sigma[part], dtype=torch.float64)))
        return total - 1.0

    worst = (radius / 2**0.5, radius / 2**0.5)
    if radius > 1e-3:
        assert lead([step * 0.999 for step in worst]) > 0
        assert lead([step * 1.001 for step in worst]) < 0
    cert = flat.certify(
        models, x[None], noise=rs.Gaussian(0.25), num_classes=2, transform=SPLIT, n=4000, seed=2, value_range=None
    )
    if cert.label[0] == 0:
        assert 0 < cert.radius[0] < radius
        assert cert.radius[0] > radius - 0.09
    else:
        assert radius < 0.09


def test_unequal_levels_take_their_own_exact_radius(rng):
    sigma, p = (0.2, 0.6), (0.97, 0.8)
    x = image(rng, side=16)
    models, _ = dual_halves(rng, x, SPLIT, sigma, p)
    noise = [rs.Gaussian(level) for level in sigma]
    cert = flat.certify(models, x[None], noise=noise, num_classes=2, transform=SPLIT, n=20_000, seed=2, value_range=None)
    exact = float(certificates.dual_l2(*p, sigma_left=sigma[0], sigma_right=sigma[1]))
    assert 0.93 * exact < cert.radius[0] <= exact
    assert cert.counts.sigma.tolist() == [list(sigma)]


def test_a_half_below_one_half_keeps_its_negative_contribution(rng):
    counts = _counts([[900, 100], [300, 700]], n=1000)
    cert = rs.certify_counts(counts, alpha=0.001)
    both = certificates.dual_l2(cert.p_lower[0, 0], cert.p_lower[0, 1], sigma_left=0.5)
    assert cert.p_lower[0, 1] < 0.5
    assert cert.radius[0] == pytest.approx(float(both), rel=1e-9)
    assert cert.radius[0] < 0.5 * float(certificates.cohen_l2(cert.p_lower[0, 0], sigma=0.5))


def test_it_abstains_exactly_where_the_lower_bounds_add_up_to_at_most_one():
    for right in range(0, 1001, 25):
        counts = _counts([[700, 300], [right, 1000 - right]], n=1000)
        cert = rs.certify_counts(counts, alpha=0.01)
        assert bool(cert.abstained[0]) == (cert.p_lower[0].sum() <= 1)


def _counts(estimation, *, n, sigma=0.5, selection=None, transform=SPLIT, dims=(32, 32)):
    estimation = np.asarray([estimation])
    selection = estimation if selection is None else np.asarray([selection])
    n0 = int(selection.sum(axis=-1).max())
    noise = rs.Gaussian(sigma) if np.ndim(sigma) == 0 else tuple(rs.Gaussian(level) for level in sigma)
    return rs.VoteCounts(
        selection=selection, estimation=estimation, n0=n0, n=n, ids=[0], noise=noise, seed=0, dim=sum(dims), transform=transform,
        part_dims=dims,
    )  # fmt: skip


def test_the_class_is_the_winner_of_the_selection_votes_added_up():
    counts = _counts([[0, 1000, 0], [0, 1000, 0]], n=1000, selection=[[60, 40, 0], [0, 30, 29]])
    assert counts.selected.tolist() == [1]
    assert rs.certify_counts(counts).label.tolist() == [1]


def test_bonferroni_and_product_are_those_of_the_certificate_library():
    counts = _counts([[985, 15], [700, 300]], n=1000)
    for joint, function in (
        ("bonferroni", certificates.dual_certify_bonferroni),
        ("product", certificates.dual_certify_product),
    ):
        cert = rs.certify_counts(counts, alpha=0.001, joint=joint)
        assert cert.radius[0] == pytest.approx(float(function(985, 700, 1000, 0.001, sigma=0.5)), rel=1e-12)
    lower = rs.certify_counts(counts, alpha=0.001, joint="product").p_lower[0]
    level = certificates.counts.dual_product_level(0.001)
    assert lower.tolist() == confidence.clopper_pearson_lower([985, 700], 1000, level).tolist()


def test_several_classes_certify_where_no_class_has_half_of_the_votes():
    counts = _counts([[450, 150, 200, 200], [480, 180, 170, 170]], n=1000)
    assert rs.certify_counts(counts, alpha=0.001).abstained.all()
    cert = rs.certify_counts(counts, alpha=0.001, multiclass=True)
    assert cert.label.tolist() == [0]
    p = confidence.clopper_pearson_lower([450, 480], 1000, 0.00025)
    other = confidence.clopper_pearson_upper([200, 180], 1000, 0.00025)
    expected = certificates.dual_multiclass_l2(p[0], p[1], p_upper_left=other[0], p_upper_right=other[1], sigma_left=0.5)
    assert cert.radius[0] == pytest.approx(float(expected), rel=1e-9)


def test_other_norms_and_three_parts():
    counts = _counts([[985, 15], [900, 100]], n=1000, dims=(30, 34))
    expected = certificates.dual_lp(*_bounds(counts), sigma_left=0.5, dim_left=30, dim_right=34, order=np.inf)
    assert rs.certify_counts(counts, norm=np.inf).radius[0] == pytest.approx(float(expected), rel=1e-9)
    thirds = rs.Partition(strided_masks(1, 3, 6, 6))
    counts = _counts([[985, 15], [900, 100], [400, 600]], n=1000, transform=thirds, dims=(12, 12, 12))
    cert = rs.certify_counts(counts)
    assert cert.p_lower.shape == (1, 3)
    expected = certificates.partition_l2(cert.p_lower[0], sigma=0.5)
    assert cert.radius[0] == pytest.approx(float(expected), rel=1e-9)
    assert rs.certify_counts(counts, norm=np.inf).radius[0] == pytest.approx(float(expected) / 6, rel=1e-9)


def _bounds(counts):
    return rs.certify_counts(counts).p_lower[0]


def test_whole_images_bound_several_classes_too():
    counts = rs.VoteCounts(
        selection=[[40, 30, 30]], estimation=[[450, 250, 300]], n0=100, n=1000, ids=[0], noise=rs.Gaussian(0.5), seed=0, dim=4
    )
    assert rs.certify_counts(counts).abstained.all()
    cert = rs.certify_counts(counts, multiclass=True)
    expected = certificates.cohen_certify_multiclass(450, 300, 1000, 0.001, sigma=0.5)
    assert cert.radius[0] == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": [first_pixels] * 3}, "3 models were given and the transform shows 2"),
        ({"model": [first_pixels, 3]}, "model is int"),
        ({"noise": [rs.Gaussian(0.1)] * 3}, "3 noises were given and the transform shows 2"),
        ({"noise": rs.InputDependentGaussian(lambda x: 0.25, rate=0.1)}, "no certificate covers both"),
        ({"transform": "diagonal"}, "is not a transform"),
        ({"transform": rs.Partition(strided_masks(1, 2, 4, 4))}, "masks 4x4"),
        ({"joint": "fisher"}, "bonferroni, product"),
        ({"joint": "product", "multiclass": True}, "joint='product' is for two parts"),
        ({"joint": "product", "noise": [rs.Gaussian(0.1), rs.Gaussian(0.2)]}, "joint='product' is for two parts"),
        ({"n": 10, "alpha": 0.001}, "each of 2 parts cannot certify anything"),
        ({"x": torch.zeros(1, 1, 7, 8)}, "even sizes"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_drawn(change, message):
    drawn = []

    def watched(x):
        drawn.append(len(x))
        return first_pixels(x)

    call = {"model": [watched, watched], "x": torch.zeros(1, 1, 8, 8), "noise": rs.Gaussian(0.25), "num_classes": 10}
    call |= {"transform": SPLIT, "n": 1000, "n0": 10} | change
    model, x = call.pop("model"), call.pop("x")
    with pytest.raises(InvalidArgumentError, match=message):
        flat.certify(model, x, **call)
    assert not drawn


def test_a_model_that_fails_on_the_second_half_leaves_the_finished_images(rng):
    calls = []

    def fails_late(x):
        calls.append(1)
        if len(calls) > 3:
            raise RuntimeError("out of luck")
        return first_pixels(x)

    x = torch.stack([image(rng)] * 4)
    with pytest.raises(ModelError) as error:
        rs.sample_counts([first_pixels, fails_late], x, noise=rs.Gaussian(0.25), num_classes=10, transform=SPLIT, n=20, n0=5)
    assert error.value.counts.estimation.shape[1:] == (2, 10)
    assert error.value.finished >= 1


@pytest.mark.parametrize("joint", ["bonferroni", "product"])
def test_coverage_over_many_repetitions(joint, rng):
    """Radii above the exact one in at most alpha of the repetitions; the probability of more by chance is below 1e-6."""
    alpha, n, repetitions = 0.05, 300 if joint == "bonferroni" else 40, 20_000
    function = getattr(certificates, f"dual_certify_{joint}")
    for p in ((0.98, 0.55), (0.999, 0.3), (0.1, 0.95), (0.7, 0.7)):
        votes = rng.binomial(n, p, (repetitions, 2))
        pairs, times = np.unique(votes, axis=0, return_counts=True)
        radius = function(pairs[:, 0], pairs[:, 1], n, alpha, sigma=0.25)
        exact = float(certificates.dual_l2(*p, sigma_left=0.25))
        wrong = times[radius > exact].sum() / repetitions
        assert wrong <= alpha + 4.9 * (alpha * (1 - alpha) / repetitions) ** 0.5


def test_coverage_of_the_whole_path(rng):
    """Through models, noise and votes: 150 seeds, alpha 0.2; at most 0.2 wrong but for a chance of 1e-6."""
    alpha, p, seeds = 0.2, (0.95, 0.4), 150
    x = image(rng, channels=1, side=4)
    models, _ = dual_halves(rng, x, SPLIT, (0.25, 0.25), p)
    exact = float(certificates.dual_l2(*p, sigma_left=0.25))
    cert = flat.certify(
        models, x[None].expand(seeds, -1, -1, -1), noise=rs.Gaussian(0.25), num_classes=2, transform=SPLIT, n0=60, n=120,
        alpha=alpha, seed=int(rng.integers(2**63)), value_range=None,
    )  # fmt: skip
    wrong = ((cert.radius > exact) | (cert.label == 1)).mean()
    assert wrong <= alpha + 4.9 * (alpha * (1 - alpha) / seeds) ** 0.5
    assert (cert.label == 0).mean() > 0.9


def test_votes_of_parts_are_not_predicted_from_and_do_not_take_input_dependent_noise():
    counts = _counts([[985, 15], [900, 100]], n=1000)
    with pytest.raises(InvalidArgumentError, match="certify_counts gives their labels"):
        rs.predict_counts(counts)
    for change in (
        {"noise": rs.InputDependentGaussian(lambda x: 0.25, rate=5.0), "sigma": np.full((1, 2), 0.25)},
        {"part_dims": (1, 1)},
        {"sigma": np.array([[0.25, 9.0]])},
        {"noise": (rs.Gaussian(0.5),) * 3},
    ):
        with pytest.raises(InvalidArgumentError):
            dataclasses.replace(counts, **change)
