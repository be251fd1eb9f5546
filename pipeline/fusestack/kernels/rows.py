"""The compiled half of `fuse`: transformed views become one image, one output row at a time.

Every coordinate comes from the global output index in one order of operations, ``l = ((Bz z + By y) + t) + Bx x``,
and every pixel is computed by itself: the bytes do not depend on the block a pixel belongs to. Views whose axes follow
those of the output (translation, scale, mirror) take places and weights from one table per axis. Weights are multiplied
along z, then y, then x.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fusestack.kernels.jit import njit
from fusestack.kernels.rims import fill_row, reaches
from fusestack.kernels.sampling import general_row, separable_row

_ZERO, _ONE, _KNOTS = np.float32(0), np.float32(1), np.float32(30)
_TIE = 1e-6  # far below a pixel for views of any size
_LINEAR = (0.0, 1.0)  # sampling: added to a place, factor of its fraction
AVERAGE, GREATEST, FIRST, LAST, HEAVIEST, DEEPEST = range(6)
# sin(pi/2 t) / t in powers of t^2 on 0..1, minimax fit; relative error of the weight in float32: 4e-7
_SINE = tuple(np.float32(c) for c in (1.570796318, -0.6459637106, 0.07968967896, -0.004673766617, 0.0001514851308))


@njit
def _first(constant: Any, step: Any, bound: Any, above: Any, start: Any, stop: Any) -> Any:
    """First x of start..stop with constant + step * x >= bound (> bound if `above`); step is not negative."""
    while start < stop:
        middle = (start + stop) // 2
        place = constant + step * middle
        if place > bound or (place == bound and not above):
            stop = middle
        else:
            start = middle + 1
    return start


@njit
def _clip(constant: Any, step: Any, low: Any, high: Any, start: Any, stop: Any) -> Any:
    """Part of start <= x < stop where low <= constant + step * x <= high; exact, since rounding keeps order."""
    if start < stop:
        ends = constant + step * start, constant + step * (stop - 1)
        if low <= min(ends) and max(ends) <= high:
            return start, stop
    if step < 0:
        constant, step, low, high = -constant, -step, -high, -low
    start = _first(constant, step, low, False, start, stop)
    return start, _first(constant, step, high, True, start, stop)


@njit
def _cosine(t: Any) -> Any:
    """Weight at distance `t` from a border, in units of the range: ``(1 - cos(pi t)) / 2``, 1 from 1 on; float32."""
    t = min(max(t, _ZERO), _ONE)
    q = t * t
    sine = t * (_SINE[0] + q * (_SINE[1] + q * (_SINE[2] + q * (_SINE[3] + q * _SINE[4]))))
    return min(sine * sine, _ONE)


@njit
def _look_up(t: Any, knots: Any) -> Any:
    """As `_cosine`, from BigStitcher's table."""
    t = min(max(t, _ZERO), _ONE) * _KNOTS
    i = np.int32(t)
    return knots[i] + (t - np.float32(i)) * (knots[i + 1] - knots[i])


@njit
def fade_row(view: Any, axis: Any, constant: Any, step: Any, x: Any, knots: Any, weight: Any) -> None:
    """Multiply the weight along one axis of the level into a row that starts at `x`; free where the row lies deep."""
    low, high, scale = view["ramp_low"][axis], view["ramp_high"][axis], view["ramp_scale"][axis]
    ends = constant + step * x, constant + step * (x + weight.size - 1)
    if min(min(ends) - low, high - max(ends)) * scale >= 1:
        return
    if knots.size > 0:
        for k in range(weight.size):
            place = constant + step * np.float64(x + k)
            weight[k] *= _look_up(np.float32(min(place - low, high - place) * scale), knots)
    else:  # a loop of its own vectorises
        for k in range(weight.size):
            place = constant + step * np.float64(x + k)
            weight[k] *= _cosine(np.float32(min(place - low, high - place) * scale))


@njit
def _is_separable(affine: Any) -> Any:
    """Whether each axis of the level depends on its own axis of the output only (`any` would import scipy.linalg)."""
    return not (affine[0, 1] or affine[0, 2] or affine[1, 0] or affine[1, 2] or affine[2, 0] or affine[2, 1])


