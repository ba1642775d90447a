"""The command line.  Modules here import click at the top and everything heavy inside the commands."""

from __future__ import annotations

import sys

import click

from ..errors import RsfastError
from ..version import VERSION
from .demo import demo
from .info import info
from .results import export, recertify, report, status
from .runs import certify, predict


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(VERSION, prog_name="rsfast")
def cli() -> None:
    """Certify classifiers by randomized smoothing.

    `rsfast demo` trains a small network on handwritten digits and certifies it; `rsfast certify --help` tells how to
    certify yours.
    """


for command in (info, demo, certify, predict, status, recertify, report, export):
    cli.add_command(command)


def main() -> None:
    """Entry point: one clear sentence and a non-zero exit for everything that rsfast refuses."""
    try:
        cli(standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("rsfast: stopped. Finished images are kept; the same command continues.", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.exceptions.Exit as exit_:
        sys.exit(exit_.exit_code)
    except RsfastError as error:
        click.echo(f"rsfast: {error}", err=True)
        sys.exit(1)
