"""make show-dieharder: the words of the generator through the tests of dieharder (the Debian package of that name).

python -m bench.show_dieharder [--all] [--test NUMBER …]

The C++ backend's Philox words are piped to `dieharder -g 200`, for one long sample and for 64 images in turns.  FAILED fails the
run.  What would be WEAK (one p-value in a hundred of a perfect generator) goes on with more samples until it is one or the other.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from bench import results_file
from rsfast import _C

TESTS = (0, 1, 2, 3, 4, 8, 9, 10, 11, 12, 13, 15, 16, 100, 101, 102, 204, 205, 206)
UNRELIABLE = ("diehard_sums", "diehard_opso", "diehard_oqso", "diehard_dna")  # by dieharder's own list: shown, not judged
BLOCKS = 2**16  # counters asked for at once, four words each


def one_sample(seed: int) -> Iterator[np.ndarray]:
    """The words of sample 0, 1, … of one image, 2^26 counters of each."""
    for sample in range(2**32):
        for block in range(0, 2**26, BLOCKS):
            yield _C.philox(block, BLOCKS, sample, 0, 1, seed)


def many_images(seed: int) -> Iterator[np.ndarray]:
    """Word by word from 64 images, what neighbouring counters would betray."""
    for sample in range(2**32):
        for block in range(0, 2**16, BLOCKS // 64):
            words = [_C.philox(block, BLOCKS // 64, sample, image, 1, seed).reshape(-1) for image in range(64)]
            yield np.ascontiguousarray(np.stack(words, axis=1))


STREAMS = {"one sample": one_sample, "64 images in turns": many_images}


def verdicts(stream: str, seed: int, test: int | None) -> list[dict[str, Any]]:
    """What dieharder says of one stream: of one test, or (None) of all of them."""
    command = ["dieharder", "-g", "200", "-Y", "1", *(["-a"] if test is None else ["-d", str(test)])]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=False)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        for words in STREAMS[stream](seed):
            process.stdin.write(words.tobytes())
    except BrokenPipeError:  # it has seen enough
        pass
    text = process.stdout.read().decode()
    process.wait()
    return parsed(text, stream)


def parsed(text: str, stream: str = "") -> list[dict[str, Any]]:
    """The rows of dieharder's table: name|ntuple|tsamples|psamples|p-value|Assessment."""
    rows = re.findall(r"^\s*(\w+)\|\s*(\d+)\|\s*(\d+)\|\s*(\d+)\|\s*([\d.]+)\|\s*(PASSED|WEAK|FAILED)", text, re.MULTILINE)
    return [
        {"test": name, "ntuple": int(n), "p_value": float(p), "assessment": verdict, "stream": stream}
        for name, n, _, _, p, verdict in rows
    ]


def fails(row: dict[str, Any]) -> bool:
    """Whether a row fails the run."""
    return row["assessment"] == "FAILED" and row["test"] not in UNRELIABLE


def main() -> None:
    parser = argparse.ArgumentParser(description="Philox words through dieharder")
    parser.add_argument("--all", action="store_true", help="every test of dieharder (an hour or more)")
    parser.add_argument("--test", type=int, action="append", help="one test by its number; may be repeated")
    parser.add_argument("--seed", type=int, default=0, help="of the generator")
    arguments = parser.parse_args()
    if shutil.which("dieharder") is None:
        sys.exit("dieharder is not installed: apt-get install dieharder (Debian, Ubuntu), then make show-dieharder.")
    tests = [None] if arguments.all else arguments.test or list(TESTS)
    rows: list[dict[str, Any]] = []
    began = time.perf_counter()
    for stream in STREAMS:
        for test in tests:
            found = verdicts(stream, arguments.seed, test)
            if not found:
                sys.exit(f"dieharder said nothing of test {test}; run `dieharder -l` for the tests it knows.")
            rows += found
            for row in found:
                print("{stream:20} {test:22} {ntuple:3}  p = {p_value:.4f}  {assessment}".format(**row), flush=True)
    bad = [row for row in rows if fails(row)]
    version = subprocess.run(["dieharder", "-l"], capture_output=True, text=True).stdout
    figures = {
        "dieharder": "".join(re.findall(r"dieharder version ([\d.]+)", version)[:1]),
        "seed": arguments.seed,
        "seconds": round(time.perf_counter() - began),
        "assessments": dict(Counter(row["assessment"] for row in rows)),
        "verdict": "failed" if bad else "passed",
        "rows": rows,
    }
    print(f"{len(rows)} p-values: {figures['assessments']}, {figures['verdict']}")
    if not arguments.test:
        results_file.write("dieharder", figures)
    if bad:
        sys.exit(f"dieharder: {len(bad)} p-values FAILED; see above.")


if __name__ == "__main__":
    main()
