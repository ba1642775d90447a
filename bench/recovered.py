"""Base classifiers with known probabilities, taken from the published logs: what plans are tried on.

A log prints a radius to three digits; the count is the one whose radius is nearest.  Its success probability is taken to be k / n.
Three kinds of rows hold no such number, and each repetition draws one for them:

* all n draws succeeded: failure probability log-uniform below 0.56e-5, as dense per e-fold as the rows just above;
* abstained: p uniform below 0.505, as dense as the log is in [0.505, 0.605];
* the label's own probability where another class was predicted: uniform below 1 - p of that class; of an abstained row below 1/2.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from rsfast.confidence import failure_upper
from rsfast.numerics.normal import ndtri
from rsfast.report import read_log
from tests.report.test_report import LOGS

N = 100_000
ALPHA_OF_LOG = {  # the level at which each log's radii lie on the lattice of possible ones
    ("imagenet_resnet50", "0.25"): 0.01,
    ("imagenet_resnet50", "0.50"): 0.01,
    ("imagenet_resnet50", "1.00"): 0.01,
    ("cifar10_resnet110", "0.12"): 0.001,
    ("cifar10_resnet110", "0.25"): 0.01,
    ("cifar10_resnet110", "0.50"): 0.01,
    ("cifar10_resnet110", "1.00"): 0.01,
}
SATURATED = 0.56e-5
LEAST_PRINTED = 0.505


@dataclasses.dataclass(frozen=True)
class Recovered:
    """One log: sigma; successes of the predicted class [rows], -1 where it abstained; whether the prediction was right."""

    name: str
    sigma: float
    successes: np.ndarray
    right: np.ndarray

    def failures(self, rng: np.random.Generator, repetitions: int) -> np.ndarray:
        """Failure probabilities of the predicted class, float64 [repetitions, rows]."""
        k, failure = self.successes, np.broadcast_to(1 - self.successes / N, (repetitions, len(self.successes))).copy()
        saturated, abstained = k == N, k < 0
        few = ((N - k > 0) & (N - k <= 30)).sum() / math.log(30.5e-5 / SATURATED)  # rows per e-fold of failure probability
        span = saturated.sum() / max(few, 1.0)
        failure[:, saturated] = SATURATED * np.exp(-span * rng.random((repetitions, saturated.sum())))
        dense = ((k >= LEAST_PRINTED * N) & (k <= (LEAST_PRINTED + 0.1) * N)).sum() / 0.1
        width = abstained.sum() / dense
        failure[:, abstained] = 1 - LEAST_PRINTED + width * rng.random((repetitions, abstained.sum()))
        return failure

    def of_label(self, rng: np.random.Generator, failure: np.ndarray) -> np.ndarray:
        """Failure probabilities of the label, float64 [repetitions, rows], given those of the predicted class."""
        wrong, abstained = (self.successes >= 0) & ~self.right, self.successes < 0
        share = rng.random(failure.shape)
        found = np.where(wrong, 1 - share * failure, failure)
        return np.where(abstained, 1 - 0.5 * share, found)


def recovered() -> list[Recovered]:
    """The seven logs."""
    found = []
    for (model, sigma), alpha in ALPHA_OF_LOG.items():
        log = read_log(LOGS / f"{model}_sigma_{sigma}.tsv")
        counts = np.arange(N // 2, N + 1)
        radii = -float(sigma) * ndtri(failure_upper(counts, N, alpha))
        middles = 0.5 * (radii[1:] + radii[:-1])
        k = np.where(log.predict < 0, -1, counts[np.searchsorted(middles, log.radius)])
        found.append(Recovered(f"{model.split('_')[0]} {sigma}", float(sigma), k, np.asarray(log.correct, bool)))
    return found
