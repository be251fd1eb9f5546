"""Views on the grid of the output, each for itself, with the weights that their average would have.

What functions of the user's make of them is averaged or converted here, as `fuse` would: the same numbers in the same
order, so that weights of one change no byte.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.kernels.convert import value_dtype
from fusestack.kernels.fuse import LEAST_WEIGHT, NO_CONTRAST, check_reads, conversion_to, weighing
from fusestack.kernels.jit import njit
from fusestack.kernels.rims import align_row, reaches
from fusestack.kernels.rows import (
    accumulate,
    covered,
    divide,
    fade_row,
    finish,
    row_constants,
    sample,
    tabulate_views,
    within_reach,
)
from fusestack.kernels.views import pack_views, place_views, source_boxes

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike, NDArray

    from fusestack.kernels.fuse import Interpolation, Rounding
    from fusestack.kernels.views import Numerics

_ZERO, _ONE = np.float32(0), np.float32(1)
_LINEAR = (0.0, 1.0)


def align_block(
    pixels: NDArray[Any],
    placed: NDArray[np.void],
    origin: ArrayLike,
    shape: tuple[int, int, int],
    *,
    contrast: tuple[NDArray[np.float32], NDArray[np.void]] | None = None,
    interpolation: Interpolation = "linear",
    numerics: Numerics = "exact",
) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """Values and weights of every view in a block of the output.

    Parameters
    ----------
    pixels, placed, origin, contrast, interpolation, numerics
        As in `fuse.fuse_block`.
    shape : (int, int, int)
        Of the block, z, y, x.

    Returns
    -------
    values : float32 or float64 [view, z, y, x]
        In `value_dtype` of the pixels; NaN where a view does not cover or has no data.
    masks : float32 [view, z, y, x]
        What the average weighs them with, 0 where there is no value.
    """
    first = np.asarray(origin, dtype=np.int64)
    check_reads(pixels, placed, first, shape)
    weights, nodes = contrast or NO_CONTRAST
    check_reads(weights, nodes, first, shape)
    values = np.full((len(placed), *shape), np.nan, value_dtype(pixels.dtype))
    masks = np.zeros(values.shape, np.float32)
    widths = (int(table["shape"][:, 2].max(initial=1)) for table in (placed, nodes))
    lines = np.empty((6, max(shape[2], *widths)), values.dtype)
    _align_rows(pixels, placed, weights, nodes, first, weighing(interpolation, numerics), lines, values, masks)
    return values, masks


@njit
def _align_rows(
    pixels: Any, views: Any, contrast: Any, nodes: Any, origin: Any, options: Any, lines: Any, values: Any, masks: Any
) -> None:
    """See `align_block`; the weights are those of `rows.fuse_rows`, multiplied in its order."""
    how, knots, least = options
    _, nz, ny, nx = values.shape
    bounds = (0, nz, nz + ny, nz + ny + nx)
    rest, rest_n = np.empty((views.size, bounds[3]), lines.dtype), np.empty((nodes.size, bounds[3]), np.float32)
    separable, _, index, fade, cover = tabulate_views(views, origin, bounds, how, knots, rest)
    _, _, index_n, _, _ = tabulate_views(nodes, origin, bounds, _LINEAR, knots, rest_n)
    rows_of, found = (np.empty(nx, np.int32), np.empty(nx, np.int64)), np.empty(nx, np.float32)
    work = rows_of, np.empty((8, nx), pixels.dtype), lines
    work_n = rows_of, np.empty((8, nx), np.float32), np.empty((6, lines.shape[1]), np.float32)
    for v in range(views.size):
        view, plain = views[v], separable[v]
        for z in range(nz):
            for y in range(ny):
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
                value, weight = values[v, z, y, start:stop], masks[v, z, y, start:stop]
                sample(pixels, view, plain, at, row, index[v], rest[v], how, work, value)
                weight[:] = _ONE
                factor = _ONE
                if plain:
                    factor = fade[v, at[0]] * fade[v, at[1]]
                    weight[:] = fade[v, at[2] : at[3]]
                else:
                    for axis in range(3):
                        fade_row(view, axis, constants[axis], view["affine"][axis, 2], row[2], knots, weight)
                if nodes.size > 0:
                    row_n = found[: weight.size]
                    sample(contrast, nodes[v], plain, at, row, index_n[v], rest_n[v], _LINEAR, work_n, row_n)
                    weight *= row_n
                for k in range(weight.size):
                    heavy = max(factor * weight[k], least)
                    weight[k] = heavy if value[k] == value[k] else _ZERO
    if reaches(views):
        spans = np.empty((views.size, 2), np.int64)
        for z in range(nz):
            for y in range(ny):
                row = (origin[0] + z, origin[1] + y, origin[2])
                for v in range(views.size):
                    spans[v] = within_reach(views[v], row, nx)
                align_row(pixels, views, spans, row, how[1] == 0, values[:, z, y], masks[:, z, y])


def average_block(
    values: NDArray[Any],
    weights: NDArray[np.float32],
    out: NDArray[Any],
    *,
    fill: float = 0.0,
    intensity_range: tuple[float, float] | None = None,
    numerics: Numerics = "exact",
    rounding: Rounding = "half_up",
) -> None:
    """Average views by weights, and convert.

    Parameters
    ----------
    values : float32 or float64 [view, z, y, x]
        NaN counts as nothing.
    weights : float32 [view, z, y, x]
        Not negative. Exact numerics: where all are 0, the views count alike; else the pixel is not covered.
    out, fill, intensity_range, rounding
        As in `fuse.fuse_block`.
    """
    least = LEAST_WEIGHT if numerics == "exact" else _ZERO
    conversion = conversion_to(out.dtype, fill, intensity_range, rounding)
    block = out if out.flags.c_contiguous else np.empty(out.shape, out.dtype)
    _average_rows(np.ascontiguousarray(values), np.ascontiguousarray(weights), least, conversion, block)
    if block is not out:
        out[...] = block


def convert_block(
    values: NDArray[np.float32],
    out: NDArray[Any],
    *,
    fill: float = 0.0,
    intensity_range: tuple[float, float] | None = None,
    rounding: Rounding = "half_up",
) -> None:
    """Convert values float32[z, y, x] to grey values of the output, as in `fuse.fuse_block`; NaN becomes `fill`."""
    conversion = conversion_to(out.dtype, fill, intensity_range, rounding)
    block = out if out.flags.c_contiguous else np.empty(out.shape, out.dtype)
    _convert_rows(np.ascontiguousarray(values), conversion, block)
    if block is not out:
        out[...] = block


@njit
def _average_rows(values: Any, weights: Any, least: Any, conversion: Any, out: Any) -> None:
    total, total_weight = np.empty(out.shape[2]), np.empty(out.shape[2])
    line = np.empty(out.shape[2], values.dtype)
    for z in range(out.shape[0]):
        for y in range(out.shape[1]):
            total[:] = 0.0
            total_weight[:] = 0.0
            for v in range(values.shape[0]):
                accumulate(values[v, z, y], weights[v, z, y], _ONE, least, total, total_weight)
            divide(total, total_weight, line)
            finish(line, conversion, out[z, y])


@njit
def _convert_rows(values: Any, conversion: Any, out: Any) -> None:
    for z in range(out.shape[0]):
        for y in range(out.shape[1]):
            finish(values[z, y], conversion, out[z, y])


def warm_up(pixels: DTypeLike, out: DTypeLike) -> None:
    """Compile the kernels for a type of pixels and of output, so that no block pays for it."""
    views = pack_views(np.eye(3, 4)[None], (1, 1, 1))
    placed, length = place_views(views, source_boxes(views, (0, 0, 0), (1, 1, 1)))
    values, masks = align_block(np.zeros(length, pixels), placed, (0, 0, 0), (1, 1, 1))
    block = np.empty((1, 1, 1), out)
    average_block(values, masks, block)
    convert_block(values[0].astype(np.float32), block)
