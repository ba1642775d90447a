"""Radii by brute force: minimisation over perturbations, enumeration over counts.  Slow, and nothing shared with the package."""

from __future__ import annotations

import math

import numpy as np
from scipy import optimize, special, stats

Phi, z = special.ndtr, special.ndtri


def dual_multiclass(pa_l, pa_r, pb_l, pb_r, sigma_l, sigma_r, angles=4001):
    """Least norm with G <= 0, by a scan over angles and a local search around the best three."""
    za, zb = (z(pa_l), z(pa_r)), (z(min(pb_l, 1 - pa_l)), z(min(pb_r, 1 - pa_r)))

    def lead(rho, theta):
        d = rho * math.cos(theta) / sigma_l, rho * math.sin(theta) / sigma_r
        return sum(Phi(za[j] - d[j]) - Phi(zb[j] + d[j]) for j in (0, 1))

    if lead(0.0, 0.0) <= 0:
        return 0.0

    def reach(theta):
        top = 1e-3
        while lead(top, theta) > 0:
            top *= 2
            if top > 1e3:
                return math.inf
        return optimize.brentq(lead, 0, top, args=(theta,), xtol=1e-14, rtol=1e-14)

    grid = np.linspace(0, math.pi / 2, angles)
    values = np.array([reach(theta) for theta in grid])
    best = values.min()
    for i in np.argsort(values)[:3]:
        low, high = grid[max(i - 1, 0)], grid[min(i + 1, angles - 1)]
        best = min(best, optimize.minimize_scalar(reach, bounds=(low, high), method="bounded", options={"xatol": 1e-10}).fun)
    return best


def partition(p, sigma, rng, starts=60):
    """Least norm with Sum Phi(z - t) <= k/2, by sequential quadratic programming from many starts, subsets attacked included."""
    zs, sigma, k = z(np.asarray(p)), np.asarray(sigma, dtype=float), len(p)
    if sum(p) <= k / 2:
        return 0.0
    best = math.inf
    for _ in range(starts):
        attacked = rng.random(k) < 0.6
        start = np.where(attacked, np.maximum(zs, 0) + rng.uniform(-0.5, 1.5, k), rng.uniform(0, 0.3, k)).clip(0)
        found = optimize.minimize(
            lambda t: float(((sigma * t) ** 2).sum()),
            start,
            jac=lambda t: 2 * sigma**2 * t,
            constraints=[{
                "type": "ineq",
                "fun": lambda t: k / 2 - Phi(zs - t).sum(),
                "jac": lambda t: stats.norm.pdf(zs - t),
            }],
            bounds=[(0, None)] * k,
            method="SLSQP",
            options={"ftol": 1e-15, "maxiter": 500},
        )  # fmt: skip
        if Phi(zs - found.x).sum() <= k / 2 + 1e-10:
            best = min(best, math.sqrt(found.fun))
    return best


def renyi(p, q, order):
    """D_order(q || p) of discrete distributions."""
    p, q = np.asarray(p), np.asarray(q)
    if abs(order - 1) < 1e-9:
        return float(np.sum(np.where(q > 0, q * np.log(q / p), 0)))
    return float(np.log(np.sum(q**order * p ** (1 - order))) / (order - 1))


def least_renyi(p, order):
    """Least divergence from p to any distribution in which another class has drawn level with the first."""
    best = math.inf
    for other in range(1, len(p)):
        found = optimize.minimize(
            lambda q: renyi(p, np.abs(q) / np.abs(q).sum(), order),
            np.asarray(p),
            constraints=[
                {"type": "eq", "fun": lambda q: q.sum() - 1},
                {"type": "ineq", "fun": lambda q, j=other: q[j] - q[0]},
            ],
            bounds=[(1e-12, 1)] * len(p),
            method="SLSQP",
            options={"ftol": 1e-15, "maxiter": 1000},
        )
        best = min(best, found.fun)
    return best


def overclaiming(radius_of, n, p_left, p_right, true_radius):
    """P(the radius computed from both halves' counts exceeds the true one), by enumeration; radius_of: (n + 1) x (n + 1)."""
    left, right = stats.binom.pmf(np.arange(n + 1), n, p_left), stats.binom.pmf(np.arange(n + 1), n, p_right)
    return float(left @ (radius_of > true_radius) @ right)
