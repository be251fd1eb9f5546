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


@njit
def _separable(plane: Any, half: Any, out: Any) -> None:
    """Rows are blurred once into a ring of as many rows as the window is high, then summed."""
    height, width = plane.shape
    reach = half.size - 1
    ring = np.empty((2 * reach + 1, width), np.float32)
    padded = np.empty(width + 2 * reach, np.float32)
    filled = 0
    for y in range(height):
        while filled < min(height, y + reach + 1):
            padded[reach : reach + width] = plane[filled]
            padded[:reach] = plane[filled, 0]
            padded[reach + width :] = plane[filled, width - 1]
            row = ring[filled % (2 * reach + 1)]
            _weigh_row(padded, half, row)
            filled += 1
        _weigh_rows(ring, half, y, height, out[y])


@njit
def _weigh_row(padded: Any, half: Any, row: Any) -> None:
    reach = half.size - 1
    centre = half[0]
    for x in range(row.size):
        row[x] = centre * padded[x + reach]
    j = 1
    while j + 1 <= reach:  # two pairs at a time: half as many passes over the row
        a, b = half[j], half[j + 1]
        near, far = reach - j, reach + j
        for x in range(row.size):
            row[x] += a * (padded[x + near] + padded[x + far]) + b * (padded[x + near - 1] + padded[x + far + 1])
        j += 2
    if j == reach:
        a = half[j]
        for x in range(row.size):
            row[x] += a * (padded[x] + padded[x + 2 * reach])


@njit
def _weigh_rows(ring: Any, half: Any, y: Any, height: Any, out: Any) -> None:
    reach = half.size - 1
    count = ring.shape[0]
    middle = ring[y % count]
    centre = half[0]
    for x in range(out.size):
        out[x] = centre * middle[x]
    j = 1
    while j + 1 <= reach:
        a, b = half[j], half[j + 1]
        above, below = ring[max(0, y - j) % count], ring[min(height - 1, y + j) % count]
        above2, below2 = ring[max(0, y - j - 1) % count], ring[min(height - 1, y + j + 1) % count]
        for x in range(out.size):
            out[x] += a * (above[x] + below[x]) + b * (above2[x] + below2[x])
        j += 2
    if j == reach:
        a = half[j]
        above, below = ring[max(0, y - j) % count], ring[min(height - 1, y + j) % count]
        for x in range(out.size):
            out[x] += a * (above[x] + below[x])


def convolve(planes: Planes, kernel: NDArray[Any]) -> Planes:
    """True convolution with a small kernel of odd sides (reference 3.6); neither scaled nor clipped.

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
                    for x in range(width):
                        row[x] += weight * padded[x + j]
