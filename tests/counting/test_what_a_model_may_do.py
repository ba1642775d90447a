"""What a model may and may not do with its input: docs/soundness.md says it, and each is a test here."""

import functools
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import rsfast as rs
from rsfast.compat.locuslab.core import Smooth
from rsfast.errors import ModelError, SoundnessWarning
from tests import flat

WEIGHTS = torch.linspace(-1, 1, 16)
X = torch.full((3, 1, 4, 4), 0.5)
CALL = {"noise": rs.Gaussian(0.25), "num_classes": 2, "seed": 1}


def scores(x):
    score = x.flatten(1) @ WEIGHTS
    return torch.stack([-score, score], 1)


def classes(x):
    return functional.one_hot((x.flatten(1) @ WEIGHTS > 0).long(), 2).float()


def votes(model, batch=20, **more):
    return flat.sample_counts(model, X, n0=10, n=60, batch=batch, **CALL, **more).estimation.tolist()


def by_object(model):
    seen = {}

    def remembering(x):
        if x not in seen:
            seen[x] = model(x)
        return seen[x]

    return remembering


def by(key, model):
    seen = {}

    def remembering(x):
        if key(x) not in seen:
            seen[key(x)] = model(x).clone()
        return seen[key(x)]

    return remembering


@pytest.mark.parametrize("batch", [20, 1])
@pytest.mark.parametrize("model", [scores, classes])
def test_a_model_may_remember_the_objects_that_it_has_seen(model, batch):
    expected = votes(model, batch)
    assert votes(functools.lru_cache(model), batch) == expected
    assert votes(by_object(model), batch) == expected


@pytest.mark.parametrize(
    ("key", "batch"), [(id, 20), (id, 1), (torch.Tensor.data_ptr, 20), (torch.Tensor.data_ptr, 1), (len, 20)]
)
@pytest.mark.parametrize("model", [scores, classes])
def test_a_model_may_not_remember_addresses_or_shapes(model, batch, key):
    with pytest.raises(ModelError, match=r"logits of an earlier one: .* Let it remember contents, or nothing"):
        votes(by(key, model), batch)


def test_a_model_that_remembered_its_first_batch_is_wrong_no_more_often_than_alpha():
    """A half-space at distance 0.05; by its first ten copies alone most certificates would be false."""
    model = functools.lru_cache(classes)
    image = X[:1] + 0.05 * (WEIGHTS / WEIGHTS.norm()).reshape(1, 1, 4, 4)
    wrong = 0
    for seed in range(40):
        cert = flat.certify(model, image, noise=rs.Gaussian(0.25), num_classes=2, n0=10, n=200, alpha=0.1, batch=10, seed=seed)
        wrong += bool(cert.label[0] == 0 or cert.radius[0] > 0.05)
    assert wrong <= 10  # binomial(40, 0.1): above 10 with probability 2e-3


def test_a_model_may_keep_its_input_and_sees_it_overwritten():
    kept = []

    def keeping(x):
        kept.append(x)
        return scores(x)

    assert votes(keeping) == votes(scores)
    assert len({one.data_ptr() for one in kept}) < len(kept)


@pytest.mark.parametrize("change", [lambda x: x.mul_(-2), lambda x: x.zero_(), lambda x: x.unsqueeze_(0), lambda x: x.fill_(9)])
@pytest.mark.parametrize("batch", [20, 1])
def test_a_model_may_change_its_input(change, batch):
    def changing(x):
        logits = scores(x)
        change(x)
        return logits

    assert votes(changing, batch) == votes(scores, batch)


@pytest.mark.parametrize("batch", [20, 1])
def test_a_model_may_return_its_input_or_the_same_memory_each_time(batch):
    held = torch.empty(batch, 2)
    assert votes(lambda x: held.copy_(scores(x)), batch) == votes(scores, batch)
    assert votes(lambda x: x.flatten(1)[:, :2], batch) == votes(lambda x: x.flatten(1)[:, :2].clone(), batch)


def batch_norm():
    torch.manual_seed(0)
    return nn.Sequential(nn.BatchNorm2d(1, track_running_stats=False), nn.Flatten(), nn.Linear(16, 2))


def attention():
    """A batch taken for a sequence."""
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 2, 16, batch_first=True)
    return nn.Sequential(nn.Flatten(), nn.Unflatten(0, (1, -1)), layer, nn.Flatten(0, 1), nn.Linear(16, 2))


