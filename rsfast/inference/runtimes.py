"""Who runs the forward pass: torch as it is, torch.compile, a CUDA graph, or one of two CPU runtimes that take an exported copy.

A runtime is made once from a module in float32 and then asked for a callable per batch size.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from .. import extras, walk
from ..errors import BackendUnavailableError, InvalidArgumentError, ModelError, reason
from ..names import INT8
from . import artefacts, quantized
from .calibration import Calibration
from .devices import on
from .memory import is_out_of_memory
from .outputs import taken
from .probe import DTYPES, Model, difference, evaluating

RUNTIME_DTYPES = {"openvino": ("float32", "bfloat16", INT8), "onnxruntime": ("float32", INT8)}

OF_ONNX = ("onnxruntime", "onnx", "onnxscript")
CLOSE = 1e-3  # float32 logits of an exported copy, in units of the spread of torch's

ForBatch = Callable[[int], Model]


def check_runtime(runtime: str, device: torch.device, model: object, dtype: str | None) -> dict[str, str]:
    """Raise if a runtime cannot be used here; the versions of the libraries that it needs."""
    versions = {"torch": str(torch.__version__)}
    if runtime == "torch":
        return versions
    if runtime == "cudagraph":
        if device.type != "cuda":
            raise InvalidArgumentError(f"runtime='cudagraph' runs on CUDA and device is {device}: leave runtime at 'torch'.")
        return versions
    if not isinstance(model, nn.Module):
        raise InvalidArgumentError(
            f"runtime={runtime!r} takes a torch module and this model is {type(model).__name__}: leave runtime at 'torch'."
        )
    if runtime == "compile":
        return versions
    if device.type != "cpu":
        raise InvalidArgumentError(f"runtime={runtime!r} runs on the CPU and device is {device}: give device='cpu'.")
    if dtype in DTYPES and dtype not in RUNTIME_DTYPES[runtime]:
        allowed = " or ".join(name for name in RUNTIME_DTYPES[runtime] if name != INT8)
        raise InvalidArgumentError(f"dtype={dtype!r} is nothing {runtime} can compute in: give {allowed}.")
    needed = OF_ONNX if runtime == "onnxruntime" or dtype == INT8 else ("onnx", "onnxscript")
    for name in (*(("openvino",) if runtime == "openvino" else ()), *needed):
        versions[name] = str(getattr(_library(name, runtime), "__version__", "unknown"))
    return versions


def _library(name: str, runtime: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        what = extras.advice(name, error)
        raise BackendUnavailableError(f"runtime={runtime!r} needs {name}: {what}, or give runtime='torch'.") from None


def compiled(module: nn.Module, x: torch.Tensor) -> tuple[Model, bool]:
    """A module through torch.compile, in eval mode for inputs like `x`, and whether that took no break in its graph.

    Weights become constants.  The first pass compiles, which takes seconds to minutes.
    """
    options: dict[str, Any] = {"freezing": True}
    failed: Exception | None = None
    for fullgraph in (True, False):
        call = torch.compile(module, fullgraph=fullgraph, dynamic=False, options=options)
        try:
            with on(x.device), evaluating(walk.modules(module)), torch.inference_mode(), _quiet():
                call(x)
        except Exception as error:
            failed = error
            continue
        return call, fullgraph
    assert failed is not None
    raise ModelError(f"torch.compile cannot compile the model ({reason(failed)}): give runtime='torch'.") from failed


def graphed(model: Model, x: torch.Tensor) -> Model:
    """A model's forward pass in eval mode on batches like `x` as one CUDA graph: the host launches it in one call.

    Each call overwrites the logits that the call before returned.
    """
    held = torch.empty_like(x).copy_(x)
    try:
        with on(x.device), evaluating(walk.modules(model)), torch.inference_mode():
            side = torch.cuda.Stream(x.device)  # type: ignore[no-untyped-call]
            side.wait_stream(torch.cuda.current_stream(x.device))
            with torch.cuda.stream(side):
                for _ in range(3):  # what libraries allocate and choose at first must not be captured
                    model(held.detach())  # what it remembers by object is not captured
            torch.cuda.current_stream(x.device).wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, stream=side, capture_error_mode="thread_local"):  # torch's own is of one GPU for all
                logits = taken(model(held.detach()))
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise ModelError(
            f"the forward pass cannot be captured as a CUDA graph ({reason(error)}): give runtime='torch'."
        ) from error

    def call(batch: torch.Tensor) -> torch.Tensor:
        if batch.shape != held.shape or batch.dtype != held.dtype:
            raise ModelError(
                f"the CUDA graph was captured for input {list(held.shape)} {held.dtype} and was given {list(batch.shape)} "
                f"{batch.dtype}: prepare it again with this batch and dtype."
            )
        with on(held.device):
            held.copy_(batch)
            graph.replay()
        return logits

    return call


class Given(NamedTuple):
    """What is to be converted: a hash of the user's model, whether it is folded, and what makes a copy in eval mode."""

    digest: str
    folded: bool
    copy: Callable[[], nn.Module]


