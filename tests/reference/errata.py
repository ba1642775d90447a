"""Formulas as printed (or as released code has them) that are unsound or wrong.  Never to be used outside tests."""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

z = stats.norm.ppf


def total_variation(p1, p2, sigma):
    """Hayes 2020, Table 1."""
    return 2 * sigma * z((p1 - p2) / 2 + 0.5)


def kl(p1, p2, sigma):
    """Hayes 2020, Table 1, with the Gaussian KL taken as d²/sigma²."""
    return sigma * math.sqrt(-math.log(1 - (math.sqrt(p1) - math.sqrt(p2)) ** 2))


def gaussian_lp(p, sigma, dim, order):
    """Kumar et al. 2020, eq. (1), used for every order."""
    return sigma * z(p) * dim ** -(0.5 - 1 / order)


def laplace(p1, p2, scale):
    """Hayes 2020, §3.1: scale log(1 - p1 + p2), with its sign."""
    return scale * math.log(1 - p1 + p2)


def dual_equation_6(pa_l, pa_r, pb_l, pb_r, sigma):
    """Xia et al. 2024, eq. (6), whose proof takes Phi^-1 for convex on all of [0, 1]."""
    mean = (pa_l + pa_r + pb_l + pb_r) / 2
    return sigma / math.sqrt(2) * (z(pa_l) + z(pa_r) - 2 * z(mean / 2))


def dual_clipped(pl, pr, sigma):
    """Released code of dual smoothing: each half's radius clipped at 0, then added."""
    return sigma / math.sqrt(2) * (max(z(pl), 0) + max(z(pr), 0))


def dual_unequal(pl, pr, sigma_l, sigma_r):
    """Xia et al. 2024, A.4: the least d_l + d_r, then over sqrt 2."""
    return min(sigma_l, sigma_r) * (z(pl) + z(pr)) / math.sqrt(2)


def partition_symmetric(p, sigma):
    """Xia et al. 2024, A.3: the symmetric point of k parts."""
    return sigma * float(np.sum(z(np.asarray(p)))) / math.sqrt(len(p))


def generalized_gaussian_limit(p1, p2, sigma, dim, order):
    """Kumar et al. 2020, Theorem 2, without its condition on p."""
    return 2 * sigma / dim ** (0.5 - 1 / order) * (math.sqrt(math.log(1 / (1 - p1))) + math.sqrt(math.log(1 / p2)))
