"""From the command line's options to a noise and a transform."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import FloatList, Listing, OneOf, combined, joints, listed

if TYPE_CHECKING:
    from ..noise import Noise
    from ..plans import Plan as SequentialPlan
    from ..sigma import NearestNeighbors
    from ..sources.base import Source
    from ..transforms import Transform

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


def _noises() -> list[str]:
    from ..noise import NOISES

    return list(NOISES)


def _set_by(option: str) -> str:
    """What an option of the noises sets: the scale of Laplace noise, or the half width of uniform noise."""
    from ..noise import NOISES

    titles: dict[str, list[str]] = {}
    for kind in NOISES.values():
        if option in kind.options:
            field = dataclasses.fields(kind)[kind.options.index(option)].name  # type: ignore[arg-type]
            titles.setdefault(field.replace("_", " "), []).append(kind.title)
    return ", or ".join(f"the {field} of {listed(those)} noise" for field, those in titles.items())


def _transforms() -> list[str]:
    from ..transforms import TRANSFORMS

    return [choice for kind in TRANSFORMS.values() for choice in kind.choices]


def _interpolations() -> str:
    """nearest, bilinear, pooled (diagonals) or frame (masks)."""
    from ..transforms import TRANSFORMS

    splits = [kind for kind in TRANSFORMS.values() if kind.interpolations]
    every = dict.fromkeys(name for kind in splits for name in kind.interpolations)
    by = {name: [kind.title for kind in splits if name in kind.interpolations] for name in every}
    return listed(name if len(by[name]) == len(splits) else f"{name} ({', '.join(by[name])})" for name in every)


def _plans() -> list[str]:
    from ..plans import PLANS

    return ["all", *PLANS]


def _how_plans_stop() -> str:
    from ..plans import PLANS

    return "  ".join(f"{name} {kind.how}." for name, kind in PLANS.items())


def _last_looks() -> str:
    """Which plans keep a share of alpha for the last look, and which by default."""
    from ..plans import PLANS

    shares = {name: kind.final for name, kind in PLANS.items() if hasattr(kind, "final")}
    return f"{listed(shares)}.  [default: {', '.join(f'{share:g}' for share in shares.values())}]"


which_noise = combined(
    click.option("--sigma", type=FloatList(), help="Set the standard deviation of the Gaussian noise, images being in [0, 1].  "
                 "It is sigma_b where the level depends on the input.  Split images take one for each part, or one for all."),
    click.option("--noise", default="gaussian", show_default=True, type=OneOf(_noises), help="Draw this noise."),
    click.option("--scale", type=float, cls=Listing, what=lambda: _set_by("scale"), help="Set {}."),
    click.option("--shape", type=float, cls=Listing, what=lambda: _set_by("shape"), help="Set {}, from 1 to 100."),
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
    click.option("--transform", default="whole", show_default=True, cls=Listing, what=lambda: ", ".join(_transforms()),
                 help="Show images whole or in parts: {}, or FILE.npy with bool masks [k, H, W].  released has the masks of the "
                 "DRS authors' code."),
    click.option("--interpolation", cls=Listing, what=_interpolations, help="Show parts by {}.  [default: nearest; for released "
                 "what its authors' code does]"),
    click.option("--joint", default="bonferroni", show_default=True, cls=Listing, what=joints,
                 help="Make the bounds of parts jointly confident by {}."),
    click.option("--multiclass", is_flag=True, help="Bound the other classes, too."),
)  # fmt: skip

which_draws = combined(
    click.option("--plan", "plan", default="all", show_default=True, type=OneOf(_plans), cls=Listing, what=_how_plans_stop,
                 help="Stop drawing by this plan.  all takes --n draws of every image.  {}"),
    click.option("--radii", type=FloatList(), help="Certify these radii by a plan, separated by commas."),
    click.option("--tolerance", type=float, help="Let the radius plan lose at most this share of a radius.  [default: 0.05]"),
    click.option("--final", type=float, cls=Listing, what=_last_looks, help="Keep this share of alpha for the last look of {}"),
    click.option("--test-labels", is_flag=True, help="Test the true labels instead of selected classes, by a plan; for "
                 "certified accuracy."),
)  # fmt: skip

PLAN_OPTIONS = ("radii", "tolerance", "final")
ONLY_INPUT_DEPENDENT = ("rate", "neighbors", "offset", "largest", "train", "sigma_function")


def make_plan(options: dict[str, Any]) -> SequentialPlan | None:
    """The plan that the options name; None for all draws."""
    from ..errors import InvalidArgumentError
    from ..plans import PLANS

    name = options["plan"]
    kind = PLANS.get(name)
    fields = {} if kind is None else {field.name: field for field in dataclasses.fields(kind)}
    for option in PLAN_OPTIONS:
        if options[option] is not None and option not in fields:
            raise InvalidArgumentError(
                f"--{option} was given and --plan {name} takes none: leave it out, or give another --plan."
            )
    if kind is None:
        if options["test_labels"]:
            known = listed(name for name, kind in PLANS.items() if kind.sequential)
            raise InvalidArgumentError(f"--test-labels is for plans: give --plan {known}.")
        return None
    given = {option: options[option] for option in PLAN_OPTIONS if options[option] is not None}
    if "radii" in fields and "radii" not in given and fields["radii"].default is dataclasses.MISSING:
        raise InvalidArgumentError(f"--plan {name} tests radii: give --radii, such as 0.25,0.5,0.75.")
    return kind(**given)


def make_transform(options: dict[str, Any]) -> Transform:
    """The transform that the options name."""
    import numpy as np

    from ..errors import InvalidArgumentError
    from ..sources.npy import mapped
    from ..transforms import TRANSFORMS, Partition

    name, interpolation = options["transform"], options["interpolation"]
    if name == "whole" and (interpolation is not None or options["joint"] != "bonferroni"):
        raise InvalidArgumentError("--interpolation and --joint are for split images: give --transform too.")
    chosen: Any = next((kind for kind in TRANSFORMS.values() if name in kind.choices), None)
    if chosen is not None:
        return chosen.chosen(name, interpolation)
    if not name.endswith(".npy"):
        raise InvalidArgumentError(f"--transform {name!r} is not known: give {', '.join(_transforms())}, or FILE.npy with masks.")
    return Partition(np.array(mapped(Path(name))), interpolation or "nearest")


def make_noise(options: dict[str, Any], transform: Transform, source: Source | None, cache: Path | None = None) -> Noise:
    """The noise that the options name; levels of input-dependent noise are kept in `cache`."""
    from ..noise import NOISES, GaussianParts, check_scale

    kind, otherwise = NOISES[options["noise"]], "images that rsfast reads are in [0, 1]"
    if kind.depends_on_input and options["sigma"] is not None:
        check_scale(GaussianParts(options["sigma"]), 0.0, 1.0, otherwise)
    _refuse_other_levels(options, kind)
    make = functools.partial(_input_dependent, source=source, cache=cache) if kind.depends_on_input else _constant
    noise = make(options, kind, transform)
    check_scale(noise, 0.0, 1.0, otherwise)
    return noise


def _refuse_other_levels(options: dict[str, Any], kind: type[Noise]) -> None:
    """What a noise needs and is not given, or is given and does not take."""
    from ..errors import InvalidArgumentError
    from ..noise import NOISES

    taken = () if options["sigma_function"] is not None else kind.options
    for name in dict.fromkeys(option for one in NOISES.values() for option in one.options):
        if (options[name] is not None) != (name in taken):
            what = f"--{name} is missing" if name in taken else f"--{name} was given"
            wanted = " and ".join(f"--{option}" for option in taken) or "no level"
            raise InvalidArgumentError(f"{what}: --noise {kind.name} takes {wanted}.")
    if not kind.depends_on_input:
        given = [f"--{name.replace('_', '-')}" for name in ONLY_INPUT_DEPENDENT if options[name] is not None]
        if given:
            those = listed(f"--noise {one.name}" for one in NOISES.values() if one.depends_on_input)
            raise InvalidArgumentError(f"{', '.join(given)}: only {those} takes that; give it too.")


def _constant(options: dict[str, Any], kind: type[Noise], transform: Transform) -> Noise:
    """A noise of one level, or of one for each part."""
    from ..errors import InvalidArgumentError
    from ..noise import GaussianParts

    sigma = options["sigma"] or []
    if len(sigma) < 2:
        values = {**options, "sigma": sigma[0] if sigma else None}
        return kind(*(values[option] for option in kind.options))
    if kind.name != GaussianParts.name:
        raise InvalidArgumentError(f"--sigma has {len(sigma)} levels: {kind.name} noise takes one.")
    if len(sigma) != transform.parts:
        raise InvalidArgumentError(
            f"--sigma has {len(sigma)} levels and the transform shows {transform.parts} part(s): give one, or one each."
        )
    return GaussianParts(tuple(sigma))


def _input_dependent(
    options: dict[str, Any], kind: type[Noise], transform: Transform, source: Source | None, cache: Path | None
) -> Noise:
    from ..errors import InvalidArgumentError

    sigma = options["sigma"]
    if transform.parts > 1 or options["multiclass"]:
        raise InvalidArgumentError(
            "input-dependent noise is certified for whole images and two classes: leave --transform and --multiclass out."
        )
    if options["sigma_function"] is not None:
        return _custom(options["sigma_function"], options, kind)
    if "sigma" not in kind.options:
        raise InvalidArgumentError(
            f"--sigma-function is missing: --noise {kind.name} takes no other levels; give its --rate, too."
        )
    if len(sigma) != 1:
        raise InvalidArgumentError(f"--sigma has {len(sigma)} levels: {kind.title} noise takes one, sigma_b.")
    assert source is not None
    return kind(_by_neighbors(options, sigma[0], source, cache))  # type: ignore[call-arg]


def _by_neighbors(options: dict[str, Any], base: float, source: Source, cache: Path | None) -> NearestNeighbors:
    """Levels by the distances to training images."""
    from .. import sources
    from ..errors import InvalidArgumentError
    from ..sigma import NearestNeighbors

    data, _, place = options["data"].partition(":")
    if options["train"] is None and (data not in sources.WITH_SPLITS or Path(place).is_file()):
        raise InvalidArgumentError(f"{options['data']} has no train split: give the training images with --train.")
    spec = options["train"] or options["data"]
    split = "train" if spec.partition(":")[0] in sources.WITH_SPLITS else None
    image_options = {name: options[name] for name in ("resize", "crop", "gray")} if sources.is_folder(spec) else {}
    training = sources.load(spec, split=split, **image_options)
    if training.shape != source.shape:
        raise InvalidArgumentError(
            f"training images are {training.shape} and the data's {source.shape}: give images of one size."
        )
    offset = PAPER_OFFSETS.get(spec.partition(":")[0], "average") if options["offset"] is None else options["offset"]
    return NearestNeighbors(
        sources.blocks(training),
        base=base,
        rate=0.01 if options["rate"] is None else options["rate"],
        k=20 if options["neighbors"] is None else options["neighbors"],
        m=offset,
        largest=options["largest"],
        device=options["device"],
        cache=cache,
    )


def _custom(spec: str, options: dict[str, Any], kind: Any) -> Noise:
    """A function of the user's, called with images [B, C, H, W]."""
    from .. import models
    from ..errors import InvalidArgumentError

    others = [f"--{name}" for name in ("sigma", "neighbors", "offset", "largest", "train") if options[name] is not None]
    if others:
        raise InvalidArgumentError(f"--sigma-function and {', '.join(others)}: these are for nearest neighbours; leave them out.")
    if options["rate"] is None:
        raise InvalidArgumentError(f"--sigma-function {spec}: give the --rate that it is {kind.regular} with.")
    function = models.named(spec, "sigma function")
    if not callable(function):
        raise InvalidArgumentError(f"--sigma-function {spec} is {type(function).__name__}: name a function of images.")
    description = {"name": spec, "sha256": models.fingerprint(function, origin=spec)}
    noise: Noise = kind(function, rate=options["rate"], description=description)
    return noise
