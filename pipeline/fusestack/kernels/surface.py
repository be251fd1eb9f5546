"""A depth becomes a surface: specks are filled in, noise is evened, edges and thin things stay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.kernels.jit import njit
from fusestack.kernels.reaches import EVEN, FILL

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

_WEIGHTS = np.exp(-1.4 * (np.arange(-EVEN, EVEN + 1) / EVEN) ** 2).astype(np.float32)
_SUPPORT = 0.2
"""Of the weights of its neighbours along a row or column, what a depth has that is no speck: thin things have theirs
along one of them."""


def filled(depth: Plane, known: NDArray[np.bool_], limit: float) -> Plane:
    """A depth without specks, which hardly a neighbour agrees with: they get the median of those around that have some.

    Parameters
    ----------
    depth : float32[y, x]
    known : bool[y, x]
        Others stay, and count for nobody.
    limit : float
        Slices by which neighbours that agree differ, at most.
    """
    plane = np.where(known, depth, np.float32(np.nan))
    agrees = np.maximum(_support(plane, limit), _support(plane.T, limit).T) >= np.float32(_SUPPORT)
    out = depth.copy()
    _fill(plane, agrees, out)
    return out


def _support(plane: Plane, limit: float) -> Plane:
    out = np.empty(plane.shape, np.float32)
    weights = _WEIGHTS / np.float32(_WEIGHTS.sum() - 1)
    _support_rows(np.ascontiguousarray(plane), np.float32(limit), weights, out)
    return out


@njit
def _support_rows(plane: Any, limit: Any, weights: Any, out: Any) -> None:
    zero, height, width = np.float32(0), plane.shape[0], plane.shape[1]
    for y in range(height):
        row, found = plane[y], out[y]
        found[:] = zero
        for step in range(-EVEN, EVEN + 1):
            if step != 0:
                own, first, end = weights[step + EVEN], max(0, -step), min(width, width - step)
                here, there, sums = row[first:end], row[first + step : end + step], found[first:end]
                for x in range(end - first):  # of parts that begin at 0, so that they are added many at a time
                    sums[x] += own if abs(there[x] - here[x]) < limit else zero


@njit
def _fill(plane: Any, agrees: Any, out: Any) -> None:
    height, width = plane.shape
    values = np.empty((2 * FILL + 1) ** 2, np.float32)
    for y in range(height):
        for x in range(width):
            if agrees[y, x] or plane[y, x] != plane[y, x]:
                continue
            count = 0
            for i in range(max(0, y - FILL), min(height, y + FILL + 1)):
                for j in range(max(0, x - FILL), min(width, x + FILL + 1)):
                    if agrees[i, j]:
                        values[count] = plane[i, j]
                        count += 1
            if count:
                values[:count].sort()
                out[y, x] = values[(count - 1) // 2]


def evened(depth: Plane, known: NDArray[np.bool_], limit: float) -> Plane:
    """A depth without its noise: a Gaussian mean, along x and then along y, of what differs by less than a limit.

    A mean of such neighbours keeps edges (Lee 1983, "Digital image smoothing and the sigma filter").

    Parameters
    ----------
    depth : float32[y, x]
    known : bool[y, x]
        Others stay, and count for nobody.
    limit : float
        In slices.
    """
    plane = np.where(known, depth, np.float32(np.nan))
    for turned in (False, True):
        source = np.ascontiguousarray(plane.T) if turned else plane
        out = np.empty_like(source)
        _even_rows(source, np.float32(limit), _WEIGHTS, out)
        plane = out.T if turned else out
    return np.where(known, plane, depth)


@njit
def _even_rows(plane: Any, limit: Any, weights: Any, out: Any) -> None:
    zero, height, width = np.float32(0), plane.shape[0], plane.shape[1]
    total, weight = np.empty(width, np.float32), np.empty(width, np.float32)
    for y in range(height):
        row = plane[y]
        total[:] = zero
        weight[:] = zero
        for step in range(-EVEN, EVEN + 1):
            own, first, end = weights[step + EVEN], max(0, -step), min(width, width - step)
            here, there = row[first:end], row[first + step : end + step]
            sums, found = total[first:end], weight[first:end]
            for x in range(end - first):
                away = there[x] - here[x]
                near = own if abs(away) < limit else zero  # not where one of them is unknown
                sums[x] += near * away if near > zero else zero
                found[x] += near
        for x in range(width):
            out[y, x] = row[x] + total[x] / max(weight[x], own)
