"""The one table from a smoothing to its certificate: every line of it is the certificate that it names."""

import numpy as np
import pytest
import torch

import rsfast as rs
from rsfast import certificates as c
from rsfast import confidence, plans
from rsfast.certifying import radii
from rsfast.errors import InvalidArgumentError
from rsfast.noise import NOISES
from rsfast.request import WHOLE, Claim, Smoothing
from rsfast.transforms import Partition

DIM = 12
HALVES, THIRDS = rs.DiagonalSplit(), Partition(np.eye(3, dtype=bool).repeat(4, axis=1).reshape(3, 3, 4))
P, Q = np.array([0.4, 0.5, 0.75, 0.999]), np.array([0.6, 0.5, 0.25, 0.001])


def smoothing(noise, parts=1):
    transform = {1: WHOLE, 2: HALVES, 3: THIRDS}[parts]
    return Smoothing(rs.noise.check(noise, parts), transform, (DIM // parts,) * parts)


def direct(kind, order):
    """The certificates of the table, called by name."""
    p, q = P, {"q_upper": Q}
    dims = {"dim": DIM, "order": order}
    both = {"q_left": Q, "q_right": Q}
    if kind == "gaussian":
        return c.gaussian_lp(p, sigma=0.3, **dims, **q)
    if kind == "uniform":
        return c.uniform_lp(p, half_width=0.3, **dims, **q)
    if kind == "laplace":
        return c.l1_to_lp(c.generalized_gaussian_l1(p, scale=0.3, shape=1.0, **q), **dims)
    if kind == "halves":
        return c.dual_lp(p, p, sigma_left=0.3, sigma_right=0.3, dim_left=6, dim_right=6, order=order, **both)
    if kind == "laplace halves":
        return c.l1_to_lp(c.dual_log_concave_l1(p, p, scale_left=0.3, scale_right=0.3, shape=1.0, **both), **dims)
    return c.l2_to_lp(
        c.partition_l2(np.repeat(p[:, None], 3, 1), sigma=np.full((4, 3), 0.3), q_upper=np.repeat(Q[:, None], 3, 1)), **dims
    )


CASES = {
    "gaussian": (rs.Gaussian(0.3), 1),
    "uniform": (rs.Uniform(0.3), 1),
    "laplace": (rs.Laplace(0.3), 1),
    "halves": (rs.Gaussian(0.3), 2),
    "laplace halves": (rs.Laplace(0.3), 2),
    "thirds": (rs.Gaussian(0.3), 3),
}


@pytest.mark.parametrize("order", [1.0, 2.0, np.inf])
@pytest.mark.parametrize("kind", CASES)
def test_every_line_of_the_table_is_the_certificate_that_it_names(kind, order):
    noise, parts = CASES[kind]
    found = radii.at(smoothing(noise, parts), P, Q, np.full((len(P), parts), 0.3), order)
    want = direct(kind, order)
    if kind == "laplace" and order > 1:  # the larger of two radii
        assert (found >= want).all()
    elif kind == "halves" and order == 2:
        np.testing.assert_allclose(found, c.dual_l2(P, P, sigma_left=0.3, sigma_right=0.3, q_left=Q, q_right=Q), rtol=0)
    else:
        np.testing.assert_array_equal(found, want)


def test_every_noise_has_a_line_for_whole_images():
    for kind in NOISES.values():
        assert (kind.family, 1) in radii.CERTIFICATES


@pytest.mark.parametrize(("family", "parts"), [("uniform", 2), ("uniform", 3), ("log-concave", 3), ("input-dependent", 2)])
def test_what_has_no_line_is_refused(family, parts):
    noise = {"uniform": rs.Uniform(0.3), "log-concave": rs.Laplace(0.3)}.get(
        family, rs.InputDependentGaussian(lambda x: x, rate=0.1)
    )
    with pytest.raises(InvalidArgumentError, match="no certificate covers that"):
        radii.check(Smoothing(noise, {2: HALVES, 3: THIRDS}[parts], (DIM // parts,) * parts), Claim())


@pytest.mark.parametrize(("noise", "parts"), [(rs.Gaussian(0.3), 3), (rs.Laplace(0.3), 2)])
def test_the_other_classes_are_bounded_only_where_a_radius_is_for_them(noise, parts):
    for claim in (Claim(multiclass=True), Claim(bound="two-sided")):
        with pytest.raises(InvalidArgumentError, match="for two classes"):
            radii.check(smoothing(noise, parts), claim)


def test_votes_are_bounded_each_part_at_its_share_of_alpha(rng):
    votes = rng.multinomial(1000, [0.9, 0.07, 0.03], size=(5, 2))
    tested, sigma = np.array([0, 0, 1, -1, 0]), np.full((5, 2), 0.3)
    found = radii.derive(smoothing(rs.Gaussian(0.3), 2), radii.Votes(votes, tested, 1000, sigma), Claim(0.01))
    own = np.where(tested[:, None] < 0, 0, votes[np.arange(5), :, np.maximum(tested, 0)])
    want = confidence.bound("clopper-pearson", own, 1000, 0.005)
    np.testing.assert_array_equal(found.p_lower, want.p_lower)
    np.testing.assert_array_equal(found.q_upper, want.q_upper)
    assert (found.radius[[2, 3]] == 0).all()


def test_copies_that_vote_for_no_class_bound_the_others(rng):
    whole = smoothing(rs.Gaussian(0.3))
    sigma = np.full((1, 1), 0.3)
    for votes in ([[[600, 100, 300]]], [[[600, 100, 0]]]):  # 300 for the third class, or for none
        found = radii.derive(whole, radii.Votes(np.array(votes), np.array([0]), 1000, sigma), Claim(0.01, multiclass=True))
        upper = confidence.clopper_pearson_upper(300, 1000, 0.005)
        want = c.gaussian_lp(found.p_lower, sigma=0.3, dim=DIM, order=2.0, p_upper=np.array([upper]), q_upper=found.q_upper)
        assert found.radius == want


PLANS = (None, plans.Grid((0.25,)), plans.Betting(), plans.Curtail())


@pytest.mark.parametrize(("transform", "plan"), [(WHOLE, plan) for plan in PLANS] + [(HALVES, None)])
def test_of_no_images_nothing_is_certified(transform, plan, rng):
    x = torch.from_numpy(rng.random((2, 1, 4, 4), dtype=np.float32))
    drawing = {"noise": rs.Gaussian(0.25), "transform": transform, "n0": 10, "n": 400, "plan": plan, "seed": 0}
    counts = rs.sample_counts(lambda z: z.flatten(1)[:, :2], x, num_classes=2, **drawing)
    for none in (counts[:0], counts[np.zeros(2, dtype=bool)]):
        cert = rs.certify_counts(none)
        assert len(cert) == 0 and cert.radius.shape == cert.label.shape == (0,)
        assert cert.p_lower.shape == rs.certify_counts(counts).p_lower[:0].shape
    if transform == WHOLE and plan is None:
        assert len(rs.predict_counts(counts[:0])) == 0


def test_lattice_noise_gives_up_its_distance_from_the_gaussian():
    lattice = rs.LatticeGaussian(0.3)
    plain = radii.at(smoothing(rs.Gaussian(0.3)), P, Q, np.full((4, 1), 0.3), 2.0)
    found = radii.at(smoothing(lattice), P, Q, np.full((4, 1), 0.3), 2.0)
    assert (found <= plain).all()
    assert (found[2:] < plain[2:]).all()
    np.testing.assert_allclose(found[2:], plain[2:], rtol=1e-9)


@pytest.mark.parametrize(("noise", "parts"), list(CASES.values()))
def test_the_waterfall_is_the_radius_of_equal_votes(noise, parts):
    claim = Claim(0.001)
    votes = radii.Votes(np.tile([500, 0], (1, parts, 1)), np.array([0]), 500, np.full((1, parts), 0.3))
    assert (
        radii.waterfall(smoothing(noise, parts), 500, claim) == radii.derive(smoothing(noise, parts), votes, claim).radius[0] > 0
    )


@pytest.mark.parametrize(
    "claim", [Claim(0.001), Claim(0.01, multiclass=True), Claim(0.001, bound="two-sided"), Claim(0.001, joint="product")]
)
def test_the_least_draws_are_the_least_that_certify(claim):
    parts = 2 if claim.joint == "product" else 1
    least = radii.least_draws(parts, claim)
    assert radii.waterfall(smoothing(rs.Gaussian(0.3), parts), least, claim) > 0
    assert radii.waterfall(smoothing(rs.Gaussian(0.3), parts), least - 1, claim) == 0
