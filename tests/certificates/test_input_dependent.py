"""Input-dependent certificates: the golden radii, the theorems of the paper (as corrected), its tables and figures."""

import json
import math
from pathlib import Path

import mpmath as mp
import numpy as np
import pytest
from scipy import stats

from rsfast.certificates import (
    cohen_l2,
    input_dependent_l2,
    input_dependent_rule,
    sigma_ratio_at_half,
    sigma_ratio_limit,
    sigma_ratio_limit_simple,
    xi_greater,
    xi_less,
)
from rsfast.errors import InvalidArgumentError
from rsfast.numerics import ncx2
from tests.reference import input_dependent as exact

GOLDEN = [json.loads(line) for line in (Path(__file__).parents[1] / "data" / "idrs_radius.jsonl").read_text().splitlines()]


def random_setups(rng, count):
    """dim, kappa = rate sigma, q = 1 - p over all that certificates meet; sigma is 1."""
    dim = np.round(10 ** rng.uniform(0, 5.5, count))
    kappa = 10 ** rng.uniform(-7, 1, count)
    q = np.where(rng.random(count) < 0.4, 0.5 - 10 ** rng.uniform(-6, -0.31, count), 10 ** rng.uniform(-16, -0.31, count))
    return dim, kappa, q


@pytest.mark.parametrize("row", GOLDEN, ids=lambda row: f"{row['N']}-{row['sigma0']}-{row['r']}-{row['pA']}")
def test_golden_radii(row):
    got = float(input_dependent_l2(row["pA"], sigma=row["sigma0"], dim=row["N"], rate=row["r"]))
    with mp.workdps(30):
        true = mp.mpf(row["radius"])
        assert got <= true
        assert got >= true * (1 - mp.mpf("3e-14")) - 2e-15 * row["sigma0"]


@pytest.mark.parametrize("count", [12, pytest.param(80, marks=pytest.mark.slow)])
def test_radius_satisfies_the_papers_own_condition(count, rng):
    """xi at the returned radius is below one half, and above it a little further on, by quantiles in 45 digits."""

    def start(df, nc, share):
        return float(ncx2.ppf(float(share), df, float(nc)))

    for dim, kappa, q in zip(*random_setups(rng, count), strict=True):
        kappa = min(float(kappa), 0.3)
        radius = float(input_dependent_l2(1 - q, sigma=1.0, dim=dim, rate=kappa, q_upper=q))
        if radius < 1e-6:
            continue
        with mp.workdps(60):
            p = 1 - mp.mpf(float(q))

            def xi(distance, side, p=p, kappa=kappa, dim=dim):
                return exact.xi(distance, p, 1, mp.exp(side * mp.mpf(kappa) * mp.mpf(distance)), dim, start)

            value, worse = max((xi(radius, side), side) for side in (-1, 1))
            assert value < 0.5, (dim, kappa, q)
            further = mp.mpf(radius) * (1 + mp.mpf("1e-13")) + mp.mpf("1e-14")
            assert xi(further, worse) > 0.5 or xi(further, -worse) > 0.5, (dim, kappa, q)


@pytest.mark.parametrize("ratio", [0.4, 0.9, 1.1, 1.9])
def test_theorem_2_corrected(ratio, rng):
    """The likelihood ratio is constant, and equal to r, on the sphere; with the printed radius it is constant but not r."""
    sigma0, delta, dim, log_r = mp.mpf(1), mp.mpf("0.7"), 5, mp.mpf("0.3")
    sigma1 = sigma0 * ratio
    for printed in (False, True):
        centre, square = exact.ball(delta, sigma0, sigma1, dim, log_r, printed=printed)
        values = []
        for _ in range(20):
            direction = rng.normal(size=dim)
            direction /= np.linalg.norm(direction)
            y = [mp.sqrt(square) * mp.mpf(float(c)) for c in direction]
            y[0] += centre
            to0 = sum(c * c for c in y)
            to1 = to0 - 2 * y[0] * delta + delta**2
            log_density = [-to / (2 * s * s) - dim * mp.log(s) for to, s in ((to0, sigma0), (to1, sigma1))]
            values.append(log_density[0] - log_density[1])
        assert max(abs(v - values[0]) for v in values) < 1e-12
        assert (abs(values[0] - log_r) < 1e-12) != (printed and ratio > 1)


