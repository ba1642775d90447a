"""A report in one HTML file: what was run, the table, the curve, what the numbers mean."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import files
from ..files import printable
from .plot import svg
from .table import ResultTable, certified_accuracy, norms_differ, shown_average, shown_radius

STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:54rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:1rem 0}td,th{padding:.25rem .7rem;border-bottom:1px solid #ddd;text-align:right}
td:first-child,th:first-child{text-align:left;overflow-wrap:anywhere}h2{overflow-wrap:anywhere}
svg{max-width:100%;height:auto}small,dt{color:#555}dd{margin:0 0 .3rem 1rem;overflow-wrap:anywhere}.missing{color:#a00}
figure{display:inline-block;width:9.5rem;margin:.5rem .6rem .5rem 0;vertical-align:top}figure img{width:100%}"""


class Picture(NamedTuple):
    """An image to show, pixels uint8 [H, W, 3], and what to say below it."""

    pixels: NDArray[np.uint8]
    caption: str


def _text(text: str) -> str:
    return html.escape(printable(text))


def _row(cells: Sequence[str], tag: str = "td", style: str = "") -> str:
    return f"<tr{style}>" + "".join(f"<{tag}>{_text(cell)}</{tag}>" for cell in cells) + "</tr>"


def _line(table: ResultTable, radii: Sequence[float], per: int) -> str:
    cells = [
        table.name, table.images, str(int(table.abstained.sum())),
        *[f"{accuracy:.3f}" for accuracy in certified_accuracy(table, radii)], shown_average(table, per),
    ]  # fmt: skip
    return _row(cells, style=' class="missing"' if table.standing else "")


def _without_figures(table: ResultTable) -> str:
    why = "predictions without radii" if table.radius is None else "no labels, so no accuracy" if len(table) else "no images yet"
    return f"<p>{_text(table.name)}: {why} ({table.images} images).</p>"


def _details(table: ResultTable) -> str:
    missing = f'<p class="missing">{_text(table.standing)}</p>' if table.standing else ""
    told = "".join(f"<dt>{_text(key)}</dt><dd>{_text(value)}</dd>" for key, value in table.details.items())
    return f"<h2>{_text(table.name)}</h2>{missing}<dl>{told}</dl>" if told or missing else ""


def _figure(picture: Picture) -> str:
    from PIL import Image

    made = io.BytesIO()
    Image.fromarray(picture.pixels).save(made, "JPEG", quality=85)
    data = base64.b64encode(made.getvalue()).decode()
    caption = _text(picture.caption)
    return f'<figure><img src="data:image/jpeg;base64,{data}" alt="{caption}"><figcaption>{caption}</figcaption></figure>'


def page(
    tables: Sequence[ResultTable], radii: Sequence[float], title: str = "Certified accuracy", per: int = 1,
    pictures: Sequence[Picture] = (),
) -> str:  # fmt: skip
    """Return the report as HTML; radii are shown as multiples of 1 / `per`.  It needs no other file and no network."""
    certified = [table for table in tables if table.certified]
    head = ["", "images", "abstained", *[f"r = {shown_radius(r, per)}" for r in radii], "ACR"]
    drawing = svg(certified, per)
    unfinished = "".join(
        f'<p class="missing">{_text(table.name)}: {_text(table.standing)}</p>' for table in tables if table.standing
    )
    norms = f'<p class="missing">{_text(norms_differ(certified))}</p>' if norms_differ(certified) else ""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{_text(title)}</title><style>{STYLE}</style></head><body>
<h1>{_text(title)}</h1>
{unfinished}{norms}<table>{_row(head, "th")}{"".join(_line(table, radii, per) for table in certified)}</table>
{drawing[drawing.index("<svg") :]}
{"".join(_without_figures(table) for table in tables if not table.certified)}<p>Certified accuracy at r: the share of images
whose label is right and certified at radius r or more. ACR: the average certified radius, counting wrong and abstained images
as 0. Each image's certificate holds with probability at least 1 − alpha over the noise drawn for it; radii are rounded down.
Noise and model are evaluated in floating point, whose rounding the certificate does not cover.</p>
{"".join(_figure(picture) for picture in pictures)}
{"".join(_details(table) for table in tables)}
</body></html>
"""


def write_page(
    tables: Sequence[ResultTable], radii: Sequence[float], file: str | Path, title: str = "Certified accuracy", per: int = 1
) -> None:
    """Write the report, as a whole or, with a StoreError, not at all."""
    files.write(file, page(tables, radii, title, per))
