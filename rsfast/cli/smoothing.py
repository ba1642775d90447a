"""From the command line's options to a noise and a transform."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import FloatList, combined

if TYPE_CHECKING:
    from ..noise import Noise
    from ..plans import Plan as SequentialPlan
    from ..sources.base import Source
    from ..transforms import Transform

LEVELS = {  # what says how much noise
    "gaussian": ("sigma",),
    "lattice-gaussian": ("sigma",),
    "input-dependent": ("sigma",),
    "laplace": ("scale",),
    "generalized-gaussian": ("scale", "shape"),
    "uniform": ("scale",),
}
WITH_SPLITS = ("digits", "cifar10", "mnist")
PAPER_OFFSETS = {"cifar10": 5.0, "mnist": 1.5}  # m of Súkeník et al. 2022, §4


class Offset(click.ParamType):
    """average, minimum, or a number."""

    name = "offset"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str | float:
        if value in ("average", "minimum") or isinstance(value, float):
            return value
        try:
            return float(value)
        except ValueError:
            self.fail(f"{value!r} is not average, minimum or a number.", param, ctx)


which_noise = combined(
    click.option("--sigma", type=FloatList(), help="Set the standard deviation of the Gaussian noise, images being in [0, 1].  "
                 "It is sigma_b where the level depends on the input.  Split images take one for each part, or one for all."),
    click.option("--noise", default="gaussian", show_default=True, type=click.Choice(["gaussian", "lattice-gaussian",
                 "input-dependent", "laplace", "generalized-gaussian", "uniform"]), help="Draw this noise."),
    click.option("--scale", type=float, help="Set the scale of Laplace or generalised Gaussian noise, or the half width of "
                 "uniform noise."),
    click.option("--shape", type=float, help="Set the shape of generalised Gaussian noise, from 1 to 100."),
    click.option("--rate", type=float, help="Let input-dependent sigma(x) have this semi-elasticity.  [default: 0.01]"),
    click.option("--neighbors", type=click.IntRange(min=1), help="Take the mean distance to so many training images, k.  "
                 "[default: 20]"),
    click.option("--offset", type=Offset(), help="Take this off the mean distance, m: a number, average or minimum.  "
                 "[default: 5 for cifar10, 1.5 for mnist, else average]"),
    click.option("--largest", type=float, help="Let no input-dependent level be above this."),
    click.option("--train", help="Read the training images of input-dependent noise, as --data takes them.  [default: the train "
                 "split of --data]"),
    click.option("--sigma-function", help="Take the levels from module:function instead, of images [B, C, H, W]; give its "
                 "--rate."),
)  # fmt: skip

which_transform = combined(
    click.option("--transform", default="whole", show_default=True, help="Show images whole, or split them: diagonal, "
                 "released (the masks of the DRS authors' code), or FILE.npy with bool masks [k, H, W]."),
    click.option("--interpolation", help="Show parts by nearest, bilinear, pooled (diagonals) or frame (masks).  "
                 "[default: nearest; for released what its authors' code does]"),
    click.option("--joint", default="bonferroni", show_default=True, help="Make the bounds of parts jointly confident by "
                 "bonferroni or product."),
    click.option("--multiclass", is_flag=True, help="Bound the other classes, too."),
)  # fmt: skip

which_draws = combined(
    click.option("--plan", "plan", default="all", show_default=True,
                 type=click.Choice(["all", "grid", "radius", "betting", "curtail"]),
                 help="Stop drawing by this plan.  all takes --n draws of every image.  grid stops when the last of --radii is "
                 "certified or out of reach.  radius stops when the radius is within --tolerance.  betting is as grid, and may "
                 "be continued with a larger --n.  curtail leaves out draws that cannot change an abstention."),
    click.option("--radii", type=FloatList(), help="Certify these radii by a plan, separated by commas."),
    click.option("--tolerance", type=float, help="Let the radius plan lose at most this share of a radius.  [default: 0.05]"),
    click.option("--final", type=float, help="Keep this share of alpha for the last look of grid or radius.  "
                 "[default: 0.8, 0.9]"),
    click.option("--test-labels", is_flag=True, help="Test the true labels instead of selected classes, by a plan; for "
                 "certified accuracy."),
)  # fmt: skip

ONLY_INPUT_DEPENDENT = ("rate", "neighbors", "offset", "largest", "train", "sigma_function")


def make_plan(options: dict[str, Any]) -> SequentialPlan | None:
    """The sequential plan that the options name; None for all draws."""
    from .. import plans
    from ..errors import InvalidArgumentError

    kind = options["plan"]
    taken = {"all": (), "grid": ("radii", "final"), "radius": ("tolerance", "final"), "betting": ("radii",), "curtail": ()}[kind]
    for name in ("radii", "tolerance", "final"):
        if options[name] is not None and name not in taken:
            raise InvalidArgumentError(f"--{name} was given and --plan {kind} takes none: leave it out, or give another --plan.")
    if kind == "all":
        if options["test_labels"]:
            raise InvalidArgumentError("--test-labels is for plans: give --plan grid, radius or betting.")
        return None
    given = {name: options[name] for name in taken if options[name] is not None}
    if kind == "grid":
        if "radii" not in given:
            raise InvalidArgumentError("--plan grid tests radii: give --radii, such as 0.25,0.5,0.75.")
        return plans.Grid(**given)
    return plans.PLANS[kind](**given)


def make_transform(options: dict[str, Any]) -> Transform:
    """The transform that the options name."""
    import numpy as np

    from ..errors import InvalidArgumentError
    from ..sources.npy import mapped
    from ..transforms import DiagonalSplit, Identity, Partition

    name, interpolation = options["transform"], options["interpolation"]
    if name == "whole":
        if interpolation is not None or options["joint"] != "bonferroni":
            raise InvalidArgumentError("--interpolation and --joint are for split images: give --transform too.")
        return Identity()
    if name in ("diagonal", "released"):
        return DiagonalSplit(interpolation, name)
    if not name.endswith(".npy"):
        raise InvalidArgumentError(f"--transform {name!r} is not known: give whole, diagonal, released, or FILE.npy with masks.")
    return Partition(np.array(mapped(Path(name))), interpolation or "nearest")


def make_noise(options: dict[str, Any], transform: Transform, source: Source | None, cache: Path | None = None) -> Noise:
    """The noise that the options name; levels of input-dependent noise are kept in `cache`."""
    from ..noise import GaussianParts, InputDependentGaussian, check_scale

    otherwise = "images that rsfast reads are in [0, 1]"
    if options["noise"] == "input-dependent" and options["sigma"] is not None:
        check_scale(GaussianParts(options["sigma"]), 0.0, 1.0, otherwise)
    noise = _named_noise(options, transform, source, cache)
    if not isinstance(noise, InputDependentGaussian):
        check_scale(noise, 0.0, 1.0, otherwise)
    return noise


def _named_noise(options: dict[str, Any], transform: Transform, source: Source | None, cache: Path | None) -> Noise:
    from ..errors import InvalidArgumentError
    from ..noise import Gaussian, GaussianParts, GeneralizedGaussian, InputDependentGaussian, Laplace, LatticeGaussian, Uniform

    kind, sigma = options["noise"], options["sigma"]
    taken = () if options["sigma_function"] is not None else LEVELS[kind]
    for name in ("sigma", "scale", "shape"):
        if (options[name] is not None) != (name in taken):
            what = f"--{name} is missing" if name in taken else f"--{name} was given"
            wanted = " and ".join(f"--{option}" for option in taken) or "no level"
            raise InvalidArgumentError(f"{what}: --noise {kind} takes {wanted}.")
    if kind != "input-dependent":
        given = [f"--{name.replace('_', '-')}" for name in ONLY_INPUT_DEPENDENT if options[name] is not None]
        if given:
            raise InvalidArgumentError(f"{', '.join(given)}: only --noise input-dependent takes that; give it too.")
    if kind == "laplace":
        return Laplace(options["scale"])
    if kind == "generalized-gaussian":
        return GeneralizedGaussian(options["scale"], options["shape"])
    if kind == "uniform":
        return Uniform(options["scale"])
    if kind == "lattice-gaussian":
        if len(sigma) > 1:
            raise InvalidArgumentError(f"--sigma has {len(sigma)} levels: lattice-gaussian noise takes one.")
        return LatticeGaussian(sigma[0])
    if kind == "gaussian":
        if len(sigma) > 1:
            if len(sigma) != transform.parts:
                raise InvalidArgumentError(
                    f"--sigma has {len(sigma)} levels and the transform shows {transform.parts} part(s): give one, or one each."
                )
            return GaussianParts(sigma)
        return Gaussian(sigma[0])
    if transform.parts > 1 or options["multiclass"]:
        raise InvalidArgumentError(
            "input-dependent noise is certified for whole images and two classes: leave --transform and --multiclass out."
        )
    if options["sigma_function"] is not None:
        return _custom(options["sigma_function"], options)
    if len(sigma) != 1:
        raise InvalidArgumentError(f"--sigma has {len(sigma)} levels: input-dependent noise takes one, sigma_b.")
    from .. import sources
    from ..sigma import NearestNeighbors

    assert source is not None

    data, _, place = options["data"].partition(":")
    if options["train"] is None and (data not in WITH_SPLITS or Path(place).is_file()):
        raise InvalidArgumentError(f"{options['data']} has no train split: give the training images with --train.")
    spec = options["train"] or options["data"]
    split = "train" if spec.partition(":")[0] in WITH_SPLITS else None
    image_options = {name: options[name] for name in ("resize", "crop", "gray")} if sources.is_folder(spec) else {}
    training = sources.load(spec, split=split, **image_options)
    if training.shape != source.shape:
        raise InvalidArgumentError(
            f"training images are {training.shape} and the data's {source.shape}: give images of one size."
        )
    offset = PAPER_OFFSETS.get(spec.partition(":")[0], "average") if options["offset"] is None else options["offset"]
    function = NearestNeighbors(
        sources.blocks(training),
        base=sigma[0],
        rate=0.01 if options["rate"] is None else options["rate"],
        k=20 if options["neighbors"] is None else options["neighbors"],
        m=offset,
        largest=options["largest"],
        device=options["device"],
        cache=cache,
    )
    return InputDependentGaussian(function)


def _custom(spec: str, options: dict[str, Any]) -> Noise:
    """A function of the user's, called with images [B, C, H, W]."""
    from .. import models
    from ..errors import InvalidArgumentError
    from ..noise import InputDependentGaussian

    others = [f"--{name}" for name in ("sigma", "neighbors", "offset", "largest", "train") if options[name] is not None]
    if others:
        raise InvalidArgumentError(f"--sigma-function and {', '.join(others)}: these are for nearest neighbours; leave them out.")
    if options["rate"] is None:
        raise InvalidArgumentError(f"--sigma-function {spec}: give the --rate that it is semi-elastic with.")
    function = models.named(spec, "sigma function")
    if not callable(function):
        raise InvalidArgumentError(f"--sigma-function {spec} is {type(function).__name__}: name a function of images.")
    description = {"name": spec, "sha256": models.fingerprint(function, origin=spec)}
    return InputDependentGaussian(function, rate=options["rate"], description=description)
