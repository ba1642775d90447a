"""rsfast pack: a data source as one file that can be streamed."""

from __future__ import annotations

from pathlib import Path

import click

from .options import Listing, with_splits


@click.command()
@click.argument("data")
@click.argument("file", type=click.Path())
@click.option("--split", type=click.Choice(["test", "train"]), cls=Listing, what=with_splits,
              help="Take this set of {}.  [default: test]")  # fmt: skip
@click.option("--resize", type=click.IntRange(min=1), help="Scale the shorter side to this many pixels (image folders).")
@click.option("--crop", type=click.IntRange(min=1), help="Cut out the central square of this size (image folders).")
@click.option("--gray", is_flag=True, help="Read one channel (image folders).")
def pack(data: str, file: str, split: str | None, resize: int | None, crop: int | None, gray: bool) -> None:
    """Decode DATA once into FILE.npy, [N, C, H, W], as uint8, or as floating point where the data are.

    A search for nearest neighbours passes over the training images many times.  Over a packed file a pass is one sequential read,
    over a folder every image is decoded again.  `--train FILE.npy` takes it.
    """
    from .. import sources

    source = sources.load(data, split=split, resize=resize, crop=crop, gray=gray)
    with click.progressbar(length=len(source), label=f"packing {len(source)} images") as bar:
        sources.write_npy(source, Path(file), lambda: bar.update(1))
    click.echo(f"wrote {len(source)} images {source.shape} to {file}")
