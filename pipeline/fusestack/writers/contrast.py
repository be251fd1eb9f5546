"""Contrast of channels: which grey values viewers show black and white."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PERCENTILES = (0.1, 99.9)


def full_window(dtype: str) -> dict[str, float]:
    """Contrast of a channel whose pixels are not known yet: the range of the type, 0..1 for floating point.

    Returns
    -------
    dict
        ``min`` and ``max``, between which viewers let people choose; ``start`` and ``end``, shown black and white.
    """
    kind = np.dtype(dtype)
    low, high = (0, 1) if kind.kind == "f" else (int(np.iinfo(kind).min), int(np.iinfo(kind).max))
    return {"min": low, "max": high, "start": low, "end": high}


def data_window(dtype: str, pixels: NDArray[Any], fill: float) -> dict[str, float]:
    """Contrast of a channel from some of its pixels: their 0.1 and 99.9 percentile.

    Parameters
    ----------
    dtype : str
        An integer type gives ``min`` and ``max`` itself, of floating point they are those of the pixels.
    pixels : array
        Of any shape; what is no number does not count.
    fill : float
        Value where there is no data; does not count.

    Returns
    -------
    dict
        As `full_window`, which it is where no pixel counts. ``start`` is below ``end``, also of a constant image, since
        viewers divide by the difference.
    """
    window = full_window(dtype)
    values = pixels[np.isfinite(pixels) & (pixels != fill)]
    if not values.size:
        return window
    is_float = np.dtype(dtype).kind == "f"
    if is_float:
        low, high = float(values.min()), float(values.max())
        window |= {"min": low, "max": high if high > low else low + max(1.0, math.ulp(low))}
    start, end = (found.item() for found in np.percentile(values, _PERCENTILES, method="nearest"))
    if end <= start and is_float:
        start, end = window["min"], window["max"]
    elif end <= start:
        start = min(start, window["max"] - 1)
        end = start + 1
    return window | {"start": start, "end": end}
