"""Faults planted in compiled kernels: are they noticed, by other bits or by a finding?

python -m tests.softgpu.faults OUT [COUNT]        plants COUNT (100) of them, drawn evenly over kernels and kinds; OUT is JSON

A fault changes one line that the call runs.  Not among them, because the answer is often the same: loads without their guard,
comparisons off by one, last digits of constants.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from . import driver
from .cases import RARE, WHOLE, Case, Noisy, Votes
from .memory import serious

CASES: list[Case] = [
    Noisy("gaussian", WHOLE, "float32", "contiguous"),
    Noisy("gaussian", WHOLE, "bfloat16", "channels-last", (1, 37, 41)),
    Noisy("uniform", WHOLE, "float16", "channels-last", (3, 23, 29)),
    Noisy("gaussian", "half bilinear released", "float32", "contiguous"),
    Noisy("gaussian", "half pooled diagonal", "float32", "channels-last"),
    Noisy("laplace", "half nearest released", "float32", "contiguous"),
    Noisy("gaussian", "strided bilinear", "float32", "contiguous", (3, 24, 24)),
    Noisy("gaussian", "framed frame", "float32", "channels-last", (3, 24, 20)),
    Votes(10, "float32", 3, rows=True),
    Votes(1000, "float64", 3),
    *RARE[:2],
    RARE[3],
]


@dataclasses.dataclass(frozen=True)
class Fault:
    kind: str
    number: int  # of the line
    line: str


def _other(pairs: dict[str, str]) -> Any:
    return lambda match: pairs[match[0]]


KINDS: dict[str, tuple[str, str, Any]] = {  # the lines meant, what is replaced in them, by what
    "a barrier left out": (r"^bar\.(sync|warp)", r".*", ""),
    "a store without its guard": (r"^@!?%p\d+ (st|atom|red)\.global", r"@!?%p\d+ ", ""),
    "a sum for a product": (r"^(add|mul)\.rn\.", r"add|mul", _other({"add": "mul", "mul": "add"})),
    "or for exclusive or": (r"^xor\.b32", r"xor", "or"),
    "a choice exchanged": (r"^selp\.", r"(%\w+), ([^,]+), ([^,]+), ", r"\1, \3, \2, "),
    "a wrong stride": (r"^(shl\.b32|mul\.lo\.s32|mul\.wide\.[su]32|mad\.lo\.s32) .*, \d+;", r"(\d+);", lambda m: f"{int(m[1]) + 1};"),
}  # fmt: skip


def faults_in(launch: driver.Launch) -> Iterator[Fault]:
    """All that can be planted in lines that a launch ran."""
    ran = {instruction.text for instruction, count in launch.report.executed.items() if count}
    for number, line in enumerate(launch.text.split("\n")):
        statement = re.sub(r"\s+", " ", line.split("//")[0]).strip()
        text = line.split("//")[0].strip().rstrip(";").strip()
        if text not in ran:
            continue
        for kind, (meant, old, new) in KINDS.items():
            if kind == "a store without its guard" and text not in launch.report.kept_off:
                continue  # it holds for all threads
            if re.search(meant, statement):
                planted = re.sub(old, new, statement, count=1)
                if planted != statement:
                    yield Fault(kind, number, planted)


def outcome(case: Case, launch: driver.Launch, fault: Fault, expected: torch.Tensor) -> dict[str, Any]:
    """By what a fault is noticed: other bits, findings, an error of the machine; by nothing if all are empty."""
    lines = launch.text.split("\n")
    row: dict[str, Any] = {"case": str(case), "kind": fault.kind, "was": lines[fault.number].strip(), "is": fault.line}
    lines[fault.number] = fault.line
    del driver.LAUNCHES[:]
    driver.plant(launch.text, "\n".join(lines))
    try:
        row["bits_differ"] = not torch.equal(case.answer("triton"), expected)
        row["findings"] = sorted({found.what for done in driver.LAUNCHES for found in serious(done.report.findings)})
    except Exception as error:
        row["error"] = f"{type(error).__name__}: {error}"[:200]
    finally:
        driver.plant(launch.text, None)
    return row | {"noticed": bool(row.get("bits_differ") or row.get("findings") or row.get("error"))}


def planted(count: int, seed: int = 1) -> list[dict[str, Any]]:
    """Outcomes of `count` faults: one kind of one case after the other, each time a line drawn at random."""
    driver.install()
    queues: dict[tuple[str, int], list[Any]] = collections.defaultdict(list)
    for number, case in enumerate(CASES):
        del driver.LAUNCHES[:]
        expected, got = case.answer("reference"), case.answer("triton")
        launch = driver.LAUNCHES[-1]
        if not torch.equal(got, expected) or serious(launch.report.findings):
            raise RuntimeError(f"not right as it is: {case}")
        for fault in faults_in(launch):
            queues[fault.kind, number].append((case, launch, fault, expected))
    generator = random.Random(seed)
    rows: list[dict[str, Any]] = []
    for queue in queues.values():
        generator.shuffle(queue)
    while any(queues.values()) and len(rows) < count:
        for queue in generator.sample(list(queues.values()), len(queues)):
            if queue and len(rows) < count:
                rows.append(outcome(*queue.pop()))
    return rows


def main() -> None:
    import triton

    torch.set_num_threads(1)
    rows = planted(int(sys.argv[2]) if len(sys.argv) > 2 else 100)
    noticed = sum(row["noticed"] for row in rows)
    Path(sys.argv[1]).write_text(
        json.dumps({"triton": triton.__version__, "planted": len(rows), "noticed": noticed, "rows": rows})
    )


if __name__ == "__main__":
    main()
