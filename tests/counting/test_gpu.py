"""On a CUDA device: noise on a stream of its own, votes looked at one batch later, CUDA graphs.  Skipped without one."""

import dataclasses

import numpy as np
import pytest
import torch

import rsfast as rs
from rsfast.counting import conveyor
from rsfast.counting.conveyor import Draws, Job
from rsfast.counting.count import votes_of
from rsfast.counting.images import Image
from rsfast.errors import InvalidArgumentError
from rsfast.models import build
from rsfast.request import WHOLE
from tests import flat

gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device here")


def pixels(x):
    return x.flatten(1)[:, :7].float()


@gpu
def test_gpu_votes_equal_the_cpus_for_logits_that_are_pixels(rng):
    x = torch.from_numpy(rng.random((9, 3, 16, 16), dtype=np.float32))
    call = {"noise": rs.Gaussian(0.5), "num_classes": 7, "n0": 50, "n": 1000, "seed": 5}
    on_gpu = flat.sample_counts(pixels, x, device="cuda", **call)
    on_cpu = flat.sample_counts(pixels, x, device="cpu", **call)
    assert (on_gpu.backend, on_gpu.device) == ("triton", "cuda")
    assert (on_gpu.selection == on_cpu.selection).all()
    assert (on_gpu.estimation == on_cpu.estimation).all()


@gpu
def test_gpu_images_in_one_batch_vote_as_they_do_alone(rng):
    found = rs.Classifier(pixels, num_classes=7, device="cuda", batch=64).ready(WHOLE, (3, 8, 8), total=None)
    found, draws = dataclasses.replace(found, together=True), Draws(rs.Gaussian(0.5), 1)
    told = {i: [] for i in range(20)}

    def judge(i):
        def take(segment, votes):
            told[i].append(votes)
            return len(told[i]) == 3 + i % 5

        return take

    images = torch.from_numpy(rng.random((20, 3, 8, 8), dtype=np.float32))
    segments = [(1, 37 * k, 37) for k in range(9)]
    jobs = [Job(images[i], [0.5], i, segments, judge(i)) for i in range(20)]
    done = list(conveyor.run(found, jobs, draws))
    assert {job.id for job in done} == set(range(20))
    for i in range(20):
        for k, votes in enumerate(told[i]):
            edges = votes_of(found, Image(images[i], np.array([0.5]), i), draws, [(1, 37 * k), (1, 37 * (k + 1))])
            assert (votes == edges[1] - edges[0]).all()


@gpu
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_gpu_graph_votes_as_the_model_does(dtype, rng):
    torch.manual_seed(0)
    model = build("cifar-resnet20", num_classes=10, channels=3).eval().cuda()
    x = torch.from_numpy(rng.random((3, 3, 32, 32), dtype=np.float32))
    call = {"noise": rs.Gaussian(0.25), "num_classes": 10, "n0": 10, "n": 500, "seed": 2, "batch": 128, "dtype": dtype}
    plain = flat.sample_counts(model, x, **call)
    captured = flat.sample_counts(model, x, runtime="cudagraph", **call)
    assert np.abs(plain.estimation - captured.estimation).sum() <= 4  # a tie in the last bit may fall otherwise


def test_a_graph_needs_cuda():
    with pytest.raises(InvalidArgumentError, match="runs on CUDA"):
        flat.sample_counts(pixels, torch.zeros(1, 1, 4, 4), noise=rs.Gaussian(1.0), num_classes=7, n=10, runtime="cudagraph")
