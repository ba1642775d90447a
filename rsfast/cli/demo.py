"""rsfast demo: the main job on real images, in under a minute."""

from __future__ import annotations

from pathlib import Path

import click

SIGMA, N0, N, ALPHA, IMAGES, EPOCHS = 0.25, 100, 10_000, 0.001, 200, 200


@click.command()
@click.option("--out", type=click.Path(), default="runs/demo", show_default=True, help="Run directory.")
@click.option("--images", type=click.IntRange(min=1), default=IMAGES, show_default=True, help="How many test images.")
@click.option("--n", type=int, default=N, show_default=True, help="Draws per image.")
def demo(out: str, images: int, n: int) -> None:
    """Train a small network on handwritten digits with Gaussian noise, certify the test images, write a report.

    Writes model.safetensors, the counts, results.tsv, a plot (PNG, SVG) and report.html into the run directory; a second
    call continues.
    """
    import torch
    from safetensors.torch import save_file

    from .. import models, sources
    from ..engine import Engine
    from ..errors import StoreError
    from ..noise import Gaussian
    from ..report import write_tsv
    from ..run import Part, Plan, execute, result_table
    from ..training import train_with_noise
    from .memory import keep_freed_memory
    from .progress import Progress
    from .results import _print, _write_report

    keep_freed_memory()
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{folder} cannot be written: {error.strerror or error}.") from None
    weights = folder / "model.safetensors"
    if not weights.exists():
        train = sources.load("digits", split="train")
        x = torch.stack([torch.from_numpy(train.image(i)) for i in range(len(train))])
        y = torch.tensor([train.label(i) for i in range(len(train))])
        torch.manual_seed(0)
        network = models.build("small-cnn", num_classes=10, channels=1)
        click.echo(f"training small-cnn on {len(train)} handwritten digits with sigma = {SIGMA} noise, {EPOCHS} epochs …")
        train_with_noise(network, x, y, sigma=SIGMA, epochs=EPOCHS, learning_rate=4e-3)
        scratch = weights.with_suffix(".partial")
        save_file(network.state_dict(), scratch)
        scratch.replace(weights)
    loaded = models.load("small-cnn", checkpoint=weights, num_classes=10, channels=1)
    source = sources.load("digits", split="test")
    click.echo(f"certifying the first {min(images, len(source))} test images, n0 = {N0}, n = {n:,}, alpha = {ALPHA} …")
    plan = Plan("certify", Gaussian(SIGMA), num_classes=10, n=n, alpha=ALPHA, n0=N0, seed=0)
    execute(plan, loaded, source, Engine(loaded.model, num_classes=10), folder, Part(count=images), Progress(N0 + n))
    table = result_table(folder)
    _print([table], [0.0, 0.1, 0.25, 0.4, 0.5, 0.6, 0.75])
    write_tsv(table, folder / "results.tsv")
    for file in [folder / "results.tsv", *_write_report([table], None, folder)]:
        click.echo(f"wrote {file}")
