"""Whole votes of one image on the device, against bare forward passes and the published loop; and where its time goes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from .device import DEVICE, REHEARSE, SIGMA, median_ms


@dataclasses.dataclass(frozen=True)
class Case:
    """A network with fresh weights, its input, and how many copies are classified; `batch` is that of the published loop."""

    name: str
    shape: tuple[int, int, int]
    classes: int
    copies: int
    batch: int

    def network(self) -> Any:
        from bench import networks
        from rsfast.models import build

        torch.manual_seed(0)
        if self.name == "vit-b16":
            return networks.settled(networks.VisionTransformer()).to(DEVICE)
        return networks.settled(build(self.name, num_classes=self.classes, channels=self.shape[0])).to(DEVICE)


CASES = {
    case.name: case
    for case in (
        Case("resnet50", (3, 224, 224), 1000, 4_000, 200),
        Case("vit-b16", (3, 224, 224), 1000, 2_000, 100),
        Case("cifar-resnet110", (3, 32, 32), 10, 20_000, 1000),
    )
}
TINY = Case("small-cnn", (1, 8, 8), 10, 20, 8)
WAYS: dict[str, dict[str, Any]] = {
    "as given": {},
    "measured": {"dtype": "auto", "batch": "auto", "fold": True},
    "cudagraph": {"dtype": "auto", "batch": "auto", "fold": True, "runtime": "cudagraph"},
    "compile": {"dtype": "auto", "batch": "auto", "fold": True, "runtime": "compile"},
}


def end_to_end(name: str) -> dict[str, Any]:
    """One network: rsfast in every way that runs, bare forward passes of the measured one, and the published loop in float32."""
    case = TINY if REHEARSE else CASES[name]
    model, x = case.network(), torch.rand(*case.shape)
    calls: dict[str, Callable[[], Any]] = {}
    rows: dict[str, Any] = {}
    for way, options in WAYS.items():
        if REHEARSE and way in ("cudagraph", "compile"):
            continue
        try:
            calls[way], rows[way], ready = _way(model, x, case, options)
            calls[way]()
        except Exception as error:  # what one runtime cannot do must not hide what the others do
            calls.pop(way, None)
            rows[way] = {"error": f"{type(error).__name__}: {error}"[:500]}
            continue
        if way == "measured":
            calls["forward"] = _forward(ready, case)
    calls["published"] = _published(model, x.to(DEVICE), case)
    ms = median_ms(calls, rounds=5)
    for way in rows:
        if way in ms:
            rows[way] |= {
                "ms": ms[way],
                "copies_per_second": 1e3 * case.copies / ms[way],
                "over_published": ms["published"] / ms[way],
            }
    found = {"model": case.name, "shape": case.shape, "copies": case.copies, "ways": rows, "ms": ms}
    if "measured" in ms and "forward" in ms:
        found["overhead_percent"] = 100 * (ms["measured"] / ms["forward"] - 1)
    return found


def _way(model: Any, x: torch.Tensor, case: Case, options: dict[str, Any]) -> tuple[Callable[[], Any], dict[str, Any], Any]:
    from rsfast.counting.classifier import for_one_job
    from rsfast.counting.conveyor import Draws
    from rsfast.counting.count import votes_of
    from rsfast.counting.images import Image
    from rsfast.noise import Gaussian
    from rsfast.request import WHOLE

    classifier = for_one_job(model, num_classes=case.classes, device=DEVICE, **options)
    ready = classifier.ready(WHOLE, case.shape, total=case.copies)
    image, draws = Image(x, np.array([SIGMA]), 0), Draws(Gaussian(SIGMA), 0)
    running = ready.running
    how = {
        "dtype": ready.dtype,
        "batch": ready.batch,
        "channels_last": running.channels_last,
        "how": running.how,
        "measured": running.measured,
    }
    return (lambda: votes_of(ready, image, draws, [(1, case.copies)])), how, ready


def _forward(ready: Any, case: Case) -> Callable[[], None]:
    noisy = ready.running.buffer(ready.batch, case.shape).zero_()
    run = ready.running.models[0]

    def forward() -> None:
        with torch.inference_mode():
            for _ in range(-(-case.copies // len(noisy))):
                run(noisy)

    return forward


def _published(model: Any, x: torch.Tensor, case: Case) -> Callable[[], Any]:
    """The published loop brings its predictions to the host in every batch."""
    from bench.bench_end_to_end import published

    return lambda: published(lambda copies: model(copies).cpu(), x, case.classes, case.copies, case.batch)


def profile() -> dict[str, Any]:
    """Twenty batches of ResNet-50: time of the device in kernels of the model, of noise and of votes, and idle; time of the host."""
    case = TINY if REHEARSE else CASES["resnet50"]
    model, x = case.network(), torch.rand(*case.shape)
    _, how, ready = _way(model, x, case, WAYS["measured"])
    chosen = {"dtype": ready.dtype, "batch": ready.batch, "channels_last": how["channels_last"], "fold": True}
    call, _, _ = _way(model, x, dataclasses.replace(case, copies=20 * ready.batch), chosen)
    call()
    activities = [torch.profiler.ProfilerActivity.CPU]
    if not REHEARSE:
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=activities) as profiled:
        call()
        if not REHEARSE:
            torch.cuda.synchronize()
    kernels = sorted(
        (one.time_range.start, one.time_range.end, one.name)
        for one in profiled.events()
        if one.device_type == torch.autograd.DeviceType.CUDA
    )
    return {"model": case.name, "batches": 20, "how": how, **spans(kernels)}


def spans(kernels: list[tuple[float, float, str]]) -> dict[str, Any]:
    """What a device did between its first kernel and its last, in microseconds, from (start, end, name) in order of their starts.

    Overlap is time in which kernels of the noise ran beside others; a gap is time in which none ran.
    """
    if not kernels:
        return {"kernels": 0}
    ours = ("perturb", "votes")
    first, last = kernels[0][0], max(end for _, end, _ in kernels)
    busy, until, gaps = 0.0, first, []
    for start, end, _ in kernels:
        if start > until:
            gaps.append(start - until)
        busy += max(0.0, end - max(start, until))
        until = max(until, end)
    of_noise = [(start, end) for start, end, name in kernels if any(one in name for one in ours)]
    of_model = [(start, end) for start, end, name in kernels if not any(one in name for one in ours)]
    beside = sum(max(0.0, min(e, f) - max(s, t)) for s, e in of_noise for t, f in of_model)
    return {
        "kernels": len(kernels), "microseconds": last - first, "busy_share": busy / max(last - first, 1e-9),
        "noise_and_votes": sum(e - s for s, e in of_noise), "model": sum(e - s for s, e in of_model), "overlap": beside,
        "gaps": len(gaps), "largest_gap": max(gaps, default=0.0), "sum_of_gaps": sum(gaps),
    }  # fmt: skip
