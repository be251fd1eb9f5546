"""How much detail there is in the levels of a slice, and how much of it counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.kernels.jit import njit
from fusestack.kernels.powers import raise_row
from fusestack.kernels.pyramid import add_expanded_row, mirrored
from fusestack.kernels.reaches import DETAIL as REACH

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]
    Planes = NDArray[np.float32]

ROWS = 2 * REACH + 1
"""Rows that are looked at for one row of energies."""
_NOISE = (0.8887, 0.0531, 0.01018, 0.00242)
"""Energy of the levels of a Laplacian pyramid of white noise of variance 1; each further level has a quarter."""
_NARROW = 4.0
"""Energy in units of the noise from which on a narrow window says more than a wide one."""
_FAINT = 2.0
"""Energy in units of the noise that counts as much as none."""
_LEAST = 1e-16
"""Energies are not lowered further: they stay above 0, and can be compared, where all slices are white."""


def noise_energy(level: int, deviation: float, colours: int) -> float:
    """Energy that white noise has in a level of a Laplacian pyramid.

    Parameters
    ----------
    level : int
        0 is the finest.
    deviation : float
        Of a pixel of a slice.
    colours : int
    """
    beyond = max(0, level - len(_NOISE) + 1)
    return float(colours * deviation**2 * _NOISE[min(level, len(_NOISE) - 1)] / 4**beyond)


def energy(planes: Planes, coarse: Planes, noise: float, added: float, out: Planes) -> None:
    """How much detail there is around each pixel of a level, beyond a coarser one.

    Squares, summed over colours and averaged over a window. Where there is much more than noise, the window is narrow,
    1 4 1 / 6, so that thin things and edges in depth are outlined; where there is not, it is binomial, of 9 pixels, so
    that it is not the noise that decides.

    Parameters
    ----------
    planes : float32[c, y, x]
    coarse : float32[c, halved(y), halved(x)]
        See `fusestack.kernels.pyramid.reduce`.
    noise : float
        `noise_energy` of the level.
    added : float
        To energies.
    out : float32[1 or 3, y, x]
        The energy; what it would be with a narrow and with a wide window, nothing added.
    """
    _energy(planes, coarse, narrow_noise(noise), np.float32(added), out)


def narrow_noise(noise: float) -> np.float32:
    """The energy from which on a narrow window decides, see `energy`."""
    return np.float32(_NARROW * noise)


@njit
def _energy(planes: Any, coarse: Any, noise: Any, added: Any, out: Any) -> None:
    _, height, width = planes.shape
    squares, row = np.empty((ROWS, width), np.float32), np.zeros(coarse.shape[2] + 2, np.float32)
    rows = np.empty((2, width + 2 * REACH), np.float32)
    detail, near, far = np.empty(width, np.float32), np.empty(width, np.float32), np.empty(width, np.float32)
    for y in range(height + REACH):
        if y < height:
            for c in range(planes.shape[0]):
                detail[:] = planes[c, y]
                square_row(detail, coarse[c], y, row, squares[y % ROWS], c == 0)
        at = y - REACH
        if at >= 0:
            window_sums(squares, at, height, rows)
            if out.shape[0] == 3:
                energies_row(rows, noise, added, out[0, at], out[1, at], out[2, at])
            else:
                energies_row(rows, noise, added, out[0, at], near, far)


@njit
def square_row(planes: Any, coarse: Any, y: Any, row: Any, square: Any, first: Any) -> None:
    """Leave of a row what it has beyond a coarser plane, and add its square to others, or begin with it."""
    add_expanded_row(planes, coarse, y, row, np.float32(-1))
    if first:
        for x in range(planes.size):
            square[x] = planes[x] * planes[x]
    else:
        for x in range(planes.size):
            square[x] += planes[x] * planes[x]


@njit
def window_sums(squares: Any, y: Any, height: Any, rows: Any) -> None:
    """Sums along y: `rows` becomes those of the wide and of the narrow window, with what is beyond the ends.

    Row y is the one of `squares` whose number has the same rest.
    """
    eight, w2, w3, w4 = np.float32(8), np.float32(28), np.float32(56), np.float32(70)
    four, count, width = np.float32(4), squares.shape[0], squares.shape[1]
    wide, narrow = rows[0], rows[1]
    a, b = squares[mirrored(y - 4, height) % count], squares[mirrored(y - 3, height) % count]
    c, d = squares[mirrored(y - 2, height) % count], squares[mirrored(y - 1, height) % count]
    e, f = squares[mirrored(y + 1, height) % count], squares[mirrored(y + 2, height) % count]
    g, h = squares[mirrored(y + 3, height) % count], squares[mirrored(y + 4, height) % count]
    here = squares[y % count]
    for x in range(width):
        beside = d[x] + e[x]
        total = (a[x] + h[x]) + eight * (b[x] + g[x]) + w2 * (c[x] + f[x])
        wide[x + 4] = total + w3 * beside + w4 * here[x]
        narrow[x + 4] = beside + four * here[x]
    for i in (-4, -3, -2, -1, width, width + 1, width + 2, width + 3):
        wide[i + 4] = wide[mirrored(i, width) + 4]
        narrow[i + 4] = narrow[mirrored(i, width) + 4]


@njit
def energies_row(rows: Any, noise: Any, added: Any, out: Any, near: Any, far: Any) -> None:
    """Energies of a row from `window_sums`; see `energy`."""
    eight, w2, w3, w4 = np.float32(8), np.float32(28), np.float32(56), np.float32(70)
    four, ninth, scale = np.float32(4), np.float32(1 / 36), np.float32(1 / 65536)
    wide, narrow = rows[0], rows[1]
    for x in range(out.size):
        total = (wide[x] + wide[x + 8]) + eight * (wide[x + 1] + wide[x + 7]) + w2 * (wide[x + 2] + wide[x + 6])
        distant = scale * (total + w3 * (wide[x + 3] + wide[x + 5]) + w4 * wide[x + 4])
        close = ninth * ((narrow[x + 3] + narrow[x + 5]) + four * narrow[x + 4])
        near[x], far[x] = close, distant
        out[x] = distant + distant / (distant + noise) * (close - distant) + added


def smooth(plane: Plane, factor: float = 1.0) -> Plane:
    """A plane under a window 1 4 6 4 1 / 16, times a factor: float32[y, x]."""
    out = np.empty_like(plane)
    _smooth(plane, out, np.float32(factor / 256))
    return out


@njit
def _smooth(plane: Any, out: Any, scale: Any) -> None:
    height, width = plane.shape
    row = np.empty(width + 4, np.float32)
    four, six = np.float32(4), np.float32(6)
    for y in range(height):
        a, b = plane[mirrored(y - 2, height)], plane[mirrored(y - 1, height)]
        d, e = plane[mirrored(y + 1, height)], plane[mirrored(y + 2, height)]
        here, found = plane[y], out[y]
        for x in range(width):
            row[x + 2] = (a[x] + e[x]) + four * (b[x] + d[x]) + six * here[x]
        for i in (-2, -1, width, width + 1):
            row[i + 2] = row[mirrored(i, width) + 2]
        for x in range(width):
            found[x] = scale * ((row[x] + row[x + 4]) + four * (row[x + 1] + row[x + 3]) + six * row[x + 2])


def share(fine: Plane, coarse: Plane, noise: float) -> Plane:
    """Share of the detail that only what is sharp has, 0..1: outlines of what is blurred are in the coarser level.

    Unlike energy, it does not grow with contrast: what is beside a dark hair is not as sharp as the hair.

    Parameters
    ----------
    fine : float32[y, x]
        Energy of the finest level.
    coarse : float32[halved(y), halved(x)]
        Energy of the next level.
    noise : float
        `noise_energy` of the finest level.
    """
    out, row = np.empty_like(fine), np.zeros(coarse.shape[1] + 2, np.float32)
    _share(fine, coarse, faint_noise(noise), row, out)
    return out


def faint_noise(noise: float) -> np.float32:
    """The energy that counts as much as none, see `share`."""
    return np.float32(_FAINT * noise)


@njit
def _share(fine: Any, coarse: Any, noise: Any, row: Any, out: Any) -> None:
    for y in range(fine.shape[0]):
        share_row(fine[y], coarse, y, noise, row, out[y])


@njit
def share_row(fine: Any, coarse: Any, y: Any, noise: Any, row: Any, out: Any) -> None:
    """See `share`."""
    out[:] = np.float32(0)
    add_expanded_row(out, coarse, y, row, np.float32(0.5))
    for x in range(out.size):
        out[x] = fine[x] / (fine[x] + noise + out[x])


def grain(planes: Planes, cell: int) -> Plane:
    """What squares of four pixels have besides means and slopes; where it is noise, as large as that of one pixel.

    Parameters
    ----------
    planes : float32[c, y, x]
    cell : int
        Pixels along an axis of what a mean is taken of; even.

    Returns
    -------
    float32[y / cell, x / cell], rounded up
        Means of sizes over colours and squares; -1 where there is no whole square.
    """
    height, width = (-(-n // cell) for n in planes.shape[1:])
    out = np.empty((height, width), np.float32)
    _grain(np.ascontiguousarray(planes), cell, out)
    return out


@njit
def _grain(planes: Any, cell: Any, out: Any) -> None:
    sums = np.empty(planes.shape[2] // 2, np.float32)
    for i in range(out.shape[0]):
        first = i * cell
        rows = min(cell, planes.shape[1] - first)
        grain_row(planes, first, rows // 2, planes.shape[0], cell, sums, out[i])


@njit
def grain_row(planes: Any, first: Any, pairs: Any, colours: Any, cell: Any, sums: Any, out: Any) -> None:
    """See `grain`; of the cells of so many pairs of rows from the first one on; `sums` is room for work."""
    half, squares = np.float32(0.5), sums.size
    sums[:] = np.float32(0)
    for c in range(colours):
        for y in range(first, first + 2 * pairs, 2):
            above, below = planes[c, y], planes[c, y + 1]
            for x in range(squares):
                sums[x] += abs((above[2 * x] - above[2 * x + 1]) - (below[2 * x] - below[2 * x + 1]))
    for j in range(out.size):
        total, count = np.float32(0), pairs * colours
        start, stop = j * cell // 2, min((j + 1) * cell // 2, squares)
        for x in range(start, stop):
            total += sums[x]
        count *= max(0, stop - start)
        out[j] = half * total / np.float32(count) if count > 0 else np.float32(-1)


def white(colours: Planes, level: float) -> Planes | None:
    """1 where all colours are at least so bright, else 0: float32[1, y, x]; None where that is nowhere."""
    out = np.empty((1, *colours.shape[1:]), np.float32)
    return out if _white(np.ascontiguousarray(colours), np.float32(level), out[0]) else None


@njit
def _white(colours: Any, level: Any, out: Any) -> Any:
    found = False
    for y in range(out.shape[0]):
        found |= white_row(colours, y, colours.shape[0], level, out[y])
    return found


@njit
def white_row(planes: Any, y: Any, colours: Any, level: Any, out: Any) -> Any:
    """See `white`; of row y of the first planes. Whether something is white."""
    zero, one, first = np.float32(0), np.float32(1), planes[0, y]
    for x in range(out.size):
        out[x] = one if first[x] >= level else zero
    for c in range(1, colours):
        more = planes[c, y]
        for x in range(out.size):
            out[x] = out[x] if more[x] >= level else zero
    found = np.int32(0)  # sums of whole numbers go by many at a time
    for x in range(out.size):
        found |= np.int32(out[x])
    return found > 0


def not_white(whites: Plane, power: int) -> Plane:
    """What energies are multiplied by beside what is white: discs of highlights out of focus are white and outlined.

    Parameters
    ----------
    whites : float32[y, x]
        Of one level, 0..1.
    power : int
        Of the share of the window 1 4 1 / 6 that is not white.
    """
    out = np.empty_like(whites)
    _not_white(np.ascontiguousarray(whites), power, np.float32(_LEAST ** (1 / power)), out)
    return out


@njit
def _not_white(plane: Any, power: Any, least: Any, out: Any) -> None:
    height, width = plane.shape
    row, base = np.empty(width + 2, np.float32), np.empty(width, np.float32)
    four, scale, one = np.float32(4), np.float32(1 / 36), np.float32(1)
    for y in range(height):
        above, here, below = plane[mirrored(y - 1, height)], plane[y], plane[mirrored(y + 1, height)]
        for x in range(width):
            row[x + 1] = above[x] + below[x] + four * here[x]
        row[0], row[width + 1] = row[1], row[width]
        share = out[y]
        for x in range(width):
            share[x] = max(least, one - scale * (row[x] + row[x + 2] + four * row[x + 1]))
        raise_row(share, base, power)
