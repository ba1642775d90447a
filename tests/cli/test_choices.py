"""What can be chosen on the command line is what the registries hold."""

import subprocess
import sys

import click
import pytest

from rsfast import backends, confidence, inference, models, names, sources
from rsfast.cli import cli
from rsfast.noise import NOISES
from rsfast.plans import PLANS
from rsfast.transforms import TRANSFORMS

HELD = {
    "--noise": NOISES,
    "--plan": PLANS,
    "--transform": [choice for kind in TRANSFORMS.values() for choice in kind.choices],
    "--interpolation": [name for kind in TRANSFORMS.values() for name in kind.interpolations],
    "--bound": confidence.BOUNDS,
    "--backend": backends.BACKENDS,
    "--runtime": inference.RUNTIMES,
    "--dtype": inference.DTYPES,
    "--model": models.ARCHITECTURES,
    "--data": [kind for kind in sources.KINDS if kind != "folder:FOLDER"],
    "--split": sources.WITH_SPLITS,
}


@pytest.mark.parametrize("option", HELD)
def test_help_lists_all_that_a_registry_holds(option):
    certify = cli.commands["certify"]
    found = next(param for param in certify.params if option in param.opts)
    context = click.Context(certify)
    text = " ".join(found.get_help_record(context)).replace("\n", " ")
    missing = [name for name in HELD[option] if name not in text]
    assert not missing, text


@pytest.mark.parametrize("name", NOISES)
def test_every_parameter_of_a_noise_has_an_option(name):
    flags = {flag for param in cli.commands["certify"].params for flag in param.opts}
    assert {f"--{option}" for option in NOISES[name].options} <= flags


def test_names_that_need_no_torch_are_those_of_the_registries():
    assert {name: backend.name for name, backend in backends.BACKENDS.items()} == {name: name for name in names.BACKENDS}
    assert list(inference.DTYPES) == list(names.DTYPES)
    assert list(models.ARCHITECTURES) == list(names.ARCHITECTURES)


@pytest.mark.parametrize("command", [[], ["certify"], ["predict"], ["recertify"], ["plan"], ["pack"]], ids=" ".join)
def test_help_does_not_import_torch(command):
    code = (
        "import sys\nfrom rsfast.cli import cli\n"
        f"try:\n    cli({[*command, '--help']!r})\nexcept SystemExit:\n    print('torch' in sys.modules)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "False"


def test_help_of_all_commands_does_not_load_the_registries():
    code = (
        "import sys\nfrom rsfast.cli import cli\n"
        "try:\n    cli(['--help'])\nexcept SystemExit:\n    print('numpy' in sys.modules)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "False"