def exported(
    runtime: str, given: Given, x: torch.Tensor, *, channels_last: bool, calibration: Calibration | None = None,
    told: dict[str, Any] | None = None,
) -> ForBatch:  # fmt: skip
    """Callables per batch size that run an exported copy of a float32 module on the CPU with torch's number of threads.

    Parameters
    ----------
    given : Given
    x : Tensor [N, C, H, W]
        An input; its dtype is what the callables take and compute in.  They read it where it lies, without a copy.
    channels_last : bool
        Whether inputs are channels_last, or else contiguous.
    calibration : Calibration, optional
        Compute in int8, with scales from here; x is float32.
    told : dict, optional
        Takes the ONNX file that runs ("file"), and what is known of one in int8 ("card").

    Notes
    -----
    The callables return logits in memory of their own, float64 ones where the module does, else float32.
    """
    make = _openvino if runtime == "openvino" else _onnxruntime
    files = _Files(given, x, channels_last, calibration, {} if told is None else told)
    for_batch = make(files)

    def for_size(batch: int) -> Model:
        try:
            return for_batch(batch)
        except ModelError:
            raise
        except Exception as error:
            raise ModelError(
                f"{runtime} cannot take the model ({type(error).__name__}: {reason(error)}): give runtime='torch'."
            ) from error

    return for_size


class _Outside(nn.Module):
    """What a runtime sees: input in its layout in memory and its dtype, logits in float32, or float64 if they are."""

    def __init__(self, inside: nn.Module, channels_last: bool) -> None:
        super().__init__()
        self.inside = inside
        self.channels_last = channels_last

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.permute(0, 3, 1, 2) if self.channels_last else x
        logits: torch.Tensor = taken(self.inside(x.float()))
        return logits if logits.dtype == torch.float64 else logits.float()


class _Converted:
    """A model's file, for any batch if the model can be exported so, and else for one batch at a time."""

    def __init__(self, convert: Callable[[torch.Tensor, bool], bytes], x: torch.Tensor) -> None:
        self._convert, self._x = convert, x
        self._any: bytes | None = None
        self._tried = False

    def of(self, batch: int) -> bytes:
        if not self._tried:
            self._tried = True
            with contextlib.suppress(Exception):  # a batch size written into the model's code: exported again for each
                self._any = self._convert(self._of_size(max(2, len(self._x))), True)
        return self._any if self._any is not None else self._convert(self._of_size(batch), False)

    def _of_size(self, batch: int) -> torch.Tensor:
        return self._x[torch.arange(batch) % len(self._x)]


class _Files:
    """ONNX files of a model for inputs like x, for any batch or for one at a time, in int8 where there is a calibration."""

    def __init__(
        self, given: Given, x: torch.Tensor, channels_last: bool, calibration: Calibration | None, told: dict[str, Any]
    ) -> None:
        self.given, self.x, self.channels_last = given, x, channels_last
        self.calibration, self.told = calibration, told
        self._converted = _Converted(self._float if calibration is None else self._integers, _in_memory(x, channels_last))

    @functools.cached_property
    def outside(self) -> nn.Module:
        """What is exported."""
        return _Outside(self.given.copy(), self.channels_last).eval()

    def of(self, batch: int) -> bytes:
        found = self._converted.of(batch)
        self.told["file"] = found
        if self.calibration is not None:
            card = quantized.card_of(found)
            assert card is not None
            self.told["card"] = card
            quantized.refuse_unlike(card, self.calibration)
        return found

    def _float(self, example: torch.Tensor, any_batch: bool) -> bytes:
        def made() -> bytes:
            with torch.no_grad(), _quiet():
                program = torch.onnx.export(
                    self.outside, (example,), dynamo=True, verbose=False, dynamic_shapes=_dynamic(any_batch)
                )
            assert program is not None
            return program.model_proto.SerializeToString()

        return artefacts.kept(self._key(example, any_batch), made)

    def _integers(self, example: torch.Tensor, any_batch: bool) -> bytes:
        calibration = self.calibration
        assert calibration is not None

        def memory(copies: torch.Tensor) -> np.ndarray:
            return _in_memory(copies, self.channels_last).numpy()

        def made() -> bytes:
            plain = self._float(example, any_batch)
            with torch.no_grad():
                apart = difference(torch.from_numpy(_session(plain)(example.numpy())), taken(self.outside(example)))
            if apart > CLOSE:
                raise ModelError(
                    f"the exported model gives other logits than torch (by {apart:.2g} of their spread): give another dtype."
                )
            return quantized.made(plain, _session, calibration, memory, None if any_batch else len(example))

        return artefacts.kept(self._key(example, any_batch, int8=calibration.sha256), made)

    def _key(self, example: torch.Tensor, any_batch: bool, **more: Any) -> str:
        """The name of a file on disk."""
        versions = {name: _library(name, "onnxruntime").__version__ for name in ("onnx", "onnxscript")}
        batch = None if any_batch else len(example)
        made_by = {"runtime": "onnxruntime", "torch": torch.__version__, "channels_last": self.channels_last, "batch": batch}
        return artefacts.key(self.given.digest, example, made_by | {"folded": self.given.folded} | versions | more)


