"""The non-central chi-square distribution against arbitrary precision and its own identities, in every regime and at the seams."""

import json
import math
import warnings
from pathlib import Path

import mpmath as mp
import numpy as np
import pytest
from scipy import special, stats

import rsfast as rs
from rsfast.numerics import ncx2, saddle
from rsfast.numerics.compensated import mean_minus_x_pair
from tests.reference import ncx2_exact

GOLDEN = [json.loads(line) for line in (Path(__file__).parents[1] / "data" / "ncx2.jsonl").read_text().splitlines()]
LOG_SMALLEST = math.log(1e-300)


def tolerance(log_tail):
    """The documented relative error of a tail."""
    return 2e-14 + 1.2e-15 * abs(log_tail)


def random_arguments(rng, count, *, largest_nc=16.0):
    """df, nc and x in every regime: x from a quantile of a level drawn uniformly or exponentially in its logarithm."""
    df = 10 ** rng.uniform(-3, 9, count)
    nc = np.where(rng.random(count) < 0.15, 0.0, 10 ** rng.uniform(-3, largest_nc, count))
    small = rng.random(count) < 0.4  # the series and the seams
    df, nc = np.where(small, 10 ** rng.uniform(-3, 2.9, count), df), np.where(small, 10 ** rng.uniform(-3, 3.5, count), nc)
    log_p = np.where(rng.random(count) < 0.5, -rng.exponential(3.0, count) - 1e-9, -rng.uniform(1, 690, count))
    x = np.where(rng.random(count) < 0.5, ncx2.quantile(log_p, df, nc).x, ncx2.quantile(log_p, df, nc, upper=True).x)
    keep = (x > 1e-300) & (x < 1e300)
    return df[keep], nc[keep], x[keep]


def assert_tails(df, nc, x, log_cdf, log_sf):
    for function, log_function, exact in (
        (ncx2.cdf, ncx2.logcdf, log_cdf),
        (ncx2.sf, ncx2.logsf, log_sf),
    ):
        with mp.workdps(40):
            if exact > LOG_SMALLEST:
                value = mp.exp(exact)
                assert abs(float(function(x, df, nc)) - value) <= tolerance(exact) * value, (function, df, nc, x)
            if abs(exact) > 1e-300:
                assert abs(float(log_function(x, df, nc)) - exact) <= 2e-14 * abs(exact), (log_function, df, nc, x)


@pytest.mark.parametrize("start", range(0, len(GOLDEN), 100))
def test_golden_table(start):
    for row in GOLDEN[start : start + 100]:
        with mp.workdps(40):
            assert_tails(row["k"], row["lam"], row["x"], mp.mpf(row["logcdf"]), mp.mpf(row["logsf"]))


def test_fresh_points_of_every_regime(rng):
    for df, nc, x in zip(*random_arguments(rng, 150), strict=True):
        with mp.workdps(45):
            assert_tails(df, nc, x, *ncx2_exact.log_tails(df, nc, x))


@pytest.mark.parametrize(("df", "nc"), [(2.5, 1e4), (900.0, 500.0), (3000.0, 0.0), (150528.0, 4e4), (2.1, 2e6)])
@pytest.mark.parametrize("level", [-60.0, -8.0, -0.7])
def test_reference_methods_agree(df, nc, level):
    """The reference is held against a real integral: its own two sides are independent of the algorithm under test."""
    x = float(ncx2.quantile(level, df, nc).x)
    with mp.workdps(40):
        one, other = ncx2_exact.log_tails(df, nc, x)[0], ncx2_exact.real_space(df, nc, x)[0]
        assert abs(one - other) <= mp.mpf("1e-15") * abs(other)


def test_tails_add_up_to_one(rng):
    df, nc, x = random_arguments(rng, 20_000)
    np.testing.assert_allclose(ncx2.cdf(x, df, nc) + ncx2.sf(x, df, nc), 1.0, rtol=0, atol=2e-14)


def test_two_more_degrees_of_freedom_cost_twice_the_density(rng):
    """F_df(x) - F_(df+2)(x) = 2 f_(df+2)(x)."""
    df, nc, x = random_arguments(rng, 20_000)
    left = ncx2.cdf(x, df, nc) - ncx2.cdf(x, df + 2, nc)
    np.testing.assert_allclose(left, 2 * ncx2.pdf(x, df + 2, nc), rtol=1e-11, atol=4e-14)


