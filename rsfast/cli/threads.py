"""Threads of the command line's own process: how they wait, and how many there are on a machine that is busy.

Torch shares every layer out over its threads and waits for the last of them.  Where other processes hold the processors, that
one waits for its turn while the others, awake, use up theirs: two threads then take longer than one.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import click

RUNNING = Path("/proc/stat")
LOOKS, BETWEEN = 5, 0.02  # seconds


def wait_asleep() -> None:
    """Let OpenMP's threads sleep while they wait, unless the user says how: it is read when torch is imported."""
    if "KMP_BLOCKTIME" not in os.environ:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def settle_threads(asked: int | None, out: Path, *, quiet: bool = False) -> None:
    """Set torch's number of threads: what is asked for, else what the run in `out` has, else torch's own while that many
    processors are free.

    A run keeps its number because the last bits of logits may depend on it.  OMP_NUM_THREADS, and processors that this process
    is kept to, are taken as they are.
    """
    import torch

    number = asked or _of_run(out)
    if number is None:
        number = torch.get_num_threads()
        others = 0 if "OMP_NUM_THREADS" in os.environ or _on_processors_of_its_own() else busy()
        free = max(1, (os.cpu_count() or 1) - others)
        if free < number:
            number = free
            if not quiet:
                who = "another process is" if others == 1 else f"{others} other processes are"
                click.echo(f"{who} busy here: {number} of torch's threads (--threads).", err=True)
    if number != torch.get_num_threads():
        torch.set_num_threads(number)


def busy() -> int:
    """How many other threads on this machine are running or waiting for a processor; 0 where the system does not say."""
    found = []
    with contextlib.suppress(OSError, ValueError, IndexError):
        for _ in range(LOOKS):
            found.append(int(RUNNING.read_text().split("procs_running ")[1].split()[0]) - 1)  # this one is running, too
            time.sleep(BETWEEN)
    return max(0, sorted(found)[(len(found) - 1) // 2]) if found else 0


def _on_processors_of_its_own() -> bool:
    """Whether this process is kept to some of the machine's processors, so that who is busy on the others says nothing."""
    kept = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    return kept is not None and kept < (os.cpu_count() or 1)


def _of_run(out: Path) -> int | None:
    """The number of threads that a run was begun with."""
    from ..errors import StoreError
    from ..runs import store

    with contextlib.suppress(StoreError, ValueError):  # the run's own reader says what is wrong with it
        if store.is_run(out):
            number = int(store.read_manifest(out).versions.get("threads", 0))
            return number if 1 <= number <= 1024 else None
    return None
