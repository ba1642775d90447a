"""Base classifiers from exported files: ONNX through ONNX Runtime, and programs of torch.export."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import json
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from .. import extras
from ..errors import BackendUnavailableError, InvalidArgumentError, ModelError, reason
from ..files import printable
from ..hints import explained
from ..inference.quantized import CARD
from ..inference.runtimes import session_options
from .onnx_files import beside, elsewhere
from .opening import UntrustedError, archive, quietly, read, refusal
from .program import rewritten

TYPES = {
    "tensor(float)": torch.float32,
    "tensor(float16)": torch.float16,
    "tensor(bfloat16)": torch.bfloat16,
    "tensor(double)": torch.float64,
}


@explained
def from_onnx(
    model: str | Path | bytes, *, providers: Sequence[Any] | None = None, input: str | None = None, output: str | None = None
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return a base classifier [N, C, H, W] → logits [N, K] that ONNX Runtime computes.

    Parameters
    ----------
    model : path or bytes
        An ONNX model, as a file (weights may lie in files beside it) or serialized with its weights.
    providers : sequence, optional
        ONNX Runtime's execution providers; default CUDA where this build has it, then the CPU.
    input, output : str, optional
        Names of the input for images and of the output with logits; default the only ones.

    Returns
    -------
    callable
        On CPU tensors it reads the batch where it lies; CUDA tensors are read in place by the CUDA provider.  It uses torch's
        number of threads at the time of this call.

    Raises
    ------
    BackendUnavailableError
        onnxruntime is not installed.
    ModelError
        A file that cannot be read, is no model, or has several inputs or outputs and none is named.

    Examples
    --------
    cert = rs.certify(rs.models.from_onnx("net.onnx"), x, noise=rs.Gaussian(0.25), num_classes=10, batch=256)
    """
    return _Onnx(model, providers, input, output)


class _Onnx:
    """An inference session as a function of one batch."""

    def __init__(
        self, model: str | Path | bytes, providers: Sequence[Any] | None, taken: str | None, returned: str | None
    ) -> None:
        self.sha256 = onnx_sha256(model)
        try:
            runtime = importlib.import_module("onnxruntime")
        except ImportError as error:
            what = extras.advice("onnxruntime", error)
            raise BackendUnavailableError(f"ONNX models need onnxruntime: {what}.") from None
        source = model if isinstance(model, bytes) else str(model)  # by name, for weights in files beside it
        settings = session_options(runtime)
        settings.log_severity_level = 4  # what fails raises
        wanted = ["CUDAExecutionProvider", "CPUExecutionProvider"] if providers is None else list(providers)
        if providers is None:
            wanted = [name for name in wanted if name in runtime.get_available_providers()]
        try:
            self._session: Any = runtime.InferenceSession(source, settings, providers=wanted, enable_fallback=0)
        except Exception as error:
            raise ModelError(f"ONNX Runtime cannot load the model ({type(error).__name__}): {reason(error)}.") from error
        self._input = _chosen(self._session.get_inputs(), taken, "input")
        self._output = _chosen(self._session.get_outputs(), returned, "output")
        if self._input.type not in TYPES:
            raise ModelError(
                f"input {self._input.name!r} takes {self._input.type}: a base classifier takes floating-point images."
            )
        self._cuda = "CUDAExecutionProvider" in self._session.get_providers()

    @property
    def card(self) -> dict[str, Any] | None:
        """What `rsfast prepare` wrote into the file."""
        with contextlib.suppress(ValueError, TypeError, AttributeError):
            found = json.loads(self._session.get_modelmeta().custom_metadata_map.get(CARD, ""))
            return found if isinstance(found, dict) else None
        return None

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        fixed = self._input.shape[0] if self._input.shape else None
        if isinstance(fixed, int) and fixed != len(x):
            raise ModelError(f"the ONNX model was exported for batches of {fixed} and was given {len(x)}: give batch={fixed}.")
        where = "cuda" if x.device.type == "cuda" and self._cuda else "cpu"
        batch = x.detach().to(device=None if where == "cuda" else "cpu", dtype=TYPES[self._input.type]).contiguous()
        if batch.dtype == torch.bfloat16:
            raise ModelError("ONNX Runtime's Python interface cannot read bfloat16 images: export the model for float32.")
        kind = {torch.float32: "float32", torch.float16: "float16", torch.float64: "float64"}[batch.dtype]
        if where == "cuda":
            torch.cuda.current_stream(batch.device).synchronize()  # the session runs on a stream of its own
        binding = self._session.io_binding()
        index = batch.device.index or 0
        binding.bind_input(self._input.name, where, index, _numpy_dtype(kind), list(batch.shape), batch.data_ptr())
        binding.bind_output(self._output.name, "cpu")
        self._session.run_with_iobinding(binding)
        return torch.from_numpy(binding.copy_outputs_to_cpu()[0]).to(x.device)


