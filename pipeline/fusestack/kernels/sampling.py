"""Values of one row of a view: pixels of its source box, interpolated.

Both kinds of rows interpolate along z, then y, then x: they agree to the bit. The loops are short and touch few arrays,
because that is what LLVM vectorises without proof that arrays do not overlap.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fusestack.kernels.jit import njit

_NOWHERE = np.uint32(0)
_HARDLY = 1 / 16  # steps to other rows of pixels, for a pixel of the output: runs are then longer than they cost


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
def _mix(near: Any, far: Any, rest: Any, value: Any) -> None:
    """Interpolate along x between two rows."""
    for k in range(value.size):
        value[k] = near[k] + rest[k] * (far[k] - near[k])


@njit
def separable_row(
    source: Any, shape: Any, rows: Any, rests: Any, steady: Any, index: Any, rest: Any, lines: Any, value: Any
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
    if steady:  # no look-up, so it vectorises
        step = 1 if rest[0] > 0 else 0
        _mix(row[: value.size], row[step : step + value.size], rest, value)
    else:
        _stretch(row, left, index, rest, value)


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
def _mark_runs(index: Any, rest_z: Any, rest_y: Any, rest_x: Any, run: Any) -> None:
    """Give pixels that lie one behind another between the same four rows of the source the same number."""
    for k in range(run.size):
        steps = (4 if rest_z[k] > 0 else 0) + (2 if rest_y[k] > 0 else 0) + (1 if rest_x[k] > 0 else 0)
        run[k] = (np.int64(index[k]) - k) * 8 + steps


@njit
def _run_end(run: Any, start: Any) -> Any:
    """First pixel behind `start` that has another number."""
    for k in range(start + 1, run.size):
        if run[k] != run[start]:
            return k
    return run.size


@njit
def _mix_run(source: Any, shape: Any, first: Any, rest_z: Any, rest_y: Any, rest_x: Any, value: Any) -> None:
    """Values of a run that starts at pixel `first`, interpolated where it lies: no gathering, so it vectorises."""
    kind = value.dtype.type
    dz = np.uint64(shape[1] * shape[2] if rest_z[0] > 0 else 0)
    dy = np.uint64(shape[2] if rest_y[0] > 0 else 0)
    dx = np.uint64(rest_x[0] > 0)
    for k in range(value.size):
        i = np.uint64(first) + np.uint64(k)
        a, b, c, d = kind(source[i]), kind(source[i + dy]), kind(source[i + dx]), kind(source[i + dy + dx])
        a += rest_z[k] * (kind(source[i + dz]) - a)
        b += rest_z[k] * (kind(source[i + dz + dy]) - b)
        c += rest_z[k] * (kind(source[i + dz + dx]) - c)
        d += rest_z[k] * (kind(source[i + dz + dy + dx]) - d)
        a += rest_y[k] * (b - a)
        c += rest_y[k] * (d - c)
        value[k] = a + rest_x[k] * (c - a)


@njit
def general_row(
    source: Any, view: Any, constants: Any, x: Any, sampling: Any, rows: Any, corners: Any, lines: Any, value: Any
) -> None:
    """Values of a row of a view with any affine; where it hardly turns, runs of pixels need no gathering."""
    n = value.size
    index, run = rows[0][:n], rows[1][:n]
    rest_z, rest_y, rest_x, near, far = lines[1, :n], lines[2, :n], lines[3, :n], lines[4, :n], lines[5, :n]
    affine, shape = view["affine"], view["shape"]
    _locate(view, constants, x, sampling, index, rest_z, rest_y, rest_x)
    if abs(affine[0, 2]) + abs(affine[1, 2]) + abs(affine[2, 2] - 1) < _HARDLY:
        _mark_runs(index, rest_z, rest_y, rest_x, run)
        a = 0
        while a < n:
            b = _run_end(run, a)
            _mix_run(source, shape, index[a], rest_z[a:b], rest_y[a:b], rest_x[a:b], value[a:b])
            a = b
    else:
        _gather(source, shape, index, rest_z, rest_y, rest_x, corners)  # sliced along x it would not vectorise
        _mix_corners(corners[0], corners[4], corners[2], corners[6], rest_z, rest_y, near)
        _mix_corners(corners[1], corners[5], corners[3], corners[7], rest_z, rest_y, far)
        _mix(near, far, rest_x, value)
