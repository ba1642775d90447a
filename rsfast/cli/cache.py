"""rsfast cache: what is kept on disk between processes."""

from __future__ import annotations

import click


@click.command()
@click.option("--clear", is_flag=True, help="Remove all of it.  What is needed again is made again.")
def cache(clear: bool) -> None:
    """Say what is kept on disk between processes: converted models, and tables of plans.

    RSFAST_CACHE_DIR names another folder for both.
    """
    from ..inference import artefacts
    from ..plans import cache as tables

    models = artefacts.listed()
    plans = sorted(tables.folder().glob("*.table")) if tables.folder().is_dir() else []
    size = sum(one.stat().st_size for one in plans)
    if clear:
        artefacts.forget()
        for one in plans:
            one.unlink(missing_ok=True)
    said = "were removed from" if clear else "are in"
    click.echo(f"{len(models)} converted models, {sum(one.size for one in models) / 2**20:.1f} MiB, {said} {artefacts.folder()}")
    click.echo(f"{len(plans)} tables of plans, {size / 2**20:.1f} MiB, {said} {tables.folder()}")
