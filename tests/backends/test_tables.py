"""Quantile tables of generalised Gaussian noise: against their definition and against SciPy's quantiles."""

import mpmath as mp
import numpy as np
import pytest
from scipy import special, stats

from rsfast.backends import base, tables
from rsfast.backends.reference import quantile, variates
from rsfast.kernels import quantiles
from rsfast.noise import GeneralizedGaussian, Laplace, Uniform


@pytest.mark.parametrize("shape", sorted(quantiles.TABLES))
def test_committed_tables_are_what_their_definition_gives(shape):
    np.testing.assert_array_equal(tables.quantile_table(shape), tables.computed_table(shape))


@pytest.mark.parametrize("shape", [1.0, 1.3, 2.0, 3.0, 5.0, 20.0])
def test_variates_are_quantiles_of_their_words(shape, rng):
    """Every octave of both halves and of the far tail; two float32 roundings are 1.2e-7."""
    low = 2 ** rng.uniform(0, 30, 4000)
    m = np.unique(np.concatenate([low, 2.0**31 - 1 - low, np.arange(300)]).astype(np.int64))
    sign = rng.integers(0, 2, len(m))
    extra = rng.integers(0, 2**32, len(m), dtype=np.uint64).astype(np.uint32)
    word = (m | (sign << 31)).astype(np.uint32)
    got = quantile(word, extra, tables.quantile_table(shape)).astype(float)
    rare = m < 256
    p = np.where(rare, ((m.astype(float) * 2.0**32) + extra) * 2.0**-64, (m + 0.5) * 2.0**-32)
    outer = special.gammainccinv(1 / shape, 2 * p) ** (1 / shape)
    inner = special.gammaincinv(1 / shape, (2.0**31 - 0.5 - m) * 2.0**-31) ** (1 / shape)
    expected = np.where(m >= 2**30, inner, outer) * np.where(sign == 1, -1, 1)
    np.testing.assert_allclose(got, expected, rtol=6e-7)


def test_the_far_end_reaches_64_bits():
    table = tables.quantile_table(1.0)
    smallest = quantile(np.zeros(1, np.uint32), np.zeros(1, np.uint32), table)[0]
    assert float(smallest) == pytest.approx(63 * np.log(2), rel=1e-6)


def test_the_committed_laplace_table_is_the_logarithm():
    with mp.workdps(30):
        row = 20
        for t in (-0.5, -0.1, 0.3, 0.499):
            x = mp.mpf(2) ** (row - 1) * (mp.mpf(t) + mp.mpf(3) / 2)
            exact = -mp.log(2 * x / 2**32)
            value = mp.polyval([mp.mpf(float(c)) for c in tables.quantile_table(1.0)[::-1, row]], mp.mpf(t))
            assert abs(value / exact - 1) < 1.5e-7


@pytest.mark.parametrize(
    ("noise", "distribution"),
    [
        (Laplace(1.0), stats.laplace()),
        (GeneralizedGaussian(1.0, 1.5), stats.gennorm(1.5)),
        (GeneralizedGaussian(1.0, 3.0), stats.gennorm(3.0)),
        (GeneralizedGaussian(1.0, 4.0), stats.gennorm(4.0)),
        (GeneralizedGaussian(1.0, 5.0), stats.gennorm(5.0)),
        (Uniform(1.0), stats.uniform(-1, 2)),
    ],
)
def test_draws_have_their_distribution(noise, distribution):
    """Kolmogorov-Smirnov on 2^18 draws of a fixed seed; moments within five standard errors."""
    z = variates(2**18, base.draw_of(noise), seed=11, stream=1, image=3, sample=0).astype(float)
    assert stats.kstest(z, distribution.cdf).pvalue > 0.001
    assert abs(z.mean()) < 5 * distribution.std() / 2**9
    fourth = distribution.moment(4)
    assert abs((z**2).mean() - distribution.var()) < 5 * np.sqrt(fourth - distribution.var() ** 2) / 2**9
    lagged = [float(np.corrcoef(z[:-lag], z[lag:])[0, 1]) for lag in (1, 2, 16, 48, 64)]
    assert max(map(abs, lagged)) < 5 / 2**9


def test_shapes_without_a_committed_table_have_a_hash_of_their_own():
    assert tables.table_hash(1.25) != tables.table_hash(1.26)
    assert tables.table_hash(3.0) == tables.table_hash(3)
