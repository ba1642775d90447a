"""From the command line's options to a Calibration: images that are not certified."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..inference import Calibration
    from ..noise import Noise
    from ..runs.store import Part
    from ..sources.base import Source
    from ..transforms import Transform

MOST = 64
"""Images that calibrate."""


def calibration(
    options: dict[str, Any], source: Source, part: Part | None, noise: Noise, transform: Transform
) -> Calibration | None:
    """What sets the scales of int8, None where nothing needs any; without `part` all images of the source may be taken.

    Images are taken in an order that depends on their number alone, so that a run that grows keeps its own.
    """
    import torch

    from ..counting.images import check_images
    from ..errors import InvalidArgumentError
    from ..inference import Calibration
    from ..names import INT8

    given = [f"--{name.replace('_', '-')}" for name in ("calibrate", "least_agreement") if options[name] is not None]
    if options["dtype"] != INT8:
        if given:
            raise InvalidArgumentError(f"{' and '.join(given)}: give --dtype int8, too, or leave that out.")
        return None
    if options["calibrate"] is not None:
        certified, source = source, _of_its_own(options, source)
        if source.fingerprint() != certified.fingerprint():  # or else these images are certified, too
            part = None
    taken = set() if part is None else set(part.all_positions(len(source)))
    positions = [position for position in _order(len(source)) if position not in taken][:MOST]
    if len(positions) < 2:
        raise InvalidArgumentError(
            f"--dtype int8 needs images that are not certified, and {len(positions)} of {source.name} are left out: give others "
            "with --calibrate DATA."
        )
    images = torch.cat([check_images(source.image(position)[None], (0.0, 1.0), "certify") for position in sorted(positions)])
    least = 0.9 if options["least_agreement"] is None else options["least_agreement"]
    return Calibration(images, noise, transform, least=least)


def _of_its_own(options: dict[str, Any], source: Source) -> Source:
    """The data of --calibrate: the training images where there are some."""
    from .. import sources
    from ..errors import InvalidArgumentError

    spec = options["calibrate"]
    split = "train" if spec.partition(":")[0] in sources.WITH_SPLITS else None
    image = {name: options[name] for name in ("resize", "crop", "gray")} if sources.is_folder(spec) else {}
    found = sources.load(spec, split=split, **image)
    if found.shape != source.shape:
        raise InvalidArgumentError(f"--calibrate has images {found.shape} and --data {source.shape}: give images of one size.")
    return found


def _order(total: int) -> list[int]:
    import numpy as np

    return np.random.default_rng(0).permutation(total).tolist()
