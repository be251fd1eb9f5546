"""The compiled half of `fuse`: transformed views become one image, one output row at a time.

Every coordinate comes from the global output index in one order of operations, ``l = ((Bz z + By y) + t) + Bx x``,
and every pixel is computed by itself: the bytes do not depend on the block a pixel belongs to. Views whose axes follow
those of the output (translation, scale, mirror) take places and weights from one table per axis; the others gather the
eight neighbours. Both interpolate along z, then y, then x, and multiply weights in that order: they agree to the bit.

The loops are short and touch few arrays, because that is what LLVM vectorises without proof that arrays do not overlap.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fusestack.kernels.jit import njit

_ZERO, _ONE, _KNOTS, _NOWHERE = np.float32(0), np.float32(1), np.float32(30), np.uint32(0)
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
    """Weight at distance `t` from a border, in units of the range: 0 at 0, 1 from 1 on; float32 (reference 3.5)."""
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
def _fade(view: Any, axis: Any, constant: Any, step: Any, x: Any, knots: Any, weight: Any) -> None:
    """Multiply the weight along one axis of the level into a row that starts at `x`; free where the row lies deep."""
    low, high, scale = view["ramp_low"][axis], view["ramp_high"][axis], view["ramp_scale"][axis]
    ends = constant + step * x, constant + step * (x + weight.size - 1)
    if min(min(ends) - low, high - max(ends)) * scale >= 1:
        return
    for k in range(weight.size):
        place = constant + step * np.float64(x + k)
        t = np.float32(min(place - low, high - place) * scale)
        weight[k] *= _look_up(t, knots) if knots.size > 0 else _cosine(t)


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
        _fade(view, axis, constant, step, origin + start, knots, weight[start:stop])
    return start, stop


@njit
def _mix_rows(r00: Any, r10: Any, r01: Any, r11: Any, rest_z: Any, rest_y: Any, row: Any) -> None:
    """Interpolate between four rows of pixels, along z and then along y."""
    kind = row.dtype.type
    for k in range(row.size):
        a, b = kind(r00[k]), kind(r01[k])
        a += rest_z * (kind(r10[k]) - a)
        b += rest_z * (kind(r11[k]) - b)
        row[k] = a + rest_y * (b - a)


@njit
def _stretch(row: Any, left: Any, index: Any, rest: Any, value: Any) -> None:
    """Interpolate along x at tabulated places in a row that starts at pixel `left`."""
    for k in range(value.size):
        i = np.uint32(index[k] - left)
        a = row[i]
        b = row[i + np.uint32(rest[k] > 0)]
        value[k] = a + rest[k] * (b - a)


@njit
def _separable_row(
    source: Any, shape: Any, rows: Any, rests: Any, index: Any, rest: Any, lines: Any, value: Any
) -> None:
    """Values of a row of a separable view: mix its four rows of pixels, then interpolate along x."""
    left = min(index[0], index[-1])
    count = min(max(index[0], index[-1]) + 2, shape[2]) - left
    first = (rows[0] * shape[1] + rows[1]) * shape[2] + left
    plane = shape[1] * shape[2] if rests[0] > 0 else 0
    next_row = shape[2] if rests[1] > 0 else 0
    row = lines[4, :count]
    _mix_rows(
        source[first : first + count],
        source[first + plane : first + plane + count],
        source[first + next_row : first + next_row + count],
        source[first + plane + next_row : first + plane + next_row + count],
        rests[0],
        rests[1],
        row,
    )
    _stretch(row, left, index, rest, value)


@njit
def _row_constants(affine: Any, z: Any, y: Any) -> Any:
    """Level pixel index at x = 0 of an output row, z, y, x."""
    return (
        (affine[0, 0] * z + affine[0, 1] * y) + affine[0, 3],
        (affine[1, 0] * z + affine[1, 1] * y) + affine[1, 3],
        (affine[2, 0] * z + affine[2, 1] * y) + affine[2, 3],
    )


@njit
def _covered(view: Any, constants: Any, origin: Any, length: Any) -> Any:
    """Part of an output row that a view covers, counted from `origin`."""
    start, stop = origin, origin + length
    for axis in range(3):
        step = view["affine"][axis, 2]
        start, stop = _clip(constants[axis], step, view["low"][axis], view["high"][axis], start, stop)
    return start - origin, stop - origin


@njit
def _locate(
    view: Any, constants: Any, x: Any, sampling: Any, index: Any, rest_z: Any, rest_y: Any, rest_x: Any
) -> None:
    """Fill a row of a general view that starts at `x`: pixel in the source box, fractions."""
    half, keep = sampling
    cz, cy, cx = constants
    sz, sy, sx = view["affine"][0, 2], view["affine"][1, 2], view["affine"][2, 2]
    size, first, shape = view["size"], view["start"], view["shape"]
    high_z, high_y, high_x = size[0] - 1 + half, size[1] - 1 + half, size[2] - 1 + half
    rows, columns = shape[1], shape[2]
    origin = (first[0] * rows + first[1]) * columns + first[2]
    for k in range(index.size):
        at = np.float64(x + k)
        lz = min(max((cz + sz * at) + half, 0.0), high_z)
        ly = min(max((cy + sy * at) + half, 0.0), high_y)
        lx = min(max((cx + sx * at) + half, 0.0), high_x)
        iz, iy, ix = np.int32(lz), np.int32(ly), np.int32(lx)
        index[k] = (iz * rows + iy) * columns + ix - origin
        rest_z[k] = keep * (lz - iz)
        rest_y[k] = keep * (ly - iy)
        rest_x[k] = keep * (lx - ix)


@njit
def _gather(source: Any, shape: Any, index: Any, rest_z: Any, rest_y: Any, rest_x: Any, corners: Any) -> None:
    """Collect the eight neighbours of each pixel of a row, x fastest, z slowest; no step where the fraction is 0."""
    next_row, plane = np.uint32(shape[2]), np.uint32(shape[1] * shape[2])
    for k in range(index.size):
        dz = plane if rest_z[k] > 0 else _NOWHERE
        dy = next_row if rest_y[k] > 0 else _NOWHERE
        dx = np.uint32(rest_x[k] > 0)
        i = np.uint32(index[k])
        corners[0, k] = source[i]
        corners[1, k] = source[i + dx]
        corners[2, k] = source[i + dy]
        corners[3, k] = source[i + dy + dx]
        i += dz
        corners[4, k] = source[i]
        corners[5, k] = source[i + dx]
        corners[6, k] = source[i + dy]
        corners[7, k] = source[i + dy + dx]


@njit
def _mix_corners(c00: Any, c10: Any, c01: Any, c11: Any, rest_z: Any, rest_y: Any, row: Any) -> None:
    """As `_mix_rows`, with fractions that differ from pixel to pixel."""
    kind = row.dtype.type
    for k in range(row.size):
        a, b = kind(c00[k]), kind(c01[k])
        a += rest_z[k] * (kind(c10[k]) - a)
        b += rest_z[k] * (kind(c11[k]) - b)
        row[k] = a + rest_y[k] * (b - a)


@njit
def _general_row(
    source: Any, view: Any, constants: Any, x: Any, sampling: Any, index: Any, corners: Any, lines: Any, value: Any
) -> None:
    """Values of a row of a view with any affine."""
    n = value.size
    rest_z, rest_y, rest_x, near, far = lines[1, :n], lines[2, :n], lines[3, :n], lines[4, :n], lines[5, :n]
    _locate(view, constants, x, sampling, index[:n], rest_z, rest_y, rest_x)
    _gather(source, view["shape"], index[:n], rest_z, rest_y, rest_x, corners)  # sliced along x it would not vectorise
    _mix_corners(corners[0], corners[4], corners[2], corners[6], rest_z, rest_y, near)
    _mix_corners(corners[1], corners[5], corners[3], corners[7], rest_z, rest_y, far)
    for k in range(n):
        value[k] = near[k] + rest_x[k] * (far[k] - near[k])


@njit
def _accumulate(value: Any, weight: Any, factor: Any, least: Any, total: Any, total_weight: Any) -> None:
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
def _finish(total: Any, total_weight: Any, value: Any, conversion: Any, out: Any) -> None:
    """Divide and convert to grey values of the output; with limits, add `half`, floor and clamp (reference 3.8)."""
    kind = value.dtype.type
    fill, minimum, extent, span, base, half, low, high = conversion
    for k in range(out.size):
        v = (np.float64(kind(total[k] / total_weight[k])) - minimum) / extent * span + base
        v = v if v == v else fill  # 0 / 0: no view covers
        if low < high:
            v = min(max(np.floor(v + half), low), high)
        out[k] = v


@njit
def _tabulate_views(views: Any, origin: Any, bounds: Any, sampling: Any, knots: Any, rest: Any) -> Any:
    """Places, weights and covered intervals along all three axes of the separable views; `rest` is filled."""
    length = bounds[3]
    index = np.empty((views.size, length), np.int64)
    fade = np.empty((views.size, length), np.float32)
    cover = np.zeros((views.size, 3, 2), np.int64)
    separable = np.zeros(views.size, np.bool_)
    for v in range(views.size):
        separable[v] = _is_separable(views[v]["affine"])
        if separable[v]:
            for axis in range(3):
                a, b = bounds[axis], bounds[axis + 1]
                cover[v, axis] = _tabulate(
                    views[v], axis, origin[axis], sampling, knots, index[v, a:b], rest[v, a:b], fade[v, a:b]
                )
    return separable, index, fade, cover


@njit
def _sample(
    pixels: Any, view: Any, separable: Any, at: Any, row: Any, index: Any, rest: Any, how: Any, work: Any, value: Any
) -> None:
    """Values of a row: from the tables of a separable view at `at` (z, y, x from, x to), or from its affine."""
    shape = view["shape"]
    source = pixels[view["offset"] : view["offset"] + shape[0] * shape[1] * shape[2]]
    if separable:
        z, y, a, b = at
        _separable_row(source, shape, (index[z], index[y]), (rest[z], rest[y]), index[a:b], rest[a:b], work[2], value)
    else:
        constants = _row_constants(view["affine"], row[0], row[1])
        _general_row(source, view, constants, row[2], how, work[0], work[1], work[2], value)


@njit
def _rank(method: Any, number: Any, view: Any, row: Any, value: Any, factor: Any, weight: Any, key: Any) -> None:
    """Key by which pixels of a row are kept or not: the greatest wins, the first among equals."""
    if method == GREATEST:
        key[:] = value
    elif method == HEAVIEST:
        key[:] = factor * weight
    elif method == DEEPEST:
        _measure_depth(view, _row_constants(view["affine"], row[0], row[1]), row[2], key)
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
    separable, index, fade, cover = _tabulate_views(views, origin, bounds, how, knots, rest)
    _, index_n, _, _ = _tabulate_views(nodes, origin, bounds, _LINEAR, knots, rest_n)
    row_index, weight, found = np.empty(nx, np.int32), np.empty(nx, np.float32), np.empty(nx, np.float32)
    work = row_index, np.empty((8, nx), pixels.dtype), lines
    work_n = row_index, np.empty((8, nx), np.float32), np.empty((6, lines.shape[1]), np.float32)
    total, total_weight, key, best = np.empty(nx), np.empty(nx), np.empty(nx), np.empty(nx)
    for z in range(nz):
        for y in range(ny):
            total[:] = 0.0
            total_weight[:] = 0.0
            best[:] = 0.0 if method == HEAVIEST else -np.inf
            for v in range(views.size):
                view, plain = views[v], separable[v]
                constants = _row_constants(view["affine"], origin[0] + z, origin[1] + y)
                if not plain:
                    start, stop = _covered(view, constants, origin[2], nx)
                elif cover[v, 0, 0] <= z < cover[v, 0, 1] and cover[v, 1, 0] <= y < cover[v, 1, 1]:
                    start, stop = cover[v, 2]
                else:
                    continue
                if start == stop:
                    continue
                at = (z, nz + y, bounds[2] + start, bounds[2] + stop)
                row = (origin[0] + z, origin[1] + y, origin[2] + start)
                value, factor = lines[0, : stop - start], _ONE
                shape = view["shape"]
                source = pixels[view["offset"] : view["offset"] + shape[0] * shape[1] * shape[2]]
                if plain:  # in place: a call with so many arrays costs a tenth of the time
                    rows, rests = (index[v, at[0]], index[v, at[1]]), (rest[v, at[0]], rest[v, at[1]])
                    _separable_row(
                        source, shape, rows, rests, index[v, at[2] : at[3]], rest[v, at[2] : at[3]], lines, value
                    )
                else:
                    _general_row(source, view, constants, row[2], how, work[0], work[1], lines, value)
                if plain:
                    factor, weights = fade[v, at[0]] * fade[v, at[1]], fade[v, at[2] : at[3]]
                else:
                    weights = weight[: value.size]
                    weights[:] = _ONE
                    for axis in range(3):
                        _fade(view, axis, constants[axis], view["affine"][axis, 2], row[2], knots, weights)
                if nodes.size > 0:
                    row_n = found[: value.size]
                    _sample(contrast, nodes[v], plain, at, row, index_n[v], rest_n[v], _LINEAR, work_n, row_n)
                    row_n *= weights
                    weights = row_n
                if method == AVERAGE:
                    _accumulate(value, weights, factor, least, total[start:stop], total_weight[start:stop])
                else:
                    keys = key[: value.size]
                    _rank(method, v, view, row, value, factor, weights, keys)
                    _keep(value, keys, best[start:stop], total[start:stop], total_weight[start:stop])
            _finish(total, total_weight, lines[0], conversion, out[z, y])
