"""A model's fingerprint: what must be equal for two runs to be of the same base classifier."""

from __future__ import annotations

from .. import walk


def fingerprint(model: object, origin: str = "") -> str:
    """Return the sha256, as 64 hex digits, of everything that `rsfast.walk.parts` finds in a model, and of `origin`.

    Parameters, buffers, attributes, structure and the user's own source code count; library code counts by name only, and
    objects written in C by their type: weights hidden there are not seen.
    """
    return walk.digest(model, origin)
