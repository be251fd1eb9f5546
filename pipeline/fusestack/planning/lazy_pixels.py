"""The pixels of an array of a dask graph, as a stage writes them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.model.stage import Compute

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fusestack.model.geometry import Box
    from fusestack.model.graph_array import GraphArray
    from fusestack.model.grid import Grid

# A block put together from chunks, its encoded copy, and what the codec needs beside them.
_COPIES_OF_OUTPUT = 2.5


@dataclass(frozen=True)
class LazyPixels(Compute):
    """Pixels of an image that tasks of a dask graph make, chunk by chunk.

    Parameters
    ----------
    array : GraphArray
        t, c, z, y, x.
    """

    array: GraphArray

    def __call__(self, box: Box) -> NDArray[Any]:
        """Read a region t, c, z, y, x of the chunks that the task holds."""
        return np.ascontiguousarray(self.array.read(box), dtype=self.array.dtype)

    def inputs(self, box: Box) -> dict[GraphArray, Box]:
        """See `Compute.inputs`: the same region."""
        return {self.array: box}

    def held_bytes(self, grid: Grid) -> int:
        """See `Compute.held_bytes`; chunks and blocks are products of axes, so the worst block is that of each axis."""
        sides = [_most_touched(sizes, side) for sizes, side in zip(self.array.chunks, grid.block, strict=True)]
        return math.prod(sides) * np.dtype(self.array.dtype).itemsize

    def peak_bytes(self, block: tuple[int, ...]) -> int:
        """Memory that a block needs: output and its encoded copy."""
        return int(_COPIES_OF_OUTPUT * math.prod(block) * np.dtype(self.array.dtype).itemsize)


def _most_touched(sizes: tuple[int, ...], side: int) -> int:
    """Pixels along an axis of the chunks that a block of some pixels touches, at most."""
    stops = np.cumsum(sizes)
    starts = stops - np.array(sizes)
    firsts = np.arange(0, int(stops[-1]), side)
    lasts = np.minimum(firsts + side, stops[-1]) - 1
    low = starts[np.searchsorted(stops, firsts, side="right")]
    high = stops[np.searchsorted(stops, lasts, side="right")]
    return int((high - low).max())
