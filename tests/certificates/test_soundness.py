"""Every certificate against an independent optimum, every limit against every certificate, and what holds for all of them."""

import math

import mpmath as mp
import numpy as np
import pytest
from scipy import stats

from rsfast import certificates as c
from rsfast.errors import InvalidArgumentError
from tests.reference import optimal

SIGMA_FAMILY = [
    c.cohen_l2,
    c.renyi_l2,
    c.renyi_l2_all,
    c.kl_l2,
    c.chi2_l2,
    c.hellinger_l2,
    c.bhattacharyya_l2,
    c.tv_l2,
    c.lecuyer_l2,
]
SCALE_FAMILY = [c.laplace_l1, c.teng_l1, c.lecuyer_l1]
WITH_ALL = {
    **{f.__name__: (f, {"sigma": 0.5}) for f in SIGMA_FAMILY},
    **{f.__name__: (f, {"scale": 0.5}) for f in SCALE_FAMILY},
    "renyi_l2_fixed": (c.renyi_l2_fixed, {"sigma": 0.5, "order": 1.7}),
    "gaussian_lp": (c.gaussian_lp, {"sigma": 0.5, "dim": 3072, "order": 5.0}),
    "generalized_gaussian_l1": (c.generalized_gaussian_l1, {"scale": 0.5, "shape": 2.7}),
    "uniform_l1": (c.uniform_l1, {"half_width": 0.5}),
    "uniform_ball": (c.uniform_ball, {"scale": 0.5, "dim": 3072}),
    "uniform_lp": (c.uniform_lp, {"half_width": 0.5, "dim": 3072, "order": 1.4}),
    "generalized_gaussian_hayes": (c.generalized_gaussian_hayes, {"scale": 0.5, "shape": 3, "dim": 784}),
    "generalized_gaussian_kl_lp": (c.generalized_gaussian_kl_lp, {"scale": 0.5, "shape": 3, "order": 2.5, "dim": 784}),
    "generalized_gaussian_tradeoff": (c.generalized_gaussian_tradeoff, {"scale": 0.5, "shape": 4, "eps_high": 0.1}),
    "input_dependent_l2": (c.input_dependent_l2, {"sigma": 0.5, "dim": 784, "rate": 0.01}),
    "input_dependent_renyi_l2": (c.input_dependent_renyi_l2, {"sigma0": 0.5, "sigma1": 0.49, "dim": 20}),
    "input_dependent_renyi_fixed": (c.input_dependent_renyi_fixed, {"sigma0": 0.5, "sigma1": 0.49, "dim": 20, "order": 2.0}),
}


def pairs(rng, count):
    """p1 > p2 with p1 + p2 <= 1: near one half, near 1, small, nearly tied."""
    p1 = np.where(rng.random(count) < 0.5, rng.uniform(0.02, 1, count), 1 - 10 ** rng.uniform(-12, -0.5, count))
    share = np.where(rng.random(count) < 0.3, 1 - 10 ** rng.uniform(-10, -1, count), 10 ** rng.uniform(-8, 0, count))
    p2 = np.minimum(p1, 1 - p1) * share
    return p1, p2


@pytest.mark.parametrize("name", WITH_ALL)
def test_grows_with_p_lower_and_falls_with_p_upper(name, rng):
    f, more = WITH_ALL[name]
    p1, p2 = pairs(rng, 300)
    if name == "input_dependent_l2":
        p1, p2 = p1[:60], p2[:60]
    base = f(p1, p_upper=p2, **more)
    slack = 1e-12 * base + 1e-13
    higher = p1 + (1 - p1) * 0.1 * rng.random(len(p1))
    assert (f(higher, p_upper=np.minimum(p2, 1 - higher), **more) >= base - slack).all()
    assert (f(p1, p_upper=p2 * 0.7, **more) >= base - slack).all()


@pytest.mark.parametrize("name", WITH_ALL)
def test_zero_where_nothing_is_certified(name):
    f, more = WITH_ALL[name]
    assert (f(np.array([0.3, 0.3, 0.5, 0.0]), p_upper=np.array([0.3, 0.4, 0.5, 0.0]), **more) == 0).all()
    assert (f([0.5, 0.2, 0.0], **more) == 0).all()


@pytest.mark.parametrize("name", WITH_ALL)
def test_broadcasts_and_takes_nothing_at_all(name):
    f, more = WITH_ALL[name]
    assert f(np.full((3, 1), 0.9), p_upper=np.full(2, 0.05), **more).shape == (3, 2)
    assert f(np.empty((0, 4)), **more).shape == (0, 4)
    assert f(0.9, **more) == f(0.9, q_upper=1 - 0.9, **more)


@pytest.mark.parametrize("name", WITH_ALL)
def test_failure_probability_keeps_digits(name):
    f, more = WITH_ALL[name]
    near, nearer = (float(f(1.0, q_upper=q, **more)) for q in (1e-20, 1e-25))
    assert 0 < near <= nearer < math.inf
    if name not in (
        "hellinger_l2",
        "bhattacharyya_l2",
        "tv_l2",
        "lecuyer_l2",
        "uniform_l1",
        "uniform_ball",
        "uniform_lp",
    ):  # these are bounded
        assert near < nearer


