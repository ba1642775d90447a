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
    from ..run import Plan


@click.command()
@click.option(
    "--run",
    "pilot",
    type=click.Path(),
    help="A run of `rsfast certify` without a plan on some images: says of norm and image size, and what plans would draw.",
)
@which_noise
@click.option("--radii", type=FloatList(), required=True, help="To be certified, separated by commas.")
@click.option("--n", type=int, default=100_000, show_default=True, help="Most draws per image.")
@click.option("--alpha", type=float, default=0.001, show_default=True, help="Failure probability per image.")
@click.option("--norm", type=float, help="Of the ball.  [default: the pilot's, or 2]")
@click.option("--dim", type=click.IntRange(min=1), default=1, help="Pixels of an image, where the norm needs them "
              "and there is no --run.")  # fmt: skip
def plan(pilot: str | None, radii: list[float], n: int, alpha: float, norm: float | None, dim: int, **options: Any) -> None:
    """How many draws radii take, and what sequential plans save.

    \b
    rsfast plan --sigma 0.5 --radii 0.25,0.5,1,1.5
    rsfast plan --run runs/pilot --radii 0.1,0.25,0.5
    """
    from .. import checks, planning, plans
    from ..result import floor_decimals

    checks.alpha(alpha)
    n = checks.whole("n", n, 1, 10**9)
    if pilot is None:
        noise, votes, labels = _constant_noise(options), None, None
    else:
        refuse_beside_a_pilot({**options, "dim": dim})
        votes, labels, norm = _pilot(Path(pilot), norm)
        noise, dim = votes.noise, votes.dim
    order = checks.order(2.0 if norm is None else norm)
    where: dict[str, Any] = {"alpha": alpha, "norm": order}
    click.echo(f"{noise}, l{order:g}, alpha = {alpha:g}")
    largest = floor_decimals(planning.waterfall(noise, n=n, dim=dim, **where), 4)
    click.echo(f"n = {n:,} draws certify a radius of at most {largest}")
    click.echo(f"{'radius':>8}  {'probability':>12}  {'least draws':>12}")
    for need in planning.needs(noise, radii, dim=dim, **where):
        click.echo(f"{need.radius:8g}  {need.probability:12.8f}  {need.draws:12,}{'' if need.draws <= n else '   more than n'}")
    if votes is None:
        return
    counted = "right labels" if labels is not None else "any label"
    click.echo(f"\n{len(votes)} images of {pilot}, simulated ({counted}; {n:,} draws of every image without a plan):")
    click.echo(f"{'plan':24}  {'mean draws':>10}  {'saves':>6}" + "".join(f"  r={r:<6g}" for r in sorted(radii)))
    candidates: list[tuple[str, plans.Plan]] = [("grid", plans.Grid(radii)), ("grid, --final 0.5", plans.Grid(radii, final=0.5)),
                  ("betting", plans.Betting(radii=radii))]  # fmt: skip
    for name, candidate in candidates:
        seen = planning.forecast(votes, candidate, n=n, labels=labels, **where)
        shares = "".join(f"  {share:8.3f}" for share in seen.certified)
        click.echo(f"{name:24}  {seen.draws:10,.0f}  x{n / seen.draws:5.1f}{shares}")
    tolerant = planning.forecast(votes, plans.Radius(), n=n, labels=labels, **where)
    click.echo(f"{'radius, within 5 %':24}  {tolerant.draws:10,.0f}  x{n / tolerant.draws:5.1f}")


def _constant_noise(options: dict[str, Any]) -> Noise:
    from ..errors import InvalidArgumentError
    from ..transforms import Identity
    from .smoothing import make_noise

    if options["noise"] == "input-dependent":
        raise InvalidArgumentError("--noise input-dependent has no one level to plan for: give a constant one.")
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


def _pilot(path: Path, norm: float | None) -> tuple[Any, Any, float]:
    from ..errors import InvalidArgumentError
    from ..stored import read_run

    run = read_run(path)
    if run.manifest.kind != "certify":
        raise InvalidArgumentError(f"{path} holds predictions: give a run of `rsfast certify`.")
    labels = run.labels if len(run.labels) and (run.labels >= 0).all() else None
    return run.counts, labels, float(run.manifest.settings["norm"]) if norm is None else norm