def test_derivative_in_the_non_centrality_is_minus_the_density(rng):
    """dF/dnc = -f_(df+2)(x), by central differences."""
    df, nc, x = random_arguments(rng, 3_000, largest_nc=9.0)
    keep = (nc > 0.1) & (np.abs(ncx2.cdf(x, df, nc) - 0.5) < 0.45)
    df, nc, x = df[keep], nc[keep], x[keep]
    h = 1e-3 * np.sqrt(2 * df + 4 * nc)
    h = np.minimum(h, nc / 2)
    slope = (ncx2.cdf(x, df, nc + h) - ncx2.cdf(x, df, nc - h)) / (2 * h)
    np.testing.assert_allclose(slope, -ncx2.pdf(x, df + 2, nc), rtol=2e-3, atol=1e-12)


def test_log_density_is_the_log_of_the_density(rng):
    df, nc, x = random_arguments(rng, 5_000)
    f = ncx2.pdf(x, df, nc)
    keep = f > 1e-290
    np.testing.assert_allclose(np.exp(ncx2.logpdf(x, df, nc)[keep]), f[keep], rtol=1e-12)


def check_density(df, nc, x):
    """Against the density in Bessel functions."""
    k, lam, at = mp.mpf(df), mp.mpf(nc), mp.mpf(x)
    exact = (
        mp.log(mp.besseli(k / 2 - 1, mp.sqrt(lam * at), maxterms=10**6) / 2)
        - (at + lam) / 2
        + (k / 4 - mp.mpf(1) / 2) * mp.log(at / lam)
    )
    assert abs(float(ncx2.logpdf(x, df, nc)) - exact) <= 2e-14 * max(1, abs(exact)), (df, nc, x)
    if exact > -690:
        assert abs(float(ncx2.pdf(x, df, nc)) / mp.exp(exact) - 1) <= 2e-14 + 1.2e-15 * abs(exact), (df, nc, x)


def test_densities_are_accurate(rng):
    for _ in range(40):
        df, nc = float(10 ** rng.uniform(-2, 4)), float(10 ** rng.uniform(-3, 5))
        x = max(1e-3 * (df + nc), df + nc + rng.uniform(-12, 12) * math.sqrt(2 * (df + 2 * nc)))
        with mp.workdps(60):
            check_density(df, nc, x)


def test_density_agrees_with_scipy(rng):
    df, nc = 10 ** rng.uniform(0, 4, 2000), 10 ** rng.uniform(-2, 4, 2000)
    x = stats.ncx2.ppf(rng.uniform(0.01, 0.99, 2000), df, nc)
    np.testing.assert_allclose(ncx2.pdf(x, df, nc), stats.ncx2.pdf(x, df, nc), rtol=1e-9)


@pytest.mark.parametrize("function", ["cdf", "sf", "logcdf", "logsf"])
def test_monotone_in_x_df_and_nc(function, rng):
    f = getattr(ncx2, function)
    sign = 1.0 if function in ("cdf", "logcdf") else -1.0
    df, nc, x = random_arguments(rng, 4_000)
    keep = (x > 1e-280) & (x < 1e280)
    df, nc, x = df[keep], nc[keep], x[keep]
    base = f(x, df, nc)
    step = 1e-9 * np.maximum(x, df + nc)  # larger than any rounding
    for other, direction in ((f(x + step, df, nc), 1.0), (f(x, df + step, nc), -1.0), (f(x, df, nc + step), -1.0)):
        rise = sign * direction * (other - base)
        assert (rise >= -1e-13 * np.abs(base)).all()


def assert_no_step(function, at, h):
    """function(at + h) - function(at - h) is what the slopes on both sides say."""
    far_left, left, right, far_right = (float(function(at + i * h)) for i in (-3, -1, 1, 3))
    slope = ((far_right - right) + (left - far_left)) / 2
    assert abs((right - left) - slope) <= 3e-14 * (1 + abs(left)), at


