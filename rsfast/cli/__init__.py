"""The command line.  Modules here import click at the top and everything heavy inside the commands."""

from __future__ import annotations

import io
import os
import sys
import warnings
from typing import NoReturn

import click

from ..errors import RsfastError, SoundnessWarning
from ..version import VERSION
from .demo import demo
from .info import info
from .limits import limits
from .pack import pack
from .planning import estimate, plan
from .reproduce import reproduce
from .results import export, recertify, report, status
from .runs import certify, predict


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(VERSION, prog_name="rsfast")
def cli() -> None:
    """Certify classifiers by randomized smoothing.

    `rsfast demo` trains a small network on handwritten digits and certifies it; `rsfast certify --help` tells how to
    certify yours.
    """


for command in (info, demo, certify, predict, status, recertify, report, export, limits, pack, reproduce, plan, estimate):
    cli.add_command(command)


def main() -> None:
    """Entry point: one clear sentence and a non-zero exit for everything that goes wrong."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without Unicode shows ? where a sign is missing
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SoundnessWarning)  # tables and reports print it as a caveat
            cli(standalone_mode=False)
    except click.exceptions.Abort:
        _fail("stopped. Finished images are kept; the same command continues.", 130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.exceptions.Exit as exit_:
        sys.exit(exit_.exit_code)
    except RsfastError as error:
        _fail(str(error), 1)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has gone
        sys.exit(141)
    except Exception as error:
        if os.environ.get("RSFAST_TRACEBACK"):
            raise
        _fail(
            f"{type(error).__name__}: {error}. Stored images are kept; RSFAST_TRACEBACK=1 shows where this came from.",
            1,
        )


def _fail(sentence: str, code: int) -> NoReturn:
    click.echo(f"rsfast: {' '.join(sentence.split())}", err=True)
    sys.exit(code)
