"""The Adversarial Robustness Toolbox's smoothing with ours in its place: the assertions of its own tests, on digits, and more."""

import warnings

import numpy as np
import pytest
import scipy.stats
import torch
from torch import nn

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of the toolbox's other parts
    toolbox = pytest.importorskip("art.estimators.certification.randomized_smoothing")
    from art.attacks.evasion import FastGradientMethod
    from art.defences.postprocessor import Rounded
    from art.defences.preprocessor import SpatialSmoothing
    from art.estimators.classification import PyTorchClassifier
    from art.utils import random_targets

    from rsfast.compat import art as ours

from rsfast.errors import InvalidArgumentError
from rsfast.models import build
from rsfast.sources import load
from rsfast.training import train_with_noise

from .models import Watched, cuts, linear

TRAINERS = {
    "PyTorchMACER": {"beta": 16.0, "gamma": 8.0, "lmbda": 12.0, "gaussian_samples": 16},
    "PyTorchSmoothAdv": {"epsilon": 1.0, "num_noise_vec": 1, "num_steps": 10, "warmup": 1},
    "PyTorchSmoothMix": {"eta": 5.0, "num_noise_vec": 2, "num_steps": 8, "warmup": 10, "mix_step": 0, "maxnorm_s": None,
                         "maxnorm": None},
}  # fmt: skip
SMOOTH = {"sample_size": 100, "scale": 0.01, "alpha": 0.001}


@pytest.fixture(scope="module")
def trained():
    data = load("digits", split="train")
    x = torch.from_numpy(np.stack([data.image(i) for i in range(len(data))]))
    torch.manual_seed(0)
    model = build("small-cnn", num_classes=10, channels=1)
    train_with_noise(model, x, torch.tensor([data.label(i) for i in range(len(data))]), sigma=0.05, epochs=6, seed=0)
    return model.state_dict()


@pytest.fixture
def digits():
    """Ten test images and one-hot labels, as the toolbox's fixture gives them."""
    data = load("digits", split="test")
    x = np.stack([data.image(i) for i in range(10)])
    return x, np.eye(10, dtype=np.float32)[[data.label(i) for i in range(10)]]


@pytest.fixture
def classifier(trained):
    """The toolbox's own classifier of the digits."""
    model = build("small-cnn", num_classes=10, channels=1)
    model.load_state_dict(trained)
    return PyTorchClassifier(model=model, loss=nn.CrossEntropyLoss(), optimizer=torch.optim.Adam(model.parameters(), lr=0.01),
                             input_shape=(1, 8, 8), nb_classes=10, clip_values=(0, 1))  # fmt: skip


