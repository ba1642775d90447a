"""Backends by name; the C++ one once more for each instruction set that this machine has and would not take by itself."""

from rsfast import _C, backends

LEVELS = _C.simd_levels()
NATIVE = ["native", *(f"native {level}" for level in LEVELS[:-1])]
NAMES = [*backends.BACKENDS, *NATIVE[1:]]


def backend(name):
    """The backend, its loops set to the instruction set that the name holds."""
    name, _, level = name.partition(" ")
    if name == "native":
        _C.use_simd(level or LEVELS[-1])
    return backends.get(name)
