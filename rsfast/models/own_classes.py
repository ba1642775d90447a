"""The classes that checkpoints say they were trained on, before a network is built for them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import InvalidArgumentError
from ..files import printable
from .checkpoints import class_names, load_checkpoint


def own_classes(checkpoints: Sequence[str | Path], *, trust: bool = False) -> tuple[tuple[str, ...], str] | None:
    """Return names of classes by index, and the name of the file that holds them; None if no file does.

    Raises
    ------
    ModelError
        A file that cannot be read.
    InvalidArgumentError
        Files that hold different ones.
    """
    paths = [Path(file) for file in checkpoints]
    found = [(names, path.name) for path in paths if (names := class_names(load_checkpoint(path, trust=trust))) is not None]
    for names, file in found[1:]:
        if names != found[0][0]:
            raise InvalidArgumentError(
                f"the classes of {printable(found[0][1])} and {printable(file)} differ: give the --class-map that holds."
            )
    return found[0] if found else None
