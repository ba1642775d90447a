"""A plugin of pytest: how many kernels a GPU would compile for a test run.  Nothing is compiled; the native backend answers.

RSFAST_TEST_GPU=soft python -m pytest -p tests.softgpu.variants tests/backends -k triton
"""

from __future__ import annotations

import collections
import json
import os
from pathlib import Path
from typing import Any

import pytest

_variants: dict[str, set[Any]] = collections.defaultdict(set)


def _note(*, key: Any, fn: Any, **_: Any) -> bool:
    """Triton's hook before a compilation; True: leave it and the launch out."""
    _variants[fn.name].add(key)
    return True


def pytest_configure(config: pytest.Config) -> None:
    from triton import knobs

    from rsfast import backends
    from rsfast.backends import triton as backend

    from . import driver

    driver.install()
    knobs.runtime.jit_cache_hook = _note
    native = backends.get("native")
    for name in ("perturb", "count"):
        setattr(backend.TritonBackend, name, _answered_by(getattr(native, name), getattr(backend.TritonBackend, name)))


def _answered_by(native: Any, noted: Any) -> Any:
    def call(self: Any, *arguments: Any, **named: Any) -> None:
        noted(self, *arguments, **named)
        native(*arguments, **named)

    return call


def pytest_terminal_summary(terminalreporter: Any) -> None:
    counts = {name: len(keys) for name, keys in sorted(_variants.items())}
    terminalreporter.write_line(f"compiled variants: {sum(counts.values())}, {counts}")
    if file := os.environ.get("VARIANTS_FILE"):
        Path(file).write_text(json.dumps(counts))
