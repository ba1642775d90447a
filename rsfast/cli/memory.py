"""Memory settings of the command line's own process."""

from __future__ import annotations

import contextlib
import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, MOST = -1, -3, 2**31 - 1  # <malloc.h>


def keep_freed_memory() -> None:
    """Let glibc's malloc keep large blocks that torch frees, instead of giving them back to the system.

    Every forward pass allocates the same activations again; given back, they are faulted in page by page each time, which
    can take longer than the network (docs/scaling.md).  Other C libraries are left as they are.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        for most in (MOST, 2**25):  # older glibc takes no more than 32 MiB
            if mallopt(M_MMAP_THRESHOLD, most):
                break
        mallopt(M_TRIM_THRESHOLD, MOST)
