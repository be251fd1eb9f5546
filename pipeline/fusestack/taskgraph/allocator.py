"""Memory that a block frees is kept for the next one: giving it back and getting it again costs a tenth of the time.

The C library of Linux (glibc) gives every array of more than some megabytes back to the system when it is freed, and
the system fills each page with zeros before it gives it out again. Others do as they like.
"""

from __future__ import annotations

import ctypes
import os

_ARENAS, _KEPT = 1, 2**28  # what one thread frees serves the others
_LARGEST = (2**26, 2**25)
"""Of what is kept; older ones refuse the first."""
_KEEPING = {
    "MALLOC_ARENA_MAX": str(_ARENAS),
    "MALLOC_MMAP_THRESHOLD_": str(_LARGEST[-1]),
    "MALLOC_TRIM_THRESHOLD_": str(_KEPT),
}
_ARENA_MAX, _MMAP_THRESHOLD, _TRIM_THRESHOLD = -8, -3, -1
"""Parameters of ``mallopt``, from ``malloc.h``."""


def keeping() -> dict[str, str]:
    """Environment of processes that compute blocks and nothing else; empty where somebody has said what they keep."""
    return {} if any(name in os.environ for name in _KEEPING) else dict(_KEEPING)


def keep_freed_memory() -> None:
    """Have this process keep what is freed, as `keeping` says.

    It is to be called before there are threads, by programs and not by libraries: others in the process may need the
    memory.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is None or not keeping():
        return
    if any(mallopt(_MMAP_THRESHOLD, size) for size in _LARGEST):  # the other alone would keep less than by itself
        mallopt(_TRIM_THRESHOLD, _KEPT)
        mallopt(_ARENA_MAX, _ARENAS)
