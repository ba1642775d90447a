"""rsfast info."""

from __future__ import annotations

import click

WITHOUT_NATIVE = (
    "cost: noise and votes come from numba instead, the same bits: seconds of compilation at first use, then on "
    "one thread 2.2 to 3.2 times the time per normal draw and 5 to 9 times that of others (bench/results, noise-path and noises)",
    "to get it: install a C++17 compiler, then RSFAST_BUILD_EXT=1 pip install --force-reinstall --no-deps .",
)


@click.command()
def info() -> None:
    """Say what is installed, which backends can run here, and what a missing one costs."""
    import platform

    import numba
    import numpy
    import torch

    from .. import backends, extras
    from ..counting.count import versions

    click.echo(f"rsfast {versions()['rsfast']}, Python {platform.python_version()}, {platform.machine()}")
    click.echo(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    click.echo(f"numba {numba.__version__}, numpy {numpy.__version__}")
    devices = ["cpu"]
    if torch.cuda.is_available():
        devices += [f"cuda:{i}" for i in range(torch.cuda.device_count())]
        for i in range(torch.cuda.device_count()):
            click.echo(f"cuda:{i}: {torch.cuda.get_device_name(i)}")
    else:
        click.echo("no CUDA device: everything runs on the CPU")
    for device in dict.fromkeys(name.split(":")[0] for name in devices):
        click.echo(f"backends for images on {device}:")
        for name, reason in backends.available(device).items():
            if reason is None:
                extra = ""
                if name == "native":
                    from .. import _C

                    extra = f" ({_C.simd()})"
                click.echo(f"  {name:10} available{extra}")
            else:
                click.echo(f"  {name:10} missing: {reason}")
                if device == "cpu" and name == "native":
                    for line in WITHOUT_NATIVE:
                        click.echo(f"  {'':10} {line}")
    click.echo("optional libraries:")
    for extra, modules in extras.EXTRAS.items():
        found = {module: extras.version(module) for module in modules}
        there = [f"{module} {version}" for module, version in found.items() if version is not None]
        missing = [extras.PACKAGES.get(module, module) for module, version in found.items() if version is None]
        click.echo(f"  {extra:10} {', '.join(there) or 'nothing installed'}")
        if missing:
            click.echo(f"  {'':10} missing: pip install {' '.join(missing)}")
