"""The papers' own comparison figures from the functions of rsfast.certificates: limits and certificates, as CSV and plot.

Each function returns `Curves`, numbers first; `write` makes the files.  Probabilities come from real logs where a figure is about
real classifiers: p = Phi(radius / sigma) of the image with median radius among those certified correctly.  Logs that print radii
rounded to nearest make that p up to the rounding too large, so these figures illustrate and certify nothing.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import certificates as c
from .. import files
from ..checks import choice
from ..errors import DataError
from ..files import make_folder, printable
from ..numerics.normal import ndtr
from .find import find_logs
from .logs import read_log
from .plot import new_figure, plain_legend, rendered
from .table import ResultTable

Series = NDArray[np.float64]


class Curves(NamedTuple):
    """One figure has x and named series over it."""

    name: str
    title: str
    x_label: str
    y_label: str
    x: Series
    series: dict[str, Series]
    log_x: bool = False
    log_y: bool = False


def kumar_ratios() -> Curves:
    """Draw Kumar et al. 2020, figure 2: both upper bounds over the Gaussian certificate, against 1/(1 - p), free of norm and
    size.
    """
    x = 10 ** np.linspace(np.log10(2.02), 6, 300)
    q = 1.0 / x
    p = 1.0 - q
    gaussian = c.gaussian_lp(p, sigma=1.0, dim=100, order=2.0, q_upper=q)
    series = {
        "i.i.d. bound (Theorem 1)": c.kumar_iid(p, sigma=1.0, dim=100, order=2.0, q_upper=q) / gaussian,
        "generalised Gaussian bound (Theorem 2)": c.kumar_generalized_gaussian(p, sigma=1.0, dim=100, order=2.0, q_upper=q)
        / gaussian,
        "unimodal bound": c.unimodal_iid(p, sigma=1.0, dim=100, order=2.0, q_upper=q) / gaussian,
    }
    return Curves("kumar-2-ratios", "Upper bounds over the Gaussian certificate", "1 / (1 - p)", "ratio", x, series, log_x=True)


class Classifier(NamedTuple):
    """This is what a figure needs to know of a certified classifier; `source` is the log or run that it was read from."""

    name: str
    p: float
    sigma: float
    dim: int
    source: str = ""

    @property
    def title(self) -> str:
        return f"{self.name} ({self.source})" if self.source else self.name

    @property
    def file_name(self) -> str:
        """Return a source as letters, digits, dots, - and _ alone; of a long one the end, which says most."""
        source = re.sub(r"[^A-Za-z0-9._-]+", "-", self.source.removesuffix(".tsv").removesuffix(".csv"))
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", self.name)
        return f"{name}-of-{source[-100:].strip('-.')}" if source else name


DIMENSIONS = {"imagenet": 150528, "cifar10": 3072, "mnist": 784}


def classifier(table: ResultTable, file: Path, source: str | None = None) -> Classifier:
    """Return median p, sigma and size of a log; sigma and data set are read from its path (…imagenet…sigma_0.25…).

    `source` is what the log is called, its file name by default.

    Raises
    ------
    DataError
        If the path does not say them, or no image is certified.
    """
    path = str(file).lower()
    levels = re.findall(r"(?:sigma|noise)_(\d+(?:\.\d+)?)", path)
    data = sorted((name for name in DIMENSIONS if name in path), key=path.rfind)
    if not levels or not data or table.radius is None:
        raise DataError(
            f"{file} does not say what it certifies: give a log with radii whose path holds sigma_0.25 (its noise level) and "
            f"one of {', '.join(DIMENSIONS)}."
        )
    sigma, source = float(levels[-1]), source or file.name
    return typical(f"{data[-1]} sigma {levels[-1]}", table.radius[table.correct], sigma, DIMENSIONS[data[-1]], source)


def typical(name: str, radius: Series, sigma: float, dim: int, source: str) -> Classifier:
    """Return the classifier of some l2 radii, 0 where nothing is certified: p of the median one."""
    certified = radius[radius > 0]
    if len(certified) == 0:
        raise DataError(f"{printable(source)} certifies no image: give another log or run.")
    p = min(float(ndtr(np.median(certified) / sigma)), 1.0 - 2.0**-53)
    return Classifier(name, p, sigma, dim, printable(source))


def kumar_limits(who: Classifier) -> Curves:
    """Draw Kumar et al. 2020, figures 6, 7, 10: the certificate and all limits against the norm's order, for one classifier."""
    order = np.linspace(2.0, 20.0, 181)
    more: dict[str, Any] = {"sigma": who.sigma, "dim": who.dim, "order": order}
    certificate = c.gaussian_lp(who.p, **more)
    iid, gaussian = c.kumar_iid(who.p, **more), c.kumar_generalized_gaussian(who.p, **more)
    series = {
        "Gaussian certificate": certificate,
        "i.i.d. bound": iid,
        "generalised Gaussian bound": gaussian,
        "unimodal bound": c.unimodal_iid(who.p, **more),
        "tighter of the paper's bounds / certificate": np.minimum(iid, gaussian) / certificate,
    }
    name = f"kumar-limits-{who.file_name}"
    return Curves(
        name, f"{who.title}: median p = {who.p:.5f}, d = {who.dim}", "p of the norm", "radius", order, series, log_y=True
    )


def kumar_sizes(who: Sequence[Classifier]) -> Curves:
    """Draw Kumar et al. 2020, figure 9: certificates of images of different size, and what eq. (1) predicts from the smallest."""
    order = np.linspace(2.0, 20.0, 181)
    smallest = min(who, key=lambda one: one.dim)
    series = {}
    for one in who:
        series[f"{one.title}, d = {one.dim}"] = c.gaussian_lp(one.p, sigma=one.sigma, dim=one.dim, order=order)
        if one.dim != smallest.dim:
            predicted = c.gaussian_lp(smallest.p, sigma=smallest.sigma, dim=one.dim, order=order)
            series[f"d = {one.dim} predicted from {smallest.title}"] = predicted
    name = f"kumar-9-sizes-sigma-{smallest.sigma:g}"
    return Curves(name, "Certificates against size", "p of the norm", "radius", order, series, log_y=True)


