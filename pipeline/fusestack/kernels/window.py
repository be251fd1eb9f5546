"""Statistics of a square window around each pixel, ImageMagick's ``-statistic``; borders repeat the edge pixel.

A window of even width covers one pixel more to the top left. Sums are taken in a fixed order, never by sliding, so
that they do not depend on where an array begins.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.kernels.jit import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Planes = NDArray[np.float32]

STATISTICS = (
    "Mean",
    "StandardDeviation",
    "RootMeanSquare",
    "Gradient",
    "Maximum",
    "Minimum",
    "Median",
    "Mode",
    "Nonpeak",
    "Contrast",
)
_RANKS = ("Median", "Mode", "Nonpeak")
_STRIP = 1024


def statistic(planes: Planes, kind: str, window: int) -> Planes:
    """Compute a statistic of the window around each pixel.

    Parameters
    ----------
    planes : float32[c, y, x]
    kind : str
        One of `STATISTICS`; ``Median``, ``Mode`` and ``Nonpeak`` round to 16 bits; ``Contrast`` is
        ``|max - min| / |max + min|``.
    window : int
        Full width of the window.

    Returns
    -------
    float32[c, y, x]
    """
    out = np.empty_like(planes)
    for plane, result in zip(planes, out, strict=True):
        one = np.ascontiguousarray(plane)
        if kind in _RANKS:
            result[...] = _ranked(one, kind, window)
        elif kind in ("Gradient", "Maximum", "Minimum", "Contrast"):
            result[...] = _of_extremes(one, kind, window)
        else:
            _moment(one, window, ("Mean", "StandardDeviation", "RootMeanSquare").index(kind), result)
    return out


def _of_extremes(plane: NDArray[np.float32], kind: str, window: int) -> NDArray[np.float32]:
    low = high = plane
    if kind != "Maximum":
        low = -_greatest(-plane, window)
    if kind != "Minimum":
        high = _greatest(plane, window)
    if kind == "Maximum":
        return high
    if kind == "Minimum":
        return low
    if kind == "Gradient":
        return high - low
    total = np.abs(high + low)
    return np.asarray(np.divide(np.abs(high - low), total, out=np.zeros_like(plane), where=total > 0))


@njit
def _greatest(plane: Any, window: Any) -> Any:
    height, width = plane.shape
    before = window // 2
    rows = np.empty_like(plane)
    padded = np.empty(width + window - 1, np.float32)
    for y in range(height):
        _pad(plane[y], before, padded)
        row = rows[y]
        row[:] = padded[:width]
        for j in range(1, window):
            _greater(row, padded[j : j + width])
    out = np.empty_like(plane)
    for y in range(height):
        row = out[y]
        row[:] = rows[max(0, y - before)]
        for i in range(1, window):
            _greater(row, rows[min(max(y - before + i, 0), height - 1)])
    return out


@njit
def _greater(row: Any, other: Any) -> None:
    for x in range(row.size):
        a, b = row[x], other[x]
        row[x] = b if b > a else a


@njit
def _pad(row: Any, before: Any, padded: Any) -> None:
    width = row.size
    padded[before : before + width] = row
    padded[:before] = row[0]
    padded[before + width :] = row[width - 1]


@njit
def _moment(plane: Any, window: Any, kind: Any, out: Any) -> None:
    """Mean, standard deviation or root mean square; sums in float64, rows kept in a ring."""
    height, width = plane.shape
    before = window // 2
    after = window - 1 - before
    sums = np.empty((window, width), np.float64)
    squares = np.empty((window, width), np.float64)
    padded = np.empty(width + window - 1, np.float32)
    share = 1.0 / (window * window)
    total = np.empty(width, np.float64)
    total2 = np.empty(width, np.float64)
    filled = 0
    for y in range(height):
        while filled < min(height, y + after + 1):
            _pad(plane[filled], before, padded)
            _add_row(padded, window, kind, sums[filled % window], squares[filled % window])
            filled += 1
        total[:] = 0
        total2[:] = 0
        for i in range(window):
            place = min(max(y - before + i, 0), height - 1) % window
            if kind != 2:
                line = sums[place]
                for x in range(width):
                    total[x] += line[x]
            if kind != 0:
                line = squares[place]
                for x in range(width):
                    total2[x] += line[x]
        row = out[y]
        for x in range(width):
            if kind == 0:
                row[x] = total[x] * share
            elif kind == 1:
                mean = total[x] * share
                row[x] = np.sqrt(max(total2[x] * share - mean * mean, 0.0))
            else:
                row[x] = np.sqrt(max(total2[x] * share, 0.0))


@njit
def _add_row(padded: Any, window: Any, kind: Any, total: Any, total2: Any) -> None:
    total[:] = 0
    total2[:] = 0
    for j in range(window):
        line = padded[j : j + total.size]
        if kind != 2:
            for x in range(total.size):
                total[x] += line[x]
        if kind != 0:
            for x in range(total.size):
                value = np.float64(line[x])
                total2[x] += value * value


def _ranked(plane: NDArray[np.float32], kind: str, window: int) -> NDArray[np.float32]:
    """Median, mode or nonpeak of values rounded to 16 bits."""
    sixteen = np.clip(np.floor(plane * np.float32(65535) + np.float32(0.5)), 0, 65535).astype(np.uint16)
    count = window * window
    out = np.empty(plane.shape, np.uint16)
    _rank(sixteen, window, _RANKS.index(kind), sorting_network(count, count // 2 if kind == "Median" else None), out)
    return out.astype(np.float32) / np.float32(65535)


@functools.lru_cache(maxsize=64)
def sorting_network(count: int, wanted: int | None = None) -> NDArray[np.int64]:
    """Pairs to exchange so that `count` values are sorted: Batcher's odd-even merge sort (1968).

    Parameters
    ----------
    count : int
    wanted : int, optional
        Only this place has to be right; pairs that it does not depend on are left out.

    Returns
    -------
    int64[pair, 2]
        The smaller value of each pair goes to the first place, the larger one to the second.
    """
    pairs = []
    p = 1
    while p < count:
        k = p
        while k >= 1:
            for j in range(k % p, count - k, 2 * k):
                for i in range(j, j + min(k, count - j - k)):
                    if i // (2 * p) == (i + k) // (2 * p):
                        pairs.append((i, i + k))
            k //= 2
        p *= 2
    if wanted is not None:
        needed, kept = {wanted}, []
        for pair in reversed(pairs):
            if needed & set(pair):
                needed |= set(pair)
                kept.append(pair)
        pairs = kept[::-1]
    return np.array(pairs, np.int64).reshape(-1, 2)


@njit
def _rank(plane: Any, window: Any, kind: Any, pairs: Any, out: Any) -> None:
    """A row for each pixel of the window, moved so that they lie over one another, and sorted as rows."""
    height, width = plane.shape
    before = window // 2
    count = window * window
    strip = min(width, _STRIP)
    rows = np.empty((count, strip), plane.dtype)
    padded = np.empty((height, width + window - 1), plane.dtype)
    for y in range(height):
        _pad(plane[y], before, padded[y])
    for y in range(height):
        for left in range(0, width, strip):
            size = min(strip, width - left)
            for i in range(window):
                source = padded[min(max(y - before + i, 0), height - 1)]
                for j in range(window):
                    rows[i * window + j, :size] = source[left + j : left + j + size]
            for n in range(pairs.shape[0]):
                _exchange(rows[pairs[n, 0], :size], rows[pairs[n, 1], :size])
            target = out[y, left : left + size]
            if kind == 0:
                target[:] = rows[count // 2, :size]
            else:
                for x in range(size):
                    target[x] = _most_frequent(rows[:, x]) if kind == 1 else _not_at_the_end(rows[:, x])


@njit
def _exchange(low: Any, high: Any) -> None:
    for x in range(low.size):
        a, b = low[x], high[x]
        low[x], high[x] = min(a, b), max(a, b)


@njit
def _most_frequent(values: Any) -> Any:
    best, most, start = values[0], 0, 0
    for i in range(1, values.size + 1):
        if i == values.size or values[i] != values[start]:
            if i - start > most:
                best, most = values[start], i - start
            start = i
    return best


@njit
def _not_at_the_end(values: Any) -> Any:
    """The median, or its neighbour among the distinct values where it is the smallest or largest of them."""
    middle = values[values.size // 2]
    if middle == values[0]:
        for i in range(values.size):
            if values[i] > middle:
                return values[i]
    elif middle == values[values.size - 1]:
        for i in range(values.size - 1, -1, -1):
            if values[i] < middle:
                return values[i]
    return middle