def smoothed(classifier, name="PyTorchRandomizedSmoothing", **more):
    """Our class of that name around a classifier's model, with arguments as the toolbox's tests give them."""
    if name == "NumpyRandomizedSmoothing":
        rs = ours.NumpyRandomizedSmoothing(classifier=classifier, **SMOOTH)
        rs.seed = 1
        return rs
    optimizer = torch.optim.SGD(classifier.model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    rs = getattr(ours, name)(
        model=classifier.model, loss=classifier._loss, input_shape=classifier.input_shape, nb_classes=classifier.nb_classes,
        optimizer=optimizer, clip_values=classifier.clip_values, channels_first=classifier.channels_first,
        **{**SMOOTH, **TRAINERS.get(name, {}), **more},
    )  # fmt: skip
    rs.seed = 1
    return rs


NAMES = ["PyTorchRandomizedSmoothing", "NumpyRandomizedSmoothing", *TRAINERS]


@pytest.mark.parametrize("name", NAMES)
def test_art_predict(name, classifier, digits):
    x, y = digits
    base, smooth = classifier.predict(x=x), smoothed(classifier, name).predict(x=x)
    np.testing.assert_array_equal(smooth.shape, base.shape)
    np.testing.assert_array_almost_equal(np.sum(smooth, axis=1), np.ones(len(y)))
    np.testing.assert_array_almost_equal(np.argmax(smooth, axis=1), np.argmax(base, axis=1))


@pytest.mark.parametrize("name", NAMES)
def test_art_fit(name, classifier, digits):
    x, y = digits
    before = [parameter.clone() for parameter in classifier.model.parameters()]
    rs = smoothed(classifier, name)
    more = {}
    if name in TRAINERS:
        more = {"nb_epochs": 1, "batch_size": 128, "scheduler": torch.optim.lr_scheduler.StepLR(rs.optimizer, step_size=50)}
    rs.fit(x=x, y=y, **more)
    assert any((a != b).any() for a, b in zip(before, classifier.model.parameters(), strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_art_certify(name, classifier, digits):
    x, y = digits
    pred, radius = smoothed(classifier, name).certify(x=x, n=250)
    np.testing.assert_array_equal(pred.shape, radius.shape)
    np.testing.assert_array_less(radius, 1)
    np.testing.assert_array_less(pred, y.shape[1])
    assert (pred >= 0).sum() >= 8


def test_art_loss_gradient(classifier, digits):
    x, y = digits
    grad = smoothed(classifier).loss_gradient(x=x, y=y, sampling=True)
    np.testing.assert_array_equal(grad.shape, x.shape)
    assert np.abs(grad).max() > 0
    through = smoothed(classifier, "NumpyRandomizedSmoothing")
    np.testing.assert_array_equal(through.loss_gradient(x=x, y=y).shape, x.shape)
    assert through.class_gradient(x=x, label=3).shape == (10, 1, 1, 8, 8)


def test_art_fgsm(classifier, digits):
    x, y = digits
    targets = random_targets(y, 10)
    plain = FastGradientMethod(estimator=classifier, targeted=True).generate(x, y=targets)
    through = FastGradientMethod(estimator=smoothed(classifier), targeted=True).generate(x, y=targets)
    np.testing.assert_array_equal(plain.shape, through.shape)
    np.testing.assert_array_less(np.abs(plain - through), 0.75)


@pytest.fixture
def tabular(rng):
    """A classifier of four features, as the toolbox's of iris."""
    from sklearn.datasets import load_iris

    data = load_iris()
    x = ((data.data - data.data.min(axis=0)) / np.ptp(data.data, axis=0)).astype(np.float32)
    order = rng.permutation(len(x))
    x, y = x[order], data.target[order]
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 10), nn.ReLU(), nn.Linear(10, 3))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(200):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(torch.from_numpy(x)), torch.from_numpy(y).long()).backward()
        optimizer.step()
    made = PyTorchClassifier(model=model, loss=nn.CrossEntropyLoss(), input_shape=(4,), nb_classes=3, clip_values=(0, 1))
    return made, x[:50], np.eye(3, dtype=np.float32)[y[:50]]


def test_art_iris_predict_and_certify(tabular):
    classifier, x, y = tabular
    rs = smoothed(classifier)
    answers = rs.predict(x=x)
    np.testing.assert_array_equal(answers.shape, y.shape)
    assert np.all(np.sum(answers, axis=1) <= 1)
    pred, radius = rs.certify(x=x, n=250)
    np.testing.assert_array_equal(pred.shape, radius.shape)
    np.testing.assert_array_less(radius, 1)
    np.testing.assert_array_less(pred, y.shape[1])
    assert (pred == y.argmax(axis=1)).mean() > 0.8


def test_art_iris_fgsm(tabular):
    classifier, x, y = tabular
    adversarial = FastGradientMethod(classifier, eps=0.1).generate(x)
    answers = np.argmax(smoothed(classifier).predict(adversarial), axis=1)
    assert not np.array_equal(x, adversarial)
    assert not np.array_equal(np.argmax(y, axis=1), answers)
    assert np.all(adversarial <= 1)
    assert np.all(adversarial >= 0)


