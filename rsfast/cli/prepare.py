"""rsfast prepare: a model as the one ONNX file that is certified and deployed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .calibrating import calibration
from .models import load_models
from .options import Named, least_agreement, what_to_run
from .runs import open_source
from .smoothing import which_noise

if TYPE_CHECKING:
    import torch

    from ..models import LoadedModel
    from ..sources.base import Source


@click.command()
@what_to_run
@which_noise
@click.option(
    "--dtype",
    type=click.Choice(["float32", "int8"]),
    default="int8",
    show_default=True,
    help="Write the model in this dtype; int8 takes its scales from noisy copies of --data.",
)
@least_agreement
@click.option("--threads", type=click.IntRange(1, 1024), help="Use so many threads.  [default: torch's]")
@click.option("--device", help="Read the levels of input-dependent noise on this device.  [default: cpu]")
@click.option("--out", type=Named(), required=True, help="Write this ONNX file, and its card beside it (.json).")
def prepare(out: str, threads: int | None, **options: Any) -> None:
    """Write a model as the ONNX file that is certified and deployed, with a card that says what it is.

    The file normalises by itself: it takes images in [0, 1] with noise on them, any number at a time where the model can be
    exported so.  `rsfast certify --model deployed.onnx` certifies it, `rsfast predict` runs it.  --data are images that are not
    certified, and the noise is that of the certificates: noisy copies set the scales of int8, and show that the file chooses the
    classes of the model.

    \b
    rsfast prepare --model small-cnn --checkpoint runs/demo/model.safetensors --data digits --split train \\
                   --sigma 0.25 --out deployed.onnx
    """
    import torch

    from ..errors import InvalidArgumentError, ModelError

    file = Path(out)
    if file.suffix != ".onnx":
        raise InvalidArgumentError(f"--out {out} does not end in .onnx, by which the file is known later: give such a name.")
    if not file.parent.is_dir():
        raise InvalidArgumentError(f"--out {out}: there is no folder {file.parent}: make it, or give another name.")
    if threads:
        torch.set_num_threads(threads)
    source = open_source(options)
    classes = options["num_classes"] or source.num_classes
    if classes is None:
        raise InvalidArgumentError(f"{source.name} has no labels to count classes by: give --num-classes.")
    loaded = load_models(options, classes, source.shape[0])
    if not isinstance(loaded.model, torch.nn.Module):
        raise ModelError(f"{loaded.name} is no single torch module, which is what can be written as a file: give one model.")
    content, card = written(loaded, source, classes, options)
    _write(file, content, card)
    agreement = f", the same class as in floating point in {card['agreement']:.1%} of copies" if "agreement" in card else ""
    click.echo(f"wrote {file} ({len(content) / 2**20:.1f} MiB, {card['dtype']}{agreement}) and {file}.json")


def written(loaded: LoadedModel, source: Source, classes: int, options: dict[str, Any]) -> tuple[bytes, dict[str, Any]]:
    """The ONNX file with its card in it, and the card."""
    from .. import inference
    from ..inference import quantized
    from ..names import INT8
    from ..transforms import Identity
    from .smoothing import make_noise

    whole = Identity()
    noise = make_noise({**options, "multiclass": False}, whole, source, None)
    given = calibration({**options, "dtype": INT8, "calibrate": None}, source, None, noise, whole)
    click.echo(f"{loaded.name} is prepared in {options['dtype']} for ONNX Runtime.", err=True)
    prepared = inference.prepare(
        _with_normalisation(loaded, options), source.shape, dtype=options["dtype"], runtime="onnxruntime", fold=True,
        calibration=given,
    )  # fmt: skip
    assert prepared.onnx is not None
    card = {
        "model": loaded.name,
        "model_sha256": loaded.sha256,
        "num_classes": classes,
        "shape": list(source.shape),
        "mean": options["mean"],
        "std": options["std"],
        "data": source.name,
        "dtype": prepared.dtype,
        "folded": prepared.record["folded"],
        "difference": prepared.record["difference"],
        "versions": prepared.record["versions"],
    }
    card |= {name: value for name, value in prepared.record.get("int8", {}).items() if name != "sha256"}
    content = quantized.with_card(prepared.onnx, card)
    return content, quantized.card_of(content) or card


def _with_normalisation(loaded: LoadedModel, options: dict[str, Any]) -> torch.nn.Module:
    from ..models.normalized import Normalized

    if options["mean"] is None and options["std"] is None:
        return loaded.model  # type: ignore[return-value]
    mean, std = options["mean"] or [0.0], options["std"] or [1.0]
    return Normalized(loaded.model, mean, std).eval()  # type: ignore[arg-type]


def _write(file: Path, content: bytes, card: dict[str, Any]) -> None:
    from ..files import write

    write(file, content)
    write(Path(f"{file}.json"), (json.dumps(card, indent=1, sort_keys=True) + "\n").encode())
