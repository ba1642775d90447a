"""A driver for Triton that has no device: kernels are specialised, packed and compiled as ever, and machine.py runs their PTX.

`install()` before the first launch (or pytest -p tests.softgpu.driver, with RSFAST_TEST_GPU=soft); then `kernel[grid](...)` takes
CPU tensors, and LAUNCHES keeps what each launch did.  ptxas is left out: what it makes of every kernel tests/kernels looks at.  Kernels are cached in a folder of their own.
"""

from __future__ import annotations

import dataclasses
import os
import time
from typing import Any

import numpy as np
import torch

from .arithmetic import dtype_of
from .machine import Code, Report, Shape, launch
from .memory import Global
from .text import parse

TARGETS = (80, 90, 100)


@dataclasses.dataclass
class Launch:
    name: str
    text: str  # the PTX that was compiled
    code: Code
    shape: Shape
    seconds: float
    report: Report


LAUNCHES: list[Launch] = []
_codes: dict[str, Code] = {}
_planted: dict[str, str] = {}  # PTX -> PTX that runs in its place


def code_of(text: str) -> Code:
    text = _planted.get(text, text)
    if text not in _codes:
        _codes[text] = Code.of(parse(text))
    return _codes[text]


def plant(text: str, instead: str | None) -> None:
    """Run `instead` wherever `text` was compiled; None: `text` again."""
    _planted.pop(text, None)
    if instead is not None:
        _planted[text] = instead


class _Utils:
    @staticmethod
    def load_binary(name: str, binary: bytes, shared: int, device: int) -> tuple[Any, str, int, int, int]:
        """Triton hands the second back as the function to launch: the PTX."""
        return None, binary.decode(), 32, 0, 1024

    @staticmethod
    def get_device_properties(device: int) -> dict[str, int]:
        return {"max_shared_mem": 232448, "multiprocessor_count": 132, "warpSize": 32}


class _Launcher:
    def __init__(self, src: Any, metadata: Any) -> None:
        self.types, self.metadata, self.name = list(src.signature.values()), metadata, src.fn.__name__

    def __call__(self, x: int, y: int, z: int, *rest: Any) -> None:
        """After the grid: the stream, the function, packed metadata, launch metadata, two hooks, the kernel's arguments."""
        _, text, _, _, _, _, *arguments = rest
        given = [value for kind, value in zip(self.types, arguments, strict=True) if kind != "constexpr"]
        code, memory = code_of(text), Global()
        params = {
            name: _packed(value, kind, memory)
            for (name, kind), value in zip(code.program.params, [*given, 0, 0], strict=True)  # two pointers to scratch memory
        }
        shape, begin = Shape((x, y, z), 32 * self.metadata.num_warps, self.metadata.shared), time.perf_counter()
        report = launch(code, shape, params, memory)
        LAUNCHES.append(Launch(self.name, text, code, shape, time.perf_counter() - begin, report))


def _packed(value: Any, kind: str, memory: Global) -> bytes:
    """An argument as a kernel's parameter; a tensor as the address of its own elements and no more."""
    if isinstance(value, torch.Tensor):
        reach = 0 if value.numel() == 0 else 1 + sum((n - 1) * s for n, s in zip(value.shape, value.stride(), strict=True))
        value = memory.add(value.data_ptr(), reach * value.element_size())
    dtype = dtype_of(kind)
    if dtype.kind == "f":
        return np.array(value, dtype=dtype).tobytes()
    return (int(value or 0) % 2 ** (8 * dtype.itemsize)).to_bytes(dtype.itemsize, "little")


class Driver:
    utils = _Utils()
    launcher_cls = _Launcher

    def __init__(self, target: int) -> None:
        self.target = target

    def get_current_device(self) -> int:
        return self.target  # Triton keeps a table of compiled kernels for each device

    def get_current_stream(self, device: int) -> int:
        return 0

    def get_current_target(self) -> Any:
        from triton.backends.compiler import GPUTarget

        return GPUTarget("cuda", self.target, 32)

    def get_device_interface(self) -> None:
        return None


def install(target: int = 90) -> None:
    """Compile for sm_<target> from now on, and let the Triton backend draw into CPU tensors."""
    if os.environ.get("TRITON_INTERPRET") == "1":
        raise RuntimeError("TRITON_INTERPRET=1 is set, another way to run kernels on the CPU: start a process without it")
    from triton import knobs
    from triton.backends.nvidia.compiler import CUDABackend
    from triton.runtime import driver

    from rsfast.backends import triton as backend

    if not knobs.cache.dir.endswith("softgpu"):
        knobs.cache.dir = os.path.join(knobs.cache.dir, "softgpu")  # noqa: PTH118
    CUDABackend.make_cubin = lambda self, text, metadata, options, capability: text.encode()
    driver.set_active(Driver(target))
    backend.DEVICES = ("cuda", "cpu")


def pytest_configure() -> None:
    install()
