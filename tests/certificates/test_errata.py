"""Each erratum: the printed formula fails on numbers given here, and ours holds.  docs/errata.md tells the same in words."""

import math

import numpy as np
import pytest
from scipy import stats

from rsfast import certificates as c
from tests.reference import errata, optimal

z = stats.norm.ppf


def test_total_variation_as_printed_is_twice_the_tight_radius():
    assert errata.total_variation(0.9, 0.1, 1.0) == pytest.approx(2.5631, abs=1e-4)
    assert errata.total_variation(0.9, 0.1, 1.0) == pytest.approx(2 * z(0.9))
    assert float(c.tv_l2(0.9, sigma=1.0)) == pytest.approx(1.0488, abs=1e-4)
    assert float(c.tv_l2(0.9, sigma=1.0)) < float(c.cohen_l2(0.9, sigma=1.0))


def test_kl_as_printed_is_root_two_too_small():
    for p in (0.6, 0.9, 0.999):
        assert float(c.kl_l2(p, sigma=1.0)) == pytest.approx(math.sqrt(2) * errata.kl(p, 1 - p, 1.0), rel=1e-12)
        assert float(c.kl_l2(p, sigma=1.0)) < float(c.cohen_l2(p, sigma=1.0))


def test_hellinger_does_not_beat_kl_as_the_proposition_says():
    p = np.linspace(0.51, 0.998, 50)
    assert (c.hellinger_l2(p, sigma=1.0) <= c.kl_l2(p, sigma=1.0)).all()
    printed = [errata.kl(q, 1 - q, 1.0) for q in p]
    assert (c.hellinger_l2(p, sigma=1.0)[:-1] > printed[:-1]).all()  # what the printed KL made of it


def test_gaussian_lp_below_order_two_overclaims_as_printed():
    """An axis perturbation of Cohen's l2 length flips a half-space; the printed l1 radius is 55 times that."""
    printed = errata.gaussian_lp(0.9, 1.0, 3072, 1.0)
    assert printed / z(0.9) == pytest.approx(55.4, abs=0.1)
    assert float(c.gaussian_lp(0.9, sigma=1.0, dim=3072, order=1.0)) <= z(0.9)


def test_laplace_form_is_printed_with_the_wrong_sign_and_is_not_tight():
    assert errata.laplace(0.99, 0.001, 1.0) < 0
    assert float(c.teng_l1(0.99, scale=1.0, p_upper=0.001)) == pytest.approx(4.50986, abs=1e-5)
    assert float(c.laplace_l1(0.99, scale=1.0, p_upper=0.001)) == pytest.approx(5.06332, abs=1e-5)


def test_renyi_is_not_always_above_pixeldp():
    """Li et al. simulated p1 + p2 >= .2 only."""
    ratio = float(c.renyi_l2(0.001, sigma=1.0, p_upper=1.19e-4) / c.lecuyer_l2(0.001, sigma=1.0, p_upper=1.19e-4))
    assert ratio == pytest.approx(0.135, abs=2e-3)


def test_generalised_gaussian_polynomial_is_a_bound_for_odd_shapes():
    for shape, u, exact, printed in [
        (3, 0.01, 1.516e-4, 1.120e-2),
        (3, 1.0, 1.78897, 2.11985),
        (1, 0.1, 0.1 + math.exp(-0.1) - 1, 0.1),
    ]:
        assert float(c.generalized_gaussian_kl(u, scale=1.0, shape=shape)) == pytest.approx(exact, rel=1e-3)
        assert float(c.generalized_gaussian_kl_bound(u, scale=1.0, shape=shape)) == pytest.approx(printed, rel=1e-3)


def test_published_shape_three_radius_is_forty_times_too_small():
    loose = float(c.generalized_gaussian_hayes(0.99, scale=1.0, shape=3, dim=3072))
    exact = float(c.generalized_gaussian_kl_lp(0.99, scale=1.0, shape=3, order=3.0, dim=3072))
    assert (loose, exact) == (pytest.approx(0.006822, abs=1e-6), pytest.approx(0.270617, abs=1e-6))


def test_tradeoff_read_as_an_lp_radius_exceeds_every_limit():
    """d = 3072, shape 4: figure 4's reading, .78, is above what Kumar's Theorem 1 allows any certificate."""
    read = 0.782
    assert float(c.generalized_gaussian_tradeoff(0.99, scale=1.0, shape=4, eps_high=read)) == pytest.approx(read, abs=2e-3)
    sigma = float(c.std_of_scale(1.0, shape=4.0))
    limit = float(c.kumar_iid(0.99, sigma=sigma, dim=3072, order=4.0))
    assert limit == pytest.approx(0.552, abs=2e-3)
    assert read > limit
    assert float(c.generalized_gaussian_kl_lp(0.99, scale=1.0, shape=4, order=4.0, dim=3072)) < limit


def test_tradeoff_values_of_the_paper():
    assert float(c.generalized_gaussian_tradeoff(0.99, scale=1.0, shape=3, eps_high=0.0)) == pytest.approx(1.441682, abs=1e-6)
    assert float(c.generalized_gaussian_tradeoff(0.99, scale=1.0, shape=3, eps_high=0.864578)) == pytest.approx(
        0.864578, abs=1e-5
    )


