"""Convolutions of planes: ImageMagick's blurs, small kernels in any direction; borders repeat the edge pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.kernels.gaussians import blur_weights, gaussian_weights
from fusestack.kernels.jit import njit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Planes = NDArray[np.float32]


def blur(planes: Planes, radius: float, sigma: float) -> Planes:
    """Blur as ImageMagick's ``-blur``.

    Parameters
    ----------
    planes : float32[c, y, x]
    radius, sigma : float
        Pixels; radius 0 chooses the window, sigma 0 changes nothing.

    Returns
    -------
    float32[c, y, x]
    """
    return separable(planes, blur_weights(radius, sigma))


def gaussian(planes: Planes, radius: float, sigma: float) -> Planes:
    """Blur with a point-sampled Gaussian, as ``-gaussian-blur``; parameters as in `blur`."""
    return separable(planes, gaussian_weights(radius, sigma))


def separable(planes: Planes, weights: Sequence[float]) -> Planes:
    """Convolve rows, then columns, with a symmetric odd row of weights; float32[c, y, x]."""
    if len(weights) == 1:
        return planes.copy()
    half = np.asarray(weights[len(weights) // 2 :], dtype=np.float32)
    out = np.empty_like(planes)
    for plane, result in zip(planes, out, strict=True):
        _separable(np.ascontiguousarray(plane), half, result)
    return out


def difference(planes: Planes, first: Sequence[float], second: Sequence[float]) -> Planes:
    """Size of the difference of two convolutions as `separable`, neither of which is stored; float32[c, y, x]."""
    halves = [np.asarray(weights[len(weights) // 2 :], dtype=np.float32) for weights in (first, second)]
    out = np.empty_like(planes)
    for plane, result in zip(planes, out, strict=True):
        _difference(np.ascontiguousarray(plane), halves[0], halves[1], result)
    return out


@njit
def _separable(plane: Any, half: Any, out: Any) -> None:
    """Rows are blurred once into a ring of as many rows as the window is high, then summed."""
    ring, padded = _rings(plane.shape[1], half)
    for y in range(plane.shape[0]):
        _fill(plane, half, y, ring, padded)
        _weigh_rows(ring, half, y, plane.shape[0], out[y])


@njit
def _difference(plane: Any, first: Any, second: Any, out: Any) -> None:
    height, width = plane.shape
    ring, padded = _rings(width, first)
    ring2, padded2 = _rings(width, second)
    other = np.empty(width, np.float32)
    for y in range(height):
        _fill(plane, first, y, ring, padded)
        _fill(plane, second, y, ring2, padded2)
        row = out[y]
        _weigh_rows(ring, first, y, height, row)
        _weigh_rows(ring2, second, y, height, other)
        for x in range(width):
            row[x] = abs(row[x] - other[x])


@njit
def _rings(width: Any, half: Any) -> Any:
    """Room for blurred rows, and for a row with what repeats beyond its ends."""
    reach = half.size - 1
    return np.empty((2 * reach + 1, width), np.float32), np.empty(width + 2 * reach, np.float32)


@njit
def _fill(plane: Any, half: Any, y: Any, ring: Any, padded: Any) -> None:
    """Blur the rows that a row of the result needs, and the one before it did not."""
    height, width = plane.shape
    reach = half.size - 1
    for filled in range(0 if y == 0 else y + reach, min(height, y + reach + 1)):
        padded[reach : reach + width] = plane[filled]
        padded[:reach] = plane[filled, 0]
        padded[reach + width :] = plane[filled, width - 1]
        _weigh_row(padded, half, ring[filled % ring.shape[0]])


@njit
def _weigh_row(padded: Any, half: Any, row: Any) -> None:
    """Pairs of equal weight together; slices, because an index that may be negative is not vectorised."""
    reach, n = half.size - 1, row.size
    _start(half[0], padded[reach : reach + n], row)
    j = 1
    while j + 3 <= reach:
        near, far = reach - j, reach + j
        _add_pairs(
            half[j : j + 4],
            padded[near : near + n],
            padded[far : far + n],
            padded[near - 1 : near - 1 + n],
            padded[far + 1 : far + 1 + n],
            padded[near - 2 : near - 2 + n],
            padded[far + 2 : far + 2 + n],
            padded[near - 3 : near - 3 + n],
            padded[far + 3 : far + 3 + n],
            row,
        )
        j += 4
    while j <= reach:
        _add_pair(half[j], padded[reach - j : reach - j + n], padded[reach + j : reach + j + n], row)
        j += 1


@njit
def _start(weight: Any, line: Any, row: Any) -> None:
    for x in range(row.size):
        row[x] = weight * line[x]


@njit
def _add_pair(weight: Any, a: Any, b: Any, row: Any) -> None:
    for x in range(row.size):
        row[x] += weight * (a[x] + b[x])


@njit
def _add_pairs(w: Any, a1: Any, b1: Any, a2: Any, b2: Any, a3: Any, b3: Any, a4: Any, b4: Any, row: Any) -> None:
    w1, w2, w3, w4 = w[0], w[1], w[2], w[3]
    for x in range(row.size):
        first = w1 * (a1[x] + b1[x]) + w2 * (a2[x] + b2[x])
        second = w3 * (a3[x] + b3[x]) + w4 * (a4[x] + b4[x])
        row[x] += first + second


@njit
def _weigh_rows(ring: Any, half: Any, y: Any, height: Any, out: Any) -> None:
    reach, count, last = half.size - 1, ring.shape[0], height - 1
    _start(half[0], ring[y % count], out)
    j = 1
    while j + 3 <= reach:
        _add_pairs(
            half[j : j + 4],
            ring[max(0, y - j) % count],
            ring[min(last, y + j) % count],
            ring[max(0, y - j - 1) % count],
            ring[min(last, y + j + 1) % count],
            ring[max(0, y - j - 2) % count],
            ring[min(last, y + j + 2) % count],
            ring[max(0, y - j - 3) % count],
            ring[min(last, y + j + 3) % count],
            out,
        )
        j += 4
    while j <= reach:
        _add_pair(half[j], ring[max(0, y - j) % count], ring[min(last, y + j) % count], out)
        j += 1


def convolve(planes: Planes, kernel: NDArray[Any]) -> Planes:
    """True convolution with a small kernel of odd sides (ImageMagick's ``Convolve``); neither scaled nor clipped.

    Parameters
    ----------
    planes : float32[c, y, x]
    kernel : float[n, m]

    Returns
    -------
    float32[c, y, x]
    """
    mirrored = np.ascontiguousarray(np.asarray(kernel, dtype=np.float32)[::-1, ::-1])
    out = np.empty_like(planes)
    for plane, result in zip(planes, out, strict=True):
        _convolve(np.ascontiguousarray(plane), mirrored, result)
    return out


@njit
def _convolve(plane: Any, kernel: Any, out: Any) -> None:
    height, width = plane.shape
    ry, rx = kernel.shape[0] // 2, kernel.shape[1] // 2
    padded = np.empty(width + 2 * rx, np.float32)
    for y in range(height):
        row = out[y]
        row[:] = 0
        for i in range(kernel.shape[0]):
            source = plane[min(max(y + i - ry, 0), height - 1)]
            padded[rx : rx + width] = source
            padded[:rx] = source[0]
            padded[rx + width :] = source[width - 1]
            for j in range(kernel.shape[1]):
                weight = kernel[i, j]
                if weight != 0:
                    _add_weighted(weight, padded[j : j + width], row)


@njit
def _add_weighted(weight: Any, line: Any, row: Any) -> None:
    for x in range(row.size):
        row[x] += weight * line[x]
