"""`prepare`: from a user's classifier to the one that runs, with a record of every choice."""

from __future__ import annotations

import hashlib
import io
import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from .. import checks, walk
from ..errors import InvalidArgumentError, ModelError, reason
from ..names import AUTO, INT8, RUNTIMES
from . import artefacts, batching, choosing
from .calibration import Calibration, check_integers
from .company import examine
from .devices import on
from .fold import Folded, fold_batch_norms
from .memory import halving, is_out_of_memory
from .placing import WithTf32, copied, fast_dtypes, image_shape, named_device
from .probe import DTYPES, INPUTS, Model, Rows, difference, evaluating, logits_of, tf32_flags
from .runtimes import RUNTIME_DTYPES, ForBatch, Given, check_runtime, compiled, exported, graphed

MOST_PROBED = 64
FEW = 16  # noisy copies that a model is tried on
WRONG = {"float32": 1e-3, "bfloat16": 0.25, "float16": 0.25, INT8: math.inf}
"""Logits of another runtime that are further apart than this, in units of their spread, are a faulty conversion.

Of int8 the classes are compared instead (`quantized`), and the logits of the float32 file that it is made from."""


@dataclass(frozen=True)
class Prepared:
    """A classifier that is ready to run.

    Parameters
    ----------
    model : callable
        [batch, C, H, W] in `dtype` and layout → logits [batch, K] in a floating-point dtype.  Made from a copy: later changes
        to your module are not seen, unless there was nothing to prepare.
    dtype : str
        "float32", "bfloat16" or "float16": of the input and the weights; "int8", whose input is float32.
    channels_last : bool
        Memory layout of the input and the weights.
    batch : int
        Images per forward pass.
    record : dict
        JSON-able.  What the logits depend on: runtime, device, dtype, channels_last, batch, folded (number of batch norms),
        tf32, threads, versions.  What was found: fold_reason, difference and same_class (against the model as it was given),
        halved_from, measured (images per second), int8 (the card of the file: agreement of classes with the model in floating
        point, what it was calibrated with, and its sha256).
    onnx : bytes or None
        The file that ONNX Runtime runs, or OpenVINO in int8.
    """

    model: Model
    dtype: str
    channels_last: bool
    batch: int
    record: dict[str, Any]
    onnx: bytes | None = None

    def arguments(self) -> dict[str, Any]:
        """The explicit choices: given to `prepare` they make the same classifier again, with nothing measured."""
        chosen = {name: self.record[name] for name in ("runtime", "dtype", "channels_last", "batch")}
        uses = self.record["tf32"] or [None]  # of two kinds of products; torch's own setting where they differ
        return chosen | {"fold": self.record["folded"] > 0, "tf32": uses[0] if len(set(uses)) == 1 else None}


def prepare(
    model: Model,
    shape: Sequence[int],
    *,
    device: str | torch.device | None = None,
    dtype: str | None = None,
    channels_last: bool | None = None,
    fold: bool = False,
    runtime: str = "torch",
    batch: int | str | None = None,
    calibration: torch.Tensor | Calibration | None = None,
    total: int | None = None,
    images: int = 1,
    tf32: bool | None = None,
    seconds: float = 1.0,
) -> Prepared:
    """Prepare a base classifier to run at its best.

    Parameters
    ----------
    model : callable
        [N, C, H, W] → logits [N, K], a row's logits independent of the others.  Only a torch module can be cast, folded or
        given to another runtime.  It is not changed.
    shape : (C, H, W)
        Of one input.
    device : str or torch.device, optional
        Default: where the model is.
    dtype : str, optional
        "float32", "bfloat16" or "float16"; "auto" measures float32, bfloat16 where the hardware computes in it, and float16
        on CUDA; default the model's own (float32 for a model in float64).  "int8" needs a Calibration and one of the runtimes
        "onnxruntime", "openvino" and "auto".
    channels_last : bool, optional
        Memory layout; by default measured with dtype="auto" and else False.
    fold : bool
        Fold batch norms into the layers before them, if the logits on `calibration` stay the same (`fold_batch_norms`).
    runtime : str
        "torch"; "compile" (torch.compile, seconds to minutes for the first pass); "cudagraph" (one launch for a forward pass);
        "openvino" or "onnxruntime" (CPU, extras).  With the second and third, what is measured is measured without them.
        "auto" tries all of these that are installed (with dtype="int8" the two that compute in it), folded and in both layouts,
        within `choosing.BUDGET` seconds or a share of a long run, leaves out what takes longer to prepare than all copies take,
        and returns the fastest whose logits agree; the record says what was tried.
    batch : int, "auto" or None
        Images per forward pass; "auto" measures (`best_batch`); by default by image size (`default_batch`).
    calibration : Tensor [N, C, H, W] or Calibration, optional
        Noisy inputs as the model is shown them, normalised; at most 64 are used.  Default: uniform pixels with noise.
    total : int, optional
        Copies drawn per image: no larger batch is measured.
    images : int
        With runtime="auto": how many images of `total` copies are to come.
    tf32 : bool, optional
        On CUDA: float32 products in TF32 or not while the model runs; default as torch is set, which is recorded.
    seconds : float
        Roughly how long each measurement may take: one for dtype and layout, one for the batch.

    Raises
    ------
    InvalidArgumentError
        An argument is not known or does not fit another.
    BackendUnavailableError
        The runtime is not installed.
    ModelError
        The model raises, does not return [N, K], draws random numbers, mixes the rows of a batch, cannot be converted, or
        does not fit in memory with the batch that was given.
    """
    with torch.inference_mode(False):
        if isinstance(runtime, str) and runtime == AUTO:
            place = _Place(device, "onnxruntime" if dtype == INT8 else "torch", dtype, tf32)
            first = _Preparation(model, shape, place, calibration, total, seconds)
            return _fastest_of_all(first, place, (channels_last, batch), checks.whole("images", images, 1))
        place = _Place(device, runtime, dtype, tf32)
        preparation = _Preparation(model, shape, place, calibration, total, seconds)
        with on(preparation.device):
            return preparation.run(channels_last, fold, batch)