@pytest.mark.parametrize("name", WITH_ALL)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"p_lower": 1.1}, "p_lower=1.1"),
        ({"p_lower": [0.9, -0.1]}, r"p_lower\[1\]=-0.1"),
        ({"p_lower": [[0.9, math.nan]]}, r"p_lower\[0, 1\]=nan"),
        ({"p_upper": 2.0}, "p_upper=2.0"),
        ({"p_upper": math.inf}, "p_upper=inf"),
        ({"p_lower": [0.9, 0.8], "p_upper": [0.1, 0.1, 0.1]}, "p_lower"),
        ({"q_upper": 0.3}, "q_upper=0.3 is not the failure probability of p_lower=0.9"),
    ],
)
def test_bad_probabilities_are_named(name, change, message):
    f, more = WITH_ALL[name]
    given = {"p_lower": 0.9, **more, **change}
    with pytest.raises(InvalidArgumentError, match=message):
        f(given.pop("p_lower"), **given)


@pytest.mark.parametrize("name", WITH_ALL)
def test_bad_parameters_are_named(name):
    f, more = WITH_ALL[name]
    bad = {"sigma": -0.5, "sigma0": 0.0, "sigma1": math.nan, "scale": 0.0, "half_width": math.inf, "dim": 0, "order": 0.0,
           "shape": 0, "rate": -1.0, "eps_high": -1.0}  # fmt: skip
    for key in more:
        with pytest.raises(InvalidArgumentError, match=key):
            f(0.9, **{**more, key: [more[key], bad[key]]})
    if "dim" in more:
        with pytest.raises(InvalidArgumentError, match="dim=2.5"):
            f(0.9, **{**more, "dim": 2.5})


@pytest.mark.parametrize("name", ["generalized_gaussian_hayes", "generalized_gaussian_kl_lp", "generalized_gaussian_tradeoff"])
def test_fractional_shapes_are_refused_where_the_formula_is_for_whole_ones(name):
    f, more = WITH_ALL[name]
    with pytest.raises(InvalidArgumentError, match="shape=3.5 is not a whole number"):
        f(0.9, **{**more, "shape": 3.5})


# ---------------------------------------------------------------- Gaussian


def test_nothing_beats_cohen(rng):
    p1, p2 = pairs(rng, 3000)
    cohen = c.cohen_l2(p1, sigma=1.0, p_upper=p2)
    for f in SIGMA_FAMILY:
        assert (f(p1, sigma=1.0, p_upper=p2) <= cohen * (1 + 1e-12) + 1e-13).all(), f.__name__
    for order in (0.3, 0.5, 1.0, 1.5, 2.0, 7.0):
        assert (c.renyi_l2_fixed(p1, sigma=1.0, p_upper=p2, order=order) <= cohen * (1 + 1e-12) + 1e-13).all()


@pytest.mark.parametrize("order", [0.3, 0.5, 0.7, 1.0, 1.5, 3.0, 8.0])
@pytest.mark.parametrize("p", [(0.6, 0.3, 0.1), (0.5, 0.2, 0.2, 0.1), (0.9, 0.1)])
def test_renyi_is_the_least_divergence_to_any_other_answer(order, p):
    """h = order R² / (2 sigma²) against constrained minimisation over all distributions."""
    radius = float(c.renyi_l2_fixed(p[0], sigma=1.0, order=order, p_upper=p[1]))
    assert order * radius**2 / 2 == pytest.approx(optimal.least_renyi(p, order), rel=2e-6)
    assert order * radius**2 / 2 <= optimal.least_renyi(p, order) * (1 + 1e-9)


def test_one_formula_serves_all_orders(rng):
    p1, p2 = pairs(rng, 500)
    for order, f in ((1.0, c.kl_l2), (2.0, c.chi2_l2), (0.5, c.hellinger_l2)):
        np.testing.assert_allclose(
            c.renyi_l2_fixed(p1, sigma=1.0, order=order, p_upper=p2), f(p1, sigma=1.0, p_upper=p2), rtol=1e-12, atol=1e-15
        )


def test_order_of_the_divergence_radii(rng):
    """Proposition 1, corrected: Rényi >= KL >= chi-square and Hellinger; for two classes KL equals chi-square."""
    p1, p2 = pairs(rng, 2000)
    renyi, kl, chi2, hellinger = (f(p1, sigma=1.0, p_upper=p2) for f in (c.renyi_l2, c.kl_l2, c.chi2_l2, c.hellinger_l2))
    for larger, smaller in ((renyi, kl), (kl, chi2), (kl, hellinger)):
        assert (larger >= smaller * (1 - 1e-12)).all()
    assert (c.renyi_l2_all(p1, sigma=1.0, p_upper=p2) >= renyi * (1 - 1e-12)).all()
    assert (hellinger > chi2 * 1.001).any()
    p = rng.uniform(0.5, 1, 300)
    np.testing.assert_allclose(c.kl_l2(p, sigma=1.0), c.chi2_l2(p, sigma=1.0), rtol=1e-11, atol=1e-14)