COMPANY = {
    "batch norm": batch_norm(),
    "attention": attention(),
    "mean": lambda x: scores(x - x.mean(0)),
    "largest": lambda x: scores(x / x.abs().max()),
    "norm": lambda x: scores(functional.normalize(x, dim=0)),
    "training": lambda x: scores(functional.batch_norm(x, None, None, training=True)),
    "logits": lambda x: functional.softmax(scores(x), dim=0),
    "neighbour": lambda x: scores(x) + scores(x.roll(1, 0)),
    "first row": lambda x: scores(x) + scores(x[:1]),
    "label": lambda x: classes(x - x.mean(0)),
    "rank": lambda x: functional.one_hot((scores(x)[:, 1].argsort().argsort() % 2), 2).float(),
    "overflow": lambda x: scores(x) + torch.where(x.abs().max() > 1.5, torch.nan, 0.0),
    "masked": lambda x: torch.cat([scores(x - x.mean(0)), torch.full((len(x), 1), -1e9)], 1),
    "and dropout": lambda x: scores(functional.dropout(x - x.mean(0), 0.5, True)),
}

HARD = ("label", "rank")  # labels of two copies say nothing


@pytest.mark.parametrize("name", COMPANY)
def test_a_model_may_not_depend_on_its_neighbours_in_the_batch(name):
    call = CALL | {"num_classes": 3 if name == "masked" else 2}
    said = "the model's logits of one input depend" if name == "rank" else "depend on the others in its batch"
    for size in (20,) if name == "overflow" else (5, 20) if name in HARD else (2, 5, 20):
        with pytest.raises(ModelError, match=rf"{said} .* or give batch=1"):
            flat.certify(COMPANY[name], X, n0=20, n=100, batch=size, **call)
        with pytest.raises(ModelError, match=said):
            flat.predict(COMPANY[name], X, n=100, batch=size, **call)


def test_a_dependence_of_one_class_of_many_is_seen():
    def wide(x):
        last = scores(x - x.mean(0))[:, :1]
        return torch.cat([scores(x), torch.zeros(len(x), 70_000), last], 1)

    with pytest.raises(ModelError, match="depend on the others in its batch"):
        flat.sample_counts(wide, X, n0=4, n=12, batch=4, **CALL | {"num_classes": 70_003})


def test_with_a_batch_of_one_no_copy_has_neighbours():
    assert np.array(votes(COMPANY["batch norm"], 1)).sum() == 180


def test_what_is_said_of_neighbours_holds_in_the_shims():
    class Counting(Smooth):
        def _count_arr(self, arr, length):
            return super()._count_arr(arr, length)

    for smooth in (Smooth(batch_norm(), 2, 0.25), Counting(batch_norm(), 2, 0.25)):
        with pytest.raises(ModelError, match="depend on the others in its batch"):
            smooth.certify(X[0], 10, 100, 0.001, 20)
        assert smooth._take_id() < 2


def test_a_model_may_not_depend_on_the_place_in_the_batch():
    with pytest.raises(ModelError, match="depend on its place in the batch"):
        votes(lambda x: scores(x) + torch.arange(float(len(x)))[:, None] * torch.tensor([0.0, 1.0]))


def test_rounding_alone_is_no_dependence():
    def rounded(x):
        """Other bits at other places, as different kernels for the edges of a batch give."""
        logits = 3 * scores(x)
        return logits * (1 + 1e-6 * (torch.arange(len(x)) % 3))[:, None]

    assert np.array(votes(rounded)).sum() == 180
    for dtype in (torch.bfloat16, torch.float16):
        linear = nn.Sequential(nn.Flatten(), nn.Linear(16, 2)).to(dtype)
        assert np.array(votes(lambda x: rounded(x.float()), dtype=str(dtype)[6:])).sum() == 180
        assert np.array(votes(linear)).sum() == 180


@pytest.mark.parametrize("batch", [20, 1])
@pytest.mark.parametrize(
    "model",
    [
        lambda x: scores(functional.dropout(x, 0.5, True)),
        lambda x: scores(x) + torch.randn(len(x), 2),
        lambda x: scores(x) + torch.from_numpy(np.random.default_rng().normal(size=(len(x), 2))).float(),
    ],
)
def test_a_model_that_draws_random_numbers_is_run_with_one_warning(model, batch):
    with pytest.warns(SoundnessWarning, match="draws random numbers or keeps state") as told:
        assert np.array(votes(model, batch)).sum() == 180
    assert len(told) == 1


