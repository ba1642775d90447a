"""Smooth, with the signatures of locuslab/smoothing."""

import concurrent.futures
import threading

import numpy as np
import pytest
import scipy.stats
import torch
from torch import nn

import rsfast as rs
from rsfast import models
from rsfast.compat import locuslab
from rsfast.compat.locuslab.architectures import ARCHITECTURES, get_architecture, load_checkpoint
from rsfast.compat.locuslab.core import Smooth
from rsfast.compat.locuslab.datasets import NormalizeLayer, get_dataset, get_num_classes
from rsfast.errors import DataError, InvalidArgumentError, ModelError

from .models import Watched, cuts, linear

X = torch.zeros(1, 8, 8)


class Counted(Smooth):
    """A fork: votes that are given."""

    def __init__(self, *votes, sigma=0.5):  # and, as many forks, no call of super().__init__
        self.base_classifier, self.num_classes, self.sigma = linear(), len(votes[0]), sigma
        self.votes_given = list(votes)

    def _sample_noise(self, x, num, batch_size):
        return np.array(self.votes_given.pop(0))


def test_certify_returns_class_and_radius_as_python_numbers():
    found = locuslab.Smooth(cuts([0.1, 0.9]), 2, 1.0).certify(X, 100, 1000, 0.001, 250)
    assert (type(found), type(found[0]), type(found[1])) == (tuple, int, float)
    assert found[0] == 1
    assert 0.8 < found[1] < scipy.stats.norm.ppf(0.9) + 0.2


def test_radius_is_that_of_clopper_pearson_rounded_down():
    for votes in (990, 1000, 700, 600):
        cls, radius = Counted([0, 50], [1000 - votes, votes]).certify(X, 50, 1000, 0.001, 100)
        bound = scipy.stats.beta.ppf(0.001, votes, 1001 - votes)
        expected = 0.5 * scipy.stats.norm.ppf(bound)
        assert cls == 1
        assert radius <= expected
        np.testing.assert_allclose(radius, expected, rtol=1e-12)


@pytest.mark.parametrize(("bound", "expected"), [(np.nextafter(0.5, 0), (-1, 0.0)), (0.5, (1, 0.0))])
def test_it_abstains_if_and_only_if_the_bound_is_below_one_half(bound, expected):
    class Fixed(Counted):
        def _lower_confidence_bound(self, NA, N, alpha):
            assert (NA, N, alpha) == (9, 10, 0.25)
            return bound

    assert Fixed([0, 5], [1, 9]).certify(X, 5, 10, 0.25, 5) == expected
    assert Smooth.ABSTAIN == -1


def test_class_is_chosen_by_the_selection_votes_alone():
    assert Counted([5, 0], [10, 990]).certify(X, 5, 1000, 0.001, 100) == (-1, 0.0)


def test_predict_is_the_two_sided_test_between_the_leading_classes():
    for votes in ([40, 60, 3], [20, 80, 0], [50, 50, 0], [0, 0, 0]):
        top, second = sorted(votes)[::-1][:2]
        pvalue = scipy.stats.binomtest(top, top + second, 0.5).pvalue if top else 1.0
        for alpha in (0.001, 0.04, 0.06):
            expected = int(np.argmax(votes)) if pvalue <= alpha else -1
            assert Counted(votes).predict(X, 103, alpha, 10) == expected


def test_predict_of_one_class_answers():
    assert Counted([50]).predict(X, 50, 0.001, 10) == 0


def test_a_fork_without_super_init_still_gets_noise_of_its_own():
    class Fork(Smooth):
        def __init__(self, base_classifier):
            self.base_classifier, self.num_classes, self.sigma = base_classifier, 10, 0.5

    one, other = Fork(linear()), Fork(linear())
    assert one._sample_noise(X, 500, 100).sum() == 500
    assert one.seed != other.seed


def test_count_arr_of_a_fork_is_shown_every_answer():
    class Fork(Smooth):
        seen = 0

        def _count_arr(self, arr, length):
            assert arr.dtype == np.int64
            self.seen += len(arr)
            return super()._count_arr(arr, length)

    plain, fork = Smooth(linear(), 10, 0.5, seed=4), Fork(linear(), 10, 0.5, seed=4)
    np.testing.assert_array_equal(fork._sample_noise(X, 1001, 250), plain._sample_noise(X, 1001, 250))
    assert fork.seen == 1001
    assert fork._count_arr(np.array([1, 1, 3]), 5).tolist() == [0, 2, 0, 1, 0]


