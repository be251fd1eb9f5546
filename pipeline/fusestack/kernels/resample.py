"""Interpolating resize on a grid that belongs to the whole image, whatever part of it is at hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.kernels.jit import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Planes = NDArray[np.float32]

INTERPOLATIONS = ("Spline", "Catrom", "Bilinear", "Nearest", "Average")
"""``Average`` takes the mean of the area that a smaller pixel covers, and interpolates linearly where it enlarges."""


@dataclass(frozen=True)
class Axis:
    """One axis of a resize: from `source` to `target` pixels of the whole image."""

    source: int
    target: int

    @property
    def scale(self) -> float:
        """Source pixels in one target pixel."""
        return self.source / self.target

    def needed(self, start: int, stop: int) -> tuple[int, int]:
        """Source pixels that the target pixels ``start <= i < stop`` depend on."""
        low = int(np.floor((start + 0.5) * self.scale - 0.5 - max(1.0, 0.5 * self.scale))) - 1
        high = int(np.ceil((stop - 0.5) * self.scale - 0.5 + max(1.0, 0.5 * self.scale))) + 2
        return max(0, low), min(self.source, max(high, low + 1))

    def taps(self, start: int, stop: int, interpolation: str) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """First source pixel and weights of each target pixel; pixels beyond the image repeat its edge."""
        place = (np.arange(start, stop) + 0.5) * self.scale - 0.5
        if interpolation == "Average" and self.scale > 1:
            return self._areas(place)
        whole = np.floor(place)
        f = place - whole
        if interpolation == "Spline":
            last = f**3 / 6
            first = (1 - f) ** 3 / 6
            b = last - first
            weights = [first, (1 - f) - first + b, f - last - b, last]
        elif interpolation == "Catrom":
            weights = [
                -0.5 * f + f**2 - 0.5 * f**3,
                1 - 2.5 * f**2 + 1.5 * f**3,
                0.5 * f + 2 * f**2 - 1.5 * f**3,
                -0.5 * f**2 + 0.5 * f**3,
            ]
        elif interpolation == "Nearest":
            return np.floor(place + 0.5).astype(np.int64), np.ones((place.size, 1), np.float32)
        else:
            return whole.astype(np.int64), np.stack([1 - f, f], axis=1).astype(np.float32)
        return whole.astype(np.int64) - 1, np.stack(weights, axis=1).astype(np.float32)

    def _areas(self, place: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        low, high = place - 0.5 * self.scale, place + 0.5 * self.scale
        first = np.floor(low + 0.5).astype(np.int64)
        count = int(np.ceil(self.scale)) + 1
        pixels = first[:, None] + np.arange(count)
        share = np.minimum(pixels + 0.5, high[:, None]) - np.maximum(pixels - 0.5, low[:, None])
        return first, (np.maximum(share, 0) / self.scale).astype(np.float32)


def resize(
    planes: Planes, axes: tuple[Axis, Axis], origin: tuple[int, int], box: tuple[slice, slice], interpolation: str
) -> Planes:
    """Resize a region.

    Parameters
    ----------
    planes : float32[c, y, x]
        A region of the source that holds what `Axis.needed` says.
    axes : (Axis, Axis)
        y and x.
    origin : (int, int)
        Where the region begins in the source, y and x.
    box : (slice, slice)
        Target pixels that are wanted, y and x.
    interpolation : str
        One of `INTERPOLATIONS`.

    Returns
    -------
    float32[c, y, x]
    """
    (y, wy), (x, wx) = (axis.taps(part.start, part.stop, interpolation) for axis, part in zip(axes, box, strict=True))
    rows = _taps(y, wy.shape[1], axes[0].source) - origin[0]
    columns = _taps(x, wx.shape[1], axes[1].source) - origin[1]
    # taps of weight 0 may lie outside of the region
    np.clip(rows, 0, planes.shape[1] - 1, out=rows)
    np.clip(columns, 0, planes.shape[2] - 1, out=columns)
    out = np.empty((planes.shape[0], y.size, x.size), np.float32)
    for plane, result in zip(planes, out, strict=True):
        _resize(np.ascontiguousarray(plane), rows, wy, columns, wx, result)
    return out


def _taps(first: NDArray[np.int64], count: int, size: int) -> NDArray[np.int64]:
    return np.asarray(np.clip(first[:, None] + np.arange(count), 0, size - 1))


@njit
def _resize(plane: Any, rows: Any, wy: Any, columns: Any, wx: Any, out: Any) -> None:
    line = np.empty(plane.shape[1], np.float32)
    for y in range(out.shape[0]):
        line[:] = 0
        for i in range(rows.shape[1]):
            weight = wy[y, i]
            row = plane[rows[y, i]]
            for x in range(line.size):
                line[x] += weight * row[x]
        for x in range(out.shape[1]):
            total = np.float32(0)
            for j in range(columns.shape[1]):
                total += wx[x, j] * line[columns[x, j]]
            out[y, x] = total
