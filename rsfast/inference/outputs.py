"""What a model returns: logits, or something that holds them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ..errors import ModelError


def taken(returned: Any) -> Any:
    """The logits in what a model returned; anything else as it is.

    A tensor; an object with `.logits` (as of the transformers library); a mapping with "logits"; a tuple or list whose first
    entry they are.
    """
    if isinstance(returned, torch.Tensor):
        return returned
    found = getattr(returned, "logits", None)
    if not isinstance(found, torch.Tensor) and isinstance(returned, Mapping):
        found = returned.get("logits")
    if not isinstance(found, torch.Tensor) and isinstance(returned, (tuple, list)) and returned:
        found = returned[0]
    return found if isinstance(found, torch.Tensor) else returned


def checked(logits: Any, returned: Any, copies: int, device: torch.device, classes: int | None = None) -> torch.Tensor:
    """Logits [N, K] that were `taken` from what a model returned for N copies on a device; ModelError if they are none."""
    wanted = f"[{copies}, {'classes' if classes is None else classes}]"
    if not isinstance(logits, torch.Tensor) or logits.is_nested or logits.ndim != 2 or len(logits) != copies:
        raise ModelError(
            f"the model returned {described(returned)} for a batch of {copies}: it must return logits {wanted}, as a tensor, in "
            f'.logits, under "logits", or first in a tuple or list. {_advice(returned, copies)}'
        )
    if not logits.is_floating_point():
        raise ModelError(f"the model returned {logits.dtype}: it must return floating-point logits.")
    if logits.layout != torch.strided:
        raise ModelError("the model returned sparse logits: return logits.to_dense().")
    if logits.device != device:
        raise ModelError(f"the model returned logits on {logits.device} for input on {device}: it must return them there.")
    if classes is not None and logits.shape[1] != classes:
        raise ModelError(
            f"the model returns {logits.shape[1]} logits an image and num_classes={classes}: "
            + (ONE_LOGIT if logits.shape[1] == 1 else f"give num_classes={logits.shape[1]}.")
        )
    return logits


ONE_LOGIT = (
    "one logit is not two classes. For a score z [N, 1] whose sign decides, return torch.cat([-z, z], 1), for a probability p "
    "torch.cat([1 - p, p], 1), and give num_classes=2."
)


def described(returned: Any) -> str:
    """What a model returned, in a few words."""
    if isinstance(returned, torch.Tensor):
        return "a nested tensor" if returned.is_nested else str(list(returned.shape))
    if isinstance(returned, np.ndarray):
        return f"a NumPy array {list(returned.shape)}"
    if isinstance(returned, (tuple, list)):
        entries = [described(one) if isinstance(one, torch.Tensor) else type(one).__name__ for one in returned[:3]]
        more = ", …" if len(returned) > 3 else ""
        return f"{type(returned).__name__} of {', '.join(entries) or 'nothing'}{more}"
    if isinstance(returned, Mapping):
        keys = [repr(key) for key in list(returned)[:5]]
        return f"{type(returned).__name__} with {', '.join(keys) or 'nothing'}" + (", …" if len(returned) > 5 else "")
    return type(returned).__name__


def _advice(returned: Any, copies: int) -> str:
    if isinstance(returned, np.ndarray):
        return "Return torch.from_numpy(logits)."
    if isinstance(returned, torch.Tensor) and not returned.is_nested and returned.ndim == 1 and len(returned) == copies:
        return "Of one score z for each copy return torch.stack([-z, z], 1), of a probability p torch.stack([1 - p, p], 1)."
    entries: list[tuple[Any, Any]] = []
    if isinstance(returned, Mapping):
        entries = list(returned.items())
    elif isinstance(returned, (tuple, list)):
        entries = list(enumerate(returned))
    for key, entry in entries:
        if isinstance(entry, torch.Tensor) and entry.ndim == 2 and len(entry) == copies:
            return f"If entry {key!r} holds them, give lambda x: model(x)[{key!r}]."
    return "Give a function of the batch that calls the model and returns them."