def _fastest_of_all(first: _Preparation, place: _Place, asked: tuple[bool | None, int | str | None], images: int) -> Prepared:
    """The model in whatever runs it fastest here, its logits being the same (in int8: whatever runs the same file fastest)."""
    channels_last, batch = asked
    draws = None if first.total is None else first.total * images

    def one(way: choosing.Way) -> Prepared:
        here = place._replace(runtime=way.options["runtime"])
        layout = way.options.get("channels_last", channels_last) if channels_last is None else channels_last
        made = _Preparation(first.model, first.shape, here, first.calibration or first.rows.values, first.total, first.seconds)
        made.foldings = first.foldings
        return made.run(layout, way.options["fold"], batch)

    def rate(prepared: Prepared) -> float:
        x = first.rows.take(prepared.batch, INPUTS[prepared.dtype], first.device, channels_last=prepared.channels_last)
        with evaluating(walk.modules(prepared.model)):
            elapsed = batching.duration({0: lambda: logits_of(prepared.model, x)}, first.seconds / 2, first.device)[0]
        return prepared.batch / max(elapsed, 1e-9)

    def agree(prepared: Prepared) -> bool:
        apart = prepared.record["difference"]
        return apart is not None and apart <= max(WRONG[prepared.dtype], WRONG[first.own])

    integer = place.dtype == INT8
    ways = choosing.INTEGERS if integer else [choosing.AS_GIVEN, *choosing.WAYS.get(first.device.type, [])]
    return choosing.fastest(one, rate, ways=ways, draws=None if integer else draws, agree=agree)


def _libraries(modules: Sequence[nn.Module]) -> dict[str, str]:
    """Versions of the packages that the classes of modules, and what they inherit from, are defined in."""
    names = {cls.__module__.partition(".")[0] for module in modules for cls in type(module).__mro__}
    found = {name: getattr(sys.modules.get(name), "__version__", None) for name in names}
    return {name: str(version) for name, version in found.items() if version is not None}


class _Place(NamedTuple):
    """Where and in what a model is asked to run."""

    device: str | torch.device | None
    runtime: str
    dtype: str | None
    tf32: bool | None