@pytest.mark.parametrize("name", NAMES)
def test_each_is_the_toolboxs_class_with_its_constructor(name, classifier):
    rs = smoothed(classifier, name)
    assert isinstance(rs, getattr(toolbox, name))
    assert {"sample_size", "scale", "alpha"} <= set(rs.get_params())
    rs.set_params(scale=0.5, sample_size=7)
    assert (rs.scale, rs.sample_size) == (0.5, 7)


def one_pixel(probabilities, **more):
    inside = cuts(probabilities)
    model = nn.Module()
    model.forward = inside
    rs = ours.PyTorchRandomizedSmoothing(model=model, loss=nn.CrossEntropyLoss(), input_shape=(1, 4, 4), scale=1.0,
                                         nb_classes=len(probabilities), **more)  # fmt: skip
    rs.seed = 1
    return rs


def test_abstention_is_a_row_of_zeros_and_can_be_forbidden():
    rs, x = one_pixel([0.5, 0.5], sample_size=100), np.zeros((3, 1, 4, 4), dtype=np.float32)
    np.testing.assert_array_equal(rs.predict(x), np.zeros((3, 2)))
    np.testing.assert_array_equal(rs.predict(x, is_abstain=False).sum(axis=1), np.ones(3))
    with pytest.raises(ValueError, match="is_abstain='no' is not a bool"):
        rs.predict(x, is_abstain="no")
    np.testing.assert_array_equal(one_pixel([0.1, 0.9], sample_size=200).predict(x), [[0, 1]] * 3)


def test_certify_abstains_with_minus_one_and_zero():
    labels, radii = one_pixel([0.5, 0.5]).certify(np.zeros((2, 1, 4, 4), dtype=np.float32), n=500)
    assert labels.tolist() == [-1, -1]
    assert radii.tolist() == [0.0, 0.0]


def test_radii_are_the_toolboxs_rounded_down(monkeypatch):
    rs = one_pixel([0.1, 0.9])
    for votes in (950, 700, 600):
        monkeypatch.setattr(rs, "_prediction_counts", lambda *_, votes=votes, **__: np.array([1000.0 - votes, votes]))
        labels, radii = rs.certify(np.zeros((1, 1, 4, 4), dtype=np.float32), n=1000)
        expected = scipy.stats.norm.ppf(scipy.stats.beta.ppf(0.001, votes, 1001 - votes))
        assert labels[0] == 1
        assert radii[0] <= expected
        np.testing.assert_allclose(radii[0], expected, rtol=1e-12)


def test_votes_follow_the_probabilities(rng):
    p = np.array([0.1, 0.6, 0.3])
    rs = one_pixel(p)
    rs.seed = int(rng.integers(2**63))
    votes = rs._prediction_counts(np.zeros((1, 4, 4)), n=50_000, batch_size=5000)
    assert votes.dtype == np.float64
    assert scipy.stats.chisquare(votes, 50_000 * p).pvalue > 1e-6


def test_the_seed_repeats_all_draws_and_calls_do_not_share_noise(classifier, digits):
    x = digits[0][0]
    one, other = (smoothed(classifier, scale=0.7) for _ in range(2))
    other.seed = one.seed
    first, second = (one._prediction_counts(x, n=400) for _ in range(2))
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(other._prediction_counts(x, n=400), first)
    np.testing.assert_array_equal(other._prediction_counts(x, n=400), second)


def test_never_more_than_one_batch_of_copies():
    x, watched = np.zeros((2, 3, 96, 96), dtype=np.float32), Watched(linear(3 * 96 * 96))
    classifier = PyTorchClassifier(model=watched, loss=nn.CrossEntropyLoss(), input_shape=(3, 96, 96), nb_classes=10)
    for name in ("PyTorchRandomizedSmoothing", "NumpyRandomizedSmoothing"):
        watched.largest = 0
        rs = smoothed(classifier, name)
        rs.certify(x, n=100, batch_size=16)
        assert watched.largest == 16
        rs.predict(x, batch_size=24)
        assert watched.largest == 24