@pytest.mark.parametrize(("sigma1", "function"), [(0.8, xi_greater), (1.3, xi_less)])
@pytest.mark.parametrize("dim", [2, 3, 7])
def test_theorem_3_by_monte_carlo(sigma1, function, dim, rng):
    """P1 of the worst region, sampled: the ball where sigma1 < sigma0, its *complement* where sigma1 > sigma0."""
    a, p, count = 0.6, 0.85, 400_000
    direction = np.zeros(dim)
    direction[0] = 1.0
    under0 = rng.normal(size=(count, dim))
    under1 = a * direction + sigma1 * rng.normal(size=(count, dim))
    centre = a / (1 - sigma1**2) * direction  # from x0; behind it for sigma1 > 1
    to0, to1 = (((y - centre) ** 2).sum(1) for y in (under0, under1))
    level = np.quantile(to0, 1 - p if sigma1 < 1 else p)
    sampled = np.mean(to1 <= level) if sigma1 < 1 else np.mean(to1 > level)
    assert float(function(a, p_lower=p, sigma0=1.0, sigma1=sigma1, dim=dim)) == pytest.approx(sampled, abs=5e-3)


@pytest.mark.parametrize(("function", "ratio"), [(xi_greater, 0.95), (xi_less, 1.05)])
def test_no_region_of_that_probability_does_better(function, ratio, rng):
    """The Neyman-Pearson ball against other regions with P0 = 1 - p: half-spaces and balls elsewhere."""
    p, dim, a, count = 0.9, 3, 0.5, 400_000
    worst = float(function(a, p_lower=p, sigma0=1.0, sigma1=ratio, dim=dim))
    z0, z1 = rng.normal(size=(count, dim)), rng.normal(size=(count, dim)) * ratio
    z1[:, 0] += a
    for _ in range(40):
        if rng.random() < 0.5:
            w = rng.normal(size=dim)
            score0, score1 = z0 @ w, z1 @ w
        else:
            centre = rng.normal(size=dim) * 5
            score0, score1 = ((z0 - centre) ** 2).sum(1), ((z1 - centre) ** 2).sum(1)
        assert np.mean(score1 <= np.quantile(score0, 1 - p)) <= worst + 5e-3


def test_xi_agrees_with_45_digits_where_the_textbook_form_cancels():
    def start(df, nc, share):
        return float(ncx2.ppf(float(share), df, float(nc)))

    for dim, log_ratio, a, p in [(150528, 1e-6, 0.4, 0.99), (784, 1e-4, 1.0, 0.9), (3072, 0.01, 0.2, 0.999), (1, 0.3, 0.5, 0.7)]:
        for sign, function in ((-1, xi_greater), (1, xi_less)):
            sigma1 = math.exp(sign * log_ratio)
            with mp.workdps(60):
                true = exact.xi(a, mp.mpf(p), 1, mp.mpf(sigma1), dim, start)
                got = float(function(a, p_lower=p, sigma0=1.0, sigma1=sigma1, dim=dim))
                assert abs(got - true) <= 3e-14 * true, (dim, sign)


def test_xi_of_the_textbook_with_scipy(rng):
    """Where SciPy is good: the formula of the paper's §2 as printed."""
    for _ in range(50):
        a, p, s1, dim = rng.uniform(0.1, 1), rng.uniform(0.6, 0.99), rng.uniform(0.5, 0.95), int(rng.integers(1, 60))
        gap = 1 - s1**2
        x = stats.ncx2.ppf(1 - p, dim, a * a / gap**2)
        assert float(xi_greater(a, p_lower=p, sigma0=1.0, sigma1=s1, dim=dim)) == pytest.approx(
            stats.ncx2.cdf(x / s1**2, dim, s1**2 * a * a / gap**2), rel=1e-7
        )


def test_theorem_4_below_the_limit_nothing_is_certified(rng):
    for dim in (1, 2, 3, 10, 784, 3072, 150528):
        for p in (0.6, 0.9, 0.999, 1 - 1e-9):
            below = float(sigma_ratio_limit(p, dim=dim)) * (1 - 1e-9)
            assert float(xi_greater(0.0, p_lower=p, sigma0=1.0, sigma1=below, dim=dim)) > 0.5
            if dim >= 2:
                above = float(sigma_ratio_limit(p, dim=dim, increasing=True)) * (1 + 1e-9)
                assert float(xi_less(0.0, p_lower=p, sigma0=1.0, sigma1=above, dim=dim)) > 0.5


