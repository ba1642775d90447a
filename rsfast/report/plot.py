"""Certified accuracy against radius, as PNG and SVG."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import extras, files
from ..errors import DataError, InvalidArgumentError
from .table import ResultTable, certified_accuracy, shortened

ENDINGS = (".pdf", ".png", ".svg")


def new_figure(**more: Any) -> Any:
    """Return a figure of matplotlib that needs no screen."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise DataError(f"plots need matplotlib: {extras.advice('matplotlib', error)}.") from None
    figure = Figure(layout="constrained", **more)
    FigureCanvasAgg(figure)
    return figure


def rendered(figure: Any, ending: str, **more: Any) -> bytes:
    """Return the file's content."""
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)  # drawn as a box; the page has the name in full
        warnings.filterwarnings("ignore", "constrained_layout not applied", UserWarning)
        figure.savefig(out, format=ending.removeprefix("."), **more)
    return out.getvalue()


def plain_legend(axes: Any, names: Sequence[str], **more: Any) -> None:
    """Draw a legend of the lines whose names are names: no formula in them is set, no underscore hides one."""
    legend = axes.legend(axes.lines, [str(i) for i in range(len(names))], **more)
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_parse_math(False)
        text.set_usetex(False)
        text.set_text(name)


def _figure(tables: Sequence[ResultTable], per: int = 1) -> Any:
    figure = new_figure(figsize=(6.0, 4.0))
    axes = figure.add_subplot()
    names = []
    for table in tables:
        if not table.certified or table.radius is None:
            continue
        steps = np.unique(np.concatenate([[0.0], table.radius[table.correct & np.isfinite(table.radius)]]))
        # The curve is the share certified at r or more: it steps down just behind each radius.
        axes.step(
            np.append(steps, steps[-1]) * per,
            np.append(certified_accuracy(table, list(steps)), 0.0),
            where="pre",
        )
        names.append(shortened(table.name, 40) + (f" ({table.images} images)" if table.standing else ""))
    axes.set(
        xlabel="radius" if per == 1 else f"radius in units of 1/{per}", ylabel="certified accuracy", xlim=(0, None), ylim=(0, 1)
    )
    axes.grid(alpha=0.3)
    if names:
        plain_legend(axes, names, frameon=False)
    return figure


def svg(tables: Sequence[ResultTable], per: int = 1) -> str:
    """Return the plot as SVG text."""
    return rendered(_figure(tables, per), ".svg", metadata={"Date": None}).decode()


def png(tables: Sequence[ResultTable], per: int = 1) -> bytes:
    """Return the plot as PNG."""
    return rendered(_figure(tables, per), ".png", dpi=150)


def write_plot(tables: Sequence[ResultTable], file: str | Path, per: int = 1) -> None:
    """Write the plot; the ending (.png, .svg, .pdf) says how.  The radius axis is in units of 1 / `per`.

    Raises
    ------
    InvalidArgumentError
        Another ending.
    StoreError
        The file cannot be written; what was there is unchanged.
    """
    file = files.as_path(file)
    if file.suffix.lower() not in ENDINGS:
        raise InvalidArgumentError(f"{file} ends in {file.suffix or 'nothing'}: give a file that ends in {', '.join(ENDINGS)}.")
    files.write(file, rendered(_figure(tables, per), file.suffix.lower(), dpi=150))
