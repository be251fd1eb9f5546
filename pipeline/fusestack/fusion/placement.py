"""Every view of a group on the grid of the fused image: level, affine, blending, and where it reaches.

Tables of arrays, not objects: twenty thousand tiles are asked for by every block.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from fusestack import kernels
from fusestack.model.geometry import Affine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fusestack.fusion.frame import Frame
    from fusestack.fusion.intensity import Adjustment
    from fusestack.kernels.views import Numerics
    from fusestack.model.geometry import Box, Float3, Int3
    from fusestack.model.view import SourceRef, View
    from fusestack.sources.base import SourceLevel

# A view reaches a little beyond its last pixel centre, as far as the rounding of its affine goes.
_BEYOND = 1e-3
_NEAR_ONE = 1.02
_SAME_STEP = np.float64(np.float32(0.02))


@dataclass(frozen=True, eq=False)
class ViewTable:
    """The views of a group in view-id order, one row each.

    Parameters
    ----------
    sources : tuple of SourceRef
    levels : int64[n]
        Opened level of each source.
    views : VIEW[n]
        What the kernel must know: affine from the fused image to the level, size of the level, borders and ramps.
    bounds : int64[n, 2, 3]
        First pixel and one past the last pixel of the fused image that the view may touch, z, y, x; not clipped.
    factors : float64[n, 3]
        Pixels of the source at full resolution in one pixel of the level, z, y, x.
    chunk_bytes : int64[n]
        Bytes of one chunk of the level, which is decoded whole.
    adjustments : tuple of Adjustment
        Corrections of the intensities; empty where there are none.
    """

    sources: tuple[SourceRef, ...]
    levels: NDArray[np.int64]
    views: NDArray[np.void]
    bounds: NDArray[np.int64]
    factors: NDArray[np.float64]
    chunk_bytes: NDArray[np.int64]
    adjustments: tuple[Adjustment, ...] = ()

    def __len__(self) -> int:
        return len(self.sources)

    @cached_property
    def _sorted(self) -> tuple[int, NDArray[np.int64], NDArray[np.int64], int]:
        """Axis, order along it, sorted starts and longest extent: an index for `touching`."""
        starts, stops = self.bounds[:, 0], self.bounds[:, 1]
        axis = int(np.argmax(starts.max(axis=0) - starts.min(axis=0)))
        order = np.argsort(starts[:, axis], kind="stable")
        return axis, order, starts[order, axis], int((stops - starts)[:, axis].max())

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


def choose_level(model: Affine, levels: Sequence[SourceLevel]) -> int:
    """Coarsest level that loses nothing (reference 3.4).

    Parameters
    ----------
    model : Affine
        Pixel of level 0 to pixel of the fused image.
    levels : sequence of SourceLevel
    """
    steps = model.column_lengths
    best, best_product = 0, 0.0
    for i, level in enumerate(levels):
        factors = np.array(level.factors)
        sizes = steps * factors
        valid = bool(np.all((sizes < _NEAR_ONE) | (np.abs(sizes - steps) < _SAME_STEP)))
        if valid and factors.prod() > best_product:
            best, best_product = i, float(factors.prod())
    return best


def level_to_pixel(level: SourceLevel) -> Affine:
    """Pixel of a level to pixel of level 0: ``f * i + (f - 1) / 2`` (reference 3.4)."""
    factors = np.array(level.factors, dtype=np.float64)
    return Affine(np.diag(factors), (factors - 1) / 2)


def diagonal_scale(level_to_output: Affine, full_shape: Int3) -> NDArray[np.float64]:
    """Pixels of the fused image in one pixel of the level, z, y, x, as BigStitcher estimates them.

    Exact for scalings; otherwise the diagonal that is left when the best rotation has been taken off
    (reference 3.5).
    """
    linear = level_to_output.linear
    if np.count_nonzero(linear - np.diag(np.diagonal(linear))) == 0 and (np.diagonal(linear) > 0).all():
        return np.diagonal(linear).copy()
    _, height, width = full_shape
    plane = np.array([[0, 0, 0], [0, 0, width], [0, height, 0], [0, height, width]], dtype=np.float64)
    image = plane @ linear.T
    centred, target = image - image.mean(axis=0), plane - plane.mean(axis=0)
    u, _, vt = np.linalg.svd(centred.T @ target)
    proper = np.diag([1.0, 1.0, np.linalg.det(u) * np.linalg.det(vt)])
    rotation = vt.T @ proper @ u.T
    scale: NDArray[np.float64] = np.abs(np.diagonal(rotation @ linear))
    return scale


@dataclass(frozen=True)
class OpenedView:
    """What the pixel source of a view says."""

    view: View
    dtype: np.dtype[np.generic]
    levels: tuple[SourceLevel, ...]

    @property
    def shape(self) -> Int3:
        """Pixels at full resolution, z, y, x."""
        return self.levels[0].shape


@dataclass(frozen=True)
class Edges:
    """What becomes of views towards their borders.

    Parameters
    ----------
    range, border : float
        Width of the fade and of the dark rim outside it, in pixels of the fused image; range 0 is a hard edge.
    widened : (float, float, float) or None
        Method ``mask``: by how many pixels of the input views are widened, z, y, x (negative: narrowed). No pixel is
        read then, so full resolution is used, and borders are closed whatever the numerics (reference 3.10).
    """

    range: float
    border: float
    widened: Float3 | None = None


def place_views(
    opened: Sequence[OpenedView],
    registrations: Sequence[Affine],
    frame: Frame,
    edges: Edges,
    numerics: Numerics,
    adjustments: Sequence[Adjustment] = (),
) -> ViewTable:
    """Lay the views of a group on the grid of the fused image.

    Parameters
    ----------
    opened : sequence of OpenedView
        In view-id order.
    registrations : sequence of Affine
        Pixel to world of each view (flattened where the frame is flat).
    frame : Frame
    edges : Edges
    numerics : {"exact", "bigstitcher"}
    adjustments : sequence of Adjustment
        One for each view, or none.
    """
    world_to_output = frame.world_to_output
    count = len(opened)
    levels = np.zeros(count, dtype=np.int64)
    shapes = np.zeros((count, 3), dtype=np.int64)
    matrices = np.zeros((count, 3, 4))
    scales, factors = np.ones((count, 3)), np.ones((count, 3))
    bounds = np.zeros((count, 2, 3), dtype=np.int64)
    chunk_bytes = np.zeros(count, dtype=np.int64)
    wider = np.zeros(3) if edges.widened is None else np.array(edges.widened)
    for row, (view, registration) in enumerate(zip(opened, registrations, strict=True)):
        pixel_to_output = world_to_output @ registration
        chosen = choose_level(pixel_to_output, view.levels) if edges.widened is None else 0
        level = view.levels[chosen]
        level_to_output = pixel_to_output @ level_to_pixel(level)
        output_to_level = level_to_output.inverse()
        low, high = level_to_output.bounds(-wider, np.array(level.shape) - 1 + wider)
        levels[row], shapes[row], factors[row] = chosen, level.shape, level.factors
        matrices[row, :, :3], matrices[row, :, 3] = output_to_level.linear, output_to_level.offset
        scales[row] = diagonal_scale(level_to_output, view.shape)
        bounds[row, 0], bounds[row, 1] = np.ceil(low - _BEYOND), np.floor(high + _BEYOND) + 1
        chunk_bytes[row] = np.prod(level.chunks) * view.dtype.itemsize
    if frame.flat:
        bounds[:, 0, 0], bounds[:, 1, 0] = 0, 1
    scales = scales.astype(np.float32)
    borders = (np.float32(edges.border) / scales).astype(np.float64)
    views = kernels.views.pack_views(
        matrices,
        shapes,
        (np.float32(edges.range) / scales).astype(np.float64),
        borders if edges.widened is None else -wider,
        numerics=numerics if edges.widened is None else "exact",
        flat=frame.flat,
    )
    sources = tuple(view.view.source for view in opened)
    return ViewTable(sources, levels, views, bounds, factors, chunk_bytes, tuple(adjustments))
