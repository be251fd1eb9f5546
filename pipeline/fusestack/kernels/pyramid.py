"""Laplacian pyramids of planes: half as many pixels at each level, and what a level has beyond the next.

A level begins where its plane begins, so those of a block are those of the image where the block begins at a multiple
of two to the number of levels. Beyond its edges a plane is mirrored; what is made larger again is divided by what its
taps find, so that constant planes stay constant (Burt and Adelson 1983, "The Laplacian pyramid as a compact image
code"; the edges as in enfuse).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.kernels.jit import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]
    Planes = NDArray[np.float32]


def halved(size: int) -> int:
    """Pixels of the next level along an axis."""
    return -(-size // 2)


def reduce(planes: Planes, out: Planes | None = None) -> Planes:
    """Planes of half the size: the taps 1 4 6 4 1 / 16 along both axes, at every second pixel.

    Parameters
    ----------
    planes : float32[c, y, x]
    out : float32[c, halved(y), halved(x)], optional
        Where they are put.

    Returns
    -------
    float32[c, halved(y), halved(x)]
    """
    if out is None:
        out = np.empty((len(planes), halved(planes.shape[1]), halved(planes.shape[2])), np.float32)
    _reduce(np.ascontiguousarray(planes), out)
    return out


@njit
def mirrored(i: Any, size: Any) -> Any:
    """Where a pixel beyond an edge is found: the edge pixel is repeated."""
    while i < 0 or i >= size:
        i = -1 - i if i < 0 else 2 * size - 1 - i
    return i


@njit
def _reduce(planes: Any, out: Any) -> None:
    height, width = planes.shape[1:]
    row = np.empty(room_of(width), np.float32)
    for c in range(planes.shape[0]):
        for y in range(out.shape[1]):
            reduce_rows(planes[c], y, height, height, row, out[c, y])


@njit
def reduce_rows(rows: Any, j: Any, height: Any, count: Any, row: Any, out: Any) -> None:
    """Row j of the next level; row y of a plane is the one of `rows` whose number divided by `count` has its rest."""
    a, b = rows[mirrored(2 * j - 2, height) % count], rows[mirrored(2 * j - 1, height) % count]
    d, e = rows[mirrored(2 * j + 1, height) % count], rows[mirrored(2 * j + 2, height) % count]
    reduce_row(a, b, rows[2 * j % count], d, e, row, out)


@njit
def room_of(width: Any) -> Any:
    """Numbers that `reduce_row` needs room for, for rows of so many pixels or fewer."""
    return width + 5


@njit
def reduce_row(a: Any, b: Any, here: Any, d: Any, e: Any, row: Any, out: Any) -> None:
    """As `reduce`, for one row from five; `row` is room for work, see `room_of`.

    Every second pixel first, then the others: what lies side by side is added many at a time.
    """
    four, six, scale, width, half = np.float32(4), np.float32(6), np.float32(1 / 256), here.size, out.size
    even, odd = row[: half + 2], row[half + 2 : 2 * half + 3]  # pixels 2 x and 2 x + 1 are at x + 1
    for x in range(width // 2):
        even[x + 1] = (a[2 * x] + e[2 * x]) + four * (b[2 * x] + d[2 * x]) + six * here[2 * x]
        odd[x + 1] = (a[2 * x + 1] + e[2 * x + 1]) + four * (b[2 * x + 1] + d[2 * x + 1]) + six * here[2 * x + 1]
    if width % 2:
        x = width - 1
        even[half] = (a[x] + e[x]) + four * (b[x] + d[x]) + six * here[x]
        odd[half] = even[half]
        even[half + 1] = odd[half - 1] if width > 1 else even[half]
    else:
        even[half + 1] = odd[half]
    odd[0], even[0] = even[1], odd[1]
    for x in range(half):
        out[x] = scale * ((even[x] + even[x + 2]) + four * (odd[x] + odd[x + 1]) + six * even[x + 1])


def add_expanded(planes: Planes, coarse: Planes, factor: float = 1.0) -> None:
    """Add a multiple of a coarser level, made as large as this one, in place.

    Parameters
    ----------
    planes : float32[c, y, x]
    coarse : float32[c, halved(y), halved(x)]
    factor : float
        -1 leaves what a level has beyond the next, the detail; 1 puts both together again.
    """
    _add_expanded(planes, np.ascontiguousarray(coarse), np.float32(factor))


@njit
def _weights(i: Any, size: Any) -> Any:
    """Weights of the coarse pixels ``i // 2 - 1``, ``i // 2`` and ``i // 2 + 1`` for pixel i of a level."""
    at = i // 2
    before = np.float32(1 if at > 0 and i % 2 == 0 else 0)
    here = np.float32(6 if i % 2 == 0 else 4)
    behind = np.float32((1 if i % 2 == 0 else 4) if at + 1 < size else 0)
    total = before + here + behind
    return before / total, here / total, behind / total


