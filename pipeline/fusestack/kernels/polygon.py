"""Which pixels lie in a polygon."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.kernels.jit import njit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def inside(
    polygon: Sequence[tuple[float, float]], origin: tuple[int, int], shape: tuple[int, int]
) -> NDArray[np.bool_]:
    """Whether the middle of a pixel lies in a polygon, by the even-odd rule where its lines cross.

    Parameters
    ----------
    polygon : sequence of (float, float)
        Its corners x, y, in pixels; the middle of the first pixel of the plane is 0, 0.
    origin : (int, int)
        First row and column of the region.
    shape : (int, int)

    Returns
    -------
    bool[y, x]
    """
    out = np.zeros(shape, np.bool_)
    _fill(np.asarray(polygon, np.float64), origin[0], origin[1], out)
    return out


@njit
def _fill(corners: Any, top: Any, left: Any, out: Any) -> None:
    crossings = np.empty(corners.shape[0], np.float64)
    for row in range(out.shape[0]):
        y, count = float(top + row), 0
        for i in range(corners.shape[0]):
            x0, y0 = corners[i - 1]
            x1, y1 = corners[i]
            if (y0 <= y) != (y1 <= y):
                crossings[count] = x0 + (y - y0) / (y1 - y0) * (x1 - x0)
                count += 1
        crossings[:count].sort()
        for i in range(0, count - 1, 2):
            first = max(int(np.ceil(crossings[i])) - left, 0)
            for x in range(first, min(int(np.ceil(crossings[i + 1])) - left, out.shape[1])):
                out[row, x] = True
