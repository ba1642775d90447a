"""The documents' tables of figures, written from the rows of bench/results: python -m bench.figures

Between `<!-- figures NAME -->` and `<!-- end -->` stands what TABLES[NAME] makes of the stored rows.  tests/house/test_words.py
holds that no table differs from them.
"""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
MACHINE = "amd-epyc-avx512-2cpu"
DOCUMENTS = ("README.md", "bench/README.md", "docs/accuracy.md", "docs/plans.md")
Cells = tuple[str, ...]


@cache
def _stored(file: str) -> dict[str, Any]:
    return json.loads((ROOT / "bench" / "results" / MACHINE / f"{file}.json").read_text())


def _row(file: str, under: str, where: dict[str, Any]) -> dict[str, Any]:
    """The one stored row of a file that has these values."""
    found = [r for r in _stored(file)[under] if all(r.get(key) == value for key, value in where.items())]
    if len(found) != 1:
        raise LookupError(f"{len(found)} rows of {file}.json have {where}.")
    return found[0]


def _number(value: float) -> str:
    """Three digits, whole numbers with their thousands apart: 0.604, 12.6, 8,650."""
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if rounded >= 1000 else f"{rounded:#.3g}".rstrip(".")


def _time(result: dict[str, Any]) -> str:
    """A median with the unit that leaves it between 1 and 1000; a pixel's time stays in ns."""
    if "seconds" in result:
        ns = 1e9 * statistics.median(result["seconds"])
    else:
        ns = next(
            result[f"median_{unit}"] * factor
            for unit, factor in (("ns", 1), ("us", 1e3), ("ms", 1e6))
            if f"median_{unit}" in result
        )
    unit, factor = next(
        (u, f) for u, f in (("s", 1e9), ("ms", 1e6), ("us", 1e3), ("ns", 1)) if float(f"{ns / f:.3g}") >= 1 or f == 1
    )
    return f"{_number(ns / factor)} {unit}"


def timed(file: str, ours: str, peer: str, *, under: str = "rows", results: str = "results", **where: Any) -> Cells:
    """What rsfast takes, what the other takes, and the median of the rounds' ratios."""
    measured = _row(file, under, where)[results]
    ratio = next(value for key, value in measured[ours].items() if key.startswith("times_faster_than_"))
    return _time(measured[ours]), _time(measured[peer]), _number(ratio)


def drawn(**where: Any) -> Cells:
    """Mean draws of an image, those of a fixed n, and their ratio."""
    row = _row("plan-savings", "rows", where)
    return f"{row['mean_samples']:,.0f} draws", "100,000 draws", _number(row["ratio"])


AVX512, AVX2 = {"instructions": "avx512"}, {"instructions": "avx2"}
NOISE = {"size": "3x224x224", "dtype": "float32", "layout": "contiguous", "threads": 1}
HALF = {"size": "3x224x224", "dtype": "bfloat16", "layout": "channels-last", "threads": 1}
GRID = {"radii": "up to 2 sigma", "plan": "grid, final 0.8"}
IMAGENET = GRID | {"data": "imagenet 0.50"}
CALLS = {"under": "time_of_a_certify_call", "model": "cifar-resnet20"}


def noise(**where: Any) -> Cells:
    return timed("noise-path", "native", "published", **where)


def votes(**where: Any) -> Cells:
    return timed("votes", "native", "torch_bincount", **where)


def ncx2(**where: Any) -> Cells:
    return timed("ncx2", "rsfast", "scipy", **where)


def whole(ours: str, **where: Any) -> Cells:
    return timed("end-to-end", ours, "published", **where)


def plan(network: str) -> Cells:
    return timed("plan-speed", "grid", "fixed n", results="ways", network=network)


def medians(mode: str) -> Cells:
    """Over the seven published models: median ratio, least ratio."""
    row = _row("plan-savings", "medians", {"mode": mode, **GRID})
    return _number(row["median_ratio"]), _number(row["least_ratio"])


