"""Pictures resampled where a projective map puts their pixels, once, on the grid of the whole picture.

A pixel of the result is a weighted sum of the pixels around where it lies in the source. Places come from indices of
the whole picture in double precision, and sums go in one order, so that no block makes a difference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.kernels.convert import integer_limits, value_dtype
from fusestack.kernels.jit import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

INTERPOLATIONS = ("lanczos", "cubic", "linear")
"""Windowed sinc of three lobes (Duchon 1979), cubic convolution with a = -1/2 (Keys 1981), linear."""
_LOBES = (3.0, 2.0, 1.0)
_NEARLY_WHITE = 0.05
"""Share of white below it in which a gain goes over to none."""
_COS = tuple(np.cos(np.pi * (i - 2) / 3) for i in range(6))
_SIN = tuple(np.sin(np.pi * (i - 2) / 3) for i in range(6))
"""Of thirds of the turn between the six pixels around a place."""


def spread_of(matrix: NDArray[np.float64], plane: tuple[int, int]) -> tuple[float, float]:
    """How many source pixels along x and y a pixel of the result covers, at most; at least one.

    Parameters
    ----------
    matrix : float64[3, 3]
        From pixels (x, y) of the result to those of the source.
    plane : (int, int)
        Rows and columns of the result.
    """
    found = []
    for y in (0, plane[0] - 1):
        for x in (0, plane[1] - 1):
            place = matrix @ (x, y, 1.0)
            slopes = (matrix[:2, :2] - np.outer(place[:2] / place[2], matrix[2, :2])) / place[2]
            found.append(np.hypot(slopes[:, 0], slopes[:, 1]) if _turned(matrix) else np.abs(slopes).max(axis=1))
    widest = np.max(found, axis=0)
    # a similarity that shrinks by a few percent needs no wider kernel
    wide_x, wide_y = (float(value) if value > 1.1 else 1.0 for value in widest)
    return wide_x, wide_y


def _turned(matrix: NDArray[np.float64]) -> bool:
    return bool(np.abs(matrix[[0, 1], [1, 0]]).min() > 0)


def reach(interpolation: str, spread: float) -> int:
    """Pixels of the source on each side of a place that count."""
    return int(np.ceil(_LOBES[INTERPOLATIONS.index(interpolation)] * spread)) + 1


def needed(
    matrix: NDArray[np.float64], region: tuple[int, int, int, int], source: tuple[int, int], around: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Top, bottom, left and right of the source that a region of the result needs; at least one pixel.

    Parameters
    ----------
    matrix : float64[3, 3]
    region : (int, int, int, int)
        Top, bottom, left and right.
    source : (int, int)
        Its rows and columns.
    around : (int, int)
        See `reach`: along x and y.
    """
    top, bottom, left, right = region
    corners = np.array([(x, y, 1.0) for y in (top, bottom - 1) for x in (left, right - 1)]) @ matrix.T
    places = corners[:, :2] / corners[:, 2:]
    low = np.floor(places.min(axis=0)).astype(int) - around
    high = np.ceil(places.max(axis=0)).astype(int) + np.array(around) + 1
    (x0, y0), (x1, y1) = low, high
    y0, x0 = (min(max(0, int(n)), size - 1) for n, size in zip((y0, x0), source, strict=True))
    y1, x1 = (max(first + 1, min(int(n), size)) for n, first, size in zip((y1, x1), (y0, x0), source, strict=True))
    return y0, y1, x0, x1


def warp(
    source: NDArray[Any],
    first: tuple[int, int],
    whole: tuple[int, int],
    matrix: NDArray[np.float64],
    region: tuple[int, int, int, int],
    interpolation: str,
    spread: tuple[float, float],
    gains: NDArray[np.float32],
) -> NDArray[Any]:
    """Resample planes.

    Parameters
    ----------
    source : array[c, y, x]
        What `needed` says, or more.
    first : (int, int)
        Its first row and column.
    whole : (int, int)
        Rows and columns of the whole source: what lies beyond repeats its edge.
    matrix : float64[3, 3]
        From pixels (x, y) of the result to those of the source.
    region : (int, int, int, int)
        Top, bottom, left and right of the result.
    interpolation : str
        See `INTERPOLATIONS`.
    spread : (float, float)
        See `spread_of`.
    gains : float32[c]
        Of each plane.

    Returns
    -------
    array[c, y, x]
        Of the type of the source; integers are rounded and clamped.
    """
    top, bottom, left, right = region
    out = np.empty((len(source), bottom - top, right - left), source.dtype)
    matrix = np.ascontiguousarray(matrix, np.float64)
    kind = np.float32(_LOBES[INTERPOLATIONS.index(interpolation)])
    number = value_dtype(source.dtype).type
    low, high = (number(n) for n in integer_limits(source.dtype))
    corner = np.array([*first, *whole, top, left], np.int64)
    wide = np.array(spread, np.float64)
    straight = not (matrix[0, 1] or matrix[1, 0] or matrix[2, 0] or matrix[2, 1])
    run = _straight if straight else _general
    run(source, corner, matrix, kind, wide, np.ascontiguousarray(gains, number), low, high, out)
    return out


