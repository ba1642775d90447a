"""A base classifier: the model, how it is run, and what was made of it, used by any number of calls and threads."""

from __future__ import annotations

import copy
import dataclasses
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from .. import backends, checks, inference, walk
from ..backends import base
from ..errors import InvalidArgumentError, ModelError, reason
from ..hints import explained_class
from ..inference import DTYPES, INPUTS, RUNTIMES, Calibration
from ..models import fingerprint
from ..names import AUTO, INT8
from ..transforms import Transform
from .images import Range, check_range
from .ready import Model, Ready, Running

Progress = Callable[[int, int], None]


@explained_class
class Classifier:
    """A base classifier and how it is run.

    It is prepared at the first call for images of a size, and then used again by every call, in whatever thread: what is
    measured, folded, exported or compiled is done once.  When the model's weights change, it is prepared anew.  It can be copied
    and pickled with its model; the copy is prepared anew.

    Parameters
    ----------
    model : callable, or a sequence of callables
        Maps [N, C, H, W] to logits [N, K], or to what holds them (`.logits`, "logits", the first entry of a tuple); a copy's
        logits must not depend on the others in its batch (docs/soundness.md, "What a model may do").  Torch modules, also
        those inside a function or object, are in eval mode while it runs and get their mode back.  A module that has to be
        cast or moved is copied first; yours is not changed.  With a transform of k parts, k models or one for all.
    num_classes : int
        K, at least 2.
    batch : int or "auto", optional
        Noisy copies per forward pass; "auto" measures.  Default: by image size (`inference.default_batch`), and by the number of
        draws where the model is run as it is; what is prepared runs with one batch in every call.  Every pass has exactly this
        many; the last one of an image is filled up with zeros that do not count.  Part of the base classifier: another batch size
        may change the last bit of a logit.
    dtype : str, optional
        "float32", "bfloat16" or "float16": of the model's input and weights; default the model's own (float32 for a
        model in float64).  "auto" measures what is fastest here; the choice is part of the classifier that is certified.
        "int8" computes in integers between layers, with the runtimes "onnxruntime", "openvino" and "auto", and needs
        `calibration`.
    device : str, optional
        Default: where the model is.
    channels_last : bool, optional
        Memory layout of the model's input; default contiguous, measured with dtype="auto".
    fold : bool
        Fold batch norms into the layers before them, if the logits stay the same (`inference.fold_batch_norms`).
    runtime : str
        "torch", "compile", "cudagraph", "openvino" or "onnxruntime" (`inference.prepare`); "auto" tries what is installed and
        takes the fastest whose logits agree.
    backend : str
        Who draws and counts; "auto" takes the fastest that can.  The choice never changes a bit of the noise.
    mean, std : sequence of float, optional
        Per channel; the model sees (x + noise - mean) / std.  Leave out if the model normalises by itself.
    calibration : Calibration, optional
        With dtype="int8": images that set the scales, and show how often both choose the same class.  Otherwise their noisy
        copies are what a model is tried on while it is prepared.
    value_range : (low, high) or None
        Declared range of the pixels; images outside are refused.
    progress : callable, optional
        Called with (images finished, copies classified just now) after every forward pass.

    Attributes
    ----------
    num_classes, mean, std, value_range
        As given.
    device : torch.device
        Where it runs.

    Raises
    ------
    InvalidArgumentError
        An argument outside its range, or a name that is not known.
    BackendUnavailableError
        The backend that was named cannot run.

    Examples
    --------
    >>> import torch, rsfast as rs
    >>> classifier = rs.Classifier(lambda x: x.flatten(1)[:, :2], num_classes=2, batch=100)
    >>> x = torch.tensor([[[[0.9, 0.1]]]])
    >>> [rs.certify(classifier, x, noise=rs.Gaussian(sigma), n=1000, seed=0).label.tolist() for sigma in (0.1, 0.25)]
    [[0], [0]]
    """

    def __init__(
        self,
        model: Model | Sequence[Model],
        *,
        num_classes: int,
        batch: int | str | None = None,
        dtype: str | None = None,
        device: str | torch.device | None = None,
        channels_last: bool | None = None,
        fold: bool = False,
        runtime: str = "torch",
        backend: str = "auto",
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        calibration: Calibration | None = None,
        value_range: Range = (0.0, 1.0),
        progress: Progress | None = None,
    ) -> None:
        self.several = isinstance(model, Sequence) and not callable(model) and not isinstance(model, (str, bytes))
        self.models = _models(model, self.several)
        if dtype is not None:
            checks.choice("dtype", dtype, ("auto", *INPUTS))
        self.runtime, self.fold = checks.choice("runtime", runtime, (AUTO, *RUNTIMES)), checks.flag("fold", fold)
        if not isinstance(backend, str) or backend != "auto":
            backends.get(backend)
        self.num_classes = _classes(num_classes)
        self.backend = backend
        measured = isinstance(batch, str) and batch == "auto"
        self._batch = None if batch is None or measured else checks.whole("batch", batch, 1, 2**24)
        self._channels_last = channels_last is not None and checks.flag("channels_last", channels_last)
        self._asked: dict[str, Any] = {"batch": batch, "dtype": dtype, "channels_last": channels_last}
        self._measures = measured or dtype == "auto"
        if calibration is not None and not isinstance(calibration, Calibration):
            raise InvalidArgumentError(f"calibration is {type(calibration).__name__}: give rsfast.Calibration(images, noise).")
        if dtype == INT8:
            inference.check_integers(self.runtime, calibration)
        self.calibration = calibration
        self.mean = None if mean is None else checks.numbers("mean", mean)
        self.std = None if std is None else checks.numbers("std", std)
        check_range(value_range)
        self.value_range = value_range
        _check_progress(progress)
        self.progress = progress
        self._asked_device = device
        self.reused = True  # by calls with any number of draws, between which the models may change
        self._begin()

    def _begin(self) -> None:
        """Nothing is prepared yet."""
        self._found = [walk.modules(one) for one in self.models]
        self.device = _device(self._asked_device, self._own())
        self._lock = threading.RLock()
        self._running: dict[tuple[int, ...], Running] = {}
        self._made_of: object = None

    def __getstate__(self) -> dict[str, Any]:
        """What was given: a copy, and one in another process, is prepared anew."""
        made = ("_found", "device", "_lock", "_running", "_made_of")
        return {name: value for name, value in vars(self).items() if name not in made}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._begin()

    def ready(
        self,
        transform: Transform,
        shape: Sequence[int],
        *,
        total: int | None,
        images: int = 1,
        chosen: dict[str, Any] | None = None,
    ) -> Ready:
        """What runs for so many images of `shape` (C, H, W), prepared if it is not yet.

        Parameters
        ----------
        total : int or None
            Copies of each part of an image, None where that depends on the votes.
        chosen : dict, optional
            batch, dtype and channels_last that an earlier preparation found by measuring: they are taken instead.

        Raises
        ------
        InvalidArgumentError
            mean, std, the transform or the number of models does not fit images of this shape.
        ModelError
            The model cannot be prepared as was asked for.
        """
        if self.several and len(self.models) not in (1, transform.parts):
            allowed = "one" if transform.parts == 1 else f"one, or {transform.parts}"
            raise InvalidArgumentError(
                f"{len(self.models)} models were given and the transform shows {transform.parts} part(s): give {allowed}."
            )
        base.normalisation(self.mean, self.std, shape[0])
        for part in range(transform.parts):
            transform.pixels(part, *shape[1:])
        of_a_model = None if total is None else total * (transform.parts if len(self.models) == 1 else 1)
        with self._lock:
            running = self._running_for(tuple(shape), of_a_model, images, chosen)
            batch, together, remark = running.batching(shape, of_a_model, images)
            how = (self.num_classes, self.mean, self.std, self.backend)
            return Ready(running, transform, tuple(shape), *how, batch, together, remark)

    @property
    def caveats(self) -> list[str]:
        """What was found of the model while it ran, a sentence each."""
        return list(dict.fromkeys(caveat for running in self._running.values() for caveat in running.caveats))

    def _running_for(self, shape: tuple[int, ...], total: int | None, images: int, chosen: dict[str, Any] | None) -> Running:
        """The models that run, made again where those given have changed."""
        if self.reused:
            state = self._state()
            if state != self._made_of:
                self._running, self._made_of = {}, state
                self._found = [walk.modules(one) for one in self.models]
                self.device = _device(self._asked_device, self._own())
        prepares = self._measures or self.fold or self.runtime != "torch"
        key = shape if prepares else ()
        if key not in self._running:
            self._running[key] = self._prepared(shape, total, images, chosen) if prepares else self._as_given()
        return self._running[key]

    def _own(self) -> torch.Tensor | None:
        """A tensor that says where the models are, and in which dtype."""
        return walk.first_parameter([module for of_one in self._found for module in of_one])

    def _as_given(self) -> Running:
        """The models as they are, or copies where they have to be moved or cast."""
        own, dtype = self._own(), torch.float32
        if own is not None and own.dtype in DTYPES.values():
            dtype = own.dtype
        if self._asked["dtype"] is not None:
            dtype = INPUTS[self._asked["dtype"]]
        models, modules = [], []
        for one, inside in zip(self.models, self._found, strict=True):
            models.append(_placed(one, walk.first_parameter(inside), self.device, dtype))
            modules += inside if models[-1] is one else walk.modules(models[-1])
        return Running(models, modules, self.device, dtype, self._channels_last, self._batch)

    def _prepared(self, shape: tuple[int, ...], total: int | None, images: int, chosen: dict[str, Any] | None) -> Running:
        """What preparation makes of the models for so many images of `shape`, of each of which one is shown `total` copies."""
        wanted: dict[str, Any] = self._asked | {"runtime": self.runtime, "fold": self.fold}
        if chosen is not None and (self._measures or self.runtime == AUTO):
            wanted |= {name: chosen[name] for name in ("batch", "dtype", "channels_last")}
        if chosen is not None and self.runtime == AUTO:
            ran = chosen.get("inference", {"runtime": "torch", "folded": [0]})
            wanted |= {"runtime": ran["runtime"], "fold": any(ran["folded"])}
        draws: dict[str, Any] = {"device": self.device, "total": None if self.reused else total, "images": images}
        made = []
        for part, model in enumerate(self.models):
            made.append(inference.prepare(model, shape, calibration=self._calibration_of(part), **wanted, **draws))
            wanted = {name: getattr(made[-1], name) for name in ("batch", "dtype", "channels_last")}
            wanted |= {"runtime": made[-1].record["runtime"], "fold": "fold_reason" in made[-1].record}
        first = made[0]
        models = [one.model for one in made]
        running = Running(
            models, [module for one in models for module in walk.modules(one)], self.device, INPUTS[first.dtype],
            first.channels_last, first.batch, precision=first.dtype,
        )  # fmt: skip
        running.measured = first.record["measured"]
        ran, folded = first.record["runtime"], [one.record["folded"] for one in made]
        if self.fold or ran != "torch" or any(folded):
            running.how = {"runtime": ran, "folded": folded}
            if first.dtype == INT8:
                running.how |= {"int8": [one.record["int8"]["sha256"] for one in made], "vnni": inference.has_vnni()}
                running.measured = running.measured | {"int8": [one.record["int8"] for one in made]}
            running.turns = threading.Lock()  # a runtime's buffers are for one batch at a time
        return running

    def _calibration_of(self, part: int) -> Calibration | None:
        """What a model is prepared on: copies as it is shown them."""
        given = self.calibration
        if given is None:
            return None
        if (given.mean, given.std) != (None, None) and (given.mean, given.std) != (self.mean, self.std):
            raise InvalidArgumentError("mean and std are given in the Calibration, too: leave them out there.")
        return dataclasses.replace(given, mean=self.mean, std=self.std, part=part if len(self.models) > 1 else None)

    def _state(self) -> object:
        """Something that changes when what runs must be made anew.

        Where copies run it is the models' fingerprint, since every change counts that a copy would not show: of values, also
        through `.data`, and of attributes.  Models that run themselves show their changes; a change of their tensors makes them
        be looked at again.
        """
        roots = [root_of(one) for one in self.models]
        of_one = [
            walk.modules(one) if root is None else list(root.modules()) for one, root in zip(self.models, roots, strict=True)
        ]
        modules = [module for found in of_one for module in found]
        tensors = [one for module in modules for one in (*module._parameters.values(), *module._buffers.values())]
        if self._measures or self.fold or self.runtime != "torch" or any(map(self._moves, tensors)):
            return [id(one) for one in modules], [fingerprint(root) for root in roots if root is not None]
        try:
            known = [None if one is None else (id(one), one.data_ptr(), one._version, one.device, one.dtype) for one in tensors]
        except RuntimeError:  # inference tensors have no version
            return object()
        return [id(one) for one in modules], known

    def _moves(self, tensor: torch.Tensor | None) -> bool:
        """Whether a model with this tensor is copied, to be moved or cast."""
        dtype = self._asked["dtype"]
        if tensor is None:
            return False
        if self._asked_device is not None and tensor.device != self.device:
            return True
        kept = tensor.dtype in DTYPES.values() if dtype is None else tensor.dtype == INPUTS[dtype]
        return tensor.is_floating_point() and not kept