def onnx_sha256(model: str | Path | bytes) -> str:
    """Return the sha256 of a model and of the files that hold its weights.

    Raises
    ------
    ModelError
        It cannot be read, is no model, or names weights that do not lie in its folder.
    """
    if not isinstance(model, (str, Path, bytes)):
        raise InvalidArgumentError(
            f"model is {type(model).__name__}: give an ONNX file's name, or the model serialized as bytes."
        )
    data = read(model)
    try:
        locations = elsewhere(data)
    except ValueError as error:
        name = "these bytes are" if isinstance(model, bytes) else f"{printable(str(model))} is"
        raise ModelError(f"ONNX Runtime cannot load the model: {name} no ONNX file, or damaged ({error}).") from None
    if isinstance(model, bytes) and locations:
        raise ModelError("the ONNX model's weights lie in other files: give the file's name, or serialize it with its weights.")
    digest = hashlib.sha256(data)
    for location in locations:
        file = beside(Path(str(model)), location)
        if location != f"{Path(str(model)).name}.data":  # of torch's exporter
            digest.update(location.encode())
        digest.update(hashlib.sha256(read(file)).digest())
    return digest.hexdigest()


def _numpy_dtype(name: str) -> Any:
    import numpy as np

    return np.dtype(name)


def _chosen(found: Sequence[Any], name: str | None, what: str) -> Any:
    names = [one.name for one in found]
    if name is None and len(found) == 1:
        return found[0]
    if name not in names:
        if not names:
            raise ModelError(
                f"the ONNX model has no {what}s: export it with one for {'images' if what == 'input' else 'logits'}."
            )
        given = "and none was named" if name is None else f"and {name!r} is none of them"
        raise ModelError(f"the ONNX model has the {what}s {', '.join(names)}, {given}: give {what}=NAME.")
    return found[names.index(name)]


@explained
def from_exported(
    program: torch.export.ExportedProgram | str | Path, *, trust: bool = False
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return a base classifier from a program of torch.export, or from a .pt2 file of one.

    Exported programs are in the mode that they were exported in: export `model.eval()`.  One that was exported for a fixed batch
    takes `batch=` that many.

    Parameters
    ----------
    program : ExportedProgram or path
    trust : bool
        Whether code that the file holds or names may run.  Without it a file is opened only if it holds nothing but tensors and
        a graph of ATen's operators (SECURITY.md).

    Raises
    ------
    InvalidArgumentError
        Neither a program nor a path.
    ModelError
        A file that cannot be read, is no such program, or is refused because it is not trusted.
    """
    if isinstance(program, (str, Path)):
        program = _opened(program, trust)
    if not isinstance(program, torch.export.ExportedProgram):
        raise InvalidArgumentError(f"program is {type(program).__name__}: give what torch.export.export returns, or a .pt2 file.")
    try:
        with quietly():
            return Exported(program.module())
    except Exception as error:
        raise ModelError(f"the exported program cannot be run ({type(error).__name__}): {reason(error)}.") from error


def _opened(path: str | Path, trust: bool) -> torch.export.ExportedProgram:
    """The program in a file, which runs none of the file's code while it is read unless that is trusted."""
    data = read(path)
    name = printable(str(path))
    try:
        archive(data)
        data = data if trust else rewritten(data)
        with quietly():
            return torch.export.load(io.BytesIO(data))
    except UntrustedError as error:
        raise refusal(path, str(error)) from None
    except zipfile.BadZipFile as error:
        raise ModelError(f"{name} is not a torch.export file: it is {error}.") from None
    except Exception as error:
        raise ModelError(f"{name} is not a torch.export file ({type(error).__name__}): {reason(error)}.") from error


class Exported:
    """An exported program is called as a function: it is already in the mode it was exported in."""

    def __init__(self, module: torch.nn.Module) -> None:
        self.module = module

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return self.module(x)
