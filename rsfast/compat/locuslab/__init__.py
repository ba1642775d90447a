"""The interface of github.com/locuslab/smoothing (Cohen, Rosenfeld & Kolter 2019): `Smooth`, and its three command lines.

The modules have the names of the original files: `core`, `datasets`, `architectures`, `certify`, `predict`, `analyze`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .core import Smooth

__all__ = ["Smooth"]


def __getattr__(name: str) -> Any:
    if name == "Smooth":  # torch is imported when it is needed, so that --help is quick
        from .core import Smooth

        return Smooth
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
