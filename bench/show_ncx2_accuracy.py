"""make show-ncx2-accuracy: the non-central chi-square distribution on fresh points, against arbitrary precision, beside SciPy.

POINTS=22000 of three kinds: the whole domain, small parameters and the seams, arguments of input-dependent certificates.  SciPy
takes PEER_POINTS=300 of each kind, drawn at random from the same points, one a call in a process that is killed after a second:
on the whole domain some calls take longer than anyone would wait.  A value counts as failed if it is NaN, an exception, does not come in that
second, or is off by more than 1e-6 (relative, of the tail; for quantiles, of the tail probability at the returned x).
RMATH=/path/to/libRmath.so.1 (Debian's r-mathlib) adds R.
"""

from __future__ import annotations

import ctypes
import math
import multiprocessing
import os
import time
import warnings
from collections.abc import Callable
from typing import Any

import mpmath as mp
import numpy as np
from scipy import special, stats

from bench import ncx2_points, results_file
from rsfast.numerics import ncx2

COUNT = int(os.environ.get("POINTS", "22000"))
PEER_POINTS = int(os.environ.get("PEER_POINTS", "300"))
LIMIT = 1.0  # seconds that a peer has for a point
LOG_SMALLEST = math.log(1e-300)
FAILED = 1e-6
Row = dict[str, Any]


def summary(errors: list[tuple[float, Any, float]], allowed: Callable[[float], float]) -> Row:
    """errors: (relative error, where, log tail)."""
    worst = max(errors, key=lambda e: math.inf if math.isnan(e[0]) else e[0] / allowed(e[2]))
    return {
        "points": len(errors),
        "median": float(np.nanmedian([e[0] for e in errors])),
        "worst": float(np.nanmax([e[0] for e in errors])),
        "worst_share_of_target": worst[0] / allowed(worst[2]),
        "at": {"df": worst[1][0], "nc": worst[1][1], "x": worst[1][2], "log_tail": worst[2]},
        "nan": sum(math.isnan(e[0]) for e in errors),
    }


def tail_target(log_tail: float) -> float:
    return 2e-14 + 1.2e-15 * abs(log_tail)


def relative(got: float, exact: Any) -> float:
    return float(abs(mp.mpf(got) / exact - 1)) if math.isfinite(got) else math.nan


def tails(points: list[ncx2_points.Point], exact: list[tuple[Any, Any]], got: dict[str, Any], which: int, log: bool) -> list[Any]:
    """(error, point, log tail) of one column wherever the reference has a value to compare with."""
    found = []
    for point, logs, value in zip(points, exact, got, strict=True):
        log_tail = logs[which]
        if not log and log_tail > LOG_SMALLEST:
            found.append((relative(float(value), mp.exp(log_tail)), point, float(log_tail)))
        elif log and abs(log_tail) > 1e-300:
            found.append((relative(float(value), log_tail), point, float(log_tail)))
    return found


def ours(points: list[ncx2_points.Point], exact: list[tuple[Any, Any]]) -> list[Row]:
    df, nc, x = np.array(points).T
    rows = []
    for name, which, log in (("cdf", 0, False), ("sf", 1, False), ("logcdf", 0, True), ("logsf", 1, True)):
        errors = tails(points, exact, getattr(ncx2, name)(x, df, nc), which, log)
        for regime in sorted({ncx2_points.regime(error[1]) for error in errors}):
            part = [error for error in errors if ncx2_points.regime(error[1]) == regime]
            rows.append({"function": name, "regime": regime, **summary(part, (lambda _: 2e-14) if log else tail_target)})
    return rows


