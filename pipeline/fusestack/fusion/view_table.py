"""The views of a group as a table: for the kernel, and for whoever asks which of them reach a region.

Tables of arrays, not objects: twenty thousand tiles are asked for by every block.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack import kernels
from fusestack.fusion.placement import diagonal_scale
from fusestack.model.fingerprint import facts_of
from fusestack.model.geometry import Box

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from numpy.typing import NDArray

    from fusestack.fusion.frame import Frame
    from fusestack.fusion.placement import Edges, PlacedView
    from fusestack.kernels.views import Numerics

# A view reaches a little beyond its last pixel centre, as far as the rounding of its affine goes.
_BEYOND = 1e-3


def _rims(view: PlacedView, step: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far a view fills what no view covers before its first pixel and behind its last one, in pixels of the level.

    To the middle of the last pixel of the fused image that its pixels at full resolution lie in, of which the level
    may leave out some, and less than a whole pixel of both beyond the border.

    Parameters
    ----------
    view : PlacedView
    step : float64[3]
        Pixels of the level in one of the fused image, z, y, x.

    Returns
    -------
    float64[2, 3]
    """
    factors = np.array(view.pixels.factors)
    first = (1 - factors) / 2 / factors
    last = (np.array(view.full_shape) - 1) / factors + first
    left_out = np.maximum([-first, last - (np.array(view.pixels.shape) - 1)], 0.0)
    rounding = 2 * kernels.views.TOLERANCE
    rims: NDArray[np.float64] = np.maximum(
        np.minimum(step, 1.0) - rounding,
        (left_out + step / 2) * (1 + 2 * rounding),  # what lies in the middle of two pixels is of both
    )
    return rims


