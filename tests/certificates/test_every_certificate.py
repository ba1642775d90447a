"""What holds for all certificates: monotone, zero where nothing is certified, broadcasting, bad input by name."""

import math

import numpy as np
import pytest

from rsfast import certificates as c
from rsfast.errors import InvalidArgumentError
from tests.reference.cases import pairs

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


@pytest.mark.parametrize("name", WITH_ALL)
def test_a_larger_p_lower_than_the_failure_probability_allows_is_not_believed(name):
    """Both within the tolerated 1e-9 of each other: the doubtful one counts."""
    f, more = WITH_ALL[name]
    assert float(f(1.0, q_upper=5e-10, **more)) == float(f(1 - 5e-10, q_upper=5e-10, **more))
