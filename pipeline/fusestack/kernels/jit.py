"""The one way kernels are compiled.

The cache on disk looks at the time of change of one file only: a jitted function calls no jitted function of another
module, or an edit there would go unnoticed.
"""

from __future__ import annotations

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
    try:
        compiled = numba.njit(nogil=True, error_model="numpy", cache=True)(function)
    except RuntimeError:  # numba: "no locator available"
        compiled = numba.njit(nogil=True, error_model="numpy")(function)
    return compiled