def for_one_job(model: Model | Sequence[Model], **options: Any) -> Classifier:
    """A Classifier that is prepared for the number of draws of the job that it is made for."""
    found = Classifier(model, **options)
    found.reused = False
    return found


def as_classifier(model: Classifier | Model | Sequence[Model], num_classes: int | None, caller: str) -> Classifier:
    """The Classifier that was given, or one that runs a bare model as it is."""
    if isinstance(model, Classifier):
        if num_classes is not None and num_classes != model.num_classes:
            raise InvalidArgumentError(
                f"num_classes={checks.shown(num_classes)} and the Classifier has {model.num_classes}: leave num_classes out."
            )
        return model
    if num_classes is None:
        raise InvalidArgumentError(f"num_classes is missing: give {caller}() the number of the model's logits, or a Classifier.")
    return for_one_job(model, num_classes=num_classes)


def root_of(model: object) -> torch.nn.Module | None:
    """The module that a classifier's answers depend on, if it is known to be one."""
    root = model if isinstance(model, torch.nn.Module) else getattr(model, "rsfast_module", None)
    return root if isinstance(root, torch.nn.Module) else None


def _classes(num_classes: int) -> int:
    if isinstance(num_classes, (int, float, np.number)) and num_classes == 1:
        raise InvalidArgumentError(f"num_classes=1, which every image would be certified for: {inference.ONE_LOGIT}")
    return checks.whole("num_classes", num_classes, 2, 10**7)