def _session(model: bytes) -> quantized.Session:
    """A function that runs an ONNX file on an array."""
    onnxruntime = _library("onnxruntime", "onnxruntime")
    session = onnxruntime.InferenceSession(model, session_options(onnxruntime), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: session.run(None, {name: x})[0]


def _openvino(files: _Files) -> ForBatch:
    openvino = _library("openvino", "openvino")
    x, channels_last = files.x, files.channels_last
    bfloat16 = x.dtype == torch.bfloat16
    settings = {
        "INFERENCE_PRECISION_HINT": "bf16" if bfloat16 else "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": "1",
        "INFERENCE_NUM_THREADS": str(torch.get_num_threads()),
    }
    core = openvino.Core()

    def for_batch(batch: int) -> Model:
        model = core.read_model(files.of(batch))
        shape = [batch, *_in_memory(x, channels_last).shape[1:]]
        model.reshape(shape)
        request = core.compile_model(model, "CPU", settings).create_infer_request()

        def call(batch_of: torch.Tensor) -> torch.Tensor:
            memory = _in_memory(_fitting(batch_of, batch, x, "openvino"), channels_last)
            if bfloat16:  # numpy has no bfloat16: the same bytes under another name
                tensor = openvino.Tensor(memory.view(torch.uint16).numpy(), shape, openvino.Type.bf16)
            else:
                tensor = openvino.Tensor(memory.numpy(), shared_memory=True)
            request.set_input_tensor(tensor)
            request.infer()
            return torch.from_numpy(request.get_output_tensor().data.copy())

        return call

    return for_batch


def session_options(onnxruntime: Any) -> Any:
    """Torch's number of threads, which sleep between passes: awake they would take the processors that draw the noise."""
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = torch.get_num_threads()
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return settings


def _onnxruntime(files: _Files) -> ForBatch:
    onnxruntime = _library("onnxruntime", "onnxruntime")
    settings = session_options(onnxruntime)
    x, channels_last = files.x, files.channels_last

    def for_batch(batch: int) -> Model:
        session = onnxruntime.InferenceSession(files.of(batch), settings, providers=["CPUExecutionProvider"])
        binding = session.io_binding()
        taken, returned = session.get_inputs()[0].name, session.get_outputs()[0].name

        def call(batch_of: torch.Tensor) -> torch.Tensor:
            memory = _in_memory(_fitting(batch_of, batch, x, "onnxruntime"), channels_last)
            binding.bind_input(taken, "cpu", 0, memory.numpy().dtype, list(memory.shape), memory.data_ptr())
            binding.bind_output(returned, "cpu")
            session.run_with_iobinding(binding)
            return torch.from_numpy(binding.copy_outputs_to_cpu()[0])

        return call

    return for_batch


def _dynamic(any_batch: bool) -> Any:
    return ({0: torch.export.Dim("batch")},) if any_batch else None


def _in_memory(x: torch.Tensor, channels_last: bool) -> torch.Tensor:
    """The input as it lies in memory, a contiguous tensor; a copy only if it lies otherwise than announced."""
    return (x.permute(0, 2, 3, 1) if channels_last else x).contiguous()


def _fitting(x: torch.Tensor, batch: int, like: torch.Tensor, runtime: str) -> torch.Tensor:
    wanted = (batch, *like.shape[1:])
    if tuple(x.shape) != wanted or x.dtype != like.dtype or x.device.type != "cpu":
        raise ModelError(
            f"{runtime} was prepared for input {list(wanted)} {str(like.dtype).removeprefix('torch.')} on the CPU and was given "
            f"{list(x.shape)} {str(x.dtype).removeprefix('torch.')} on {x.device}: prepare it again with this batch and dtype."
        )
    return x


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the remarks of exporters and compilers about libraries of their own; what fails still raises."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        said = io.StringIO()  # torch.export prints a graph that it cannot follow
        with warnings.catch_warnings(), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