def certificate(name: str, peer: str) -> Cells:
    return timed("certificates", "rsfast", peer, certificate=name)


def dropin(ours: str, shim: str) -> Cells:
    return timed("dropin", ours, "peer", shim=shim, **CALLS)


def dependent(rate: float) -> Cells:
    return timed("input-dependent", "rsfast", "scipy_brentq", dim=150528, rate=rate)


def dual(size: str) -> Cells:
    return timed("dual", "native", "released", size=size, dtype="float32", threads=1, **AVX512)


def other_noise(name: str) -> Cells:
    return timed("noises", "native", "numpy", noise=name, threads=1, **AVX512)


def savings(radii: str, mode: str = "class") -> Cells:
    """Median and least ratio of both choices of `final`, over the seven published models."""
    rows = [
        _row("plan-savings", "medians", {"radii": radii, "mode": mode, "plan": f"grid, final {final}"}) for final in (0.8, 0.5)
    ]
    return tuple(_number(row[key]) for row in rows for key in ("median_ratio", "least_ratio"))


OTHERS = {
    "scipy.stats.ncx2.cdf": "`scipy.stats.ncx2.cdf`",
    "scipy.stats.ncx2.sf": "`scipy.stats.ncx2.sf`",
    "scipy.special.chndtr": "`scipy.special.chndtr`",
    "1 - scipy.special.chndtr": "`1 - scipy.special.chndtr`",
    "scipy.stats.ncx2.ppf": "`scipy.stats.ncx2.ppf`",
    "scipy.stats.ncx2.isf": "`scipy.stats.ncx2.isf`",
    "scipy.special.chndtrix": "`scipy.special.chndtrix`",
    "R pnchisq": "R `pnchisq`",
    "R pnchisq sf": "R `pnchisq`, upper tail",
    "R qnchisq ppf": "R `qnchisq`",
}


def others(key: str, shown: Callable[[float], str]) -> list[Cells]:
    """What other libraries do on the points of `make show-ncx2-accuracy`: a row each, a column for each set of points."""
    sets = [{row["function"]: row for row in points["scipy"]} for points in _stored("ncx2-accuracy")["sets"].values()]
    return [(name, *(shown(rows[function][key]) for rows in sets)) for function, name in OTHERS.items()]


POINTS = ("function", "whole domain", "small parameters", "input-dependent smoothing")
SPEEDS = ("rsfast", "alternative", "times faster")
NETWORKS = (
    ("EfficientNet-Lite0", "efficientnet-lite0"), ("ResNet-50", "resnet50"), ("ResNet-18", "resnet18"), ("ViT-B/16", "vit-b16"),
    ("CIFAR ResNet-20", "cifar-resnet20"), ("CIFAR ResNet-110", "cifar-resnet110"),
)  # fmt: skip