def test_orders_below_one_help_only_with_several_classes():
    assert float(c.renyi_l2_all(0.6, sigma=1.0, p_upper=1e-6)) == pytest.approx(1.41400, abs=1e-5)
    assert float(c.renyi_l2(0.6, sigma=1.0, p_upper=1e-6)) == pytest.approx(1.35087, abs=1e-5)
    p = np.linspace(0.501, 0.9999, 50)
    np.testing.assert_allclose(c.renyi_l2_all(p, sigma=1.0), c.renyi_l2(p, sigma=1.0), rtol=1e-12)


@pytest.mark.parametrize(("p1", "p2"), [(0.9, 0.1), (0.99, 0.001), (0.4, 0.3), (0.9999, 1e-9)])
def test_divergence_radii_in_fifty_digits(p1, p2):
    """Rounded down, and by no more than documented."""
    with mp.workdps(50):
        a, b = mp.mpf(p1), mp.mpf(min(p2, 1 - p1))
        gap = mp.sqrt(a) - mp.sqrt(b)
        exact = {
            c.kl_l2: mp.sqrt(-2 * mp.log(1 - gap**2)),
            c.chi2_l2: mp.sqrt(-mp.log(1 - (a - b) ** 2 / (a + b))),
            c.hellinger_l2: mp.sqrt(-4 * mp.log(1 - gap**2 / 2)),
            c.tv_l2: 2 * mp.sqrt(2) * mp.erfinv((a - b) / 2),
        }
        for f, value in exact.items():
            got = mp.mpf(float(f(p1, sigma=1.0, p_upper=p2)))
            assert value * (1 - mp.mpf("5e-14")) <= got <= value, f.__name__


# ---------------------------------------------------------------- l1 and uniform


@pytest.mark.parametrize("shape", [1.0, 1.3, 2.0, 3.0, 6.0, 25.5])
def test_l1_radius_is_where_the_two_half_lines_meet(shape, rng):
    """Axis shift by r: the class keeps F(F^-1(p1) - r), another gains to F(F^-1(p2) + r); they meet at R, not before."""
    noise = stats.gennorm(shape)
    p1, p2 = pairs(rng, 40)
    p1, p2 = np.minimum(p1, 1 - 1e-9), np.maximum(p2, 1e-9)
    radius = c.generalized_gaussian_l1(p1, scale=1.0, shape=shape, p_upper=p2)
    top, other = noise.ppf(p1), noise.ppf(p2)
    np.testing.assert_allclose(radius, (top - other) / 2, rtol=1e-7, atol=1e-9)
    nearer = radius * 0.99
    assert (noise.cdf(top - nearer) >= noise.cdf(other + nearer) - 1e-12).all()


@pytest.mark.parametrize("shape", [1.0, 1.7, 2.0, 3.0, 40.0, 900.0])
def test_l1_quantiles_in_fifty_digits(shape, rng):
    for q in np.concatenate([10 ** rng.uniform(-200, -1, 10), rng.uniform(0.1, 0.5, 10), 0.5 - 10 ** rng.uniform(-12, -2, 5)]):
        got = float(c.generalized_gaussian_l1(1 - q, scale=1.0, shape=shape, q_upper=q))
        with mp.workdps(50):
            a = 1 / mp.mpf(shape)
            inner = 1 - 2 * mp.mpf(float(q))  # P(a, x^s)

            def miss(x, a=a, inner=inner, q=q):
                y = x ** mp.mpf(shape)
                if inner < 0.5:
                    return mp.log(mp.gammainc(a, 0, y, regularized=True)) - mp.log(inner)
                return mp.log(2 * mp.mpf(float(q))) - mp.log(mp.gammainc(a, y, regularized=True))

            if got > 0:
                exact = mp.findroot(miss, (mp.mpf(got) * (1 - mp.mpf("1e-9")), mp.mpf(got) * (1 + mp.mpf("1e-9"))))
                assert exact * (1 - mp.mpf("1.2e-13")) - mp.mpf("1e-14") <= got <= exact, q


def test_l1_holds_in_several_dimensions_by_monte_carlo(rng):
    """Classes that are half-spaces at any angle, Laplace noise: the perturbation of l1 norm R never flips them."""
    noise = rng.laplace(size=(400_000, 2))
    for _ in range(10):
        w = rng.normal(size=2)
        score = noise @ w
        level = np.quantile(score, 0.8)
        radius = float(c.laplace_l1(0.8, scale=1.0))
        for direction in ([1, 0], [0, 1], [0.5, 0.5], [0.5, -0.5]):
            shift = radius * float(np.dot(direction, w))
            for sign in (1, -1):
                assert np.mean(score + sign * shift <= level) >= 0.5 - 3e-3


def test_laplace_is_never_below_the_published_forms(rng):
    p1, p2 = pairs(rng, 2000)
    tight = c.laplace_l1(p1, scale=1.0, p_upper=p2)
    for f in (c.teng_l1, c.lecuyer_l1):
        assert (f(p1, scale=1.0, p_upper=p2) <= tight * (1 + 1e-12) + 1e-13).all()