@njit
def _tabulate(view: Any, axis: Any, origin: Any, sampling: Any, knots: Any, index: Any, rest: Any, weight: Any) -> Any:
    """Fill one axis of a separable view: pixel in the source box, fraction, weight; return the covered interval."""
    half, keep = sampling
    step, constant = view["affine"][axis, axis], view["affine"][axis, 3]
    start, stop = _clip(constant, step, view["low"][axis], view["high"][axis], origin, origin + index.size)
    start, stop = start - origin, stop - origin
    for k in range(start, stop):
        place = min(max((constant + step * np.float64(origin + k)) + half, 0.0), view["size"][axis] - 1 + half)
        index[k] = np.int64(place) - view["start"][axis]
        rest[k] = keep * (place - np.int64(place))
    if start < stop:
        weight[start:stop] = _ONE
        fade_row(view, axis, constant, step, origin + start, knots, weight[start:stop])
    return start, stop


@njit
def _is_steady(index: Any, rest: Any) -> Any:
    """Whether tabulated places go on by one pixel each, and need the next pixel all or none."""
    breaks = 0
    for k in range(1, index.size):
        breaks += index[k] - index[k - 1] != 1 or (rest[k] > 0) != (rest[0] > 0)
    return breaks == 0


@njit
def row_constants(affine: Any, z: Any, y: Any) -> Any:
    """Level pixel index at x = 0 of an output row, z, y, x."""
    return (
        (affine[0, 0] * z + affine[0, 1] * y) + affine[0, 3],
        (affine[1, 0] * z + affine[1, 1] * y) + affine[1, 3],
        (affine[2, 0] * z + affine[2, 1] * y) + affine[2, 3],
    )


@njit
def covered(view: Any, constants: Any, origin: Any, length: Any) -> Any:
    """Part of an output row that a view covers, counted from `origin`."""
    start, stop = origin, origin + length
    for axis in range(3):
        step = view["affine"][axis, 2]
        start, stop = _clip(constants[axis], step, view["low"][axis], view["high"][axis], start, stop)
    return start - origin, stop - origin


@njit
def within_reach(view: Any, row: Any, length: Any) -> Any:
    """Part of an output row at z, y, from x on (`row`) that a view and its rim cover, counted from x."""
    constants = row_constants(view["affine"], row[0], row[1])
    start, stop = row[2], row[2] + length
    for axis in range(3):
        step, reach = view["affine"][axis, 2], view["reach"]
        low, high = view["low"][axis] - reach[0, axis], view["high"][axis] + reach[1, axis]
        start, stop = _clip(constants[axis], step, low, high, start, stop)
    return start - row[2], stop - row[2]


@njit
def _fill_holes(pixels: Any, views: Any, row: Any, method: Any, sampling: Any, sums: Any, out: Any) -> None:
    """Fill what no view covers of a finished row of values, at z, y, from x on (`row`), from the rims of views."""
    holes = 0
    for k in range(out.size):
        holes += out[k] != out[k]
    if holes == 0:
        return
    spans = np.zeros((views.size, 2), np.int64)
    for v in range(views.size):
        spans[v] = within_reach(views[v], row, out.size)
    fill_row(pixels, views, spans, row, method, sampling[1] == 0, sums, out)


@njit
def accumulate(value: Any, weight: Any, factor: Any, least: Any, total: Any, total_weight: Any) -> None:
    """Add a row of a view; NaN is no data."""
    for k in range(value.size):
        v = np.float64(value[k])
        w = np.float64(max(factor * weight[k], least))
        data = v == v
        total[k] += w * v if data else 0.0
        total_weight[k] += w if data else 0.0


@njit
def _measure_depth(view: Any, constants: Any, x: Any, key: Any) -> None:
    """Distance to the nearest border, in pixels of the output; among equals the sum over the axes decides."""
    spread = np.zeros(key.size)
    key[:] = np.inf
    for axis in range(3):
        low, high, scale = view["ramp_low"][axis], view["ramp_high"][axis], view["ramp_scale"][axis]
        if low == -np.inf:
            continue
        for k in range(key.size):
            place = constants[axis] + view["affine"][axis, 2] * np.float64(x + k)
            depth = min(place - low, high - place) * scale
            key[k] = min(key[k], depth)
            spread[k] += depth
    for k in range(key.size):
        key[k] += _TIE * spread[k]


