"""What `rsfast status` costs on a run of 50,000 images."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rsfast.runs.store import Manifest, Part, begin

IMAGES, CLASSES = 50_000, 1000
PROBE = """
import json, resource, sys, time
began = time.perf_counter()
import contextlib, io
from rsfast.cli import main
sys.argv = ["rsfast", "status", sys.argv[1]]
said = io.StringIO()
with contextlib.redirect_stdout(said):
    main()
seconds = time.perf_counter() - began
use = resource.getrusage(resource.RUSAGE_SELF)
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))  # maxrss counts who forked us
print(json.dumps({"said": said.getvalue(), "import_and_run_seconds": seconds, "cpu_seconds": use.ru_utime + use.ru_stime,
                  "peak_mib": peak / 1024, "torch": "torch" in sys.modules}))
"""


def status_cost(images: int = IMAGES) -> dict[str, Any]:
    """Seconds (from the start of the interpreter), processor seconds, peak memory in MiB, and whether torch was imported.

    The run is synthetic: lines as ImageNet's are, five of a thousand classes voted for.
    """
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        write_run(run, images)
        began = time.perf_counter()
        process = subprocess.run([sys.executable, "-c", PROBE, str(run)], capture_output=True, text=True, check=True)
        seconds = time.perf_counter() - began
        found = json.loads(process.stdout)
        assert f"{images} of {images} images" in found["said"], found["said"]
        size = sum(file.stat().st_size for file in run.glob("counts-*.jsonl"))
    return {
        "images": images, "mib_of_counts": round(size / 2**20, 1), "seconds": round(seconds, 2),
        "cpu_seconds": round(found["cpu_seconds"], 2), "peak_mib": round(found["peak_mib"], 1), "torch_imported": found["torch"],
    }  # fmt: skip


def write_run(run: Path, images: int) -> None:
    """A finished run of so many images, without drawing anything."""
    settings = {
        "alpha": 0.001, "batch": 1000, "bound": "clopper-pearson", "device": "cpu", "dtype": "float32", "n": 100_000, "n0": 100,
        "noise": {"name": "gaussian", "sigma": 0.25}, "norm": 2.0, "num_classes": CLASSES, "seed": 0, "shape": [3, 224, 224],
    }  # fmt: skip
    versions = {"numpy": "2.4.6", "rsfast": "0.1.0", "torch": "2.13.0+cpu"}
    data = {"name": "synthetic", "fingerprint": "cd" * 32, "images": images}
    manifest, shard = begin(run, Manifest("certify", settings, {"name": "none", "sha256": "ab" * 32}, data, versions))
    with shard:
        shard.asks(Part())
        for image in range(images):
            shard.append(_record(image, manifest, versions))


def _record(image: int, manifest: Manifest, versions: dict[str, str]) -> dict[str, Any]:
    label = image * 7 % CLASSES
    others = {str((label + k) % CLASSES): 900 // k for k in (1, 2, 3, 5)}
    return {
        "id": image, "label": label, "image": f"{image * 0x9E3779B97F4A7C15 % 2**64:016x}", "selection": {str(label): 100},
        "estimation": {str(label): 100_000 - sum(others.values()), **others}, "n0": 100, "n": 100_000, "seed": 0,
        "model": manifest.model["sha256"][:16], "config": manifest.fingerprint[:16], "backend": "native", "versions": versions,
        "seconds": 12.345678,
    }  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(status_cost(), indent=1))