def quantiles(points: list[ncx2_points.Point], rng: np.random.Generator) -> list[Row]:
    """Error of the log tail at the returned (x, delta)."""
    levels = np.where(
        rng.random(len(points)) < 0.5, -rng.exponential(2.0, len(points)) - 1e-6, -(10 ** rng.uniform(0, 4, len(points)))
    )
    rows = []
    for upper in (False, True):
        df, nc, _ = np.array(points).T
        found = ncx2.quantile(levels, df, nc, upper=upper)
        at = []
        with mp.workdps(60):
            for k, lam, x, delta in zip(df, nc, found.x, found.delta, strict=True):
                at.append((float(k), float(lam), mp.mpf(k) + mp.mpf(lam) - mp.mpf(delta) if abs(delta) < x else mp.mpf(x)))
        keep = [i for i in range(len(at)) if found.x[i] >= 1e-300]
        logs = ncx2_points.exact_many([at[i] for i in keep])
        errors = []
        for i, pair in zip(keep, logs, strict=True):
            miss = abs(mp.mpf(pair[int(upper)]) - levels[i])
            errors.append((float(miss), (df[i], nc[i], float(found.x[i])), float(levels[i])))
        rows.append(
            {
                "function": "isf" if upper else "ppf",
                "regime": "all",
                **summary(errors, lambda level: 5e-14 * max(1.0, abs(level))),
            }
        )
    return rows


