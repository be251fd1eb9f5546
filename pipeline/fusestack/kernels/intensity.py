"""Linear correction of the intensities of a view: ``I' = a I + b``, both from a coarse grid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.kernels.jit import njit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def adjust(
    pixels: NDArray[Any], start: Sequence[int], size: Sequence[int], coefficients: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Correct a box of a level.

    Parameters
    ----------
    pixels : any pixel type [z, y, x]
    start, size : int[3]
        First pixel of the box in its level, and the level's size, z, y, x.
    coefficients : float64 [2, mz, my, mx]
        Factors and offsets on a grid of cells over the whole level; pixel i lies at ``i * m / n - 0.5``, beyond the
        first and the last cell centre the coefficients stay what they are.

    Returns
    -------
    float32 [z, y, x]
    """
    places, rests = [], []
    for first, count, n, cells in zip(start, pixels.shape, size, coefficients.shape[1:], strict=True):
        at = np.clip((first + np.arange(count)) * cells / n - 0.5, 0, cells - 1)
        low = np.minimum(at.astype(np.int64), max(0, cells - 2))
        places.append(low)
        rests.append(at - low)
    out = np.empty(pixels.shape, np.float32)
    _adjust(pixels, coefficients, tuple(places), tuple(rests), out)
    return out


@njit
def _adjust(pixels: Any, coefficients: Any, places: Any, rests: Any, out: Any) -> None:
    cells = coefficients.shape
    grid, row = np.empty((2, cells[3])), np.empty((2, pixels.shape[2]))
    for z in range(out.shape[0]):
        i, rest_z = places[0][z], rests[0][z]
        next_i = min(i + 1, cells[1] - 1)
        for y in range(out.shape[1]):
            j, rest_y = places[1][y], rests[1][y]
            next_j = min(j + 1, cells[2] - 1)
            for c in range(2):
                near, far = coefficients[c, i], coefficients[c, next_i]
                for k in range(cells[3]):
                    a = near[j, k] + rest_z * (far[j, k] - near[j, k])
                    b = near[next_j, k] + rest_z * (far[next_j, k] - near[next_j, k])
                    grid[c, k] = a + rest_y * (b - a)
                for k in range(row.shape[1]):
                    at = places[2][k]
                    row[c, k] = grid[c, at] + rests[2][k] * (grid[c, min(at + 1, cells[3] - 1)] - grid[c, at])
            for k in range(row.shape[1]):
                out[z, y, k] = row[0, k] * pixels[z, y, k] + row[1, k]