@njit
def _keep(value: Any, key: Any, best: Any, total: Any, total_weight: Any) -> None:
    """Take the pixels of a row whose key is greater than the best so far; NaN is no data."""
    for k in range(value.size):
        if value[k] == value[k] and key[k] > best[k]:
            best[k] = key[k]
            total[k] = value[k]
            total_weight[k] = 1.0


@njit
def divide(total: Any, total_weight: Any, value: Any) -> None:
    """Mean of a row; NaN where no view covers."""
    kind = value.dtype.type
    for k in range(value.size):
        value[k] = kind(total[k] / total_weight[k])


@njit
def finish(value: Any, conversion: Any, out: Any) -> None:
    """Convert to grey values of the output; with limits, add `half`, floor and clamp."""
    fill, minimum, extent, span, base, half, low, high = conversion
    same = minimum == 0 and extent == 1 and span == 1 and base == 0
    for k in range(out.size):
        v = np.float64(value[k])
        v = v + 0.0 if same else (v - minimum) / extent * span + base
        v = v if v == v else fill
        if low < high:
            v = min(max(np.floor(v + half), low), high)
        out[k] = v


@njit
def tabulate_views(views: Any, origin: Any, bounds: Any, sampling: Any, knots: Any, rest: Any) -> Any:
    """Places, steadiness, weights and covered intervals of the separable views along all axes; `rest` is filled."""
    length = bounds[3]
    index = np.empty((views.size, length), np.int64)
    fade = np.empty((views.size, length), np.float32)
    cover = np.zeros((views.size, 3, 2), np.int64)
    separable, steady = np.zeros(views.size, np.bool_), np.zeros(views.size, np.bool_)
    for v in range(views.size):
        separable[v] = _is_separable(views[v]["affine"])
        if separable[v]:
            for axis in range(3):
                a, b = bounds[axis], bounds[axis + 1]
                cover[v, axis] = _tabulate(
                    views[v], axis, origin[axis], sampling, knots, index[v, a:b], rest[v, a:b], fade[v, a:b]
                )
            a, b = bounds[2] + cover[v, 2, 0], bounds[2] + cover[v, 2, 1]
            steady[v] = _is_steady(index[v, a:b], rest[v, a:b])
    return separable, steady, index, fade, cover


@njit
def sample(
    pixels: Any, view: Any, separable: Any, at: Any, row: Any, index: Any, rest: Any, how: Any, work: Any, value: Any
) -> None:
    """Values of a row: from the tables of a separable view at `at` (z, y, x from, x to), or from its affine."""
    shape = view["shape"]
    source = pixels[view["offset"] : view["offset"] + shape[0] * shape[1] * shape[2]]
    if separable:
        z, y, a, b = at
        rows, rests = (index[z], index[y]), (rest[z], rest[y])
        separable_row(source, shape, rows, rests, False, index[a:b], rest[a:b], work[2], value)
    else:
        constants = row_constants(view["affine"], row[0], row[1])
        general_row(source, view, constants, row[2], how, work[0], work[1], work[2], value)


@njit
def _rank(method: Any, number: Any, view: Any, row: Any, value: Any, factor: Any, weight: Any, key: Any) -> None:
    """Key by which pixels of a row are kept or not: the greatest wins, the first among equals."""
    if method == GREATEST:
        key[:] = value
    elif method == HEAVIEST:
        key[:] = factor * weight
    elif method == DEEPEST:
        _measure_depth(view, row_constants(view["affine"], row[0], row[1]), row[2], key)
    else:
        key[:] = number if method == LAST else 0