def test_theorem_4_second_part_is_false_for_one_dimension():
    """N = 1: z = (sigma1/sigma0)² (N - 1)/N is 0, so the printed hypothesis holds for every sigma1; yet x1 is certified."""
    assert float(xi_less(0.1, p_lower=0.99, sigma0=1.0, sigma1=1.01, dim=1)) == pytest.approx(0.01375, abs=1e-5)
    with pytest.raises(InvalidArgumentError, match="dim"):
        sigma_ratio_limit(0.99, dim=1, increasing=True)


def test_limit_of_theorem_4_solves_its_equation(rng):
    p, dim = rng.uniform(0.5001, 1 - 1e-12, 200), np.round(10 ** rng.uniform(0.5, 6, 200))
    for increasing in (False, True):
        t = sigma_ratio_limit(p, dim=dim, increasing=increasing) ** 2
        if increasing:
            t = t * (dim - 1) / dim
        np.testing.assert_allclose(np.log(t) + 1 - t, 2 * np.log1p(-p) / dim, rtol=1e-6, atol=1e-15)


@pytest.fixture
def fifty_digits():
    with mp.workdps(50):
        yield


def test_ratio_limits_are_accurate(rng, fifty_digits):
    """The root is one of Lambert's W: t = -W(-e^(c - 1)), c = 2 log(1 - p) / N."""
    for p, dim in zip(1 - 10 ** rng.uniform(-12, -0.31, 40), np.round(10 ** rng.uniform(0.5, 6, 40)), strict=True):
        c = 2 * mp.log(1 - mp.mpf(p)) / dim
        for increasing in (False, True):
            t = -mp.lambertw(-mp.exp(c - 1), -1 if increasing else 0).real * (dim / mp.mpf(dim - 1) if increasing else 1)
            assert abs(float(sigma_ratio_limit(p, dim=dim, increasing=increasing)) - mp.sqrt(t)) <= 5e-15 * mp.sqrt(t), (p, dim)
        simple = mp.sqrt(max(0, 1 - 2 * mp.sqrt(-c / 2)))
        assert abs(float(sigma_ratio_limit_simple(p, dim=dim)) - simple) <= 5e-15 * max(simple, mp.mpf("1e-3")), (p, dim)


def test_corollary_5_is_weaker_than_theorem_4_and_theorem_4_than_the_exact_ratio(rng):
    p, dim = rng.uniform(0.5, 1 - 1e-12, 500), np.round(10 ** rng.uniform(0, 6, 500))
    simple, limit, half = (f(p, dim=dim) for f in (sigma_ratio_limit_simple, sigma_ratio_limit, sigma_ratio_at_half))
    assert (simple <= limit * (1 + 1e-12)).all()
    assert (limit <= half * (1 + 1e-12)).all()
    many = dim >= 2
    assert (
        sigma_ratio_limit(p[many], dim=dim[many], increasing=True) * (1 + 1e-12)
        >= sigma_ratio_at_half(p[many], dim=dim[many], increasing=True)
    ).all()


TABLE_1 = {784: (0.946, 0.924, 0.908, 0.892), 3072: (0.973, 0.961, 0.953, 0.945), 196608: (0.997, 0.995, 0.994, 0.993)}
TABLE_1_P = (0.9, 0.99, 0.999, 0.99993)


def test_table_1_agrees_but_for_one_slip():
    agree = [
        (dim, p)
        for dim, row in TABLE_1.items()
        for p, printed in zip(TABLE_1_P, row, strict=True)
        if round(float(sigma_ratio_limit(p, dim=dim)), 3) == printed
    ]
    assert len(agree) == 11
    assert (3072, 0.99) not in agree
    assert float(sigma_ratio_limit(0.99, dim=3072)) == pytest.approx(0.961535, abs=1e-6)


def test_practical_thresholds():
    expected = [[0.9678, 0.9418, 0.9230, 0.9054], [0.9837, 0.9705, 0.9608, 0.9518], [0.99796, 0.99629, 0.99508, 0.99393]]
    got = sigma_ratio_at_half(np.array(TABLE_1_P), dim=np.array([[784], [3072], [196608]]))
    np.testing.assert_allclose(got, expected, atol=1e-4)


def test_figure_3_the_two_thresholds_close_in_on_each_other():
    """Both curves rise with N; the practical one lies above, at a distance that falls below 0.1 % at ImageNet size for p = .9."""
    dims = np.round(10 ** np.linspace(0.5, 5.3, 50))
    for p in (0.9, 0.999):
        theory, practice = sigma_ratio_limit(p, dim=dims), sigma_ratio_at_half(p, dim=dims)
        assert (np.diff(theory) > 0).all()
        assert (np.diff(practice) > 0).all()
        assert (practice > theory).all()
        assert (np.diff(practice - theory) < 0)[5:].all()


