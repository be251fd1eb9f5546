"""The one way kernels are compiled."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    Function = TypeVar("Function", bound=Callable[..., Any])


def njit(function: Function) -> Function:
    """Compile: no GIL, IEEE arithmetic (no fastmath, so that every block gets the same bytes), cached on disk.

    Where no cache can be written (read-only installation without a home), every process compiles for itself.
    """
    import numba

    compiled: Function
    function.__qualname__ = f"{function.__qualname__}-{_stamp()}"
    try:
        compiled = numba.njit(nogil=True, error_model="numpy", cache=True)(function)
    except RuntimeError:  # numba: "no locator available"
        compiled = numba.njit(nogil=True, error_model="numpy")(function)
    return compiled


@functools.cache
def _stamp() -> str:
    """Size and time of change of all kernels: numba's cache looks at one file, but kernels call those of others."""
    found = [(path.name, path.stat()) for path in sorted(Path(__file__).parent.glob("*.py"))]
    facts = repr([(name, stat.st_size, stat.st_mtime_ns) for name, stat in found])
    return hashlib.sha256(facts.encode()).hexdigest()[:12]
