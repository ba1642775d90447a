"""add_noise: the noise as a library."""

import doctest

import numpy as np
import pytest
import scipy.stats
import torch

import rsfast as rs
import rsfast.torch
from rsfast.errors import InvalidArgumentError
from rsfast.torch import add_noise
from tests import flat

from .models import Watched, linear

NOISES = [rs.Gaussian(0.25), rs.Laplace(0.2), rs.GeneralizedGaussian(0.5, 3.0), rs.Uniform(0.4), rs.LatticeGaussian(0.25)]


@pytest.fixture
def x(rng):
    return torch.from_numpy(rng.integers(0, 256, (3, 1, 8, 8)).astype(np.float32) / np.float32(255))


def test_the_example_runs():
    assert doctest.testmod(rsfast.torch).failed == 0


@pytest.mark.parametrize("noise", NOISES, ids=lambda noise: type(noise).__name__)
def test_copies_are_those_that_a_model_is_shown(noise, x):
    model = Watched(linear(), keep=True)
    flat.sample_counts(model, x, noise=noise, num_classes=10, n0=0, n=6, seed=9, ids=[5, 8, 2], batch=6)
    got = add_noise(x, noise, seed=9, ids=[5, 8, 2], copies=6)
    assert torch.equal(got.reshape(-1, 1, 8, 8), torch.cat(model.drawn()).reshape(-1, 1, 8, 8))


def test_copies_of_parts_with_normalisation_are_those_that_a_model_is_shown(x):
    model, split = Watched(linear(), keep=True), rs.DiagonalSplit("bilinear")
    common = {"noise": rs.Gaussian(0.5), "seed": 9, "transform": split, "mean": [0.4], "std": [0.3], "dtype": "bfloat16"}
    flat.sample_counts(model.to(torch.bfloat16), x[:1], num_classes=10, n0=0, n=4, batch=4, **common)
    for part in (0, 1):
        assert torch.equal(add_noise(x[:1], part=part, copies=4, **common)[0], model.drawn()[part])


def test_a_copy_is_the_same_in_whatever_call_it_is_drawn(x):
    whole = add_noise(x, rs.Gaussian(0.25), seed=4, copies=10)
    assert whole.shape == (3, 10, 1, 8, 8)
    assert torch.equal(add_noise(x[1:2], rs.Gaussian(0.25), seed=4, ids=[1], copies=3, first=6)[0], whole[1, 6:9])
    assert torch.equal(add_noise(x, rs.Gaussian(0.25), seed=4, first=7), whole[:, 7])


def test_streams_seeds_and_ids_share_no_noise():
    x = torch.zeros(1, 100)
    calls = [{}, {"stream": "selection"}, {"stream": 77}, {"seed": 1}, {"ids": [3]}, {"first": 1}]
    drawn = [add_noise(x, rs.Gaussian(1.0), **{"seed": 0, **call}) for call in calls]
    for i in range(len(drawn)):
        assert not any(torch.isin(drawn[i], other).any() for other in drawn[:i])
    assert not torch.equal(add_noise(x, rs.Gaussian(1.0)), add_noise(x, rs.Gaussian(1.0)))


@pytest.mark.parametrize("shape", [(), (5,), (7, 16), (2, 4, 4), (3, 2, 4, 4), (2, 2, 2, 2, 2)])
def test_inputs_of_any_shape_keep_it(shape):
    x = torch.zeros(4, *shape)
    flat = add_noise(x.reshape(4, -1), rs.Gaussian(1.0), seed=2)
    got = add_noise(x, rs.Gaussian(1.0), seed=2)
    assert got.shape == x.shape
    assert torch.equal(got.reshape(4, -1), flat)


def test_draws_are_gaussian(rng):
    z = add_noise(np.zeros((10, 20_000), dtype=np.float32), rs.Gaussian(0.5), seed=int(rng.integers(2**63)))
    assert scipy.stats.kstest(z.ravel() / 0.5, "norm").pvalue > 1e-6


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_numpy_in_numpy_out(dtype, rng):
    x = rng.random((2, 3, 4, 4)).astype(dtype)
    before = x.copy()
    x.flags.writeable = False
    got = add_noise(x, rs.Gaussian(0.25), seed=1)
    assert (type(got), got.dtype, got.shape) == (np.ndarray, dtype, x.shape)
    expected = add_noise(torch.from_numpy(before), rs.Gaussian(0.25), seed=1)
    np.testing.assert_array_equal(got, expected.numpy())
    np.testing.assert_array_equal(x, before)


class Foreign:
    """An array of a library that speaks DLPack and the array API and nothing else."""

    def __init__(self, values):
        self.values = values

    def __dlpack__(self, **options):
        return self.values.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.values.__dlpack_device__()

    def __array_namespace__(self):
        return Foreign

    @staticmethod
    def from_dlpack(other):
        return Foreign(np.from_dlpack(other))