def _timed(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _serve(pipe: Any) -> None:
    while True:
        name, arguments = pipe.recv()
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            began = time.perf_counter()
            try:
                value = float(PEERS[name](*arguments))
            except (ArithmeticError, ValueError):  # SciPy lets Boost's overflow errors through
                value = math.nan
            pipe.send((value, time.perf_counter() - began))


class Worker:
    """A process that evaluates one point a call and is killed when it takes longer than LIMIT seconds."""

    def __init__(self) -> None:
        self.process: Any = None

    def __call__(self, name: str, *arguments: float) -> tuple[float, float]:
        if self.process is None:
            self.pipe, there = multiprocessing.Pipe()
            self.process = multiprocessing.get_context("fork").Process(target=_serve, args=(there,), daemon=True)
            self.process.start()
        self.pipe.send((name, arguments))
        if self.pipe.poll(LIMIT):
            return self.pipe.recv()
        self.process.kill()
        self.process = None
        return math.nan, LIMIT


PEERS: dict[str, Callable[..., Any]] = {
    "scipy.stats.ncx2.cdf": stats.ncx2.cdf,
    "scipy.stats.ncx2.sf": stats.ncx2.sf,
    "scipy.special.chndtr": special.chndtr,
    "1 - scipy.special.chndtr": lambda x, df, nc: 1 - special.chndtr(x, df, nc),
    "scipy.stats.ncx2.ppf": stats.ncx2.ppf,
    "scipy.stats.ncx2.isf": stats.ncx2.isf,
    "scipy.special.chndtrix": special.chndtrix,
}


def _with_r() -> None:
    """Add R's functions where RMATH names the standalone library (Debian's r-mathlib: libRmath.so.1)."""
    path = os.environ.get("RMATH")
    if not path:
        return
    library = ctypes.CDLL(path)
    for name in ("pnchisq", "qnchisq"):
        function = getattr(library, name)
        function.restype = ctypes.c_double
        function.argtypes = [ctypes.c_double] * 3 + [ctypes.c_int] * 2
    PEERS["R pnchisq"] = lambda x, df, nc: library.pnchisq(x, df, nc, 1, 0)
    PEERS["R pnchisq sf"] = lambda x, df, nc: library.pnchisq(x, df, nc, 0, 0)
    PEERS["R qnchisq ppf"] = lambda p, df, nc: library.qnchisq(p, df, nc, 1, 0)


def peer(name: str, points: list[ncx2_points.Point], exact: list[tuple[Any, Any]], worker: Worker) -> list[Row]:
    upper = name.endswith("sf") or name.startswith("1 -")
    inverse = name.endswith(("ppf", "isf", "chndtrix"))
    own = getattr(ncx2, "isf" if upper and inverse else "ppf" if inverse else "sf" if upper else "cdf")
    errors, log_errors, seconds, used = [], [], [], []
    for (df, nc, x), logs in zip(points, exact, strict=True):
        log_tail = logs[int(upper)]
        if inverse:
            level = float(mp.exp(log_tail)) if log_tail > LOG_SMALLEST else 0.0
            if not 0.0 < level < 1.0:
                continue
            found, elapsed = worker(name, level, df, nc)
            error = math.nan
            if 0.0 < found < math.inf:  # what is left beyond half the spacing of doubles, which no x can avoid
                back = float((ncx2.logsf if upper else ncx2.logcdf)(found, df, nc))
                spacing = 2.3e-16 * found * math.exp(min(float(ncx2.logpdf(found, df, nc)) - back, 700.0))
                error = max(abs(math.expm1(min(back - math.log(level), 700.0))) - spacing, 0.0)
            used.append((level, df, nc))
        else:
            found, elapsed = worker(name, x, df, nc)
            with np.errstate(all="ignore"):
                log_errors.append((relative(float(np.log(found)), log_tail), (df, nc, x), 0.0))
            if not log_tail > LOG_SMALLEST:
                continue
            error = relative(found, mp.exp(log_tail))
            used.append((x, df, nc))
        errors.append((error, (df, nc, x), float(log_tail)))
        seconds.append(elapsed)
    arguments = np.array(used).T
    own_seconds = float(np.median([_timed(lambda: own(*arguments)) for _ in range(9)])) / len(used)
    row = {
        "function": name,
        **peer_summary(errors),
        "stopped_after_the_limit": sum(value >= LIMIT for value in seconds),
        "median_us": float(np.median(seconds) * 1e6),
        "mean_us": float(np.mean(seconds) * 1e6),
        "rsfast_mean_us_in_one_array": own_seconds * 1e6,
        "times_slower": float(np.mean(seconds)) / own_seconds,
    }
    if not name.startswith("scipy.stats") or inverse:
        return [row]
    return [row, {"function": f"log of {name}, as scipy.stats.ncx2.log{name[-3:].strip('.')} does", **peer_summary(log_errors)}]


def peer_summary(errors: list[tuple[float, Any, float]]) -> Row:
    values = np.array([e[0] for e in errors])
    finite = values[np.isfinite(values)]
    return {
        "points": len(values),
        "worst": float(finite.max()),
        "median": float(np.median(finite)),
        "nan_or_infinite": int((~np.isfinite(values)).sum()),
        "share_failed": float(np.mean(~(values <= FAILED))),
    }


def main() -> None:
    rng = np.random.default_rng(20261120)
    share = {"whole domain": 8, "small parameters and seams": 6, "input-dependent smoothing": 8}
    makers = (ncx2_points.general, ncx2_points.small, ncx2_points.input_dependent)
    figures: dict[str, Any] = {
        "points": COUNT,
        "peer_points_of_each_set": PEER_POINTS,
        "peer_limit_s": LIMIT,
        "seed": 20261120,
        "sets": {},
    }
    mp.mp.dps = 40
    _with_r()
    worker = Worker()
    everything: list[ncx2_points.Point] = []
    for (name, part), maker in zip(share.items(), makers, strict=True):
        points = maker(rng, COUNT * part // 22)
        everything += points
        exact = [(mp.mpf(low), mp.mpf(high)) for low, high in ncx2_points.exact_many(points)]
        picked = rng.permutation(len(points))[:PEER_POINTS]
        figures["sets"][name] = {
            "rsfast": ours(points, exact) + quantiles([points[i] for i in rng.permutation(len(points))[: COUNT // 11]], rng),
            "scipy": [
                row
                for peer_name in PEERS
                for row in peer(peer_name, [points[i] for i in picked], [exact[i] for i in picked], worker)
            ],
        }
        print(f"-- {name}: {len(points)} points")
        for row in figures["sets"][name]["rsfast"]:
            print(f"{row['function']:7} {row['regime']:14} {row['points']:6}  median {row['median']:.1e}  worst {row['worst']:.1e}"
                  f"  {row['worst_share_of_target']:.2f} of target  nan {row['nan']}")  # fmt: skip
        for row in figures["sets"][name]["scipy"]:
            slower = f"  {row['times_slower']:.0f} times slower" if "times_slower" in row else ""
            print(f"{row['function']:45} failed {row['share_failed']:.1%}  worst {row['worst']:.1e}{slower}")
    figures["two_methods"] = ncx2_points.cross_check(everything, rng, 60)
    print(figures["two_methods"])
    assert all(
        row["worst_share_of_target"] <= 1 and row["nan"] == 0 for part in figures["sets"].values() for row in part["rsfast"]
    )
    results_file.write("ncx2-accuracy", figures)


if __name__ == "__main__":
    main()
