"""Other people's interfaces, run by rsfast: `locuslab`, `drs`, `ddsmoothing`, and the Adversarial Robustness Toolbox's, `art`.

Each keeps the names, arguments and return values of the code it stands for; docs/migrate.md shows both side by side.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import art, ddsmoothing, drs, locuslab

__all__ = ["art", "ddsmoothing", "drs", "locuslab"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
