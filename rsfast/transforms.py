"""What happens to the noisy image before the model sees it.  `Identity` shows the whole image."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Identity:
    """The model sees the whole noisy image."""
