"""Blending that follows data: towards pixels without data, weights fade as they do towards the borders of a view.

A weight is a function of the pixels within border and range along the three axes of the level that is read, whatever
the block is: a block reads so much around its input, a side at a time, and keeps the weights alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fusestack import kernels
from fusestack.model.amounts import counted
from fusestack.model.geometry import Box

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from fusestack.fusion.placement import LevelPixels, OpenedView
    from fusestack.fusion.view_table import ViewTable

_WORK = 24
"""Bytes for a pixel of a view and its sides along one axis while weights are made: places, distances, weights."""


def impossible_values(opened: Iterable[OpenedView]) -> list[str]:
    """Say which values that mean no data no pixel of some views can have."""
    found: dict[tuple[float, str], list[OpenedView]] = {}
    for view in opened:
        value = view.view.no_data
        if value is None or view.dtype.kind == "f":
            continue
        limits = np.iinfo(view.dtype.name)
        if value != np.floor(value) or not limits.min <= value <= limits.max:
            found.setdefault((value, view.dtype.name), []).append(view)
    return [
        f"input.no_data: no pixel of {dtype} is {value:g}, so nothing is left out of {counted(len(views), 'view')} "
        f"(first: {views[0].view.id}); correct the value"
        for (value, dtype), views in found.items()
    ]


def data_weights(
    table: ViewTable, rows: Sequence[int], placed: NDArray[np.void], pixels: NDArray[np.floating]
) -> tuple[NDArray[np.float32], NDArray[np.void]]:
    """Weights of the source boxes of placed views, laid out as their pixels, and the table that samples them.

    Parameters
    ----------
    table : ViewTable
    rows : sequence of int
        Of the table, for each of `placed`.
    placed : VIEW[n]
    pixels : float32 or float64 [m]
        NaN is no data.
    """
    weights = np.ones(pixels.size, np.float32)
    lengths = kernels.data_borders.fade_lengths(placed["ramp_low"], placed["ramp_scale"])
    for row, view, reach in zip(rows, placed, lengths.tolist(), strict=True):
        source = table.placed[row].pixels
        if not source.may_lack_data:
            continue
        inner = np.isnan(kernels.views.source_part(pixels, view))
        part = kernels.views.source_part(weights, view)
        start, shape = view["start"].tolist(), view["shape"].tolist()
        box = Box(tuple(start), tuple(a + n for a, n in zip(start, shape, strict=True)))
        for axis in range(3):
            if reach[axis] == 0:
                continue
            low, high = sides(box, source.shape, axis, reach[axis])
            nothing = np.concatenate([_lacking(source, low), inner, _lacking(source, high)], axis=axis)
            if nothing.any():
                border, width = float(view["ramp_low"][axis]), float(1 / view["ramp_scale"][axis])
                part *= kernels.data_borders.fade_along(nothing, axis, low.shape[axis], shape[axis], border, width)
    return weights, placed


def sides(box: Box, shape: Sequence[int], axis: int, reach: int) -> tuple[Box, Box]:
    """What lies before and behind a box of a level along an axis, up to `reach` pixels."""
    start, stop = list(box.start), list(box.stop)
    start[axis], stop[axis] = max(0, box.start[axis] - reach), box.start[axis]
    low = Box(tuple(start), tuple(stop))
    start[axis], stop[axis] = box.stop[axis], min(shape[axis], box.stop[axis] + reach)
    return low, Box(tuple(start), tuple(stop))


def _lacking(source: LevelPixels, box: Box) -> NDArray[np.bool_]:
    if box.is_empty:
        return np.zeros(box.shape, np.bool_)
    found: NDArray[np.bool_] = np.isnan(source.read(box))
    return found


def surroundings(table: ViewTable, rows: NDArray[np.int64], boxes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Source boxes int64[n, 2, 3] with all that is read around them; those of views without pixels stay empty."""
    views = table.views[rows]
    grown = boxes.copy()
    lengths = kernels.data_borders.fade_lengths(views["ramp_low"], views["ramp_scale"])
    lengths[[not table.placed[row].pixels.may_lack_data for row in rows.tolist()]] = 0
    some = (boxes[:, 1] > boxes[:, 0]).all(axis=1)
    grown[some, 0] = np.maximum(boxes[some, 0] - lengths[some], 0)
    grown[some, 1] = np.minimum(boxes[some, 1] + lengths[some], views["size"][some])
    return grown


def work_bytes(table: ViewTable, rows: NDArray[np.int64], boxes: NDArray[np.int64]) -> int:
    """Memory for the weights of source boxes: all of them, and what one axis of one view needs meanwhile."""
    shapes, grown = boxes[:, 1] - boxes[:, 0], surroundings(table, rows, boxes)
    sizes = shapes.prod(axis=1)
    longer = (grown[:, 1] - grown[:, 0]) / np.maximum(shapes, 1)
    most = (sizes * longer.max(axis=1, initial=1.0)).max(initial=0.0)
    return int(sizes.sum() * np.dtype(np.float32).itemsize + _WORK * most)
