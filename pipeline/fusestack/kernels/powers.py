"""Whole powers of rows."""

from __future__ import annotations

from typing import Any

from fusestack.kernels.jit import njit


@njit
def raise_row(row: Any, base: Any, power: Any) -> None:
    """Raise to a whole power of at least 1, in place; `base` is room for work."""
    rest = power - 1
    for x in range(row.size):
        base[x] = row[x]
    while rest > 0:
        if rest % 2:
            for x in range(row.size):
                row[x] *= base[x]
        rest //= 2
        if rest > 0:
            for x in range(row.size):
                base[x] *= base[x]
