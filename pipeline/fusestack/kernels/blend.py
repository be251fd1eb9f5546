"""Blending of a stack with Laplacian pyramids, as enfuse does it with a hard mask.

The number of levels is fixed, so that a pixel depends on a bounded neighbourhood, and the levels lie on a grid that
belongs to the whole image: a region has to begin at a multiple of ``2 ** levels``.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.kernels.jit import njit
from fusestack.kernels.window import statistic

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Planes = NDArray[np.float32]

MOST_LEVELS = 6
_WINDOW = 5


def levels_of(height: int, width: int) -> int:
    """Levels of the pyramid of an image: as many as halve it to a few pixels, at most `MOST_LEVELS`."""
    levels = 1
    while levels < MOST_LEVELS and min(height, width) >> (levels + 2):
        levels += 1
    return levels


def reach(levels: int) -> int:
    """Pixels around a region that it depends on."""
    return int(2 ** (levels + 2)) + _WINDOW // 2


def blend(read: Callable[[int], Planes], count: int, levels: int) -> Planes:
    """Blend slices, each where its local contrast is the highest.

    Parameters
    ----------
    read : callable
        Slice k, 0-based, float32[c, y, x]; each is asked for twice.
    count : int
        Number of slices.
    levels : int

    Returns
    -------
    float32[c, y, x]
    """
    winner, most = None, None
    for k in range(count):
        planes = read(k)
        contrast = statistic(planes.mean(axis=0, dtype=np.float32)[None], "StandardDeviation", _WINDOW)[0]
        if winner is None or most is None:
            winner, most = np.zeros(contrast.shape, np.int32), contrast
        else:
            better = contrast > most
            winner[better] = k
            np.maximum(most, contrast, out=most)
    if winner is None:
        raise ValueError("a stack without slices")
    total: list[Planes] = []
    for k in range(count):
        chosen = winner == k
        if not chosen.any():
            continue
        weights = _gaussian(chosen[None].astype(np.float32), levels)
        parts = [d * w for d, w in zip(_laplacian(read(k), levels), weights, strict=True)]
        total = [a + b for a, b in zip(total, parts, strict=True)] if total else parts
    image = total[-1]
    for detail in reversed(total[:-1]):
        image = detail + _expanded(image, detail.shape[1:])
    return np.clip(image, 0, 1)


def _gaussian(planes: Planes, levels: int) -> list[Planes]:
    found = [planes]
    for _ in range(levels):
        found.append(_reduced(found[-1]))
    return found


def _laplacian(planes: Planes, levels: int) -> list[Planes]:
    smooth = _gaussian(planes, levels)
    details = [a - _expanded(b, a.shape[1:]) for a, b in itertools.pairwise(smooth)]
    return [*details, smooth[-1]]


def _reduced(planes: Planes) -> Planes:
    out = np.empty((planes.shape[0], (planes.shape[1] + 1) // 2, (planes.shape[2] + 1) // 2), np.float32)
    for plane, result in zip(planes, out, strict=True):
        _reduce(np.ascontiguousarray(plane), result)
    return out


def _expanded(planes: Planes, shape: tuple[int, ...]) -> Planes:
    out = np.empty((planes.shape[0], *shape), np.float32)
    for plane, result in zip(planes, out, strict=True):
        _expand(np.ascontiguousarray(plane), result)
    return out


@njit
def _reduce(plane: Any, out: Any) -> None:
    """Every second pixel of the plane smoothed with 0.05 0.25 0.4 0.25 0.05."""
    height, width = plane.shape
    a, b, c = np.float32(0.4), np.float32(0.25), np.float32(0.05)
    line = np.empty(width, np.float32)
    for y in range(out.shape[0]):
        m = 2 * y
        up2, up = plane[max(m - 2, 0)], plane[max(m - 1, 0)]
        down, down2 = plane[min(m + 1, height - 1)], plane[min(m + 2, height - 1)]
        for x in range(width):
            line[x] = a * plane[m, x] + b * (up[x] + down[x]) + c * (up2[x] + down2[x])
        for x in range(out.shape[1]):
            n = 2 * x
            near = line[max(n - 1, 0)] + line[min(n + 1, width - 1)]
            far = line[max(n - 2, 0)] + line[min(n + 2, width - 1)]
            out[y, x] = a * line[n] + b * near + c * far


@njit
def _expand(plane: Any, out: Any) -> None:
    """The inverse grid: even pixels weigh 0.1 0.8 0.1 of their neighbours, odd ones 0.5 0.5."""
    height, width = plane.shape
    line = np.empty(width, np.float32)
    middle, side, half = np.float32(0.8), np.float32(0.1), np.float32(0.5)
    for y in range(out.shape[0]):
        m = y // 2
        row, below = plane[m], plane[min(m + 1, height - 1)]
        if y % 2:
            for x in range(width):
                line[x] = half * (row[x] + below[x])
        else:
            above = plane[max(m - 1, 0)]
            for x in range(width):
                line[x] = middle * row[x] + side * (above[x] + below[x])
        for x in range(out.shape[1]):
            n = x // 2
            right = line[min(n + 1, width - 1)]
            if x % 2:
                out[y, x] = half * (line[n] + right)
            else:
                out[y, x] = middle * line[n] + side * (line[max(n - 1, 0)] + right)
