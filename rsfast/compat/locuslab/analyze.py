"""python -m rsfast.compat.locuslab.analyze: certified accuracy of logs as LaTeX and Markdown tables and as plots."""

from __future__ import annotations

import abc
import argparse
import contextlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ... import files
from ...files import printable
from . import commands

if TYPE_CHECKING:
    from ...report import ResultTable

Series = NDArray[np.float64]


class Accuracy(abc.ABC):
    """This is something that has a certified accuracy at every radius."""

    @abc.abstractmethod
    def at_radii(self, radii: ArrayLike) -> Series:
        """Return the certified accuracy at each radius: float64 like `radii`."""


class ApproximateAccuracy(Accuracy):
    """This is the share of a log's images whose label is right and certified at the radius: float64 like `radii`."""

    def __init__(self, data_file_path: str | Path) -> None:
        self.data_file_path = data_file_path

    @property
    def table(self) -> ResultTable:
        from ...report import read_log

        return read_log(Path(self.data_file_path))

    def at_radii(self, radii: ArrayLike) -> Series:
        from ...report import certified_accuracy

        return certified_accuracy(self.table, [float(radius) for radius in np.asarray(radii)])

    def at_radius(self, df: ResultTable, radius: float) -> float:
        from ...report import certified_accuracy

        return float(certified_accuracy(df, [radius])[0])


class HighProbAccuracy(Accuracy):
    """This is what the smoothed classifier's certified accuracy on these images is at least, with probability 1 - rho.

    Parameters
    ----------
    data_file_path : str
        A log.
    alpha : float
        Failure probability of each of its certificates.
    rho : float
        Failure probability of the accuracy.

    Notes
    -----
    Each of m certificates is wrong with probability at most alpha, independently, so that more than k are with at most
    P(Bin(m, alpha) > k); k is the least for which that is at most rho, and k / m is subtracted.  The original subtracts a form of
    Bernstein's inequality without its factor 2 (docs/migrate.md).
    """

    def __init__(self, data_file_path: str | Path, alpha: float, rho: float) -> None:
        from ... import checks

        self.data_file_path = data_file_path
        self.alpha, self.rho = checks.one_alpha(alpha), checks.one_alpha(rho)

    def at_radii(self, radii: ArrayLike) -> Series:
        from ...numerics import beta

        accuracy = ApproximateAccuracy(self.data_file_path)
        images = len(accuracy.table)
        wrong = np.arange(images)
        more = np.exp(beta.binom_logcdf(images - wrong - 1.0, float(images), 1.0 - self.alpha))  # P(more than `wrong`)
        enough = np.flatnonzero(more * (1.0 + 1e-12) <= self.rho)
        allowed = int(enough[0]) if len(enough) else images
        return np.maximum(accuracy.at_radii(radii) - allowed / images, 0.0)


class Line:
    """This is one line of a plot or row of a table: an Accuracy, its name, matplotlib's format, and a factor of the radii."""

    def __init__(self, quantity: Accuracy, legend: str, plot_fmt: str = "", scale_x: float = 1) -> None:
        self.quantity = quantity
        self.legend = legend
        self.plot_fmt = plot_fmt
        self.scale_x = scale_x


def plot_certified_accuracy(outfile: str, title: str, max_radius: float, lines: list[Line], radius_step: float = 0.01) -> None:
    """Plot certified accuracy against radius, as OUTFILE.pdf and OUTFILE.png.

    Title and legends are matplotlib's: text between dollar signs is a formula.

    Raises
    ------
    InvalidArgumentError
        Title, legend or format of a line is none that matplotlib understands.
    StoreError
        A file cannot be written; what was there is unchanged.
    """
    figure, axes = _axes(max_radius, lines, radius_step, labels=16, ticks=14)
    pdf = _rendered(figure, "pdf")
    axes.set_title(title, fontsize=20)
    png = _rendered(figure, "png", dpi=300)
    _write(f"{outfile}.pdf", pdf)
    _write(f"{outfile}.png", png)


