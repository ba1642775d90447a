"""The command line.  Modules here import click at the top and everything heavy inside the commands."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from typing import Any, NoReturn

import click

from ..errors import RsfastError, SoundnessWarning
from ..hints import meant
from ..version import VERSION
from .attack import attack
from .cache import cache
from .demo import demo
from .demo_imagenet import demo_imagenet
from .info import info
from .limits import limits
from .pack import pack
from .planning import estimate, plan
from .prepare import prepare
from .reproduce import reproduce
from .results import export, recertify, report, status
from .runs import certify, predict
from .threads import wait_asleep
from .train import train

INTERRUPTED = 130  # 128 + SIGINT, as shells have it
AFTERWARDS = 10.0  # seconds in which an error is taken to follow from an interrupt


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(VERSION, prog_name="rsfast")
def cli() -> None:
    """Certify classifiers by randomized smoothing.

    `rsfast demo` trains a small network on handwritten digits and certifies it; `rsfast certify --help` tells how to
    certify yours.
    """


COMMANDS = (
    info, cache, demo, demo_imagenet, certify, predict, status, recertify, report, export, limits, pack, prepare, reproduce,
    plan, estimate, train, attack,
)  # fmt: skip
for command in COMMANDS:
    cli.add_command(command)


def main() -> None:
    """Entry point: one clear sentence and a non-zero exit for everything that goes wrong."""
    wait_asleep()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without Unicode shows ? where a sign is missing
    with _noting_interrupts() as interrupts:
        try:
            code = _run()
        except (KeyboardInterrupt, click.exceptions.Abort):
            _interrupted()
        except click.ClickException as error:
            if _just(interrupts):
                _interrupted()
            _hint(error)
            error.show()
            sys.exit(error.exit_code)
        except RsfastError as error:
            if _just(interrupts):
                _interrupted()
            _fail(str(error), 1)
        except BrokenPipeError:
            _drop_output()  # whoever read it has gone
            sys.exit(141)
        except OSError as error:
            if _just(interrupts):
                _interrupted()
            if error.filename is None:
                _drop_output()  # what is left of it would fail once more when the interpreter ends
            _fail(f"{error.filename or 'the output'} cannot be read or written: {error.strerror or error}.", 1)
        except Exception as error:
            if _just(interrupts):
                _interrupted()
            if os.environ.get("RSFAST_TRACEBACK"):
                raise
            _fail(
                f"{type(error).__name__}: {error}. Stored images are kept; RSFAST_TRACEBACK=1 shows where this came from.",
                1,
            )
    if code:
        sys.exit(code)


def _run() -> int:
    """The command's exit code."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SoundnessWarning)  # tables and reports print it as a caveat
            code: Any = cli(standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except click.exceptions.Abort as error:
        if isinstance(error.__cause__, EOFError):  # click takes a file that ends too early for Ctrl-D
            raise error.__cause__ from None
        raise
    return code if isinstance(code, int) else 0


@contextlib.contextmanager
def _noting_interrupts() -> Iterator[list[float]]:
    """When Ctrl-C was pressed.

    Libraries that are interrupted while they are imported raise errors of their own (NumPy's C interface: ImportError), and a
    KeyboardInterrupt is not among their causes any more.
    """
    times: list[float] = []
    own = threading.current_thread() is threading.main_thread()
    if not own or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield times
        return

    def note(number: int, frame: object) -> None:
        times.append(time.monotonic())
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, note)
    try:
        yield times
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _just(interrupts: list[float]) -> bool:
    return bool(interrupts) and time.monotonic() - interrupts[-1] < AFTERWARDS


def _hint(error: click.ClickException) -> None:
    """Add the option or command that was meant."""
    if isinstance(error, click.NoSuchOption) and error.ctx is not None:
        options = [name for param in error.ctx.command.params for name in param.opts if name.startswith("--")]
        typed = [text for text in sys.argv if len(error.option_name) == 2 and text.startswith(error.option_name)]
        found = meant(typed[0] if typed else error.option_name, [name[2:] for name in options])
        if found is not None:
            shown: Any = error
            shown.message, shown.possibilities = f"{error.message.rstrip('.')}. Did you mean --{found}?", None


def _drop_output() -> None:
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _interrupted() -> NoReturn:
    _fail("Interrupted. What is stored is kept; the same command continues.", INTERRUPTED)


def _fail(sentence: str, code: int) -> NoReturn:
    click.echo(f"rsfast: {' '.join(sentence.split())}", err=True)
    sys.exit(code)
