"""rsfast certify, rsfast predict."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .advice import advise
from .calibrating import calibration
from .ending import last_line, refuse_unreadable, saying_what_is_stored
from .models import fill_from_card, load_models
from .options import Listing, allow_missing, bounds, how_to_run, what_to_run
from .smoothing import which_draws, which_noise, which_transform

if TYPE_CHECKING:
    from ..counting.classifier import Classifier
    from ..inference import Calibration
    from ..models import LoadedModel
    from ..noise import Noise
    from ..request import Request
    from ..runs.store import Part
    from ..sources.base import Source
    from ..transforms import Transform


@click.command()
@what_to_run
@which_noise
@which_transform
@click.option("--n0", type=int, default=100, show_default=True, help="Choose the class by so many draws (of each part).")
@click.option("--n", type=int, default=100_000, show_default=True, help="Bound its probability by so many draws (of each part).")
@click.option("--alpha", type=float, default=0.001, show_default=True, help="Let each image fail with at most this probability.")
@click.option("--norm", type=float, default=2.0, show_default=True, help="Certify balls of this norm: 1, 2, inf, …")
@click.option(
    "--bound", default="clopper-pearson", show_default=True, cls=Listing, what=bounds,
    help="Bound by {}; two-sided bounds the other classes, too.",
)  # fmt: skip
@which_draws
@allow_missing
@how_to_run
def certify(n0: int, n: int, alpha: float, norm: float, bound: str, **options: Any) -> None:
    """Certify a data set, image by image, into a run directory.

    After a kill at any moment nothing finished is lost: the same command continues.  `rsfast report`, `rsfast export` and
    `rsfast recertify` read the directory.

    \b
    rsfast certify --model small-cnn --checkpoint runs/demo/model.safetensors --data digits \\
                   --sigma 0.25 --n 10000 --out runs/a

    \b
    rsfast certify --model small-cnn --checkpoint left.safetensors --model small-cnn --checkpoint right.safetensors \\
                   --data digits --sigma 0.18 --transform diagonal --n 10000 --out runs/dual

    \b
    rsfast certify --model small-cnn --checkpoint runs/demo/model.safetensors --data digits \\
                   --noise input-dependent --sigma 0.25 --rate 0.01 --n 10000 --out runs/input-dependent
    """
    from .. import checks
    from ..request import MOST_DRAWS, Claim, Request
    from .smoothing import make_plan

    n, n0 = checks.whole("n", n, 1, MOST_DRAWS), checks.whole("n0", n0, 1, MOST_DRAWS)
    claim = Claim(alpha, norm, bound, options["joint"], options["multiclass"])
    plan, seed, labels = make_plan(options), options["seed"], options["test_labels"]

    def request(noise: Noise, transform: Transform) -> Request:
        return Request("certify", noise, n, n0, transform, claim, plan, labels, seed)

    run_all(request, n0 + n if plan is None else None, options)


@click.command()
@what_to_run
@which_noise
@click.option("--n", type=int, default=1000, show_default=True, help="Take so many draws of each image.")
@click.option("--alpha", type=float, default=0.001, show_default=True, help="Let each image fail with at most this probability.")
@allow_missing
@how_to_run
def predict(n: int, alpha: float, **options: Any) -> None:
    """Write the smoothed classifier's answers for a data set into a run directory, which is cheaper than certifying."""
    from .. import checks
    from ..request import MOST_DRAWS, Claim, Request

    n, claim, seed = checks.whole("n", n, 1, MOST_DRAWS), Claim(alpha), options["seed"]

    def request(noise: Noise, transform: Transform) -> Request:
        return Request("predict", noise, n, transform=transform, claim=claim, seed=seed)

    run_all(request, n, {**options, "transform": "whole", "interpolation": None, "joint": "bonferroni", "multiclass": False})


def run_all(
    make_request: Callable[[Noise, Transform], Request],
    samples_per_image: int | None,
    options: dict[str, Any],
    sample: Callable[[int], dict[str, int]] | None = None,
) -> None:
    """Run what the options name; `sample` says, for so many images of the data, how many are drawn at random."""
    with saying_what_is_stored(Path(options["out"])):
        _run_all(make_request, samples_per_image, options, sample)


