"""Everything that a GPU has to show, in one command of a few minutes:

    python -m bench.gpu.check FOLDER              # on a machine with a CUDA device
    python -m bench.gpu.check FOLDER --rehearse   # tiny sizes in Triton's interpreter: does the script itself work?

Builds the extension in place if it is missing, runs the backend tests on the device, measures, and writes JSON files into
FOLDER: tests.json, noise-path.json, noises.json, dual.json, votes.json, copy-bandwidth.json, end-to-end.json.  Needs torch,
triton, numpy, scipy, numba, pybind11, pytest.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

REHEARSE = "--rehearse" in sys.argv
if REHEARSE:
    os.environ["TRITON_INTERPRET"] = "1"

import numpy as np  # noqa: E402
import torch  # noqa: E402

ROOT = Path(__file__).parents[2]
DEVICE = "cpu" if REHEARSE else "cuda"
SIGMA = 0.5


def main() -> None:
    arguments = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    if len(arguments) != 1:
        sys.exit(__doc__)
    if not REHEARSE and not torch.cuda.is_available():
        sys.exit("torch sees no CUDA device here: run this on a machine with one, or give --rehearse.")
    out = Path(arguments[0])
    out.mkdir(parents=True, exist_ok=True)
    build()
    for name, figures in (
        ("tests", tests),
        ("noise-path", noise_path),
        ("noises", noises),
        ("dual", dual),
        ("votes", votes),
        ("copy-bandwidth", copy_bandwidth),
        ("end-to-end", end_to_end),
    ):
        result = {**context(), "result": figures()}
        (out / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
        print(name, json.dumps(result["result"])[:1500], flush=True)


def build() -> None:
    try:
        import rsfast._C  # noqa: F401
    except ImportError:
        environment = {**os.environ, "RSFAST_BUILD_EXT": "1"}
        subprocess.run(
            [sys.executable, "setup.py", "build_ext", "--inplace"],
            cwd=ROOT,
            env=environment,
            check=True,
            capture_output=True,
        )


def context() -> dict[str, Any]:
    import triton

    name = "rehearsal on the CPU" if REHEARSE else torch.cuda.get_device_name()
    return {"device": name, "torch": torch.__version__, "triton": triton.__version__, "python": sys.version.split()[0]}


def tests() -> dict[str, Any]:
    """The conformance tests with Triton on the device: its bits against the reference's."""
    if REHEARSE:
        return {"exit": None, "summary": "left out in a rehearsal: the test suite runs them in the interpreter"}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "tests/backends",
        "tests/api/test_certify.py",
        "tests/counting",
        "tests/sigma",
        "-q",
        "-k",
        "triton or gpu",
        "-p",
        "no:cacheprovider",
    ]
    result = subprocess.run(command, cwd=ROOT, env={**os.environ, "RSFAST_TEST_GPU": "1"}, capture_output=True, text=True)
    return {"exit": result.returncode, "summary": result.stdout.splitlines()[-15:]}


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


