"""Optional libraries: what each is for, and what to do where one cannot be imported."""

from __future__ import annotations

import importlib.metadata

EXTRAS: dict[str, tuple[str, ...]] = {  # of pyproject.toml, as names of modules
    "images": ("PIL",),
    "report": ("matplotlib",),
    "demo": ("sklearn", "matplotlib"),
    "vision": ("torchvision", "timm"),
    "onnx": ("onnx", "onnxruntime", "onnxscript"),
    "openvino": ("onnx", "onnxscript", "openvino"),
    "art": ("art",),
    "attacks": ("art", "foolbox"),
    "triton": ("triton",),
}

PACKAGES = {"PIL": "pillow", "sklearn": "scikit-learn", "art": "adversarial-robustness-toolbox"}
"""What pip calls a module, where that is another name."""


def version(module: str) -> str | None:
    """The installed version of a library, None if it is missing; nothing is imported."""
    try:
        return importlib.metadata.version(PACKAGES.get(module, module))
    except importlib.metadata.PackageNotFoundError:
        return None


def advice(module: str, error: ImportError) -> str:
    """What to do about an optional library that could not be imported, without a full stop.

    A library that is interrupted while it is imported may answer with an ImportError of its own; that stays an interrupt.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        seen = seen.__cause__ or seen.__context__
    missing = error.name.partition(".")[0] if isinstance(error, ModuleNotFoundError) and error.name else None
    if missing == module:
        return f"pip install {PACKAGES.get(module, module)}"
    if missing is not None:
        return f"it is installed and needs {missing}: pip install {PACKAGES.get(missing, missing)}"
    return f"it is installed and cannot be imported ({' '.join(str(error).split())}): reinstall it with pip"
