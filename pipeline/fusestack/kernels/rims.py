"""Where no view covers a pixel: the last pixel of linear interpolation, between what views hold and what they do not.

Interpolation needs two pixels along an axis. Less than a pixel beyond the border of a view, or beside pixels without
data, one of them is missing. What is there decides where nothing else does, each view weighted by the share of the
interpolation that it holds: between tiles that touch, that is the interpolation from one to the other, as if they were
one image. A view by itself reaches less than a pixel of the output beyond its border. Where pixels of the output are
wider than two of the view, the rim is half of one, and what lies in it is taken for the last pixel of interpolation.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fusestack.kernels.jit import njit

_WIDER = 1 + 2e-6  # so that the end of a rim has a share
_LEAST_SHARE = 1e-6  # that of a pixel which is only a rounding of the affine away from having none


@njit
def _corners(source: Any, view: Any, place: Any, nearest: Any) -> Any:
    """Share of the interpolation at a place (z, y, x of the level) that has data, and its value."""
    share, value, most, heaviest = 0.0, 0.0, 0.0, 0.0
    start, shape = view["start"], view["shape"]
    low = (np.int64(np.floor(place[0])), np.int64(np.floor(place[1])), np.int64(np.floor(place[2])))
    for corner in range(8):
        weight, index, inside = 1.0, np.int64(0), True
        for axis in range(3):
            far = (corner >> (2 - axis)) & 1
            rest = place[axis] - low[axis]
            weight *= rest if far else 1.0 - rest
            at = low[axis] + far - start[axis]
            inside = inside and 0 <= at < shape[axis]
            index = index * shape[axis] + at
        if weight > 0 and inside:
            found = np.float64(source[index])
            if found == found:
                share += weight
                value += weight * found
                if weight > most:
                    most, heaviest = weight, found
    if share < _LEAST_SHARE:
        return 0.0, 0.0
    return share, heaviest if nearest else value / share


@njit
def reaches(views: Any) -> Any:
    """Whether any view has a rim."""
    for v in range(views.size):
        for axis in range(3):
            if views[v]["reach"][0, axis] > 0 or views[v]["reach"][1, axis] > 0:
                return True
    return False


@njit
def _squeezed(place: Any, last: Any, before: Any, behind: Any) -> Any:
    """A place along an axis with pixels up to `last`; within a rim wider than a pixel, as if it were a pixel wide."""
    if place < 0:
        return place / max(1.0, before * _WIDER)
    if place > last:
        return last + (place - last) / max(1.0, behind * _WIDER)
    return place


@njit
def _found(pixels: Any, view: Any, row: Any, x: Any, nearest: Any) -> Any:
    """What a view holds at a pixel of the output: share of the interpolation, value, whether it decides by itself."""
    affine, shape = view["affine"], view["shape"]
    at = np.float64(x)
    place = (
        ((affine[0, 0] * row[0] + affine[0, 1] * row[1]) + affine[0, 3]) + affine[0, 2] * at,
        ((affine[1, 0] * row[0] + affine[1, 1] * row[1]) + affine[1, 3]) + affine[1, 2] * at,
        ((affine[2, 0] * row[0] + affine[2, 1] * row[1]) + affine[2, 3]) + affine[2, 2] * at,
    )
    source = pixels[view["offset"] : view["offset"] + shape[0] * shape[1] * shape[2]]
    near, reach, size = True, view["reach"], view["size"]
    for axis in range(3):
        near = near and view["low"][axis] - place[axis] <= view["alone"][0, axis]
        near = near and place[axis] - view["high"][axis] <= view["alone"][1, axis]
    inner = (
        _squeezed(place[0], size[0] - 1.0, reach[0, 0], reach[1, 0]),
        _squeezed(place[1], size[1] - 1.0, reach[0, 1], reach[1, 1]),
        _squeezed(place[2], size[2] - 1.0, reach[0, 2], reach[1, 2]),
    )
    share, value = _corners(source, view, inner, nearest)
    return np.float32(share), value, near


@njit
def fill_row(pixels: Any, views: Any, spans: Any, row: Any, method: Any, nearest: Any, sums: Any, out: Any) -> None:
    """Fill what is NaN of a row at z, y, from x on (`row`); its part within the rim of each view is in `spans`.

    `sums` are rows of best keys, totals and weights: -inf, 0 and 0 where `out` is NaN; `method` is one of `rows`.
    """
    best, total, weight = sums
    rims = np.zeros(out.size, np.int64)
    for v in range(views.size):
        for k in range(spans[v, 0], spans[v, 1]):
            if out[k] == out[k]:
                continue
            share, value, near = _found(pixels, views[v], row, row[2] + k, nearest)
            if share == 0:
                continue
            rims[k] += 2 if near else 1
            value = np.float64(out.dtype.type(value))  # as it is where the view is alone
            if method == 0:
                total[k] += np.float64(share) * value
                weight[k] += np.float64(share)
                continue
            key = value if method == 1 else 0.0 if method == 2 else np.float64(v) if method == 3 else np.float64(share)
            if key > best[k]:
                best[k], total[k], weight[k] = key, value, 1.0
    for k in range(out.size):
        if out[k] != out[k] and rims[k] > 1:
            out[k] = out.dtype.type(total[k] / weight[k])


@njit
def align_row(pixels: Any, views: Any, spans: Any, row: Any, nearest: Any, values: Any, weights: Any) -> None:
    """As `fill_row`, for rows [view, x] of values and weights of each view: where all weights are 0."""
    holes, rims = np.ones(values.shape[1], np.bool_), np.zeros(values.shape[1], np.int64)
    for v in range(views.size):
        for k in range(holes.size):
            holes[k] = holes[k] and not weights[v, k] > 0
    for v in range(views.size):
        for k in range(spans[v, 0], spans[v, 1]):
            if holes[k]:
                share, value, near = _found(pixels, views[v], row, row[2] + k, nearest)
                if share > 0:
                    values[v, k], weights[v, k] = value, share
                    rims[k] += 2 if near else 1
    for k in range(holes.size):
        if holes[k] and rims[k] == 1:
            values[:, k] = np.nan
            weights[:, k] = 0
