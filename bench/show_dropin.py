"""make show-dropin: each shim beside what it stands for, on the same model, images, sigma, n and alpha.

Votes have the same distribution (chi-square over two samples), radii are equal to rounding where votes are equal, time is interleaved,
memory is that of separate processes.  The toolbox's own assertions run with ours in its place.  Dual smoothing: linear halves whose
exact radii are known, and what clipping each half's quantile at 0 would claim.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import scipy.stats
import torch

from bench import dropin_peers as peers
from bench import results_file, timing

SIGMA, ALPHA, N0 = 0.25, 0.001, 100
COPIES = {"cifar-resnet20": 1000, "small-cnn": 20_000}
BATCH = 250
SEED = 20261121
VOTES = 100_000
OVERCLAIMED = [(0.98, 0.55), (0.999, 0.30), (0.10, 0.95)]
AUTO = {"dtype": "auto", "fold": True}


def network(name: str) -> tuple[torch.nn.Module, torch.Tensor]:
    """A network with votes that are spread over classes, and an image."""
    from rsfast.models import build

    torch.manual_seed(3)
    channels, side = (3, 32) if name == "cifar-resnet20" else (1, 8)
    model = build(name, num_classes=10, channels=channels).eval()
    return model, torch.rand(channels, side, side)


def art_class(ours: bool, model: torch.nn.Module, shape: tuple[int, ...]) -> Any:
    return peers.toolbox(ours)(
        model=model, loss=torch.nn.CrossEntropyLoss(), input_shape=shape, nb_classes=10, sample_size=N0, scale=SIGMA, alpha=ALPHA
    )  # fmt: skip


def pair(
    shim: str, model: torch.nn.Module, x: torch.Tensor, batch: int, options: dict[str, Any] | None = None
) -> dict[str, dict[str, Any]]:
    """{"rsfast" and "peer": {"certify": of n, "sample": votes of n as [parts, K]}}."""
    from rsfast.compat import ddsmoothing, drs, locuslab

    if shim == "art":
        made = {who: art_class(who == "rsfast", model, tuple(x.shape)) for who in ("rsfast", "peer")}
        made["rsfast"].options, made["rsfast"].seed = options or {}, SEED
        images = x[None].numpy()
        return {
            who: {
                "certify": lambda n, rs=rs: rs.certify(images, n=n, batch_size=batch),
                "sample": lambda n, rs=rs: rs._prediction_counts(images[0], n=n, batch_size=batch)[None],
            }
            for who, rs in made.items()
        }
    sigma = torch.tensor([SIGMA])
    ours: Any = {
        "locuslab": lambda: locuslab.Smooth(model, 10, SIGMA, seed=SEED, options=options),
        "drs": lambda: drs.Smooth(model, model, 10, SIGMA, seed=SEED, options=options),
        "ddsmoothing": lambda: ddsmoothing.Smooth(model, 10, sigma, ddsmoothing.L2Certificate(1), seed=SEED, options=options),
    }[shim]()
    peer: Any = {
        "locuslab": lambda: peers.Loop(model, 10, SIGMA),
        "drs": lambda: peers.Dual(model, model, 10, SIGMA),
        "ddsmoothing": lambda: peers.Gap(model, 10, SIGMA),
    }[shim]()
    return {
        "rsfast": {
            "certify": lambda n: ours.certify(x, N0, n, ALPHA, batch),
            "sample": lambda n: np.atleast_2d(ours._sample_noise(x, n, batch)),
        },
        "peer": {
            "certify": lambda n: peer.certify(x, N0, n, ALPHA, batch),
            "sample": lambda n: np.atleast_2d(peer.sample(x, n, batch)),
        },
    }


SHIMS = ("locuslab", "art", "drs", "ddsmoothing")


def distributions() -> list[dict[str, Any]]:
    """Votes of both over 100,000 copies: chi-square of homogeneity per part, classes with few votes put together."""
    rows = []
    torch.manual_seed(3)
    model, x = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)), torch.full((1, 8, 8), 0.5)
    for shim in SHIMS:
        both = {who: one["sample"](VOTES) for who, one in pair(shim, model, x, 1000).items()}
        for part in range(len(both["rsfast"])):
            table = np.stack([both["rsfast"][part], both["peer"][part]])
            few = table.sum(axis=0) < 50
            table = np.concatenate([table[:, ~few], table[:, few].sum(axis=1, keepdims=True)], axis=1)
            table = table[:, table.sum(axis=0) > 0]
            pvalue = float(scipy.stats.chi2_contingency(table).pvalue) if table.shape[1] > 1 else 1.0
            assert table.shape[1] > 1, "an image whose votes are all equal tells nothing"
            assert pvalue > 1e-6, (shim, table)
            rows.append(
                {"shim": shim, "part": part, "copies_each": VOTES, "classes": int(table.shape[1]), "chi_square_p": pvalue}
            )
    return rows


def radii() -> list[dict[str, Any]]:
    """Radii of equal votes: the largest relative difference, and whether ours is ever above."""
    from rsfast.compat import ddsmoothing, locuslab

    n = 100_000
    votes = np.unique(np.concatenate([np.linspace(50_600, n, 300).astype(int), n - 10 ** np.arange(5)]))
    found: dict[str, list[tuple[float, float]]] = {"locuslab": [], "ddsmoothing": [], "art": []}
    loop, gap = locuslab.Smooth(len, 2, SIGMA), ddsmoothing.Smooth(len, 2, SIGMA, ddsmoothing.L2Certificate(1))
    model, x = network("small-cnn")
    both = {who: art_class(who == "rsfast", model, tuple(x.shape)) for who in ("rsfast", "peer")}
    for k in votes:
        counts = np.array([n - k, k])
        bound = peers.lower_bound(int(k), n, ALPHA)
        expected = float(scipy.stats.norm.ppf(bound))
        for smooth in (loop, gap):
            smooth._sample_noise = lambda *_, counts=counts, **__: counts  # type: ignore[method-assign]
        found["locuslab"].append((loop.certify(x, 10, n, ALPHA, 10)[1], SIGMA * expected))
        found["ddsmoothing"].append((gap.certify(x, 10, n, ALPHA, 10)[1], expected))
        certified = []
        for rs in both.values():
            rs._prediction_counts = lambda *_, counts=counts, **__: counts.astype(float)
            certified.append(float(rs.certify(x[None].numpy(), n=n)[1][0]))
        found["art"].append((certified[0], certified[1]))
    rows = []
    for shim, values in found.items():
        got, expected = np.array(values).T
        difference = float(np.abs(got / expected - 1).max())
        assert difference < 1e-9, shim
        rows.append({"shim": shim, "votes_tried": len(votes), "n": n, "largest_relative_difference": difference,
                     "times_above_by_more_than_1e-15": int((got > expected * (1 + 1e-15)).sum())})  # fmt: skip
    return rows


def times() -> list[dict[str, Any]]:
    """Milliseconds of one certify call: the shim as it is, the shim with measured dtype and folded norms, and the peer."""
    rows = []
    for name, n in COPIES.items():
        model, x = network(name)
        for shim in SHIMS:
            calls = {who: (lambda one=one, n=n: one["certify"](n)) for who, one in pair(shim, model, x, BATCH).items()}
            measured = pair(shim, model, x, BATCH, AUTO)["rsfast"]
            calls["rsfast_auto"] = lambda one=measured, n=n: one["certify"](n)
            seconds = timing.interleaved(calls, rounds=7, warmup=1)
            rows.append({"shim": shim, "model": name, "shape": list(x.shape), "n0": N0, "n": n, "batch": BATCH, "threads": 1,
                         "results": timing.summary(seconds, baseline="peer", unit="ms")})  # fmt: skip
    return rows


def inside(shim: str, who: str, n: int, batch: int) -> None:
    """Peak memory of one certify call on 3x224x224 images (64x64 for dual smoothing), printed as JSON."""
    torch.set_num_threads(1)
    side = 64 if shim == "drs" else 224
    model = torch.nn.Sequential(torch.nn.AvgPool2d(16), torch.nn.Flatten(), torch.nn.Linear(3 * (side // 16) ** 2, 10))
    x = torch.rand(3, side, side)
    pair(shim, model, x, batch)[who]["certify"](2)
    one = pair(shim, model, x, batch)[who]
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
    before = in_status("VmRSS")
    one["certify"](n)
    print(json.dumps({"mib": in_status("VmHWM") - before}))


def in_status(field: str) -> float:
    """A figure of this process, in MiB."""
    return int(re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024  # type: ignore[index]


def memory() -> list[dict[str, Any]]:
    rows = []
    plain = {key: value for key, value in os.environ.items() if key not in timing.ROOMY_MALLOC}
    for shim, n, batch in (
        ("locuslab", 600, 200),
        ("art", 500, 32),
        ("art", 1000, 32),
        ("drs", 3000, 1000),
        ("ddsmoothing", 600, 200),
    ):
        mib = {}
        for who in ("rsfast", "peer"):
            command = [sys.executable, "-W", "ignore", "-m", "bench.show_dropin", "--inside", shim, who, str(n), str(batch)]
            out = subprocess.run(command, capture_output=True, text=True, check=True, env=plain).stdout
            mib[who] = json.loads(out.splitlines()[-1])["mib"]
        side = 64 if shim == "drs" else 224
        rows.append({"shim": shim, "shape": [3, side, side], "n": n, "batch": batch, "one_batch_mib": batch * 3 * side**2 * 4 / 2**20,
                     "rsfast_mib": mib["rsfast"], "peer_mib": mib["peer"], "peer_over_rsfast": mib["peer"] / max(mib["rsfast"], 1)})  # fmt: skip
    half, whole = (row["peer_mib"] for row in rows if row["shim"] == "art")
    a_copy = (whole - half) / 500
    rows.append({"shim": "art", "extrapolated": "not measured: the toolbox's growth per copy, times 100,000", "n": 100_000,
                 "peer_mib_a_copy": a_copy, "peer_gib_at_100000": a_copy * 1e5 / 1024})  # fmt: skip
    return rows


def overclaims() -> list[dict[str, Any]]:
    """Linear halves: exact radii, ours, and the released rule on the very same votes."""
    from rsfast import certificates
    from rsfast.compat import drs
    from rsfast.transforms import DiagonalSplit
    from tests.reference.linear import dual_halves

    rng, rows, n = np.random.default_rng(20261121), [], 100_000
    x = torch.from_numpy(rng.uniform(0.3, 0.7, (3, 8, 8)).astype(np.float32))
    for p in OVERCLAIMED:
        models, _ = dual_halves(rng, x, DiagonalSplit(), (SIGMA, SIGMA), p)
        votes: list[Any] = []

        class Kept(drs.Smooth):
            def _sample_noise(self, x: Any, num: int, batch_size: int | None, votes: list[Any] = votes) -> Any:
                found = super()._sample_noise(x, num, batch_size)
                votes.append(found)
                return found

        exact = float(certificates.dual_l2(*p, sigma_left=SIGMA))
        radius = {}
        for joint in ("bonferroni", "product"):
            cls, radius[joint] = Kept(*models, 2, SIGMA, transform=DiagonalSplit(), joint=joint, seed=1).certify(
                x, 200, n, ALPHA, 5000
            )
            assert cls == 0
            assert radius[joint] <= exact
        released = peers.clipped_radius((int(votes[-1][0][0]), int(votes[-1][1][0])), n, ALPHA, SIGMA)
        rows.append({"p_left": p[0], "p_right": p[1], "sigma": SIGMA, "n": n, "alpha": ALPHA, "exact_radius": exact, "rsfast": radius,
                     "released_rule_on_the_same_votes": released, "released_rule_overclaims": released > exact})  # fmt: skip
    assert all(row["released_rule_overclaims"] for row in rows[1:])
    return rows


def toolbox_tests() -> dict[str, Any]:
    """The assertions of ART 1.20.1's smoothing tests (predict, fit, certify, gradients, attacks, the three trainers) with ours."""
    import art

    command = [sys.executable, "-m", "pytest", "-q", "-k", "test_art_", "tests/compat/test_art.py", "-p", "no:cacheprovider"]
    out = subprocess.run(command, capture_output=True, text=True, cwd=results_file.ROOT)
    passed, failed = (re.search(rf"(\d+) {what}", out.stdout) for what in ("passed", "failed"))
    assert out.returncode == 0, out.stdout[-2000:]
    return {"art": art.__version__, "passed": int(passed[1]) if passed else 0, "failed": int(failed[1]) if failed else 0}


def main() -> None:
    if "--inside" in sys.argv:
        shim, who, n, batch = sys.argv[sys.argv.index("--inside") + 1 :]
        inside(shim, who, int(n), int(batch))
        return
    timing.with_roomy_malloc()
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    np.random.seed(SEED)  # noqa: NPY002 - the toolbox draws from it
    figures = {"votes": distributions(), "radii_of_equal_votes": radii(), "time_of_a_certify_call": times(), "memory": memory(),
               "dual_linear_halves": overclaims(), "toolbox_tests": toolbox_tests()}  # fmt: skip
    for name, rows in figures.items():
        for row in rows if isinstance(rows, list) else [rows]:
            print(f"{name}: " + ", ".join(f"{key}={value}" for key, value in row.items()))
    results_file.write("dropin", figures)


if __name__ == "__main__":
    main()
