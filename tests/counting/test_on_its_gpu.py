"""What the host asks of a GPU: on which device and stream, with which copies, in which mode; shown by CUDA's host side faked."""

import contextlib

import numpy as np
import pytest
import torch

import rsfast as rs
from rsfast import inference
from rsfast.counting import conveyor, ready
from rsfast.counting.conveyor import Draws, Job
from rsfast.errors import InvalidArgumentError, ModelError
from rsfast.inference import runtimes
from rsfast.request import WHOLE
from tests import flat
from tests.counting.fake_cuda import FakeCuda

CALL = {"noise": rs.Gaussian(0.5), "num_classes": 7, "n0": 20, "n": 300, "seed": 5, "batch": 64}


def pixels(x):
    return x.flatten(1)[:, :7].float()


@pytest.fixture
def fake(monkeypatch):
    return FakeCuda(monkeypatch)


@pytest.fixture
def images(rng):
    return torch.from_numpy(rng.random((3, 1, 8, 8), dtype=np.float32))


def test_everything_is_asked_for_on_the_engines_gpu_which_is_the_current_one_no_longer(fake, images):
    plain = flat.sample_counts(pixels, images, **CALL)
    with fake:
        found = flat.sample_counts(pixels, images, device="cuda:1", **CALL)
    assert np.array_equal(found.estimation, plain.estimation) and np.array_equal(found.selection, plain.selection)
    assert {device for what, device, _ in fake.log} == {1}
    assert {what for what, _, _ in fake.log} == {"wait", "record", "synchronize", "copy"}
    assert fake.current == 0


def test_whoever_has_a_job_that_is_done_has_their_own_current_device(fake, images):
    found = rs.Classifier(pixels, num_classes=7, device="cpu", batch=64).ready(WHOLE, (1, 8, 8), total=None)
    found.running.device = torch.device("cuda:1")
    jobs = [Job(image, [0.5], i, [(1, 0, 100)], lambda *_: True) for i, image in enumerate(images)]
    with fake:
        seen = [fake.current for _ in conveyor.run(found, jobs, Draws(rs.Gaussian(0.5), 1))]
    assert seen == [0, 0, 0]


@pytest.mark.parametrize("stopped", [False, True])
def test_buffers_that_a_gpu_may_still_be_reading_are_not_lent_again(stopped, fake, images):
    found = rs.Classifier(pixels, num_classes=7, device="cpu", batch=64).ready(WHOLE, (1, 8, 8), total=None)
    found.running.device = torch.device("cuda:1")

    def progress(_):
        if stopped:
            raise KeyboardInterrupt

    job = Job(images[0], [0.5], 0, [(1, 0, 100)], lambda *_: True)
    with fake, pytest.raises(KeyboardInterrupt) if stopped else contextlib.nullcontext():
        list(conveyor.run(found, [job], Draws(rs.Gaussian(0.5), 1), progress))
    assert sum(map(len, found.running._spare.values())) == (0 if stopped else 2)


def test_no_copy_to_a_gpu_waits_for_its_stream(fake, images):
    with fake:
        flat.sample_counts(pixels, images, device="cuda:1", **CALL)
    copies = [stream for what, _, stream in fake.log if what == "copy"]
    assert fake.pageable == 0 and len(copies) >= len(images)
    drawing = copies[0]
    assert drawing is not fake.stream_of(1)
    assert sum(stream is drawing for stream in copies) == len(images)  # each image once, where the noise is drawn


class Modes(torch.nn.Module):
    """Remembers the mode of every pass, its own and that of a module that it does not list."""

    def __init__(self):
        super().__init__()
        self.modes = []
        self.inside = torch.nn.Linear(3, 7)
        self.hidden = [torch.nn.Dropout(0.5)]

    def forward(self, x):
        self.modes.append((self.training, self.hidden[0].training))
        return self.hidden[0](self.inside(x.mean((2, 3))))


def test_a_graph_is_captured_in_eval_mode_on_its_own_gpu(fake):
    model = Modes().train()
    x = torch.zeros(4, 3, 2, 2)
    call = pretending_to_be(x, fake)
    with fake:
        graph = runtimes.graphed(lambda batch: model(batch), call)
        graph(call)
    assert model.modes == [(False, False)] * 4
    assert (model.training, model.hidden[0].training) == (True, True)
    assert [(one.device, one.stream.device.index) for one in fake.captures] == [(1, 1)]
    assert [device for what, device, _ in fake.log if what == "replay"] == [1]