@pytest.mark.parametrize("dim", [1, 2, 5, 784])
def test_uniform_ball_is_attained_by_the_cube_on_its_diagonal(dim, rng):
    """The overlap of the cube with its shift by r along the diagonal is (1 - r / 2b)^dim."""
    p1, p2 = pairs(rng, 100)
    radius = c.uniform_ball(p1, scale=0.7, dim=dim, p_upper=p2)
    lost = -np.expm1(dim * np.log1p(-radius / 1.4))
    np.testing.assert_allclose(lost, (p1 - p2) / 2, rtol=1e-9)


@pytest.mark.parametrize("order", [0.5, 1.0, 1.2, 1.7, 2.0, 3.0, math.inf])
def test_uniform_lp_against_a_search_over_directions(order, rng):
    """For a cube, what a shift loses is 1 - Prod(1 - abs(delta_i)/2b)."""
    for p1, p2 in zip(*pairs(rng, 6), strict=True):
        radius = float(c.uniform_lp(p1, half_width=0.5, dim=3, order=order, p_upper=p2))
        for _ in range(300):
            delta = np.abs(rng.normal(size=3)) ** rng.choice([0.3, 1, 3]) * (rng.random(3) < rng.choice([0.4, 0.7, 1]))
            size = delta.max() if order == math.inf else (delta**order).sum() ** (1 / order) if delta.any() else 0
            if size == 0:
                continue
            delta = delta / size * radius
            lost = -math.expm1(np.log1p(-np.minimum(delta, 1 - 1e-15)).sum())
            assert lost <= (p1 - p2) / 2 * (1 + 1e-12)


# ---------------------------------------------------------------- generalised Gaussian


@pytest.mark.parametrize("shape", [1, 2, 3, 4, 5, 7, 8])
@pytest.mark.parametrize("u", [1e-3, 0.1, 1.0, 3.0])
def test_kl_against_quadrature(shape, u):
    with mp.workdps(30):
        s = shape
        norm = s / (2 * mp.gamma(mp.mpf(1) / s))
        points = [-mp.inf, -5, -1, 0, u, u + 1, u + 5, mp.inf]
        exact = mp.quad(lambda x: norm * mp.exp(-(abs(x) ** s)) * (abs(x - mp.mpf(u)) ** s - abs(x) ** s), points)
        got = float(c.generalized_gaussian_kl(u, scale=1.0, shape=shape))
        assert abs(got - exact) <= 3e-14 * exact
        bound = float(c.generalized_gaussian_kl_bound(u, scale=1.0, shape=shape))
        assert bound >= float(exact) * (1 - 1e-14)
        if shape % 2 == 0:
            assert bound == pytest.approx(float(exact), rel=1e-13)


@pytest.mark.parametrize(
    ("shape", "order"), [(1, 1.0), (1, 1.5), (1, 3.0), (2, 2.0), (3, 1.0), (3, 2.5), (3, 3.0), (4, 3.0), (4, math.inf)]
)
def test_kl_radius_against_a_search_over_directions(shape, order, rng):
    """At the radius, no direction spends more divergence than there is."""
    p1, dim = 0.95, 5
    budget = -math.log(4 * p1 * (1 - p1)) / 2
    radius = float(c.generalized_gaussian_kl_lp(p1, scale=1.0, shape=shape, order=order, dim=dim))
    worst = 0.0
    for _ in range(400):
        delta = np.abs(rng.normal(size=dim)) ** rng.choice([0.1, 1, 3]) * (rng.random(dim) < rng.choice([0.3, 0.7, 1]))
        size = delta.max() if order == math.inf else (delta**order).sum() ** (1 / order) if delta.any() else 0
        if size:
            worst = max(worst, float(c.generalized_gaussian_kl(delta / size * radius, scale=1.0, shape=shape).sum()))
    assert worst <= budget * (1 + 1e-9)


def test_hayes_is_never_above_the_exact_kl_radius(rng):
    p1, p2 = pairs(rng, 60)
    for shape in (1, 2, 3, 4, 5, 8):
        for dim in (1, 10, 3072):
            published = c.generalized_gaussian_hayes(p1, scale=1.0, shape=shape, dim=dim, p_upper=p2)
            exact = c.generalized_gaussian_kl_lp(
                p1, scale=1.0, shape=shape, order=max(shape, 2) if shape > 1 else 1, dim=dim, p_upper=p2
            )
            assert (published <= exact * (1 + 1e-12)).all(), (shape, dim)


# ---------------------------------------------------------------- dual and parts


def test_dual_holds_for_linear_classifiers(rng):
    """The smallest flipping perturbation of two half-space classifiers is the radius."""
    for p_l, p_r, s_l, s_r in zip(
        rng.uniform(0.01, 0.999, 30), rng.uniform(0.3, 0.999, 30), rng.uniform(0.1, 1, 30), rng.uniform(0.1, 1, 30), strict=True
    ):
        radius = float(c.dual_l2(p_l, p_r, sigma_left=s_l, sigma_right=s_r))
        angles = np.linspace(0, math.pi / 2, 2001)
        kept = stats.norm.cdf(stats.norm.ppf(p_l) - radius * np.cos(angles) / s_l) + stats.norm.cdf(
            stats.norm.ppf(p_r) - radius * np.sin(angles) / s_r
        )
        assert kept.min() >= 1 - 1e-12 or radius == 0
        if radius > 0:
            assert kept.min() <= 1 + 1e-6


