"""sigma(x) by nearest neighbours: equal to brute force in float64, semi-elastic, and quick to say what is wrong."""

import json
import os

import numpy as np
import pytest
import torch

from rsfast.sigma import TrainingSet
from rsfast.sigma import neighbors as module
from tests.reference.neighbors import Blocks, brute, neighbours, pixels


def as_uint8(images, folder):
    return images


def as_float32(images, folder):
    return pixels(images)


def as_float64(images, folder):
    return pixels(images) + 1e-9


def as_float16(images, folder):
    return pixels(images).astype(np.float16)


def as_big_endian(images, folder):
    return pixels(images).astype(">f4")


def as_tensor(images, folder):
    return torch.from_numpy(images)


def as_read_only(images, folder):
    images = pixels(images)
    images.flags.writeable = False
    return images


def as_reversed_view(images, folder):
    return pixels(images)[::-1, :, ::-1]


def as_part_of_a_memory_map(images, folder):
    np.save(folder / "images.npy", np.concatenate([images[:7], pixels(images) * 255]).astype(np.float32) / np.float32(255))
    return np.load(folder / "images.npy", mmap_mode="r")[7:]


def as_private_memory_map(images, folder):
    (folder / "zeros").write_bytes(bytes(images.nbytes))
    private = np.memmap(folder / "zeros", np.uint8, "c", shape=images.shape)
    private[:] = images
    return private


def as_blocks(images, folder):
    return Blocks(images)


FORMS = [value for name, value in list(globals().items()) if name.startswith("as_")]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_distances_equal_brute_force_in_float64_whatever_holds_the_images(form, tmp_path, rng):
    images = rng.integers(0, 256, (150, 3, 5, 7), dtype=np.uint8)
    x = rng.random((6, 3, 5, 7), dtype=np.float32)
    training = form(images, tmp_path)
    held = training.images if isinstance(training, Blocks) else training
    np.testing.assert_array_equal(neighbours(training).distances(x), brute(held, x, 3))


def test_bfloat16_tensors_are_taken_as_they_are(rng):
    training, x = torch.rand(40, 6).bfloat16(), torch.rand(3, 6).bfloat16()
    np.testing.assert_array_equal(neighbours(training).distances(x), brute(training.float(), x.float(), 3))