@dataclass(frozen=True, eq=False)
class ViewTable:
    """The views of a group in view-id order, one row each, and all that the kernel must know of them.

    Parameters
    ----------
    placed : tuple of PlacedView
    frame : Frame
    edges : Edges
    numerics : {"exact", "bigstitcher"}
    views : VIEW[n]
        For the kernel: affine from the fused image to the level, size of the level, borders and ramps.
    bounds : int64[n, 2, 3]
        First pixel and one past the last pixel of the fused image that the view may touch, z, y, x; not clipped.
    """

    placed: tuple[PlacedView, ...]
    frame: Frame
    edges: Edges
    numerics: Numerics
    views: NDArray[np.void]
    bounds: NDArray[np.int64]

    @classmethod
    def of(cls, placed: Sequence[PlacedView], frame: Frame, edges: Edges, numerics: Numerics) -> ViewTable:
        """Lay views on the grid of the fused image."""
        return tables_of([placed], frame, edges, numerics)[0]

    def arrays(self) -> tuple[()]:
        """Nothing here is stored by a stage."""
        return ()

    def facts(self) -> list[Any]:
        """What a result depends on; the kernel's numbers follow from it."""
        frame = [facts_of(self.frame.box), [f"{v:.9g}" for v in self.frame.spacing], self.frame.flat]
        return [frame, facts_of(self.edges), self.numerics, [view.facts() for view in self.placed]]

    def __len__(self) -> int:
        return len(self.placed)

    @cached_property
    def _sorted(self) -> tuple[int, NDArray[np.int64], NDArray[np.int64], int]:
        """Axis, order along it, sorted starts and longest extent: an index for `touching`."""
        starts, stops = self.bounds[:, 0], self.bounds[:, 1]
        axis = int(np.argmax(starts.max(axis=0) - starts.min(axis=0)))
        order = np.argsort(starts[:, axis], kind="stable")
        return axis, order, starts[order, axis], int((stops - starts)[:, axis].max())

    def reaches(self, box: Box) -> bool:
        """Whether a view may touch a region of the fused image (z, y, x)."""
        return bool(((self.bounds[:, 0] < box.stop) & (self.bounds[:, 1] > box.start)).all(axis=1).any())

    def touching(self, box: Box) -> NDArray[np.int64]:
        """Rows of the views that may touch a region of the fused image (z, y, x), in view-id order."""
        if not len(self):
            return np.empty(0, dtype=np.int64)
        axis, order, starts, longest = self._sorted
        first = np.searchsorted(starts, box.start[axis] - longest, side="left")
        last = np.searchsorted(starts, box.stop[axis], side="left")
        near = order[first:last]
        low, high = self.bounds[near, 0], self.bounds[near, 1]
        hit = ((low < np.array(box.stop)) & (high > np.array(box.start))).all(axis=1)
        return np.sort(near[hit])

    def touching_pairs(self, regions: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """As `touching`, of many regions int64[n, 2, 3]: numbers of regions, and rows of the views that touch them."""
        start, stop = regions[:, 0], regions[:, 1]
        near = self.touching(Box(tuple(start.min(axis=0).tolist()), tuple(stop.max(axis=0).tolist())))
        low, high = self.bounds[near, 0], self.bounds[near, 1]
        which, found = np.nonzero(((low < stop[:, None]) & (high > start[:, None])).all(axis=2))
        return which, near[found]


def tables_of(
    groups: Sequence[Sequence[PlacedView]], frame: Frame, edges: Edges, numerics: Numerics
) -> list[ViewTable]:
    """Lay the views of groups on the grid of the fused image, all of them at once: a time lapse has thousands."""
    placed = [view for group in groups for view in group]
    count = len(placed)
    matrices, scales, rims = np.zeros((count, 3, 4)), np.ones((count, 3)), np.zeros((count, 2, 3))
    bounds = np.zeros((count, 2, 3), dtype=np.int64)
    wider = np.zeros(3) if edges.widened is None else np.array(edges.widened)
    with_rims = numerics == "exact" and not wider.any()
    known: dict[Hashable, int] = {}
    for row, view in enumerate(placed):
        same = known.setdefault(view.place, row)
        if same != row:
            for of_rows in (matrices, scales, rims, bounds):
                of_rows[row] = of_rows[same]
            continue
        level_to_output = view.level_to_output(frame)
        output_to_level = level_to_output.inverse()
        scales[row] = diagonal_scale(level_to_output, view.full_shape)
        if with_rims:
            rims[row] = _rims(view, 1 / scales[row])
        before, behind = wider + (np.maximum(rims[row], 1.0) if with_rims else rims[row])
        low, high = level_to_output.bounds(-before, np.array(view.pixels.shape) - 1 + behind)
        matrices[row, :, :3], matrices[row, :, 3] = output_to_level.linear, output_to_level.offset
        bounds[row, 0], bounds[row, 1] = np.ceil(low - _BEYOND), np.floor(high + _BEYOND) + 1
    if frame.flat:
        bounds[:, 0, 0], bounds[:, 1, 0] = 0, 1
    scales = scales.astype(np.float32)
    borders = (np.float32(edges.border) / scales).astype(np.float64)
    ranges = (np.float32(edges.range) / scales).astype(np.float64)
    ends = np.cumsum([len(group) for group in groups]).tolist()
    rows_of = [slice(end - len(group), end) for group, end in zip(groups, ends, strict=True)]
    for group, rows in zip(groups, rows_of, strict=True):
        if with_rims and all(view.full_shape[0] == 1 for view in group):
            ranges[rows, 0] = borders[rows, 0] = 0.0  # planes of a volume: their neighbours decide along z
    views = kernels.views.pack_views(
        matrices,
        np.array([view.pixels.shape for view in placed], dtype=np.int64).reshape(-1, 3),
        ranges,
        borders if edges.widened is None else -wider,
        numerics=numerics if edges.widened is None else "exact",
        flat=frame.flat,
        rims=rims if with_rims else None,
    )
    return [
        ViewTable(tuple(group), frame, edges, numerics, views[rows], bounds[rows])
        for group, rows in zip(groups, rows_of, strict=True)
    ]
