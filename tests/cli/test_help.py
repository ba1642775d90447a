"""Help is sentences: every command and every option says with a verb what it does."""

import re

import click
import pytest

from rsfast.cli import cli
from rsfast.compat.locuslab import commands

VERBS = [
    "Begin", "Bound", "Certify", "Choose", "Compare", "Cut", "Decode", "Divide", "Do", "Draw", "Estimate", "Exit", "Find", "Fold", "Give", "Keep", "Lay", "Leave",
    "Let", "Load", "Make", "Put", "Read", "Remove", "Run", "Say", "Scale", "Set", "Share", "Show", "Smooth", "Stop", "Subtract", "Take", "Test", "Train", "Use", "Write",
]  # fmt: skip


def all_commands(group, name="rsfast"):
    yield name, group
    if isinstance(group, click.Group):
        for child in group.commands:
            yield from all_commands(group.commands[child], f"{name} {child}")


@pytest.mark.parametrize(("name", "command"), list(all_commands(cli)))
def test_every_command_and_option_says_with_a_verb_what_it_does(name, command):
    assert command.help.split()[0] in VERBS, command.help
    for option in command.params:
        if isinstance(option, click.Option) and option.name != "version":
            text = option.help or ""
            assert text.split()[0] in VERBS, f"{name} {option.opts[0]}: {text!r}"
            assert text.endswith((".", "]", "…")), f"{name} {option.opts[0]}: {text!r}"


def test_the_original_commands_say_it_too():
    for action in commands.parser("Certify.", selection=True)._actions:
        if action.dest != "help":
            assert re.split(r"\W", action.help)[0].capitalize() in VERBS, action.help
