"""How near data ends along an axis: weights that fade towards pixels without data, as they do towards borders."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def fade_lengths(ramp_low: NDArray[np.float64], ramp_scale: NDArray[np.float64]) -> NDArray[np.int64]:
    """Pixels up to which data that ends changes weights: border and range of the ramps of views, 0 without a ramp."""
    hard = ~np.isfinite(ramp_low)
    widths = np.where(hard, 0.0, ramp_low) + 1 / ramp_scale
    return np.where(hard, 0, np.ceil(widths)).astype(np.int64)


def fade_along(
    nothing: NDArray[np.bool_], axis: int, first: int, count: int, border: float, width: float
) -> NDArray[np.float32]:
    """Weights of pixels by their distance to the nearest pixel without data along an axis.

    Parameters
    ----------
    nothing : bool[z, y, x]
        Where there is no data.
    axis : int
    first, count : int
        Part along the axis that weights are wanted of; around it at least `border` + `width` pixels decide.
    border, width : float
        The outermost pixels with data have the distance 0: weight 0 up to `border`, then a cosine that is 1 from
        `border` + `width` on, as in `rows`.

    Returns
    -------
    float32[z, y, x]
    """
    length = nothing.shape[axis]
    lines = np.moveaxis(nothing, axis, -1)
    index = np.arange(length, dtype=np.int32)
    far = np.int32(np.ceil(border + width) + 1)
    before = np.maximum.accumulate(np.where(lines, index, -far - 1), axis=-1)
    behind = np.minimum.accumulate(np.where(lines, index, length + far)[..., ::-1], axis=-1)[..., ::-1]
    part = slice(first, first + count)
    distance = np.minimum(index[part] - before[..., part], behind[..., part] - index[part]) - 1
    steps = np.clip((np.arange(far + 1) - border) / width, 0.0, 1.0)
    table = ((1 - np.cos(np.pi * steps)) / 2).astype(np.float32)
    return np.moveaxis(table[np.clip(distance, 0, far)], -1, axis)