class Counting(Smooth):
    def _count_arr(self, arr, length):
        return super()._count_arr(arr, length)


def test_a_fork_that_counts_is_shown_no_answer_of_a_nan():
    def half(x):
        return torch.full((len(x), 2), torch.nan).where(x.flatten(1)[:, :1] > 0, torch.tensor([0.0, 1.0]))

    votes = Counting(half, 2, 1.0)._sample_noise(X, 2000, 300)
    assert votes[0] == 0
    assert 800 < votes[1] < 1200
    with pytest.raises(InvalidArgumentError, match="holds NaN"):
        Counting(linear(), 10, 0.5).certify(X * torch.nan, 10, 100, 0.001, 10)


def test_a_fork_that_counts_takes_every_dtype_and_is_told_what_a_model_must_return():
    for dtype in (torch.bfloat16, torch.float64):
        assert Counting(linear().to(dtype), 10, 0.5)._sample_noise(X.double(), 100, 30).sum() == 100
    with pytest.raises(ModelError, match="the model returned tuple"):
        Counting(lambda x: (x, x), 10, 0.5)._sample_noise(X, 100, 30)


def test_logits_in_float64_are_voted_in_float64():
    def close(x):
        return torch.tensor([[1.0, 1.0 + 1e-9]], dtype=torch.float64).expand(len(x), 2)

    for smooth in (Smooth(close, 2, 0.5), Counting(close, 2, 0.5)):
        assert smooth._sample_noise(X, 100, 30).tolist() == [0, 100]
        assert smooth.certify(X, 10, 100, 0.001, 30)[0] == 1


def test_every_call_has_fresh_noise_and_the_seed_repeats_them_all():
    smooth = Smooth(linear(), 10, 0.5, seed=11)
    first, second = smooth._sample_noise(X, 1000, 100), smooth._sample_noise(X, 1000, 100)
    assert not np.array_equal(first, second)
    again = Smooth(linear(), 10, 0.5, seed=smooth.seed)
    np.testing.assert_array_equal(again._sample_noise(X, 1000, 100), first)
    np.testing.assert_array_equal(again._sample_noise(X, 1000, 100), second)
    assert Smooth(linear(), 10, 0.5).seed != Smooth(linear(), 10, 0.5).seed


def test_votes_do_not_depend_on_the_batch_size():
    votes = [Smooth(cuts([0.3, 0.7]), 2, 1.0, seed=1)._sample_noise(X, 777, batch) for batch in (1, 50, 777, 10_000, None)]
    for other in votes[1:]:
        np.testing.assert_array_equal(other, votes[0])


def test_votes_follow_the_probabilities(rng):
    p = np.array([0.05, 0.25, 0.4, 0.3])
    votes = Smooth(cuts(p), 4, 1.0, seed=int(rng.integers(2**63)))._sample_noise(X, 100_000, 5000)
    assert scipy.stats.chisquare(votes, 100_000 * p).pvalue > 1e-6


def test_no_more_copies_than_the_batch_size_are_shown_and_none_in_vain():
    x, model = torch.zeros(3, 64, 64), Watched(linear(3 * 64 * 64))
    Smooth(model, 10, 0.5).certify(x, 30, 300, 0.001, 64)
    assert model.largest == 64
    model.largest = 0
    Smooth(model, 10, 0.5).certify(x, 1, 20, 0.001, 10_000)
    assert model.largest == 20


def test_of_small_images_a_mebibyte_is_shown_at_once():
    model = Watched(linear())
    Smooth(model, 10, 0.5)._sample_noise(X, 10_000, 32)
    assert model.largest == 2**18 // 64


def test_a_changed_weight_changes_the_votes_with_and_without_options():
    for options in ({}, {"fold": True}, {"dtype": "bfloat16"}):
        model = linear()
        smooth = Smooth(model, 10, 0.5, seed=1, options=options)
        first = smooth._sample_noise(X, 200, 50)
        model[1].weight.data.zero_()  # leaves no trace in torch's version counters
        model[1].bias.data.copy_(torch.arange(10.0))
        assert first[9] < 200
        assert smooth._sample_noise(X, 200, 50)[9] == 200
        model[1] = nn.Linear(64, 10)
        nn.init.zeros_(model[1].weight)
        nn.init.eye_(model[1].bias[None])
        assert smooth._sample_noise(X, 200, 50)[0] == 200


