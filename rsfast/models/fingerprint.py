"""A model's fingerprint: what must be equal for two runs to be of the same base classifier."""

from __future__ import annotations

import hashlib

import numpy as np
import torch

from .. import walk


def fingerprint(model: object, origin: str = "") -> str:
    """Return the sha256, as 64 hex digits, of everything that `rsfast.walk.parts` finds in a model, and of `origin`.

    Parameters, buffers, attributes, structure and the user's own source code count; library code counts by name only, and
    objects written in C by their type: weights hidden there are not seen.
    """
    digest = hashlib.sha256(origin.encode())
    for path, part in walk.parts(model):
        if isinstance(part, str):
            digest.update(f"{path}: {part}\n".encode())
        else:
            data = part.detach().cpu() if isinstance(part, torch.Tensor) else part
            digest.update(f"{path}: {data.dtype} {tuple(data.shape)}\n".encode())
            digest.update(_bytes(data))
    return digest.hexdigest()


def _bytes(data: torch.Tensor | np.ndarray) -> bytes:
    if isinstance(data, np.ndarray):
        return np.ascontiguousarray(data).tobytes()
    if data.numel() == 0:
        return b""
    if data.layout != torch.strided or data.is_quantized or data.device.type == "meta":
        return str(data).encode()
    return data.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