def test_a_fitted_classifier_votes_with_its_new_weights(classifier, digits):
    x, y = digits
    rs = smoothed(classifier)
    before = rs._prediction_counts(x[0], n=100)
    rs.fit(x, np.eye(10, dtype=np.float32)[(y.argmax(axis=1) + 1) % 10], nb_epochs=40)
    assert before.argmax() != rs._prediction_counts(x[0], n=100).argmax()


def test_a_copied_classifier_goes_on(classifier, digits):
    import copy

    rs = smoothed(classifier)
    rs._prediction_counts(digits[0][0], n=10)
    twin = copy.deepcopy(rs)
    np.testing.assert_array_equal(twin._prediction_counts(digits[0][0], n=50), rs._prediction_counts(digits[0][0], n=50))


@pytest.mark.parametrize(
    "options",
    [
        {"preprocessing": (0.3, 0.6)},
        {"preprocessing": (np.array([0.1]), np.array([0.5]))},
        {"preprocessing_defences": SpatialSmoothing(window_size=3, channels_first=True)},
        {"postprocessing_defences": Rounded(decimals=1)},
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")  # of the toolbox, about preprocessing
def test_every_kind_of_processing_gives_the_toolboxs_scores(options, classifier, digits, rng):
    rs = smoothed(classifier, **options)
    noisy = np.clip(digits[0] + rng.normal(0, 0.1, digits[0].shape), 0, 1).astype(np.float32)
    scores = rs._base_classifier((1, 8, 8))(torch.from_numpy(noisy))
    expected = rs._predict_classifier(x=noisy, batch_size=10, training_mode=False)
    np.testing.assert_allclose(scores.detach().numpy(), expected, rtol=1e-5, atol=1e-5)
    assert rs._prediction_counts(digits[0][0], n=50).sum() == 50


def test_a_subclass_with_its_own_prediction_is_asked(classifier, digits):
    class Own(ours.PyTorchRandomizedSmoothing):
        def _predict_classifier(self, x, batch_size, training_mode, **kwargs):
            assert not training_mode
            return np.eye(10)[np.full(len(x), 6)]

    rs = Own(model=classifier.model, loss=nn.CrossEntropyLoss(), input_shape=(1, 8, 8), nb_classes=10, **SMOOTH)
    assert rs._prediction_counts(digits[0][0], n=20).tolist() == [0] * 6 + [20] + [0] * 3


@pytest.mark.parametrize("scores", [np.array([1.0, 1.0 + 1e-9]), np.array([2**53 - 1, 2**53])])
def test_scores_are_voted_in_their_own_precision(scores, classifier, digits):
    class Own(ours.PyTorchRandomizedSmoothing):
        def _predict_classifier(self, x, batch_size, training_mode, **kwargs):
            return np.tile(scores, (len(x), 1))

    rs = Own(model=classifier.model, loss=nn.CrossEntropyLoss(), input_shape=(1, 8, 8), nb_classes=2, **SMOOTH)
    assert rs._prediction_counts(digits[0][0], n=20).tolist() == [0, 20]


@pytest.mark.parametrize(("n", "batch_size", "sentence"), [(0, 8, "n=0"), (10, 0, "batch_size=0")])
def test_bad_arguments_are_one_sentence(classifier, digits, n, batch_size, sentence):
    with pytest.raises(InvalidArgumentError, match=f"{sentence} is not allowed"):
        smoothed(classifier).certify(digits[0], n=n, batch_size=batch_size)


def test_without_the_toolbox_the_import_says_what_to_install():
    import subprocess
    import sys

    code = ("import sys; sys.modules['art'] = None\nimport rsfast as rs\n"
            "try:\n    rs.compat.art\nexcept ImportError as error:\n    print(error)")  # fmt: skip
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert "pip install adversarial-robustness-toolbox" in out
