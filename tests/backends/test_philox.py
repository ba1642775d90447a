"""Known answers of Random123 for Philox4x32-10, in every backend."""

import functools
import os

import numba
import numpy as np
import pytest
import torch

from rsfast import _C
from rsfast.backends import numba as numba_backend
from rsfast.backends.reference import philox4x32_10

from .by_name import LEVELS, NATIVE, backend

KNOWN = [  # counter, key, words: file kat_vectors of Random123
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


def words_of_reference(counter, key):
    return [int(word) for word in philox4x32_10(counter, key[0] | key[1] << 32)]


def words_of_native(counter, key, level=LEVELS[-1]):
    _C.use_simd(level)
    return _C.philox(counter[0], 1, counter[1], counter[2], counter[3], key[0] | key[1] << 32)[0].tolist()


def words_of_numba(counter, key):
    @numba.njit
    def call(c0, c1, c2, c3, k0, k1):
        return numba_backend._philox(c0, numba_backend.At(c1, c2, c3, k0, k1))

    return [int(word) for word in call(*[np.uint32(word) for word in (*counter, *key)])]


def words_of_triton(counter, key):
    triton = pytest.importorskip("triton")
    import triton.language as tl

    from rsfast.kernels import philox

    global _philox  # the kernel's globals
    _philox = philox.philox4x32_10

    @triton.jit
    def kernel(out, c0, c1, c2, c3, k0, k1):
        lane = tl.arange(0, 2)
        block = (lane * 0 + c0).to(tl.uint32)
        w0, w1, w2, w3 = _philox(block, c1.to(tl.uint32), c2.to(tl.uint32), c3.to(tl.uint32), k0.to(tl.uint32), k1.to(tl.uint32))
        tl.store(out + lane, w0.to(tl.int64))
        tl.store(out + 2 + lane, w1.to(tl.int64))
        tl.store(out + 4 + lane, w2.to(tl.int64))
        tl.store(out + 6 + lane, w3.to(tl.int64))

    out = torch.empty(8, dtype=torch.int64, device="cuda" if os.environ.get("RSFAST_TEST_GPU") == "1" else "cpu")
    kernel[(1,)](out, *counter, *key)
    return out[::2].tolist()


SOURCES = [
    words_of_reference,
    words_of_numba,
    words_of_triton,
    *(functools.partial(words_of_native, level=level) for level in LEVELS),
]


@pytest.mark.parametrize("words", SOURCES)
@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_known_answers(words, counter, key, expected):
    assert tuple(words(counter, key)) == expected


@pytest.mark.parametrize("name", NATIVE)
def test_native_words_equal_the_reference_at_random_counters(name, rng):
    backend(name)
    for _ in range(50):
        block, sample, image, stream = (int(word) for word in rng.integers(0, 2**32 - 100, 4))
        seed = int(rng.integers(0, 2**64, dtype=np.uint64))
        got = _C.philox(block, 7, sample, image, stream, seed)
        expected = philox4x32_10((block + np.arange(7), sample, image, stream), seed)
        assert (got == np.stack(expected, axis=1)).all()
