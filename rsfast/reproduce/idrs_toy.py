"""Toy experiments of Súkeník, Kuvshinov & Günnemann 2022: input-dependent against constant noise levels.

Figure 1 with Appendix A.1 (plane, constant sigma .6 against sigma(x) of about that average) and Appendix A.5 with Table 5 and
figure 10 (2 to 400 dimensions).

From the paper: sigma, sigma_b, rates and dimensions; sigma(x) of equation (1), at most 5 sigma_b in A.5; for Figure 1 a network
of three layers at most 20 wide, 500 training and 100 test points per class, uniform angles and distances that are roots of
chi-square variables; for A.5 training without noise, a narrow cone with its vertex in the origin, points denser towards it, the
other class spherically symmetric without the cone, its peak sharper than a normal's.

Chosen here, because the paper does not say; one rule for all dimensions, not fitted to Table 5 (others: bench/show_idrs_toy.py):

- Cone: angles to the axis uniform from 0 to 15 degrees, directions around the axis uniform.  In the plane a sector of 30 degrees.
- Distances from the origin, of both classes: scale * sqrt(chi-square with 1 degree of freedom), a density of distance^(1 - N)
  near the origin.  scale = 1 / rate: over it sigma(x) changes at most by e, and the cap of A.5 is reached by a few outliers, as
  the paper reports.  The gain hangs on it: with a quarter of it sigma(x) hardly varies.
- m is the least mean distance among training points for A.5: where sigma_b is the constant sigma, Table 5 has equal accuracies
  and larger radii, so sigma(x) starts at sigma_b near the vertex and only grows.  For Figure 1 it is the average, the rule of
  Appendix E.1 for a sigma(x) equal to sigma_b on average.  k = 20 as on the paper's images; rate .2 for Figure 1 as for the plane
  in A.5; no cap there, and training without noise as well.
- A.5 has 500 training and 150 test points per class: the 14 accuracies of Table 5 are multiples of 1/300 cut to three decimals,
  and of 1/n for no smaller n.
- Networks have three linear layers with ReLU, 20 wide in the plane and 100 elsewhere, on points divided by scale; 100 epochs of
  AdamW at .01, cross-entropy, batches of 128.
- n0 = 100, n = 10,000, alpha = .001: the paper gives none for its toys.  All settings of a dimension share training points,
  network and noise; so does Figure 1 with A.5 in the plane.

But for Figure 1 and sigma_b = .4 in the plane, sigma(x) has a clearly larger mean than the constant it is compared with.  A
constant sigma of that mean has the larger average radius from 18 dimensions on, at lower clean accuracy in 18, 60 and 180
(bench/results, idrs-toy, seed 0).
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from .. import files
from ..api import certify
from ..certificates import cohen_l2
from ..certifying.from_counts import check_level
from ..confidence import clopper_pearson_lower, failure_upper
from ..counting.classifier import Classifier
from ..noise import Gaussian, InputDependentGaussian, Noise
from ..report import ResultTable, average_certified_radius, certified_accuracy
from ..report.curves import Curves
from ..report.curves import write as write_curves
from ..request import Claim
from ..result import Certificate, floor_decimals
from ..sigma import NearestNeighbors
from ..training import train_with_noise

HALF_ANGLE = math.radians(15)
NEIGHBORS, CAP = 20, 5.0
N0 = 100
LEARNING_RATE = 1e-2


class Setting(NamedTuple):
    """sigma of constant smoothing (rate 0), or sigma_b of input-dependent smoothing, and Table 5's clean accuracy."""

    sigma: float
    rate: float
    paper: float | None

    def __str__(self) -> str:
        return f"sigma(x), sigma_b {self.sigma:g}, rate {self.rate:g}" if self.rate else f"constant sigma {self.sigma:g}"


class Design(NamedTuple):
    """One experiment; its first setting is the constant sigma that the others are compared with."""

    name: str
    title: str
    dimension: int
    test: int  # points per class
    settings: tuple[Setting, ...]
    m: str = "minimum"
    cap: float | None = CAP  # of sigma(x) / sigma_b
    training: int = 500  # points per class
    epochs: int = 100
    spread: float = 1.0  # scale of distances from the origin, in units of 1 / rate
    half_angle: float = HALF_ANGLE

    @property
    def scale(self) -> float:
        return self.spread / self.settings[1].rate