def test_figure_12_what_its_text_reads_off():
    """N = 90, p = .99 is not certified even at distance 0 for a conservative ratio; 1 against .95 costs little for small N."""
    assert float(xi_greater(0.0, p_lower=0.99, sigma0=1.0, sigma1=0.8, dim=90)) > 0.5
    small, large = (float(xi_greater(0.5, p_lower=0.99, sigma0=1.0, sigma1=0.8, dim=n)) for n in (2, 90))
    assert small < large
    linear = stats.norm.cdf((0.5 - stats.norm.ppf(0.99)) / 0.95)
    assert linear < float(xi_greater(0.5, p_lower=0.99, sigma0=1.0, sigma1=0.95, dim=2)) < linear + 0.02
    for dim in (2, 30, 90):  # bottom row: the larger noise restricts more
        a = np.linspace(0, 2, 21)
        assert (
            xi_less(a, p_lower=0.99, sigma0=1.0, sigma1=1 / 0.9, dim=dim)
            >= xi_greater(a, p_lower=0.99, sigma0=1.0, sigma1=0.9, dim=dim) - 1e-12
        ).all()


def test_figure_15_no_setup_works_ill():
    """The functions stay smooth and rising for ratios as close to 1 as doubles allow, where the paper's library oscillates."""
    for dim in (3072, 150528):
        for gap in (1e-2, 1e-3, 1e-5, 1e-8, 1e-12):
            a = np.linspace(1e-3, 1.5, 400)
            for function, sigma1 in ((xi_greater, 0.5 * (1 - gap)), (xi_less, 0.5 * (1 + gap))):
                value = function(a, p_lower=0.99993, sigma0=0.5, sigma1=sigma1, dim=dim)
                assert (np.diff(value) >= -1e-13).all()
                assert (np.abs(np.diff(value, 2)) < 1e-3).all()


def test_theorem_6_only_the_extreme_sigma_matters(rng):
    count = 4_000
    dim, ratio = np.round(10 ** rng.uniform(0, 5.2, count)), np.exp(-(10 ** rng.uniform(-5, 0, count)))
    p, a = rng.uniform(0.5, 1, count), 10 ** rng.uniform(-2, 0.7, count)
    nearer = np.exp(np.log(ratio) * rng.uniform(0.01, 0.99, count))
    for function, far, near in ((xi_greater, ratio, nearer), (xi_less, 1 / ratio, 1 / nearer)):
        beyond = function(a, p_lower=p, sigma0=1.0, sigma1=near, dim=dim) > 0.5
        assert beyond.sum() > 200
        assert (function(a, p_lower=p, sigma0=1.0, sigma1=far, dim=dim)[beyond] > 0.5 - 1e-12).all()


def test_xi_is_not_monotone_in_sigma_below_one_half():
    """The claim is about the level set only."""
    value = xi_greater(1.0, p_lower=0.999, sigma0=1.0, sigma1=np.array([0.2, 0.5, 0.9]), dim=1)
    assert value[0] < value[2] < 0.5


def test_lemma_20_xi_does_not_fall_with_distance(rng):
    count = 4_000
    dim, ratio = np.round(10 ** rng.uniform(0, 5.2, count)), np.exp(-(10 ** rng.uniform(-6, 0, count)))
    p, a = rng.uniform(0.5, 1, count), 10 ** rng.uniform(-3, 0.7, count)
    for function, sigma1 in ((xi_greater, ratio), (xi_less, 1 / ratio)):
        low = function(a, p_lower=p, sigma0=1.0, sigma1=sigma1, dim=dim)
        high = function(a * rng.uniform(1, 2, count), p_lower=p, sigma0=1.0, sigma1=sigma1, dim=dim)
        assert (high >= low - 1e-13).all()


def test_theorem_7_one_crossing(rng):
    """What is not certified stays so further out: on curves R -> xi(R, sigma e^(-+ r R)), 60 points each."""
    dim, kappa, q = (value[:, None] for value in random_setups(rng, 300))
    cohen = cohen_l2(1 - q, sigma=1.0, q_upper=q)
    grid = cohen * np.linspace(0.02, 1.2, 60)
    for sign, function in ((-1, xi_greater), (1, xi_less)):
        usable = kappa * grid < 300
        sigma1 = np.exp(sign * np.where(usable, kappa * grid, 1.0))
        moved = sigma1 != 1.0
        value = function(grid, p_lower=1 - q, q_upper=q, sigma0=1.0, sigma1=np.where(moved, sigma1, math.exp(sign)), dim=dim)
        value = np.where(usable & moved, value, np.where(usable, 0.0, 1.0))
        above = value > 0.5 + 1e-12
        assert (np.diff(above.astype(int), axis=1) >= 0).all()