def hayes_divergences() -> Curves:
    """Draw Hayes 2020, figure 1: l2 radius from each divergence against p1, two classes, sigma 1, in corrected form."""
    p = np.linspace(0.5, 0.9999, 400)
    functions: dict[str, Callable[..., Series]] = {
        "tight (Cohen)": c.cohen_l2,
        "Rényi, best order": c.renyi_l2,
        "KL": c.kl_l2,
        "chi-square": c.chi2_l2,
        "Hellinger, Bhattacharyya": c.hellinger_l2,
        "total variation": c.tv_l2,
        "PixelDP": c.lecuyer_l2,
    }
    series = {name: function(p, sigma=1.0) for name, function in functions.items()}
    return Curves("hayes-1-divergences", "Radius from each divergence, sigma = 1", "p1", "l2 radius", p, series)


def hayes_tradeoffs(shape: int) -> Curves:
    """Draw Hayes 2020, figure 3: the pairs (eps_high, eps_low) that are certified *together*, for several scales, p1 = .99."""
    eps = np.linspace(0.0, 2.5, 251)
    series = {
        f"scale {scale:g}": c.generalized_gaussian_tradeoff(0.99, scale=scale, shape=shape, eps_high=eps)
        for scale in (0.25, 0.5, 1.0, 1.5)
    }
    title = f"l{shape} and l{shape - 2} bounds certified together, shape {shape}"
    return Curves(f"hayes-3-tradeoff-{shape}", title, f"l{shape} bound", f"l{shape - 2} bound", eps, series)


def dual_limits() -> Curves:
    """Draw Xia et al. 2024, figure 1b: bounds of plain and dual smoothing against the dimension, sigma = 1/sqrt d, p = .999."""
    dim = np.unique(np.round(10 ** np.linspace(1, 5.5, 200) / 2)) * 2
    sigma = 1.0 / np.sqrt(dim)
    series = {
        "plain (eq. 4)": c.wu_l2(0.999, sigma=sigma, dim=dim),
        "dual (eq. 15)": c.dual_wu_l2(0.999, 0.999, sigma=sigma, dim_left=dim / 2, dim_right=dim / 2),
        "plain certificate": c.cohen_l2(0.999, sigma=sigma),
        "dual certificate": c.dual_l2(0.999, 0.999, sigma_left=sigma),
    }
    return Curves(
        "dual-1b-limits", "Upper bounds, sigma = 1/sqrt d, p = .999", "d", "l2 radius", dim, series, log_x=True, log_y=True
    )


def classifiers(logs: Path) -> tuple[list[Classifier], list[str]]:
    """Return those of a log, or of every log with radii in a folder, and a sentence about each that says too little."""
    found, problems = [], []
    for file in find_logs(logs):
        try:
            table = read_log(file)
            if table.radius is not None:
                found.append(classifier(table, file, file.name if file == logs else str(file.relative_to(logs))))
        except DataError as error:
            problems.append(str(error))
    return found, problems


def all_curves(who: Sequence[Classifier] = ()) -> list[Curves]:
    """Return every figure; those about real classifiers only where there are some."""
    found = [kumar_ratios(), hayes_divergences(), hayes_tradeoffs(3), hayes_tradeoffs(4), dual_limits()]
    found += [kumar_limits(one) for one in who]
    for sigma in sorted({one.sigma for one in who}):
        same = [one for one in who if one.sigma == sigma]
        if len({one.dim for one in same}) > 1:
            found.append(kumar_sizes(same))
    return _distinct(found)


def _distinct(figures: list[Curves]) -> list[Curves]:
    """The figures under names of their own, also where file systems do not tell large letters from small ones."""
    taken: set[str] = set()
    found = []
    for figure in figures:
        name, number = figure.name, 1
        while name.lower() in taken:
            number += 1
            name = f"{figure.name}-{number}"
        taken.add(name.lower())
        found.append(figure._replace(name=name))
    return found


def write(curves: Curves, folder: Path, ending: str = "svg") -> list[Path]:
    """Write NAME.csv with all numbers and NAME.svg or .png; each is written as a whole or, with a StoreError, not at all."""
    choice("format", ending, ("svg", "png"))
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow([curves.x_label, *curves.series])
    rows.writerows([f"{value:.10g}" for value in line] for line in zip(curves.x, *curves.series.values(), strict=True))
    more: dict[str, Any] = {"metadata": {"Date": None}} if ending == "svg" else {}
    drawn = rendered(_figure(curves), ending, dpi=150, **more)
    make_folder(folder)
    table, picture = folder / f"{curves.name}.csv", folder / f"{curves.name}.{ending}"
    files.write(table, out.getvalue())
    files.write(picture, drawn)
    return [table, picture]


def _figure(curves: Curves) -> Any:
    figure = new_figure(figsize=(6.5, 4.2))
    axes = figure.add_subplot()
    for values in curves.series.values():
        shown = np.where(np.isfinite(values) & ((values > 0) | (not curves.log_y)), values, np.nan)
        axes.plot(curves.x, shown)
    axes.set(title=curves.title, xlabel=curves.x_label, ylabel=curves.y_label)
    if curves.log_x:
        axes.set_xscale("log")
    if curves.log_y:
        axes.set_yscale("log")
    axes.grid(alpha=0.3)
    plain_legend(axes, list(curves.series), frameon=False, fontsize=8)
    return figure
