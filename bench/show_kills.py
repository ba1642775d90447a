"""make show-kills: a run killed 20 times at random moments, against an uninterrupted one."""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from safetensors.torch import save_file

from bench import results_file
from rsfast import models
from rsfast.runs import store
from rsfast.runs.read import read_run

KILLS, IMAGES = 20, 120


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        torch.manual_seed(0)
        save_file(models.build("small-cnn", num_classes=10, channels=1).state_dict(), home / "model.safetensors")
        options = ("--model", "small-cnn", "--checkpoint", home / "model.safetensors", "--data", "digits", "--sigma", 0.25, "--n",
                   100_000, "--seed", 0, "--count", IMAGES, "--quiet")  # fmt: skip
        began = time.monotonic()
        assert certify(options, home / "whole").wait() == 0
        whole_seconds = time.monotonic() - began
        moments = random.Random(0)
        kills, torn, stored = [], 0, 0
        while len(kills) < KILLS:
            process = certify(options, home / "killed")
            while process.poll() is None and len(stored_ids(home / "killed")) == stored and stored < IMAGES:
                time.sleep(0.01)  # until it is at work: the first new image is there
            time.sleep(moments.uniform(0.0, whole_seconds / KILLS / 4))
            if process.poll() is not None:
                raise SystemExit("the run ended before it was killed 20 times: raise IMAGES.")
            process.kill()
            process.wait()
            shard = next((home / "killed").glob("counts-*.jsonl"))
            torn += not shard.read_bytes().endswith(b"\n")
            now = len(stored_ids(home / "killed"))
            assert now >= stored, "a finished image was lost"
            stored = now
            kills.append(stored)
        assert certify(options, home / "killed").wait() == 0
        one, other = read_run(home / "whole").counts, read_run(home / "killed").counts
        equal = bool((one.ids == other.ids).all() and (one.selection == other.selection).all())
        equal = equal and bool((one.estimation == other.estimation).all())
        figures = {
            "kills": len(kills),
            "images": IMAGES,
            "samples_per_image": 100_100,
            "images_stored_after_each_kill": kills,
            "kills_that_tore_a_line": torn,
            "images_lost": 0,
            "counts_equal_the_uninterrupted_run": equal,
        }
        print(figures)
        assert equal
        results_file.write("kills", figures)


def certify(options: tuple[object, ...], out: Path) -> subprocess.Popen[bytes]:
    code = "from rsfast.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, "certify", *map(str, options), "--out", str(out)], stdout=subprocess.DEVNULL
    )


def stored_ids(run: Path) -> set[int]:
    return set(store.records(run)) if run.exists() else set()


main()
