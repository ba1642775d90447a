"""Which backend runs: `auto` takes the first that can, a named one runs or raises."""

import numpy as np
import pytest
import torch

from rsfast import _C, backends
from rsfast.errors import BackendUnavailableError, InvalidArgumentError
from rsfast.noise import Gaussian

X = torch.zeros(1, 1, 8, 8)


def test_auto_takes_the_extension_on_the_cpu():
    assert backends.choose("auto", X, Gaussian(1.0)).name == "native"


def test_auto_falls_back_to_numba_without_the_extension(monkeypatch):
    from rsfast.backends import native

    monkeypatch.setattr(native, "_C", None)
    monkeypatch.setattr(native, "_import_error", "no module", raising=False)
    assert backends.choose("auto", X, Gaussian(1.0)).name == "numba"
    assert "missing" in backends.available()["native"]
    with pytest.raises(BackendUnavailableError, match="native backend cannot run"):
        backends.choose("native", X, Gaussian(1.0))


def test_a_named_backend_that_cannot_run_raises_with_the_reason():
    meta = torch.empty(1, 1, 8, 8, device="meta")
    for name in backends.BACKENDS:
        with pytest.raises(BackendUnavailableError, match=name):
            backends.choose(name, meta, Gaussian(1.0))
    with pytest.raises(BackendUnavailableError, match="no backend"):
        backends.choose("auto", meta, Gaussian(1.0))


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(InvalidArgumentError, match="triton, native, numba, reference"):
        backends.choose("cuda", X, Gaussian(1.0))


def test_the_extension_refuses_arrays_that_do_not_fit():
    pixels, scale, ids = np.zeros((1, 1, 64), np.float32), np.ones((1, 1), np.float32), np.zeros(1, np.uint32)
    good = np.zeros((2, 64), np.float32)

    no_table = np.zeros((8, 128), np.float32)

    def call(pixels=pixels, scale=scale, ids=ids, out=good, cast="float32", begin=0, end=2, kind=0, table=no_table, size=1):
        _C.perturb(
            pixels,
            scale,
            ids,
            1,
            1,
            0,
            2,
            out,
            cast,
            False,
            kind,
            table,
            np.zeros(size, np.int64),
            np.zeros(1, np.int32),
            1.0,
            begin,
            end,
            1,
        )

    call()
    for bad in (
        {"out": np.zeros((2, 63), np.float32)},
        {"out": np.zeros((2, 64), np.float64)},
        {"out": np.zeros((2, 128), np.float32)[:, ::2]},
        {"scale": np.ones((1, 2), np.float32)},
        {"ids": np.zeros(2, np.uint32)},
        {"cast": "int8"},
        {"end": 3},
        {"kind": 4},
        {"size": 2},
        {"table": np.zeros((8, 64), np.float32)},
    ):
        with pytest.raises((ValueError, TypeError)):
            call(**bad)
    with pytest.raises(TypeError):
        call(pixels=pixels.astype(np.float64))
