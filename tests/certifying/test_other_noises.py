"""Laplace, generalised Gaussian and uniform noise, from draws to radii."""

import numpy as np
import pytest
import torch

import rsfast as rs
from rsfast import certificates
from rsfast.errors import InvalidArgumentError
from tests.reference.linear import Halfspace

NOISES = [rs.Laplace(0.3), rs.GeneralizedGaussian(0.5, 3), rs.GeneralizedGaussian(0.4, 1.7), rs.Uniform(0.6)]


@pytest.mark.parametrize("noise", NOISES, ids=str)
def test_one_pixel_that_decides_is_certified_up_to_its_distance_and_never_beyond(noise, rng):
    """A classifier that looks at one pixel against a threshold: the exact l1 radius is the pixel's distance to it."""
    x = torch.from_numpy(rng.uniform(0, 1, (300, 1, 2, 2)).astype(np.float32))
    model = Halfspace([1.0, 0.0, 0.0, 0.0], 0.5)
    cert = rs.certify(model, x, noise=noise, num_classes=2, n0=100, n=1000, alpha=0.001, norm=1, seed=5)
    distance = np.abs(x[:, 0, 0, 0].numpy() - 0.5)
    right = cert.abstained | (cert.label == (x[:, 0, 0, 0].numpy() <= 0.5))
    assert (right & (cert.radius <= distance)).mean() > 0.98
    far = (distance > 0.2) & (distance < 0.3)
    assert np.median(cert.radius[far] / distance[far]) > 0.7


@pytest.mark.parametrize("noise", NOISES, ids=str)
@pytest.mark.parametrize("order", [0.5, 1.0, 1.5, 2.0, 4.0, np.inf])
def test_radii_fall_with_the_order_of_the_norm_and_keep_within_the_l1_ball(noise, order):
    counts = rs.VoteCounts(selection=[[95, 5]], estimation=[[9500, 500]], n0=100, n=10_000, ids=[0], noise=noise, seed=0, dim=784)
    tight = rs.certify_counts(counts, norm=1).radius[0]
    radius = rs.certify_counts(counts, norm=order).radius[0]
    assert 0 < radius <= tight
    if order <= 1:
        assert radius == tight
    else:
        assert radius >= tight * 784 ** -(1 - 1 / order) * (1 - 1e-12)


def test_shape_2_is_the_gaussian():
    votes = {"selection": [[95, 5]], "estimation": [[9500, 500]], "n0": 100, "n": 10_000, "ids": [0], "seed": 0, "dim": 784}
    gaussian = rs.certify_counts(rs.VoteCounts(noise=rs.Gaussian(0.5), **votes), norm=2).radius[0]
    shaped = rs.certify_counts(rs.VoteCounts(noise=rs.GeneralizedGaussian(0.5 * 2**0.5, 2), **votes), norm=2).radius[0]
    assert shaped == pytest.approx(gaussian, rel=1e-12)
    assert shaped <= gaussian


def test_two_halves_of_laplace_noise(rng):
    split = rs.DiagonalSplit()
    counts = rs.VoteCounts(
        selection=[[[95, 5], [80, 20]]], estimation=[[[950, 50], [400, 600]]], n0=100, n=1000, ids=[0], noise=rs.Laplace(0.2),
        seed=0, dim=64, transform=split, part_dims=(32, 32),
    )  # fmt: skip
    cert = rs.certify_counts(counts, norm=1)
    expected = certificates.dual_log_concave_l1(
        *cert.p_lower[0], scale_left=0.2, q_left=cert.q_upper[0, 0], q_right=cert.q_upper[0, 1]
    )
    assert cert.radius[0] == pytest.approx(float(expected), rel=1e-12)
    for change in ({"joint": "product"}, {"multiclass": True}):
        with pytest.raises(InvalidArgumentError):
            rs.certify_counts(counts, norm=1, **change)
    quarters = rs.Partition(rs.transforms.strided_masks(2, 2, 4, 4))
    with pytest.raises(InvalidArgumentError, match="no certificate covers that"):
        rs.certify(
            lambda x: x.flatten(1)[:, :2],
            torch.zeros(1, 1, 4, 4),
            noise=rs.Uniform(0.2),
            num_classes=2,
            transform=quarters,
            n=100,
        )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rs.Laplace(0), "scale=0"),
        (lambda: rs.GeneralizedGaussian(1, 0.5), "shape=0.5"),
        (lambda: rs.GeneralizedGaussian(1, "round"), "shape='round'"),
        (lambda: rs.Uniform(float("inf")), "half_width=inf"),
    ],
)
def test_levels_and_shapes_out_of_range_are_refused(make, message):
    with pytest.raises(InvalidArgumentError, match=message):
        make()
