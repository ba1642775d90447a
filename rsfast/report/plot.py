"""Certified accuracy against radius, as PNG and SVG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import extras
from ..errors import DataError, StoreError
from .table import ResultTable, certified_accuracy


def _figure(tables: Sequence[ResultTable]) -> Any:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise DataError(f"plots need matplotlib: {extras.advice('matplotlib', error)}.") from None
    figure = Figure(figsize=(6.0, 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for table in tables:
        if table.radius is None or len(table) == 0 or not table.labelled:
            continue
        steps = np.unique(np.concatenate([[0.0], table.radius[table.correct & np.isfinite(table.radius)]]))
        # The curve is the share certified at r or more: it steps down just behind each radius.
        axes.step(
            np.append(steps, steps[-1]),
            np.append(certified_accuracy(table, list(steps)), 0.0),
            where="pre",
            label=table.name,
        )
    axes.set(xlabel="radius", ylabel="certified accuracy", xlim=(0, None), ylim=(0, 1))
    axes.grid(alpha=0.3)
    if len(axes.lines) > 0:
        axes.legend(frameon=False)
    return figure


def svg(tables: Sequence[ResultTable]) -> str:
    """The plot as SVG text."""
    out = io.StringIO()
    _figure(tables).savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()


def write_plot(tables: Sequence[ResultTable], file: Path) -> None:
    """Write the plot; the ending (.png, .svg, .pdf) says how."""
    try:
        _figure(tables).savefig(file, dpi=150)
    except OSError as error:
        raise StoreError(f"{file} cannot be written: {error.strerror or error}.") from None
