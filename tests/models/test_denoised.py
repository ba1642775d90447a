"""A denoiser in front of a classifier."""

import math

import pytest
import torch

import rsfast as rs
from rsfast.errors import InvalidArgumentError
from rsfast.models import Denoised
from tests import flat

BETAS = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
SCHEDULE = torch.cumprod(1 - BETAS, 0)
PATTERN = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def published_step(sigma):
    """The loop of the authors' certify.py."""
    t, real = 0, 0.0
    while real < 2 * sigma:
        t += 1
        real = math.sqrt(1 - SCHEDULE[t]) / math.sqrt(SCHEDULE[t])
    return t


def perfect(x, t):
    """Knows the image: what is left is the noise."""
    a = SCHEDULE[t].float()[:, None, None, None]
    return (x - a.sqrt() * (2 * PATTERN - 1)) / (1 - a).sqrt()


@pytest.mark.parametrize("sigma", [0.12, 0.25, 0.5, 1.0, 1e-4])
def test_the_step_is_that_of_the_published_loop(sigma):
    assert Denoised(perfect, torch.nn.Identity(), sigma=sigma, alphas_cumprod=SCHEDULE).t == published_step(sigma)


def test_the_classifier_sees_what_the_denoiser_makes_of_the_noisy_image():
    seen = []

    def denoiser(x, t):
        seen.append((x, t))
        return torch.cat([perfect(x, t), torch.zeros_like(x)], 1)  # learned variances follow

    model = Denoised(denoiser, lambda images: images.flatten(1), sigma=0.25, alphas_cumprod=SCHEDULE)
    noisy = PATTERN.expand(5, -1, -1, -1) + 0.25 * torch.randn(5, 3, 8, 8)
    torch.testing.assert_close(model(noisy), PATTERN.flatten(1).expand(5, -1), rtol=0, atol=2e-5)
    x, t = seen[0]
    assert t.tolist() == [model.t] * 5
    torch.testing.assert_close(x, math.sqrt(SCHEDULE[model.t]) * (2 * noisy - 1))


def test_a_denoiser_may_predict_the_image_and_return_an_object():
    class Output:
        sample = 2 * PATTERN - 1

    model = Denoised(lambda x, t: Output, lambda images: images.flatten(1), sigma=0.25, alphas_cumprod=SCHEDULE, predicts="image")
    torch.testing.assert_close(model(torch.rand(1, 3, 8, 8)), PATTERN.flatten(1))


def test_it_certifies_as_one_model():
    head = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 10))
    call = {"noise": rs.Gaussian(0.25), "num_classes": 10, "n0": 10, "n": 1000, "alpha": 0.001, "seed": 0}
    model = Denoised(perfect, head, sigma=0.25, alphas_cumprod=SCHEDULE)
    found = flat.certify(model, PATTERN, **call)
    assert found.counts.estimation.max() == 1000  # the noise is gone
    assert found.label[0] == int(head(PATTERN).argmax())


@pytest.mark.parametrize(
    ("change", "said"),
    [({"sigma": 0.0}, "sigma"), ({"sigma": 1e6}, "more noise than the schedule's last step has"), ({"predicts": "v"}, "predicts='v'"),
     ({"alphas_cumprod": [0.1, 0.9]}, "no schedule"), ({"alphas_cumprod": [1.0, 0.5]}, "no schedule"), ({"alphas_cumprod": 3}, "alphas"),
     ({"alphas_cumprod": [0.5]}, "no schedule")],
)  # fmt: skip
def test_bad_schedules_are_refused(change, said):
    with pytest.raises(InvalidArgumentError, match=said):
        Denoised(perfect, perfect, **{"sigma": 0.25, "alphas_cumprod": SCHEDULE, **change})
