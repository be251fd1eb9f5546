"""The depth as a surface: heights on a grid that is coarse enough for a mesh."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fusestack.focus import blocks
from fusestack.focus.region import Region
from fusestack.model.geometry import Box
from fusestack.model.stage import Along, Compute

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fusestack.focus.written import WrittenImage
    from fusestack.model.stage import Reach, StoredArray

    Plane = NDArray[np.float32]


_ROWS = 256
"""Rows of pixels that become corners together."""


def corner_step(plane: tuple[int, int], most: int) -> int:
    """Pixels along y and x that are one corner, so that a plane has no more corners than that."""
    height, width = plane
    return next(step for step in itertools.count(1) if (height // step) * (width // step) <= most)


def middles(heights: Plane, step: int) -> Plane:
    """Median of what is known in squares, the lower one of two: float32[y, x] to float32[y // step, x // step].

    So a corner is a height that was found there, also at an edge, where a mean would lie between two surfaces. NaN
    where less than half of the square is known.
    """
    if step == 1:
        return heights
    rows, columns = (n // step for n in heights.shape)
    squares = heights[: rows * step, : columns * step].reshape(rows, step, columns, step)
    values = np.sort(squares.swapaxes(1, 2).reshape(rows, columns, step * step), axis=2)  # NaN goes to the end
    known = np.isfinite(values).sum(axis=2)
    middle = np.take_along_axis(values, np.maximum(known - 1, 0)[..., None] // 2, axis=2)[..., 0]
    return np.where(2 * known >= step * step, middle, np.float32(np.nan))


@dataclass(frozen=True)
class Surface(Compute):
    """Heights [1, 1, 1, y, x] of the corners of a mesh.

    Parameters
    ----------
    heights : WrittenImage
        Of every pixel.
    step : int
        Pixels of a corner along y and x.
    """

    heights: WrittenImage
    step: int

    def __call__(self, box: Box) -> Plane:
        """Compute a region, some rows at a time."""
        out = np.empty(box.shape, np.float32)
        region = Region.of(box)
        rows = max(1, _ROWS // self.step)
        for top in range(region.top, region.bottom, rows):
            part = Region(top, min(top + rows, region.bottom), region.left, region.right)
            pixels = part.finer(self.step)
            found = self.heights(Box((0, 0, 0, pixels.top, pixels.left), (1, 1, 1, pixels.bottom, pixels.right)))
            out[0, 0, 0, part.top - region.top : part.bottom - region.top] = middles(found[0, 0, 0], self.step)
        return out

    def reaches(self) -> dict[StoredArray, Reach]:
        """The pixels of the corners."""
        along = Along(self.step)
        return {array: (*reach[:3], along, along) for array, reach in self.heights.reaches().items()}

    def peak_bytes(self, block: tuple[int, ...]) -> int:
        """Memory of a block: corners, also stored; for some rows of pixels heights, how they are made and sorted."""
        rows = min(max(1, _ROWS // self.step), block[3]) * self.step
        return blocks.BYTES * (3 * block[3] * block[4] + 18 * rows * block[4] * self.step)
