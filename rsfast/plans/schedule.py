"""When a plan looks at the counts, and how much of alpha each look may spend.  Both are fixed before the first draw."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import checks
from ..checks import Floats
from ..errors import InvalidArgumentError

MOST_LOOKS = 4096


def schedule(n: int, first: int, growth: float, step: int) -> NDArray[np.int64]:
    """Return the numbers of draws after which a plan looks: int64 [K], increasing, the last one n.

    n_1 = first, n_(k+1) = the least multiple of `step` that is at least growth * n_k and above n_k; n itself is the last look.
    That makes 52 looks for n = 100,000 and the default plan.

    Raises
    ------
    InvalidArgumentError
        More than 4,096 looks.
    """
    looks, at = [], first
    while at < n:
        looks.append(at)
        if len(looks) == MOST_LOOKS:
            raise InvalidArgumentError(
                f"growth={growth:g} and step={step} look more than {MOST_LOOKS} times before n={n}: give a larger growth or step."
            )
        if growth * at >= n:
            break
        # The product may lie a rounding above a multiple of step.
        at = max(math.ceil(growth * at / step * (1.0 - 1e-12)), at // step + 1) * step
    return np.array([*looks, n], dtype=np.int64)


def spending(looks: ArrayLike, alpha: float, final: float, spread: float) -> Floats:
    """Return how much of alpha each look may newly use: float64 [K], of sum at most alpha.

    The last look gets `final` of it, the K - 1 before share the rest in proportion to spread^(k - 1).  What a look leaves unused
    is carried to the next by whoever spends it (`boundary.boundaries`).  Between looks that grow by a factor, a spread slightly
    above 1 serves late certificates, which are the expensive ones; for looks at equal distances choose it nearer to 1.
    """
    k = np.size(looks)
    alpha = checks.one_alpha(alpha)
    if k == 1:
        return np.array([alpha])
    weights = np.exp(math.log(spread) * (np.arange(k - 1.0) - (k - 2.0 if spread > 1.0 else 0.0)))
    shares = np.append(weights * ((1.0 - final) / weights.sum()), final) * alpha
    return shares * (1.0 - 1e-12)  # the rounding of up to 4,096 shares and of what is carried between them
