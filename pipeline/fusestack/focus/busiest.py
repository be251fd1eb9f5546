"""The part of a stack where the depth has most edges: there, sets of options differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fusestack.focus.blocks import BYTES
from fusestack.focus.coarse_mixing import REDUCED
from fusestack.focus.region import Region
from fusestack.model.stage import Along, Compute

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fusestack.model.geometry import Box
    from fusestack.model.stage import Reach, StoredArray

    Plane = NDArray[np.float32]

_SIGMA = 2.0
_HALO = 10
_MEDIAN, _EDGE = 5, 3
_MOST_STEP = 3.0
"""Slices: a step in the depth that is higher counts no more."""


@dataclass(frozen=True)
class RoughDepth(Compute):
    """Rough depth of reduced slices [t, 2, 1, y, x]: the slice with most detail, and how much it has.

    Parameters
    ----------
    reduced : StoredArray
        See `fusestack.focus.coarse.ReducedSlices`.
    colours : int
        First planes of it, which are looked at.
    """

    reduced: StoredArray
    colours: int

    def __call__(self, box: Box) -> NDArray[np.float32]:
        """Compute a region."""
        from scipy.ndimage import gaussian_filter, laplace

        out = np.zeros(box.shape, np.float32)
        region = Region.of(box)
        outer = region.grown(_HALO, (self.reduced.shape[3], self.reduced.shape[4]))
        inner = region.within(outer)
        for t in range(box.start[0], box.stop[0]):
            depth, most = np.zeros((2, *region.shape), np.float32)
            for k in range(self.reduced.shape[2]):
                planes = self.reduced.read(outer.box(t, (0, self.colours), (k, k + 1)))[0, :, 0]
                detail = gaussian_filter(laplace(planes.mean(axis=0)) ** 2, _SIGMA)[inner]
                depth[detail > most] = k
                np.maximum(most, detail, out=most)
            out[t - box.start[0], :, 0] = [depth, most][box.start[1] : box.stop[1]]
        return out

    def reaches(self) -> dict[StoredArray, Reach]:
        """All slices, with what is around a block."""
        around = Along(1, _HALO, _HALO)
        return {self.reduced: (Along(), None, None, around, around)}

    def peak_bytes(self, block: tuple[int, ...]) -> int:
        """Memory of a block: a slice, its detail, the depth so far."""
        return BYTES * (block[3] + 2 * _HALO) * (block[4] + 2 * _HALO) * (2 * self.colours + 12)


def busiest(depth: Plane, detail: Plane, plane: tuple[int, int], size: tuple[int, int]) -> Region:
    """The part of whole slices where the depth has most edges.

    Parameters
    ----------
    depth, detail : float32[y, x]
        Of reduced slices: the slice with most detail, and how much that is.
    plane : (int, int)
        Rows and columns of whole slices.
    size : (int, int)
        Rows and columns of the part, at most.

    Returns
    -------
    Region
        Of whole slices; begins at a multiple of the size of a reduced pixel.
    """
    from scipy.ndimage import maximum_filter, median_filter, minimum_filter

    smooth = median_filter(depth, _MEDIAN)
    steps = maximum_filter(smooth, _EDGE) - minimum_filter(smooth, _EDGE)
    steps = np.minimum(steps, _MOST_STEP) * (detail >= np.median(detail))  # where nothing is sharp, depths are chance
    factor = 1 << REDUCED
    height, width = (min(a, b) for a, b in zip(size, plane, strict=True))
    rows, columns = (min(-(-n // factor), m) for n, m in zip((height, width), depth.shape, strict=True))
    sums = np.zeros((depth.shape[0] + 1, depth.shape[1] + 1))
    sums[1:, 1:] = steps.astype(np.float64).cumsum(axis=0).cumsum(axis=1)
    within = sums[rows:, columns:] - sums[:-rows, columns:] - sums[rows:, :-columns] + sums[:-rows, :-columns]
    top, left = np.unravel_index(int(np.argmax(np.round(within, 6))), within.shape)
    first = [max(0, min(int(at) * factor, n - m)) for at, n, m in zip((top, left), plane, (height, width), strict=True)]
    return Region(first[0], first[0] + height, first[1], first[1] + width)
