"""A report in one HTML file: what was run, the table, the curve, what the numbers mean."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path

from ..errors import StoreError
from ..result import floor_decimals
from .plot import svg
from .table import ResultTable, average_certified_radius, certified_accuracy

STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:54rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:1rem 0}td,th{padding:.25rem .7rem;border-bottom:1px solid #ddd;text-align:right}
td:first-child,th:first-child{text-align:left}svg{max-width:100%;height:auto}small,dt{color:#555}dd{margin:0 0 .3rem 1rem}"""


def _row(cells: Sequence[str], tag: str = "td") -> str:
    return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"


def write_page(tables: Sequence[ResultTable], radii: Sequence[float], file: Path, title: str = "Certified accuracy") -> None:
    """Write the report; it needs no other file and no network."""
    certified = [table for table in tables if table.radius is not None and len(table) and table.labelled]
    head = ["", "images", "abstained", *[f"r = {r:g}" for r in radii], "ACR"]
    lines = [
        _row([
            table.name, str(len(table)), str(int(table.abstained.sum())),
            *[f"{accuracy:.3f}" for accuracy in certified_accuracy(table, radii)],
            floor_decimals(average_certified_radius(table), 4),
        ])
        for table in certified
    ]  # fmt: skip
    details = "".join(
        f"<h2>{html.escape(table.name)}</h2><dl>"
        + "".join(f"<dt>{html.escape(key)}</dt><dd>{html.escape(value)}</dd>" for key, value in table.details.items())
        + "</dl>"
        for table in tables
        if table.details
    )
    drawing = svg(certified)
    page = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title><style>{STYLE}</style></head><body>
<h1>{html.escape(title)}</h1>
<table>{_row(head, "th")}{"".join(lines)}</table>
{drawing[drawing.index("<svg") :]}
<p>Certified accuracy at r: the share of images whose label is right and certified at radius r or more. ACR: the average
certified radius, counting wrong and abstained images as 0. Each image's certificate holds with probability at least
1 − alpha over the noise drawn for it; radii are rounded down. Noise and model are evaluated in floating point, whose
rounding the certificate does not cover.</p>
{details}
</body></html>
"""
    try:
        file.write_text(page, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"{file} cannot be written: {error.strerror or error}.") from None