@njit
def fuse_rows(
    pixels: Any, views: Any, contrast: Any, nodes: Any, origin: Any, options: Any, lines: Any, out: Any
) -> None:
    """See `fuse.fuse_block`; `lines` is scratch: a row of values, three of fractions, two in between."""
    method, how, knots, least, conversion = options
    nz, ny, nx = out.shape
    bounds = (0, nz, nz + ny, nz + ny + nx)
    rest, rest_n = np.empty((views.size, bounds[3]), lines.dtype), np.empty((nodes.size, bounds[3]), np.float32)
    separable, steady, index, fade, cover = tabulate_views(views, origin, bounds, how, knots, rest)
    _, _, index_n, _, _ = tabulate_views(nodes, origin, bounds, _LINEAR, knots, rest_n)
    rows_of, weight, found = (
        (np.empty(nx, np.int32), np.empty(nx, np.int64)),
        np.empty(nx, np.float32),
        np.empty(nx, np.float32),
    )
    work = rows_of, np.empty((8, nx), pixels.dtype), lines
    work_n = rows_of, np.empty((8, nx), np.float32), np.empty((6, lines.shape[1]), np.float32)
    total, total_weight, key, best = np.empty(nx), np.empty(nx), np.empty(nx), np.empty(nx)
    # a weight that is not 0 times a float32, divided by it again in float64, is that float32
    alone = views.size == 1 and (
        method not in (AVERAGE, HEAVIEST) or (least > 0 and nodes.size == 0 and lines.itemsize == 4)
    )
    rims = reaches(views)
    for z in range(nz):
        for y in range(ny):
            lines[0] = np.nan
            total[:] = 0.0
            total_weight[:] = 0.0
            best[:] = 0.0 if method == HEAVIEST else -np.inf
            for v in range(views.size):
                view, plain = views[v], separable[v]
                constants = row_constants(view["affine"], origin[0] + z, origin[1] + y)
                if not plain:
                    start, stop = covered(view, constants, origin[2], nx)
                elif cover[v, 0, 0] <= z < cover[v, 0, 1] and cover[v, 1, 0] <= y < cover[v, 1, 1]:
                    start, stop = cover[v, 2]
                else:
                    continue
                if start == stop:
                    continue
                at = (z, nz + y, bounds[2] + start, bounds[2] + stop)
                row = (origin[0] + z, origin[1] + y, origin[2] + start)
                value, factor = lines[0, start:stop], _ONE
                shape = view["shape"]
                source = pixels[view["offset"] : view["offset"] + shape[0] * shape[1] * shape[2]]
                if plain:  # in place: a call with so many arrays costs a tenth of the time
                    rows, rests = (index[v, at[0]], index[v, at[1]]), (rest[v, at[0]], rest[v, at[1]])
                    separable_row(
                        source,
                        shape,
                        rows,
                        rests,
                        steady[v],
                        index[v, at[2] : at[3]],
                        rest[v, at[2] : at[3]],
                        lines,
                        value,
                    )
                else:
                    general_row(source, view, constants, row[2], how, work[0], work[1], lines, value)
                if alone:
                    continue
                if plain:
                    factor, weights = fade[v, at[0]] * fade[v, at[1]], fade[v, at[2] : at[3]]
                else:
                    weights = weight[: value.size]
                    weights[:] = _ONE
                    for axis in range(3):
                        fade_row(view, axis, constants[axis], view["affine"][axis, 2], row[2], knots, weights)
                if nodes.size > 0:
                    row_n = found[: value.size]
                    sample(contrast, nodes[v], plain, at, row, index_n[v], rest_n[v], _LINEAR, work_n, row_n)
                    row_n *= weights
                    weights = row_n
                if method == AVERAGE:
                    accumulate(value, weights, factor, least, total[start:stop], total_weight[start:stop])
                else:
                    keys = key[: value.size]
                    _rank(method, v, view, row, value, factor, weights, keys)
                    _keep(value, keys, best[start:stop], total[start:stop], total_weight[start:stop])
            if not alone:
                divide(total, total_weight, lines[0, :nx])
            if rims:
                row = (origin[0] + z, origin[1] + y, origin[2])
                _fill_holes(pixels, views, row, method, how, (best, total, total_weight), lines[0, :nx])
            finish(lines[0, :nx], conversion, out[z, y])
