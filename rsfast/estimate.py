"""The certified accuracy of a whole finite data set, from images drawn at random without replacement."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from . import checks, confidence
from .api import certify_counts
from .errors import StoreError
from .store import chosen
from .stored import read_run


def images_needed(population: int, precision: float, *, confidence_level: float, radii: int = 1) -> int:
    """How many images make the interval (`confidence.population_interval`) reach at most `precision` to either side.

    For about the worst case, half of the images certified; the confidence is shared by so many radii.  Found by bisection, and
    a few more than the least number where one image more makes an interval a little wider.
    """
    width = float(checks.floats("precision", precision, 1e-6, 0.5, "a distance from 0.000001 to 0.5 (0.01 is one point)"))
    delta = (1.0 - check_confidence(confidence_level)) / radii

    def enough(images: int) -> bool:
        counts = np.unique(np.clip(images // 2 + np.arange(-8, 9) * max(images // 100, 1), 0, images))
        low, high = confidence.population_interval(counts, images, population, delta=delta)
        return float(np.maximum(high - counts / images, counts / images - low).max()) <= width

    low, high = 0, population
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def check_confidence(value: float) -> float:
    """A confidence, or InvalidArgumentError."""
    return float(checks.floats("confidence", value, 0.5, 1.0 - 1e-12, "a confidence from 0.5 to below 1 (0.95 is customary)"))


@dataclasses.dataclass(frozen=True)
class Estimate:
    """Certified accuracy at one radius.

    Attributes
    ----------
    radius : float
    certified, drawn, population : int
        Images certified with the right label, images drawn, images of the data set.
    low, high : float
        Of the share that this run would certify if it went over all images.
    robust : float
        Lower bound of the share whose smoothed label is truly right within the radius.
    """

    radius: float
    certified: int
    drawn: int
    population: int
    low: float
    high: float
    robust: float

    @property
    def share(self) -> float:
        return self.certified / self.drawn


def estimate(path: Path, *, confidence_level: float = 0.95) -> list[Estimate]:
    """Estimates at every radius of a run that `rsfast estimate` has finished; both kinds hold for all radii together.

    Raises
    ------
    StoreError
        The run is not of images drawn at random, or not finished: which images finish first depends on their radii, so that
        the first ones to finish are no random sample.
    """
    delta = 1.0 - check_confidence(confidence_level)
    run = read_run(path)
    settings = run.manifest.settings
    sample, stopping = settings.get("sample"), run.counts.stopping
    if sample is None or stopping is None or stopping.plan is None or not stopping.labels:
        raise StoreError(
            f"{path} is not a run of `rsfast estimate`: its images were not drawn at random with their labels tested."
        )
    population = run.manifest.data["images"]
    expected = chosen(population, sample["images"], sample["seed"])
    if sorted(expected) != sorted(int(i) for i in run.counts.ids):
        raise StoreError(
            f"{path} holds {len(run.counts)} of the {sample['images']} images drawn at random: run the same command again until "
            "all are there."
        )
    how = {"bound": stopping.bound, "multiclass": stopping.multiclass, "joint": stopping.joint}
    cert = certify_counts(run.counts, alpha=stopping.alpha, norm=stopping.norm, **how)  # type: ignore[arg-type]
    radii = list(stopping.plan.radii or [])  # type: ignore[union-attr]
    found = []
    for radius in radii:
        certified = int((~cert.abstained & (cert.radius >= radius)).sum())
        counted = (certified, len(cert), population)
        low, high = confidence.population_interval(*counted, delta=delta / len(radii))
        robust = confidence.population_lower(*counted, alpha_image=stopping.alpha, delta=delta / len(radii))
        found.append(Estimate(radius, *counted, float(low), float(high), float(robust)))
    return found


def draws(path: Path) -> tuple[int, float]:
    """Draws of a run altogether, and in the mean of its images; of all parts of an image."""
    counts = read_run(path).counts
    total = (int(counts.drawn.sum()) + counts.n0 * len(counts)) * counts.parts
    return total, float(np.mean(counts.drawn) * counts.parts if len(counts) else 0.0)
