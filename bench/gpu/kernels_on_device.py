"""Kernels on the device: their bits against the CPU's, and their time against the best alternative in the same run."""

from __future__ import annotations

import concurrent.futures
import itertools
import multiprocessing
import os
from typing import Any

import numpy as np
import torch

from .device import DEVICE, REHEARSE, SIGMA, begin, median_ms

LAUNCHES_SECONDS = int(os.environ.get("RSFAST_LAUNCHES_SECONDS", "200"))  # of the 240 that the part has


def _calls() -> list[tuple[Any, Any, int, torch.dtype, torch.memory_format]]:
    """Noise, transform, part, dtype, layout."""
    from rsfast import noise
    from rsfast.transforms import DiagonalSplit, Identity

    kinds = [noise.Gaussian(0.25), noise.LatticeGaussian(0.25), noise.Laplace(0.25), noise.GeneralizedGaussian(0.25, 3),
             noise.Uniform(0.25)]  # fmt: skip
    whole: list[tuple[Any, int]] = [(Identity(), 0)]
    shown = whole + [(DiagonalSplit(fill), part) for fill in ("nearest", "bilinear", "pooled") for part in (0, 1)]
    dtypes, layouts = (torch.float32, torch.bfloat16, torch.float16), (torch.contiguous_format, torch.channels_last)
    calls = [(kind, *show, dtype, layout) for kind, show, dtype, layout in itertools.product(kinds, shown, dtypes, layouts)]
    return calls[::11] if REHEARSE else calls


def launches() -> dict[str, Any]:
    """One launch of every kernel: each noise, dtype, layout and part, and votes, bit for bit against the reference.

    By several processes, since compiling takes a second or two each; what is not done in time is counted and left out.
    """
    calls = _calls()
    context, processes = multiprocessing.get_context("spawn"), 2 if REHEARSE else min(8, os.cpu_count() or 1)
    pool = concurrent.futures.ProcessPoolExecutor(processes, context, initializer=begin)
    rows = [pool.submit(_launched, number) for number in range(len(calls))]
    done, late = concurrent.futures.wait(rows, timeout=LAUNCHES_SECONDS)
    pool.shutdown(wait=False, cancel_futures=True)
    found = [
        {"error": f"its process ended: {row.exception()}"} if row.exception() else row.result() for row in rows if row in done
    ]
    wrong = [row for row in found if not row.get("bits_equal")]
    return {
        "launched": len(found),
        "equal": len(found) - len(wrong),
        "left_out": len(late),
        "wrong": wrong[:20],
        "votes": _votes_equal(),
    }


def _launched(number: int) -> dict[str, Any]:
    from rsfast import backends

    kind, transform, part, dtype, layout = _calls()[number]
    row: dict[str, Any] = {
        "noise": kind.name, "transform": str(transform), "part": part, "dtype": str(dtype), "layout": str(layout),
    }  # fmt: skip
    x = torch.randint(0, 256, (1, 3, 8, 8)).float() / 255
    try:
        got, expected = (
            _drawn(backends.get(name), x.to(device), kind, transform, part, (dtype, layout))
            for name, device in (("triton", DEVICE), ("reference", "cpu"))
        )
        return row | {"bits_equal": bool(torch.equal(got.cpu(), expected))}
    except Exception as error:  # told with the others: one kernel that fails must not hide the rest
        return row | {"bits_equal": False, "error": f"{type(error).__name__}: {error}"[:500]}


def _drawn(backend: Any, x: torch.Tensor, kind: Any, transform: Any, part: int, form: tuple[Any, Any]) -> torch.Tensor:
    out = torch.empty((5, *x.shape[1:]), dtype=form[0], device=x.device, memory_format=form[1])
    backend.perturb(
        x, kind, transform, part=part, sigma=np.array([0.25]), mean=None, std=None, seed=2**63 + 5, stream=1, ids=np.array([7]),
        first=2**31, count=5, out=out,
    )  # fmt: skip
    return out


def _votes_equal() -> dict[str, bool]:
    """Votes of every dtype, with and without rows, ties and NaN among them."""
    from rsfast import backends

    found = {}
    for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
        logits = torch.randint(-3, 4, (257, 10)).to(dtype)
        logits[3, 4], logits[5] = float("nan"), float("inf")
        for rows in (None, torch.randint(-1, 2, (257,))):
            tables = []
            for name, device in (("triton", DEVICE), ("reference", "cpu")):
                table = torch.zeros((2, 10) if rows is not None else (10,), dtype=torch.int64, device=device)
                backends.get(name).count(logits.to(device), table, None if rows is None else rows.to(device))
                tables.append(table.cpu())
            found[f"{dtype}, {'rows' if rows is not None else 'one table'}"] = bool(torch.equal(*tables))
    return found


def noises() -> list[dict[str, Any]]:
    """Every noise on the device: bits against the CPU's, and the time of a batch."""
    from rsfast import backends, noise
    from rsfast.transforms import Identity

    kinds = [noise.Gaussian(0.25), noise.LatticeGaussian(0.25), noise.Laplace(0.25), noise.GeneralizedGaussian(0.25, 3),
             noise.Uniform(0.25)]  # fmt: skip
    copies, side = (2, 8) if REHEARSE else (1024, 32)
    rows: list[dict[str, Any]] = []
    x = torch.randint(0, 256, (1, 3, side, side)).float() / 255
    for kind in kinds:
        out = {
            name: torch.empty((copies, 3, side, side), device=device) for name, device in (("triton", DEVICE), ("native", "cpu"))
        }

        def draw(name: str, kind: Any = kind, out: dict[str, torch.Tensor] = out) -> torch.Tensor:
            backends.get(name).perturb(
                x.to(out[name].device), kind, Identity(), part=0, sigma=np.array([0.25]), mean=None, std=None, seed=0, stream=1,
                ids=np.array([0]), first=0, count=copies, out=out[name],
            )  # fmt: skip
            return out[name]

        equal = bool(torch.equal(draw("triton").cpu(), draw("native")))
        ms = median_ms({"triton": lambda draw=draw: draw("triton")}, rounds=30)
        rows.append({"noise": str(kind), "copies": copies, "size": f"3x{side}x{side}", "bits_equal_the_cpu": equal, "ms": ms})
    return rows


