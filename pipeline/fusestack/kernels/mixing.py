"""A level of a slice is mixed with those before it, row by row: all of a row stays in the caches of the processor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
from fusestack.kernels.pyramid import mirrored, reduce_row
from fusestack.kernels.reaches import DETAIL as REACH

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]
    Planes = NDArray[np.float32]

_NONE = np.empty((0, 0), np.float32)
_NO_PEAK = np.empty((0, 0, 0), np.float32)


def mix(
    planes: Planes,
    coarse: Planes,
    floors: tuple[float, float],
    factors: Plane | None,
    sums: tuple[Planes, Plane, Plane],
    power: int,
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
    """
    kept = _NONE if factors is None else factors
    noise, added = narrow_noise(floors[0]), np.float32(floors[1])
    _mix(planes, coarse, noise, added, kept, *sums, power, np.float32(0), _NONE, _NO_PEAK, _NONE, _NONE, noise, _NONE)


def mix_finest(
    planes: Planes,
    coarse: Planes,
    floors: tuple[float, float],
    factors: Plane | None,
    sums: tuple[Planes, Plane, Plane],
    power: int,
    index: int,
    peak: tuple[Plane, Planes, Plane],
    below: tuple[Plane, float] | None,
) -> Plane:
    """As `mix`, of the finest level: the energy of the wide window is followed, too.

    Parameters
    ----------
    planes, coarse, floors, factors, sums, power
        See `mix`.
    index : int
        Of the slice.
    peak : (float32[y, x], float32[3, y, x], float32[y, x])
        The last value, the peak and its place, see `multiscale.follow_peak`.
    below : (float32[halved(y), halved(x)], float) or None
        Energy of the next level in a narrow window, and `noise_energy` of this one where grain counts as noise.

    Returns
    -------
    float32[halved(y), halved(x)]
        `detail.share`, reduced; without pixels where nothing is known of the next level.
    """
    kept = _NONE if factors is None else factors
    found = _NONE if below is None else np.empty_like(below[0])
    _mix(
        planes,
        coarse,
        narrow_noise(floors[0]),
        np.float32(floors[1]),
        kept,
        *sums,
        power,
        np.float32(index),
        *peak,
        _NONE if below is None else below[0],
        faint_noise(0 if below is None else below[1]),
        found,
    )
    return found


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
    index: Any,
    last: Any,
    peak: Any,
    place: Any,
    narrow: Any,
    faint: Any,
    shares: Any,
) -> None:
    count, height, width = planes.shape
    squares, row = np.empty((ROWS, width), np.float32), np.zeros(coarse.shape[2] + 2, np.float32)
    details, weights = np.empty((REACH + 1, count, width), np.float32), np.empty((3, width), np.float32)
    rows, seen = np.empty((2, width + 2 * REACH), np.float32), np.empty((5, width), np.float32)
    energy, near, far = np.empty(width, np.float32), np.empty(width, np.float32), np.empty(width, np.float32)
    wide = np.empty(width + 4, np.float32)
    for y in range(height + REACH):
        if y < height:
            for c in range(count):
                detail = details[y % (REACH + 1), c]
                detail[:] = planes[c, y]
                square_row(detail, coarse[c], y, row, squares[y % ROWS], c == 0)
        at = y - REACH
        if at >= 0:
            window_sums(squares, at, height, rows)
            energies_row(rows, noise, added, energy, near, far)
            if factors.size:
                kept = factors[at]
                for x in range(width):
                    energy[x] *= kept[x]
                    far[x] *= kept[x]
            choose_row(energy, weight[at], greatest[at], power, weights)
            for c in range(count):
                add_row(details[at % (REACH + 1), c], total[c, at], weights)
            if last.size:
                follow_row(far, index, last[at], peak[0, at], peak[1, at], peak[2, at], place[at])
            if shares.size:
                share_row(near, narrow, at, faint, row, seen[at % 5])
                if at % 2 == 0 and at >= 2:
                    _reduce_share(seen, at // 2 - 1, height, wide, shares)
                if at == height - 1:
                    for j in range(at // 2, shares.shape[0]):
                        _reduce_share(seen, j, height, wide, shares)


@njit
def _reduce_share(seen: Any, j: Any, height: Any, wide: Any, shares: Any) -> None:
    a, b = seen[mirrored(2 * j - 2, height) % 5], seen[mirrored(2 * j - 1, height) % 5]
    d, e = seen[mirrored(2 * j + 1, height) % 5], seen[mirrored(2 * j + 2, height) % 5]
    reduce_row(a, b, seen[2 * j % 5], d, e, wide, shares[j])
