"""The package ddsmoothing."""

import numpy as np
import pytest
import scipy.stats
import torch
from torch import nn

from rsfast.compat import ddsmoothing as dds
from rsfast.compat.ddsmoothing import certificate, optimization, smooth
from rsfast.errors import InvalidArgumentError

from .models import Watched, cuts, linear

X = torch.zeros(1, 8, 8)


class Counted(dds.Smooth):
    def __init__(self, cert, *votes):
        self.base_classifier, self.num_classes, self.certificate, self.votes_given = linear(), 2, cert, list(votes)
        self.sigma = torch.tensor([0.5])

    def _sample_noise(self, x, num, batch_size, device=None):
        return np.array(self.votes_given.pop(0), dtype=float)  # the original counts in floating point


@pytest.mark.parametrize("votes", [999, 700, 600])
def test_certify_returns_the_gap(votes):
    p = scipy.stats.beta.ppf(0.001, votes, 1001 - votes)
    for cert, expected in ((dds.L2Certificate(1), scipy.stats.norm.ppf(p)), (dds.L1Certificate(), 2 * p - 1)):
        cls, gap = Counted(cert, [0, 9], [1000 - votes, votes]).certify(X, 9, 1000, 0.001, 100)
        assert (cls, type(gap)) == (1, float)
        assert gap <= expected
        np.testing.assert_allclose(gap, expected, rtol=1e-12)


def test_it_abstains_below_one_half():
    assert Counted(dds.L2Certificate(1), [0, 9], [500, 500]).certify(X, 9, 1000, 0.001, 100) == (-1, 0.0)
    assert Counted(dds.L2Certificate(1), [500, 500]).predict(X, 1000, 0.001, 100) == -1
    assert Counted(dds.L2Certificate(1), [300, 700]).predict(X, 1000, 0.001, 100) == 1


@pytest.mark.parametrize(("cert", "spread"), [(dds.L2Certificate(1), 0.25), (dds.L1Certificate(), 0.25 / np.sqrt(3))])
def test_noise_is_that_of_the_certificate(cert, spread):
    model = Watched(linear(), keep=True)
    smoothed = dds.Smooth(model, 10, torch.tensor([0.25]), cert, seed=3)
    assert smoothed._sample_noise(X, 300, 100).sum() == 300
    shown = torch.cat(model.drawn())
    assert float(shown.std()) == pytest.approx(spread, rel=0.02)
    assert (cert.norm == "l2") == bool(shown.abs().max() > 0.25 * (1 + 1e-6))
    assert model.largest == 300


def test_votes_follow_the_probabilities_and_the_seed(rng):
    p = np.array([0.2, 0.5, 0.3])
    seed = int(rng.integers(2**63))
    one, other = (dds.Smooth(cuts(p), 3, torch.ones(1), dds.L2Certificate(1), seed=seed) for _ in range(2))
    votes = one._sample_noise(X, 50_000, 5000)
    np.testing.assert_array_equal(votes, other._sample_noise(X, 50_000, 1000))
    assert scipy.stats.chisquare(votes, 50_000 * p).pvalue > 1e-6


def test_levels_that_differ_between_pixels_are_drawn_by_the_certificate():
    model = Watched(linear(), keep=True)
    theta = torch.full((1, 1, 8, 8), 0.1)
    theta[..., 4:] = 0.4
    votes = dds.Smooth(model, 10, theta, dds.L2Certificate(1))._sample_noise(X, 2050, 500)
    assert votes.sum() == 2050
    shown = torch.cat(model.drawn())
    assert len(shown) == 2050
    assert float(shown[..., :4].std()) == pytest.approx(0.1, rel=0.05)
    assert float(shown[..., 4:].std()) == pytest.approx(0.4, rel=0.05)


