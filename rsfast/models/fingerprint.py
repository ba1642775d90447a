"""A model's fingerprint: what must be equal for two runs to be of the same base classifier."""

from __future__ import annotations

import hashlib
import inspect

import torch


def fingerprint(model: object, origin: str = "") -> str:
    """sha256, as 64 hex digits, of a model's structure, parameters and buffers, and of `origin`.

    For a callable without parameters: of `origin` and its source code, where Python can show it.
    """
    digest = hashlib.sha256(origin.encode())
    if isinstance(model, torch.nn.Module):
        digest.update(f"{type(model).__qualname__}\n{model}\n".encode())
        for name, value in sorted(model.state_dict().items()):
            if isinstance(value, torch.Tensor):
                data = value.detach().cpu().contiguous()
                digest.update(f"{name} {data.dtype} {tuple(data.shape)}\n".encode())
                digest.update(data.reshape(-1).view(torch.uint8).numpy().tobytes() if data.numel() else b"")
    else:
        try:
            source = inspect.getsource(model if callable(model) and hasattr(model, "__code__") else type(model))
        except (OSError, TypeError):
            source = repr(type(model))
        digest.update(source.encode())
    return digest.hexdigest()
