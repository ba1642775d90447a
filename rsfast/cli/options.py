"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click


def combined(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def decorate(function: Any) -> Any:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


class FloatList(click.ParamType):
    """Numbers separated by commas."""

    name = "numbers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[float]:
        if isinstance(value, list):
            return value
        try:
            return [float(part) for part in str(value).split(",")]
        except ValueError:
            self.fail(f"{value!r} is not a list of numbers separated by commas.", param, ctx)


class Batch(click.ParamType):
    """A whole number, or auto."""

    name = "batch"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        if value == "auto" or isinstance(value, int):
            return value
        try:
            return int(value)
        except ValueError:
            self.fail(f"{value!r} is not a whole number or auto.", param, ctx)


class Shard(click.ParamType):
    """index/of."""

    name = "index/of"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        try:
            index, of = (int(part) for part in str(value).split("/"))
        except ValueError:
            self.fail(f"{value!r} is not index/of, such as 0/4.", param, ctx)
        if not 0 <= index < of <= 999:
            self.fail(f"{value!r}: the index must be from 0 to one less than the number of shards (999 at most).", param, ctx)
        return index, of


class Named(click.Path):
    """The name of a file or folder; the empty one would be taken for this folder's."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not value:
            self.fail("the empty name is no file's: give a name, or . for this folder.", param, ctx)
        return super().convert(value, param, ctx)


class Folder(click.Path):
    """The name of a folder to write into."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not value:
            self.fail("the empty name is no folder's: give a name, or . for this one.", param, ctx)
        return super().convert(value, param, ctx)


class Seed(click.ParamType):
    """0 … 2^64 - 1."""

    name = "seed"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            seed = int(value)
        except ValueError:
            seed = -1
        if not 0 <= seed < 2**64:
            self.fail(f"{value!r} is not a seed: give a whole number from 0 to 2^64 - 1.", param, ctx)
        return seed


what_to_run = combined(
    click.option("--model", "models", required=True, multiple=True, help="module:factory, a torch.export (.pt2) or .onnx file, "
                 "or an architecture: small-cnn, cifar-resnet20, cifar-resnet110, resnet50, torchvision:NAME, timm:NAME.  "
                 "Of a split image: once, or once for each part."),
    click.option("--checkpoint", "checkpoints", type=click.Path(), multiple=True,
                 help="Weights of an architecture: .safetensors or a torch state dict; as often as --model."),
    click.option("--trust-files", is_flag=True, help="Code that .pt2 files and checkpoints name may run: for files of your own."),
    click.option("--data", required=True, help="digits, FILE.npz, FILE.npy, cifar10:PATH, mnist:FOLDER, or an image folder."),
    click.option("--split", type=click.Choice(["test", "train"]), help="Of digits, cifar10 and mnist.  [default: test]"),
    click.option("--resize", type=click.IntRange(min=1), help="Image folders: scale the shorter side to this many pixels."),
    click.option("--crop", type=click.IntRange(min=1), help="Image folders: cut the central square of this size."),
    click.option("--gray", is_flag=True, help="Image folders: read as one channel."),
    click.option("--class-map", help="Image folders: FILE with the model's class of each subfolder (JSON, or lines of folder and "
                 "index), or alphabet.  [default: the checkpoint's own; else the alphabet, if the numbers agree]"),
    click.option("--num-classes", type=click.IntRange(min=1, max=10**7), help="Of the model.  [default: of the data]"),
    click.option("--mean", type=FloatList(), help="Per channel, for models that do not normalise: 0.4914,0.4822,0.4465."),
    click.option("--std", type=FloatList(), help="Per channel."),
)  # fmt: skip

how_to_run = combined(
    click.option("--out", type=Folder(), required=True, help="Run directory; the same command continues a run."),
    click.option("--seed", type=Seed(), help="Of the noise.  [default: fresh; the run's own when continuing]"),
    click.option("--batch", type=Batch(), help="Noisy copies per forward pass, or auto to measure.  [default: by image size]"),
    click.option(
        "--dtype",
        type=click.Choice(["auto", "float32", "bfloat16", "float16"]),
        help="auto measures what is fastest here.  [default: the model's]",
    ),
    click.option("--fold", is_flag=True, help="Fold batch norms into the layers before them."),
    click.option(
        "--runtime",
        type=click.Choice(["torch", "compile", "cudagraph", "openvino", "onnxruntime"]),
        default="torch",
        show_default=True,
        help="What runs the model; openvino and onnxruntime are extras, for the CPU.",
    ),
    click.option("--device", help="cpu, cuda, cuda:1, …  [default: cuda if torch sees one, else cpu]"),
    click.option("--channels-last/--contiguous", default=None, help="Memory layout of the model's input."),
    click.option("--backend", default="auto", show_default=True, help="auto, triton, native, numba or reference."),
    click.option("--threads", type=click.IntRange(1, 1024), help="Of torch and of the noise.  [default: torch's]"),
    click.option("--start", type=click.IntRange(min=0), default=0, show_default=True, help="First image."),
    click.option("--count", type=click.IntRange(min=1), help="At most this many images.  [default: all]"),
    click.option("--every", type=click.IntRange(min=1), default=1, show_default=True, help="Every so many-th image."),
    click.option("--shard", type=Shard(), default="0/1", show_default=True, help="This process's share, such as 2/8."),
    click.option("--quiet", is_flag=True, help="No progress."),
)

allow_missing = click.option(
    "--allow-missing", is_flag=True, help="Exit with 0 instead of 3 where everything is done but images that cannot be read."
)

rederive = combined(
    click.option("--alpha", type=float, help="Another failure probability per image than the run's."),
    click.option("--norm", type=float, help="Another norm than the run's: 1, 2, inf, …"),
    click.option("--bound", help="Another confidence bound than the run's."),
    click.option("--joint", help="Another way of making the parts' bounds jointly confident: bonferroni or product."),
    click.option("--multiclass/--two-class", default=None, help="Whether the other classes are bounded, too."),
)
