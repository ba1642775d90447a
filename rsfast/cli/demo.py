"""rsfast demo: the main job on real images, in under a minute."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import Folder

if TYPE_CHECKING:
    from ..models import LoadedModel
    from ..noise import Noise
    from ..transforms import Transform

SIGMA, N0, N, ALPHA, IMAGES, EPOCHS = 0.25, 100, 10_000, 0.001, 200, 200
RATE, NEIGHBORS = 0.01, 20  # of input-dependent smoothing, as in Súkeník et al. 2022, §4
SMOOTHINGS = ("plain", "dual", "input-dependent")


@click.command()
@click.option(
    "--out", type=Folder(), help="Write into this run directory.  [default: runs/demo, runs/demo-dual, runs/demo-input-dependent]"
)
@click.option("--images", type=click.IntRange(min=1), default=IMAGES, show_default=True, help="Certify so many test images.")
@click.option("--n", type=int, default=N, show_default=True, help="Take so many draws of an image, over all its parts.")
@click.option(
    "--smoothing",
    type=click.Choice(SMOOTHINGS),
    default="plain",
    show_default=True,
    help="Smooth in this way.  dual has two networks on the two diagonals of each 2 x 2 block.  With input-dependent the noise "
    "level grows with the distance to the training images.",
)
def demo(out: str | None, images: int, n: int, smoothing: str) -> None:
    """Train a small network on handwritten digits with Gaussian noise, certify the test images, and write a report.

    It writes model.safetensors, the counts, results.tsv, a plot (PNG, SVG) and report.html into the run directory; a second
    call continues.
    """
    from .. import sources
    from ..certifying.from_counts import check_level
    from ..counting.classifier import for_one_job
    from ..errors import StoreError
    from ..report import write_tsv
    from ..request import Claim, Request
    from ..runs.execute import execute
    from ..runs.read import result_table
    from ..runs.store import Part
    from ..transforms import DiagonalSplit, Identity
    from .memory import keep_freed_memory
    from .progress import Progress
    from .results import _print, _write_report
    from .threads import settle_threads

    transform = DiagonalSplit() if smoothing == "dual" else Identity()
    draws = n // transform.parts
    claim = Claim(ALPHA)
    check_level(claim, draws, transform.parts)
    keep_freed_memory()
    folder = Path(out or ("runs/demo" if smoothing == "plain" else f"runs/demo-{smoothing}"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{folder} cannot be written: {error.strerror or error}.") from None
    settle_threads(None, folder)
    loaded = _trained(folder, transform)
    source = sources.load("digits", split="test")
    of_parts = f" for each of {transform.parts} parts" if transform.parts > 1 else ""
    click.echo(
        f"certifying the first {min(images, len(source))} test images, n0 = {N0}, n = {draws:,}{of_parts}, alpha = {ALPHA} …"
    )
    noise = _noise(smoothing, folder)
    request = Request("certify", noise, draws, N0, transform, claim, seed=0)
    classifier = for_one_job(loaded.model, num_classes=10)
    execute(request, classifier, loaded, source, folder, Part(count=images), Progress((N0 + draws) * transform.parts))
    table = result_table(folder)
    _print([table], [0.0, 0.1, 0.25, 0.4, 0.5, 0.6, 0.75])
    write_tsv(table, folder / "results.tsv")
    for file in [folder / "results.tsv", *_write_report([table], None, folder)]:
        click.echo(f"wrote {file}")


def _trained(folder: Path, transform: Transform) -> LoadedModel:
    """The networks, one for each part, from the run directory or trained now."""
    import torch
    from safetensors.torch import save_file

    from .. import models, sources
    from ..training import train_with_noise

    loaded = []
    for part in range(transform.parts):
        weights = folder / ("model.safetensors" if transform.parts == 1 else f"model-{part}.safetensors")
        if not weights.exists():
            train = sources.load("digits", split="train")
            x = torch.stack([torch.from_numpy(train.image(i)) for i in range(len(train))])
            y = torch.tensor([train.label(i) for i in range(len(train))])
            torch.manual_seed(part)
            network = models.build("small-cnn", num_classes=10, channels=1)
            shown = f", part {part}," if transform.parts > 1 else ""
            click.echo(
                f"training small-cnn on {len(train)} handwritten digits{shown} with sigma = {SIGMA} noise, {EPOCHS} epochs …"
            )
            where: dict[str, Any] = {} if transform.parts == 1 else {"transform": transform, "part": part}
            train_with_noise(network, x, y, sigma=SIGMA, epochs=EPOCHS, learning_rate=4e-3, **where)
            scratch = weights.with_suffix(".partial")
            save_file(network.state_dict(), scratch)
            scratch.replace(weights)
        loaded.append(models.load("small-cnn", checkpoint=weights, num_classes=10, channels=1))
    return models.together(loaded)


def _noise(smoothing: str, folder: Path) -> Noise:
    from .. import sources
    from ..noise import Gaussian, InputDependentGaussian
    from ..sigma import NearestNeighbors

    if smoothing != "input-dependent":
        return Gaussian(SIGMA)
    training = sources.blocks(sources.load("digits", split="train"))
    return InputDependentGaussian(
        NearestNeighbors(training, base=SIGMA, rate=RATE, k=NEIGHBORS, m="average", cache=folder / "levels")
    )
