"""Filters that clean masks: despeckle, enhance, Kuwahara, as ImageMagick has them; borders repeat the edge pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.kernels.jit import njit
from fusestack.kernels.smooth import blur

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Planes = NDArray[np.float32]

DESPECKLE_REACH = 32
ENHANCE_REACH = 2
_DIRECTIONS = ((1, 0), (0, 1), (1, 1), (1, -1))
_STEP = np.float32(1 / 255)
_ENHANCE = np.array(
    [[5, 8, 10, 8, 5], [8, 20, 40, 20, 8], [10, 40, 80, 40, 10], [8, 20, 40, 20, 8], [5, 8, 10, 8, 5]],
    dtype=np.float32,
)


def despeckle(planes: Planes) -> Planes:
    """Lower and raise lone pixels by steps of 1/255 (Crimmins).

    Unlike the original, which sees black beyond the image and darkens its rim, borders repeat the edge pixel.

    Parameters
    ----------
    planes : float32[c, y, x]

    Returns
    -------
    float32[c, y, x]
    """
    out = np.ascontiguousarray(planes).copy()
    for plane in out:
        for dy, dx in _DIRECTIONS:
            for sign, polarity in ((1, 1), (-1, 1), (-1, -1), (1, -1)):
                first = _hull_first(plane, sign * dy, sign * dx, polarity * _STEP)
                _hull_second(first, sign * dy, sign * dx, polarity * _STEP, plane)
    return out


@njit
def _hull_first(plane: Any, dy: Any, dx: Any, step: Any) -> Any:
    height, width = plane.shape
    out = np.empty_like(plane)
    up = step > 0
    for y in range(height):
        other = plane[min(max(y + dy, 0), height - 1)]
        for x in range(width):
            value = plane[y, x]
            ahead = other[min(max(x + dx, 0), width - 1)]
            moves = ahead >= value + 2 * step if up else ahead <= value + 2 * step
            out[y, x] = value + step if moves else value
    return out


@njit
def _hull_second(plane: Any, dy: Any, dx: Any, step: Any, out: Any) -> None:
    height, width = plane.shape
    up = step > 0
    for y in range(height):
        before = plane[min(max(y - dy, 0), height - 1)]
        after = plane[min(max(y + dy, 0), height - 1)]
        for x in range(width):
            value = plane[y, x]
            behind = before[min(max(x - dx, 0), width - 1)]
            ahead = after[min(max(x + dx, 0), width - 1)]
            rises = up and behind >= value + 2 * step and ahead > value
            falls = not up and behind <= value + 2 * step and ahead < value
            out[y, x] = value + step if rises or falls else value


def enhance(planes: Planes) -> Planes:
    """Mean of those neighbours in a 5 x 5 window that resemble the pixel; float32[c, y, x] to the same."""
    out = np.empty_like(planes)
    for plane, result in zip(planes, out, strict=True):
        _enhance(np.ascontiguousarray(plane), _ENHANCE, result)
    return out


@njit
def _enhance(plane: Any, weights: Any, out: Any) -> None:
    height, width = plane.shape
    for y in range(height):
        for x in range(width):
            value = plane[y, x]
            total, weight = np.float32(0), np.float32(0)
            for i in range(5):
                row = plane[min(max(y + i - 2, 0), height - 1)]
                for j in range(5):
                    other = row[min(max(x + j - 2, 0), width - 1)]
                    mean = np.float32(0.5) * (other + value)
                    difference = other - value
                    if (np.float32(16) - mean) * difference * difference < np.float32(0.069):
                        total += weights[i, j] * other
                        weight += weights[i, j]
            out[y, x] = total / weight


def kuwahara(planes: Planes, radius: int) -> Planes:
    """Value in the middle of the calmest of the four squares that meet in a pixel, of the blurred image.

    Unlike the original, it is not taken half a pixel beside the middle.

    Parameters
    ----------
    planes : float32[c, y, x]
    radius : int
        Squares have sides of ``radius + 1``.

    Returns
    -------
    float32[c, y, x]
    """
    smooth = blur(planes, radius, radius - 0.5)
    out = np.empty_like(planes)
    for plane, result in zip(smooth, out, strict=True):
        _kuwahara(plane, radius, result)
    return out


@njit
def _kuwahara(plane: Any, radius: Any, out: Any) -> None:
    height, width = plane.shape
    side = radius + 1
    odd = radius % 2
    for y in range(height):
        for x in range(width):
            least, best = np.float64(np.inf), np.float32(0)
            for corner in range(4):
                top = y - radius if corner < 2 else y
                left = x - radius if corner % 2 == 0 else x
                total, total2 = 0.0, 0.0
                for i in range(side):
                    row = plane[min(max(top + i, 0), height - 1)]
                    for j in range(side):
                        value = np.float64(row[min(max(left + j, 0), width - 1)])
                        total += value
                        total2 += value * value
                variance = total2 - total * total / (side * side)
                if variance < least:
                    least = variance
                    total = 0.0
                    for i in range(1 + odd):
                        row = plane[min(max(top + radius // 2 + i, 0), height - 1)]
                        for j in range(1 + odd):
                            total += row[min(max(left + radius // 2 + j, 0), width - 1)]
                    best = np.float32(total / ((1 + odd) * (1 + odd)))
            out[y, x] = best