@pytest.mark.parametrize(("p", "radius"), [((0.98, 0.55), 0.385), ((0.999, 0.30), 0.454), ((0.10, 0.95), 0.064)])
def test_dual_radii_of_the_linear_examples(p, radius):
    assert float(c.dual_l2(*p, sigma_left=0.25)) == pytest.approx(radius, abs=6e-4)


def test_dual_lp_is_the_dual_norm(rng):
    """p = 2 is dual_l2 (dimension-free); p >= 2 against a search over how the norm is shared between the halves."""
    for _ in range(20):
        p_l, p_r, s_l, s_r = rng.uniform(0.4, 0.999), rng.uniform(0.6, 0.999), rng.uniform(0.1, 1), rng.uniform(0.1, 1)
        m, n = int(rng.integers(1, 2000)), int(rng.integers(1, 2000))
        common = {"sigma_left": s_l, "sigma_right": s_r}
        two = float(c.dual_lp(p_l, p_r, **common, dim_left=m, dim_right=n, order=2.0))
        assert two == pytest.approx(float(c.dual_l2(p_l, p_r, **common)), rel=1e-12)
        for order in (0.7, 1.0, 1.5, 3.0, math.inf):
            radius = float(c.dual_lp(p_l, p_r, **common, dim_left=m, dim_right=n, order=order))
            share = np.linspace(0, 1, 2001)
            left = np.ones_like(share) if order == math.inf else share ** (1 / order)
            right = np.ones_like(share) if order == math.inf else (1 - share) ** (1 / order)
            e = max(0, 0.5 - 1 / order)
            pull = radius * (left * m**e / s_l + right * n**e / s_r)
            assert pull.max() <= (stats.norm.ppf(p_l) + stats.norm.ppf(p_r)) * (1 + 1e-10)
            assert pull.max() >= (stats.norm.ppf(p_l) + stats.norm.ppf(p_r)) * (1 - 1e-3)


def test_dual_l1_of_laplace_halves():
    got = float(c.dual_log_concave_l1(0.9, 0.8, scale_left=0.5, scale_right=0.25))
    assert got == pytest.approx(0.25 * (-math.log(0.2) - math.log(0.4)), rel=1e-12)
    assert float(c.dual_log_concave_l1(0.2, 0.7, scale_left=0.5)) == 0.0


def multiclass_cases(rng, count):
    for _ in range(count):
        pa = rng.uniform(0.01, 0.99, 2) if rng.random() < 0.7 else 1 - 10 ** rng.uniform(-6, -1, 2)
        pb = np.array([rng.uniform(0, 1 - p) if rng.random() < 0.6 else (1 - p) * 10 ** rng.uniform(-8, 0) for p in pa])
        yield (*pa, *pb, *rng.choice([0.12, 0.25, 0.5, 1.0], 2))


def test_dual_multiclass_is_the_global_minimum(rng):
    checked = 0
    for pa_l, pa_r, pb_l, pb_r, s_l, s_r in multiclass_cases(rng, 60):
        exact = optimal.dual_multiclass(pa_l, pa_r, pb_l, pb_r, s_l, s_r, angles=401)
        got = float(c.dual_multiclass_l2(pa_l, pa_r, p_upper_left=pb_l, p_upper_right=pb_r, sigma_left=s_l, sigma_right=s_r))
        assert got <= exact * (1 + 1e-9), (pa_l, pa_r, pb_l, pb_r)
        assert got >= exact * (1 - 1e-7) - 1e-12, (pa_l, pa_r, pb_l, pb_r)
        checked += exact > 0
    assert checked > 30


def test_dual_multiclass_with_two_classes_is_the_closed_form(rng):
    p_l, p_r = rng.uniform(0.05, 0.9999, 200), rng.uniform(0.5, 0.9999, 200)
    several = c.dual_multiclass_l2(p_l, p_r, p_upper_left=1 - p_l, p_upper_right=1 - p_r, sigma_left=0.3, sigma_right=0.8)
    closed = c.dual_l2(p_l, p_r, sigma_left=0.3, sigma_right=0.8)
    np.testing.assert_allclose(several, closed, rtol=3e-9, atol=1e-12)
    assert (several <= closed * (1 + 1e-12) + 1e-14).all()


def test_parts_are_the_global_minimum(rng):
    for _ in range(25):
        k = int(rng.integers(2, 6))
        p = np.where(rng.random(k) < 0.5, rng.uniform(0.3, 0.99, k), 1 - 10 ** rng.uniform(-5, -1.5, k))
        sigma = rng.choice([0.25, 0.5, 1.0], k)
        exact = optimal.partition(p, sigma, rng)
        got = float(c.partition_l2(p, sigma=sigma))
        assert got <= exact * (1 + 1e-7), (p, sigma)
        assert got >= exact * (1 - 1e-5), (p, sigma)


