"""Exact group-sequential boundaries of one binomial count.

A threshold is tested by the number of failures: reject "the failure probability is at least e" at look k if F_k <= a_k.  With
g_k(f) = P(F_k = f, not rejected before) under failure probability e exactly,

    g_k = (g_(k-1) without what was rejected) * Bin(n_k - n_(k-1), e),
    a_k = the largest a with sum over f <= a of g_k(f) <= budget_k,

budget_k being what look k may spend plus what the looks before left over.  Then P(ever rejected) <= sum of what may be spent.

Why the computed table is sound although floating point rounds and the sums are cut:

* All terms are positive, so a relative error of at most (terms + 2) * 2^-53 enters per sum; the bound is carried along and every
  probability is multiplied up by it before it is compared with the budget.
* Binomial terms start at the mode (Loader's form, `numerics.beta`, good to 1e-13) and go outward by the ratio of neighbours, each
  step at most 4 roundings; the failure probability itself is used, never 1 minus a rounded success probability.
* What is cut off is charged to the budget as if it were rejected: ratios fall going outward, so pmf * ratio / (1 - ratio)
  bounds the rest.  Each cut is at most 1e-9 of what a look may spend on average, which costs no count.

The independent recursion of tests/reference/plans.py (full width, other formulas) confirms it in tests/plans/test_boundary.py.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from ..numerics.beta import _log_pmf, log_tail

UNIT = 1.1102230246251565e-16
MODE_ERROR = 1e-13  # relative, of the binomial term at the mode
CUT = 1e-9  # of what a look may spend on average, cut off at each of three places and charged


@njit(cache=True, error_model="numpy")
def binomial_window(n, e, cut):
    """Return terms of Bin(n, e) around its mode: (pmf of low, low + 1, …; low; mass left out at most; relative error at most).

    Each side is left where the rest is at most `cut`.
    """
    p, size = 1.0 - e, float(n)
    odds = e / p
    mode = min(math.floor((size + 1.0) * e), size)
    top = math.exp(_log_pmf(mode, size, e, p))
    below, term, f, left_out = 0, top, mode, 0.0
    while f > 0.0:
        ratio = f / ((size - f + 1.0) * odds)
        if ratio < 1.0 and term * ratio <= cut * (1.0 - ratio):
            left_out += term * ratio / (1.0 - ratio)
            break
        term, f, below = term * ratio, f - 1.0, below + 1
    above, term, f = 0, top, mode
    while f < size:
        ratio = (size - f) / (f + 1.0) * odds
        if ratio < 1.0 and term * ratio <= cut * (1.0 - ratio):
            left_out += term * ratio / (1.0 - ratio)
            break
        term, f, above = term * ratio, f + 1.0, above + 1
    pmf = np.empty(below + above + 1)
    pmf[below] = top
    for i in range(below):
        f = mode - i
        pmf[below - i - 1] = pmf[below - i] * (f / ((size - f + 1.0) * odds))
    for i in range(above):
        f = mode + i
        pmf[below + i + 1] = pmf[below + i] * ((size - f) / (f + 1.0) * odds)
    error = MODE_ERROR + 8.0 * UNIT * (max(below, above) + 1.0)
    return pmf, int(mode) - below, left_out * (1.0 + 1e-6), error


@njit(cache=True, error_model="numpy")
def convolve(a, b):
    """Return the sums of all a[i] b[j] with i + j fixed."""
    if len(a) > len(b):
        a, b = b, a
    wide, rows = len(b), (len(a) + 3) // 4 * 4  # four rows at once: fewer loads and stores
    padded, factors, total = np.zeros(wide + 6), np.zeros(rows), np.zeros(rows + wide - 1)
    padded[3 : wide + 3] = b
    factors[: len(a)] = a
    for i in range(0, rows, 4):
        w, x, y, z = factors[i], factors[i + 1], factors[i + 2], factors[i + 3]
        part = total[i : i + wide + 3]
        for j in range(wide + 3):
            part[j] += (w * padded[j + 3] + x * padded[j + 2]) + (y * padded[j + 1] + z * padded[j])
    return total[: len(a) + wide - 1]


@njit(cache=True, error_model="numpy")
def boundary(looks, budgets, e):
    """Return the most failures at each look with which "the failure probability is at least e" is rejected, or -1: int64 [K]."""
    most = np.full(len(looks), -1, dtype=np.int64)
    g, low, before = np.ones(1), 0, 0  # g[i] = P(low + i failures, not rejected), too small by at most the relative error
    error, bank = 0.0, 0.0
    cut = CUT * budgets.mean()
    for k in range(len(looks)):
        step, step_low, left_out, step_error = binomial_window(looks[k] - before, e, cut)
        before = looks[k]
        error += step_error + (min(len(g), len(step)) + 2.0) * UNIT
        g, low = convolve(g, step), low + step_low
        up = 1.0 + 2.0 * (error + len(g) * UNIT)
        bank += budgets[k] - left_out
        used, total, taken = 0.0, 0.0, 0
        while taken < len(g):
            total += g[taken]
            if total * up > bank:
                break
            used, taken = total * up, taken + 1
        bank -= used
        if bank >= 0.0:
            most[k] = min(low + taken - 1, before)  # what lies below `low` has been charged already
        end, rest = len(g), 0.0
        while end > taken + 1 and (rest + g[end - 1]) * up <= cut:
            end -= 1
            rest += g[end]
        bank -= rest * up
        g, low = g[taken:end].copy(), low + taken
        if len(g) == 0:
            g = np.zeros(1)
    return most


@njit(cache=True, error_model="numpy")
def boundaries(looks, budgets, failure):
    """Return the `boundary` of every threshold: int64 [K, J].

    looks : int64 [K], increasing.  budgets : float64 [K], what each look may newly spend.  failure : float64 [J], in [0, 1).
    """
    most = np.empty((len(looks), len(failure)), dtype=np.int64)
    for j in range(len(failure)):
        most[:, j] = boundary(looks, budgets, failure[j])
    return most


@njit(cache=True, error_model="numpy")
def critical(n, e, level):
    """Return the most failures f with P(Bin(n, e) <= f) <= level, -1 for none: the exact test of one look."""
    size, p, target = float(n), 1.0 - e, math.log(level)
    if log_tail(0.0, size, e, p)[0] > target:
        return -1
    low, high = 0, n  # P(F <= low) <= level < P(F <= high)
    deviation = math.sqrt(size * e * p)
    guess = int(size * e - math.sqrt(-2.0 * min(target, -0.5)) * deviation)
    reach = int(0.3 * deviation) + 1
    for at in (guess - reach, guess, guess + reach, guess + 3 * reach):
        if low < at < high:
            if log_tail(float(at), size, e, p)[0] <= target:
                low = at
            else:
                high = at
    while high - low > 1:
        middle = (low + high) // 2
        if log_tail(float(middle), size, e, p)[0] <= target:
            low = middle
        else:
            high = middle
    return low


@njit(cache=True, error_model="numpy")
def critical_table(looks, failure, level):
    """Return `critical` of every look and threshold: int64 [K, J]."""
    most = np.empty((len(looks), len(failure)), dtype=np.int64)
    for k in range(len(looks)):
        for j in range(len(failure)):
            most[k, j] = critical(looks[k], failure[j], level)
    return most