def smallplot_certified_accuracy(
    outfile: str, title: str, max_radius: float, methods: list[Line], radius_step: float = 0.01, xticks: float = 0.5
) -> None:
    """Plot the same for a small place: large letters, a tick every `xticks`, OUTFILE.pdf only, the title in its metadata."""
    from matplotlib.ticker import MultipleLocator

    figure, axes = _axes(max_radius, methods, radius_step, labels=22, ticks=20)
    axes.xaxis.set_major_locator(MultipleLocator(xticks))
    _write(f"{outfile}.pdf", _rendered(figure, "pdf", metadata={"Title": title}))


def latex_table_certified_accuracy(
    outfile: str, radius_start: float, radius_stop: float, radius_step: float, methods: list[Line]
) -> None:
    r"""Write rows of a LaTeX tabular: a head of radii, \midrule, one row per method, the best of each column in bold."""
    radii, accuracies, best = _table(radius_start, radius_stop, radius_step, methods)
    rows = ["".join(f"& $r = {radius:.3}$" for radius in radii) + r"\\", r"\midrule"]
    for i, method in enumerate(methods):
        cells = [f"{accuracy:.2f}" for accuracy in accuracies[i]]
        rows.append(
            method.legend
            + "".join(rf" & \textbf{{{c}}}" if b == i else f" & {c}" for c, b in zip(cells, best, strict=True))
            + r"\\"
        )
    _write(outfile, "\n".join(rows) + "\n")


def markdown_table_certified_accuracy(
    outfile: str, radius_start: float, radius_stop: float, radius_step: float, methods: list[Line]
) -> None:
    """Write a Markdown table: a column per radius, a row per method, the best of each column with a star."""
    radii, accuracies, best = _table(radius_start, radius_stop, radius_step, methods)
    rows = ["|  | " + "".join(f"r = {radius:.3} |" for radius in radii), "| --- | " + " --- |" * len(radii)]
    for i, method in enumerate(methods):
        cells = [f"{accuracy:.2f}{'<b>*</b>' if b == i else ''} |" for accuracy, b in zip(accuracies[i], best, strict=True)]
        rows.append(f"<b> {method.legend} </b>| " + "".join(cells))
    _write(outfile, "\n".join(rows) + "\n")


def _axes(max_radius: float, lines: list[Line], radius_step: float, labels: int, ticks: int) -> tuple[Any, Any]:
    from ...report.plot import new_figure

    figure = new_figure()
    axes = figure.add_subplot()
    _check_grid(0.0, max_radius, radius_step)
    radii = np.arange(0, max_radius + radius_step, radius_step)
    for line in lines:
        with _refusing("format", line.plot_fmt):
            axes.plot(radii * line.scale_x, line.quantity.at_radii(radii), line.plot_fmt)
    axes.set(xlim=(0, max_radius), ylim=(0, 1))
    axes.tick_params(labelsize=ticks)
    axes.set_xlabel("radius", fontsize=labels)
    axes.set_ylabel("certified accuracy", fontsize=labels)
    legend = axes.legend(axes.lines, [str(i) for i in range(len(lines))], loc="upper right", fontsize=labels)
    for text, line in zip(legend.get_texts(), lines, strict=True):
        text.set_text(line.legend)  # as a label, one that begins with _ would be left out
    return figure, axes


@contextlib.contextmanager
def _refusing(what: str, given: str) -> Iterator[None]:
    from ...errors import InvalidArgumentError, RsfastError

    try:
        yield
    except RsfastError:
        raise
    except ValueError as error:
        raise InvalidArgumentError(
            f"{what} {given!r} is none that matplotlib understands: {' '.join(str(error).split())}"
        ) from None


def _rendered(figure: Any, ending: str, **more: Any) -> bytes:
    from ...report.plot import rendered

    texts = [text.get_text() for axes in figure.axes for text in (axes.title, *axes.get_legend().get_texts())]
    with _refusing("one of title and legends", ", ".join(text for text in texts if text)):
        return rendered(figure, ending, **more)