@pytest.mark.parametrize(
    ("pa", "pb", "printed", "exact"),
    [((0.01, 0.01), (0.0198, 1e-9), 0.002659, 0.002522), ((0.01, 0.01), (0.018, 1e-9), 0.027129, 0.026299)],
)
def test_dual_equation_6_overclaims(pa, pb, printed, exact):
    assert errata.dual_equation_6(*pa, *pb, 1.0) == pytest.approx(printed, abs=1e-6)
    ours = float(c.dual_multiclass_l2(*pa, p_upper_left=pb[0], p_upper_right=pb[1], sigma_left=1.0))
    assert ours == pytest.approx(exact, abs=1e-6)
    assert ours <= optimal.dual_multiclass(*pa, *pb, 1.0, 1.0, angles=401) * (1 + 1e-9) < printed


def test_dual_equation_6_is_also_loose():
    ours = float(c.dual_multiclass_l2(0.9, 0.3, p_upper_left=0.02, p_upper_right=0.5, sigma_left=1.0))
    assert errata.dual_equation_6(0.9, 0.3, 0.02, 0.5, 1.0) == pytest.approx(0.785, abs=1e-3)
    assert ours == pytest.approx(0.967, abs=1e-3)


@pytest.mark.parametrize(("p", "printed", "exact"), [((0.3, 0.9), 0.906, 0.535), ((0.05, 0.9), 0.906, 0.0)])
def test_clipping_each_half_overclaims(p, printed, exact):
    assert errata.dual_clipped(*p, 1.0) == pytest.approx(printed, abs=1e-3)
    ours = float(c.dual_l2(*p, sigma_left=1.0))
    assert ours == pytest.approx(exact, abs=1e-3)
    length = printed / math.sqrt(2)  # the perturbation shared equally flips two linear classifiers within the printed radius
    assert stats.norm.cdf(z(p[0]) - length) + stats.norm.cdf(z(p[1]) - length) < 1


def test_unequal_levels_of_the_appendix_are_loose():
    p = (stats.norm.cdf(1.5), stats.norm.cdf(0.6236))
    printed = errata.dual_unequal(*p, 0.25, 0.5)
    ours = float(c.dual_l2(*p, sigma_left=0.25, sigma_right=0.5))
    assert printed == pytest.approx(0.3754, abs=2e-4)
    assert ours == pytest.approx(0.4749, abs=2e-4)


@pytest.mark.parametrize(("p", "printed", "exact"), [((0.9999,) * 3, 6.4415, 6.2131)])
def test_symmetric_point_of_k_parts_is_a_saddle(p, printed, exact):
    assert errata.partition_symmetric(p, 1.0) == pytest.approx(printed, abs=1e-3)
    assert float(c.partition_l2(p, sigma=1.0)) == pytest.approx(exact, abs=1e-4)


@pytest.mark.parametrize(("zs", "ratio"), [((3.8, 3.5, 2.2, 1, 0.5, -0.3), 1.32), ((-0.526, -0.512, 3.8), 7.3)])
def test_symmetric_point_of_unequal_parts_overclaims(zs, ratio):
    p = stats.norm.cdf(zs)
    ours = float(c.partition_l2(p, sigma=1.0, q_upper=stats.norm.sf(zs)))
    assert errata.partition_symmetric(p, 1.0) / ours == pytest.approx(ratio, rel=0.02)


def test_kumar_theorem_2_fails_outside_its_condition():
    """d = 1, Laplace, p = 1e-80: the formula lies below the certificate that Laplace noise has."""
    sigma = 1.0
    p2 = 1e-80
    truth = float(c.laplace_l1(1.0, scale=sigma / math.sqrt(2), p_upper=p2, q_upper=p2))
    printed = 4 * sigma * math.sqrt(-math.log(p2))
    assert printed / truth == pytest.approx(0.42, abs=0.01)
    assert float(c.kumar_generalized_gaussian(1.0, sigma=sigma, dim=1, order=2.0, p_upper=p2, q_upper=p2)) == math.inf


def test_unimodal_bound_needs_its_maximum_with_zero():
    """p = (.18, .17), N(0, 1), one dimension."""
    limit = float(c.unimodal_iid(0.18, sigma=1.0, dim=1, order=2.0, p_upper=0.17))
    assert limit >= float(c.cohen_l2(0.18, sigma=1.0, p_upper=0.17))
    g = math.sqrt(3) * (1 - 2 * 0.82)
    assert (g + math.sqrt(3) * (1 - 2 * 0.17)) / 2 < float(c.cohen_l2(0.18, sigma=1.0, p_upper=0.17))


def test_wu_limits_only_certificates_with_the_complement():
    assert float(c.wu_l2(0.6, sigma=1.0, dim=1)) == pytest.approx(4.21, abs=0.01)
    assert float(c.cohen_l2(0.6, sigma=1.0, p_upper=1e-30)) == pytest.approx(5.86, abs=0.01)


def test_a_runner_up_from_other_samples_is_unsound(rng):
    """p = (.5, .26, .24), runner-up chosen by 20 samples: the radius is wrong far more often than alpha = .05."""
    p, n, alpha, trials = np.array([0.5, 0.26, 0.24]), 100_000, 0.05, 3000
    true = float(c.cohen_l2(p[0], sigma=1.0, p_upper=p[1]))
    selection, counts = rng.multinomial(20, p, trials), rng.multinomial(n, p, trials)
    picked = np.where(selection[:, 1] >= selection[:, 2], 1, 2)
    unsound = c.cohen_certify_multiclass(counts[:, 0], counts[np.arange(trials), picked], n, alpha, sigma=1.0)
    sound = c.cohen_certify_multiclass(counts[:, 0], counts[:, 1:].max(axis=1), n, alpha, sigma=1.0)
    assert np.mean(unsound > true) > 0.2
    assert np.mean(sound > true) <= alpha
