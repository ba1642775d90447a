"""python -m bench.fuzz.one TARGET FOLDER [libFuzzer's options]: fuzz one reader until its time is over or it fails."""

from __future__ import annotations

import contextlib
import logging
import sys
import warnings
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["rsfast"]):
    from bench.fuzz.targets import TARGETS
    from rsfast.errors import RsfastError

    target, folder = TARGETS[sys.argv[1]], Path(sys.argv[2])
    (folder / "place").mkdir(parents=True, exist_ok=True)
    read, first = target(folder / "place")


def main() -> None:
    inputs = folder / "inputs"
    inputs.mkdir(exist_ok=True)
    for i, data in enumerate(first):
        (inputs / f"first-{i}").write_bytes(data)
    logging.disable(logging.CRITICAL)

    def once(data: bytes) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with contextlib.suppress(RsfastError):
                read(data)

    atheris.Setup([sys.argv[0], *sys.argv[3:], str(inputs)], once)
    atheris.Fuzz()


main()
