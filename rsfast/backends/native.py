"""C++ (rsfast._C): fastest on the CPU, compiled when the package is installed."""

from __future__ import annotations

import hashlib
import json
import os
from importlib import resources
from pathlib import Path

import torch

from ..errors import BackendUnavailableError, InvalidArgumentError
from ..noise import Noise
from ..transforms import Transform
from . import base

try:
    from .. import _C
except ImportError as error:
    _C = None  # type: ignore[assignment]
    _import_error = str(error)


def sources_hash() -> str | None:
    """Hash of csrc/ in a source checkout, None in an installed package."""
    folder = Path(__file__).parents[2] / "csrc"
    if not (folder / "module.cpp").is_file():
        return None
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.[ch]pp")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


if _C is not None and sources_hash() not in (None, _C.sources):
    _C = None  # type: ignore[assignment]
    _import_error = "it was built from older sources than the checkout's: build it again"


def use_simd(name: str | None) -> None:
    """Run the C++ loops with a given instruction set; the same bits, only slower.  None or empty: leave it as it is.

    Raises
    ------
    InvalidArgumentError
        If this machine, or the compiler that built the extension, does not know it.
    """
    if not name or _C is None:
        return
    if name not in _C.simd_levels():
        raise InvalidArgumentError(
            f"RSFAST_SIMD={name!r} is no instruction set that the extension has here: give one of "
            f"{', '.join(_C.simd_levels())}, or unset it for the fastest."
        )
    _C.use_simd(name)


use_simd(os.environ.get("RSFAST_SIMD"))

_LOADED_BY = os.getpid()


def why_missing() -> str | None:
    """Why rsfast._C is not there, or None if it is."""
    if _C is not None:
        return None
    record = resources.files("rsfast").joinpath("_build.json")
    reason = ""
    if record.is_file():
        reason = json.loads(record.read_text()).get("reason", "")
    reason = reason or f"it was not built when rsfast was installed: {_import_error}"
    return f"the C++ extension rsfast._C is missing ({reason})"


class NativeBackend:
    name = "native"

    def why_not(self, x: torch.Tensor, noise: Noise, transform: Transform) -> str | None:
        if _C is None:
            return why_missing()
        if x.device.type != "cpu":
            return f"it draws on the CPU and x is on {x.device}"
        return base.unsupported(noise, transform)

    def perturb(self, x: torch.Tensor, noise: Noise, transform: Transform, **call) -> None:  # type: ignore[no-untyped-def]
        _require()
        rows = base.prepare(x, noise, transform, base.Asked(**call))
        if rows.total == 0:
            return
        whole, part = base.for_loops(rows)

        def job(begin: int, end: int, threads: int = 1) -> None:
            _C.perturb(whole, part, begin, end, threads)

        if _C.openmp and os.getpid() == _LOADED_BY:  # OpenMP's threads do not survive a fork
            job(0, rows.total, base.threads_for(rows.total, whole.out.shape[1]))
        else:
            base.over_threads(rows.total, whole.out.shape[1], job)

    def count(self, logits: torch.Tensor, votes: torch.Tensor, rows: torch.Tensor | None = None) -> None:
        _require()
        logits, table, rows = base.check_votes(logits, votes, rows)
        _C.count(logits.numpy(), table.numpy(), None if rows is None else rows.numpy())


def _require() -> None:
    if _C is None:
        raise BackendUnavailableError(
            f"the native backend cannot run: {why_missing()}. Install a C++17 compiler and reinstall rsfast, or use "
            "backend='numba'."
        )
