"""The one way kernels are compiled."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    Function = TypeVar("Function", bound=Callable[..., Any])


def njit(function: Function) -> Function:
    """Compile: no GIL, IEEE arithmetic (no fastmath, so that every block gets the same bytes), cached on disk.

    Where no cache can be written (read-only installation without a home), every process compiles for itself.
    """
    import numba

    compiled: Any
    function.__qualname__ = f"{function.__qualname__}-{_stamp()}"
    try:
        compiled = numba.njit(nogil=True, error_model="numpy", cache=True)(function)
        compiled._cache.load_overload = functools.partial(_load, compiled._cache)
    except RuntimeError:  # numba: "no locator available"
        compiled = numba.njit(nogil=True, error_model="numpy")(function)
    return cast("Function", compiled)


def _load(cache: Any, signature: Any, context: Any) -> Any:
    """Take a kernel from the cache on disk, None where it is not there.

    As numba does it, but without importing all that only its compiler needs (0.5 s): that follows when it compiles.
    Processes that compile a kernel for different types at once may give their files one name: what is of other types
    than it was kept for counts as not there.
    """
    from numba.core.runtime import rtsys

    rtsys.initialize(context)  # what machine code calls to allocate
    with cache._guard_against_spurious_io_errors():
        found = cache._load_overload(signature, context)
        return found if found is not None and found.signature.args == signature else None


@functools.cache
def _stamp() -> str:
    """Size and time of change of all kernels: numba's cache looks at one file, but kernels call those of others."""
    found = [(path.name, path.stat()) for path in sorted(Path(__file__).parent.glob("*.py"))]
    facts = repr([(name, stat.st_size, stat.st_mtime_ns) for name, stat in found])
    return hashlib.sha256(facts.encode()).hexdigest()[:12]