def median_ms(candidates: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Medians over rounds in which every candidate runs once, timed with device events."""
    if REHEARSE:
        for call in candidates.values():
            call()
        return dict.fromkeys(candidates, float("nan"))
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for turn in range(rounds + 3):
        for name, call in candidates.items():
            begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            begin.record()
            call()
            end.record()
            end.synchronize()
            if turn >= 3:
                times[name].append(begin.elapsed_time(end))
    return {name: float(np.median(values)) for name, values in times.items()}


def noise_path() -> list[dict[str, Any]]:
    """image + noise into the model's buffer: Triton, against the published sequence and torch.compile's fusion of it."""
    from rsfast import backends
    from rsfast.noise import Gaussian
    from rsfast.transforms import Identity

    backend, rows = backends.get("triton"), []
    sizes = ((3, 8, 2),) if REHEARSE else ((3, 32, 4096), (3, 224, 256))
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


def end_to_end() -> list[dict[str, Any]]:
    """Whole votes of one image: `rsfast` with every choice measured, against the bare forward passes of the same batches and
    against the published loop in float32; fresh weights."""
    from bench import networks
    from bench.bench_end_to_end import published
    from rsfast.counting.classifier import Classifier
    from rsfast.counting.conveyor import Draws
    from rsfast.counting.count import votes_of
    from rsfast.counting.images import Image
    from rsfast.models import build
    from rsfast.noise import Gaussian
    from rsfast.request import WHOLE

    cases: list[tuple[str, Callable[[], Any], tuple[int, int, int], int, int, int]] = [
        ("small-cnn", lambda: build("small-cnn", num_classes=10, channels=1), (1, 8, 8), 10, 20, 8)
    ]
    if not REHEARSE:
        cases = [
            ("cifar-resnet110", lambda: build("cifar-resnet110", num_classes=10, channels=3), (3, 32, 32), 10, 20_000, 1000),
            ("resnet50", lambda: build("resnet50", num_classes=1000, channels=3), (3, 224, 224), 1000, 4_000, 200),
            ("vit-b16", networks.VisionTransformer, (3, 224, 224), 1000, 2_000, 100),
        ]
    rows = []
    for name, make, shape, classes, n, batch in cases:
        torch.manual_seed(0)
        model, x = networks.settled(make()).to(DEVICE), torch.rand(*shape)
        how: dict[str, Any] = {"num_classes": classes, "dtype": "auto", "batch": "auto", "fold": True, "device": DEVICE}
        classifiers = {"rsfast": Classifier(model, **how)}
        if not REHEARSE:
            classifiers["rsfast_cudagraph"] = Classifier(model, **how, runtime="cudagraph")
        calls: dict[str, Callable[[], Any]] = {}
        for label, classifier in classifiers.items():
            found = classifier.ready(WHOLE, shape, total=n)
            calls[label] = lambda found=found, x=x, n=n: votes_of(
                found, Image(x, np.array([SIGMA]), 0), Draws(Gaussian(SIGMA), 0), [(1, n)]
            )
        found = classifiers["rsfast"].ready(WHOLE, shape, total=n)
        running = found.running
        noisy = running.buffer(found.batch, shape).clone()

        def forward(run: Any = running.models[0], noisy: torch.Tensor = noisy, n: int = n) -> None:
            with torch.inference_mode():
                for _ in range(-(-n // len(noisy))):
                    run(noisy)

        on_device = x.to(DEVICE)
        calls["forward"] = forward
        calls["published"] = lambda model=model, x=on_device, classes=classes, n=n, batch=batch: loop(
            published, model, x, classes, n, batch
        )
        if not REHEARSE:
            torch.cuda.reset_peak_memory_stats()
            calls["rsfast"]()
            peak = torch.cuda.max_memory_allocated() / 2**20
        ms = median_ms(calls, rounds=5)
        rows.append({
            "model": name, "shape": shape, "copies": n, "dtype": found.dtype, "channels_last": running.channels_last,
            "batch": found.batch, "folded": running.how["folded"], "measured": running.measured, "ms": ms,
            "copies_per_second": 1e3 * n / ms["rsfast"], "overhead_percent": 100 * (ms["rsfast"] / ms["forward"] - 1),
            "times_faster_than_published": ms["published"] / ms["rsfast"],
            "peak_mib_of_the_device": None if REHEARSE else peak,
        })  # fmt: skip
    return rows


def loop(published: Callable[..., Any], model: Any, x: torch.Tensor, classes: int, n: int, batch: int) -> Any:
    """The published loop brings its predictions to the host in every batch."""
    return published(lambda copies: model(copies).cpu(), x, classes, n, batch)


def copy_bandwidth() -> dict[str, Any]:
    """What the device's memory does at best: copying 1 GiB within it, bytes written a second."""
    size = 2**20 if REHEARSE else 2**28
    source, target = torch.rand(size, device=DEVICE), torch.empty(size, device=DEVICE)
    ms = median_ms({"copy": lambda: target.copy_(source), "fill": lambda: target.zero_()}, rounds=20)
    return {"ms": ms, "gigabytes_written_per_second": {name: 4 * size / time / 1e6 for name, time in ms.items()}}


main()
