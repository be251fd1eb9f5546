"""Precision and limits that belong to a type of pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import DTypeLike


def value_dtype(pixels: DTypeLike) -> np.dtype[Any]:
    """Precision in which pixels of a type are computed: float64 where float32 would lose integers, else float32."""
    kind = np.dtype(pixels)
    return np.dtype(np.float32 if kind.itemsize <= 2 or kind == np.float32 else np.float64)


def integer_limits(dtype: DTypeLike) -> tuple[float, float]:
    """Least and greatest value of an integer type; 0, 0 for a float type, which needs neither rounding nor clamping."""
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return 0.0, 0.0
    return float(np.iinfo(kind).min), float(np.iinfo(kind).max)
