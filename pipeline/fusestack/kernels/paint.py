"""Painting slices over one another, as imfuse's montage does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.kernels.jit import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]
    Planes = NDArray[np.float32]

_DARKEST = np.float32(1e-3)
"""Added to masks before their logarithm is taken."""


def paint_over(colours: Planes, alpha: Plane, source: Planes, opacity: Plane) -> None:
    """Paint a source over what is there, in place (the operator "over" of Porter and Duff).

    Parameters
    ----------
    colours, source : float32[c, y, x]
    alpha, opacity : float32[y, x]
        0..1.
    """
    _paint(colours, alpha, np.ascontiguousarray(source, np.float32), np.ascontiguousarray(opacity, np.float32))


@njit
def _paint(colours: Any, alpha: Any, source: Any, opacity: Any) -> None:
    new, old = np.empty(alpha.shape[1], np.float32), np.empty(alpha.shape[1], np.float32)
    for y in range(alpha.shape[0]):
        if _shares(alpha[y], opacity[y], new, old) > 0:
            for c in range(colours.shape[0]):
                _mix(colours[c, y], source[c, y], new, old)


@njit
def _shares(alpha: Any, opacity: Any, new: Any, old: Any) -> Any:
    """Shares of the source and of what is there; exactly 0 and 1 where nothing is painted. The greatest opacity."""
    zero, one, most = np.float32(0), np.float32(1), np.float32(0)
    for x in range(alpha.size):
        over = min(max(opacity[x], zero), one)
        under = alpha[x] * (one - over)
        total = over + under if over < one else one
        scale = one / total if over > zero else zero
        new[x] = over * scale
        old[x] = under * scale if over > zero else one
        alpha[x] = total
        most = max(most, over)
    return most


@njit
def _mix(row: Any, source: Any, new: Any, old: Any) -> None:
    one = np.float32(1)
    for x in range(row.size):
        row[x] = source[x] if new[x] == one else new[x] * source[x] + old[x] * row[x]


def hard_cut(mask: Plane, greatest: Plane, tolerance: np.float32) -> Plane:
    """1 where a mask is the greatest so far and not black; `greatest` is brought up to date in place.

    Parameters
    ----------
    mask, greatest : float32[y, x]
    tolerance : float32
        Masks are equal when they differ by less.

    Returns
    -------
    float32[y, x]
    """
    cut = np.empty(mask.shape, np.float32)
    _hard_cut(np.ascontiguousarray(mask), greatest, tolerance, cut)
    return cut


@njit
def _hard_cut(mask: Any, greatest: Any, tolerance: Any, cut: Any) -> None:
    for y in range(mask.shape[0]):
        for x in range(mask.shape[1]):
            wins = mask[y, x] >= greatest[y, x] - tolerance
            greatest[y, x] = max(greatest[y, x], mask[y, x])
            cut[y, x] = np.float32(1) if wins and greatest[y, x] > 0 else np.float32(0)


def less(mask: Plane, cut: Plane, greatest: Plane, valley: Plane, rise: np.float32, tolerance: np.float32) -> None:
    """Let a slice win that rises above the valley behind it (imfuse's ``cutless``); all float32[y, x].

    Parameters
    ----------
    mask : array
        Of this slice.
    cut, greatest, valley : array
        Changed in place.
    rise : float32
    tolerance : float32
    """
    _less(np.ascontiguousarray(mask), cut, greatest, valley, rise, tolerance)


@njit
def _less(mask: Any, cut: Any, greatest: Any, valley: Any, rise: Any, tolerance: Any) -> None:
    for y in range(mask.shape[0]):
        for x in range(mask.shape[1]):
            m, c = mask[y, x], cut[y, x]
            low = valley[y, x]
            if c > 0:
                low = c * greatest[y, x] + (np.float32(1) - c) * low
            high = greatest[y, x]
            if m > low + rise:
                high = m
            greatest[y, x] = high
            valley[y, x] = min(low, m)
            cut[y, x] = np.float32(1) if m >= high - tolerance and high > 0 else np.float32(0)


def farther(mask: Plane, cut: Plane, greatest: Plane, valley: Plane, fall: np.float32) -> None:
    """Let no slice win in front of one above whose mask falls by so much: `less`, seen from the front.

    Parameters
    ----------
    mask : float32[y, x]
        Of this slice.
    cut, greatest, valley : float32[y, x]
        As in `less`; changed in place. Where the slice behind is the one that stays, the valley is its mask below 0.
    fall : float32
    """
    _farther(np.ascontiguousarray(mask), cut, greatest, valley, fall)


@njit
def _farther(mask: Any, cut: Any, greatest: Any, valley: Any, fall: Any) -> None:
    for y in range(mask.shape[0]):
        for x in range(mask.shape[1]):
            if valley[y, x] < 0:
                cut[y, x] = np.float32(0)
                greatest[y, x] = -valley[y, x]
            elif cut[y, x] == 0 and mask[y, x] < greatest[y, x] - fall:
                valley[y, x] = -greatest[y, x]


def follow_peak(mask: Plane, previous: Plane, cut: Plane, peak: Planes, closed: NDArray[np.bool_]) -> None:
    """Keep the mask of the slice in focus and of its two neighbours, for the depth between slices.

    Parameters
    ----------
    mask : float32[y, x]
        Of this slice.
    previous : float32[y, x]
        Of the slice behind it.
    cut : float32[y, x]
        Above one half, the slice is the one in focus.
    peak : float32[3, y, x]
        Masks behind, in and before focus; changed in place.
    closed : bool[y, x]
        Whether the slice before the one in focus has been seen; changed in place by `follow_colours`, or here where
        there are none to follow.
    """
    one = [np.ascontiguousarray(plane) for plane in (mask, previous, cut)]
    _follow(one[0], one[1], one[2], peak, closed)


def follow_colours(
    colours: Planes, previous: Planes, cut: Plane, behind: Planes, front: Planes, closed: NDArray[np.bool_]
) -> None:
    """Keep the colours of the two neighbours of the slice in focus; call it before `follow_peak`.

    Parameters
    ----------
    colours, previous : float32[c, y, x]
        Of this slice and of the one behind it.
    cut : float32[y, x]
        As in `follow_peak`.
    behind, front : float32[c, y, x]
        Changed in place; without a neighbour, the slice in focus itself.
    closed : bool[y, x]
        As in `follow_peak`; not changed.
    """
    _follow_colours(colours, previous, np.ascontiguousarray(cut), behind, front, closed)


@njit
def _follow(mask: Any, previous: Any, cut: Any, peak: Any, closed: Any) -> None:
    for y in range(mask.shape[0]):
        for x in range(mask.shape[1]):
            if cut[y, x] > np.float32(0.5):
                peak[0, y, x] = previous[y, x]
                peak[1, y, x] = mask[y, x]
                peak[2, y, x] = mask[y, x]
                closed[y, x] = False
            elif not closed[y, x]:
                peak[2, y, x] = mask[y, x]
                closed[y, x] = True


@njit
def _follow_colours(colours: Any, previous: Any, cut: Any, behind: Any, front: Any, closed: Any) -> None:
    for c in range(colours.shape[0]):
        for y in range(cut.shape[0]):
            for x in range(cut.shape[1]):
                if cut[y, x] > np.float32(0.5):
                    behind[c, y, x] = previous[c, y, x]
                    front[c, y, x] = colours[c, y, x]
                elif not closed[y, x]:
                    front[c, y, x] = colours[c, y, x]


def between_slices(peak: Planes) -> Plane:
    """Top of the parabola through the logarithms of three masks, in slices behind the middle one: -0.5..0.5.

    Parameters
    ----------
    peak : float32[3, y, x]
        Masks behind, in and before focus.

    Returns
    -------
    float32[y, x]
    """
    behind, middle, front = np.log(peak + _DARKEST)
    bend = behind - 2 * middle + front
    with np.errstate(divide="ignore", invalid="ignore"):
        top = np.float32(0.5) * (front - behind) / bend
    return np.clip(np.where(bend < 0, top, 0), -0.5, 0.5).astype(np.float32)


def sharpen_between(colours: Planes, offset: Plane, behind: Planes, front: Planes, share: float) -> None:
    """Undo the blur of what lies between two slices, in place.

    Near focus, blur grows with the square of the distance: ``slice(d) = sharp + a d^2``. The slice in focus at distance
    d and the one on the far side of it at distance 1 + d say what `a` is: ``sharp = s + (s - far) d^2 / (1 + 2 d)``.
    Nothing has to be known of the lens, and no difference counts more than an eighth.

    Parameters
    ----------
    colours : float32[c, y, x]
        Of the slice in focus; changed in place.
    offset : float32[y, x]
        Where the focus lies, in slices behind it.
    behind, front : float32[c, y, x]
        Of its neighbours.
    share : float
        0 (nothing) to 1.
    """
    distance = np.abs(offset)
    weight = np.float32(share) * distance * distance / (1 + 2 * distance)
    far = np.where(offset >= 0, front, behind)
    colours += weight * (colours - far)
