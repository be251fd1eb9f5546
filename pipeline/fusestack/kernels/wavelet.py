"""Five-level undecimated wavelet transform with soft thresholds: ImageMagick's ``-wavelet-denoise``."""

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
    height, width = plane.shape
    smooth = plane.copy()
    rows = np.empty_like(plane)
    next_smooth = np.empty_like(plane)
    out[:] = 0
    step = 1
    for threshold in thresholds:
        for y in range(height):
            _smooth_row(smooth[y], step, rows[y])
        for y in range(height):
            _smooth_between(rows[_mirror(y - step, height)], rows[y], rows[_mirror(y + step, height)], next_smooth[y])
            _add_detail(smooth[y], next_smooth[y], threshold, out[y])
        smooth, next_smooth = next_smooth, smooth
        step *= 2
    for y in range(height):
        row, line = out[y], smooth[y]
        for x in range(width):
            row[x] += line[x]


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
