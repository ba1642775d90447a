"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import click

from .. import names


def combined(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def decorate(function: Any) -> Any:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


class OneOf(click.ParamType):
    """One of the names of a registry, which is loaded when a command is explained or runs."""

    name = "choice"

    def __init__(self, names: Callable[[], Iterable[str]]) -> None:
        self.names = names

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return click.Choice(list(self.names())).convert(value, param, ctx)

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        return f"[{'|'.join(self.names())}]"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> Any:
        return click.Choice(list(self.names())).shell_complete(ctx, param, incomplete)


class Listing(click.Option):
    """An option whose help says what there is: {} stands for that, and is found when help is asked for."""

    def __init__(self, *args: Any, what: Callable[[], str], **attributes: Any) -> None:
        self.what = what
        super().__init__(*args, **attributes)

    @property
    def help(self) -> str | None:
        return None if self._help is None else self._help.replace("{}", self.what())

    @help.setter
    def help(self, value: str | None) -> None:
        self._help = value


def listed(names: Iterable[str], last: str = "or") -> str:
    """a, b or c."""
    *others, final = names
    return f"{', '.join(others)} {last} {final}" if others else final


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


def bounds() -> str:
    from ..request import bounds as known

    return listed(known())


def joints() -> str:
    from ..request import JOINTS

    return listed(JOINTS)


def data_sources() -> str:
    """digits, FILE.npz, …, or an image folder."""
    from ..sources import KINDS

    return ", ".join(KINDS)


def with_splits() -> str:
    from ..sources import WITH_SPLITS

    return listed(WITH_SPLITS)


what_to_run = combined(
    click.option("--model", "models", required=True, multiple=True,
                 help="Run this model: module:factory, a torch.export (.pt2) or .onnx file, a folder of `rsfast train`, or an "
                 f"architecture ({', '.join(names.ARCHITECTURES)}, "
                 "torchvision:NAME, timm:NAME).  For split images give it once, or once for each part."),
    click.option("--checkpoint", "checkpoints", type=click.Path(), multiple=True,
                 help="Load the weights of an architecture from a .safetensors file or a torch state dict.  Give it as often as "
                 "--model."),
    click.option("--pretrained", is_flag=True, help="Take the library's own weights of torchvision:NAME or timm:NAME, which it "
                 "may download, and the normalisation that they were trained with."),
    click.option("--trust-files", is_flag=True, help="Let the code run that .pt2 files and checkpoints name: for files of "
                 "your own."),
    click.option("--data", cls=Listing, what=data_sources, help="Read {}, or an image folder.  [required, but for a folder of "
                 "`rsfast train`, which says it]"),
    click.option("--split", type=click.Choice(["test", "train"]), cls=Listing, what=with_splits,
                 help="Take this set of {}.  [default: test]"),
    click.option("--resize", type=click.IntRange(min=1), help="Scale the shorter side to this many pixels (image folders)."),
    click.option("--crop", type=click.IntRange(min=1), help="Cut out the central square of this size (image folders)."),
    click.option("--gray", is_flag=True, help="Read one channel (image folders)."),
    click.option("--class-map", help="Say which class of the model each subfolder is, by FILE (JSON, or lines of folder and "
                 "index) or by alphabet (image folders).  [default: the checkpoint's own; else the alphabet, if the "
                 "numbers agree]"),
    click.option("--num-classes", type=click.IntRange(min=1, max=10**7), help="Say how many classes the model has.  "
                 "[default: as many as the data]"),
    click.option("--mean", type=FloatList(), help="Subtract this from each channel, for models that do not normalise: "
                 "0.4914,0.4822,0.4465."),
    click.option("--std", type=FloatList(), help="Divide each channel by this."),
)  # fmt: skip

least_agreement = click.option(
    "--least-agreement", type=click.FloatRange(0.0, 1.0),
    help="Take int8 only where it chooses the class that the model chooses in "
    "floating point in this share of 2,000 noisy copies.  [default: 0.9]",
)  # fmt: skip

how_to_run = combined(
    click.option("--out", type=Folder(), required=True, help="Write into this run directory; the same command continues a run."),
    click.option("--seed", type=Seed(), help="Draw the noise from this seed.  [default: fresh; the run's own when continuing]"),
    click.option(
        "--batch", type=Batch(), help="Put so many noisy copies into a forward pass; auto measures.  [default: by image size]"
    ),
    click.option(
        "--dtype",
        type=click.Choice(["auto", *names.DTYPES, names.INT8]),
        help="Run the model in this dtype; auto measures what is fastest here, int8 computes in integers (--runtime auto).  "
        "[default: the model's]",
    ),
    click.option(
        "--calibrate",
        help="Set the scales of int8 by images of this data, which is read as --data is.  [default: "
        "images of --data that the run leaves out]",
    ),
    least_agreement,
    click.option("--fold", is_flag=True, help="Fold batch norms into the layers before them."),
    click.option(
        "--runtime",
        type=click.Choice([names.AUTO, *names.RUNTIMES]),
        default="torch",
        show_default=True,
        help="Run the model by this; openvino and onnxruntime are extras, for the CPU.",
    ),
    click.option("--device", help="Run on cpu, cuda, cuda:1, …  [default: cuda if torch sees one, else cpu]"),
    click.option("--devices", help="Share the images among processes, one for each GPU: all, 0,1,2 or cpu,cpu."),
    click.option("--channels-last/--contiguous", default=None, help="Lay out the model's input so in memory."),
    click.option("--backend", default="auto", show_default=True, help=f"Draw and count by {listed(('auto', *names.BACKENDS))}."),
    click.option(
        "--threads",
        type=click.IntRange(1, 1024),
        help="Use so many threads for torch and the noise.  [default: the run's when "
        "continuing; else torch's, fewer while other processes are busy]",
    ),
    click.option("--start", type=click.IntRange(min=0), default=0, show_default=True, help="Begin with this image."),
    click.option("--count", type=click.IntRange(min=1), help="Take at most this many images.  [default: all]"),
    click.option("--every", type=click.IntRange(min=1), default=1, show_default=True, help="Take every so many-th image."),
    click.option("--shard", type=Shard(), default="0/1", show_default=True, help="Do this process's share, such as 2/8."),
    click.option("--quiet", is_flag=True, help="Show no progress."),
)

allow_missing = click.option(
    "--allow-missing", is_flag=True, help="Exit with 0 instead of 3 where everything is done but images that cannot be read."
)

rederive = combined(
    click.option("--alpha", type=float, help="Take another failure probability per image than the run's."),
    click.option("--norm", type=float, help="Take another norm than the run's: 1, 2, inf, …"),
    click.option("--bound", cls=Listing, what=bounds, help="Take another confidence bound than the run's: {}."),
    click.option("--joint", cls=Listing, what=joints, help="Make the parts' bounds jointly confident in another way: {}."),
    click.option("--multiclass/--two-class", default=None, help="Bound the other classes, too, or do not."),
)