class Turned(nn.Module):
    """The class of the brightest pixel, counted on by `by`."""

    def __init__(self):
        super().__init__()
        self.by, self.mix = 0, nn.Linear(64, 10, bias=False)
        nn.init.eye_(self.mix.weight)

    def forward(self, x):
        return self.mix(x.flatten(1)).roll(self.by, 1)


def test_a_changed_attribute_and_exchanged_weights_change_the_votes_of_a_copy():
    model = Turned()
    smooth = Smooth(model, 10, 0.01, seed=1, options={"dtype": "bfloat16"})
    x = torch.zeros(1, 8, 8)
    x[0, 0, 2] = 5.0
    assert smooth._sample_noise(x, 20, 20)[2] == 20
    model.by = 3
    assert smooth._sample_noise(x, 20, 20)[5] == 20
    model.mix.weight.data = model.mix.weight.data[torch.tensor([0, 1, 4, 3, 2, 5, 6, 7, 8, 9])]  # the sum stays what it was
    assert smooth._sample_noise(x, 20, 20)[7] == 20


def test_options_choose_how_the_classifier_is_run():
    model = Watched(linear(), keep=True)
    Smooth(model, 10, 0.5, options={"mean": np.array([1.0]), "std": [0.5]})._sample_noise(X, 4000, 4000)
    assert float(model.shown[0].mean()) == pytest.approx(-2.0, abs=0.01)
    assert float(model.shown[0].std()) == pytest.approx(1.0, rel=0.01)


def test_a_copied_or_pickled_object_goes_on():
    import copy
    import pickle

    smooth = Smooth(linear(), 10, 0.5, seed=5)
    smooth._sample_noise(X, 10, 5)
    twins = copy.deepcopy(smooth), pickle.loads(pickle.dumps(smooth))
    expected = smooth._sample_noise(X, 300, 5)
    for twin in twins:
        np.testing.assert_array_equal(twin._sample_noise(X, 300, 5), expected)


def test_threads_do_not_see_each_others_images():
    class Waiting(nn.Linear):
        """Waits, when it is first asked, until another thread has been answered."""

        entered, other_is_done = threading.Event(), threading.Event()

        def forward(self, x):
            if not self.entered.is_set():
                self.entered.set()
                assert self.other_is_done.wait(30)
            return super().forward(x.flatten(1))

    model = Waiting(64, 2)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[-1.0], [1.0]]).expand(2, 64))
        model.bias.zero_()
    smooth = Smooth(model, 2, 0.25, seed=0)
    with concurrent.futures.ThreadPoolExecutor() as threads:
        waiting = threads.submit(smooth._sample_noise, X - 1, 100, 100)
        assert model.entered.wait(30)
        assert smooth._sample_noise(X + 1, 100, 100).tolist() == [0, 100]
        model.other_is_done.set()
        assert waiting.result().tolist() == [100, 0]
    assert smooth.next_id == 2


def test_the_base_classifier_is_left_in_eval_mode():
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, 10)).train()
    Smooth(model, 10, 0.5).predict(X, 10, 0.001, 10)
    assert not model.training


@pytest.mark.parametrize("shape", [(1, 8, 8), (8, 8), (1, 1, 8, 8), (64,)])
def test_images_of_every_layout_are_taken(shape):
    wanted = Smooth(linear(), 10, 0.5, seed=3)._sample_noise(X, 100, 10)
    np.testing.assert_array_equal(Smooth(linear(), 10, 0.5, seed=3)._sample_noise(X.reshape(shape), 100, 10), wanted)
    as_array = X.reshape(shape).double().numpy()
    np.testing.assert_array_equal(Smooth(linear(), 10, 0.5, seed=3)._sample_noise(as_array, 100, 10), wanted)


def test_arrays_of_every_memory_layout_are_taken():
    x = torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(0)).numpy()
    read_only = x.copy()
    read_only.setflags(write=False)
    wanted = Smooth(linear(), 10, 0.5, seed=3)._sample_noise(x, 100, 10)
    for same in (read_only, x.astype(">f4"), x[:, ::-1].copy()[:, ::-1]):
        np.testing.assert_array_equal(Smooth(linear(), 10, 0.5, seed=3)._sample_noise(same, 100, 10), wanted)


def test_images_outside_the_unit_interval_are_certified():
    assert Smooth(cuts([0.001, 0.999]), 2, 0.25).certify(X + 3.0, 10, 100, 0.01, 50)[0] == 1


