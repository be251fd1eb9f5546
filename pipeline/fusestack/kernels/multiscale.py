"""Slices are mixed one after the other: a soft choice of what has most detail, and where that is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.kernels.jit import njit
from fusestack.kernels.powers import raise_row

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]
    Planes = NDArray[np.float32]

_USUAL = 6
"""The power that is chosen with unless something else is wanted."""
_SURELY = 4.0
"""Energy in units of the noise from which on the blur between slices is undone more than not."""
_MOST = 1.6
"""Detail is not multiplied by more."""
_UNLIKE = 2.5
"""How many times as blurred as the slice on the other side one may count: it may be blurred by a shaken camera, or far
away where steps are uneven, which says nothing of what lies between the two others."""


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
    rows = np.empty((3, weight.shape[1]), np.float32)
    for y in range(weight.shape[0]):
        choose_row(energies[y], weight[y], greatest[y], power, rows)
        for c in range(total.shape[0]):
            add_row(detail[c, y], total[c, y], rows)


@njit
def choose_row(energy: Any, weight: Any, greatest: Any, power: Any, rows: Any) -> None:
    """Weights of one row: `rows` becomes what the sum so far is multiplied by, and what the slice is."""
    if power == _USUAL:
        _choose_row(energy, weight, greatest, rows[0], rows[1])
        return
    one = np.float32(1)
    old, new, ratio = rows[0], rows[1], rows[2]
    for x in range(energy.size):
        ratio[x] = min(energy[x], greatest[x]) / max(energy[x], greatest[x])
    raise_row(ratio, old, power)
    for x in range(energy.size):
        here, before, less = energy[x], greatest[x], ratio[x]
        old[x], new[x] = less if here > before else one, one if here > before else less
        weight[x] = old[x] * weight[x] + new[x]
        greatest[x] = max(here, before)


@njit
def _choose_row(energy: Any, weight: Any, greatest: Any, old: Any, new: Any) -> None:
    """As `choose_row` of the usual power, with the same products, going through the row once."""
    one = np.float32(1)
    for x in range(energy.size):
        here, before, sum_of_weights = energy[x], greatest[x], weight[x]
        more = here > before
        most = here if more else before
        ratio = (before if more else here) / most
        square = ratio * ratio
        less = square * (square * square)
        a, b = less if more else one, one if more else less
        old[x], new[x], greatest[x] = a, b, most
        weight[x] = a * sum_of_weights + b


@njit
def add_row(detail: Any, total: Any, rows: Any) -> None:
    """Add a row of a slice to the sum so far, see `choose_row`."""
    old, new = rows[0], rows[1]
    for x in range(total.size):
        total[x] = old[x] * total[x] + new[x] * detail[x]


def follow_peak(value: Plane, index: int, last: Plane, peak: Planes, place: Plane) -> None:
    """Take notice of one more value at each pixel, in place.

    Parameters
    ----------
    value : float32[y, x]
        More than 0.
    index : int
        Of the value; each is the last one plus 1, the first is 0.
    last : float32[y, x]
        The value before, 0 at first; becomes this one.
    peak : float32[3, y, x]
        What is before the greatest value so far, that value, and what is behind it; 0 where there is none.
    place : float32[y, x]
        Index of the greatest value so far.
    """
    _follow_peak(value, np.float32(index), last, peak, place)


@njit
def _follow_peak(value: Any, index: Any, last: Any, peak: Any, place: Any) -> None:
    for y in range(value.shape[0]):
        follow_row(value[y], index, last[y], peak[0, y], peak[1, y], peak[2, y], place[y])


@njit
def follow_row(value: Any, index: Any, last: Any, before: Any, top: Any, behind: Any, place: Any) -> None:
    """See `follow_peak`."""
    zero, one = np.float32(0), np.float32(1)
    for x in range(value.size):
        # all are loaded before anything is chosen, so that there is no branch
        here, old, at = value[x], last[x], place[x]
        a, b, c = before[x], top[x], behind[x]
        next_one = here if index == at + one else c
        more = here > b
        before[x] = old if more else a
        top[x] = here if more else b
        behind[x] = zero if more else next_one
        place[x] = index if more else at
        last[x] = here


def value_beside(value: Plane, index: int, place: Plane, beside: Plane) -> None:
    """Keep the value at the index that is the place of the peak of another one, in place.

    Parameters
    ----------
    value, place, beside : float32[y, x]
        The value; place of the other peak after this index, see `follow_peak`; the value there.
    index : int
    """
    _value_beside(value, np.float32(index), place, beside)


@njit
def _value_beside(value: Any, index: Any, place: Any, beside: Any) -> None:
    for y in range(value.shape[0]):
        values, kept, places = value[y], beside[y], place[y]
        for x in range(values.size):
            here, before = values[x], kept[x]
            kept[x] = here if places[x] == index else before


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
    zero, surely, most, least = np.float32(0), np.float32(_SURELY), np.float32(_MOST), np.float32(0.05) * noise
    unlike, width = np.float32(_UNLIKE), place.shape[1]
    known, gain, sure = np.empty(width, np.float32), np.empty(width, np.float32), np.empty(width, np.float32)
    before, behind, base = np.empty(width, np.float32), np.empty(width, np.float32), np.empty(width, np.float32)
    first, last = np.empty(width, np.float32), np.empty(width, np.float32)
    for y in range(place.shape[0]):
        for x in range(width):
            known[x] = whole[int(place[y, x])]
        a, b, c = peak[0, y], peak[1, y], peak[2, y]
        for x in range(width):
            top = max(b[x] - noise, least)
            before[x], behind[x] = max(a[x] - noise, least) / top, max(c[x] - noise, least) / top
            first[x], last[x] = np.sqrt(before[x]), np.sqrt(behind[x])
            a_blur, c_blur = one / first[x], one / last[x]
            a_blur, c_blur = min(a_blur, unlike * c_blur), min(c_blur, unlike * a_blur)
            bend, lean = a_blur + c_blur - one - one, a_blur - c_blur
            place_of_top = min(max(half * lean / max(bend, few), -half), half)
            has_peak = known[x] > zero and bend > few
            gain[x] = one / max(few, one - quarter * lean * place_of_top) if has_peak else one
            sure[x] = part * top / (top + surely * noise) if has_peak else zero
        raise_row(before, base, power)
        raise_row(behind, base, power)
        for x in range(width):
            mean = (before[x] * first[x] + one + behind[x] * last[x]) / (before[x] + one + behind[x])
            gain[x] = sure[x] * (min(gain[x] / mean, most) - one)
        for colour in range(detail.shape[0]):
            row, lost = detail[colour, y], out[colour, y]
            for x in range(width):
                lost[x] = gain[x] * row[x]