@njit
def _add_expanded(planes: Any, coarse: Any, factor: Any) -> None:
    row = np.zeros(coarse.shape[2] + 2, np.float32)
    for c in range(planes.shape[0]):
        for y in range(planes.shape[1]):
            add_expanded_row(planes[c, y], coarse[c], y, row, factor)


@njit
def add_expanded_row(out: Any, coarse: Any, y: Any, row: Any, factor: Any) -> None:
    """As `add_expanded`, for row y of one plane; `row` is room for work: 0, columns of `coarse`, 0."""
    height, width = coarse.shape
    half, one, six = np.float32(0.5), np.float32(1 / 8), np.float32(6 / 8)
    at = y // 2
    a, b, d = _weights(y, height)
    above, here, below = coarse[max(at - 1, 0)], coarse[at], coarse[min(at + 1, height - 1)]
    for x in range(width):
        row[x + 1] = factor * (a * above[x] + b * here[x] + d * below[x])
    first, last, end = _weights(0, width), _weights(2 * width - 2, width), _weights(2 * width - 1, width)
    out[0] += first[1] * row[1] + first[2] * row[2]
    if width > 1:
        out[1] += half * (row[1] + row[2])
    for x in range(1, width - 1):
        even, odd = one * (row[x] + row[x + 2]) + six * row[x + 1], half * (row[x + 1] + row[x + 2])
        out[2 * x] += even
        out[2 * x + 1] += odd
    if width > 1:
        out[2 * width - 2] += last[0] * row[width - 1] + last[1] * row[width]
    if out.size == 2 * width:
        out[2 * width - 1] += end[1] * row[width]


def finer(coarse: Plane, shape: tuple[int, int], limit: float) -> Plane:
    """A plane of the next finer level: expanded where neighbours differ by little, else each pixel that of its place.

    Parameters
    ----------
    coarse : float32[halved(y), halved(x)]
    shape : (int, int)
        Rows and columns of what is made.
    limit : float
        How much a pixel may differ from the coarse one of its place; 0: not at all.
    """
    out = np.empty(shape, np.float32)
    _finer(coarse, np.float32(limit), out)
    return out


@njit
def _finer(coarse: Any, limit: Any, out: Any) -> None:
    width = out.shape[1]
    smooth, row = np.empty(width, np.float32), np.zeros(coarse.shape[1] + 2, np.float32)
    for y in range(out.shape[0]):
        here, found = coarse[y // 2], out[y]
        for x in range(width // 2):
            found[2 * x] = here[x]
            found[2 * x + 1] = here[x]
        found[width - 1] = here[(width - 1) // 2]
        if limit > 0:
            smooth[:] = np.float32(0)
            add_expanded_row(smooth, coarse, y, row, np.float32(1))
            for x in range(width):
                own, other = found[x], smooth[x]
                found[x] = other if abs(other - own) < limit else own