def dual() -> list[dict[str, Any]]:
    """One half of dual smoothing into the model's buffer: Triton, against the authors' unfused sequence on the device."""
    from bench import bench_dual

    rows = []
    sizes = ((3, 8, 2), (3, 66, 1)) if REHEARSE else ((3, 32, 4096), (3, 224, 256))
    for channels, side, copies in sizes:
        for dtype in bench_dual.DTYPES:
            calls, pixels = bench_dual.candidates((channels, side, copies), dtype, DEVICE, ("triton",))
            ms = median_ms(calls, rounds=30)
            rows.append({
                "size": f"{channels}x{side}x{side}", "copies": copies, "dtype": dtype,
                "interpolation": bench_dual.SPLIT.fill(side), "ms": ms,
                "gigabytes_written_per_second": pixels * (4 if dtype == "float32" else 2) / ms["triton"] / 1e6,
                "times_faster_than_released": ms["released"] / ms["triton"],
            })  # fmt: skip
    return rows


def noise_path() -> list[dict[str, Any]]:
    """image + noise into the model's buffer: Triton, against the published sequence and torch.compile's fusion of it."""
    from rsfast import backends
    from rsfast.noise import Gaussian
    from rsfast.transforms import Identity

    backend, rows = backends.get("triton"), []
    sizes = ((3, 32, 2),) if REHEARSE else ((3, 32, 4096), (3, 224, 256))
    for channels, side, copies in sizes:
        x = torch.rand(1, channels, side, side, device=DEVICE)
        for dtype, layout in ((torch.float32, torch.contiguous_format), (torch.bfloat16, torch.channels_last)):
            buffer = torch.empty((copies, channels, side, side), dtype=dtype, device=DEVICE, memory_format=layout)

            def fused(x: torch.Tensor = x, buffer: torch.Tensor = buffer, copies: int = copies) -> torch.Tensor:
                backend.perturb(
                    x, Gaussian(SIGMA), Identity(), part=0, sigma=np.array([SIGMA]), mean=None, std=None, seed=0, stream=1,
                    ids=np.array([0]), first=0, count=copies, out=buffer,
                )  # fmt: skip
                return buffer

            def published(
                x: torch.Tensor = x, copies: int = copies, dtype: torch.dtype = dtype, layout: torch.memory_format = layout
            ) -> torch.Tensor:
                batch = x.repeat((copies, 1, 1, 1))
                return (batch + torch.randn_like(batch) * SIGMA).to(dtype, memory_format=layout)

            cpu = torch.empty(buffer.shape, dtype=dtype).contiguous(memory_format=layout)
            backends.get("native").perturb(
                x.cpu(), Gaussian(SIGMA), Identity(), part=0, sigma=np.array([SIGMA]), mean=None, std=None, seed=0, stream=1,
                ids=np.array([0]), first=0, count=copies, out=cpu,
            )  # fmt: skip
            equal = bool(torch.equal(fused().cpu(), cpu))
            candidates = {"triton": fused, "published": published}
            if not REHEARSE:
                candidates["torch_compile"] = torch.compile(published)
            ms = median_ms(candidates, rounds=30)
            rows.append({
                "size": f"{channels}x{side}x{side}", "copies": copies, "dtype": str(dtype), "bits_equal_the_cpu": equal,
                "ms": ms, "gigabytes_written_per_second": buffer.nbytes / ms["triton"] / 1e6,
                "times_faster_than_published": ms["published"] / ms["triton"],
            })  # fmt: skip
    return rows


def votes() -> list[dict[str, Any]]:
    from rsfast import backends

    backend, rows = backends.get("triton"), []
    for n, classes in ((32, 10),) if REHEARSE else ((4096, 10), (1024, 1000)):
        logits = torch.randn(n, classes, device=DEVICE)
        table = torch.zeros(classes, dtype=torch.int64, device=DEVICE)
        candidates = {
            "triton": lambda logits=logits, table=table: backend.count(logits, table),
            "torch_bincount": lambda logits=logits, k=classes: torch.bincount(logits.argmax(1), minlength=k),
        }
        backend.count(logits, table)
        equal = bool(torch.equal(table, torch.bincount(logits.argmax(1), minlength=classes)))
        rows.append({"rows": n, "classes": classes, "votes_equal_torch": equal, "ms": median_ms(candidates, rounds=100)})
    return rows


def copy_bandwidth() -> dict[str, Any]:
    """What the device's memory does at best: copying 1 GiB within it, bytes written a second."""
    size = 2**20 if REHEARSE else 2**28
    source, target = torch.rand(size, device=DEVICE), torch.empty(size, device=DEVICE)
    ms = median_ms({"copy": lambda: target.copy_(source), "fill": lambda: target.zero_()}, rounds=20)
    return {"ms": ms, "gigabytes_written_per_second": {name: 4 * size / time / 1e6 for name, time in ms.items()}}