@njit
def _weights(place: float, spread: float, lobes: Any, taps: Any) -> int:
    """Fill normalised weights of the pixels from the returned one on."""
    start = int(np.floor(place - lobes * spread)) + 1
    if spread == 1.0 and place == np.floor(place):
        for i in range(taps.size):
            taps[i] = 1.0 if start + i == int(place) else 0.0
        return start
    total = 0.0
    if spread == 1.0 and lobes == np.float32(3.0):  # two sines for all pixels
        rest = place - (start + 2)
        sine, third, third_cos = np.sin(np.pi * rest), np.sin(np.pi * rest / 3.0), np.cos(np.pi * rest / 3.0)
        for i in range(taps.size):
            x = rest - (i - 2)
            inner = third * _COS[i] - third_cos * _SIN[i]
            weight = (sine if i % 2 == 0 else -sine) * inner / (x * x)
            taps[i] = weight
            total += weight
    else:
        for i in range(taps.size):
            x = abs(start + i - place) / spread
            weight = 0.0
            if lobes == np.float32(3.0):
                if x < 1e-9:
                    weight = 1.0
                elif x < 3.0:
                    angle = np.pi * x
                    weight = 3.0 * np.sin(angle) * np.sin(angle / 3.0) / (angle * angle)
            elif lobes == np.float32(2.0):
                if x < 1.0:
                    weight = (1.5 * x - 2.5) * x * x + 1.0
                elif x < 2.0:
                    weight = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
            elif x < 1.0:
                weight = 1.0 - x
            taps[i] = weight
            total += weight
    for i in range(taps.size):
        taps[i] /= total
    return start


@njit
def _clamped(i: int, first: int, size: int, whole: int) -> int:
    """Place in an array of a pixel of the whole, whose edge goes on."""
    i = min(max(i, 0), whole - 1) - first
    return min(max(i, 0), size - 1)


@njit
def _stored(value: Any, gain: Any, low: Any, high: Any, kind: Any) -> Any:
    """A value as a pixel: brighter or darker, and rounded and clamped where it is an integer.

    What is white stays white: it may have been cut off, in some colours only.
    """
    if high <= low:
        return kind(value * gain)
    if gain < 1:
        rest = (high - value) / (_NEARLY_WHITE * high)
        if rest < 1:
            gain = 1 + (gain - 1) * max(rest, 0)
    value *= gain
    if value >= high:
        return kind(high)
    return kind(max(np.floor(value + 0.5), low))


@njit
def _general(
    source: Any, corner: Any, matrix: Any, lobes: Any, spread: Any, gains: Any, low: Any, high: Any, out: Any
) -> None:
    """Every pixel by itself."""
    kind, number = out.dtype.type, gains.dtype.type
    colours, height, width = out.shape
    nx, ny = int(np.ceil(2 * lobes * spread[0])), int(np.ceil(2 * lobes * spread[1]))
    wx, wy = np.empty(nx, gains.dtype), np.empty(ny, gains.dtype)
    columns = np.empty(nx, np.int64)
    for j in range(height):
        y = float(corner[4] + j)
        for i in range(width):
            x = float(corner[5] + i)
            depth = matrix[2, 0] * x + matrix[2, 1] * y + matrix[2, 2]
            place_x = (matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2]) / depth
            place_y = (matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2]) / depth
            left, top = _weights(place_x, spread[0], lobes, wx), _weights(place_y, spread[1], lobes, wy)
            first, upper = left - corner[1], top - corner[0]  # in the array
            inside = first >= 0 and upper >= 0 and first + nx <= source.shape[2] and upper + ny <= source.shape[1]
            if inside and nx == 6:
                for c in range(colours):
                    total = number(0)
                    for a in range(ny):
                        row = source[c, upper + a]
                        line = (
                            wx[0] * number(row[first])
                            + wx[1] * number(row[first + 1])
                            + wx[2] * number(row[first + 2])
                            + wx[3] * number(row[first + 3])
                            + wx[4] * number(row[first + 4])
                            + wx[5] * number(row[first + 5])
                        )
                        total += wy[a] * line
                    out[c, j, i] = _stored(total, gains[c], low, high, kind)
                continue
            for b in range(nx):
                columns[b] = _clamped(left + b, corner[1], source.shape[2], corner[3])
            for c in range(colours):
                total = number(0)
                for a in range(ny):
                    row = source[c, _clamped(top + a, corner[0], source.shape[1], corner[2])]
                    line = number(0)
                    for b in range(nx):
                        line += wx[b] * number(row[columns[b]])
                    total += wy[a] * line
                out[c, j, i] = _stored(total, gains[c], low, high, kind)


@njit
def _straight(
    source: Any, corner: Any, matrix: Any, lobes: Any, spread: Any, gains: Any, low: Any, high: Any, out: Any
) -> None:
    """Rows first, then along them: nothing is turned."""
    kind, number = out.dtype.type, gains.dtype.type
    colours, height, width = out.shape
    nx, ny = int(np.ceil(2 * lobes * spread[0])), int(np.ceil(2 * lobes * spread[1]))
    wx, wy = np.empty((width, nx), gains.dtype), np.empty(ny, gains.dtype)
    lefts = np.empty(width, np.int64)
    for i in range(width):
        place = (matrix[0, 0] * float(corner[5] + i) + matrix[0, 2]) / matrix[2, 2]
        lefts[i] = _weights(place, spread[0], lobes, wx[i])
    line = np.empty(source.shape[2], gains.dtype)
    for j in range(height):
        place = (matrix[1, 1] * float(corner[4] + j) + matrix[1, 2]) / matrix[2, 2]
        top = _weights(place, spread[1], lobes, wy)
        for c in range(colours):
            line[:] = number(0)
            for a in range(ny):
                weight = wy[a]
                if weight != number(0):
                    row = source[c, _clamped(top + a, corner[0], source.shape[1], corner[2])]
                    for i in range(line.size):
                        line[i] += weight * number(row[i])
            for i in range(width):
                total = number(0)
                for b in range(nx):
                    total += wx[i, b] * line[_clamped(lefts[i] + b, corner[1], line.size, corner[3])]
                out[c, j, i] = _stored(total, gains[c], low, high, kind)
