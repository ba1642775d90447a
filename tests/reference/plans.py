"""Plans in few lines: exact recursions over all counts, martingales by direct sums.  For small n."""

from fractions import Fraction

import mpmath
import numpy as np
from scipy import stats


def rejection_probability(looks, least, failure):
    """P(S_k >= least[k] at some look k) if draws fail with that probability; every count is kept, float64."""
    alive, before, rejected = np.ones(1), 0, 0.0  # alive[f] = P(f failures, not rejected)
    for n, c in zip(looks, least, strict=True):
        alive = np.convolve(alive, stats.binom.pmf(np.arange(n - before + 1), n - before, failure))
        most = n - c  # failures with which the look rejects
        rejected += alive[: most + 1].sum()
        alive[: most + 1], before = 0.0, n
    return rejected


def long_rejection_probability(looks, least, failure, drop=1e-30):
    """The same for large n: terms below `drop` at the ends are left out, and their sum is counted as rejected."""
    alive, low, before, rejected = np.ones(1), 0, 0, 0.0
    for n, c in zip(looks, least, strict=True):
        draws, before = n - before, n
        mean, reach = draws * failure, 14 * np.sqrt(draws * failure * (1 - failure)) + 60
        start, end = max(int(mean - reach), 0), min(int(mean + reach), draws)
        step = stats.binom.pmf(np.arange(start, end + 1), draws, failure)
        rejected += stats.binom.cdf(start - 1, draws, failure) + stats.binom.sf(end, draws, failure)
        alive, low = np.convolve(alive, step), low + start
        kept = np.flatnonzero((alive > drop) & (low + np.arange(len(alive)) > n - c))
        first, last = kept[0], kept[-1] + 1
        rejected += alive[:first].sum() + alive[last:].sum()
        alive, low = alive[first:last], low + first
    return rejected


def exact_rejection_probability(looks, least, failure):
    """The same in rational numbers, one draw at a time: no rounding at all."""
    e, alive, rejected = Fraction(failure), [Fraction(1)], Fraction(0)
    rule = dict(zip((int(n) for n in looks), (int(c) for c in least), strict=True))
    for n in range(1, int(looks[-1]) + 1):
        alive = [a * (1 - e) + b * e for a, b in zip([*alive, Fraction(0)], [Fraction(0), *alive], strict=True)]
        for f in range(n - rule.get(n, n + 1) + 1):
            rejected += alive[f]
            alive[f] = Fraction(0)
    return rejected


def false_certification(looks, accept, thresholds, failure, probability=rejection_probability):
    """P(some threshold is certified that draws of this failure probability do not allow); `accept` need not be nested."""
    forbidden = np.asarray(thresholds) <= failure
    return probability(looks, accept[:, forbidden].min(axis=1), failure) if forbidden.any() else 0.0


def around(thresholds):
    """Failure probabilities on the thresholds, next to them on both sides, and between."""
    t = np.asarray(thresholds, float)
    between = np.sqrt(t[1:] * t[:-1])
    found = np.concatenate([t, t * (1 + 1e-9), t * (1 - 1e-9), t * 1.02, t * 0.98, between])
    return np.unique(found[(found > 0) & (found < 1)])


def wealth(successes, failures, e, bets, weights):
    """The mixture martingale by direct sums with 60 digits."""
    with mpmath.workdps(60):
        e = mpmath.mpf(e)
        return sum(
            mpmath.mpf(w) * ((1 - mpmath.mpf(f)) / (1 - e)) ** int(successes) * (mpmath.mpf(f) / e) ** int(failures)
            for f, w in zip(bets, weights, strict=True)
        )
