"""Counts → radius in one step, where bound and certificate belong together.  Each names its bounds and how alpha is shared."""

from __future__ import annotations

import math

import numpy as np
from numba import njit, vectorize
from numpy.typing import ArrayLike

from .. import checks
from ..checks import Floats
from ..confidence import bound, clopper_pearson_upper
from ..errors import InvalidArgumentError
from ..numerics import beta
from ..numerics.incomplete_gamma import gammainccinv
from ..numerics.normal import ndtri_scalar
from . import arguments
from .dual import EPS, MARGIN, dual_l2
from .gaussian import cohen_l2

EXACT = "clopper-pearson"


@checks.public
def cohen_certify(count: ArrayLike, n: ArrayLike, alpha: ArrayLike, *, sigma: ArrayLike) -> Floats:
    """Certify Cohen's radius from the votes of a class chosen by *separate* samples (Cohen et al. 2019, CERTIFY).

    Parameters
    ----------
    count, n : array_like of int
        Votes of the class and samples drawn.
    alpha : array_like
        Failure probability of the certificate.
    sigma : array_like
        Noise level.

    Returns
    -------
    float64 array: l2 radius, 0 where the exact lower bound is at most 1/2 (abstain).

    Raises
    ------
    InvalidArgumentError
        Counts that are not whole or exceed n, alpha outside (0, 1), sigma not positive.
    """
    p, q = bound(EXACT, count, n, alpha)
    return cohen_l2(p, sigma=sigma, q_upper=q)


@checks.public
def cohen_certify_multiclass(
    count: ArrayLike, count_other: ArrayLike, n: ArrayLike, alpha: ArrayLike, *, sigma: ArrayLike
) -> Floats:
    """Certify Cohen's radius with a bound for the other classes, each at alpha / 2.

    Parameters
    ----------
    count : array_like of int
        Votes of a class chosen by separate samples.
    count_other : array_like of int
        The *largest* other count of the *same* n samples; a runner-up picked by other samples is unsound.
    n, alpha, sigma : array_like
        As in `cohen_certify`.

    Returns
    -------
    float64 array: l2 radius, 0 where the bounds overlap.

    Notes
    -----
    The factor is 2, not the number of classes: the upper bound is monotone in the count, and the largest count is at least
    that of the true runner-up, one fixed class.  It raises as `cohen_certify` does, also where the two counts exceed n together.
    """
    count, count_other, n, alpha = checks.together(
        count=checks.counts("count", count),
        count_other=checks.counts("count_other", count_other),
        n=checks.counts("n", n, 1),
        alpha=checks.alpha(alpha),
    )
    bad = count > n - count_other  # exact; their sum need not be
    if bad.any():
        index = np.unravel_index(int(np.argmax(bad)), count.shape)
        raise InvalidArgumentError(
            f"count{checks.at(index)}={count[index]:.0f} and count_other={count_other[index]:.0f} exceed n={n[index]:.0f} "
            "together: give counts of the same n samples."
        )
    p, q = bound(EXACT, count, n, 0.5 * alpha)
    return cohen_l2(p, sigma=sigma, p_upper=clopper_pearson_upper(count_other, n, 0.5 * alpha), q_upper=q)


def _within(name: str, count: Floats, n: Floats) -> None:
    count, n = checks.together(**{name: count, "n": n})
    if (count > n).any():
        index = np.unravel_index(int(np.argmax(count > n)), count.shape)
        raise InvalidArgumentError(
            f"{name}{checks.at(index)}={count[index]:.0f} exceeds n={n[index]:.0f}: give counts of the same n samples."
        )


@checks.public
def dual_certify_bonferroni(
    count_left: ArrayLike,
    count_right: ArrayLike,
    n: ArrayLike,
    alpha: ArrayLike,
    *,
    sigma: ArrayLike,
    sigma_right: ArrayLike | None = None,
) -> Floats:
    """Certify `dual_l2` from the votes of both halves, each bounded at alpha / 2; fix the joint bound before counting.

    Xia et al. 2024, Algorithm 1, gives both halves alpha, for which no proof is known.  Further arguments are as in
    `cohen_certify`.
    """
    alpha = 0.5 * checks.alpha(alpha)
    for name, count in (("count_left", count_left), ("count_right", count_right)):
        _within(name, checks.counts(name, count), checks.counts("n", n, 1))
    p_l, q_l = bound(EXACT, count_left, n, alpha)
    p_r, q_r = bound(EXACT, count_right, n, alpha)
    return dual_l2(p_l, p_r, sigma_left=sigma, sigma_right=sigma_right, q_left=q_l, q_right=q_r)


