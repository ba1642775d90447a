"""Models that the command line can load as module:factory."""

import os
import shutil
import signal
import sys
import time
from pathlib import Path

import torch

ASKED = 2
"""Batches that a model is shown before a run begins, to see whether it classifies each copy by itself."""


def pixels(num_classes=10):
    """The first num_classes pixels as logits."""
    return lambda x: x.flatten(1)[:, :num_classes]


def linear():
    torch.manual_seed(7)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))


def slow():
    """As `linear`, taking its time, so that a run can be killed in the middle."""
    model = linear()

    def forward(x):
        time.sleep(0.01)
        return model(x)

    return forward


def slow_that_prints_and_reads():
    """As `slow`, with words on standard output, and what it finds on standard input among them."""
    print("loading", flush=True)
    model = slow()

    def forward(x):
        print(sys.stdin.isatty() or sys.stdin.read(), flush=True)
        return model(x)

    return forward


def fails_on_the_third_image():
    seen = []

    def forward(x):
        seen.append(len(x))
        if sum(seen[ASKED:]) > 2 * int(os.environ["SAMPLES_PER_IMAGE"]):
            raise RuntimeError("device lost")
        return x.flatten(1)[:, :10]

    return forward


def with_batch_statistics():
    torch.manual_seed(7)
    return torch.nn.Sequential(torch.nn.BatchNorm2d(1, track_running_stats=False), linear())


def with_dropout():
    model = linear()
    return lambda x: model(torch.nn.functional.dropout(x, 0.2, True))


def in_a_dict():
    model = linear()
    return lambda x: {"loss": None, "logits": model(x)}


def broken():
    raise RuntimeError("no weights here")


not_a_function = 3


def returns_nothing():
    return None


def exits():
    raise SystemExit("no licence")


def other_linear():
    torch.manual_seed(8)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))


def level_by_brightness(x):
    """Rises by less than 2 % per unit of distance: the mean of 64 pixels moves by at most distance / 8."""
    return 0.25 * torch.exp(0.1 * x.flatten(1).mean(dim=1)).double().numpy()


def meddling():
    """As `linear`; at its third image it does to the run directory RUN what MEDDLE says."""
    model, seen, here = linear(), [], Path(os.environ["RUN"])
    counts = here / "counts-000-of-001.jsonl"

    def save():
        scratch = counts.with_suffix(".new")
        scratch.write_bytes(counts.read_bytes())
        scratch.replace(counts)

    done = {"delete": lambda: shutil.rmtree(here), "rename": lambda: here.rename(here.with_name("moved")), "save": save,
            "empty": lambda: os.truncate(counts, 0), "interrupt": lambda: os.kill(os.getpid(), signal.SIGINT),
            "terminate": lambda: os.kill(os.getpid(), signal.SIGTERM)}[os.environ["MEDDLE"]]  # fmt: skip

    def forward(x):
        seen.append(len(x))
        if sum(seen[ASKED:]) > 2 * int(os.environ["SAMPLES_PER_IMAGE"]) >= sum(seen[ASKED:-1]):
            done()
        return model(x)

    return forward