FIGURE_1 = Design(
    "toy-2d", "Figure 1: two sectors", 2, 100, (Setting(0.6, 0.0, None), Setting(0.6, 0.2, None)), m="average", cap=None
)
TABLE_5 = {
    dimension: Design(f"cone-{dimension}", f"Figure 10: cone in {dimension} dimensions", dimension, 150, settings)
    for dimension, settings in {
        2: (Setting(0.5, 0.0, 0.943), Setting(0.4, 0.2, 0.96), Setting(0.5, 0.2, 0.943)),
        6: (Setting(0.5, 0.0, 0.946), Setting(0.4, 0.1, 0.963)),
        18: (Setting(1.0, 0.0, 0.86), Setting(0.8, 0.05, 0.886)),
        60: (Setting(1.0, 0.0, 0.83), Setting(0.8, 0.03, 0.85), Setting(1.0, 0.03, 0.83)),
        180: (Setting(2.0, 0.0, 0.713), Setting(1.9, 0.01, 0.726)),
        400: (Setting(2.0, 0.0, 0.623), Setting(1.95, 0.005, 0.623)),
    }.items()
}


class Points(NamedTuple):
    """Points float32 [n, N]; label 1 lies in the cone."""

    x: NDArray[np.float32]
    label: NDArray[np.int64]

    @property
    def images(self) -> torch.Tensor:
        return torch.from_numpy(self.x)[:, None, None]  # [n, 1, 1, N]


class Outcome(NamedTuple):
    """A setting with its certificates and the same as a table with true labels."""

    setting: Setting
    certificate: Certificate
    table: ResultTable


class Experiment(NamedTuple):
    """What one design gave: accuracy of the bare network, the largest radius of the constant sigma at this n, outcomes."""

    design: Design
    accuracy: float
    ceiling: float
    outcomes: tuple[Outcome, ...]


class Network(torch.nn.Module):
    """Three linear layers with ReLU on points divided by `scale`: [n, 1, 1, N] to logits [n, 2]."""

    def __init__(self, dimension: int, scale: float) -> None:
        super().__init__()
        self.scale, width = scale, 20 if dimension == 2 else 100
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(dimension, width), torch.nn.ReLU(), torch.nn.Linear(width, width), torch.nn.ReLU(),
            torch.nn.Linear(width, 2),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x.flatten(1) / self.scale)


def in_cone(x: NDArray[np.float32], half_angle: float) -> NDArray[np.bool_]:
    """Whether points [n, N] are within `half_angle` of the first axis; the origin is."""
    points = x.astype(np.float64)
    return points[:, 0] >= math.cos(half_angle) * np.linalg.norm(points, axis=1)


def sample(rng: np.random.Generator, per_class: int, dimension: int, *, scale: float, half_angle: float = HALF_ANGLE) -> Points:
    """Points of both classes as the module describes, first those in the cone.  `scale` is the root mean square distance."""

    def sphere(n: int, dim: int) -> NDArray[np.float64]:
        v = rng.standard_normal((n, dim))
        return v / np.linalg.norm(v, axis=1, keepdims=True)

    def cone(n: int) -> NDArray[np.float64]:
        angle = rng.uniform(0.0, half_angle, (n, 1))
        return np.hstack([np.cos(angle), np.sin(angle) * sphere(n, dimension - 1)])

    def accepted(directions: Callable[[int], NDArray[np.float64]], inside: bool) -> NDArray[np.float32]:
        found = np.empty((0, dimension), np.float32)
        while len(found) < per_class:  # membership is that of the rounded point
            distance = scale * np.sqrt(rng.chisquare(1, (per_class, 1)))
            new = (distance * directions(per_class)).astype(np.float32)
            found = np.concatenate([found, new[in_cone(new, half_angle) == inside]])
        return found[:per_class]

    x = np.concatenate([accepted(cone, True), accepted(lambda n: sphere(n, dimension), False)])
    return Points(x, np.repeat(np.array([1, 0]), per_class))