def _run_all(
    make_request: Callable[[Noise, Transform], Request],
    samples_per_image: int | None,
    options: dict[str, Any],
    sample: Callable[[int], dict[str, int]] | None,
) -> None:
    from ..runs import devices, execute, store
    from .progress import Progress

    own = devices.own_device()
    if own is not None:
        with devices.working_for_the_parent() as channel:
            execute.serve(*_job(make_request, options, sample, own), channel)
    shared = _devices(options)
    job = _job(make_request, options, sample, shared[0])
    request, classifier, loaded, source, out, part = job
    crew = devices.Crew([name for name in shared if name is not None]) if len(shared) > 1 else None
    each = None if samples_per_image is None else samples_per_image * request.transform.parts
    if not store.is_run(out):
        per_image = (request.n0 + request.n // 10) if each is None else each  # with a plan about a tenth
        advise(loaded.model, source.shape, per_image * len(part.positions(len(source))), options)
    outcome = execute.execute(*job, Progress(each, quiet=options["quiet"]), crew)
    click.echo(last_line(outcome, out, part))
    for caveat in dict.fromkeys([*request.noise.caveats, *classifier.caveats, *(crew.caveats if crew is not None else [])]):
        click.echo(caveat)
    refuse_unreadable(outcome.problems, options.get("allow_missing", False))


def _devices(options: dict[str, Any]) -> list[str | None]:
    """The devices that share the run, one of them None where torch is to choose."""
    import torch

    from ..errors import InvalidArgumentError
    from ..runs.devices import devices_of

    if options["devices"] is None:
        return [options["device"]]
    if options["device"] is not None:
        raise InvalidArgumentError("--device and --devices both say where to run: give one of them.")
    return list(devices_of(options["devices"], [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]))


def _job(
    make_request: Callable[[Noise, Transform], Request],
    options: dict[str, Any],
    sample: Callable[[int], dict[str, int]] | None,
    device: str | None,
) -> tuple[Request, Classifier, LoadedModel, Source, Path, Part]:
    """What the options name, on a device."""
    from ..runs import devices
    from .memory import keep_freed_memory
    from .smoothing import make_noise, make_transform
    from .threads import settle_threads

    transform = make_transform(options)
    keep_freed_memory()
    out = Path(options["out"])
    settle_threads(options["threads"], out, quiet=options["quiet"] or devices.own_device() is not None)
    source = open_source(options)
    classes = _classes(options, source)
    loaded = load_models(options, classes, source.shape[0])
    part = _part(options, source, sample)
    noise = make_noise(options, transform, source, out / "levels")
    given = calibration(options, source, part, noise, transform)
    classifier = _classifier(options, loaded, classes, device, given)
    return make_request(noise, transform), classifier, loaded, source, out, part


def _classes(options: dict[str, Any], source: Source) -> int:
    """How many the model has."""
    from ..errors import InvalidArgumentError

    classes = options["num_classes"] or source.num_classes
    if classes is None:
        raise InvalidArgumentError(f"{source.name} has no labels to count classes by: give --num-classes.")
    if classes == 1:
        raise InvalidArgumentError(
            f"there is one class, which every image would be certified for ({source.name}): give --num-classes, the number of "
            "the model's logits, at least 2."
        )
    return classes


def _classifier(
    options: dict[str, Any], loaded: LoadedModel, classes: int, device: str | None, given: Calibration | None
) -> Classifier:
    """The model as it is run."""
    import torch

    from ..counting.classifier import for_one_job

    several = loaded.model if isinstance(loaded.model, list) else [loaded.model]
    movable = torch.cuda.is_available() and all(isinstance(model, torch.nn.Module) for model in several)
    how = {name: options[name] for name in ("batch", "dtype", "channels_last", "fold", "runtime", "backend", "mean", "std")}
    place = ("cuda" if movable else None) if device is None else device
    if options["runtime"] != "torch" and not options["quiet"]:
        click.echo(f"{loaded.name} is prepared for --runtime {options['runtime']}; `rsfast cache` says what is kept.", err=True)
    return for_one_job(loaded.model, num_classes=classes, device=place, calibration=given, **how)


def _part(options: dict[str, Any], source: Source, sample: Callable[[int], dict[str, int]] | None) -> Part:
    """The images of this call."""
    from ..runs.store import Part

    index, shards = options["shard"]
    if sample is not None:
        return Part(shard=index, shards=shards, sample=sample(len(source)), growing=options["growing"])
    return Part(options["start"], options["count"], options["every"], index, shards)


def open_source(options: dict[str, Any]) -> Source:
    """The data; classes of an image folder are those of --class-map, else those that the checkpoint says it has."""
    from .. import models, sources
    from ..sources.classes import class_map

    fill_from_card(options)
    image = {name: options[name] for name in ("resize", "crop", "gray")}
    mapped = options["class_map"]
    if mapped is None and options["checkpoints"] and sources.has_class_folders(options["data"]):
        own = models.own_classes(options["checkpoints"], trust=options["trust_files"])
        mapped = None if own is None else class_map(own[0], f"the checkpoint {own[1]}")
    return sources.load(options["data"], split=options["split"], class_map=mapped, num_classes=options["num_classes"], **image)
