"""Grey-level morphology with flat kernels, ImageMagick's ``-morphology``; borders repeat the edge pixel."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.kernels.jit import njit

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Planes = NDArray[np.float32]


def _octagon(r: int, dy: int) -> int:
    return min(r, r + r // 2 - abs(dy))


SHAPES: dict[str, Callable[[int, int], int]] = {
    "Octagon": _octagon,
    "Diamond": lambda r, dy: r - abs(dy),
    "Square": lambda r, dy: r,
    "Disk": lambda r, dy: math.isqrt(r * r - dy * dy),
    "Plus": lambda r, dy: 0 if dy else r,
}
"""Half the width of a kernel of radius r in row dy, by name; the whole kernel is symmetric."""

REACH = {
    "Erode": 1,
    "Dilate": 1,
    "Open": 2,
    "Close": 2,
    "Smooth": 4,
    "EdgeIn": 1,
    "EdgeOut": 1,
    "Edge": 1,
    "TopHat": 2,
    "BottomHat": 2,
}
"""How often a method walks the kernel's radius (times the repeats), by name."""


def morphology(planes: Planes, method: str, shape: str, radius: int, repeats: int) -> Planes:
    """Apply a morphological method.

    Parameters
    ----------
    planes : float32[c, y, x]
    method : str
        One of `REACH`.
    shape : str
        One of `SHAPES`.
    radius, repeats : int
        Of the kernel; how often each erosion or dilation is done.

    Returns
    -------
    float32[c, y, x]
    """
    widths = np.array([SHAPES[shape](radius, dy) for dy in range(radius + 1)], dtype=np.int64)

    def dilate(image: Planes) -> Planes:
        for _ in range(repeats):
            image = _dilate(np.ascontiguousarray(image), widths)
        return image

    def erode(image: Planes) -> Planes:
        return -dilate(-image)

    match method:
        case "Erode":
            return erode(planes)
        case "Dilate":
            return dilate(planes)
        case "Open":
            return dilate(erode(planes))
        case "Close":
            return erode(dilate(planes))
        case "Smooth":
            return erode(dilate(dilate(erode(planes))))
        case "EdgeIn":
            return planes - erode(planes)
        case "EdgeOut":
            return dilate(planes) - planes
        case "Edge":
            return dilate(planes) - erode(planes)
        case "TopHat":
            return planes - dilate(erode(planes))
        case _:
            return erode(dilate(planes)) - planes


@njit
def _dilate(planes: Any, widths: Any) -> Any:
    """Greatest value under a symmetric kernel that is `widths[i]` pixels wide to each side in its rows i and -i.

    Each row is widened once, for every width; the rows of the result then take what they need.
    """
    count, height, width = planes.shape
    radius = widths.size - 1
    most = widths.max()
    ring = 2 * radius + 1
    out = np.empty_like(planes)
    padded = np.empty(width + 2 * most, np.float32)
    wide = np.empty((most + 1, ring, width), np.float32)
    for c in range(count):
        filled = 0
        for y in range(height):
            while filled < min(height, y + radius + 1):
                source = planes[c, filled]
                padded[most : most + width] = source
                padded[:most] = source[0]
                padded[most + width :] = source[width - 1]
                wide[0, filled % ring] = source
                for w in range(1, most + 1):
                    row = wide[w, filled % ring]
                    row[:] = wide[w - 1, filled % ring]
                    _greater(row, padded[most - w : most - w + width], padded[most + w : most + w + width])
                filled += 1
            row = out[c, y]
            row[:] = wide[widths[0], y % ring]
            for i in range(1, radius + 1):
                above = wide[widths[i], max(y - i, 0) % ring]
                below = wide[widths[i], min(y + i, height - 1) % ring]
                _greater(row, above, below)
    return out


@njit
def _greater(row: Any, above: Any, below: Any) -> None:
    for x in range(row.size):
        a, b, c = row[x], above[x], below[x]
        a = b if b > a else a
        row[x] = c if c > a else a
