"""Plans that certify every look on its own (`rules.OverLooks`), simulated for many images at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..certifying import radii
from ..checks import Floats
from ..numerics.normal import ndtr, ndtri
from ..plans import Expected
from .choose import Ask
from .rules import LEAST_SHARE, OverLooks

PATHS = 6000  # simulated for a forecast, or a few of every image
POINTS, REPETITIONS = 7, 8  # probabilities from an image's lowest to its highest, and how often each is simulated
OTHERS = 8  # classes that share what does not go to the tested class and the largest other one


class Extremes(NamedTuple):
    """For each image [B] the fewest and most mean draws, their variances, and the least and largest shares reached [B, J]."""

    least_draws: Floats
    most_draws: Floats
    least_variance: Floats
    most_variance: Floats
    least_reached: Floats
    most_reached: Floats


class Simulator:
    """Images of a pilot under the rule of `recipe`, with probabilities that are chosen.

    Parameters
    ----------
    ask, recipe
        What is certified, and when drawing stops.
    votes, tested : int [B, P, K], int [B]
        Of the pilot: who shares the votes that do not go to the tested class.
    sigma : float64 [B, P]
        Noise levels.
    """

    def __init__(self, ask: Ask, recipe: OverLooks, votes: np.ndarray, tested: np.ndarray, sigma: Floats) -> None:
        self.ask, self.recipe, self.sigma = ask, recipe, sigma
        others = votes.astype(np.float64)
        others[np.arange(len(votes)), :, tested] = 0.0
        self.several = bool(ask.claim.others)
        self.share = (others.max(axis=2) + 0.5) / (others.sum(axis=2) + 0.5)  # [B, P], of the largest other class

    def expected(self, successes: np.ndarray, drawn: int) -> Expected:
        """Mean draws, and shares of thresholds reached, probabilities being drawn from what the pilot leaves open."""
        rng = np.random.default_rng(0)
        repetitions = int(np.clip(PATHS // len(successes), 4, 200))
        rows = np.tile(np.arange(len(successes)), repetitions)
        p = rng.beta(successes[rows] + 0.5, drawn - successes[rows] + 0.5)
        draws, reached = self._walk(p, rows, rng)
        shape = (repetitions, len(successes))
        shares = (reached.reshape(shape)[:, :, None] >= np.arange(len(self.recipe.radii))).mean(axis=0)
        return Expected(draws.reshape(shape).mean(axis=0), shares)

    def between(self, low: Floats, high: Floats) -> Extremes:
        """Extremes over probabilities from `low` to `high`, float64 [B, P].

        Draws are most where a radius is just missed or just reached: where one is out of reach at neither end and not certain at
        both, all n are counted.  Elsewhere the parts move from `low` to `high` together, in POINTS steps.
        """
        rng = np.random.default_rng(1)
        images, count = len(low), len(self.recipe.radii)
        z_low, z_high = (np.clip(ndtri(end), -1.0, 6.5) for end in (low, high))
        steps = np.linspace(0.0, 1.0, POINTS)[:, None, None]
        p = ndtr(z_low + steps * (z_high - z_low))  # [POINTS, B, P]
        rows = np.tile(np.arange(images), POINTS * REPETITIONS)
        draws, reached = self._walk(np.tile(p, (REPETITIONS, 1, 1)).reshape(-1, p.shape[2]), rows, rng)
        of_points = draws.reshape(REPETITIONS, POINTS, images)
        mean, variance = of_points.mean(axis=0), of_points.var(axis=0)
        shares = (reached.reshape(REPETITIONS, POINTS, images)[..., None] >= np.arange(count)).mean(axis=0)  # [POINTS, B, J]
        least, most, every = mean.argmin(axis=0), mean.argmax(axis=0), np.arange(images)
        possible, sure = self._limit(high)[:, None], self._surely(low)[:, None]
        wanted = np.maximum(self.recipe.radii, 5e-324)  # radius 0 asks for any positive one
        open_ = ((possible >= wanted) & (sure < wanted)).any(axis=1)
        return Extremes(
            mean[least, every], np.where(open_, float(self.recipe.n), mean[most, every]), variance[least, every],
            np.where(open_, 0.0, variance[most, every]), shares.min(axis=0), shares.max(axis=0),
        )  # fmt: skip

    def _surely(self, p: Floats) -> Floats:
        """A radius that all n draws certify with probability 0.999 in each part: [B]."""
        n = self.recipe.n
        least = np.maximum(np.floor(n * p - 3.1 * np.sqrt(n * p * (1.0 - p))), 0.0).astype(np.int64)
        return self._radius(least, n, float(self.recipe.shares[-1]), np.arange(len(p)))

    def _limit(self, p: Floats) -> Floats:
        """The radius that any number of draws certifies at these probabilities: [B]."""
        if self.several:
            return np.where((p > 0.5).all(axis=1), np.inf, 0.0)
        return radii.at(self.ask.smoothing, p, 1.0 - p, self.sigma, self.ask.claim.norm)

    def _walk(self, p: Floats, rows: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draws and last threshold reached of images `rows` with probabilities p [N, P]: int64 [N] both."""
        recipe = self.recipe
        successes = np.zeros(p.shape, dtype=np.int64)
        draws, reached = np.zeros(len(p), dtype=np.int64), np.full(len(p), -1)
        active, at = np.arange(len(p)), 0
        for look, n in enumerate(recipe.looks):
            successes[active] += rng.binomial(n - at, p[active])
            draws[active], at = n, n
            own, of = successes[active], rows[active]
            if recipe.shares[look] >= LEAST_SHARE:
                radius = self._radius(own, n, float(recipe.shares[look]), of)
                certain = ((recipe.radii <= radius[:, None]) & (radius > 0.0)[:, None]).sum(axis=1) - 1
                reached[active] = np.maximum(reached[active], certain)
            last = len(recipe.radii) - 1
            done = (reached[active] >= last) | (look + 1 == len(recipe.looks))
            if not np.isinf(recipe.margin):
                share = own / n
                raised = share + recipe.margin * np.sqrt(share * (1.0 - share) / n) + recipe.margin**2 / n
                winners = np.floor(np.minimum(raised, 1.0) * recipe.n).astype(np.int64)
                hoped = self._radius(winners, recipe.n, float(recipe.shares[-1]), of)
                done |= (hoped <= 0.0) | (hoped < recipe.radii[np.minimum(reached[active] + 1, last)])
            active = active[~done]
            if not active.size:
                break
        return draws, reached

    def _radius(self, successes: np.ndarray, n: int, alpha: float, of: np.ndarray) -> Floats:
        """Radii of images `of` with so many successes [N, P] among n draws."""
        failures = n - successes
        if self.several:
            largest = np.floor(failures * self.share[of]).astype(np.int64)
            rest = failures - largest
            each, more = rest // OTHERS, rest % OTHERS
            shared = each[..., None] + (np.arange(OTHERS) < more[..., None])
            votes = np.concatenate([successes[..., None], largest[..., None], shared], axis=2)
        else:
            votes = np.stack([successes, failures], axis=2)
        of_images = radii.Votes(votes, np.zeros(len(votes), dtype=np.int64), n, self.sigma[of])
        return radii.derive(self.ask.smoothing, of_images, self.ask.claim.at(alpha)).radius