class _Preparation:
    def __init__(
        self,
        model: Model,
        shape: Sequence[int],
        place: _Place,
        calibration: torch.Tensor | Calibration | None,
        total: int | None,
        seconds: float,
    ) -> None:
        device, runtime, dtype, tf32 = place
        if not callable(model):
            raise InvalidArgumentError(f"model is {type(model).__name__}; give a callable that maps [N, C, H, W] to [N, K].")
        self.model = model
        self.shape = image_shape(shape)
        self.runtime = checks.choice("runtime", runtime, RUNTIMES)
        self.total = None if total is None else checks.whole("total", total, 1)
        self.seconds = float(checks.floats("seconds", seconds, 0.0, 3600.0, "seconds from 0 to 3600"))
        if dtype is not None:
            checks.choice("dtype", dtype, ("auto", *INPUTS))
        self.modules = walk.modules(model)
        own = walk.first_parameter(self.modules)
        self.own_device = own.device if own is not None else torch.device("cpu")
        self.own_dtype = own.dtype if own is not None else torch.float32
        self.device = self.own_device if device is None else named_device(device)
        self.own = next((name for name, kind in DTYPES.items() if kind == self.own_dtype), "float32")
        self.tf32, self.dtype = tf32, dtype
        if tf32 is not None and self.device.type != "cuda":
            raise InvalidArgumentError(f"tf32={tf32} is for CUDA and device is {self.device}: leave tf32 out.")
        self.calibration = calibration if isinstance(calibration, Calibration) else None
        if dtype == INT8:
            check_integers(runtime, self.calibration)
        self.versions = check_runtime(self.runtime, self.device, model, dtype)
        if self.runtime in RUNTIME_DTYPES and dtype is None and self.own not in RUNTIME_DTYPES[self.runtime]:
            raise InvalidArgumentError(
                f"the model is in {self.own}, which {self.runtime} does not compute in: give dtype="
                f"{' or '.join(map(repr, RUNTIME_DTYPES[self.runtime]))}."
            )
        self.rows = Rows(self.shape, calibration.inputs(FEW) if isinstance(calibration, Calibration) else calibration)
        self.told: dict[str, Any] = {}
        self._hashed: str | None = None
        self.fullgraph: bool | None = None
        self.foldings: list[Folded] = []  # one, once it has been folded

    def run(self, channels_last: bool | None, fold: bool, batch: int | str | None) -> Prepared:
        explicit = None if batch is None or batch == "auto" else checks.whole("batch", batch, 1, 2**24)
        self._look(explicit)
        folds = self._fold_when_converted if self.runtime in RUNTIME_DTYPES else self._once_folded
        self.folded = folds() if fold else Folded(nn.Identity(), 0)
        measured: dict[str, Any] = {}
        choices = self._choices(self.dtype, channels_last)
        chosen = choices[0] if len(choices) == 1 else self._fastest(choices, explicit, measured)
        make = self._maker(*chosen, measuring=True)
        if explicit is not None:
            size = explicit
        elif batch == "auto":
            size = self._best_batch(make, *chosen, measured)
        else:
            size = batching.default_batch(math.prod(self.shape), self.total or 2**20, self.device.type)
        if self.runtime in ("compile", "cudagraph"):
            make = self._maker(*chosen)
        return self._finish(make, *chosen, size, explicit is not None, fold, measured)

    def _look(self, explicit: int | None) -> None:
        """Logits of the model as it was given; raises if it is none that can be certified.

        Where what is converted is kept on disk, so is this.
        """

        def looked() -> bytes:
            file = io.BytesIO()
            logits = self._looked(explicit).cpu()
            np.save(file, (logits if logits.dtype == torch.float64 else logits.float()).numpy(), allow_pickle=False)
            return file.getvalue()

        if self.runtime in RUNTIME_DTYPES:
            found = np.load(io.BytesIO(artefacts.kept(self._key("look"), looked)), allow_pickle=False)
            self.expected = torch.from_numpy(found)
        else:
            self.expected = self._looked(explicit)

    def _key(self, what: str) -> str:
        """The name of what is known of the model on these rows."""
        rows = hashlib.sha256(self.rows.values.numpy().tobytes()).hexdigest()
        made_by = {"known": what, "rows": rows, "torch": torch.__version__}
        return artefacts.key(self._digest(), self.rows.values[:1].to(self.own_dtype), made_by)

    def _digest(self) -> str:
        """A hash of the model as it was given, and of the versions of the libraries that its layers come from."""
        if self._hashed is None:
            assert isinstance(self.model, nn.Module)
            self._hashed = walk.digest(self.model, json.dumps(_libraries(self.modules), sort_keys=True))
        return self._hashed

    def _looked(self, explicit: int | None) -> torch.Tensor:
        with on(self.own_device), evaluating(self.modules), torch.inference_mode():
            x = self.rows.take(min(len(self.rows), MOST_PROBED), self.own_dtype, self.own_device)
            try:
                expected = logits_of(self.model, x)
            except ModelError:
                if explicit is None or explicit == len(x):
                    raise
                x = self.rows.take(explicit, self.own_dtype, self.own_device)  # an export can insist on its batch
                expected = logits_of(self.model, x)
            expected = expected.clone()

            def refill() -> torch.Tensor:
                return x.copy_(self.rows.take(len(x), self.own_dtype, self.own_device))

            if examine(lambda batch: logits_of(self.model, batch), refill, x, expected, self.own) is not None:
                raise ModelError(
                    "the model gives different logits for the same batch: it draws random numbers or keeps state, and what "
                    "is prepared is compared with it. Make its forward pass deterministic, or leave out dtype='auto', fold and "
                    "runtime."
                )
            return expected

    def _once_folded(self) -> Folded:
        if not self.foldings:
            self.foldings.append(self._fold())
        return self.foldings[0]

    def _fold(self) -> Folded:
        if not isinstance(self.model, nn.Module):
            return Folded(nn.Identity(), 0, "it is not a torch module")
        try:
            original = copied(self.model, self.device, torch.float32, False)
        except ModelError as error:
            return Folded(nn.Identity(), 0, reason(error))
        x = self.rows.take(len(self.expected), torch.float32, self.device)
        return fold_batch_norms(original, x)

    def _fold_when_converted(self) -> Folded:
        """What folding comes to, without folding where what was made of it is on disk."""

        def verdict() -> bytes:
            found = self._once_folded()
            return json.dumps([found.count, found.reason]).encode()

        count, why = json.loads(artefacts.kept(self._key("fold"), verdict))
        return Folded(nn.Identity(), count, why)

    def _choices(self, dtype: str | None, channels_last: bool | None) -> list[tuple[str, bool]]:
        """Dtypes and layouts to measure; the first is the one that wins a tie."""
        dtypes = [self.own if dtype in (None, "auto") else str(dtype)]
        if dtype == "auto" and isinstance(self.model, nn.Module):
            fast = ["float32", *fast_dtypes(self.device)]
            possible = RUNTIME_DTYPES.get(self.runtime, tuple(DTYPES))
            dtypes = [name for name in dict.fromkeys([*dtypes, *fast]) if name in possible]
        layouts = [bool(channels_last)] if channels_last is not None or dtype != "auto" else [False, True]
        return [(name, layout) for name in dtypes for layout in layouts]

    def _maker(self, dtype: str, channels_last: bool, *, measuring: bool = False) -> ForBatch:
        """A callable for each batch size; `measuring` leaves out compiling and capturing."""
        if self.runtime in RUNTIME_DTYPES:
            x = self.rows.take(2, INPUTS[dtype], self.device, channels_last=channels_last)
            integers = self.calibration if dtype == INT8 else None
            given = Given(self._digest(), self.folded.count > 0, self._to_export)
            return exported(self.runtime, given, x, channels_last=channels_last, calibration=integers, told=self.told)
        placed = self._placed(dtype, channels_last)
        model: Model = placed if self.tf32 is None else WithTf32(placed, self.tf32)
        if self.runtime == "torch" or measuring:
            return lambda batch: model

        def compiling(batch: int) -> Model:
            x = self.rows.take(batch, DTYPES[dtype], self.device, channels_last=channels_last)
            if self.runtime == "cudagraph":
                return graphed(model, x)
            assert isinstance(placed, nn.Module)
            call, self.fullgraph = compiled(placed, x)
            return call if self.tf32 is None else WithTf32(call, self.tf32)

        return compiling

    def _to_export(self) -> nn.Module:
        """A copy of the (folded) model in float32."""
        source = self._once_folded().module if self.folded.count else self.model
        assert isinstance(source, nn.Module)
        return copied(source, self.device, torch.float32, False)

    def _placed(self, dtype: str, channels_last: bool) -> Model:
        """The (folded) model on the device in a dtype and layout; the user's own object if that changes nothing."""
        if self.folded.count:
            return copied(self.folded.module, self.device, DTYPES[dtype], channels_last)
        if not isinstance(self.model, nn.Module):
            return self.model
        same = (self.own_device, self.own_dtype) == (self.device, DTYPES[dtype]) and not channels_last
        if same and not any(module.training for module in self.modules):
            return self.model
        return copied(self.model, self.device, DTYPES[dtype], channels_last)

    def _pass(self, make: ForBatch, dtype: str, channels_last: bool, size: int) -> Callable[[], torch.Tensor]:
        model = make(size)
        x = self.rows.take(size, INPUTS[dtype], self.device, channels_last=channels_last)
        return lambda: logits_of(model, x)

    def _fastest(self, choices: list[tuple[str, bool]], explicit: int | None, measured: dict[str, Any]) -> tuple[str, bool]:
        sizes = batching.candidate_batches(math.prod(self.shape), self.total, self.device.type)
        size = explicit or max(size for size in sizes if size <= max(64, sizes[0]))
        calls: dict[tuple[str, bool], Callable[[], object]] = {}
        rows: dict[tuple[str, bool], dict[str, Any]] = {}
        for dtype, channels_last in choices:
            rows[dtype, channels_last] = row = {"dtype": dtype, "channels_last": channels_last}
            try:
                call = self._pass(self._maker(dtype, channels_last, measuring=True), dtype, channels_last, size)
                with evaluating(self.modules), torch.inference_mode():
                    logits = call()
            except Exception as error:
                if not isinstance(error, ModelError) and not is_out_of_memory(error):
                    raise
                row["skipped"] = reason(error)
                continue
            if bool(self.expected.isfinite().all()) and not bool(logits.isfinite().all()):
                row["skipped"] = "logits are not finite"
                continue
            calls[dtype, channels_last] = call
        if not calls:
            reasons = "; ".join(f"{row['dtype']}: {row['skipped']}" for row in rows.values())
            raise ModelError(f"the model runs in no dtype that was tried ({reasons}).")
        with evaluating(self.modules):
            for choice, elapsed in batching.duration(calls, self.seconds, self.device).items():
                rows[choice]["images_per_second"] = size / max(elapsed, 1e-9)
        measured["dtypes"] = {"batch": size, "tried": list(rows.values())}
        best = max(rows[choice]["images_per_second"] for choice in calls)
        return next(choice for choice in calls if rows[choice]["images_per_second"] >= (1 - batching.TIE) * best)

    def _best_batch(self, make: ForBatch, dtype: str, channels_last: bool, measured: dict[str, Any]) -> int:
        sizes = batching.candidate_batches(math.prod(self.shape), self.total, self.device.type)
        with evaluating(self.modules):
            rates = batching.batch_rates(
                lambda size: self._pass(make, dtype, channels_last, size),
                sizes,
                total=self.total,
                seconds=self.seconds,
                device=self.device,
            )
        measured["batches"] = {str(size): rate for size, rate in rates.items()}
        return batching.fastest_batch(rates)

    def _finish(
        self,
        make: ForBatch,
        dtype: str,
        channels_last: bool,
        size: int,
        explicit: bool,
        fold: bool,
        measured: dict[str, Any],
    ) -> Prepared:
        def attempt(batch: int) -> tuple[Model, torch.Tensor]:
            x = self.rows.take(batch, INPUTS[dtype], self.device, channels_last=channels_last)
            with evaluating(self.modules):
                model = make(batch)
                with torch.inference_mode():
                    return model, logits_of(model, x)

        if explicit:
            try:
                (model, logits), batch = attempt(size), size
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                raise ModelError(f"a batch of {size} does not fit in memory: give a smaller one, or batch='auto'.") from error
        else:
            (model, logits), batch = halving(attempt, size)
        compared = min(len(logits), len(self.expected))
        logits, expected = logits[:compared].double().cpu(), self.expected[:compared].double().cpu()
        apart = difference(logits, expected)
        if self.runtime != "torch" and apart > max(WRONG[dtype], WRONG[self.own]):
            raise ModelError(
                f"{self.runtime} gives other logits than torch (they differ by {apart:.2g} of their spread): give "
                "runtime='torch'."
            )
        record = {
            "runtime": self.runtime,
            "device": self.device.type,
            "dtype": dtype,
            "channels_last": channels_last,
            "batch": batch,
            "folded": self.folded.count,
            "tf32": self._tf32_in_force(),
            "threads": torch.get_num_threads() if self.device.type == "cpu" else None,
            "versions": self.versions,
            "difference": apart if math.isfinite(apart) else None,
            "same_class": float((logits.argmax(1) == expected.argmax(1)).double().mean()),
            "measured": measured,
        }
        if "card" in self.told:
            record["int8"] = self.told["card"]
        if fold:
            record["fold_reason"] = self.folded.reason
        if batch != size:
            record["halved_from"] = size
        if self.runtime == "compile":
            record["fullgraph"] = self.fullgraph
        return Prepared(model, dtype, channels_last, batch, record, self.told.get("file"))

    def _tf32_in_force(self) -> list[bool] | None:
        """Whether convolutions and matrix products use it; None on a CPU."""
        if self.device.type != "cuda":
            return None
        if self.tf32 is not None:
            return [self.tf32, self.tf32]
        flags = tf32_flags()
        return None if flags is None else list(flags)