def pretending_to_be(x, fake):
    """A tensor that says that it is on cuda:1."""

    class OnGpu(torch.Tensor):
        device = property(lambda self: torch.device("cuda:1"))

        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            with torch._C.DisableTorchFunctionSubclass():
                found = func(*args, **(kwargs or {}))
            kept = func.__name__ in ("empty_like", "copy_", "detach")
            return found.as_subclass(OnGpu) if kept and isinstance(found, torch.Tensor) else found

    return x.as_subclass(OnGpu)


def test_what_is_copied_is_in_eval_mode_with_the_modules_that_it_does_not_list():
    prepared = inference.prepare(Modes().train(), (3, 4, 4), dtype="bfloat16", batch=4)
    assert not prepared.model.training and not prepared.model.hidden[0].training


def test_what_is_prepared_is_made_with_modules_in_eval_mode(monkeypatch):
    model, seen = Modes().train(), []
    model.hidden[0].p = 0.0
    made = inference.preparation._Preparation._maker

    def maker(self, *choice, **options):
        make = made(self, *choice, **options)
        return lambda batch: seen.append(model.training) or make(batch)

    monkeypatch.setattr(inference.preparation._Preparation, "_maker", maker)
    inference.prepare(lambda x: model(x), (3, 4, 4), batch=4)
    assert seen and not any(seen)


class Miscounting:
    """A backend that counts as another one does, and then changes a vote."""

    def __init__(self, inner, change):
        self.inner, self.change = inner, change

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def count(self, logits, votes, rows=None):
        self.inner.count(logits, votes, rows)
        self.change(votes)


def swapped(votes):
    """Votes of one piece among another's, as many as before altogether; of one piece alone, one more."""
    votes.copy_(votes.roll(1, 0) if len(set(votes.sum(1).tolist())) > 1 else votes + 1)


@pytest.mark.parametrize("device", ["cpu", "cuda:1"])
@pytest.mark.parametrize("change", [lambda votes: votes[0, 3].add_(1), lambda votes: votes.mul_(0), swapped])
def test_votes_that_do_not_add_up_to_the_copies_are_refused(device, change, fake, images, monkeypatch):
    right = ready.Ready.backend_for
    monkeypatch.setattr(ready.Ready, "backend_for", lambda self, x, noise: Miscounting(right(self, x, noise), change))
    with fake, pytest.raises(ModelError, match=r"copies of image id \d have \d+ votes, and 0 of them have a NaN"):
        flat.sample_counts(pixels, images, device=device, **CALL)


@pytest.mark.parametrize("device", ["cpu", "cuda:1"])
def test_copies_with_nan_for_a_logit_have_no_vote_and_are_not_missed(device, fake, images):
    def some_nan(x):
        found = pixels(x)
        return torch.where(found[:, :1] > 0.9, torch.nan, found)

    with fake:
        counts = flat.sample_counts(some_nan, images, device=device, **CALL)
    assert (counts.without_class > 0).all() and (counts.estimation.sum(1) + counts.without_class == 300).all()


def test_a_gpu_and_its_settings_are_part_of_the_classifier(fake, images, monkeypatch):
    call = CALL | {"plan": rs.plans.Betting(radii=[0.1]), "device": "cuda:0"}
    with fake:
        earlier = flat.sample_counts(pixels, images, **call)
        flat.sample_counts(pixels, images, **call | {"n": 600, "seed": None}, earlier=earlier)
        for module, name, other in (
            (torch.backends.cudnn, "allow_tf32", not torch.backends.cudnn.allow_tf32),
            (torch.backends.cudnn, "benchmark", True),
            (torch.backends.cudnn, "deterministic", True),
        ):
            before = getattr(module, name)
            setattr(module, name, other)
            try:
                with pytest.raises(InvalidArgumentError, match="earlier was run with .*, this call with "):
                    flat.sample_counts(pixels, images, **call | {"n": 600, "seed": None}, earlier=earlier)
            finally:
                setattr(module, name, before)
        for where, name, value, said in (
            (torch.cuda, "get_device_name", lambda device=None: "Fake H200", 'gpu="Fake H100", this call with gpu="Fake H200"'),
            (torch.backends.cudnn, "version", lambda: 91900, "cudnn="),
            (torch, "__version__", "2.99", "torch="),
        ):
            with monkeypatch.context() as patch:
                patch.setattr(where, name, value)
                with pytest.raises(InvalidArgumentError, match=said):
                    flat.sample_counts(pixels, images, **call | {"n": 600, "seed": None}, earlier=earlier)


def test_a_cpu_adds_nothing_to_a_classifiers_identity(images):
    counts = flat.sample_counts(pixels, images, **CALL)
    assert inference.arithmetic(torch.device("cpu")) == {} and "inference" not in counts.versions


def test_an_image_net_batch_on_a_gpu_has_hundreds_of_copies():
    assert inference.default_batch(3 * 224 * 224, 2**40, "cuda") == 445