def test_two_parts_are_dual_smoothing(rng):
    p = rng.uniform(0.5, 0.9999, (100, 2))
    got = c.partition_l2(p, sigma=[0.3, 0.8])
    np.testing.assert_allclose(got, c.dual_l2(p[:, 0], p[:, 1], sigma_left=0.3, sigma_right=0.8), rtol=1e-8)
    assert (got <= c.dual_l2(p[:, 0], p[:, 1], sigma_left=0.3, sigma_right=0.8) * (1 + 1e-12)).all()


def test_one_part_is_cohen(rng):
    p = rng.uniform(0.5, 0.999, (50, 1))
    np.testing.assert_allclose(c.partition_l2(p, sigma=0.5), c.cohen_l2(p[:, 0], sigma=0.5), rtol=1e-8)


@pytest.mark.parametrize(("p", "sigma", "message"), [
    (0.9, 1.0, "at least one part"), (np.empty((3, 0)), 1.0, "at least one part"), ([0.9, 1.2], 1.0, r"p_lower\[1\]"),
    ([0.9, 0.8], [1.0, -1.0], r"sigma\[1\]"), ([0.9, 0.8], [1.0, 1.0, 1.0], "broadcast"),
])  # fmt: skip
def test_bad_parts_are_named(p, sigma, message):
    with pytest.raises(InvalidArgumentError, match=message):
        c.partition_l2(p, sigma=sigma)


@pytest.mark.parametrize(("arguments", "message"), [
    ({"p_left": 1.2}, "p_left=1.2"), ({"p_right": math.nan}, "p_right=nan"), ({"sigma_left": 0}, "sigma_left=0"),
    ({"sigma_right": -1}, "sigma_right=-1"), ({"q_left": 0.5}, "q_left=0.5 is not the failure probability of p_left"),
])  # fmt: skip
def test_bad_halves_are_named(arguments, message):
    given = {"p_left": 0.9, "p_right": 0.8, "sigma_left": 1.0, **arguments}
    with pytest.raises(InvalidArgumentError, match=message):
        c.dual_l2(given.pop("p_left"), given.pop("p_right"), **given)


# ---------------------------------------------------------------- input-dependent Rényi


def test_renyi_divergence_against_quadrature():
    """One dimension, by numerical integration."""
    for order, distance, s1, s0 in [(0.5, 0.3, 0.5, 0.7), (2.0, 0.3, 0.5, 0.7), (1.0, 0.5, 0.6, 0.5), (1.5, 0.2, 0.6, 0.5)]:
        with mp.workdps(30):

            def q(x, d=distance, s=s1):
                return mp.npdf(x, d, s)

            def p(x, s=s0):
                return mp.npdf(x, 0, s)

            if order == 1.0:
                exact = mp.quad(lambda x, q=q, p=p: q(x) * mp.log(q(x) / p(x)), [-8, -1, 0, 1, 8])
            else:
                exact = mp.log(mp.quad(lambda x, o=order, q=q, p=p: q(x) ** o * p(x) ** (1 - o), [-8, -1, 0, 1, 8])) / (order - 1)
            got = float(c.renyi_gaussian_divergence(order, distance=distance, sigma1=s1, sigma0=s0, dim=1))
            assert abs(got - exact) <= 1e-12


def test_input_dependent_renyi_is_below_the_exact_radius(rng):
    for _ in range(60):
        s1, dim, p = rng.uniform(0.8, 1.25), int(rng.integers(1, 200)), rng.uniform(0.55, 0.9999)
        radius = float(c.input_dependent_renyi_l2(p, sigma0=1.0, sigma1=s1, dim=dim))
        if radius > 0 and s1 != 1.0:
            xi = (c.xi_greater if s1 < 1 else c.xi_less)(radius, p_lower=p, sigma0=1.0, sigma1=s1, dim=dim)
            assert float(xi) <= 0.5 + 1e-9


def test_orders_at_which_the_divergence_is_infinite_are_refused():
    top = 1.2**2 / (1.2**2 - 1)
    with pytest.raises(InvalidArgumentError, match=r"order=.*below sigma1²/\(sigma1² - sigma0²\)"):
        c.input_dependent_renyi_fixed(0.9, sigma0=1.0, sigma1=1.2, dim=3, order=top)
    assert float(c.input_dependent_renyi_fixed(0.9, sigma0=1.0, sigma1=1.2, dim=3, order=top * 0.3)) > 0


# ---------------------------------------------------------------- limits


