"""A model's fingerprint: what must be equal for two runs to be of the same base classifier."""

from __future__ import annotations

import hashlib
import inspect
from types import FunctionType

import torch


def fingerprint(model: object, origin: str = "") -> str:
    """sha256, as 64 hex digits, of what can be seen of a model, and of `origin`.

    For a torch module: structure, parameters and buffers.  For a function: its code, and the modules and tensors that it
    holds on to.  For another callable: its class's source code.
    """
    digest = hashlib.sha256(origin.encode())
    _add(digest, model)
    return digest.hexdigest()


def _add(digest: hashlib._Hash, value: object) -> None:
    if isinstance(value, torch.nn.Module):
        digest.update(f"{type(value).__qualname__}\n{value}\n".encode())
        for name, tensor in sorted(value.state_dict().items()):
            digest.update(f"{name}\n".encode())
            _add(digest, tensor)
    elif isinstance(value, torch.Tensor):
        data = value.detach().cpu().contiguous()
        digest.update(f"{data.dtype} {tuple(data.shape)}\n".encode())
        digest.update(data.reshape(-1).view(torch.uint8).numpy().tobytes() if data.numel() else b"")
    elif inspect.isfunction(value):
        digest.update(value.__code__.co_code + repr(value.__code__.co_names).encode() + _source(value))
        for cell in value.__closure__ or ():
            if isinstance(cell.cell_contents, (torch.nn.Module, torch.Tensor)):
                _add(digest, cell.cell_contents)
    else:
        digest.update(_source(type(value)))


def _source(value: type | FunctionType) -> bytes:
    try:
        return inspect.getsource(value).encode()
    except (OSError, TypeError):
        return repr(value.__qualname__).encode()
