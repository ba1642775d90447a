"""Where results go and what they say about the machine."""

from __future__ import annotations

import datetime
import json
import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def processor() -> str:
    """The processor's name, as the system gives it."""
    try:
        names = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    except OSError:
        names = []
    return names[0].strip() if names else platform.processor() or platform.machine()


def flags() -> list[str]:
    """The instruction sets that matter here."""
    try:
        found = set(re.findall(r"\b(avx2|avx512f|avx512_bf16|fma|amx_bf16|neon|asimd)\b", Path("/proc/cpuinfo").read_text()))
    except OSError:
        found = set()
    return sorted(found)


def machine() -> str:
    """A short name for this kind of machine: processor and number of processors it gives us."""
    name = re.sub(r"\b(cpu|processor|with|core)\b|\(r\)|\(tm\)|@.*", " ", processor().lower())
    wide = "-avx512" if "avx512f" in flags() else "-avx2" if "avx2" in flags() else ""
    return "-".join(re.findall(r"[a-z0-9]+", name)) + wide + f"-{len(os.sched_getaffinity(0))}cpu"


def context() -> dict[str, Any]:
    """What a figure was measured on and with."""
    import numba
    import numpy
    import torch

    from rsfast.counting.count import versions

    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    return {
        "machine": machine(),
        "processor": processor(),
        "processors": len(os.sched_getaffinity(0)),
        "instructions": flags(),
        "python": platform.python_version(),
        "versions": versions() | {"numba": numba.__version__, "numpy": numpy.__version__, "torch": torch.__version__},
        "commit": commit,
        "date": datetime.date.today().isoformat(),
    }


def write(name: str, figures: dict[str, Any], folder: Path | None = None) -> Path:
    """Write bench/results/<machine>/<name>.json."""
    folder = folder or ROOT / "bench" / "results" / machine()
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.json"
    file.write_text(json.dumps({**context(), **figures}, indent=1) + "\n")
    print(f"wrote {file.relative_to(ROOT) if file.is_relative_to(ROOT) else file}")
    return file