def test_a_copy_of_a_nan_drawn_by_the_certificate_votes_for_no_class():
    theta = torch.full((1, 1, 8, 8), 0.1)
    smoothed = dds.Smooth(lambda x: torch.full((len(x), 2), torch.nan), 2, theta, dds.L2Certificate(1))
    assert smoothed._sample_noise(X, 100, 30).tolist() == [0, 0]
    with pytest.raises(InvalidArgumentError, match="holds NaN"):
        smoothed.certify(X * torch.nan, 10, 100, 0.001, 10)


def test_a_certificate_of_ones_own_is_asked_for_noise_and_gap():
    class Shifted(dds.Certificate):
        def sample_noise(self, batch, repeated_theta):
            return torch.full_like(batch, float(repeated_theta))

        def compute_gap(self, pABar):
            return 7.0

    def model(x):
        return nn.functional.one_hot((x.flatten(1)[:, 0] > 0.5).long(), 2).float()

    smoothed = dds.Smooth(model, 2, torch.tensor([0.75]), Shifted())
    assert smoothed.certify(X, 5, 100, 0.01, 30) == (1, 7.0)
    with pytest.raises(TypeError, match="abstract"):
        dds.Certificate()
    with pytest.raises(InvalidArgumentError, match="Shifted has no compute_radius_estimate"):
        Shifted().compute_radius_estimate(torch.ones(1, 2), torch.ones(1))


def test_modules_and_names_are_the_originals():
    assert smooth.Smooth is dds.Smooth
    assert certificate.L1Certificate(device="cpu").norm == "l1"
    assert certificate.L2Certificate(1, device="cpu").norm == "l2"
    assert optimization.optimize_isotropic_dds is dds.optimize_isotropic_dds
    assert issubclass(dds.OptimizeIsotropicSmoothingParameters, dds.OptimizeSmoothingParameters)


def probabilities():
    """Two classes, split by the mean of the first row: a larger sigma is worth more far from the boundary."""

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.tensor(40.0))

        def forward(self, x):
            p = torch.sigmoid(self.weight * x[:, 0, 0].mean(dim=1))
            return torch.stack([1 - p, p], dim=1)

    return Model()


def test_sigma_grows_where_the_estimate_of_the_radius_does():
    torch.manual_seed(0)
    model, start = probabilities(), torch.full((2,), 0.1)
    images = torch.stack([torch.full((1, 8, 8), 0.9), torch.full((1, 8, 8), 0.02)])
    cert = dds.L2Certificate(2)
    found = dds.optimize_isotropic_dds(model, images, cert, 0.01, start, iterations=20, samples=50)
    assert found.shape == (2,)
    assert not found.requires_grad
    assert found[0] > 0.2
    assert found[1] < found[0]
    assert start.tolist() == pytest.approx([0.1, 0.1])
    assert model.weight.requires_grad
    assert model.weight.grad is None


def test_levels_of_a_whole_loader_are_saved(tmp_path):
    torch.manual_seed(0)
    loader = [
        (torch.full((2, 1, 8, 8), 0.9), torch.ones(2), torch.tensor([2, 0])),
        (torch.full((1, 1, 8, 8), 0.02), 0, torch.tensor([1])),
    ]
    search = dds.OptimizeIsotropicSmoothingParameters(probabilities(), loader)
    found = search.run_optimization(dds.L2Certificate(1), 0.01, torch.full((3,), 0.1), 5, 20, tmp_path / "sigmas.pt")
    assert search.num_samples == 3
    assert torch.equal(torch.load(tmp_path / "sigmas.pt"), found)
    assert found[0] > found[1]
    assert found[2] > found[1]


@pytest.mark.parametrize(("arguments", "sentence"), [((X, 0, 9, 0.1, 5), "n0=0"), ((X, 9, 9, 0.1, 0), "batch_size=0")])
def test_bad_arguments_are_one_sentence(arguments, sentence):
    for sigma in (torch.ones(1), torch.ones(1, 1, 8, 8)):
        with pytest.raises(InvalidArgumentError, match=f"{sentence} is not allowed"):
            dds.Smooth(linear(), 10, sigma, dds.L2Certificate(1)).certify(*arguments)
