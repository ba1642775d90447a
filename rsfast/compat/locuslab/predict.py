"""python -m rsfast.compat.locuslab.predict: PREDICT over a data set, into a log idx label predict correct time."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from . import commands

if TYPE_CHECKING:
    import torch

    from .core import Smooth


def _answer(smoothed: Smooth, x: torch.Tensor, options: argparse.Namespace) -> tuple[int, list[str]]:
    return smoothed.predict(x, options.N, options.alpha, options.batch), []


def run(argv: Sequence[str] | None = None) -> None:
    options = commands.parser("Predict many images; after a kill at any moment the same command continues.", selection=False)
    commands.run(options.parse_args(argv), "predict", commands.PREDICT, _answer)


if __name__ == "__main__":
    commands.main(run)