TABLES: dict[str, tuple[Cells, Callable[[], list[Cells]]]] = {
    "decide": (
        ("what", "rsfast", "alternative", "takes", "ratio", "file"),
        lambda: [
            (what, cells[0], instead, cells[1], cells[2], f"`{file}`")
            for what, cells, instead, file in (
                ("one copy through a CIFAR ResNet-20", whole("certify", model="cifar-resnet20", threads=1),
                 "the published loop, float32", "end-to-end"),
                ("one copy through a ResNet-18", whole("certify", model="resnet18", threads=1),
                 "the published loop, float32", "end-to-end"),
                ("`locuslab` shim, ResNet-20 as it is", dropin("rsfast", "locuslab"), "the original's code", "dropin"),
                ("an ImageNet image, grid plan", drawn(mode="class", **IMAGENET), "a fixed n", "plan-savings"),
                ("the same, labels tested", drawn(mode="label", **IMAGENET), "a fixed n", "plan-savings"),
                ("200 digits, grid plan, two threads", plan("small-cnn"), "a fixed n", "plan-speed"),
                ("a pixel of image + noise", noise(**NOISE, **AVX512), "torch `repeat + randn_like * sigma`", "noise-path"),
                ("votes of 256 x 1000 logits", votes(rows=256, **AVX512), "torch `argmax` + `bincount`", "votes"),
                ("an exact bound, n = 100,000", timed("confidence", "rsfast", "scipy", n=100000, alpha=0.001),
                 "`scipy.special.betainccinv`", "confidence"),
                ("input-dependent radius, N = 150528", dependent(0.01), "`brentq` on SciPy's functions", "input-dependent"),
            )
        ],
    ),
    "noise-path": (
        ("output", "threads", "instructions", *SPEEDS),
        lambda: [
            ("float32", "1", "AVX-512", *noise(**NOISE, **AVX512)),
            ("float32", "2", "AVX-512", *noise(**NOISE | {"threads": 2}, **AVX512)),
            ("bfloat16, channels-last", "1", "AVX-512", *noise(**HALF, **AVX512)),
            ("bfloat16, channels-last", "2", "AVX-512", *noise(**HALF | {"threads": 2}, **AVX512)),
            ("float32", "1", "AVX2", *noise(**NOISE, **AVX2)),
            ("bfloat16, channels-last", "1", "AVX2", *noise(**HALF, **AVX2)),
        ],
    ),
    "votes": (
        ("logits", "instructions", *SPEEDS),
        lambda: [
            ("256 x 1000", "AVX-512", *votes(rows=256, **AVX512)),
            ("1000 x 10", "AVX-512", *votes(rows=1000, **AVX512)),
            ("256 x 1000", "AVX2", *votes(rows=256, **AVX2)),
            ("1000 x 10", "AVX2", *votes(rows=1000, **AVX2)),
        ],
    ),
    "confidence": (
        ("n", "alpha", *SPEEDS),
        lambda: [
            (f"{n:,}", f"{alpha:g}", *timed("confidence", "rsfast", "scipy", n=n, alpha=alpha))
            for n, alpha in ((1000, 1e-3), (100_000, 1e-3), (10_000_000, 1e-3), (1_000_000_000, 1e-3), (1_000_000_000, 1e-12))
        ],
    ),
    "ncx2": (
        ("function", "df", "nc", *SPEEDS),
        lambda: [
            (f"`{name}`", f"{df:g}", f"{nc:g}", *ncx2(function=name, df=df, nc=nc))
            for name, df, nc in (
                ("cdf", 150528, 4e4), ("cdf", 784, 25.0), ("cdf", 30, 1.0), ("cdf", 3, 2.0), ("cdf", 1, 0.5),
                ("logcdf", 150528, 4e4), ("ppf", 150528, 4e4), ("ppf", 1, 0.5),
            )
        ],
    ),
    "input-dependent": (
        ("rate", *SPEEDS),
        lambda: [(f"{rate:g}", *dependent(rate)) for rate in (0.1, 0.01, 0.001)],
    ),
    "certificates": (
        ("certificate", "against", *SPEEDS),
        lambda: [
            ("`cohen_l2`", "SciPy's `ndtri`", *certificate("cohen_l2", "scipy")),
            ("`generalized_gaussian_l1`, shape 3", "SciPy's functions",
             *certificate("generalized_gaussian_l1, shape 3", "scipy")),
            ("`dual_multiclass_l2`", "a scan of 129 angles with `brentq`",
             *certificate("dual_multiclass_l2", "scan_129_angles_brentq")),
            *(
                (f"`partition_l2`, k = {k}, {kind}", "SLSQP from 5 starts",
                 *certificate(f"partition_l2, k = {k}, {kind}", "slsqp_5_starts"))
                for k, kind in ((3, "ordinary"), (8, "ordinary"), (8, "all z 3.7"))
            ),
        ],
    ),
    "dual": (
        ("size", "shown as", *SPEEDS),
        lambda: [("3x32x32", "pooled", *dual("3x32x32")), ("3x224x224", "bilinear", *dual("3x224x224"))],
    ),
    "noises": (
        ("noise", *SPEEDS),
        lambda: [
            ("Gaussian", *other_noise("Gaussian(sigma=0.25)")),
            ("lattice Gaussian", *other_noise("LatticeGaussian(sigma=0.25, levels=255)")),
            ("Laplace", *other_noise("Laplace(scale=0.25)")),
            ("generalised Gaussian, shape 3", *other_noise("GeneralizedGaussian(scale=0.25, shape=3.0)")),
            ("generalised Gaussian, shape 5", *other_noise("GeneralizedGaussian(scale=0.25, shape=5.0)")),
            ("uniform", *other_noise("Uniform(half_width=0.25)")),
        ],
    ),
    "neighbors": (
        ("training images", *SPEEDS),
        lambda: [
            (what, *timed("neighbors", "rsfast", "scikit_learn_brute", images=images))
            for what, images in (("50,000 of 3x32x32", "uniform pixels, 32x32x3"), ("1,438 digits", "digits, 8x8"))
        ],
    ),
    "plan-savings": (
        ("tested", "median ratio", "least ratio"),
        lambda: [("the selected class", *medians("class")), ("the label", *medians("label"))],
    ),
    "plan-speed": (
        ("network", "images", "n", "grid plan", "fixed n", "times faster"),
        lambda: [
            ("small CNN", "200 digits", "100,000", *plan("small-cnn")),
            ("ResNet-20", "20 enlarged digits", "10,000", *plan("cifar-resnet20")),
        ],
    ),
    "plans": (
        ("radii", "median, 0.8", "least, 0.8", "median, 0.5", "least, 0.5"),
        lambda: [
            ("quarters, up to twice sigma", *savings("up to 2 sigma")),
            ("the same, labels tested", *savings("up to 2 sigma", "label")),
            ("one radius, sigma", *savings("sigma only")),
            ("up to the largest possible", *savings("whole grid")),
        ],
    ),
    "ncx2-others": (POINTS, lambda: others("share_failed", lambda share: f"{100 * share:.1f} %")),
    "ncx2-errors": (POINTS, lambda: others("worst", lambda worst: f"{worst:.0e}")),
    "end-to-end": (
        ("model", "runtime", "threads", "rsfast", "published loop", "times faster"),
        lambda: [
            (shown, runtime, str(threads), *whole(ours, model=model, threads=threads))
            for shown, model in (("ResNet-20", "cifar-resnet20"), ("ResNet-18", "resnet18"), ("MLP", "mlp-3072-128-10"))
            for runtime, ours in (("torch", "certify"), ("OpenVINO", "openvino"))
            for threads in (1, 2)
        ],
    ),
    "runtime": (
        ("model", "float32", "bfloat16", "int8"),
        lambda: [
            (shown, *(_number(_row("runtime", "rows", {"model": model})["ratios"][dtype]) for dtype in ("float32", "bfloat16", "int8")))
            for shown, model in NETWORKS
        ],
    ),
    "dropin": (
        ("shim", "model's arithmetic", "rsfast", "their own code", "times faster"),
        lambda: [
            (f"`{shim}`", way, *dropin(ours, shim))
            for way, ours in (("as it is", "rsfast"), ("measured", "rsfast_auto"))
            for shim in ("locuslab", "art", "drs", "ddsmoothing")
        ],
    ),
}  # fmt: skip


def table(name: str) -> str:
    """One table as Markdown."""
    head, rows = TABLES[name]
    lines = [head, tuple("---" for _ in head), *rows()]
    return "".join("|" + "|".join(cells if cells[0] == "---" else (f" {cell} " for cell in cells)) + "|\n" for cells in lines)


def filled(text: str) -> str:
    """The document with its tables as the stored rows have them."""
    block = re.compile(r"(<!-- figures ([a-z0-9-]+) -->\n).*?(<!-- end -->\n)", flags=re.DOTALL)
    return block.sub(lambda found: found[1] + table(found[2]) + found[3], text)


if __name__ == "__main__":
    for document in DOCUMENTS:
        file = ROOT / document
        file.write_text(filled(file.read_text()))