def test_theorem_15_never_above_cohen(rng):
    dim, kappa, q = random_setups(rng, 20_000)
    assert (input_dependent_l2(1 - q, sigma=1.0, dim=dim, rate=kappa, q_upper=q) <= cohen_l2(1 - q, sigma=1.0, q_upper=q)).all()


@pytest.mark.parametrize("rate", [0.0, 1e-100, 1e-50, 1e-20, 1e-12])
def test_vanishing_rate_gives_cohen(rate):
    p = np.array([0.51, 0.6, 0.9, 0.999, 1 - 1e-12])
    got = input_dependent_l2(p, sigma=0.5, dim=150528, rate=rate)
    np.testing.assert_allclose(got, cohen_l2(p, sigma=0.5), rtol=5e-14, atol=1e-14)


def test_one_dimension_costs_next_to_nothing(rng):
    p = rng.uniform(0.5, 1 - 1e-9, 300)
    kappa = 10 ** rng.uniform(-4, -1, 300)
    np.testing.assert_allclose(
        input_dependent_l2(p, sigma=1.0, dim=1, rate=kappa), cohen_l2(p, sigma=1.0), rtol=5e-12, atol=1e-13
    )


def test_radius_scales_with_sigma(rng):
    dim, kappa, q = random_setups(rng, 2_000)
    base = input_dependent_l2(1 - q, sigma=1.0, dim=dim, rate=np.minimum(kappa, 5.0), q_upper=q)
    for scale in (0.5, 2.0, 1024.0):
        scaled = input_dependent_l2(1 - q, sigma=scale, dim=dim, rate=np.minimum(kappa, 5.0) / scale, q_upper=q)
        np.testing.assert_array_equal(scaled, base * scale)


def test_radius_falls_with_rate_dim_and_failure_probability(rng):
    dim, kappa, q = random_setups(rng, 5_000)
    kappa = np.minimum(kappa, 5.0)
    base = input_dependent_l2(1 - q, sigma=1.0, dim=dim, rate=kappa, q_upper=q)
    slack = 5e-14 * base + 4e-15
    assert (input_dependent_l2(1 - q, sigma=1.0, dim=dim, rate=kappa * 1.1, q_upper=q) <= base + slack).all()
    assert (input_dependent_l2(1 - q, sigma=1.0, dim=dim + 1, rate=kappa, q_upper=q) <= base + slack).all()
    worse = np.minimum(q * 1.01, 0.5)
    assert (input_dependent_l2(1 - worse, sigma=1.0, dim=dim, rate=kappa, q_upper=worse) <= base + slack).all()


@pytest.mark.parametrize("p", [0.5, 0.4, 0.0])
def test_nothing_is_certified_at_most_one_half(p):
    assert input_dependent_l2(p, sigma=0.5, dim=3072, rate=0.01) == 0.0


def test_certainty_is_infinite_only_for_constant_sigma():
    assert input_dependent_l2(1.0, sigma=0.5, dim=3072, rate=0.0) == math.inf
    assert input_dependent_l2(1.0, sigma=0.5, dim=3072, rate=0.01) == 0.0


def test_failure_probability_in_its_own_argument():
    exact_q = 1e-30
    assert float(input_dependent_l2(1.0, sigma=1.0, dim=784, rate=0.01, q_upper=exact_q)) > float(
        input_dependent_l2(1 - 1e-16, sigma=1.0, dim=784, rate=0.01)
    )


TWO_PROBABILITIES = [  # p_A, p_B, N, sigma, rate, sound, "p_B with threshold 1/2" of the paper's remark
    (0.5, 0.2, 3072, 0.25, 0.01, 0.103238, 0.206474),
    (0.6, 0.1, 3072, 0.25, 0.01, 0.188278, 0.314398),
    (0.9, 0.05, 3072, 0.25, 0.01, 0.358960, 0.403521),
    (0.99, 0.001, 150528, 0.25, 0.001, 0.670788, 0.765387),
]


