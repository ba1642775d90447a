"""Lattice noise: what is drawn, what it certifies, and a classifier for which float noise certifies a false radius."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch.overrides import TorchFunctionMode

import rsfast as rs
from rsfast import certificates
from rsfast.backends import base, tables
from rsfast.backends.reference import variates
from rsfast.errors import InvalidArgumentError
from tests import flat
from tests.reference.linear import Halfspace


def lattice_images(rng, *shape, levels=255):
    return torch.from_numpy(rng.integers(0, levels + 1, shape).astype(np.float32)) / levels


class LowBits(torch.nn.Module):
    """Class 0 where every noisy pixel in (-1/4, 0) is a multiple of 2^-24: looks at nothing but rounding."""

    def forward(self, x):
        v = x.flatten(1)
        multiple = v * 2**24 == torch.round(v * 2**24)
        odd = ((v > -0.25) & (v < 0) & ~multiple).any(dim=1)
        return torch.stack([(~odd).float(), odd.float()], dim=1)


def test_float_noise_certifies_a_false_radius_and_lattice_noise_does_not():
    """Pixels of 128/255 are multiples of 2^-24 and so is 128/255 + noise in (-1/4, 0); those of 127/255 are odd multiples of 2^-25."""
    x, other = torch.full((1, 1, 8, 8), 128 / 255), torch.full((1, 1, 8, 8), 127 / 255)
    call = {"num_classes": 2, "n0": 50, "n": 2000, "seed": 1}
    false = flat.certify(LowBits(), x, noise=rs.Gaussian(0.25), **call)
    distance = float((x - other).norm())
    assert false.label[0] == 0
    assert false.radius[0] > 20 * distance
    assert rs.predict(LowBits(), other, noise=rs.Gaussian(0.25), num_classes=2, seed=1)[0] == 1  # well inside the certified ball
    true = flat.certify(LowBits(), torch.cat([x, other]), noise=rs.LatticeGaussian(0.25), **call)
    assert (true.label == true.label[0]).all() or (true.radius < distance).all()


@pytest.mark.parametrize("sigma", [0.001, 0.03, 0.25, 1.0])
def test_whole_numbers_are_drawn_as_the_rounded_gaussian(sigma):
    """Chi-square over the whole numbers that are expected at least 10 times."""
    noise = rs.LatticeGaussian(sigma)
    n = 2**20
    j = variates(n, base.draw_of(noise), seed=5, stream=1, image=2, sample=0).astype(int)
    s = sigma * 255
    most = int(np.abs(j).max()) + 1
    values = np.arange(-most, most + 1)
    p = stats.norm.cdf((values + 0.5) / s) - stats.norm.cdf((values - 0.5) / s)
    counts = np.bincount(j + most, minlength=len(values))
    common = p * n >= 10
    statistic = ((counts - n * p)[common] ** 2 / (n * p)[common]).sum()
    assert stats.chi2.sf(statistic, common.sum() - 1) > 1e-4
    assert np.signbit(variates(64, base.draw_of(noise), seed=5, stream=1, image=2, sample=0)[j[:64] == 0]).sum() == 0


@pytest.mark.parametrize(("sigma", "levels"), [(0.001, 255), (0.25, 255), (4.0, 255), (0.25, 4095), (1.0, 7)])
def test_thresholds_are_those_of_the_gaussian_and_within_the_stated_variation(sigma, levels):
    noise = rs.LatticeGaussian(sigma, levels)
    table = tables.lattice_table(sigma, levels)
    assert (np.diff(table.thresholds) <= 0).all()
    assert table.thresholds[-1] == 0
    j = np.arange(min(40, np.count_nonzero(table.thresholds)))
    exact = 2 * stats.norm.sf((j + 0.5) / (sigma * levels))
    np.testing.assert_allclose(table.thresholds[j] / 2.0**63, exact, rtol=1e-12, atol=2.0**-64)
    assert table.total_variation <= noise.total_variation


def test_radii_are_cohens_less_the_variation_of_the_draws(rng):
    x = lattice_images(rng, 5, 3, 32, 32)
    noise = rs.LatticeGaussian(0.5)
    model = Halfspace(np.ones(3072) / 3072**0.5, 0.5 * 3072**0.5)
    cert = rs.certify(model, x, noise=noise, num_classes=2, n0=20, n=500, alpha=0.01, seed=3)
    votes = cert.counts.estimation.max(axis=1)
    p, q = rs.confidence.bound("clopper-pearson", votes, 500, 0.01)
    plain = certificates.cohen_l2(p, sigma=0.5, q_upper=q)
    certified = ~cert.abstained
    assert certified.any()
    assert (cert.radius[certified] < plain[certified]).all()
    np.testing.assert_allclose(cert.radius[certified], plain[certified], rtol=1e-9)
    assert (cert.q_upper > q).all()
    assert (cert.q_upper - q < 1e-12).all()


def test_linear_classifiers_are_certified_within_their_distance(rng):
    x = lattice_images(rng, 200, 1, 4, 4)
    model = Halfspace(np.ones(16) / 4, 2.0)
    cert = rs.certify(model, x, noise=rs.LatticeGaussian(0.25), num_classes=2, n0=50, n=1000, alpha=0.001, seed=3)
    distance = np.abs(model.distance(x).numpy())
    assert ((cert.radius > distance) & ~cert.abstained).mean() < 0.01
    assert (cert.radius > 0).mean() > 0.5


def test_the_models_input_is_one_conversion_of_whole_numbers(rng):
    x = lattice_images(rng, 1, 2, 4, 6)
    seen = []

    def model(batch):
        seen.append(batch.clone())
        return batch.flatten(1)[:, :2]

    flat.sample_counts(
        model, x, noise=rs.LatticeGaussian(0.1), num_classes=2, n0=0, n=30, batch=30, mean=[0.5, 0.4], std=[0.2, 0.3]
    )
    for c, (mean, std) in enumerate(((0.5, 0.2), (0.4, 0.3))):
        k = (seen[0][:, c] * std + mean) * 255
        torch.testing.assert_close(k, torch.round(k), rtol=0, atol=1e-3)


@pytest.mark.parametrize("split", [rs.DiagonalSplit(), rs.DiagonalSplit("bilinear")])
def test_halves_of_lattice_noise(split, rng):
    x = lattice_images(rng, 2, 1, 8, 8)
    cert = rs.certify(
        lambda x: x.flatten(1)[:, :2],
        x,
        noise=rs.LatticeGaussian(0.25),
        num_classes=2,
        transform=split,
        n=300,
        seed=1,
        norm=np.inf,
    )
    plain = certificates.dual_lp(
        *cert.p_lower.T,
        sigma_left=0.25,
        dim_left=32,
        dim_right=32,
        order=np.inf,
        q_left=cert.q_upper[:, 0],
        q_right=cert.q_upper[:, 1],
    )
    np.testing.assert_array_equal(cert.radius, plain)


def test_images_off_the_lattice_are_refused(rng):
    x = lattice_images(rng, 1, 1, 2, 2)
    x[0, 0, 0, 0] += 1e-4
    for levels in (255, 16):
        with pytest.raises(InvalidArgumentError, match=f"multiples of 1/{levels}"):
            rs.certify(lambda x: x.flatten(1)[:, :2], x, noise=rs.LatticeGaussian(0.25, levels), num_classes=2, n=100)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rs.LatticeGaussian(0), "sigma=0"),
        (lambda: rs.LatticeGaussian(0.25, 0), "levels=0"),
        (lambda: rs.LatticeGaussian(0.25, 2.5), "levels=2.5"),
        (lambda: rs.LatticeGaussian(1e-5), "steps of a lattice"),
        (lambda: rs.LatticeGaussian(100.0), "steps of a lattice"),
    ],
)
def test_levels_out_of_range_are_refused(make, message):
    with pytest.raises(InvalidArgumentError, match=message):
        make()


class DividingLikeCuda(TorchFunctionMode):
    """A tensor over a Python number is the tensor times the rounded reciprocal of it, in its dtype."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func.__name__ in ("div", "true_divide", "__truediv__", "__rdiv__", "divide") and isinstance(args[1], (int, float)):
            with torch._C.DisableTorchFunction():
                return args[0] * torch.ones((), dtype=args[0].dtype).div(torch.full((), args[1], dtype=args[0].dtype))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_images_that_were_divided_on_a_gpu_are_on_the_lattice(dtype):
    levels = torch.arange(256, dtype=dtype).reshape(1, 1, 16, 16)
    exact = levels / 255
    with DividingLikeCuda():
        x = levels / 255
        base.check_lattice(x, 255)
        base.check_lattice(exact, 255)
        points = [base.lattice_points(one.float(), 255) for one in (x, exact)]
    assert int((x != exact).sum()) == {torch.float32: 126, torch.float64: 24}[dtype]
    for found in points:
        assert torch.equal(found, levels.float())
    assert bool(((x.double() - levels.double() / 255).abs() <= 1.2e-7 * levels.double() / 255).all())  # docs/soundness.md


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_pixels_beside_a_level_and_its_product_are_refused(dtype):
    level = torch.full((1, 1, 1, 1), 101.0, dtype=dtype)
    values = {float(level / 255), float(level * torch.full((), 255.0, dtype=dtype).reciprocal())}
    beside = {
        float(torch.nextafter(torch.tensor(v, dtype=dtype), torch.tensor(to, dtype=dtype))) for v in values for to in (0, 1)
    }
    singles = {float(level.float() / 255), float(level.float() * torch.tensor(255.0).reciprocal())}
    for value in beside - values - singles:
        with pytest.raises(InvalidArgumentError, match="lattice of multiples"):
            base.check_lattice(torch.full((1, 1, 1, 1), value, dtype=dtype), 255)
