"""Bad arguments, training images and queries are refused in a sentence."""

import numpy as np
import pytest
import torch

from rsfast.errors import InvalidArgumentError
from rsfast.sigma import NearestNeighbors
from tests.reference.neighbors import Blocks, neighbours


@pytest.mark.parametrize(
    "bad, says",
    [
        ({"base": 0.0}, "base=0.0 is not allowed: give a noise level from 1e-6 to 1e6"),
        ({"base": 1e7}, "base="),
        ({"base": "big"}, "base is not numeric"),
        ({"base": [0.5, 0.5]}, "base=.* is an array"),
        ({"rate": -0.1}, "rate=-0.1 is not allowed"),
        ({"rate": np.nan}, "rate=nan"),
        ({"rate": np.inf}, "rate=inf"),
        ({"k": 0}, "k=0 is not allowed"),
        ({"k": 2.5}, "k=2.5 is not allowed"),
        ({"k": 11}, "k=11 is more than the 10 training images: give k of at most 10"),
        ({"m": "median"}, "m='median' is not known: give one of average, minimum"),
        ({"m": np.inf}, "m=inf"),
        ({"m": None}, "m"),
        ({"k": 10, "m": "average"}, "m='average' needs more training images than k=10"),
        ({"m": "average", "sample": 0}, "sample=0"),
        ({"largest": 0}, "largest="),
        ({"block_bytes": 0}, "block_bytes=0"),
        ({"device": "abacus"}, "device='abacus' is not known"),
        ({"device": "meta"}, "device='meta' cannot be used here"),
    ],
)
def test_bad_arguments_are_refused(bad, says, rng):
    with pytest.raises(InvalidArgumentError, match=says):
        neighbours(rng.random((10, 4)), **bad)


@pytest.mark.parametrize(
    "training, says",
    [
        (np.zeros((0, 4)), "holds no pixels"),
        (np.zeros((4, 0)), "holds no pixels"),
        (np.array(1.0), "holds no pixels"),
        (np.zeros((4, 4), int), "training holds int64 images"),
        (np.zeros((4, 4), bool), "training holds bool images"),
        ([[1.0], [1.0, 2.0]], "training is list: give an array"),
        ("photos", "training"),
        (Blocks(np.zeros((0, 4))), "training holds 0 images"),
    ],
)
def test_bad_training_images_are_refused(training, says):
    with pytest.raises(InvalidArgumentError, match=says):
        neighbours(training, k=1)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 41, 99])
def test_training_pixels_that_are_not_finite_are_refused(dtype, bad, place, rng):
    training = rng.random((100, 6)).astype(dtype)
    training[place, 3] = bad
    with pytest.raises(InvalidArgumentError, match=rf"training\[{place}\] holds NaN"):
        neighbours(training, m="average")


def test_blocks_of_another_type_or_shape_are_refused(rng):
    training = Blocks(rng.random((30, 6), dtype=np.float32))
    sigma = neighbours(training)
    training.images = training.images.astype(float)
    with pytest.raises(InvalidArgumentError, match="is float64"):
        sigma(np.zeros((1, 6)))


@pytest.mark.parametrize(
    "x, says",
    [
        (np.zeros((2, 5)), r"x has shape \(2, 5\) and a training image \(6,\)"),
        (np.zeros(6), "x has shape"),
        (np.zeros((0, 6)), "x has shape"),
        (np.zeros((2, 6), np.uint8), "x is uint8: give floating-point images"),
        (torch.zeros((2, 6), dtype=torch.int64), "x is int64"),
        ([[0.0] * 6, [0.0]], "x is list"),
        (np.array([[0.0] * 6, [np.nan] * 6]), r"x\[1\] holds NaN"),
        (np.array([[np.inf] * 6]), r"x\[0\] holds NaN"),
        (np.array([[np.inf] * 6], np.float16), r"x\[0\] holds NaN"),
    ],
)
def test_bad_queries_are_refused(x, says, rng):
    with pytest.raises(InvalidArgumentError, match=says):
        neighbours(rng.random((10, 6)))(x)


def test_a_sigma_out_of_range_is_refused(rng):
    training, x = rng.random((10, 6)), rng.random((2, 6))
    x[1] += 1e5
    with pytest.raises(InvalidArgumentError, match=r"sigma\(x\[1\]\)=inf is outside 1e-6 to 1e6"):
        neighbours(training)(x)
    assert neighbours(training, largest=2.0)(x)[1] == 2.0
    with pytest.raises(InvalidArgumentError, match=r"sigma\(x\[0\]\)=.* is outside"):
        neighbours(training, m=1e4)(x[:1])


def test_exponents_beyond_what_doubles_give_exactly_are_refused():
    sigma = NearestNeighbors(np.zeros((3, 4)), base=0.5, rate=10.0, k=1, m=100.0)
    with pytest.raises(InvalidArgumentError, match="too much for sigma to be exact"):
        sigma(np.full((1, 4), 50.0))
