"""The draws are normal and independent.  Fixed seeds; each bound is passed by all but 1e-4 of true generators or fewer."""

import numpy as np
import pytest
from scipy import special

from rsfast.noise import LatticeGaussian
from tests.reference import draw_statistics as draws

COUNT = 2**22
FEWER = 2**20  # of noises whose distribution function takes longer


@pytest.fixture(scope="module")
def z():
    return draws.normals(COUNT)


def test_moments(z):
    z = z.astype(np.float64)
    assert abs(z.mean()) * np.sqrt(COUNT) < 4
    assert abs((z**2).mean() - 1) * np.sqrt(COUNT / 2) < 4
    assert abs((z**3).mean()) * np.sqrt(COUNT / 15) < 4
    assert abs((z**4).mean() - 3) * np.sqrt(COUNT / 96) < 4


def test_kolmogorov_smirnov(z):
    assert draws.kolmogorov_smirnov(z)[1] > 1e-4


def test_anderson_darling(z):
    assert draws.anderson_darling(z) < 8.1  # exceeded by 1e-4


def test_the_statistics_would_notice_a_clipped_or_shifted_generator(z):
    assert draws.anderson_darling(z * np.float32(1.004)) > 8.1
    assert draws.kolmogorov_smirnov(z + np.float32(0.003))[1] < 1e-4


def test_tails(z):
    assert all(row["p_value"] > 1e-4 for row in draws.tail_counts(z, (3.0, 4.0, 4.5, 5.0)))


@pytest.mark.parametrize(
    "shift", [{"sample": 8}, {"image": 1}, {"stream": 2}, {"stream": 257}, {"seed": 1}, {"seed": 2**32}, {"seed": 2**63}]
)
def test_neighbouring_counters_are_uncorrelated(z, shift):
    other = draws.normals(COUNT, **shift)
    assert abs(draws.correlation_z(z, other)) < 4
    assert abs(draws.correlation_z(z**2 - 1, other**2 - 1)) / 2 < 4


@pytest.mark.parametrize("lag", [1, 2, 15, 16, 17, 32, 48, 64, 1024, 2**20])
def test_pixels_are_uncorrelated(z, lag):
    assert abs(draws.correlation_z(z[:-lag], z[lag:])) < 4


def test_the_unreachable_mass_is_negligible_at_imagenet_size():
    largest = draws.largest_draw()
    assert 9.34 < largest < 9.35
    assert 2 * special.ndtr(-largest) * 150_528 < 2e-15


@pytest.mark.slow
def test_tails_at_a_hundred_million():
    rows = draws.tail_counts(draws.normals(96 * 2**20), (4.0, 5.0, 5.5, 5.768))
    assert all(row["p_value"] > 1e-4 for row in rows)


@pytest.mark.parametrize("name", draws.NOISES)
def test_every_noise_has_its_distribution(name):
    noise = draws.NOISES[name]
    z = draws.variates(noise, FEWER)
    assert draws.kolmogorov_smirnov(z, noise)[1] > 1e-4
    assert draws.anderson_darling(z, noise) < 8.1
    assert draws.chi_square(z, noise)[1] > 1e-4


@pytest.mark.parametrize("name", [name for name in draws.NOISES if name != "uniform"])
def test_the_statistics_would_notice_another_shape(name):
    noise = draws.NOISES[name]
    z = draws.variates(noise, FEWER)
    assert draws.anderson_darling(z * np.float32(1.015), noise) > 8.1
    assert draws.chi_square(z * np.float32(1.05), noise)[1] < 1e-4


def test_lattice_noise_has_its_distribution():
    noise = LatticeGaussian(draws.LATTICE_SIGMA)
    values = draws.variates(noise, FEWER)
    assert draws.lattice_chi_square(noise, values)[1] > 1e-4
    assert draws.lattice_chi_square(LatticeGaussian(1.01 * draws.LATTICE_SIGMA), values)[1] < 1e-4


@pytest.mark.parametrize("name", draws.NOISES)
def test_neighbouring_samples_of_every_noise_are_uncorrelated(name):
    noise = draws.NOISES[name]
    spread = {"uniform": 1 / 3}.get(name) or float(np.mean(draws.variates(noise, FEWER).astype(np.float64) ** 2))
    a, b = draws.variates(noise, FEWER), draws.variates(noise, FEWER, sample=1)
    assert abs(draws.correlation_z(a, b)) / spread < 4
    assert abs(draws.correlation_z(a[:-1], a[1:])) / spread < 4