def train(points: Points, scale: float, *, epochs: int, seed: int) -> Network:
    """A network trained on the points as they are; torch's global settings are left as they were."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Network(points.x.shape[1], scale)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # matrices this small make several threads wait for each other
    try:
        train_with_noise(
            network, points.images, torch.from_numpy(points.label), sigma=0.0, epochs=epochs, learning_rate=LEARNING_RATE,
            seed=seed,
        )  # fmt: skip
    finally:
        torch.set_num_threads(threads)
    return network


def level(design: Design, setting: Setting, training: Points) -> Noise:
    """The noise of a setting."""
    if not setting.rate:
        return Gaussian(setting.sigma)
    largest = None if design.cap is None else design.cap * setting.sigma
    return InputDependentGaussian(
        NearestNeighbors(training.images, base=setting.sigma, rate=setting.rate, k=NEIGHBORS, m=design.m, largest=largest)
    )


def run(design: Design, *, n: int = 10_000, alpha: float = 1e-3, seed: int = 0) -> Experiment:
    """One experiment.  One seed gives one result on one machine.

    Raises
    ------
    InvalidArgumentError
        n draws cannot certify anything at alpha, or alpha is none.
    """
    check_level(Claim(alpha), n)
    rng = np.random.default_rng([seed, design.dimension])
    shape: dict[str, Any] = {"scale": design.scale, "half_angle": design.half_angle}
    known, fresh = (sample(rng, count, design.dimension, **shape) for count in (design.training, design.test))
    network = train(known, design.scale, epochs=design.epochs, seed=seed)
    classifier = Classifier(network, num_classes=2, device="cpu", value_range=None)
    outcomes = []
    for setting in design.settings:
        noise = level(design, setting, known)
        certificate = certify(classifier, fresh.images, noise=noise, n0=N0, n=n, alpha=alpha, seed=seed)
        count = len(fresh.label)
        table = ResultTable(
            str(setting), np.arange(count), fresh.label, certificate.label, certificate.radius,
            certificate.label == fresh.label, np.zeros(count),
        )  # fmt: skip
        outcomes.append(Outcome(setting, certificate, table))
    with torch.no_grad():
        answers = network(fresh.images).argmax(dim=1).numpy()
    unanimous = clopper_pearson_lower(n, n, alpha), failure_upper(n, n, alpha)
    ceiling = cohen_l2(unanimous[0], sigma=design.settings[0].sigma, q_upper=unanimous[1])
    return Experiment(design, float((answers == fresh.label).mean()), float(ceiling), tuple(outcomes))


def run_all(dimensions: Sequence[int], *, n: int = 10_000, alpha: float = 1e-3, seed: int = 0) -> Iterator[Experiment]:
    """Figure 1, then Table 5 in the given dimensions, each as soon as it is done."""
    for design in (FIGURE_1, *(TABLE_5[dimension] for dimension in dimensions)):
        yield run(design, n=n, alpha=alpha, seed=seed)


def summary(experiment: Experiment) -> list[dict[str, Any]]:
    """One row per setting.

    clean_accuracy counts points that are right and not abstained; recovered and lost compare with those of the constant sigma;
    beyond_ceiling is the share of points certified correctly at more than any radius that the constant sigma can give.
    """
    design, constant = experiment.design, experiment.outcomes[0].table
    rows = []
    for setting, certificate, table in experiment.outcomes:
        radius = np.where(table.correct, certificate.radius, 0.0)
        rows.append(
            {
                "experiment": design.name,
                "dimension": design.dimension,
                "sigma": setting.sigma,
                "rate": setting.rate,
                "base_accuracy": experiment.accuracy,
                "clean_accuracy": float(certified_accuracy(table, [0.0])[0]),
                "paper": setting.paper,
                "abstained": float(table.abstained.mean()),
                "recovered": int((table.correct & ~constant.correct).sum()),
                "lost": int((constant.correct & ~table.correct).sum()),
                "mean_sigma": float(certificate.counts.sigma.mean()),
                "largest_sigma": float(certificate.counts.sigma.max()),
                "largest_radius": float(radius.max()),
                "ceiling": experiment.ceiling,
                "beyond_ceiling": float((radius > experiment.ceiling).mean()),
                "average_radius": average_certified_radius(table),
            }
        )
    return rows


def curves(experiment: Experiment, points: int = 401) -> Curves:
    """Certified accuracy against radius, a little beyond the largest."""
    largest = max(float(table.radius.max()) for _, _, table in experiment.outcomes if table.radius is not None)
    x = np.linspace(0.0, 1.02 * max(largest, experiment.ceiling), points)
    series = {table.name: certified_accuracy(table, list(x)) for _, _, table in experiment.outcomes}
    title = f"{experiment.design.title} (constant sigma ends at {floor_decimals(experiment.ceiling, 3)})"
    return Curves(experiment.design.name, title, "radius", "certified accuracy", x, series)


def write(experiments: Sequence[Experiment], folder: Path) -> list[Path]:
    """NAME.csv, NAME.svg, NAME.png of each experiment, and clean-accuracy.csv with the rows of `summary`."""
    written = []
    for experiment in experiments:
        figure = curves(experiment)
        written += [*write_curves(figure, folder, "svg"), write_curves(figure, folder, "png")[1]]
    rows = [row for experiment in experiments for row in summary(experiment)]
    file, out = folder / "clean-accuracy.csv", io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(name, value) for name, value in row.items()} for row in rows)
    files.write(file, out.getvalue())
    return [*written, file]


def _cell(name: str, value: Any) -> Any:
    """Radii rounded down, other fractions to six digits."""
    if isinstance(value, float):
        return floor_decimals(value, 6) if name.endswith("radius") or name == "ceiling" else f"{value:.6g}"
    return value
