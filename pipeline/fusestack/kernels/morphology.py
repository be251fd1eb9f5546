"""Grey-level morphology with flat kernels (reference 3.5); borders repeat the edge pixel."""

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
    widths = np.array([SHAPES[shape](radius, dy) for dy in range(-radius, radius + 1)], dtype=np.int64)

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
    count, height, width = planes.shape
    radius = widths.size // 2
    out = np.empty_like(planes)
    padded = np.empty(width + 2 * radius, np.float32)
    for c in range(count):
        for y in range(height):
            row = out[c, y]
            row[:] = planes[c, y]
            for i in range(widths.size):
                source = planes[c, min(max(y + i - radius, 0), height - 1)]
                padded[radius : radius + width] = source
                padded[:radius] = source[0]
                padded[radius + width :] = source[width - 1]
                for j in range(radius - widths[i], radius + widths[i] + 1):
                    for x in range(width):
                        row[x] = max(row[x], padded[x + j])
    return out
