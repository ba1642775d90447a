"""What is kept on disk: distances of queries and fingerprints of training images, used for these alone."""

import numpy as np
import pytest
import torch

from rsfast.errors import InvalidArgumentError, StoreError
from rsfast.sigma import NearestNeighbors
from tests.reference.neighbors import Blocks, as_memory_map, brute, neighbours, pixels


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


def test_a_line_of_the_cache_that_was_changed_is_not_used(rng, tmp_path):
    training, x = rng.random((30, 8)), rng.random((3, 8))
    first = neighbours(training, cache=tmp_path)(x)
    file = tmp_path / "sigma.jsonl"
    lines = file.read_text().splitlines()
    changed = [line.replace('"mean_distance": 0.', '"mean_distance": 1.') for line in lines]
    assert changed != lines
    file.write_text("\n".join(changed) + "\n")
    np.testing.assert_array_equal(neighbours(training, cache=tmp_path)(x), first)
