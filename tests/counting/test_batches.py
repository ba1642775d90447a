"""Many images in full batches: the votes of each are those of the image alone, whoever stands beside it."""

import contextlib
import dataclasses

import numpy as np
import pytest
import torch

import rsfast as rs
from rsfast.counting import conveyor
from rsfast.counting.conveyor import Draws, Job
from rsfast.counting.count import votes_of
from rsfast.counting.images import Image
from rsfast.inference import evaluating
from rsfast.request import WHOLE
from tests import flat

SHAPE = (1, 4, 4)
NOISE = rs.Gaussian(0.5)
DRAWS = Draws(NOISE, 3)


def linear(x):
    """Row by row in float64, so that no bit depends on the neighbours."""
    return torch.stack([row.flatten().double() * torch.arange(1.0, 17.0, dtype=torch.float64) for row in x])[:, :3].float()


class Chosen:
    """A job's judge that stops after a given number of segments, and keeps what it was told."""

    def __init__(self, stop):
        self.stop, self.told = stop, []

    def __call__(self, segment, votes):
        self.told.append((segment, votes.copy()))
        return len(self.told) >= self.stop


def random_jobs(rng, images, parts=1):
    jobs = []
    for i in range(images):
        edges = np.cumsum(rng.integers(0, 9, size=rng.integers(1, 6)))
        segments = [(0, 0, int(rng.integers(0, 4)))]
        segments += [(1, int(a), int(b - a)) for a, b in zip([0, *edges[:-1]], edges, strict=True)]
        judge = Chosen(int(rng.integers(1, len(segments) + 1)))
        image = torch.from_numpy(rng.random(SHAPE, dtype=np.float32))
        jobs.append(Job(image, [0.5] * parts, i, segments, judge, int(rng.integers(1, 3)), judge))
    return jobs


def ready(models, batch, together=True, transform=WHOLE):
    found = rs.Classifier(models, num_classes=3, batch=batch).ready(transform, SHAPE, total=None)
    return dataclasses.replace(found, together=together)


def run(found, jobs):
    return list(conveyor.run(found, jobs, DRAWS))


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("late", [0, 1, 3])
@pytest.mark.parametrize("several", [False, True])
def test_votes_are_those_of_the_image_alone(rng, together, late, several, monkeypatch):
    def later(self, *arguments):
        begin(self, *arguments)
        self.late = late
        self.slots = [conveyor._Slot(torch.empty_like(self.slots[0].buffer), False) for _ in range(late + 1)]

    begin = conveyor._Conveyor.__init__
    monkeypatch.setattr(conveyor._Conveyor, "__init__", later)
    transform, parts = (rs.DiagonalSplit("nearest"), 2) if several else (WHOLE, 1)
    models = [linear, lambda x: -linear(x)] if several else linear
    for batch in (1, 3, 7, 16):
        jobs = random_jobs(rng, 9, parts)
        found = ready(models, batch, together, transform)
        finished = run(found, jobs)
        assert {job.id for job in finished} == set(range(9))
        for job in jobs:
            told = job.about.told
            assert [segment for segment, _ in told] == list(range(min(job.about.stop, len(job.segments))))
            for segment, votes in told:
                stream, first, count = job.segments[segment]
                image = Image(job.image, np.array(job.sigma), job.id)
                whole = votes_of(found, image, DRAWS, [(stream, first), (stream, first + count)])
                assert (votes == whole[1] - whole[0]).all()


def test_batches_stay_full_while_there_are_images(rng):
    sizes = []

    def look(x):
        sizes.append(int((x.flatten(1) != 0).any(dim=1).sum()))
        return linear(x)

    jobs = [Job(torch.rand(SHAPE), [0.5], i, [(0, 0, 5), (1, 0, 3), (1, 3, 4)], Chosen(9), 2, i) for i in range(40)]
    run(ready(look, 32), jobs)
    assert sizes == [32] * (1 + 40 * 12 // 32)  # the second asks whether copies are classified by themselves


def test_the_last_images_fill_their_batch_with_draws_that_may_be_needed(rng):
    sizes = []

    def look(x):
        sizes.append(int((x.flatten(1) != 0).any(dim=1).sum()))
        return linear(x)

    judge = Chosen(2)
    run(ready(look, 16), [Job(torch.rand(SHAPE), [0.5], 0, [(1, 4 * i, 4) for i in range(50)], judge)])
    assert sizes == [16, 16]  # four segments at once, of which two were needed; and whether copies are classified by themselves
    assert [votes.sum() for _, votes in judge.told] == [4, 4]


def test_batches_hold_one_image_where_rows_do_not_keep_their_bits(rng):
    seen = []

    def position(x):
        seen.append(sorted({round(float(row.mean())) for row in x if bool((row != 0).any())}))
        return linear(x) + torch.arange(len(x))[:, None] * 1e-6

    assert ready(position, 16).running.batching(SHAPE, None, 5) == (16, False, None)
    seen.clear()
    x = torch.stack([torch.full(SHAPE, 10.0 * i) for i in range(1, 6)])
    counts = flat.sample_counts(position, x, noise=rs.Gaussian(0.01), num_classes=3, n0=3, n=18, batch=16, value_range=None)
    assert counts.estimation.sum(axis=1).tolist() == [18] * 5
    del seen[3], seen[:2]  # these ask whether rows are classified by themselves, and whether they keep their bits
    assert len(seen) == 5 * 2
    assert all(len(means) <= 1 for means in seen)


def test_batches_are_shared_where_rows_keep_their_bits():
    running = ready(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3)), 16).running
    assert running.batching(SHAPE, None, 5) == (16, True, None)
    assert running.batching(SHAPE, None, 1) == (16, False, None)
    assert running.batching(SHAPE, 160, 5) == (16, False, None)


def test_a_run_that_is_abandoned_gives_modules_their_mode_back():
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Dropout(0.5), torch.nn.Linear(16, 3)).train()
    jobs = (Job(torch.rand(SHAPE), [0.5], i, [(1, 0, 8)], Chosen(1)) for i in range(100))
    with contextlib.closing(conveyor.run(ready(net, 8), jobs, DRAWS)) as running:
        next(running)
        assert not net.training
    assert net.training
    assert sum(1 for _ in jobs) >= 98  # images are taken in when a batch has room for them


def test_an_image_without_draws_is_done_at_once():
    judge = Chosen(9)
    (job,) = run(ready(linear, 4), [Job(torch.rand(SHAPE), [0.5], 0, [(0, 0, 0), (1, 0, 0)], judge, 2)])
    assert job.done
    assert [votes.tolist() for _, votes in judge.told] == [[[0, 0, 0]]] * 2


def test_a_module_stays_in_eval_mode_until_its_last_call_has_ended():
    net = torch.nn.Sequential(torch.nn.Dropout(), torch.nn.Flatten())
    net[1].eval()
    with contextlib.ExitStack() as second:
        with evaluating(list(net.modules())):
            second.enter_context(evaluating(list(net.modules())))
        assert not any(module.training for module in net.modules())
    assert [module.training for module in net.modules()] == [True, True, False]
