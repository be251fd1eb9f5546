"""Choice among slices at every scale: how much detail each has, and a soft choice that takes slices one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.kernels.jit import njit
from fusestack.kernels.pyramid import mirrored

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]
    Planes = NDArray[np.float32]

REACH = 4
"""Pixels on either side whose detail counts for the energy of a pixel."""
_NOISE = (0.8887, 0.0531, 0.01018, 0.00242)
"""Energy of the levels of a Laplacian pyramid of white noise of variance 1; each further level has a quarter."""
_NARROW = 4.0
"""Energy in units of the noise from which on a narrow window says more than a wide one."""
_FAINT = 2.0
"""Energy in units of the noise that counts as much as none."""
_SURELY = 4.0
"""Energy in units of the noise from which on the blur between slices is undone more than not."""
_MOST = 1.6
"""Detail is not multiplied by more."""
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


def energy(detail: Planes, noise: float) -> tuple[Plane, Plane, Plane]:
    """How much detail there is around each pixel: squares, summed over colours and averaged over a window.

    Where there is much more than noise, the window is narrow, 1 4 1 / 6, so that thin things and edges in depth are
    outlined; where there is not, it is binomial, of 9 pixels, so that it is not the noise that decides.

    Parameters
    ----------
    detail : float32[c, y, x]
    noise : float
        `noise_energy` of the level.

    Returns
    -------
    energy, narrow, wide : float32[y, x]
        The energy, and what it would be with either window.
    """
    squares = np.empty(detail.shape[1:], np.float32)
    _squares(np.ascontiguousarray(detail), squares)
    out, narrow, wide = (np.empty_like(squares) for _ in range(3))
    _windows(squares, np.float32(_NARROW * noise), out, narrow, wide)
    return out, narrow, wide


def smoothed(plane: Plane) -> Plane:
    """A plane under the wide window of `energy`: float32[y, x]."""
    out, narrow, wide = (np.empty_like(plane) for _ in range(3))
    _windows(np.ascontiguousarray(plane), np.float32(1), out, narrow, wide)
    return wide


def share(fine: Plane, coarse: Plane, noise: float) -> Plane:
    """Share of the detail that only what is sharp has, 0..1: outlines of what is blurred are in the coarser level.

    Unlike energy, it does not grow with contrast: what is beside a dark hair is not as sharp as the hair.

    Parameters
    ----------
    fine, coarse : float32[y, x]
        Energy of the finest level, and of the next one, expanded to its size.
    noise : float
        `noise_energy` of the finest level.
    """
    out = np.empty_like(fine)
    _share(fine, coarse, np.float32(_FAINT * noise), out)
    return out


@njit
def _share(fine: Any, coarse: Any, noise: Any, out: Any) -> None:
    half = np.float32(0.5)
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            out[y, x] = fine[y, x] / (fine[y, x] + noise + half * coarse[y, x])


@njit
def _squares(detail: Any, out: Any) -> None:
    for y in range(out.shape[0]):
        row = out[y]
        first = detail[0, y]
        for x in range(row.size):
            row[x] = first[x] * first[x]
        for c in range(1, detail.shape[0]):
            more = detail[c, y]
            for x in range(row.size):
                row[x] += more[x] * more[x]


@njit
def _windows(plane: Any, noise: Any, out: Any, narrow_out: Any, wide_out: Any) -> None:
    height, width = plane.shape
    wide, narrow = np.empty(width + 8, np.float32), np.empty(width + 8, np.float32)
    four, eight, scale = np.float32(4), np.float32(8), np.float32(1 / 65536)
    w2, w3, w4, ninth = np.float32(28), np.float32(56), np.float32(70), np.float32(1 / 36)
    for y in range(height):
        a, b = plane[mirrored(y - 4, height)], plane[mirrored(y - 3, height)]
        c, d = plane[mirrored(y - 2, height)], plane[mirrored(y - 1, height)]
        e, f = plane[mirrored(y + 1, height)], plane[mirrored(y + 2, height)]
        g, h = plane[mirrored(y + 3, height)], plane[mirrored(y + 4, height)]
        here = plane[y]
        for x in range(width):
            beside = d[x] + e[x]
            total = (a[x] + h[x]) + eight * (b[x] + g[x]) + w2 * (c[x] + f[x])
            wide[x + 4] = total + w3 * beside + w4 * here[x]
            narrow[x + 4] = beside + four * here[x]
        for i in (-4, -3, -2, -1, width, width + 1, width + 2, width + 3):
            wide[i + 4] = wide[mirrored(i, width) + 4]
            narrow[i + 4] = narrow[mirrored(i, width) + 4]
        row = out[y]
        for x in range(width):
            total = (wide[x] + wide[x + 8]) + eight * (wide[x + 1] + wide[x + 7]) + w2 * (wide[x + 2] + wide[x + 6])
            far = scale * (total + w3 * (wide[x + 3] + wide[x + 5]) + w4 * wide[x + 4])
            near = ninth * ((narrow[x + 3] + narrow[x + 5]) + four * narrow[x + 4])
            wide_out[y, x], narrow_out[y, x] = far, near
            row[x] = far + far / (far + noise) * (near - far)


def white(colours: Planes, level: float) -> Planes | None:
    """1 where all colours are at least so bright, else 0: float32[1, y, x]; None where that is nowhere."""
    found = np.all(colours >= np.float32(level), axis=0, keepdims=True)
    return found.astype(np.float32) if found.any() else None


def suppress(energies: Plane, whites: Plane, power: int) -> None:
    """Lower the energy beside what is white, in place: discs of highlights out of focus are white, large and outlined.

    Parameters
    ----------
    energies, whites : float32[y, x]
        Of one level.
    power : int
        Energies are multiplied by so many times the share of the window 1 4 1 / 6 that is not white.
    """
    _suppress(energies, np.ascontiguousarray(whites), power, np.float32(_LEAST ** (1 / power)))


@njit
def _suppress(energies: Any, plane: Any, power: Any, least: Any) -> None:
    height, width = plane.shape
    row, share, base = np.empty(width + 2, np.float32), np.empty(width, np.float32), np.empty(width, np.float32)
    four, scale, one = np.float32(4), np.float32(1 / 36), np.float32(1)
    for y in range(height):
        above, here, below = plane[mirrored(y - 1, height)], plane[y], plane[mirrored(y + 1, height)]
        for x in range(width):
            row[x + 1] = above[x] + below[x] + four * here[x]
        row[0], row[width + 1] = row[1], row[width]
        for x in range(width):
            share[x] = max(least, one - scale * (row[x] + row[x + 2] + four * row[x + 1]))
        _raise_row(share, base, power)
        out = energies[y]
        for x in range(width):
            out[x] *= share[x]


@njit
def _raise_row(row: Any, base: Any, power: Any) -> None:
    """Raise to a whole power of at least 1, in place; `base` is room for work."""
    rest = power - 1
    for x in range(row.size):
        base[x] = row[x]
    while rest > 0:
        if rest % 2:
            for x in range(row.size):
                row[x] *= base[x]
        for x in range(row.size):
            base[x] *= base[x]
        rest //= 2


def choose(detail: Planes, energies: Plane, total: Planes, weight: Plane, greatest: Plane, power: int) -> None:
    """Add a slice to a weighted mean of one level, in place; weights are powers of its share of the greatest energy.

    Neither the greatest energy nor the number of slices need be known: sums are made smaller when it grows.

    Parameters
    ----------
    detail, total : float32[c, y, x]
        Of the slice, and the sum of all so far.
    energies, weight, greatest : float32[y, x]
        Of the slice, more than 0; the sum of weights and the greatest energy so far, 0 at first.
    power : int
        Large: the slice with most detail alone; 1: nearly a mean of all.
    """
    _choose(np.ascontiguousarray(detail), energies, total, weight, greatest, power)


@njit
def _choose(detail: Any, energies: Any, total: Any, weight: Any, greatest: Any, power: Any) -> None:
    width = weight.shape[1]
    old, new, base = np.empty(width, np.float32), np.empty(width, np.float32), np.empty(width, np.float32)
    for y in range(weight.shape[0]):
        for x in range(width):
            most = max(energies[y, x], greatest[y, x])
            old[x], new[x] = greatest[y, x] / most, energies[y, x] / most
            greatest[y, x] = most
        _raise_row(old, base, power)
        _raise_row(new, base, power)
        for x in range(width):
            weight[y, x] = old[x] * weight[y, x] + new[x]
        for c in range(total.shape[0]):
            row, more = total[c, y], detail[c, y]
            for x in range(width):
                row[x] = old[x] * row[x] + new[x] * more[x]


def follow_peak(value: Plane, index: int, last: Plane | None, peak: Planes, place: Plane) -> None:
    """Take notice of one more value at each pixel, in place.

    Parameters
    ----------
    value : float32[y, x]
    index : int
        Of the value; each is the last one plus 1, the first is 0.
    last : float32[y, x] or None
        The value before.
    peak : float32[3, y, x]
        What is before the greatest value so far, that value, and what is behind it; 0 where there is none.
    place : float32[y, x]
        Index of the greatest value so far.
    """
    _follow_peak(value, np.float32(index), value if last is None else last, last is None, peak, place)


@njit
def _follow_peak(value: Any, index: Any, last: Any, is_first: Any, peak: Any, place: Any) -> None:
    zero, one = np.float32(0), np.float32(1)
    for y in range(value.shape[0]):
        for x in range(value.shape[1]):
            here = value[y, x]
            if is_first or here > peak[1, y, x]:
                peak[0, y, x] = zero if is_first else last[y, x]
                peak[1, y, x], peak[2, y, x], place[y, x] = here, zero, index
            elif index == place[y, x] + one:
                peak[2, y, x] = here


def value_beside(value: Plane, index: int, place: Plane, beside: Plane) -> None:
    """Keep the value at the index that is the place of the peak of another one, in place.

    Parameters
    ----------
    value : float32[y, x]
    index : int
    place, beside : float32[y, x]
        Place of the other peak after this index, see `follow_peak`; the value there.
    """
    _value_beside(value, np.float32(index), place, beside)


@njit
def _value_beside(value: Any, index: Any, place: Any, beside: Any) -> None:
    for y in range(value.shape[0]):
        for x in range(value.shape[1]):
            if place[y, x] == index:
                beside[y, x] = value[y, x]


def between(peak: Planes, place: Plane, slices: NDArray[np.float32]) -> Plane:
    """Top of a peak between slices: float32[y, x], the number of a slice.

    The parabola goes through one over the square roots of three energies. Blur takes more than a parabola of the
    logarithms says: there are more scales than one in a level.

    Parameters
    ----------
    peak, place
        See `follow_peak`.
    slices : float32[n]
        Number of the slice of each index.
    """
    out = np.empty_like(place)
    _between(peak, place, np.ascontiguousarray(slices, np.float32), out)
    return out


@njit
def _between(peak: Any, place: Any, slices: Any, out: Any) -> None:
    zero, half, one = np.float32(0), np.float32(0.5), np.float32(1)
    for y in range(place.shape[0]):
        for x in range(place.shape[1]):
            i = int(place[y, x])
            top = slices[i]
            if i > 0 and i + 1 < slices.size and peak[0, y, x] > zero and peak[2, y, x] > zero:
                h, g = top - slices[i - 1], slices[i + 1] - top
                least = one / np.sqrt(peak[1, y, x])
                a = (one / np.sqrt(peak[0, y, x]) - least) / h
                b = (one / np.sqrt(peak[2, y, x]) - least) / g
                if a + b > zero:
                    offset = half * (a * g - b * h) / (a + b)
                    top += min(max(offset, -half * h), half * g)
            out[y, x] = top


def lost_between(
    detail: Planes, peak: Planes, place: Plane, whole: NDArray[np.bool_], noise: float, power: int, part: float
) -> Planes:
    """What the mean of the finest level lacks beside the top of the peak.

    What lies between two slices is sharp in neither. How sharp it would be is the top of the parabola of `between`;
    how sharp the mean is follows from the weights of `choose`.

    Parameters
    ----------
    detail : float32[c, y, x]
    peak, place
        See `follow_peak`; of energies.
    whole : bool[n]
        Whether the slices before and behind each index are its neighbours.
    noise : float
        `noise_energy` of the level; where there is little more, nothing is known to lack.
    power : int
        See `choose`.
    part : float
        How much of it is wanted, 0..1.

    Returns
    -------
    float32[c, y, x]
        To be added.
    """
    out = np.empty_like(detail)
    _lost_between(detail, peak, place, whole, np.float32(noise), power, np.float32(part), out)
    return out


@njit
def _lost_between(detail: Any, peak: Any, place: Any, whole: Any, noise: Any, power: Any, part: Any, out: Any) -> None:
    one, half, quarter, few = np.float32(1), np.float32(0.5), np.float32(0.25), np.float32(0.05)
    surely, most = np.float32(_SURELY), np.float32(_MOST)
    width = place.shape[1]
    gain, sure, base = np.empty(width, np.float32), np.empty(width, np.float32), np.empty(width, np.float32)
    before, behind = np.empty(width, np.float32), np.empty(width, np.float32)
    first, last = np.empty(width, np.float32), np.empty(width, np.float32)
    for y in range(place.shape[0]):
        for x in range(width):
            top = max(peak[1, y, x] - noise, few * noise)
            before[x] = max(peak[0, y, x] - noise, few * noise) / top
            behind[x] = max(peak[2, y, x] - noise, few * noise) / top
            first[x], last[x] = np.sqrt(before[x]), np.sqrt(behind[x])
            bend = one / first[x] + one / last[x] - one - one
            gain[x], sure[x] = one, np.float32(0)
            if whole[int(place[y, x])] and bend > few:
                lean = one / first[x] - one / last[x]
                gain[x] = one / max(few, one - quarter * lean * min(max(half * lean / bend, -half), half))
                sure[x] = part * top / (top + surely * noise)
        _raise_row(before, base, power)
        _raise_row(behind, base, power)
        for x in range(width):
            mean = (before[x] * first[x] + one + behind[x] * last[x]) / (before[x] + one + behind[x])
            gain[x] = sure[x] * (min(gain[x] / mean, most) - one)
        for c in range(detail.shape[0]):
            row, lost = detail[c, y], out[c, y]
            for x in range(width):
                lost[x] = gain[x] * row[x]