def test_noise_comes_before_the_normalisation_in_the_model():
    model = Watched(NormalizeLayer([0.5], [0.2]), keep=True)
    inside = nn.Sequential(model, nn.Flatten(), nn.Linear(64, 3))
    Smooth(inside, 3, 0.25)._sample_noise(X + 0.5, 400, 400)
    assert abs(float(model.shown[0].std()) - 0.25) < 0.01


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((X, 0, 10, 0.1, 5), "n0=0 is not allowed"),
        ((X, 5, 0, 0.1, 5), "n=0 is not allowed"),
        ((X, 5, 10, 1.0, 5), "alpha=1.0 is not a failure probability"),
        ((X, 5, 10, 0.0, 5), "alpha=0.0 is not a failure probability"),
        ((X, 5, 10, [0.1, 0.2], 5), "alpha is an array"),
        ((X, 5, 10, 0.1, 0), "batch_size=0 is not allowed"),
        ((torch.zeros(2, 1, 8, 8), 5, 10, 0.1, 5), "give one image"),
        ((X.to(torch.uint8), 5, 10, 0.1, 5), "give floating-point images"),
        ((X * float("nan"), 5, 10, 0.1, 5), "NaN"),
        (("photo.png", 5, 10, 0.1, 5), "give one image"),
    ],
)
def test_bad_arguments_are_one_sentence(arguments, sentence):
    with pytest.raises(InvalidArgumentError, match=sentence):
        Smooth(linear(), 10, 0.5).certify(*arguments)


def test_another_number_of_classes_is_told():
    with pytest.raises(ModelError, match="give num_classes=10"):
        Smooth(linear(), 5, 0.5).certify(X, 5, 10, 0.1, 5)


@pytest.mark.parametrize("prefix", ["1.", "1.module.", "module.1.", "module.", ""])
def test_published_checkpoints_load_under_every_prefix(prefix, tmp_path):
    network = get_architecture("cifar_resnet20", "cifar10").eval()
    state = {name.replace("1.", prefix, 1): value for name, value in network.state_dict().items()}
    assert all(name.startswith(prefix) for name in state)
    torch.save({"epoch": 90, "arch": "cifar_resnet20", "state_dict": state, "optimizer": {}}, tmp_path / "checkpoint.pth.tar")
    loaded = load_checkpoint(tmp_path / "checkpoint.pth.tar", "cifar10")
    x = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(loaded(x), network(x), rtol=0, atol=0)
    assert not loaded.training


def test_resnet50_has_the_published_shape():
    with torch.device("meta"):
        network = models.build("resnet50", num_classes=1000, channels=3)
    assert sum(p.numel() for p in network.parameters()) == 25_557_032
    assert len(network.state_dict()) == 320
    assert {"layer4.2.conv3.weight", "layer2.0.downsample.1.running_var", "fc.bias"} <= set(network.state_dict())
    assert network(torch.empty(2, 3, 224, 224, device="meta")).shape == (2, 1000)
    assert "resnet50" in ARCHITECTURES


def test_a_checkpoint_that_is_none_is_refused(tmp_path):
    torch.save({"state_dict": {}}, tmp_path / "a.pt")
    with pytest.raises(ModelError, match="must hold `arch` and `state_dict`"):
        load_checkpoint(tmp_path / "a.pt", "cifar10")
    (tmp_path / "b.pt").write_bytes(b"no archive")
    with pytest.raises(ModelError, match="cannot be loaded as a checkpoint"):
        load_checkpoint(tmp_path / "b.pt", "cifar10")
    torch.save({"arch": "cifar_resnet20", "state_dict": {"1.conv1.weight": torch.zeros(1)}}, tmp_path / "c.pt")
    with pytest.raises(ModelError, match="does not fit cifar_resnet20"):
        load_checkpoint(tmp_path / "c.pt", "cifar10")
    with pytest.raises(InvalidArgumentError, match="architecture 'vgg' is not known"):
        get_architecture("vgg", "cifar10")


def test_cifar10_is_read_as_torchvision_unpacks_it(tmp_path, monkeypatch, rng):
    import pickle

    images, labels = rng.integers(0, 256, (20, 3072), dtype=np.uint8), rng.integers(0, 10, 20).tolist()
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    with (folder / "test_batch").open("wb") as out:
        pickle.dump({b"data": images, b"labels": labels}, out, protocol=2)
    monkeypatch.setenv("CIFAR10_DIR", str(tmp_path))
    data = get_dataset("cifar10", "test")
    x, label = data[7]
    assert (len(data), label, get_num_classes("cifar10")) == (20, labels[7], 10)
    torch.testing.assert_close(x, torch.from_numpy(images[7].reshape(3, 32, 32)) / 255)