def test_every_call_with_a_classifier_that_draws_random_numbers_is_warned_here():
    classifier = rs.Classifier(lambda x: scores(x) + torch.randn(len(x), 2), num_classes=2, batch=20)
    for _ in range(3):
        with pytest.warns(SoundnessWarning, match="draws random numbers or keeps state") as told:
            rs.certify(classifier, X[:1], noise=rs.Gaussian(0.25), n0=10, n=60, seed=0)
        assert [one.filename for one in told] == [__file__]


def test_a_fixed_model_gets_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        votes(scores)


@pytest.mark.parametrize(
    "model",
    [
        lambda x: scores(x * functional.dropout(torch.ones(1, 1, 4, 4), 0.5, True)),  # one mask for all copies
        lambda x: scores(x) + torch.randn(1, 2),
    ],
)
def test_random_numbers_may_not_be_shared_by_the_copies_of_a_batch(model):
    with pytest.raises(ModelError, match=r"all copies of a batch share .* or give batch=1"):
        votes(model)


def test_a_model_may_not_remember_the_batch_before():
    before = [torch.zeros(1)]

    def moving(x):
        logits = scores(x) + before[0].mean() * torch.tensor([0.0, 10.0])
        before[0] = x.clone()
        return logits

    with pytest.raises(ModelError, match="a state that all copies of a batch share"):
        votes(moving)


def test_a_model_may_not_settle_on_its_first_batch():
    found = []

    def settling(x):
        if not found:
            found.append(x.mean())
            return scores(x)
        return scores(x) + torch.tensor([0.0, 5.0])

    with pytest.raises(ModelError, match="answers the same batch otherwise than before: it keeps state"):
        flat.certify(settling, X[:1], n0=10, n=60, batch=20, **CALL)


@pytest.mark.parametrize("batch", [20, 1])
def test_the_question_costs_at_most_two_passes_for_an_engine(batch):
    calls = []

    def counted(x):
        calls.append(len(x))
        return scores(x)

    flat.sample_counts(counted, X[:1], n0=20, n=60, batch=batch, **CALL)
    assert len(calls) - 80 // batch == {20: 1, 1: 2}[batch]


def test_the_question_is_asked_once_for_the_calls_of_one_smooth():
    calls = []

    class Counted(nn.Module):
        def forward(self, x):
            calls.append(len(x))
            return scores(x)

    smooth = Smooth(Counted(), 2, 0.25)
    for _ in range(3):
        smooth._sample_noise(X[0], 2**14, 2**14)
    assert calls == [2**14] * 4


def test_random_numbers_of_torch_go_on_as_if_nothing_had_been_asked():
    torch.manual_seed(5)
    with pytest.warns(SoundnessWarning):
        flat.sample_counts(lambda x: scores(x) + torch.randn(len(x), 2), X[:1], n0=10, n=10, batch=10, **CALL)
    found = torch.rand(3)
    torch.manual_seed(5)
    torch.randn(10, 2), torch.randn(10, 2)
    assert torch.equal(found, torch.rand(3))


def test_what_a_model_refuses_of_unusual_inputs_is_no_matter():
    def narrow(x):
        assert float(x.min()) > -1.5 and float(x.max()) < 2.5
        return scores(x)

    assert votes(narrow) == votes(scores)


def test_images_that_are_written_to_while_they_are_drawn_are_certified_as_they_were_given():
    def model(x):
        first = x.flatten(1)[:, 0]
        return torch.stack([0.6 - first, first - 0.6], dim=1)

    call = {"noise": rs.Gaussian(0.25), "num_classes": 2, "n": 500, "n0": 20, "seed": 1, "value_range": None}
    x = torch.full((3, 1, 1, 1), 0.5)
    expected = flat.certify(model, x.clone(), **call)
    found = flat.certify(model, x, progress=lambda *_: x.fill_(0.9), **call)
    assert found.label.tolist() == expected.label.tolist() and (found.counts.estimation == expected.counts.estimation).all()


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_nested_logits_are_refused():
    with pytest.raises(ModelError, match="returned a nested tensor for a batch"):
        rs.certify(
            lambda x: torch.nested.nested_tensor([torch.zeros(2)] * len(x)), torch.zeros(1, 1, 1, 1), noise=rs.Gaussian(0.25),
            num_classes=2, n=50, n0=10,
        )  # fmt: skip
