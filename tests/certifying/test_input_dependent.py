"""Input-dependent noise, from sigma(x) to certificates."""

import mpmath as mp
import numpy as np
import pytest
import torch
from scipy import stats

import rsfast as rs
from rsfast import certificates, noise
from rsfast.certifying.radii import LEVEL_ROUNDING, at
from rsfast.errors import InvalidArgumentError, SoundnessWarning
from rsfast.numerics import ncx2
from tests.reference import input_dependent as paper
from tests.reference.linear import Halfspace


def neighbours(rng, dim=16, rate=0.1, **more):
    training = rng.random((60, 1, 4, dim // 4), dtype=np.float32)
    return rs.sigma.NearestNeighbors(training, base=0.3, rate=rate, k=4, m=0.5, **more)


def images(rng, count=3, dim=16):
    return torch.from_numpy(rng.random((count, 1, 4, dim // 4), dtype=np.float32))


def test_each_image_is_drawn_with_its_own_level(rng):
    sigma, x = neighbours(rng), images(rng)
    counts = rs.sample_counts(
        lambda x: x.flatten(1)[:, :10],
        x,
        noise=rs.InputDependentGaussian(sigma),
        num_classes=10,
        n0=5,
        n=40,
        seed=3,
        ids=[4, 0, 9],
    )
    np.testing.assert_array_equal(counts.sigma, sigma(x))
    for b, image_id in enumerate((4, 0, 9)):
        alone = rs.sample_counts(
            lambda x: x.flatten(1)[:, :10], x[b : b + 1], noise=rs.Gaussian(float(counts.sigma[b])), num_classes=10, n0=5, n=40,
            seed=3, ids=[image_id],
        )  # fmt: skip
        assert (alone.estimation[0] == counts.estimation[b]).all()


def test_radii_are_those_of_the_exact_solver_less_the_rounding_of_levels(rng):
    sigma = neighbours(rng)
    model = Halfspace(np.ones(16) / 4, 1.5)
    cert = rs.certify(model, images(rng, 20), noise=rs.InputDependentGaussian(sigma), num_classes=2, n=2000, alpha=0.01, seed=1)
    exact = certificates.input_dependent_l2(
        cert.p_lower, sigma=cert.counts.sigma, dim=16, rate=0.1, q_upper=cert.q_upper
    )  # fmt: skip
    certified = ~cert.abstained
    assert certified.sum() > 5
    assert (cert.radius[certified] < exact[certified]).all()
    assert (cert.radius[certified] > exact[certified] * (1 - 1e-4) - 1e-5).all()
    assert (cert.radius <= certificates.cohen_l2(cert.p_lower, sigma=cert.counts.sigma, q_upper=cert.q_upper)).all()


@pytest.mark.parametrize("rate", [1e-7, 1e-5, 1e-3, 0.1, 3.0])
@pytest.mark.parametrize("dim", [2, 3072, 150_528])
def test_the_rounding_of_levels_is_within_the_certificate(rate, dim):
    """At the radius the worst levels may differ from the rate's by LEVEL_ROUNDING: checked by a rate that allows for it there."""
    p = np.array([0.6, 0.9, 0.999, 0.99999])
    votes = np.round(p * 10_000).astype(int)
    counts = _stored(votes, 10_000, rate=rate, dim=dim)
    with pytest.warns(SoundnessWarning):
        cert = rs.certify_counts(counts, alpha=0.001)
    for b in range(len(p)):
        radius = float(cert.radius[b])
        if radius == 0:
            continue
        for distance in (radius, radius / 3):
            steeper = min(rate + LEVEL_ROUNDING / distance, 10.0)
            allowed = certificates.input_dependent_l2(cert.p_lower[b], sigma=0.25, dim=dim, rate=steeper, q_upper=cert.q_upper[b])
            assert distance <= float(allowed) * (1 + 1e-12)
    if 1e-5 <= rate <= 0.1 and dim < 10**5:
        assert cert.radius[-1] > 0


def _stored(votes, n, *, rate, dim, proven=False):
    estimation = np.stack([votes, n - votes], axis=1)
    return rs.VoteCounts(
        selection=estimation, estimation=estimation, n0=n, n=n, ids=np.arange(len(votes)), seed=0, dim=dim,
        noise=noise.InputDependentGaussian.stored(rate, proven, {"name": "f"}), sigma=np.full(len(votes), 0.25),
    )  # fmt: skip


LEVELS_APART = [(5200, 0.0, 784), (9900, 0.0, 150_528), (10_000, 0.0, 1), (5500, 1e-6, 150_528), (9900, 0.1, 784), (9990, 0.1, 1)]


@pytest.mark.parametrize(("votes", "rate", "dim"), LEVELS_APART)
def test_two_inputs_may_be_drawn_at_levels_that_rounding_tells_apart(votes, rate, dim):
    """Certified at the radius with the levels as far apart as they can be, and not a little beyond it."""
    cert = rs.certify_counts(_stored(np.array([votes]), 10_000, rate=rate, dim=dim, proven=True), alpha=0.3)
    assert 0 < cert.radius[0] < certificates.cohen_l2(cert.p_lower, sigma=0.25, q_upper=cert.q_upper)[0]
    given = {"p_lower": cert.p_lower[0], "q_upper": cert.q_upper[0], "sigma0": 0.25, "dim": dim}
    for distance, beyond in ((cert.radius[0], False), (cert.radius[0] * (1 + 1.1e-6), True)):
        apart = np.exp(rate * distance + 2.0**-23 + 2e-11)
        less = certificates.xi_greater(distance, sigma1=0.25 / apart, **given)
        more = certificates.xi_less(distance, sigma1=0.25 * apart, **given)
        assert (max(less, more) > 0.5) == beyond


@pytest.mark.slow
@pytest.mark.parametrize(("votes", "rate", "dim"), LEVELS_APART)
def test_levels_apart_by_the_text_of_the_paper_in_sixty_digits(votes, rate, dim):
    cert = rs.certify_counts(_stored(np.array([votes]), 10_000, rate=rate, dim=dim, proven=True), alpha=0.3)

    def start(df, nc, share):
        return float(ncx2.ppf(float(share), df, float(nc)))

    with mp.workdps(60):
        for distance, beyond in ((mp.mpf(cert.radius[0]), False), (mp.mpf(cert.radius[0]) * (1 + mp.mpf("1.1e-6")), True)):
            apart = rate * distance + mp.mpf(2) ** -23 + mp.mpf("2e-11")
            levels = [mp.exp(side * apart) / 4 for side in (-1, 1)]
            worst = [paper.xi(distance, 1 - mp.mpf(cert.q_upper[0]), mp.mpf("0.25"), level, dim, start) for level in levels]
            assert (max(worst) > 0.5) == beyond


def test_radii_of_the_slightest_majority_are_not_lost_to_the_rounding_of_levels():
    """Found by bisection, where the first guess does not hold: half of what constant smoothing gives is left."""
    p = np.array([0.50002])
    smoothing = _stored(np.array([5000]), 10_000, rate=0.0, dim=50_000).smoothing
    radius = at(smoothing, p, 1 - p, np.array([[0.25]]), 2.0)
    constant = certificates.cohen_l2(p, sigma=0.25)
    assert 0.5 * constant < radius < 0.8 * constant


def test_a_rate_that_nobody_proved_is_a_warning_and_a_caveat(rng):
    def level(x):
        return 0.2 + 0.0 * x.flatten(1)[:, 0].numpy()

    with pytest.warns(SoundnessWarning, match="taken on trust"):
        cert = rs.certify(
            lambda x: x.flatten(1)[:, :3], images(rng), noise=rs.InputDependentGaussian(level, rate=0.5), num_classes=3, n=100
        )
    assert "0.5" in cert.caveats[0]
    sigma = neighbours(rng)
    assert rs.InputDependentGaussian(sigma).proven
    assert not rs.InputDependentGaussian(sigma, rate=0.01).proven  # another rate than the one that is a theorem


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rs.InputDependentGaussian(0.25), "not callable"),
        (lambda: rs.InputDependentGaussian(lambda x: 0.25), "rate=None"),
        (lambda: rs.InputDependentGaussian(lambda x: 0.25, rate=-1), "rate=-1"),
        (lambda: rs.InputDependentGaussian(lambda x: 0.25, rate=float("nan")), "rate=nan"),
    ],
)
def test_what_is_no_noise_is_refused(make, message):
    with pytest.raises(InvalidArgumentError, match=message):
        make()


@pytest.mark.parametrize(
    "levels", [0.25, [0.25], [0.1, 0.2, -0.3], [0.1, 0.2, np.nan], [[0.1], [0.2], [0.3]], [0.1, 0.2, 1e9], []]
)
def test_levels_of_the_wrong_number_or_size_are_refused(levels, rng):
    with pytest.raises(InvalidArgumentError, match="must return one for each of 3 images"):
        rs.sample_counts(
            lambda x: x.flatten(1)[:, :3], images(rng), noise=rs.InputDependentGaussian(lambda x: levels, rate=0.1),
            num_classes=3, n=10,
        )  # fmt: skip


def test_several_classes_and_stored_noise_are_refused_where_nothing_covers_them(rng):
    counts = _stored(np.array([990]), 1000, rate=0.1, dim=784, proven=True)
    with pytest.raises(InvalidArgumentError, match="other classes' bound and InputDependentGaussian"):
        rs.certify_counts(counts, multiclass=True)
    with pytest.raises(InvalidArgumentError, match="read from a run"):
        rs.sample_counts(lambda x: x.flatten(1)[:, :3], images(rng), noise=counts.noise, num_classes=3, n=10)


def test_linear_classifiers_are_never_certified_beyond_their_distance(rng):
    """A half-space's answer under any noise level is the side the image lies on: its exact radius is the distance."""
    sigma = neighbours(rng, rate=0.3)
    model = Halfspace(np.ones(16) / 4, 2.0)
    x = images(rng, 300)
    cert = rs.certify(model, x, noise=rs.InputDependentGaussian(sigma), num_classes=2, n0=50, n=400, alpha=0.001, seed=7)
    distance = model.distance(x).numpy()
    right = (cert.label == (distance <= 0)) | cert.abstained
    assert (~right | (cert.radius > np.abs(distance))).mean() < 0.01
    assert (cert.radius > 0).mean() > 0.5


class Ball(torch.nn.Module):
    """Class 0 inside (or outside) a ball around the origin: its probability at y is a non-central chi-square's."""

    def __init__(self, radius, inside):
        super().__init__()
        self.radius, self.inside = radius, inside

    def forward(self, x):
        lead = self.radius - x.flatten(1).norm(dim=1)
        lead = lead if self.inside else -lead
        return torch.stack([lead, torch.zeros_like(lead)], dim=1)

    def probability(self, distance, level, dim):
        """The probability of class 0 at a point so far from the origin, by SciPy."""
        p = stats.ncx2.cdf((self.radius / level) ** 2, dim, (distance / level) ** 2)
        return p if self.inside else 1 - p


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize(("dim", "rate", "at"), [(8, 0.3, 1.0), (40, 0.1, 2.0), (200, 0.05, 3.0)])
def test_balls_keep_their_class_within_the_radius_and_lose_it_if_the_rate_is_ignored(inside, dim, rate, at, rng):
    """sigma(y) = base e^(rate ||y||): the level changes as fast as it may along the line from the origin through x."""
    base = 0.5
    level = base * np.exp(rate * at)
    for target in (0.7, 0.95):  # the ball that gives class 0 this probability at x
        quantile = stats.ncx2.ppf(target if inside else 1 - target, dim, (at / level) ** 2)
        ball = Ball(level * float(np.sqrt(quantile)), inside)
        counts = _votes_of(ball.probability(at, level, dim), level, dim, rate)
        radius = float(rs.certify_counts(counts, alpha=0.001).radius[0])
        assert radius > 0
        moves = np.concatenate([np.linspace(-min(radius, at), radius, 101)])
        away = [ball.probability(at + move, base * np.exp(rate * (at + move)), dim) for move in moves]
        assert min(away) > 0.5


def _votes_of(p, level, dim, rate):
    """A million draws that vote as p says."""
    votes = np.array([round(p * 1_000_000)])
    estimation = np.stack([votes, 1_000_000 - votes], axis=1)
    return rs.VoteCounts(
        selection=estimation, estimation=estimation, n0=1_000_000, n=1_000_000, ids=[0], seed=0, dim=dim,
        noise=noise.InputDependentGaussian.stored(rate, True, {"name": "f"}), sigma=[level],
    )  # fmt: skip


def test_the_worst_ball_loses_its_class_just_beyond_the_exact_radius():
    """The certificate is tight: for some ball a tenth more than the radius is too much, and ignoring the rate is far too much."""
    dim, rate, sigma = 40, 0.2, 0.5
    p = 0.95
    exact = float(certificates.input_dependent_l2(p, sigma=sigma, dim=dim, rate=rate))
    ignored = float(certificates.cohen_l2(p, sigma=sigma))
    at = np.linspace(0.01, 40, 4000)  # distance of x from the ball's centre, y further or nearer
    lowest = {}
    for name, distance in (("inside", 0.999 * exact), ("beyond", 1.1 * exact), ("ignored", 0.999 * ignored)):
        lowest[name] = 1.0
        for side in (-1, 1):
            other = sigma * np.exp(side * rate * distance)
            for inside in (True, False):
                q = stats.ncx2.ppf(p if inside else 1 - p, dim, (at / sigma) ** 2)
                y = at + (distance if inside else -distance)
                chance = stats.ncx2.cdf(q * (sigma / other) ** 2, dim, (y / other) ** 2)
                lowest[name] = min(lowest[name], (chance if inside else 1 - chance).min())
    assert lowest["inside"] > 0.5
    assert lowest["beyond"] < 0.5
    assert lowest["ignored"] < 0.5


def test_a_function_that_works_in_place_does_not_change_what_is_certified(rng):
    x = images(rng)
    before = x.clone()
    seen = []

    def model(batch):
        seen.append(float(batch.mean()))
        return batch.flatten(1)[:, :3]

    rs.sample_counts(
        model, x, noise=rs.InputDependentGaussian(lambda z: z.mul_(0).sum((1, 2, 3)) + 0.01, rate=0.1), num_classes=3, n=50, n0=5
    )
    assert torch.equal(x, before)
    del seen[1]  # asks whether copies are classified by themselves
    assert min(seen) > 0.2


def test_a_function_that_raises_is_named():
    with pytest.raises(InvalidArgumentError, match=r"sigma\(x\) raised ZeroDivisionError"):
        rs.sample_counts(
            lambda x: x.flatten(1)[:, :3], torch.zeros(1, 1, 2, 2), noise=rs.InputDependentGaussian(lambda z: 1 / 0, rate=0.1),
            num_classes=3, n=10,
        )  # fmt: skip


def test_what_no_certificate_takes_is_refused_before_anything_is_drawn():
    drawn = []

    def model(x):
        drawn.append(len(x))
        return x.flatten(1)[:, :2]

    with pytest.raises(InvalidArgumentError, match="dim="):
        rs.certify(
            model,
            torch.zeros(1, 1, 3200, 3200),
            noise=rs.InputDependentGaussian(lambda x: [0.25], rate=0.1),
            num_classes=2,
            n=100,
        )
    assert not drawn


@pytest.mark.parametrize(
    "change",
    [
        {"sigma": [0.25, 0.3]},
        {"sigma": [[0.25]]},
        {"noise": [rs.Gaussian(0.25)] * 2},
        {"transform": rs.DiagonalSplit(), "part_dims": (8, 8)},
        {"noise": rs.Gaussian(0.25), "sigma": [99.0]},
    ],
)
def test_votes_with_levels_or_parts_that_do_not_fit_are_refused(change):
    call = {"selection": [[50, 0]], "estimation": [[1000, 0]], "n0": 50, "n": 1000, "ids": [0], "seed": 0, "dim": 16}
    call |= {"noise": noise.InputDependentGaussian.stored(5.0, True, {}), "sigma": [0.25]} | change
    with pytest.raises(InvalidArgumentError):
        rs.VoteCounts(**call)
