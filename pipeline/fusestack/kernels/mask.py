"""Where views cover: no pixel is read, and NumPy is fast enough."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def mask_block(views: NDArray[np.void], origin: ArrayLike, out: NDArray[Any], value: float) -> None:
    """Write a value into the pixels of a block that any view covers; the others stay as they are.

    Parameters
    ----------
    views : VIEW[n]
        From `pack_views`; negative borders widen the views.
    origin : int[3]
        Global index of the block's first pixel, z, y, x.
    out : any type [z, y, x]
    value : float

    Notes
    -----
    As BigStitcher-Spark's `GenerateComputeBlockMasks`. Coordinates are computed in the order of operations of the
    fusion kernel.
    """
    z, y, x = (
        start + np.arange(count, dtype=np.float64) for start, count in zip(_ints(origin), out.shape, strict=True)
    )
    y, x = y[:, None], x[None, :]
    rims = np.zeros(out.shape, np.uint8)
    for view in views:
        affine, low, high = view["affine"], view["low"], view["high"]
        for plane, rim, at in zip(out, rims, z, strict=True):
            near, inside = np.ones(plane.shape, bool), np.ones(plane.shape, bool)
            for axis, (by_z, by_y, by_x, offset) in enumerate(affine):
                # an axis that does not depend on x is one column, one that does not depend on y one row
                across = np.zeros((1, 1)) if by_y == 0 else by_y * y
                along = np.zeros((1, 1)) if by_x == 0 else by_x * x
                place = ((by_z * at + across) + offset) + along
                before, behind = low[axis] - place, place - high[axis]
                near &= (before <= view["alone"][0, axis]) & (behind <= view["alone"][1, axis])
                inside &= (before <= view["reach"][0, axis]) & (behind <= view["reach"][1, axis])
            plane[near] = value
            plane[inside & (rim > 0)] = value  # between two views
            rim[inside] = 1


def _ints(values: ArrayLike) -> list[int]:
    return [int(v) for v in np.asarray(values)]