def _check_progress(progress: object) -> None:
    if progress is not None and not callable(progress):
        raise InvalidArgumentError(f"progress={checks.shown(progress)} is not callable: give a function of two numbers, or None.")


def _models(model: Model | Sequence[Model], several: bool) -> list[Model]:
    """One model for all parts, or one for each."""
    models: list[Any] = list(model) if several else [model]  # type: ignore[arg-type]
    if not models:
        raise InvalidArgumentError("model is an empty sequence: give a callable that maps [N, C, H, W] to [N, K].")
    for one in models:
        if not callable(one):
            raise InvalidArgumentError(f"model is {type(one).__name__}; give a callable that maps [N, C, H, W] to [N, K].")
    return models


def _device(given: str | torch.device | None, own: torch.Tensor | None) -> torch.device:
    try:
        if isinstance(given, bool):
            raise TypeError("True and False are no devices")
        device = torch.device(given) if given is not None else own.device if own is not None else torch.device("cpu")
    except Exception as error:
        said = reason(error, 200)
        raise InvalidArgumentError(f"device={checks.shown(given)} is not known to torch ({said}): give cpu or cuda.") from None
    if device.type not in ("cpu", "cuda"):
        whose = "the model's" if given is None else "the given"
        raise InvalidArgumentError(f"{whose} device is {str(device)!r}: models are run on cpu and cuda; move it there.")
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise InvalidArgumentError(f"device={str(given)!r} was asked for and torch sees no CUDA device: give device='cpu'.")
        if device.index is None:
            device = torch.device("cuda", torch.cuda.current_device())
        if device.index >= torch.cuda.device_count():
            raise InvalidArgumentError(
                f"device={str(given)!r} is not here: torch sees {torch.cuda.device_count()} CUDA device(s)."
            )
    return device


def _placed(model: Model, own: torch.Tensor | None, device: torch.device, dtype: torch.dtype) -> Model:
    if own is None or not isinstance(model, torch.nn.Module) or (own.device == device and own.dtype == dtype):
        return model
    try:
        moved = copy.deepcopy(model)
        return moved.to(device=device, dtype=dtype)
    except Exception as error:
        raise ModelError(
            f"the model could not be copied to {device} as {dtype} ({reason(error)}): move it yourself and give its "
            "own device and dtype."
        ) from error