def _write(file: str, content: str | bytes) -> None:
    path = Path(file)
    files.make_folder(path.parent)
    files.write(path, content)


def _check_grid(start: float, stop: float, step: float) -> None:
    from ...errors import InvalidArgumentError

    with np.errstate(all="ignore"):
        points = np.divide(np.subtract(stop, start), step) + 1
    if not (start >= 0 and step > 0 and 1 <= points <= 1e6):
        raise InvalidArgumentError(
            f"radii from {start} to {stop} in steps of {step} are no grid: give 0 <= start <= stop and a positive step, a "
            "million radii at most."
        )


def _table(start: float, stop: float, step: float, methods: list[Line]) -> tuple[Series, Series, Series]:
    """Radii, accuracies [methods, radii], and the best method of each radius."""
    _check_grid(start, stop, step)
    radii: Series = start + step * np.arange(int(np.floor((stop - start) / step + 1e-9)) + 1, dtype=np.float64)
    accuracies: Series = np.array([method.quantity.at_radii(radii) for method in methods])
    return radii, accuracies, accuracies.argmax(axis=0)


RADII = {"cifar10": (0.25, 1.5, 0.25, 1.5), "imagenet": (0.5, 3.0, 0.5, 4.0)}
"""By data set: first, last and step of the tables' radii, and the plots' largest."""

ESCAPES: dict[str, dict[str, str | int | None]] = {
    "latex": {
        **{sign: f"\\{sign}" for sign in "&%$#_{}"}, "\\": r"\textbackslash{}", "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
    },
    "markdown": {"&": "&amp;", "<": "&lt;", ">": "&gt;", **{sign: f"\\{sign}" for sign in "\\|*_`[]"}},
    "plot": {"$": r"\$"},
}  # fmt: skip
"""How a name is written so that LaTeX, Markdown and matplotlib show it as it is."""

PLACE = re.compile(r"certify/(?P<data>[^/]+)/[^/]+/noise_(?P<train>[\d.]+)/test/sigma_(?P<sigma>[\d.]+)$")


def analyze_folder(data: Path, out: Path) -> list[Path]:
    """Write tables and plots of all logs DATA/certify/DATASET/MODEL/noise_X/test/sigma_Y, as the original's analyze.py does.

    vary_noise_DATASET has the logs with X = Y, as LaTeX, Markdown and plot.  vary_train_noise_DATASET_Y has those with the same Y
    and several X.  high_prob has one log and its high-probability bound.
    """
    from ...errors import DataError

    found = {}
    for file in sorted(data.glob("certify/*/*/noise_*/test/sigma_*")):
        place = PLACE.search(file.as_posix())
        if place is not None:
            found[file] = place.groupdict()
    if not found:
        raise DataError(f"{data} holds no logs certify/DATASET/MODEL/noise_X/test/sigma_Y: give logs by name, or --data FOLDER.")
    written: list[Path] = []
    for name in sorted({place["data"] for place in found.values()}):
        here = {file: place for file, place in found.items() if place["data"] == name}
        same = {file: place["sigma"] for file, place in here.items() if place["sigma"] == place["train"]}
        shown = {"imagenet": "ImageNet", "cifar10": "CIFAR-10"}.get(name, name)
        if same:
            written += _report({file: f"$\\sigma = {sigma}$" for file, sigma in same.items()}, out, f"vary_noise_{name}",
                               f"{shown}, vary $\\sigma$", RADII.get(name))  # fmt: skip
        for sigma in sorted({place["sigma"] for place in here.values()}):
            several = {file: f"train $\\sigma = {place['train']}$" for file, place in here.items() if place["sigma"] == sigma}
            if len(several) > 1:
                file_name = f"vary_train_noise_{name.removesuffix('10')}_{sigma.replace('.', '')}"
                lines = [Line(ApproximateAccuracy(file), legend) for file, legend in several.items()]
                largest = RADII.get(name, (0, 0, 0, _largest(list(several))))[3]
                plot_certified_accuracy(
                    str(out / "plots" / file_name),
                    f"{shown}, vary train noise, $\\sigma={sigma}$",
                    largest,
                    lines,
                    _step(largest),
                )
                written.append(out / "plots" / f"{file_name}.png")
    favoured = {"data": "imagenet", "train": "0.50", "sigma": "0.50"}
    first = next((file for file, place in found.items() if place == favoured), next(iter(found)))
    lines = [Line(ApproximateAccuracy(first), "Approximate"), Line(HighProbAccuracy(first, 0.001, 0.001), "High-Prob")]
    largest = _largest([first])
    plot_certified_accuracy(str(out / "plots" / "high_prob"), "Approximate vs. High-Probability", largest, lines, _step(largest))
    return [*written, out / "plots" / "high_prob.png"]


