"""What the command lines share: their arguments, the base classifier, and the walk over a data set."""

from __future__ import annotations

import argparse
import datetime
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import RsfastError

if TYPE_CHECKING:
    import torch

    from .core import Smooth

CERTIFY = ("idx", "label", "predict", "radius", "correct", "time")
PREDICT = ("idx", "label", "predict", "correct", "time")

Answer = Callable[["Smooth", "torch.Tensor", argparse.Namespace], tuple[int, list[str]]]
"""The class, and what stands in the columns between `predict` and `correct`."""


def parser(description: str, *, selection: bool) -> argparse.ArgumentParser:
    """Return the arguments of certify.py (with `selection`) and predict.py, and --seed."""
    found = argparse.ArgumentParser(description=description)
    found.add_argument("dataset", help="read imagenet (in $IMAGENET_DIR), cifar10 (in $CIFAR10_DIR or ./dataset_cache), or any "
                       "data source of `rsfast certify --data`")  # fmt: skip
    found.add_argument("base_classifier", help="run a checkpoint with arch and state_dict, a torch.export (.pt2) or .onnx "
                       "file, or module:factory")  # fmt: skip
    found.add_argument("sigma", type=float, help="set the standard deviation of the noise")
    found.add_argument("outfile", help="write this log; it is continued if the same command began it")
    found.add_argument("--batch", type=int, default=1000, help="put so many noisy copies into a forward pass (1000)")
    found.add_argument("--skip", type=int, default=1, help="take every so many-th image (1)")
    found.add_argument("--max", type=int, default=-1, help="take only images before this number (all)")
    found.add_argument("--split", choices=["train", "test"], default="test", help="take the train or the test set (test)")
    found.add_argument("--class-map", help="say which class each folder is (imagenet, image folders): a file, or alphabet")
    if selection:
        found.add_argument("--N0", type=int, default=100, help="choose the class by so many draws (100)")
    found.add_argument("--N", type=int, default=100_000, help="bound its probability by so many draws (100000)")
    found.add_argument("--alpha", type=float, default=0.001, help="let each image fail with at most this probability (0.001)")
    found.add_argument("--seed", type=int, default=None, help="draw the noise from this seed (fresh, and kept beside the log)")
    found.add_argument("--trust-files", action="store_true", help="let the code run that the checkpoint or .pt2 file names")
    return found


def main(walk: Callable[[Sequence[str] | None], None], argv: Sequence[str] | None = None) -> None:
    """Run a command; whatever goes wrong gets one sentence and a non-zero exit."""
    try:
        walk(argv)
    except RsfastError as error:
        sys.exit(f"Error: {error}")
    except KeyboardInterrupt:
        sys.stderr.write("stopped. Finished images are kept; the same command continues.\n")
        sys.exit(130)
    except Exception as error:
        if os.environ.get("RSFAST_TRACEBACK"):
            raise
        sys.exit(f"Error: {type(error).__name__}: {error} (RSFAST_TRACEBACK=1 shows where)")


def run(options: argparse.Namespace, command: str, columns: Sequence[str], answer: Answer) -> None:
    """Answer for every chosen image that the log does not hold yet.

    The noise of image i is a function of seed and i: an interrupted log ends as an uninterrupted one, but for times.
    """
    from ... import checks
    from ...counting.images import check_seed
    from ...models import fingerprint
    from . import datasets
    from .core import Smooth
    from .log import Log

    for name, least in (("batch", 1), ("skip", 1), ("N0", 1), ("N", 1)):
        if hasattr(options, name):
            checks.whole(f"--{name}", getattr(options, name), least, 2**32 - 1)
    checks.alpha(options.alpha)
    source = datasets.get_source(options.dataset, options.split, options.class_map)
    dataset = datasets.Dataset(source)
    classes = datasets.CLASSES.get(options.dataset) or datasets.classes_of(source)
    model, sha256 = _base_classifier(options.base_classifier, options.dataset, classes, options.trust_files)
    arguments = {
        "command": command,
        **{name: value for name, value in vars(options).items() if name not in ("outfile", "base_classifier", "trust_files")},
        "model": sha256 or fingerprint(model),
        "data": source.fingerprint(),
    }
    with Log(Path(options.outfile), columns, arguments, seed=check_seed(options.seed)) as log:
        smoothed = Smooth(model, classes, options.sigma, seed=log.arguments["seed"])
        last = len(dataset) if options.max < 0 else min(options.max, len(dataset))
        for i in range(0, last, options.skip):
            if i in log.finished:
                continue
            x, label = dataset[i]
            smoothed.next_id = 2 * i  # selection and estimation
            began = time.monotonic()
            predicted, more = answer(smoothed, x, options)
            elapsed = datetime.timedelta(seconds=time.monotonic() - began)
            log.append(i, label, predicted, *more, int(predicted == label), elapsed)


def _base_classifier(spec: str, dataset: str, classes: int, trust: bool) -> tuple[Any, str | None]:
    """The model, on a GPU if there is one, and the sha256 of what it was loaded from where that is not the model itself."""
    import torch

    from ... import models
    from ...errors import ModelError
    from .architectures import load_checkpoint

    path = Path(spec)
    if path.suffix in (".pt2", ".onnx") or (":" in spec and not path.exists()):
        loaded = models.load(spec, num_classes=classes, trust=trust)
        model: Any = loaded.model
        sha256: str | None = loaded.sha256
    elif path.exists():
        model, sha256 = load_checkpoint(path, dataset, classes, trust=trust), None
    else:
        raise ModelError(f"{spec} is not there: give a checkpoint, a .pt2 or .onnx file, or module:factory.")
    if torch.cuda.is_available() and isinstance(model, torch.nn.Module):
        model = model.to("cuda")
    return model, sha256