@pytest.mark.parametrize(("p_a", "p_b", "dim", "sigma", "rate", "sound", "remark"), TWO_PROBABILITIES)
def test_two_probabilities(p_a, p_b, dim, sigma, rate, sound, remark):
    got = float(input_dependent_l2(p_a, sigma=sigma, dim=dim, rate=rate, p_upper=p_b))
    assert got == pytest.approx(sound, abs=1e-6)
    # The remark after Theorem 7 keeps the threshold 1/2 and inserts p_B: the radius of p_lower = 1 - p_B.
    unsound = float(input_dependent_l2(1 - p_b, sigma=sigma, dim=dim, rate=rate))
    assert unsound == pytest.approx(remark, abs=1e-6)
    # There, both worst cases at once: what is left of A is less than what B has won.
    for side, function in ((-1, xi_greater), (1, xi_less)):
        sigma1 = sigma * math.exp(side * rate * unsound)
        lost = float(function(unsound, p_lower=p_a, sigma0=sigma, sigma1=sigma1, dim=dim))
        won = float(function(unsound, p_lower=1 - p_b, sigma0=sigma, sigma1=sigma1, dim=dim))
        assert 1 - lost < won


def test_two_probabilities_add_nothing_to_themselves(rng):
    dim, kappa, q = random_setups(rng, 200)
    kappa = np.minimum(kappa, 1.0)
    one = input_dependent_l2(1 - q, sigma=1.0, dim=dim, rate=kappa, q_upper=q)
    two = input_dependent_l2(1 - q, sigma=1.0, dim=dim, rate=kappa, q_upper=q, p_upper=q)
    np.testing.assert_allclose(two, one, rtol=1e-9, atol=1e-11)


def test_design_rule_is_close_where_it_says():
    p = np.array([0.6, 0.9, 0.99])
    kappa = np.array([[1e-4], [1e-3], [2.5e-3]])
    exact_radius = input_dependent_l2(p, sigma=1.0, dim=150528, rate=kappa)
    np.testing.assert_allclose(input_dependent_rule(p, sigma=1.0, dim=150528, rate=kappa), exact_radius, rtol=1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sigma": 0.0}, "sigma=0"),
        ({"sigma": [0.5, -1.0]}, r"sigma\[1\]"),
        ({"rate": -0.1}, "rate=-0.1"),
        ({"rate": 11.0}, "rate=11"),
        ({"rate": math.nan}, "rate"),
        ({"dim": 0}, "dim=0"),
        ({"dim": 2e7}, "dim=2"),
        ({"dim": 2.5}, "dim=2.5"),
        ({"p_lower": 1.5}, "p_lower=1.5"),
        ({"p_lower": [0.9, math.nan]}, r"p_lower\[1\]=nan"),
        ({"p_upper": -0.1}, "p_upper=-0.1"),
        ({"q_upper": 0.5}, "q_upper=0.5 is not the failure probability"),
        ({"p_lower": [0.9, 0.8], "sigma": [0.5, 0.5, 0.5]}, "sigma"),
    ],
)
def test_bad_input_names_the_argument_and_index(arguments, message):
    with pytest.raises(InvalidArgumentError, match=message):
        input_dependent_l2(**{"p_lower": 0.9, "sigma": 0.5, "dim": 3072, "rate": 0.01, **arguments})


@pytest.mark.parametrize(
    ("function", "sigma1", "message"), [(xi_greater, 1.0, "xi_less"), (xi_greater, 1.2, "xi_less"), (xi_less, 0.9, "xi_greater")]
)
def test_the_wrong_side_is_named(function, sigma1, message):
    with pytest.raises(InvalidArgumentError, match=message):
        function(0.5, p_lower=0.9, sigma0=1.0, sigma1=sigma1, dim=10)


def test_nan_from_the_numerics_is_never_certified(monkeypatch):
    """At settings where every tail is NaN the comparison that certifies must be false: `not value < half` decides."""
    from rsfast.certificates import input_dependent as module

    assert not module._certified(784.0, math.nan, 1.0, 1, 0.1, 0.4)
    assert not module._certified(784.0, math.nan, 1.0, -1, 0.4, 0.1)
    assert module._excess(784.0, math.nan, 1.0, 0.1, 0.05) >= 0
    assert float(module._side_radius(784.0, math.nan, 0.1, 0.4, 1.0, 1.0, 1)) < 1e-6


def test_broadcasting():
    got = input_dependent_l2(np.full((3, 1), 0.9), sigma=[0.25, 0.5], dim=3072, rate=0.01)
    assert got.shape == (3, 2)
    assert input_dependent_l2(np.empty(0), sigma=0.5, dim=10, rate=0.1).shape == (0,)
