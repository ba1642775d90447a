"""python -m rsfast.compat.locuslab.certify: CERTIFY over a data set, into a log idx label predict radius correct time."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from . import commands

if TYPE_CHECKING:
    import torch

    from .core import Smooth


def _answer(smoothed: Smooth, x: torch.Tensor, options: argparse.Namespace) -> tuple[int, list[str]]:
    from ...result import floor_decimals

    predicted, radius = smoothed.certify(x, options.N0, options.N, options.alpha, options.batch)
    return predicted, [floor_decimals(radius, 6)]


def run(argv: Sequence[str] | None = None) -> None:
    options = commands.parser("Certify many images; after a kill at any moment the same command continues.", selection=True)
    commands.run(options.parse_args(argv), "certify", commands.CERTIFY, _answer)


if __name__ == "__main__":
    commands.main(run)
