"""Coarser levels of a slice straight from its stored pixels, row by row: its finest level is never whole in memory.

The numbers are those of `pixels.shares`, `detail.white`, `detail.grain` and `pyramid.reduce`, one after the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.kernels.detail import grain_row, white_row
from fusestack.kernels.jit import njit
from fusestack.kernels.pixels import shares_row
from fusestack.kernels.pyramid import halved, reduce_rows, room_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fusestack.kernels.pixels import Pixels

    Plane = NDArray[np.float32]
    Planes = NDArray[np.float32]

CELL = 128
"""Pixels along an axis of the squares in which is looked for what is white."""
_RING = 8
"""Rows that are kept: five make one of the next level, and four one of the grain."""
_GRAIN = 4
"""Pixels along an axis of a mean of the grain."""


def once(pixels: Pixels, white: float, out: Planes) -> NDArray[np.bool_]:
    """The next level of a slice, and where something is white.

    Parameters
    ----------
    pixels : Pixels
    white : float
        From here on colours are white.
    out : float32[c, halved(y), halved(x)]
        Becomes the level.

    Returns
    -------
    bool[y / CELL, x / CELL]
        Of each square, whether all colours of a pixel are white.
    """
    colours, height, width = pixels.shape
    cells = np.zeros((-(-height // CELL), -(-width // CELL)), np.bool_)
    ring = np.empty((colours, _RING, width), np.float32)
    _once(*pixels, np.float32(white), height, ring, out, cells)
    return cells


@njit
def _once(values: Any, black: Any, span: Any, white: Any, height: Any, ring: Any, out: Any, cells: Any) -> None:
    colours, width = ring.shape[0], ring.shape[2]
    room, whites = np.empty(room_of(width), np.float32), np.empty(width, np.float32)
    for y in range(height):
        at = y % _RING
        shares_row(values, black, span, y, ring, at)
        if np.isfinite(white) and white_row(ring, at, colours, white, whites):
            for x in range(width):
                if whites[x] > 0:
                    cells[y // CELL, x // CELL] = True
        for j in range(_ready(y, height), _ready(y + 1, height)):
            for c in range(colours):
                reduce_rows(ring[c], j, height, _RING, room, out[c, j])


def twice(pixels: Pixels, white: float | None) -> tuple[Planes, Plane]:
    """The second level after that of a slice, and its grain.

    Parameters
    ----------
    pixels : Pixels
    white : float or None
        From here on colours are white; None: it is not looked for.

    Returns
    -------
    float32[c, y / 4, x / 4]
        The colours, and where `white` is given the share of what is white behind them.
    float32[y / 4, x / 4]
        See `detail.grain`, of cells of four pixels.
    """
    colours, *plane = pixels.shape
    half = [halved(n) for n in plane]
    quarter = [halved(n) for n in half]
    out = np.empty((colours + (white is not None), *quarter), np.float32)
    grain = np.empty(quarter, np.float32)
    ring, small = (np.empty((len(out), _RING, width), np.float32) for width in (plane[1], half[1]))
    _twice(*pixels, np.float32(white or 0), plane[0], ring, small, out, grain)
    return out, grain


@njit
def _twice(
    values: Any, black: Any, span: Any, white: Any, height: Any, ring: Any, small: Any, out: Any, grain: Any
) -> None:
    colours, width, halves = black.size, ring.shape[2], (height + 1) // 2
    room, sums = np.empty(room_of(width), np.float32), np.empty(width // 2, np.float32)
    for y in range(height):
        at, first = y % _RING, y // _GRAIN * _GRAIN
        shares_row(values, black, span, y, ring, at)
        if out.shape[0] > colours:
            white_row(ring, at, colours, white, ring[colours, at])
        if y == height - 1 or y == first + _GRAIN - 1:
            grain_row(ring, first % _RING, (y + 1 - first) // 2, colours, _GRAIN, sums, grain[y // _GRAIN])
        for j in range(_ready(y, height), _ready(y + 1, height)):
            for c in range(out.shape[0]):
                reduce_rows(ring[c], j, height, _RING, room, small[c, j % _RING])
            for i in range(_ready(j, halves), _ready(j + 1, halves)):
                for c in range(out.shape[0]):
                    reduce_rows(small[c], i, halves, _RING, room, out[c, i])


@njit
def _ready(rows: Any, height: Any) -> Any:
    """How many rows of the next level can be made of so many of a plane."""
    return (height + 1) // 2 if rows == height else max(0, (rows - 1) // 2)
