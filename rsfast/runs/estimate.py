"""The certified accuracy of a whole finite data set, from images drawn at random without replacement."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import numpy as np

from .. import checks, confidence
from ..certifying import from_counts
from ..errors import StoreError
from .read import read_run
from .store import chosen


def images_needed(population: int, precision: float, *, confidence_level: float, radii: int = 1, growing: bool = False) -> int:
    """How many images make the interval reach at most `precision` to either side.

    That is `confidence.population_interval`, or of a sample that is `growing` `confidence.population_sequence`.  For about the
    worst case, half of the images certified; the confidence is shared by so many radii.  Found by bisection, and
    a few more than the least number where one image more makes an interval a little wider.
    """
    width = checks.number("precision", precision, 1e-6, 0.5, "a distance from 0.000001 to 0.5 (0.01 is one point)")
    population, radii = checks.whole("population", population, 1, 2**53), checks.whole("radii", radii, 1, 2**32)
    growing = checks.flag("growing", growing)
    delta = (1.0 - check_confidence(confidence_level)) / radii
    interval = confidence.population_sequence if growing else confidence.population_interval

    def enough(images: int) -> bool:
        counts = np.unique(np.clip(images // 2 + np.arange(-8, 9) * max(images // 100, 1), 0, images))
        low, high = interval(counts, images, population, delta=delta)
        return float(np.maximum(high - counts / images, counts / images - low).max()) <= width

    low, high = 0, population
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def check_confidence(value: float) -> float:
    """A confidence, or InvalidArgumentError."""
    return checks.number("confidence", value, 0.5, 1.0 - 1e-12, "a confidence from 0.5 to below 1 (0.95 is customary)")


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
    """Estimates at every radius of a run of `rsfast estimate`; both kinds hold for all radii together.

    Of a sample whose size was fixed beforehand they hold for that size, once.  Of a growing one (`--growing`) they hold at every
    look, also at sizes that were chosen after an earlier look: the images counted are those at the beginning of the random order
    up to the first that is not there.

    Raises
    ------
    StoreError
        The run is not of images drawn at random, or not finished: which images finish first depends on their radii, so that
        the first ones to finish are no random sample.
    """
    delta = 1.0 - check_confidence(confidence_level)
    run = read_run(path)
    sample, stopping = run.manifest.settings.get("sample"), run.counts.stopping
    if sample is None or stopping is None or not stopping.sequential or not stopping.labels:
        raise StoreError(
            f"{path} is not a run of `rsfast estimate`: its images were not drawn at random with their labels tested."
        )
    population = run.manifest.data["images"]
    counted = _counted(path, run.counts.ids.tolist(), chosen(population, sample["images"], sample["seed"]), is_growing(sample))
    cert = from_counts.certified(run.counts, stopping.claim)
    radii = list(getattr(stopping.plan, "radii", None) or [])
    interval, lower = confidence.population_interval, confidence.population_lower
    if is_growing(sample):
        interval, lower = confidence.population_sequence, confidence.population_lower_sequence
    drawn, found = np.isin(run.counts.ids, counted), []
    for radius in radii:
        certified = int((drawn & ~cert.abstained & (cert.radius >= radius)).sum())
        seen = (certified, len(counted), population)
        low, high = interval(*seen, delta=delta / len(radii))
        robust = lower(*seen, alpha_image=stopping.claim.alpha, delta=delta / len(radii))
        found.append(Estimate(radius, *seen, float(low), float(high), float(robust)))
    return found


def is_growing(sample: dict[str, Any]) -> bool:
    """Whether more images may be drawn after the answer was seen."""
    return sample.get("growing", False) is True


def _counted(path: Path, there: list[int], order: list[int], growing: bool) -> list[int]:
    """The images, of those that were drawn in that order, from which the estimate is made."""
    if not growing and sorted(order) != sorted(there):
        raise StoreError(
            f"{path} holds {len(there)} of the {len(order)} images drawn at random: run the same command again until "
            "all are there."
        )
    known = set(there)
    counted = list(itertools.takewhile(known.__contains__, order))
    if not counted:
        raise StoreError(
            f"{path} does not hold image {order[0]}, the first that was drawn at random: run the same command again until it is "
            "there."
        )
    return counted


def draws(path: Path) -> tuple[int, float]:
    """Draws of a run altogether, and in the mean of its images; of all parts of an image."""
    counts = read_run(path).counts
    total = (int(counts.drawn.sum()) + counts.n0 * len(counts)) * counts.parts
    return total, float(np.mean(counts.drawn) * counts.parts if len(counts) else 0.0)