@pytest.mark.parametrize("width", [23.0, 30.0, 400.0])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.95])
def test_no_step_where_the_rule_changes(width, share):
    """On both sides of A = sqrt(df² + 4 nc x)/2 = width; share: of A² that comes from nc."""
    df = 2 * width * math.sqrt(1 - share)
    for x in (df * 0.5, df + 1.0, df * 2.0 + 20.0):
        for function in (ncx2.logcdf, ncx2.logsf):
            if share == 0.0:
                assert saddle.width(df * (1 - 1e-12), 0.0, x) < 2 * width < saddle.width(df * (1 + 1e-12), 0.0, x)
                assert_no_step(lambda k, f=function, x=x: f(x, k, 0.0), df, df * 1e-12)
            else:
                nc = share * width * width / x
                assert saddle.width(df, nc * (1 - 1e-12), x) < 2 * width < saddle.width(df, nc * (1 + 1e-12), x)
                assert_no_step(lambda lam, f=function, x=x: f(x, df, lam), nc, nc * 1e-12)


@pytest.mark.parametrize(("df", "nc"), [(784.0, 0.0), (150528.0, 4e4), (60.0, 3.0), (50.0, 0.0)])
@pytest.mark.parametrize("side", [-1, 1])
def test_no_step_where_the_pole_term_is_dropped(df, nc, side):
    """Where X passes its limit, 1 / (1 + e^X) leaves the sum."""

    def dropped(x):
        delta, delta_low = mean_minus_x_pair(df, nc, x)
        pole, limit = saddle.circle(df, nc, x, 0.0, delta, delta_low, saddle.width(df, nc, x))[5:7]
        return pole >= limit

    near, far = df + nc, (df + nc) * (0.01 if side < 0 else 20.0)
    assert not dropped(near)
    assert dropped(far)
    for _ in range(60):
        middle = 0.5 * (near + far)
        near, far = (near, middle) if dropped(middle) else (middle, far)
    function = ncx2.logcdf if side < 0 else ncx2.logsf
    assert_no_step(lambda x: function(x, df, nc), near, near * 1e-12)


def test_quantile_inverts_the_tail_at_the_pair_it_returns(rng):
    count = 150
    df = 10 ** rng.uniform(-2.9, 9, count)
    nc = np.where(rng.random(count) < 0.2, 0.0, 10 ** rng.uniform(-3, 16, count))
    log_p = np.where(rng.random(count) < 0.5, -rng.exponential(2.0, count) - 1e-6, -(10 ** rng.uniform(0, 3.5, count)))
    for upper in (False, True):
        found = ncx2.quantile(log_p, df, nc, upper=upper)
        for k, lam, level, x, delta in zip(df, nc, log_p, found.x, found.delta, strict=True):
            if x < 1e-300:
                continue
            with mp.workdps(60):
                exact_x = mp.mpf(k) + mp.mpf(lam) - mp.mpf(delta) if abs(delta) < x else mp.mpf(x)
                got = ncx2_exact.log_tails(k, lam, exact_x)[int(upper)]
                assert abs(got - level) <= 5e-14 * max(1.0, abs(level)), (k, lam, level, upper)


def test_ppf_and_isf_invert_cdf_and_sf(rng):
    df, nc = 10 ** rng.uniform(-2, 6, 3000), 10 ** rng.uniform(-3, 6, 3000)
    p = np.where(rng.random(3000) < 0.5, rng.uniform(0, 1, 3000), 10 ** rng.uniform(-250, 0, 3000))
    for inverse, function in ((ncx2.ppf, ncx2.cdf), (ncx2.isf, ncx2.sf)):
        x = inverse(p, df, nc)
        keep = (x > 1e-290) & (x < 1e300)
        hazard = x[keep] * ncx2.pdf(x[keep], df[keep], nc[keep]) / p[keep]  # what rounding x to a double does
        error = np.abs(function(x, df, nc)[keep] / p[keep] - 1)
        assert (error <= 3e-16 * hazard + 1e-13 * np.maximum(1, -np.log(p[keep]))).all()


def test_ppf_is_the_limit_where_it_leaves_the_range_of_doubles():
    assert ncx2.ppf(1e-10, 1e-3, 1.0) == 0.0  # exp(-23 / 0.0005)
    assert ncx2.ppf(0.0, 3.0, 1.0) == 0.0
    assert ncx2.ppf(1.0, 3.0, 1.0) == math.inf
    assert ncx2.isf(0.0, 3.0, 1.0) == math.inf
    assert ncx2.isf(1.0, 3.0, 1.0) == 0.0