def test_an_array_with_dlpack_comes_back_as_its_own_kind(rng):
    values = rng.random((2, 5)).astype(np.float32)
    got = add_noise(Foreign(values), rs.Gaussian(0.25), seed=1)
    assert type(got) is Foreign
    np.testing.assert_array_equal(got.values, add_noise(values, rs.Gaussian(0.25), seed=1))


def test_an_array_whose_library_takes_no_dlpack_comes_back_as_a_tensor(rng):
    class Plain(Foreign):
        __array_namespace__ = property()

    values = rng.random((2, 5)).astype(np.float32)
    assert isinstance(add_noise(Plain(values), rs.Gaussian(0.25), seed=1), torch.Tensor)


def test_jax_arrays_come_back_as_jax_arrays(rng):
    jax = pytest.importorskip("jax")
    values = rng.random((2, 1, 8, 8)).astype(np.float32)
    got = add_noise(jax.numpy.asarray(values), rs.Gaussian(0.25), seed=1)
    assert isinstance(got, jax.Array)
    np.testing.assert_array_equal(np.asarray(got), add_noise(values, rs.Gaussian(0.25), seed=1))


def test_the_gradient_goes_through(x):
    x = x.requires_grad_()
    weights = torch.rand(3, 5, 1, 8, 8)
    noisy = add_noise(x, rs.Gaussian(0.25), seed=1, copies=5, mean=[0.5], std=[0.2])
    (noisy * weights).sum().backward()
    torch.testing.assert_close(x.grad, weights.sum(dim=1) / 0.2)
    one = torch.zeros(2, 3, 4, 4, requires_grad=True)
    add_noise(one, rs.Gaussian(0.25), std=[0.5, 1.0, 2.0]).sum().backward()
    torch.testing.assert_close(one.grad[1, :, 0, 0], torch.tensor([2.0, 1.0, 0.5]))
    with torch.no_grad():
        assert not add_noise(x, rs.Gaussian(0.25)).requires_grad
    with pytest.raises(InvalidArgumentError, match=r"give x.detach\(\)"):
        add_noise(x, rs.Gaussian(0.25), transform=rs.DiagonalSplit())


def test_dtype_and_layout_can_be_chosen(x):
    got = add_noise(x.expand(3, 4, 8, 8), rs.Gaussian(0.25), seed=3, dtype="bfloat16", channels_last=True)
    assert got.dtype == torch.bfloat16
    assert got.is_contiguous(memory_format=torch.channels_last)
    plain = add_noise(x.expand(3, 4, 8, 8), rs.Gaussian(0.25), seed=3)
    assert torch.equal(got, plain.to(torch.bfloat16))


def test_a_level_that_depends_on_the_input_is_used():
    def level(images):
        return np.where(images.flatten(1).mean(dim=1).numpy() > 0.5, 2.0, 0.1)

    x = torch.stack([torch.zeros(1, 40, 40), torch.ones(1, 40, 40)])
    got = add_noise(x, rs.InputDependentGaussian(level, rate=0.1), seed=1) - x
    assert got.flatten(1).std(dim=1).tolist() == pytest.approx([0.1, 2.0], rel=0.1)


@pytest.mark.parametrize(
    ("x", "more", "sentence"),
    [
        ([1.0, 2.0], {}, "x is list: give a torch tensor"),
        (np.zeros((2, 3), dtype=np.uint8), {}, "give floating-point numbers"),
        (np.float32(1.0), {}, "give a torch tensor|the inputs on the first axis"),
        (np.zeros((0, 3), dtype=np.float32), {}, "holds no numbers"),
        (np.zeros((2, 3)), {"ids": [1, 1]}, "id 1 occurs 2 times"),
        (np.zeros((2, 3)), {"seed": -1}, "seed=-1 is not allowed"),
        (np.zeros((2, 3)), {"copies": 0}, "copies=0 is not allowed"),
        (np.zeros((2, 3)), {"first": 2**32}, "first=4294967296 is not allowed"),
        (np.zeros((2, 3)), {"stream": "mine"}, "stream='mine' is not known"),
        (np.zeros((2, 3)), {"stream": 2**31}, "stream=2147483648 is not allowed"),
        (np.zeros((2, 3)), {"part": 1}, "part=1 is not allowed"),
        (np.zeros((2, 3)), {"transform": rs.DiagonalSplit()}, "which the transform splits"),
        (np.zeros((2, 3)), {"dtype": "int8"}, "dtype='int8' is not known"),
        (np.zeros((2, 3)), {"dtype": "bfloat16"}, "dtype='bfloat16' is none of NumPy's"),
        (np.zeros((2, 3)), {"backend": "cuda"}, "backend='cuda' is not known"),
        (np.zeros((2, 3)), {"mean": [1.0, 2.0]}, "mean has 2 entries"),
    ],
)
def test_bad_arguments_are_one_sentence(x, more, sentence):
    with pytest.raises(InvalidArgumentError, match=sentence):
        add_noise(x, rs.Gaussian(0.25), **more)


def test_something_that_is_no_noise_is_refused():
    with pytest.raises(InvalidArgumentError, match="is not a noise"):
        add_noise(np.zeros((2, 3)), 0.25)
