"""sigma(x) by nearest neighbours: equal to brute force in float64, semi-elastic, and quick to say what is wrong."""

import json
import os

import numpy as np
import pytest
import torch

from rsfast.errors import InvalidArgumentError, StoreError
from rsfast.sigma import NearestNeighbors, TrainingSet
from rsfast.sigma import neighbors as module


def pixels(training):
    training = np.asarray(training)
    return training.astype(np.float32) / np.float32(255) if training.dtype == np.uint8 else training


def brute(training, x, k):
    """Sorted distances [B, k] by direct differences in float64."""
    t, x = pixels(training).reshape(len(training), -1).astype(float), np.asarray(x).reshape(len(x), -1).astype(float)
    return np.sort([[np.sqrt(np.sum((row - image) ** 2)) for image in t] for row in x], axis=1)[:, :k]


def neighbours(training, **more):
    return NearestNeighbors(training, **{"base": 0.5, "k": 3, "m": 1.0, **more})


class Blocks:
    """A training set that is only ever read in blocks."""

    def __init__(self, images):
        self.images, self.shape, self.asked = images, images.shape[1:], 0

    def __len__(self):
        return len(self.images)

    def block(self, start, stop):
        self.asked = max(self.asked, stop - start)
        return self.images[start:stop]


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


def as_memory_map(images, folder):
    file = np.memmap(folder / "images", np.uint8, "w+", offset=5000, shape=images.shape)
    file[:] = images
    file.flush()
    return np.memmap(folder / "images", np.uint8, "r", offset=5000, shape=images.shape)


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


def test_the_fingerprint_tells_content_type_and_shape(tmp_path, rng):
    images = rng.integers(0, 256, (20, 2, 6), dtype=np.uint8)
    other = images.copy()
    other[19, 1, 5] ^= 1
    forms = [images, other, pixels(images), images.reshape(20, 3, 4), images[:19]]
    assert len({neighbours(form).fingerprint() for form in forms}) == 5
    same = [images.copy(), torch.from_numpy(images), Blocks(images), as_memory_map(images, tmp_path)]
    assert {neighbours(form, block_bytes=50).fingerprint() for form in same} == {neighbours(images).fingerprint()}


class Unread(Blocks):
    """One that must not be searched: only its head, the images that give the centre, and the fingerprint's pass."""

    def __init__(self, images):
        super().__init__(images)
        self.passes = 0

    def block(self, start, stop):
        self.passes += stop - start
        return super().block(start, stop)


def test_cached_queries_are_not_searched_again(tmp_path, rng):
    images, x = rng.integers(0, 256, (100, 12), dtype=np.uint8), rng.random((6, 12), dtype=np.float32)
    first = neighbours(images, m="average", cache=tmp_path)
    expected = first(x[:4])
    again = neighbours(images, m="average", cache=tmp_path)
    np.testing.assert_array_equal(again(torch.from_numpy(x[:4])), expected)
    assert (again.m, again.reranked) == (first.m, 0)
    np.testing.assert_array_equal(again(x), neighbours(images, m="average")(x))
    assert again.reranked > 0
    assert len((tmp_path / "sigma.jsonl").read_text().splitlines()) == 1 + 6


def test_cached_queries_tell_float64_images_apart(tmp_path):
    near = np.nextafter(np.array([[0.25, 0.5]]), 1)
    sigma = neighbours(np.zeros((1, 2)), k=1, rate=1.0, cache=tmp_path)
    assert sigma(near)[0] > sigma(near.astype(np.float32))[0]


def test_entries_of_other_images_or_another_k_are_not_used(tmp_path, rng):
    images, x = rng.random((40, 12), dtype=np.float32), rng.random((5, 12), dtype=np.float32)
    neighbours(images, cache=tmp_path)(x)
    for training, k in ((images[:39], 3), (images + 1, 3), (images, 4)):
        np.testing.assert_array_equal(neighbours(training, k=k, cache=tmp_path)(x), neighbours(training, k=k)(x))


@pytest.mark.parametrize("end", [-1, -9, -60])
def test_a_line_that_was_cut_short_is_searched_again(end, tmp_path, rng):
    images, x = rng.random((40, 12), dtype=np.float32), rng.random((5, 12), dtype=np.float32)
    expected = neighbours(images, cache=tmp_path)(x)
    file = tmp_path / "sigma.jsonl"
    whole = file.read_bytes()
    for left in (whole[:end], whole[:end] + bytes(20), whole[:end] + b"\xff\n[]\n{}\n"):
        file.write_bytes(left)
        for _ in range(2):
            again = neighbours(images, cache=tmp_path)
            np.testing.assert_array_equal(again(x), expected)
        assert again.reranked == 0


def test_a_memory_map_is_hashed_once_and_again_when_its_file_changes(tmp_path, rng, monkeypatch):
    images = rng.integers(0, 256, (60, 10), dtype=np.uint8)
    training = as_memory_map(images, tmp_path)
    expected = neighbours(training, cache=tmp_path).fingerprint()
    other = as_memory_map(images ^ 1, tmp_path)
    changed = neighbours(other, cache=tmp_path).fingerprint()
    assert changed == neighbours(images ^ 1).fingerprint() != expected
    monkeypatch.setattr(NearestNeighbors, "_blocks", None)
    assert neighbours(other, cache=tmp_path).fingerprint() == changed


def test_a_memory_map_whose_file_is_gone_is_read_from_memory(tmp_path, rng):
    images, x = rng.integers(0, 256, (60, 10), dtype=np.uint8), rng.random((3, 10))
    training = as_memory_map(images, tmp_path)
    (tmp_path / "images").unlink()
    np.testing.assert_array_equal(neighbours(training).distances(x), brute(images, x, 3))


def test_a_file_that_shrinks_is_refused(tmp_path, rng):
    sigma = neighbours(as_memory_map(rng.integers(0, 256, (60, 10), dtype=np.uint8), tmp_path))
    with (tmp_path / "images").open("r+b") as file:
        file.truncate(5100)
    with pytest.raises(InvalidArgumentError, match="training images 0 to 59 cannot be read from"):
        sigma(rng.random((1, 10)))


def test_a_cache_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"sigma\.jsonl cannot be read"):
        neighbours(np.zeros((5, 2)), cache=tmp_path / "file")


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


def test_a_line_of_the_cache_that_was_changed_is_not_used(rng, tmp_path):
    training, x = rng.random((30, 8)), rng.random((3, 8))
    first = neighbours(training, cache=tmp_path)(x)
    file = tmp_path / "sigma.jsonl"
    lines = file.read_text().splitlines()
    changed = [line.replace('"mean_distance": 0.', '"mean_distance": 1.') for line in lines]
    assert changed != lines
    file.write_text("\n".join(changed) + "\n")
    np.testing.assert_array_equal(neighbours(training, cache=tmp_path)(x), first)


def test_exponents_beyond_what_doubles_give_exactly_are_refused():
    sigma = NearestNeighbors(np.zeros((3, 4)), base=0.5, rate=10.0, k=1, m=100.0)
    with pytest.raises(InvalidArgumentError, match="too much for sigma to be exact"):
        sigma(np.full((1, 4), 50.0))
