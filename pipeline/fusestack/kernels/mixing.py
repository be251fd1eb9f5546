"""Levels of slices are mixed with those before, row by row: all of a row stays in the caches of the processor.

The finest level, where most pixels are, goes through some slices for each row: the sums of a row, many numbers for each
pixel, are then fetched from memory once for all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fusestack.kernels.detail import (
    ROWS,
    energies_row,
    faint_noise,
    narrow_noise,
    share_row,
    square_row,
    window_sums,
)
from fusestack.kernels.jit import njit
from fusestack.kernels.multiscale import add_row, choose_row, follow_row
from fusestack.kernels.pixels import shares_row
from fusestack.kernels.pyramid import reduce_rows, room_of
from fusestack.kernels.reaches import DETAIL as REACH

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]
    Planes = NDArray[np.float32]
    Sums = tuple[Planes, Plane, Plane]
    Followed = tuple[Plane, Planes, Plane]

_NONE = np.empty((0, 0), np.float32)
_NO_PLANES = np.empty((0, 0, 0), np.float32)
_KEPT = REACH + 1
"""Rows whose detail waits until their energies are known."""
_SEEN = 5


def mix(
    planes: Planes,
    coarse: Planes,
    floors: tuple[float, float],
    factors: Plane | None,
    sums: Sums,
    power: int,
    windows: Planes | None = None,
) -> None:
    """Add a level of a slice to the sums of those before; as `detail.energy` and `multiscale.choose`.

    Parameters
    ----------
    planes : float32[c, y, x]
    coarse : float32[c, halved(y), halved(x)]
    floors : (float, float)
        `noise_energy` of the level, and what is added to energies.
    factors : float32[y, x] or None
        That energies are multiplied by.
    sums : (float32[c, y, x], float32[y, x], float32[y, x])
        See `multiscale.choose`.
    power : int
    windows : float32[2, y, x], optional
        Become what energies would be with a narrow and with a wide window, not multiplied, and nothing added.
    """
    kept, out = _NONE if factors is None else factors, _NO_PLANES if windows is None else windows
    _mix(planes, coarse, narrow_noise(floors[0]), np.float32(floors[1]), kept, *sums, power, out)


@njit
def _mix(
    planes: Any,
    coarse: Any,
    noise: Any,
    added: Any,
    factors: Any,
    total: Any,
    weight: Any,
    greatest: Any,
    power: Any,
    windows: Any,
) -> None:
    count, height, width = planes.shape
    squares, row = np.empty((ROWS, width), np.float32), np.zeros(coarse.shape[2] + 2, np.float32)
    details, weights = np.empty((_KEPT, count, width), np.float32), np.empty((3, width), np.float32)
    rows, energy = np.empty((2, width + 2 * REACH), np.float32), np.empty(width, np.float32)
    near, far = np.empty(width, np.float32), np.empty(width, np.float32)
    for y in range(height + REACH):
        if y < height:
            for c in range(count):
                detail = details[y % _KEPT, c]
                detail[:] = planes[c, y]
                square_row(detail, coarse[c], y, row, squares[y % ROWS], c == 0)
        at = y - REACH
        if at >= 0:
            window_sums(squares, at, height, rows)
            if windows.size:
                energies_row(rows, noise, added, energy, windows[0, at], windows[1, at])
            else:
                energies_row(rows, noise, added, energy, near, far)
            if factors.size:
                kept = factors[at]
                for x in range(width):
                    energy[x] *= kept[x]
            choose_row(energy, weight[at], greatest[at], power, weights)
            for c in range(count):
                add_row(details[at % _KEPT, c], total[c, at], weights)


class Finest(NamedTuple):
    """The finest level of some slices, in order.

    Parameters
    ----------
    values : array[slice, ...]
    black, spans : float32[slice, c]
        See `pixels.Pixels`.
    coarse : float32[slice, c, halved(y), halved(x)]
        The next level.
    windows : float32[slice, 2, halved(y), halved(x)]
        Its energies, see `mix`; without pixels where the share is not wanted.
    factors : float32[n, y, x]
        That energies are multiplied by.
    places : int64[slice]
        Which of the factors are those of a slice; -1: none.
    """

    values: NDArray[Any]
    black: NDArray[np.float32]
    spans: NDArray[np.float32]
    coarse: Planes
    windows: Planes
    factors: Planes
    places: NDArray[np.int64]


def mix_finest(
    slices: Finest,
    floors: tuple[float, float],
    sums: Sums,
    power: int,
    first: int,
    peak: Followed,
    span: tuple[Planes, Planes] | None,
    grain: float,
) -> Planes:
    """As `mix`, of the finest level of some slices; the energy of the wide window is followed, too.

    Parameters
    ----------
    slices : Finest
    floors, sums, power
        See `mix`.
    first : int
        Index of the first slice.
    peak : (float32[y, x], float32[3, y, x], float32[y, x])
        The last value, the peak and its place, see `multiscale.follow_peak`.
    span : (float32[c, y, x], float32[c, y, x]) or None
        Least and greatest numbers so far; changed.
    grain : float
        `noise_energy` of the level where grain counts as noise.

    Returns
    -------
    float32[slice, halved(y), halved(x)]
        `detail.share`, reduced; without pixels where it is not wanted.
    """
    shares = np.empty((len(slices.windows), *slices.windows.shape[2:]), np.float32)
    least, most = (_NO_PLANES, _NO_PLANES) if span is None else span
    noise, added = narrow_noise(floors[0]), np.float32(floors[1])
    _mix_finest(*slices, noise, added, *sums, power, first, *peak, least, most, faint_noise(grain), shares)
    return shares


@njit
def _mix_finest(
    values: Any,
    black: Any,
    spans: Any,
    coarse: Any,
    windows: Any,
    factors: Any,
    places: Any,
    noise: Any,
    added: Any,
    total: Any,
    weight: Any,
    greatest: Any,
    power: Any,
    first: Any,
    last: Any,
    peak: Any,
    place: Any,
    least: Any,
    most: Any,
    faint: Any,
    shares: Any,
) -> None:
    (slices, count), (height, width) = black.shape, weight.shape
    squares, row = np.empty((slices, ROWS, width), np.float32), np.zeros(coarse.shape[3] + 2, np.float32)
    details, weights = np.empty((slices, count, _KEPT, width), np.float32), np.empty((3, width), np.float32)
    rows, seen = np.empty((2, width + 2 * REACH), np.float32), np.empty((slices, _SEEN, width), np.float32)
    energy, near, far = np.empty(width, np.float32), np.empty(width, np.float32), np.empty(width, np.float32)
    room = np.empty(room_of(width), np.float32)
    for y in range(height + REACH):
        for k in range(slices):
            if y < height:
                shares_row(values[k], black[k], spans[k], y, details[k], y % _KEPT)
                for c in range(count):
                    detail = details[k, c, y % _KEPT]
                    if least.size:
                        widen_row(detail, least[c, y], most[c, y])
                    square_row(detail, coarse[k, c], y, row, squares[k, y % ROWS], c == 0)
            at = y - REACH
            if at >= 0:
                window_sums(squares[k], at, height, rows)
                energies_row(rows, noise, added, energy, near, far)
                if places[k] >= 0:
                    kept = factors[places[k], at]
                    for x in range(width):
                        energy[x] *= kept[x]
                        far[x] *= kept[x]
                choose_row(energy, weight[at], greatest[at], power, weights)
                for c in range(count):
                    add_row(details[k, c, at % _KEPT], total[c, at], weights)
                index = np.float32(first + k)
                follow_row(far, index, last[at], peak[0, at], peak[1, at], peak[2, at], place[at])
                if shares.size:
                    share_row(near, windows[k, 0], at, faint, row, seen[k, at % _SEEN])
                    if at % 2 == 0 and at >= 2:
                        reduce_rows(seen[k], at // 2 - 1, height, _SEEN, room, shares[k, at // 2 - 1])
                    if at == height - 1:
                        for j in range(at // 2, shares.shape[1]):
                            reduce_rows(seen[k], j, height, _SEEN, room, shares[k, j])


@njit
def widen_row(planes: Any, least: Any, most: Any) -> None:
    """Make room between the least and the greatest numbers of a row for others."""
    for x in range(planes.size):
        here, low, high = planes[x], least[x], most[x]
        least[x] = here if here < low else low
        most[x] = here if here > high else high