@pytest.mark.parametrize(
    "count, dim, k", [(1, 1, 1), (2, 1, 2), (65, 1, 20), (129, 2, 64), (200, 1025, 5), (70, 5000, 70), (300, 7, 1)]
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_awkward_shapes_equal_brute_force(count, dim, k, dtype, rng):
    training, x = rng.random((count, dim)).astype(dtype), rng.random((5, dim)).astype(dtype)
    np.testing.assert_array_equal(neighbours(training, k=k).distances(x), brute(training, x, k))


def test_images_without_axes_are_numbers(rng):
    np.testing.assert_array_equal(neighbours(np.array([0.0, 1.0, 5.0]), k=2).distances(np.array([2.0])), [[1.0, 2.0]])


def test_duplicates_and_ties_count_as_often_as_they_occur(rng):
    training = np.repeat(rng.integers(0, 2, (9, 4)).astype(np.float32), 30, axis=0)
    x = rng.integers(0, 2, (8, 4)).astype(np.float32)
    np.testing.assert_array_equal(neighbours(training, k=40).distances(x), brute(training, x, 40))
    assert (neighbours(np.zeros((500, 4), np.float32), k=40).distances(np.zeros((1, 4))) == 0).all()


@pytest.mark.parametrize("scale", [1e-3, 1e-5, 1e-9, 1e-30])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_images_far_from_zero_that_hardly_differ_equal_brute_force(scale, dtype, rng):
    training = (1000 + scale * rng.random((300, 20))).astype(dtype)
    x = (1000 + scale * rng.random((5, 20))).astype(dtype)
    np.testing.assert_array_equal(neighbours(training, k=7).distances(x), brute(training, x, 7))


def test_two_far_clusters_equal_brute_force(rng):
    """The centre lies between them: the float32 products cancel in almost all digits."""
    training = (np.where(rng.random((400, 1)) < 0.5, -1000.0, 1000.0) + rng.random((400, 30))).astype(np.float32)
    x = (np.array([[1000.0], [-1000.0], [0.0]]) + rng.random((3, 30))).astype(np.float32)
    np.testing.assert_array_equal(neighbours(training, k=9).distances(x), brute(training, x, 9))


@pytest.mark.parametrize("scale", [1e-38, 1e-25, 1e14])
def test_tiny_and_huge_images_equal_brute_force(scale, rng):
    training, x = (scale * rng.random((2, 200, 12)) * rng.choice([1, 1e-6], (2, 200, 1))).astype(np.float32)
    np.testing.assert_array_equal(neighbours(training, k=4).distances(x[:4]), brute(training, x[:4], 4))


def test_the_bounds_hold_the_squared_distance(rng, monkeypatch):
    """Every candidate that is looked at has an exact squared distance inside its bounds, also where products are long."""
    seen = []
    original = module._smallest
    monkeypatch.setattr(
        module, "_smallest", lambda best, owner, value: seen.append((owner, value)) or original(best, owner, value)
    )
    for offset, dim in ((0.0, 4000), (50.0, 300), (1e4, 10)):
        training = (rng.choice([-offset, offset], (60, 1)) + rng.random((60, dim))).astype(np.float32)
        x = (rng.choice([-offset, offset], (4, 1)) + rng.random((4, dim))).astype(np.float32)
        found = neighbours(training, k=60)
        distances = found.distances(x) ** 2
        (owner, upper), _ = seen[-2:]
        size = (np.square(x.astype(float) - found._centre).sum(axis=1)[:, None]
                + np.square(training.astype(float) - found._centre).sum(axis=1).max())  # fmt: skip
        upper = np.sort([upper[owner == b] for b in range(4)], axis=1)
        assert (upper >= distances).all()
        assert (upper - distances <= 2.1 * found._relative * size).all()


@pytest.mark.parametrize("block_bytes", [1, 1000, 30_000, 10**6])
def test_results_do_not_depend_on_blocks_or_batches(block_bytes, rng):
    training = rng.integers(0, 256, (333, 2, 9, 9), dtype=np.uint8)
    x = rng.random((9, 2, 9, 9), dtype=np.float32)
    whole = neighbours(training, k=11)(x)
    found = neighbours(training, k=11, block_bytes=block_bytes)
    np.testing.assert_array_equal(found(x), whole)
    np.testing.assert_array_equal(np.concatenate([found(x[b : b + 1]) for b in range(9)]), whole)


def test_blocks_stay_within_block_bytes(rng):
    training = Blocks(rng.integers(0, 256, (500, 300), dtype=np.uint8))
    neighbours(training, block_bytes=100_000).distances(rng.random((3, 300)))
    assert 10 < training.asked <= 100_000 // (300 * 5)
    assert isinstance(training, TrainingSet)


@pytest.mark.parametrize(
    "images",
    [np.zeros((400, 30), np.float32), 1000 + np.arange(400, dtype=np.float32)[:, None] % 2 * np.ones((1, 30), np.float32)],
)
def test_many_equal_candidates_are_settled_before_they_fill_the_memory(images):
    found = neighbours(images, k=5, block_bytes=2000)
    np.testing.assert_array_equal(found.distances(images[:3]), brute(images, images[:3], 5))


def test_few_training_images_are_compared_directly(rng):
    training, x = rng.random((5000, 500), dtype=np.float32), rng.random((10, 500), dtype=np.float32)
    found = neighbours(training, k=20)
    found(x)
    assert found.reranked <= 10 * 30


def test_sums_of_rows_are_those_of_single_rows(rng):
    """Step 4 leans on this: NumPy adds up a row in an order that depends on its length alone."""
    for rows, dim in ((1, 1), (2, 7), (300, 8), (5, 129), (3, 8191), (2, 150528), (4000, 3)):
        x = rng.random((rows, dim))
        np.testing.assert_array_equal(x.sum(axis=1), [np.sum(row.copy()) for row in x])


def test_products_by_numpy_give_the_same(rng, monkeypatch):
    training, x = rng.random((300, 2100), dtype=np.float32), rng.random((4, 2100), dtype=np.float32)
    expected = neighbours(training).distances(x)
    monkeypatch.setattr(module, "_multiplies_float32_as_float32", lambda: False)
    np.testing.assert_array_equal(neighbours(training).distances(x), expected)


@pytest.mark.parametrize("mode", ["medium", "high"])
def test_products_that_torch_may_round_are_noticed(mode):
    before = torch.get_float32_matmul_precision()
    assert module._multiplies_float32_as_float32()
    try:
        torch.set_float32_matmul_precision(mode)
        assert not module._multiplies_float32_as_float32()
    finally:
        torch.set_float32_matmul_precision(before)


def test_products_that_onednn_may_round_are_noticed(monkeypatch):
    monkeypatch.setenv("ONEDNN_DEFAULT_FPMATH_MODE", "BF16")
    assert not module._multiplies_float32_as_float32()


def test_a_gpu_gives_the_same(rng):
    """On a GPU with RSFAST_TEST_GPU=1; elsewhere the float64 products that a GPU would take."""
    gpu = os.environ.get("RSFAST_TEST_GPU") == "1"
    for training in (rng.integers(0, 256, (3000, 600), dtype=np.uint8), 1000 + rng.random((3000, 600), dtype=np.float32)):
        x = pixels(training[:9]) + rng.random((9, 600), dtype=np.float32) / 8
        one = neighbours(training, device="cuda") if gpu else neighbours(training)
        if not gpu:
            one._work, one._centre = np.dtype(np.float64), one._centre.astype(np.float64)
        np.testing.assert_array_equal(one.distances(x), neighbours(training).distances(x))


def test_sigma_is_equation_1(rng):
    training, x = rng.random((100, 8)), rng.random((7, 8))
    expected = 0.25 * np.exp(0.3 * (brute(training, x, 5).mean(axis=1) - 0.7))
    np.testing.assert_allclose(neighbours(training, base=0.25, rate=0.3, k=5, m=0.7)(x), expected, rtol=1e-15)


def test_sigma_does_not_depend_on_whether_pixels_are_bytes_or_floats(rng):
    images, x = rng.integers(0, 256, (80, 40), dtype=np.uint8), rng.random((4, 40), dtype=np.float32)
    np.testing.assert_array_equal(neighbours(images, m="average")(x), neighbours(pixels(images), m="average")(x))


@pytest.mark.parametrize("largest", [None, 0.52])
@pytest.mark.parametrize("rate", [0.01, 0.7, 5.0])
def test_sigma_is_semi_elastic(rate, largest, rng):
    training = rng.random((150, 6))
    sigma = neighbours(training, rate=rate, k=4, m="average", largest=largest)
    x = rng.random((400, 6))
    away = rng.normal(size=(400, 6)) * 10 ** rng.uniform(-12, 0, (400, 1))
    lost = 4e-14 * (1 + rate)
    assert (np.abs(np.log(sigma(x) / sigma(x + away))) <= rate * np.linalg.norm((x + away) - x, axis=1) + lost).all()


def test_semi_elasticity_is_attained_away_from_the_training_images():
    sigma = neighbours(np.zeros((5, 3)), rate=0.2, k=5)
    assert np.log(sigma(np.array([[7.0, 0, 0]])) / sigma(np.array([[2.0, 0, 0]])))[0] == pytest.approx(0.2 * 5)


def test_the_cap_holds_and_rate_zero_is_constant(rng):
    training, x = rng.random((50, 4)), 100 * rng.random((9, 4))
    assert neighbours(training, rate=0.1, largest=0.6)(x).max() == 0.6
    still = neighbours(training, rate=0.0)
    assert (still(x) == 0.5).all()
    assert still.reranked == 0


@pytest.mark.parametrize("rule, of", [("average", np.mean), ("minimum", np.min)])
@pytest.mark.parametrize("sample", [1000, 7])
def test_m_follows_its_rule(rule, of, sample, rng):
    training = rng.integers(0, 256, (90, 11), dtype=np.uint8)
    chosen = pixels(training)[np.linspace(0, 89, min(sample, 90)).astype(int)]
    expected = of(brute(training, chosen, 5)[:, 1:].mean(axis=1))
    found = neighbours(training, k=4, m=rule, sample=sample)
    assert found.m == pytest.approx(expected, rel=1e-14)


def test_what_sigma_is_can_be_written_down(rng):
    sigma = neighbours(rng.random((30, 4)), m="minimum", largest=2.0)
    assert json.loads(json.dumps(sigma.describe())) == {
        "name": "nearest-neighbors", "base": 0.5, "rate": 0.01, "k": 3, "m": sigma.m, "largest": 2.0,
        "training": sigma.fingerprint(),
    }  # fmt: skip
    assert sigma.proven
