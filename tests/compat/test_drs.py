"""Smooth of dual randomized smoothing, with radii that hold."""

import numpy as np
import pytest
import torch

from rsfast import certificates
from rsfast.compat import drs
from rsfast.errors import InvalidArgumentError
from rsfast.numerics.normal import ndtri
from rsfast.transforms import DiagonalSplit, Partition
from tests.reference.linear import dual_halves

from .models import Watched, linear

SIGMA = 0.25
OVERCLAIMED = [(0.98, 0.55), (0.999, 0.30), (0.10, 0.95)]
SPLIT = DiagonalSplit()


def halves(rng, p, **more):
    x = torch.from_numpy(rng.uniform(0.3, 0.7, (3, 8, 8)).astype(np.float32))
    models, _ = dual_halves(rng, x, SPLIT, (SIGMA, SIGMA), p)
    return drs.Smooth(*models, 2, SIGMA, transform=SPLIT, seed=int(rng.integers(2**63)), **more), x


class Counted(drs.Smooth):
    """A fork: votes that are given, no super().__init__."""

    def __init__(self, *votes):
        self.base_classifier_l = self.base_classifier_r = linear()
        self.num_classes, self.sigma, self.votes_given = 2, SIGMA, list(votes)

    def _sample_noise(self, x, num, batch_size):
        left, right = self.votes_given.pop(0)
        return np.array(left), np.array(right)


X = torch.zeros(1, 8, 8)


@pytest.mark.parametrize("joint", ["bonferroni", "product"])
@pytest.mark.parametrize("p", OVERCLAIMED)
def test_radii_of_linear_halves_are_sound_and_nearly_exact(rng, p, joint):
    smooth, x = halves(rng, p, joint=joint)
    cls, radius = smooth.certify(x, 200, 20_000, 0.001, 5000)
    exact = SIGMA * float(ndtri(np.array(p)).sum()) / np.sqrt(2)
    assert cls == 0
    assert 0 < radius <= exact
    assert radius > exact - 0.06


@pytest.mark.parametrize("p", OVERCLAIMED)
def test_radius_is_that_of_the_dual_certificate(p):
    n = 100_000
    votes = [[[int(q * n), n - int(q * n)] for q in p] for _ in range(2)]
    votes[0] = [[500, 0], [500, 0]]
    cls, radius = Counted(*votes).certify(X, 500, n, 0.001, 1000)
    expected = certificates.dual_certify_bonferroni(votes[1][0][0], votes[1][1][0], n, 0.001, sigma=SIGMA)
    assert cls == 0
    assert radius <= expected * (1 + 1e-12)
    np.testing.assert_allclose(radius, expected, rtol=1e-10)


def test_class_is_the_winner_of_both_halves_selection_votes():
    fork = Counted(([60, 40], [10, 90]), ([20, 980], [20, 980]))
    assert fork.certify(X, 100, 1000, 0.001, 100)[0] == 1


def test_it_abstains_where_the_halves_do_not_add_up_to_more_than_one():
    assert Counted(([100, 0], [100, 0]), ([990, 10], [5, 995])).certify(X, 100, 1000, 0.001, 100) == (-1, 0.0)


def test_a_half_below_one_half_keeps_its_negative_share():
    n = 100_000
    cls, radius = Counted(([9, 0], [9, 0]), ([int(0.999 * n), n // 1000], [3 * n // 10, 7 * n // 10])).certify(X, 9, n, 0.001, 9)
    clipped = SIGMA * float(ndtri(0.999)) / np.sqrt(2)
    assert cls == 0
    assert radius < 0.9 * clipped


def test_the_bound_of_a_fork_is_used():
    class Fork(Counted):
        def _lower_confidence_bound(self, NA, N, alpha):
            assert alpha == 0.005
            return 0.9

    assert Fork(([1, 0], [1, 0]), ([10, 0], [10, 0])).certify(X, 1, 10, 0.01, 5)[1] == pytest.approx(
        SIGMA * 2 * float(ndtri(0.9)) / np.sqrt(2)
    )


def test_by_default_each_classifier_is_shown_what_the_released_code_shows():
    left, right = Watched(linear(), keep=True), Watched(linear(), keep=True)
    drs.Smooth(left, right, 10, SIGMA)._sample_noise(X, 2000, 2000)
    for part, watched in ((0, left), (1, right)):
        shown = watched.shown[0].flatten(1)
        kept = DiagonalSplit(layout="released").view(part, 8, 8).kept
        others = np.setdiff1d(np.arange(64), kept)
        assert (shown[:, others] == 0).all()
        assert (shown[:, kept].std(dim=0) > SIGMA).all()


def test_predict_answers_or_abstains(rng):
    smooth, x = halves(rng, (0.98, 0.55))
    assert smooth.predict(x, 4000, 0.001, 1000) == 0
    torn, x = halves(rng, (0.9, 0.1))
    assert torn.predict(x, 1000, 0.001, 1000) == -1


def test_both_halves_and_all_calls_draw_noise_of_their_own():
    left, right = Watched(linear(), keep=True), Watched(linear(), keep=True)
    smooth = drs.Smooth(
        left, right, 10, SIGMA, transform=Partition(np.indices((8, 8)).sum(0) % 2 == np.arange(2)[:, None, None], "frame")
    )
    smooth.certify(X, 4, 4, 0.1, 4)
    drawn = [np.sort(shown[shown != 0].numpy()) for watched in (left, right) for shown in watched.shown[::2]]
    assert len(drawn) == 4
    for i in range(4):
        for j in range(i):
            assert not np.isin(drawn[i], drawn[j]).any()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"transform": None}, "transform=None is not a transform"),
        ({"joint": "none"}, "joint='none' is not known"),
        ({"transform": Partition(np.ones((1, 8, 8), bool))}, "shows 1 part"),
    ],
)
def test_bad_arguments_are_one_sentence(change, sentence):
    with pytest.raises(InvalidArgumentError, match=sentence):
        drs.Smooth(linear(), linear(), 10, SIGMA, **change)


def test_images_of_odd_size_are_refused():
    with pytest.raises(InvalidArgumentError, match="takes even sizes"):
        drs.Smooth(linear(), linear(), 10, SIGMA).certify(torch.zeros(1, 7, 8), 5, 10, 0.1, 5)
