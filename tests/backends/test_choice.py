"""Which backend runs: `auto` takes the first that can, a named one runs or raises."""

import numpy as np
import pytest
import torch

from rsfast import _C, backends
from rsfast.backends import base
from rsfast.backends.call import Call, Part
from rsfast.errors import BackendUnavailableError, InvalidArgumentError
from rsfast.kernels import coefficients as const
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


NORMAL = base.draw_of(Gaussian(1.0))
WHOLE = Call(
    pixels=np.zeros((1, 1, 64), np.float32), scale=np.ones((1, 1), np.float32), ids=np.zeros(1, np.uint32), key=(1, 0), stream=1,
    first=0, count=2, out=np.zeros((2, 64), np.float32), cast=const.FLOAT32, channels_last=False, draw=NORMAL,
)  # fmt: skip


@pytest.mark.parametrize(
    "bad",
    [
        {"pixels": np.zeros((1, 64), np.float32)},
        {"pixels": np.zeros((1, 1, 64))},
        {"scale": np.ones((1, 2), np.float32)},
        {"ids": np.zeros(2, np.uint32)},
        {"ids": np.zeros(1, np.int64)},
        {"key": (2**32, 0)},
        {"key": (0,)},
        {"stream": -1},
        {"first": 2**32},
        {"count": 1.5},
        {"out": np.zeros((2, 63), np.float32)},
        {"out": np.zeros((2, 64), np.float64)},
        {"out": np.zeros((2, 128), np.float32)[:, ::2]},
        {"out": None},
        {"cast": 3},
        {"draw": NORMAL._replace(kind=4)},
        {"draw": NORMAL._replace(thresholds=np.zeros(2, np.int64))},
        {"draw": NORMAL._replace(table=np.zeros((8, 64), np.float32))},
        {"draw": NORMAL._replace(kind=const.LATTICE, step=-1.0)},
        {"draw": None},
    ],
    ids=str,
)
def test_the_extension_refuses_what_does_not_fit(bad):
    _C.perturb(WHOLE, None, 0, 2, 1)
    with pytest.raises((ValueError, TypeError, AttributeError)):
        _C.perturb(WHOLE._replace(**bad), None, 0, 2, 1)


def test_the_extension_refuses_rows_outside_out():
    for begin, end in ((0, 3), (-1, 1), (2, 1)):
        with pytest.raises(ValueError, match="outside out"):
            _C.perturb(WHOLE, None, begin, end, 1)


@pytest.mark.parametrize(
    "bad",
    [
        {"fill": 4},
        {"fill": const.NEAREST},
        {"kept": np.zeros(3, np.int32)},
        {"gain": np.ones(2, np.float32)},
        {"indices": np.full((1, 64), 64, np.int32)},
        {"weights": np.ones((2, 64), np.float32)},
    ],
    ids=str,
)
def test_the_extension_refuses_parts_that_do_not_fit(bad):
    kept, one = np.arange(64, dtype=np.int32), np.ones(1, np.float32)
    part = Part(const.TAPS, 8, one, one, kept, kept[None], np.ones((1, 64), np.float32), kept)
    _C.perturb(WHOLE, part, 0, 2, 1)
    with pytest.raises(ValueError, match="must be|fill|index"):
        _C.perturb(WHOLE, part._replace(**bad), 0, 2, 1)