def test_a_batch_that_would_run_code_is_refused(tmp_path, monkeypatch):
    import pickle

    class Evil:
        def __reduce__(self):
            return (print, ("run",))

    (tmp_path / "test_batch").write_bytes(pickle.dumps({b"data": Evil(), b"labels": []}))
    monkeypatch.setenv("CIFAR10_DIR", str(tmp_path))
    with pytest.raises(DataError, match="it names builtins.print"):
        get_dataset("cifar10", "test")


def test_imagenet_needs_its_variable(monkeypatch):
    monkeypatch.delenv("IMAGENET_DIR", raising=False)
    with pytest.raises(DataError, match="IMAGENET_DIR"):
        get_dataset("imagenet", "test")


def test_statistics_that_a_checkpoint_holds_replace_the_data_sets(tmp_path):
    network = get_architecture("cifar_resnet20", "cifar10").eval()
    state = {f"1.module.{name}": value for name, value in network[1].state_dict().items()}
    state |= {"0.means": torch.tensor([0.5, 0.4, 0.3]).reshape(3, 1, 1), "0.sds": torch.tensor([0.25, 0.2, 0.3]).reshape(3, 1, 1)}
    torch.save({"arch": "cifar_resnet20", "state_dict": state}, tmp_path / "c.pt")
    x = torch.rand(2, 3, 32, 32)
    expected = network[1]((x - state["0.means"]) / state["0.sds"])
    torch.testing.assert_close(load_checkpoint(tmp_path / "c.pt", "cifar10")(x), expected)


def test_a_label_leaves_out_the_draws_of_images_that_are_misclassified():
    model = Watched(cuts([0.1, 0.9]))
    for label, expected in ((0, (-2, 0.0)), (torch.tensor(0), (-2, 0.0)), (1, None), (None, None)):
        smooth = Smooth(model, 2, 1.0, seed=3)
        found = smooth.certify(X, 100, 1000, 0.001, 250, label=label)
        plain = Smooth(model, 2, 1.0, seed=3).certify(X, 100, 1000, 0.001, 250)
        assert found == (plain if expected is None else expected)
        assert smooth.next_id == (2 if expected is None else 1)
    with pytest.raises(InvalidArgumentError, match="label='cat' is not allowed"):
        Smooth(model, 2, 1.0).certify(X, 100, 1000, 0.001, 250, label="cat")


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda s: s.certify(X, 10, 20, 0.1, 5, return_details=True), "return_details.*rsfast.certify returns votes, bounds and radii"),
        (lambda s: s.certify(X, 10, 20, 0.1, bs=5), "'bs': it is called batch_size"),
        (lambda s: s.certify(X, 10, 20, 0.1, batchsize=5), "did you mean 'batch_size'"),
        (lambda s: s.predict(X, 10, 0.1, 5, label=3), "'label': compare it"),
        (lambda s: s.certify(X, 10), "missing a required argument: 'n'"),
        (lambda s: Smooth(linear(), 10, 0.25, 40), "t of diffusion denoised smoothing.*rsfast.models.Denoised"),
        (lambda s: Smooth(linear(), 10, 0.25, t=40), "'t': .*rsfast.models.Denoised"),
        (lambda s: Smooth(linear(), 10), "missing a required argument: 'sigma'"),
    ],
)  # fmt: skip
def test_arguments_of_forks_are_answered_with_what_to_do(call, said):
    with pytest.raises(InvalidArgumentError, match=said) as caught:
        call(Smooth(linear(), 10, 0.25))
    assert isinstance(caught.value, TypeError)


def test_a_classifier_stands_in_the_models_place_and_is_prepared_once():
    model = cuts([0.1, 0.9])
    classifier = rs.Classifier(model, num_classes=2, batch=50, value_range=None)
    smooth, plain = Smooth(classifier, 2, 1.0, seed=7), Smooth(model, 2, 1.0, seed=7)
    for _ in range(2):
        assert smooth.certify(X, 100, 1000, 0.001, 250) == plain.certify(X, 100, 1000, 0.001, 250)
        assert smooth.predict(X, 100, 0.001, 50) == plain.predict(X, 100, 0.001, 50)
    assert len(classifier._running) == 1
    with pytest.raises(InvalidArgumentError, match="give its number of classes"):
        Smooth(classifier, 3, 1.0).certify(X, 100, 1000, 0.001, 250)