def _largest(files: Sequence[Path]) -> float:
    """A radius that no image of these logs exceeds by much."""
    radii = [ApproximateAccuracy(file).table.radius for file in files]
    most = max((float(radius.max()) for radius in radii if radius is not None and len(radius)), default=0.0)
    return float(np.ceil(4.0 * most)) / 4.0 if most >= 0.1 else most or 0.25


def _step(largest: float) -> float:
    """The plots' step of 0.01, but for radii of another size."""
    return 0.01 if 0.25 <= largest <= 10 else largest / 400


def _report(
    legends: dict[Path, str],
    out: Path,
    name: str,
    title: str,
    radii: tuple[float, float, float, float] | None,
    *,
    names: bool = False,
) -> list[Path]:
    """Both tables and the plot of some logs; legends that are `names` are shown as they are, and others as each file has them."""
    from ...report import default_radii

    escaped = ESCAPES if names else {kind: {} for kind in ESCAPES}
    lines, marked, drawn = (
        [Line(ApproximateAccuracy(file), legend.translate(str.maketrans(escaped[kind]))) for file, legend in legends.items()]
        for kind in escaped
    )
    if radii is None:
        grid = default_radii([ApproximateAccuracy(file).table for file in legends])
        radii = (grid[0], grid[-1], grid[1] - grid[0] if len(grid) > 1 else 1.0, _largest(list(legends)))
    if not names:
        marked = [Line(line.quantity, line.legend.replace("$\\sigma", "&sigma;").replace("$", "")) for line in marked]
    latex_table_certified_accuracy(str(out / "latex" / name), *radii[:3], lines)
    markdown_table_certified_accuracy(str(out / "markdown" / name), *radii[:3], marked)
    plot_certified_accuracy(str(out / "plots" / name), title, radii[3], drawn, _step(radii[3]))
    return [out / "latex" / name, out / "markdown" / name, out / "plots" / f"{name}.png"]


def run(argv: Sequence[str] | None = None) -> None:
    from ...errors import InvalidArgumentError

    found = argparse.ArgumentParser(description="Show the certified accuracy of logs in LaTeX and Markdown tables and in plots.")
    found.add_argument(
        "logs", nargs="*", help="read these logs with radii; without them, every log below --data, in the original's layout"
    )
    found.add_argument("--data", default="data", help="read this folder of certify/DATASET/MODEL/noise_X/test/sigma_Y (data)")
    found.add_argument("--out", default="analysis", help="write to this folder (analysis)")
    found.add_argument("--name", default="certified_accuracy", help="give the tables and the plot of named logs this name")
    options = found.parse_args(argv)
    out = Path(options.out)
    if not options.name or Path(options.name).name != options.name:
        raise InvalidArgumentError(f"--name {options.name!r} is no name of a file: give one without folders.")
    if options.logs:
        legends = {Path(log): printable(Path(log).name) for log in options.logs}
        written = _report(legends, out, options.name, "Certified accuracy", None, names=True)
        for log, legend in legends.items():
            for sentence in ApproximateAccuracy(log).table.caveats:
                print(f"{legend}: {sentence}")  # noqa: T201
    else:
        written = analyze_folder(Path(options.data), out)
    for file in written:
        print(f"wrote {file}")  # noqa: T201


if __name__ == "__main__":
    commands.main(run)