@click.command()
@what_to_run
@which_noise
@which_transform
@click.option("--radii", type=FloatList(), required=True, help="At which the certified accuracy is wanted, separated by commas.")
@click.option("--images", type=click.IntRange(min=1), help="Images to draw at random.")
@click.option("--precision", type=float, help="Instead: as many as bring the interval within this distance, such as 0.01.")
@click.option("--confidence", type=float, default=0.95, show_default=True, help="Of the intervals, for all radii together.")
@click.option("--sample-seed", type=int, default=0, show_default=True, help="Of the choice of images.")
@click.option("--n", type=int, default=100_000, show_default=True, help="Most draws (of each part) per image.")
@click.option("--alpha", type=float, default=0.001, show_default=True, help="Failure probability per image.")
@click.option("--norm", type=float, default=2.0, show_default=True, help="Of the certified ball: 1, 2, inf, …")
@click.option("--final", type=float, default=0.8, show_default=True, help="The last look's share of alpha.")
@how_to_run
def estimate(radii: list[float], confidence: float, **options: Any) -> None:
    """Certified accuracy of a whole data set from images drawn at random, each with as few draws as it needs.

    Says the share that this run would certify of all images, with an exact interval, and a lower bound of the share that is truly
    robust.  The same command continues an interrupted run; the answer comes when all images drawn are done.

    \b
    rsfast estimate --model small-cnn --checkpoint runs/demo/model.safetensors --data digits --sigma 0.25 \\
                    --radii 0.1,0.25,0.5 --images 300 --out runs/estimate
    """
    from .. import checks, files, plans
    from ..errors import InvalidArgumentError
    from ..estimate import check_confidence, draws, images_needed
    from ..estimate import estimate as estimated
    from ..radii import JOINTS
    from ..result import floor_decimals
    from .runs import run_all

    n = checks.whole("n", options["n"], 1, 2**32 - 1)
    alpha, seed = float(checks.alpha(options["alpha"])), checks.whole("sample-seed", options["sample_seed"], 0)
    checks.choice("joint", options["joint"], JOINTS)
    check_confidence(confidence)
    if (options["images"] is None) == (options["precision"] is None):
        raise InvalidArgumentError("give either --images or --precision, which says how many images it takes.")
    if options["start"] or options["count"] or options["every"] != 1:
        raise InvalidArgumentError("--start, --count and --every choose images, and these are drawn at random: leave them out.")
    sequential = plans.Grid(radii, final=options["final"])

    def make_plan(noise: Noise, classes: int) -> Plan:
        from ..run import Plan

        chosen = {name: options[name] for name in ("joint", "multiclass", "norm")}
        return Plan(
            "certify", noise, classes, n=n, alpha=alpha, seed=options["seed"], sequential=sequential, labels=True, **chosen
        )

    def sample(total: int) -> dict[str, int]:
        images = options["images"]
        if images is None:
            images = images_needed(total, options["precision"], confidence_level=confidence, radii=len(radii))
            click.echo(f"{images} of {total} images come to within about {options['precision']:g} at confidence {confidence:g}.")
        return {"images": images, "seed": seed}

    run_all(make_plan, None, {**options, "bound": "clopper-pearson"}, sample)
    out = Path(options["out"])
    if options["shard"] != (0, 1):
        return
    found = estimated(out, confidence_level=confidence)
    total, each = draws(out)
    drawn = f"{found[0].drawn} of {found[0].population} images, {each:,.0f} draws an image in the mean"
    click.echo(f"{drawn}; for all radii together with confidence {confidence:g}:")
    click.echo(f"{'radius':>8}  {'certified':>9}  {'of all images':>19}  {'truly robust at least':>21}")
    for one in found:
        low, robust = floor_decimals(one.low, 4), floor_decimals(one.robust, 4)
        high = floor_decimals(-one.high, 4).removeprefix("-")  # rounded up
        click.echo(f"{one.radius:8g}  {one.share:9.4f}  {low} to {high:>8}  {robust:>21}")
    figures = {"confidence": confidence, "draws": total, "radii": [vars(one) for one in found]}
    files.write(out / "estimate.json", json.dumps(figures, indent=1) + "\n")
