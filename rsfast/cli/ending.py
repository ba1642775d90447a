"""How a call on a run ends: what it may claim, its exit code, and what is said when it is stopped."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ..runs.execute import Outcome
    from ..runs.store import Part, Standing

UNREADABLE, INTERRUPTED, TERMINATED = 3, 130, 143  # exit codes; docs/formats.md


class _UnreadableError(click.ClickException):
    exit_code = UNREADABLE

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"rsfast: {self.message}", err=True)


class Terminated(KeyboardInterrupt):
    """SIGTERM, which schedulers send before they kill."""


@contextlib.contextmanager
def saying_what_is_stored(out: Path) -> Iterator[None]:
    """Stopped by Ctrl-C or SIGTERM, end with one sentence that was read back from the disk, and exit code 130 or 143."""
    own = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL

    def terminate(number: int, frame: object) -> None:
        raise Terminated

    if own:
        signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    except KeyboardInterrupt as stop:
        click.echo(f"rsfast: {_stopped(out)}", err=True)
        sys.exit(TERMINATED if isinstance(stop, Terminated) else INTERRUPTED)
    finally:
        if own:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _stopped(out: Path) -> str:
    from ..errors import StoreError
    from ..runs.store import is_run, standing

    if not is_run(out):
        return "stopped before anything was stored; the same command begins again."
    try:
        state = standing(out)
    except StoreError as error:
        return f"stopped. {error}"
    return f"stopped. {stored(state, out)}; the same command continues."


def stored(state: Standing, out: Path, now: int | None = None) -> str:
    """What is stored, of what; without the full stop."""
    count = len(state.finished)
    text = f"{count} image{' is' if count == 1 else 's are'} stored in {out}"
    text += "" if now is None else f" ({now} of them now)"
    if state.asked is None:
        return text
    if not state.what_is_missing and not state.unreadable:
        return f"{text}, all that were asked for"
    text += f", of {len(state.asked)} asked for"
    text += f"; {len(state.unreadable)} could not be read" if state.unreadable else ""
    return text + (f"; missing: {state.what_is_missing}" if state.what_is_missing else "")


def last_line(outcome: Outcome, out: Path, part: Part) -> str:
    """What a call that did its part says at the end."""
    text = f"{stored(outcome.standing, out, outcome.now)}."
    if part.shards > 1:
        text += f" Shard {part.shard}/{part.shards} has done its part."
    if part.sample is None:
        return f"{text} Next: rsfast {'status' if outcome.standing.what_is_missing else 'report'} {out}"
    return f"{text} Next: the same command without --shard, for the estimate" if part.shards > 1 else text


def refuse_unreadable(problems: list[str], allowed: bool) -> None:
    """Exit with code 3 where images could not be used, unless that is allowed."""
    if not problems:
        return
    those = "1 image could not be used and is" if len(problems) == 1 else f"{len(problems)} images could not be used and are"
    text = f"{those} not in the run; the first: {problems[0]}"
    if allowed:
        click.echo(f"rsfast: {text}", err=True)
        return
    raise _UnreadableError(f"{text} Repair them and run the same command again.")