@pytest.mark.parametrize("order", [1.0, 2.0, 5.0, math.inf])
@pytest.mark.parametrize("dim", [1, 3, 784, 150528])
def test_no_certificate_exceeds_a_limit(order, dim, rng):
    p1, p2 = pairs(rng, 400)
    p1 = np.maximum(p1, 0.5)
    p2 = np.minimum(p2, 1 - p1)
    more = {"sigma": 0.5, "dim": dim, "order": order, "p_upper": p2}
    gaussian = c.gaussian_lp(p1, **more)
    if order >= 2.0:
        for limit in (c.kumar_iid, c.unimodal_iid, c.kumar_generalized_gaussian):
            assert (limit(p1, **more) >= gaussian).all(), limit.__name__
        assert (c.unimodal_iid(p1, **more) <= c.kumar_iid(p1, **more) * (1 + 1e-12)).all()
    uniform = c.uniform_lp(p1, half_width=0.5, dim=dim, order=order, p_upper=p2)
    if order >= 2.0:
        assert (c.kumar_uniform_cube(half_width=0.5, dim=dim, order=order) >= uniform).all()
    assert (c.kumar_uniform_l1_ball(scale=0.5, dim=dim) >= c.uniform_ball(p1, scale=0.5, dim=dim, p_upper=p2)).all()
    assert (c.wu_l2(p1, sigma=0.5, dim=dim) >= c.cohen_l2(p1, sigma=0.5)).all()


def test_limits_say_nothing_where_nothing_is_proved():
    assert c.kumar_iid(0.4, sigma=1.0, dim=10, order=2.0, p_upper=0.1) == math.inf
    assert c.kumar_generalized_gaussian(0.9, sigma=1.0, dim=1, order=2.0, p_upper=1e-80) == math.inf
    assert c.wu_l2(1 - 1e-7, sigma=1.0, dim=10) == math.inf


def test_std_of_scale():
    assert float(c.std_of_scale(1.0, shape=1.0)) == pytest.approx(math.sqrt(2))
    assert float(c.std_of_scale(1.0, shape=2.0)) == pytest.approx(math.sqrt(0.5))
    assert float(c.std_of_scale(1.0, shape=1e6)) == pytest.approx(1 / math.sqrt(3), rel=1e-5)


# ---------------------------------------------------------------- counts


@pytest.mark.parametrize("alpha", [0.05, 0.2])
@pytest.mark.parametrize("method", [c.dual_certify_bonferroni, c.dual_certify_product])
def test_joint_bounds_overclaim_with_probability_at_most_alpha(method, alpha, rng):
    n = 25
    k = np.arange(n + 1)
    radius = method(k[:, None], k[None, :], n, alpha, sigma=1.0)
    worst = 0.0
    for p_l, p_r in rng.uniform(0.02, 0.999, (300, 2)):
        true = max((stats.norm.ppf(p_l) + stats.norm.ppf(p_r)) / math.sqrt(2), 0.0)
        worst = max(worst, optimal.overclaiming(radius, n, p_l, p_r, true))
    assert worst <= alpha


def test_product_region_against_a_dense_grid(rng):
    for _ in range(8):
        n = int(rng.choice([50, 1000, 100_000]))
        k_l, k_r = (int(n * rng.uniform(0.3, 1)) for _ in "lr")
        alpha = float(rng.choice([0.001, 0.05]))
        spent = stats.gamma.isf(alpha, 2)
        tau = np.linspace(0, spent, 4001)[1:-1]
        low_l = stats.beta.ppf(np.exp(-tau), k_l, n - k_l + 1)
        low_r = stats.beta.ppf(np.exp(tau - spent), k_r, n - k_r + 1)
        exact = max((stats.norm.ppf(low_l) + stats.norm.ppf(low_r)).min() / math.sqrt(2), 0.0)
        got = float(c.dual_certify_product(k_l, k_r, n, alpha, sigma=1.0))
        assert got <= exact + 1e-9
        assert got >= exact - 1e-4


def test_multiclass_overclaims_with_probability_at_most_alpha():
    """All counts of three classes, by enumeration: the class is chosen beforehand, the runner-up from the same counts."""
    n, alpha = 24, 0.1
    for p in [(0.5, 0.25, 0.25), (0.5, 0.49, 0.01), (0.4, 0.35, 0.25), (0.8, 0.15, 0.05), (0.34, 0.33, 0.33)]:
        true = max((stats.norm.ppf(p[0]) - stats.norm.ppf(p[1])) / 2, 0.0)
        wrong = 0.0
        for a in range(n + 1):
            b = np.arange(n - a + 1)
            radius = c.cohen_certify_multiclass(a, np.maximum(b, n - a - b), n, alpha, sigma=1.0)
            mass = stats.multinomial.pmf(np.stack([np.full_like(b, a), b, n - a - b], axis=1), n, p)
            wrong += float(mass[radius > true].sum())
        assert wrong <= alpha


@pytest.mark.parametrize(("arguments", "message"), [
    ((11, 2, 10, 0.1), "count=11 and count_other=2 exceed n=10 together"), ((5, 2, 10, 0.0), "alpha=0"), ((5.5, 2, 10, 0.1), "count=5.5"),
])  # fmt: skip
def test_bad_counts_are_named(arguments, message):
    with pytest.raises(InvalidArgumentError, match=message):
        c.cohen_certify_multiclass(*arguments, sigma=1.0)


# ---------------------------------------------------------------- ends of every range