def test_at_zero_and_infinity():
    assert ncx2.cdf(0.0, 3.0, 1.0) == 0.0 == ncx2.sf(math.inf, 3.0, 1.0) == ncx2.cdf(-1.0, 3.0, 1.0)
    assert ncx2.sf(0.0, 3.0, 1.0) == 1.0 == ncx2.cdf(math.inf, 3.0, 1.0)
    assert ncx2.logcdf(0.0, 3.0, 1.0) == -math.inf == ncx2.logsf(math.inf, 3.0, 1.0)
    assert ncx2.pdf(0.0, 1.0, 1.0) == math.inf
    assert ncx2.pdf(0.0, 2.0, 1.0) == pytest.approx(0.5 * math.exp(-0.5))
    assert ncx2.pdf(0.0, 3.0, 1.0) == 0.0 == ncx2.pdf(math.inf, 3.0, 1.0)


@pytest.mark.parametrize("name", ["cdf", "sf", "logcdf", "logsf", "pdf", "logpdf"])
def test_neither_nan_nor_warning_anywhere_inside_the_domain(name, rng):
    df = np.concatenate([10 ** rng.uniform(-3, 9, 20_000), [1e-3, 1e9, 1e-3, 1e9, 46.0, 60.0, 800.0]])
    nc = np.concatenate([10 ** rng.uniform(-320, 16, 10_000), np.zeros(2_000), 10 ** rng.uniform(-3, 16, 8_000),
                         [0.0, 1e16, 1e16, 0.0, 0.0, 0.0, 0.0]])  # fmt: skip
    x = np.concatenate([10 ** rng.uniform(-322, 308.2, 20_000), [5e-324, 1.7e308, 1e-308, 1e16, 46.0, 60.0, 800.0]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        value = getattr(ncx2, name)(x, df, nc)
    assert not np.isnan(value).any()
    if name in ("cdf", "sf"):
        assert ((value >= 0) & (value <= 1)).all()
    if name in ("logcdf", "logsf"):
        assert (value <= 0).all()


def test_quantiles_have_neither_nan_nor_warning(rng):
    df, nc = 10 ** rng.uniform(-3, 9, 5_000), np.where(rng.random(5_000) < 0.2, 0.0, 10 ** rng.uniform(-10, 16, 5_000))
    p = np.where(rng.random(5_000) < 0.5, rng.uniform(0, 1, 5_000), 10 ** rng.uniform(-320, 0, 5_000))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for function in (ncx2.ppf, ncx2.isf):
            value = function(p, df, nc)
            assert (value >= 0).all()


@pytest.mark.parametrize("name", ["cdf", "sf", "logcdf", "logsf", "pdf", "logpdf"])
@pytest.mark.parametrize(
    ("x", "df", "nc"),
    [(1.0, 0.0, 1.0), (1.0, -2.0, 1.0), (1.0, 3.0, -1e-300), (math.nan, 3.0, 1.0), (1.0, math.nan, 1.0),
     (1.0, 3.0, math.nan), (1.0, math.inf, 1.0), (1.0, 3.0, math.inf)],
)  # fmt: skip
def test_nan_outside_the_domain(name, x, df, nc):
    assert math.isnan(getattr(ncx2, name)(x, df, nc))


@pytest.mark.parametrize("name", ["ppf", "isf"])
@pytest.mark.parametrize(("p", "df", "nc"), [(-1e-300, 3, 1), (1.0000001, 3, 1), (math.nan, 3, 1), (0.5, 0, 1), (0.5, 3, -1)])
def test_quantile_is_nan_outside_the_domain(name, p, df, nc):
    assert math.isnan(getattr(ncx2, name)(p, df, nc))


@pytest.mark.parametrize("log_p", [0.1, math.nan])
def test_quantile_pair_is_nan_outside_the_domain(log_p):
    found = ncx2.quantile(log_p, 3.0, 1.0)
    assert math.isnan(found.x)
    assert math.isnan(found.delta)


def test_broadcasting_scalars_and_threads(rng):
    x, df = rng.uniform(700, 900, (3, 1)), np.array([784.0, 800.0, 3.0, 1.0])
    table = ncx2.cdf(x, df, 2.0)
    assert table.shape == (3, 4)
    assert float(ncx2.cdf(x[1, 0], df[2], 2.0)) == table[1, 2]
    np.testing.assert_array_equal(ncx2.cdf(x, df, 2.0, threads=3), table)
    assert ncx2.sf(np.empty(0), 3.0, 1.0).shape == (0,)
    assert ncx2.quantile([-1.0, -2.0], 3.0, [[1.0], [2.0]]).x.shape == (2, 2)
    with pytest.raises(ValueError, match="broadcast"):
        ncx2.cdf(np.ones(2), np.ones(3), 1.0)


def test_agrees_with_scipy_where_scipy_is_good(rng):
    df, nc = 10 ** rng.uniform(0, 4, 3000), 10 ** rng.uniform(-2, 4, 3000)
    p = rng.uniform(0.001, 0.999, 3000)
    x = ncx2.ppf(p, df, nc)
    np.testing.assert_allclose(special.chndtr(x, df, nc), p, rtol=1e-8)
    np.testing.assert_allclose(ncx2.cdf(x, df, nc), p, rtol=1e-10)


def test_median_is_below_the_mean_by_what_robert_proves(rng):
    """Lemma 21 of the input-dependent paper (Robert 1990): df + nc - 1 <= median <= df + nc for df >= 2."""
    df, nc = 10 ** rng.uniform(0.31, 9, 5000), 10 ** rng.uniform(-3, 16, 5000)
    gap = ncx2.quantile(math.log(0.5), df, nc).delta
    assert ((gap > 0.5) & (gap < 1.0)).all()


def test_public_alias():
    assert rs.ncx2 is ncx2


def leading_term(df, nc, x):
    """(log cdf, log sf, log pdf) where x is so small that the first term is all, in 400 digits: 1 - cdf is not 1 there."""
    with mp.workdps(400):
        a, half, y = mp.mpf(df) / 2, mp.mpf(nc) / 2, mp.mpf(x) / 2
        log_cdf = a * mp.log(y) - half - mp.loggamma(a + 1)
        return log_cdf, mp.log(-mp.expm1(log_cdf)), log_cdf + mp.log(a / mp.mpf(x))


def test_the_smallest_argument_of_all():
    """e^(-nc/2) (x/2)^(df/2) / Γ(df/2 + 1)"""
    assert float(ncx2.cdf(5e-324, 1e-3, 0.0)) == pytest.approx(0.689162485827154, rel=1e-14)
    assert float(ncx2.sf(5e-324, 1e-3, 0.0)) == pytest.approx(1 - 0.689162485827154, rel=1e-14)
    assert float(ncx2.ppf(0.5, 1e-3, 0.0)) == 0.0
    assert float(ncx2.ppf(0.6891624858271541, 1e-3, 0.0)) <= 1e-323


@pytest.mark.parametrize("log10_x", [(-323.6, -307), (-307, -280), (-280, -250)])
def test_tails_and_densities_of_tiny_arguments(log10_x, rng):
    """Subnormal ones, ones whose half or inverse leaves the range of doubles, and ones whose tail does."""
    for i in range(80):
        df = 10 ** rng.uniform(-3, 9) if i % 3 else 10 ** rng.uniform(-3, 2)
        nc = (0.0, 10 ** rng.uniform(-300, 3), 10 ** rng.uniform(-3, 16))[i % 3]
        x = max(float(10 ** rng.uniform(*log10_x)), 5e-324)
        log_cdf, log_sf, log_pdf = leading_term(df, nc, x)
        assert_tails(df, nc, x, log_cdf, log_sf)
        assert abs(float(ncx2.logpdf(x, df, nc)) - log_pdf) <= 2e-14 * max(1, abs(log_pdf)), (df, nc, x)
        if abs(log_pdf) < 690:
            with mp.workdps(40):
                assert abs(float(ncx2.pdf(x, df, nc)) / mp.exp(log_pdf) - 1) <= 2 * tolerance(log_pdf), (df, nc, x)


def test_tails_do_not_step_where_the_leading_term_takes_over():
    for df, nc in ((1e-3, 0.0), (0.3, 2.0), (2.0, 40.0), (5.0, 0.0)):
        below, above = np.nextafter(ncx2.TINY, 0), ncx2.TINY
        assert float(ncx2.logcdf(below, df, nc)) == pytest.approx(float(ncx2.logcdf(above, df, nc)), rel=2e-15)
        assert float(ncx2.logpdf(below, df, nc)) == pytest.approx(float(ncx2.logpdf(above, df, nc)), rel=1e-14, abs=1e-13)