@njit(cache=True, error_model="numpy")
def _z_at(count, n, spent):
    """Phi^-1 of the exact lower bound at level e^-spent."""
    if spent <= 0.0:
        return math.inf
    q, p = beta.failure_bounds(n - count, n, math.exp(-spent))
    return -ndtri_scalar(q) if q <= 0.5 else ndtri_scalar(p)


@vectorize(cache=True)
def _product_region(count_l, count_r, n, c):
    """A lower bound of min over tau in [0, c] of A(tau) + B(tau), A falling, B rising: least A(right) + B(left) of intervals."""
    if count_l == 0.0 or count_r == 0.0:
        return -math.inf
    most = 4096
    left, right, a_right, b_left, bounds = np.empty(most), np.empty(most), np.empty(most), np.empty(most), np.empty(most)
    a_c, b_0 = _z_at(count_l, n, c), _z_at(count_r, n, c)  # B(0) is the bound of the right half with everything spent on it
    left[0], right[0], a_right[0], b_left[0] = 0.0, c, a_c, b_0
    bounds[0] = a_c + b_0
    count, best = 1, math.inf
    while count < most:
        at = 0
        for i in range(count):
            if bounds[i] < bounds[at]:
                at = i
        if bounds[at] >= best - 1e-7 * max(1.0, abs(best)):
            break
        middle = 0.5 * (left[at] + right[at])
        if not left[at] < middle < right[at]:
            break
        a_m, b_m = _z_at(count_l, n, middle), _z_at(count_r, n, c - middle)
        best = min(best, a_m + b_m)
        left[count], right[count], a_right[count], b_left[count] = middle, right[at], a_right[at], b_m
        bounds[count] = a_right[at] + b_m
        right[at], a_right[at] = middle, a_m
        bounds[at] = a_m + b_left[at]
        count += 1
    return bounds[:count].min()


@checks.public
def dual_product_level(alpha: ArrayLike) -> Floats:
    """Return each half's own level in `dual_certify_product`: e^-c with (1 + c) e^-c = alpha, rounded down."""
    return np.exp(-gammainccinv(2.0, checks.alpha(alpha)) * (1.0 + 1e-13)) * (1.0 - 1e-15)


@checks.public
def dual_certify_product(
    count_left: ArrayLike, count_right: ArrayLike, n: ArrayLike, alpha: ArrayLike, *, sigma: ArrayLike
) -> Floats:
    """Certify `dual_l2` of equal noise levels from the product of the halves' p-values (Fisher), usually above Bonferroni's.

    The tail p-values pi_j(p) = P(Bin(n, p) >= count_j) of the halves are independent and super-uniform, so that
    {pi_left pi_right >= e^-c}, (1 + c) e^-c = alpha, holds the true pair with probability 1 - alpha; the radius is the least over
    that region, bounded from below to 1e-7.  This is beyond the paper.  Arguments and errors are as in `dual_certify_bonferroni`.
    """
    count_left, count_right, n, alpha, sigma = checks.together(
        count_left=checks.counts("count_left", count_left),
        count_right=checks.counts("count_right", count_right),
        n=checks.counts("n", n, 1),
        alpha=checks.alpha(alpha),
        sigma=arguments.scale("sigma", sigma),
    )
    for name, count in (("count_left", count_left), ("count_right", count_right)):
        _within(name, count, n)
    c = gammainccinv(2.0, alpha) * (1.0 + 1e-13)
    total = _product_region(count_left, count_right, n, c)
    radius = sigma * math.sqrt(0.5) * (total * MARGIN - 64.0 * EPS * (1.0 + np.abs(total)))
    return arguments.certified(radius, total > 0.0)