@pytest.mark.parametrize("sigma", [1e-200, 1e-20, 1e-6, 1.0, 1e40, 1e200])
def test_radii_scale_with_the_noise_over_the_whole_range(sigma):
    """Intermediate squares must neither overflow nor underflow, and no root may be left unfinished."""
    for f in (
        lambda s: c.partition_l2([0.9, 0.8, 0.95], sigma=s),
        lambda s: c.dual_multiclass_l2(0.9, 0.3, p_upper_left=0.02, p_upper_right=0.5, sigma_left=s),
        lambda s: c.dual_l2(0.9, 0.8, sigma_left=s, sigma_right=3 * s),
        lambda s: c.input_dependent_renyi_l2(0.9, sigma0=s, sigma1=0.99 * s, dim=5),
        lambda s: c.cohen_l2(0.9, sigma=s),
    ):
        assert float(f(sigma)) / sigma == pytest.approx(float(f(1.0)), rel=1e-12)


@pytest.mark.parametrize("k", [1, 2, 3, 8])
def test_equal_parts_close_to_one_half_do_not_overclaim(k):
    for gap in 10.0 ** np.arange(-8, -1):
        exact = math.sqrt(k) * float(c.cohen_l2(0.5 + gap, sigma=1.0)) / (1 - 1e-14)
        got = float(c.partition_l2([0.5 + gap] * k, sigma=1.0))
        assert exact * (1 - 1e-6) <= got <= exact * (1 + 1e-14), gap


def test_two_parts_of_hugely_unequal_noise_do_not_overclaim(rng):
    p = rng.uniform(0.5, 0.9999, (60, 2))
    sigma = 10 ** rng.uniform(-3, 3, (60, 2))
    exact = c.dual_l2(p[:, 0], p[:, 1], sigma_left=sigma[:, 0], sigma_right=sigma[:, 1])
    got = c.partition_l2(p, sigma=sigma)
    assert (got <= exact * (1 + 2e-14)).all()
    assert (got >= exact * (1 - 1e-7)).all()


def test_subnormal_probabilities_have_finite_radii():
    exact = 0.5 * (math.log(0.4) - math.log(1e-310))
    for f in (c.laplace_l1, c.teng_l1, c.lecuyer_l1):
        assert float(f(0.4, scale=1.0, p_upper=1e-310)) == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize("order", [1e-6, 1e-4, 1e-3, 0.1])
def test_small_orders_do_not_overclaim(order):
    """h / order tends to a limit in which doubles cancel; 60 digits say what is left."""
    for p1, p2 in [(0.6, 0.1), (0.5, 0.49999), (0.9, 0.02)]:
        with mp.workdps(60):
            a, b, s = mp.mpf(p1), mp.mpf(p2), 1 - mp.mpf(order)
            mean = ((a**s + b**s) / 2) ** (1 / s)
            exact = mp.sqrt(-2 * mp.log(1 - (a + b) + 2 * mean) / mp.mpf(order))
            got = float(c.renyi_l2_fixed(p1, sigma=1.0, order=order, p_upper=p2))
            assert exact * (1 - mp.mpf("1e-13") - mp.mpf("1e-15") / order) <= got <= exact


@pytest.mark.parametrize("order", [1e-6, 1e-3, 0.3, 0.999, 2.0])
def test_price_of_unequal_levels_in_sixty_digits(order):
    for ratio in (0.8, 0.99, 0.9999, 1.0051, 1.2):
        if order * (ratio**2 - 1) >= ratio**2:
            continue
        with mp.workdps(60):
            s1, o = mp.mpf(ratio), mp.mpf(order)
            variance = s1**2 + o * (1 - s1**2)
            exact = 100 * (-mp.log(s1) + mp.log(variance) / (2 * (1 - o))) + o * mp.mpf("0.25") / (2 * variance)
            got = float(c.renyi_gaussian_divergence(order, distance=0.5, sigma1=ratio, sigma0=1.0, dim=100))
            assert abs(got - exact) <= mp.mpf("3e-14") * max(1, 1 / order) * exact


@pytest.mark.filterwarnings("error")
def test_limits_at_the_ends_neither_warn_nor_vanish():
    assert c.kumar_generalized_gaussian(1e-300, p_upper=1e-300, sigma=1.0, dim=10_000, order=2.0) > 0
    assert c.unimodal_iid(0.5, sigma=1.0, dim=10, order=1e-300) == math.inf
    assert c.kumar_uniform_cube(half_width=1.0, dim=10, order=1e-300) == math.inf
    assert c.kumar_iid(0.9, sigma=1e200, dim=1e7, order=0.5, p_upper=1e-300) > 1e200
    assert float(c.generalized_gaussian_kl(1e10, scale=1.0, shape=59)) == math.inf
    assert float(c.generalized_gaussian_kl_bound(1e-100, scale=1e-200, shape=60)) == math.inf


def test_counts_beyond_n_are_named_by_their_half():
    with pytest.raises(InvalidArgumentError, match="count_right=11 exceeds n=10"):
        c.dual_certify_bonferroni(5, 11, 10, 0.1, sigma=1.0)
    with pytest.raises(InvalidArgumentError, match="count_left=11 exceeds n=10"):
        c.dual_certify_product(11, 5, 10, 0.1, sigma=1.0)
