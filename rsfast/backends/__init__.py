"""HOW to draw noise and count votes.  Every backend gives the same bits; `reference` is the definition.

`auto` takes the first of BACKENDS that can do what is asked; a backend that is named runs or raises.
"""

from __future__ import annotations

import importlib

import torch

from .. import checks, names
from ..errors import BackendUnavailableError
from ..noise import Gaussian, Noise
from ..transforms import Identity, Transform
from .base import Backend
from .triton import interpreting

BACKENDS: dict[str, Backend] = {
    name: getattr(importlib.import_module(f".{name}", __name__), backend)() for name, backend in names.BACKENDS.items()
}


def get(name: str) -> Backend:
    """The backend of that name (raises InvalidArgumentError if there is none)."""
    return BACKENDS[checks.choice("backend", name, BACKENDS)]


def choose(name: str, x: torch.Tensor, noise: Noise, transform: Transform | None = None) -> Backend:
    """The named backend, or for "auto" the fastest one that can draw `noise` for images like x.

    Raises
    ------
    BackendUnavailableError
        If the named backend, or for "auto" every backend, cannot; the message says why.
    """
    transform = transform or Identity()
    if not isinstance(name, str) or name != "auto":
        backend = get(name)
        reason = backend.why_not(x, noise, transform)
        if reason is not None:
            raise BackendUnavailableError(f"the {name} backend cannot run: {reason}. Use backend='auto' or another one.")
        return backend
    reasons = []
    for backend in BACKENDS.values():
        if backend.name == "triton" and interpreting():
            reasons.append("triton: its interpreter is for tests, name it to use it")
            continue
        reason = backend.why_not(x, noise, transform)
        if reason is None:
            return backend
        reasons.append(f"{backend.name}: {reason}")
    raise BackendUnavailableError(f"no backend can draw this noise here ({'; '.join(reasons)}). Move x to the CPU.")


def available(device: str | torch.device = "cpu") -> dict[str, str | None]:
    """For each backend None if it can draw Gaussian noise for images on `device`, else the reason in one sentence."""
    if torch.device(device).type == "cuda" and not torch.cuda.is_available():
        return dict.fromkeys(BACKENDS, "torch sees no CUDA device here")
    x = torch.empty((0, 1, 1, 1), device=torch.device(device))
    return {name: backend.why_not(x, Gaussian(1.0), Identity()) for name, backend in BACKENDS.items()}


__all__ = ["BACKENDS", "Backend", "available", "choose", "get"]
