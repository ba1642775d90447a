"""rsfast plan, rsfast estimate: what a certificate will cost, and what a data set's certified accuracy is from some of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from .options import FloatList, how_to_run, what_to_run
from .smoothing import which_noise, which_transform

if TYPE_CHECKING:
    from ..noise import Noise
    from ..request import Claim, Request, Smoothing
    from ..result import VoteCounts
    from ..runs.read import Instead
    from ..transforms import Transform


SIMULATED = 10**8
"""Draws up to which plans are simulated; above, making their tables takes minutes."""
DENSE = 10**6
"""The same for plans with a threshold at every step of a lattice."""


@click.command()
@click.option(
    "--run",
    "pilot",
    type=click.Path(),
    help="Take noise, norm and image size from a run of `rsfast certify` without a plan, and say what plans would draw.",
)
@which_noise
@click.option("--radii", type=FloatList(), required=True, help="Say what these radii take, separated by commas.")
@click.option("--n", type=int, default=100_000, show_default=True, help="Take at most so many draws of each image.")
@click.option("--alpha", type=float, default=0.001, show_default=True, help="Let each image fail with at most this probability.")
@click.option("--norm", type=float, help="Certify balls of this norm.  [default: the pilot's, or 2]")
@click.option("--dim", type=click.IntRange(min=1), default=1, help="Say how many pixels an image has, where the "
              "norm needs them and there is no --run.")  # fmt: skip
def plan(pilot: str | None, radii: list[float], n: int, alpha: float, norm: float | None, dim: int, **options: Any) -> None:
    """Say how many draws radii take, and what sequential plans save.

    \b
    rsfast plan --sigma 0.5 --radii 0.25,0.5,1,1.5
    rsfast plan --run runs/pilot --radii 0.1,0.25,0.5
    """
    from .. import checks, plans
    from ..request import WHOLE, Claim, Smoothing
    from ..runs.read import Instead

    n = checks.whole("n", n, 1, 2**32 - 1 if pilot is None else SIMULATED)
    claim = Claim(alpha, 2.0 if norm is None else norm)
    grid = plans.Grid(radii)
    if pilot is None:
        smoothing = Smoothing(_constant_noise(options), WHOLE, (dim,))
        lines = _what_radii_take(smoothing, claim, list(grid.radii), n, None)
    else:
        refuse_beside_a_pilot({**options, "dim": dim})
        lines = _from_pilot(Path(pilot), list(grid.radii), n, Instead(alpha, norm))
    click.echo("\n".join(lines))  # all of it or nothing: what is refused is refused before a line is printed


def _what_radii_take(smoothing: Smoothing, claim: Claim, radii: list[float], n: int, levels: list[float] | None) -> list[str]:
    """The limit of n draws, and what each radius takes; `levels` are the least, middle and largest of noise that has several."""
    from ..result import floor_decimals
    from ..stopping import forecast

    parts = smoothing.parts
    of_parts = f", {parts} parts" if parts > 1 else ""
    each = " of each part" if parts > 1 else ""
    lines = [f"{smoothing.noise}, l{claim.norm:g}, alpha = {claim.alpha:g}{of_parts}"]
    ways = [claim.bound] * (claim.bound != "clopper-pearson") + ["the other classes bounded, too"] * claim.multiclass
    ways += [claim.joint] * (parts > 1)
    if ways:
        lines.append(f"bounds: {', '.join(ways)}")
    middle = None if levels is None else levels[1]
    largest = [floor_decimals(forecast.waterfall_of(smoothing, claim, n, level), 4) for level in [middle, *(levels or [])]]
    lines.append(f"n = {n:,} draws{each} certify a radius of at most {largest[0]}")
    if levels is not None:
        lines[-1] += f" at the middle level ({largest[1]} to {largest[3]})"
        lines.insert(-1, f"levels sigma(x) from {levels[0]:.4g} to {levels[2]:.4g}, {middle:.4g} in the middle")
    needs = forecast.needs_of(smoothing, claim, radii, middle)
    if parts > 1 or levels is not None:
        lines.append("each part's probability, and its draws:" if parts > 1 else f"at the middle level, {middle:.4g}:")
    lines.append(f"{'radius':>8}  {'probability':>12}  {'least draws':>12}")
    for need in needs:
        more = "" if need.draws <= n else "   more than n"
        lines.append(f"{need.radius:8g}  {need.probability:12.8f}  {need.draws:12,}{more}")
    return lines


def _from_pilot(path: Path, radii: list[float], n: int, instead: Instead) -> list[str]:
    """What radii take under the noise of a pilot, and what plans would draw on its images."""
    import numpy as np

    from ..errors import InvalidArgumentError
    from ..runs.read import read_run
    from ..runs.settings import claim_of
    from ..stopping import forecast

    run = read_run(path)
    if run.manifest.kind != "certify":
        raise InvalidArgumentError(f"{path} holds predictions: give a run of `rsfast certify`.")
    votes, claim = run.counts, instead.of(claim_of(run.manifest.settings))
    forecast.check_pilot(votes)
    labels = run.labels if (run.labels >= 0).all() else None
    depends = votes.noise.depends_on_input
    levels = np.quantile(votes.sigma, [0.0, 0.5, 1.0]).tolist() if depends else None
    lines = _what_radii_take(votes.smoothing, claim, radii, n, levels)
    each = " of each part" if votes.parts > 1 else ""
    counted = "right labels" if labels is not None else "any label"
    product = " as if the parts' bounds were joined by bonferroni" if claim.joint == "product" else ""
    lines += ["", f"{len(votes)} images of {path}, simulated{product} ({counted}; {n:,} draws{each} of all without a plan):"]
    lines.append(f"{'plan':24}  {'mean draws':>10}  {'saves':>6}" + "".join(f"  r={r:<6g}" for r in radii))
    lines += _what_plans_draw(votes, claim, radii, n, labels)
    lines.append(
        f"At least and at most hold with confidence {forecast.CONFIDENCE:g}, whatever the probabilities of these images are. "
        f"The pilot's {votes.n:,} draws an image leave these open: a pilot of more draws brings both nearer."
    )
    simple = votes.parts == 1 and claim.plain
    if simple and n > DENSE:
        lines.append(f"Plans that give each image a radius of its own are simulated up to n = {DENSE:,} draws.")
    if not simple:
        lines.append("Betting and radius plans are for whole images and the bound of one class.")
    return lines


def _what_plans_draw(votes: VoteCounts, claim: Claim, radii: list[float], n: int, labels: Any) -> list[str]:
    """Three rows for every plan that can be simulated: the forecast, and its interval."""
    from .. import plans
    from ..stopping import forecast

    depends, lines = votes.noise.depends_on_input, []
    candidates: list[tuple[str, plans.Plan]] = [("grid", plans.Grid(radii)), ("grid, --final 0.5", plans.Grid(radii, final=0.5))]
    if votes.parts == 1 and claim.plain:
        candidates += [("betting", plans.Betting(radii=radii))] * (not depends)
        dense: list[tuple[str, plans.Plan]] = [("betting", plans.Betting())] * depends + [("radius, within 5 %", plans.Radius())]
        candidates += dense * (n <= DENSE)
    for name, candidate in candidates:
        seen = forecast.forecast(votes, candidate, claim=claim, n=n, labels=labels)
        shown = getattr(candidate, "radii", None) is not None
        least, most = seen.draws_between
        for title, draws, shares in (
            (name, seen.draws, seen.certified),
            ("  at least", least, seen.certified_between[0]),
            ("  at most", most, seen.certified_between[1]),
        ):
            row = f"{title:24}  {draws:10,.0f}  x{n / draws:5.1f}"
            lines.append(row + ("".join(f"  {share:8.3f}" for share in shares) if shown else ""))
    return lines


def _constant_noise(options: dict[str, Any]) -> Noise:
    from ..errors import InvalidArgumentError
    from ..noise import NOISES
    from ..transforms import Identity
    from .smoothing import make_noise

    if NOISES[options["noise"]].depends_on_input:
        raise InvalidArgumentError(f"--noise {options['noise']} has no one level to plan for: give a constant one, or --run.")
    levels = options["sigma"] or []
    if len(levels) > 1:
        raise InvalidArgumentError(
            f"--sigma has {len(levels)} levels: without --run a plan is for whole images, whose noise has one; give one level, "
            "or --run of a pilot whose images are split."
        )
    return make_noise({**options, "multiclass": False}, Identity(), None)


def refuse_beside_a_pilot(options: dict[str, Any]) -> None:
    """What says the noise or the size of images, which the pilot says."""
    from ..errors import InvalidArgumentError

    source = click.get_current_context().get_parameter_source
    given = [f"--{name.replace('_', '-')}" for name in options if source(name) is not ParameterSource.DEFAULT]
    if given:
        raise InvalidArgumentError(
            f"--run and {', '.join(given)}: the pilot says which noise and size; leave the level out and the rest."
        )


@click.command()
@what_to_run
@which_noise
@which_transform
@click.option("--radii", type=FloatList(), required=True, help="Say the certified accuracy at these radii, separated by commas.")
@click.option("--images", type=click.IntRange(min=1), help="Draw so many images at random.")
@click.option("--precision", type=float, help="Draw as many images as bring the interval within this distance, such as 0.01.")
@click.option(
    "--growing",
    is_flag=True,
    help="Give intervals that hold at every look, a little wider.  The same command with more --images goes on, at any time.",
)
@click.option(
    "--confidence", type=float, default=0.95, show_default=True, help="Give intervals of this confidence, for all radii together."
)
@click.option("--sample-seed", type=int, default=0, show_default=True, help="Choose the images by this seed.")
@click.option("--n", type=int, default=100_000, show_default=True, help="Take at most so many draws (of each part) of an image.")
@click.option("--alpha", type=float, default=0.001, show_default=True, help="Let each image fail with at most this probability.")
@click.option("--norm", type=float, default=2.0, show_default=True, help="Certify balls of this norm: 1, 2, inf, …")
@click.option("--final", type=float, default=0.8, show_default=True, help="Keep this share of alpha for the last look.")
@how_to_run
def estimate(radii: list[float], confidence: float, **options: Any) -> None:
    """Estimate the certified accuracy of a whole data set from images drawn at random, each with as few draws as it needs.

    It says the share that this run would certify of all images, with an exact interval, and a lower bound of the share that is
    truly robust.  The same command continues an interrupted run.  The answer comes when all images drawn are done.  Choose the
    number of images before the first answer, or give --growing: trying larger samples until one pleases makes intervals miss
    more often.

    \b
    rsfast estimate --model small-cnn --checkpoint runs/demo/model.safetensors --data digits --sigma 0.25 \\
                    --radii 0.1,0.25,0.5 --images 300 --out runs/estimate
    """
    from .. import checks, plans
    from ..errors import InvalidArgumentError
    from ..request import MOST_DRAWS, Claim, Request
    from ..runs.estimate import check_confidence, images_needed
    from .runs import run_all

    n, seed = checks.whole("n", options["n"], 1, MOST_DRAWS), checks.whole("sample-seed", options["sample_seed"], 0)
    claim = Claim(options["alpha"], options["norm"], joint=options["joint"], multiclass=options["multiclass"])
    check_confidence(confidence)
    if (options["images"] is None) == (options["precision"] is None):
        raise InvalidArgumentError("give either --images or --precision, which says how many images it takes.")
    if options["start"] or options["count"] or options["every"] != 1:
        raise InvalidArgumentError("--start, --count and --every choose images, and these are drawn at random: leave them out.")
    sequential = plans.Grid(radii, final=options["final"])
    reached: list[str] = []

    def request(noise: Noise, transform: Transform) -> Request:
        return Request("certify", noise, n, 0, transform, claim, sequential, True, options["seed"])

    def sample(total: int) -> dict[str, int]:
        images = options["images"]
        if images is None:
            how = {"confidence_level": confidence, "radii": len(radii), "growing": options["growing"]}
            images = images_needed(total, options["precision"], **how)
            reached.append(f"{images} of {total} images come to within about {options['precision']:g}.")
        return {"images": images, "seed": seed}

    run_all(request, None, options, sample)
    if options["shard"] == (0, 1):
        _say_estimate(Path(options["out"]), reached, confidence, growing=options["growing"])


def _say_estimate(out: Path, reached: list[str], confidence: float, *, growing: bool) -> None:
    """Print the estimate of a run whose images are done, and keep its figures beside it."""
    from .. import files
    from ..result import floor_decimals
    from ..runs.estimate import draws
    from ..runs.estimate import estimate as estimated

    found = estimated(out, confidence_level=confidence)
    total, each = draws(out)
    drawn = f"{found[0].drawn} of {found[0].population} images, {each:,.0f} draws an image in the mean"
    for sentence in reached:
        click.echo(sentence)
    click.echo(f"{drawn}; for all radii together with confidence {confidence:g}:")
    click.echo(f"{'radius':>8}  {'certified':>9}  {'of all images':>19}  {'truly robust at least':>21}")
    for one in found:
        low, robust = floor_decimals(one.low, 4), floor_decimals(one.robust, 4)
        high = floor_decimals(-one.high, 4).removeprefix("-")  # rounded up
        click.echo(f"{one.radius:8g}  {one.share:9.4f}  {low} to {high:>8}  {robust:>21}")
    if growing:
        click.echo("This holds at every look: draw as many more images as you like (--images), and stop when you like.")
    else:
        click.echo(
            f"This holds if {found[0].drawn} images were fixed beforehand, and one sample is looked at. Looking at several, "
            "larger ones or others, and stopping when one pleases makes it miss more often; --growing allows for that."
        )
    figures = {"confidence": confidence, "draws": total, "growing": growing, "radii": [vars(one) for one in found]}
    files.write(out / "estimate.json", json.dumps(figures, indent=1) + "\n")
