"""Five-level undecimated wavelet transform with soft thresholds (ImageMagick's ``-wavelet-denoise``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.kernels.jit import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Planes = NDArray[np.float32]

REACH = 31
"""Pixels that a pixel depends on, in each direction."""
_LEVELS = np.array([0.8002, 0.2735, 0.1202, 0.0585, 0.0291])


def denoise(planes: Planes, share: float) -> Planes:
    """Lower every detail by a threshold; borders are mirrored without the edge pixel.

    Parameters
    ----------
    planes : float32[c, y, x]
    share : float
        Thresholds as a share of the usual ones.

    Returns
    -------
    float32[c, y, x]
    """
    out = np.empty_like(planes)
    for plane, result in zip(planes, out, strict=True):
        _denoise(np.ascontiguousarray(plane), (share * _LEVELS).astype(np.float32), result)
    return out


@njit
def _denoise(plane: Any, thresholds: Any, out: Any) -> None:
    """All levels go down the plane together, each as many rows behind the one before it as it looks ahead.

    Of what a level makes, only rows are kept that are needed again: they stay in the cache of a core.
    """
    height, width = plane.shape
    count = thresholds.size
    size = np.ones((2, count + 1), np.int64)  # rows that are kept of each level: smoothed along x, smoothed along both
    first = np.zeros((2, count + 2), np.int64)
    for level in range(count + 1):
        if level < count:
            size[0, level] = min(height, 2 ** (level + 1) + 1)
            size[1, level] = min(height, 2**level + 1)
        first[:, level + 1] = first[:, level] + size[:, level]
    rows, smooth = np.empty((first[0, -1], width), np.float32), np.empty((first[1, -1], width), np.float32)
    out[:] = 0
    for begun in range(height + 2**count - 1):
        y = begun
        for level in range(count):
            step, kept, lines = 2**level, size[0, level], rows[first[0, level] : first[0, level + 1]]
            if y < height:
                source = smooth[first[1, level] + y % size[1, level]]
                if level == 0:
                    source[:] = plane[y]
                _smooth_row(source, step, lines[y % kept])
            y -= step
            if y < 0:
                break
            if y < height:
                target = smooth[first[1, level + 1] + y % size[1, level + 1]]
                above, below = lines[_mirror(y - step, height) % kept], lines[_mirror(y + step, height) % kept]
                _smooth_between(above, lines[y % kept], below, target)
                _add_detail(smooth[first[1, level] + y % size[1, level]], target, thresholds[level], out[y])
                if level == count - 1:
                    _add(target, out[y])


@njit
def _mirror(i: Any, n: Any) -> Any:
    if n == 1:
        return 0
    period = 2 * (n - 1)
    i = i % period
    return i if i < n else period - i


@njit
def _smooth_row(row: Any, step: Any, out: Any) -> None:
    n = row.size
    quarter, half = np.float32(0.25), np.float32(0.5)
    inner_start, inner_stop = min(step, n), max(n - step, min(step, n))
    for x in range(inner_start):
        out[x] = quarter * (row[_mirror(x - step, n)] + row[_mirror(x + step, n)]) + half * row[x]
    if inner_stop > inner_start:
        before, after = row[inner_start - step : inner_stop - step], row[inner_start + step : inner_stop + step]
        _smooth_between(before, row[inner_start:inner_stop], after, out[inner_start:inner_stop])
    for x in range(inner_stop, n):
        out[x] = quarter * (row[_mirror(x - step, n)] + row[_mirror(x + step, n)]) + half * row[x]


@njit
def _smooth_between(above: Any, row: Any, below: Any, out: Any) -> None:
    quarter, half = np.float32(0.25), np.float32(0.5)
    for x in range(out.size):
        out[x] = quarter * (above[x] + below[x]) + half * row[x]


@njit
def _add_detail(row: Any, smooth: Any, threshold: Any, out: Any) -> None:
    for x in range(out.size):
        detail = row[x] - smooth[x]
        # what exceeds the threshold, on either side
        out[x] += max(detail - threshold, np.float32(0)) + min(detail + threshold, np.float32(0))


@njit
def _add(row: Any, out: Any) -> None:
    for x in range(out.size):
        out[x] += row[x]
