"""Low passes of planes that are too large to be transformed whole: two scales (reference 5.4, third scheme).

The lowest frequencies come from a reduced plane, which is transformed whole; all others from tiles with an overlap.
Tiles lie on a grid of the plane, so a pixel does not depend on the block that it is computed in.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from fusestack import kernels
from fusestack.focus.region import Region
from fusestack.kernels.fourier import CORE, OVERLAP, REDUCTION
from fusestack.model.stage import Compute

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from fusestack.focus.stack import Pixels
    from fusestack.kernels.fourier import Transfer
    from fusestack.model.geometry import Box

    Planes = NDArray[np.float32]

WHOLE_PIXELS = 24 * 10**6
"""Padded planes of up to as many pixels are transformed whole."""


def transformed_whole(height: int, width: int) -> bool:
    """Whether planes of this size are transformed in one piece; it depends on nothing else."""
    return kernels.fourier.padded_side(height, width) ** 2 <= WHOLE_PIXELS


class PlaneReader(Protocol):
    """Regions of the planes that are filtered."""

    def read(self, t: int, m: int, k: int, region: Region) -> Planes:
        """float32[c, y, x]."""
        ...


def reduced_shape(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of the reduced plane, with a ring of what lies beyond the edge: the edge pixel, repeated."""
    return -(-height // REDUCTION) + 2, -(-width // REDUCTION) + 2


@dataclass(frozen=True)
class Reduce(Compute):
    """Block means [t, m * planes + plane, k, y, x] of what is filtered; the edge pixel is repeated where it ends.

    The first block lies before the edge, so that repeating it continues the plane as repeating the edge pixel does.

    Parameters
    ----------
    source : PlaneReader
    shape : (int, int)
        Rows and columns of the plane.
    planes : int
        Planes that `source` gives.
    """

    source: PlaneReader
    shape: tuple[int, int]
    planes: int

    def __call__(self, box: Box) -> Planes:
        """Compute a region; a box holds all planes of one mask set."""
        out = np.empty(box.shape, np.float32)
        small = Region.of(box)
        wanted = Region(*((edge - 1) * REDUCTION for edge in (small.top, small.bottom, small.left, small.right)))
        for t in range(box.start[0], box.stop[0]):
            for k in range(box.start[2], box.stop[2]):
                read = functools.partial(self.source.read, t, box.start[1] // self.planes, k)
                planes = _edged(read, wanted, self.shape)
                blocks = planes.reshape(len(planes), small.shape[0], REDUCTION, small.shape[1], REDUCTION)
                rows = blocks[:, :, 0] + blocks[:, :, 1] + blocks[:, :, 2] + blocks[:, :, 3]
                total = rows[..., 0] + rows[..., 1] + rows[..., 2] + rows[..., 3]
                out[t - box.start[0], :, k - box.start[2]] = total / np.float32(REDUCTION**2)
        return out


@dataclass(frozen=True)
class LowFrequencies(Compute):
    """Lowest frequencies [t, (m * planes + plane) * transfers + transfer, k, y, x] of reduced planes."""

    reduced: Pixels
    transfers: tuple[Transfer, ...]
    shape: tuple[int, int]

    def __call__(self, box: Box) -> Planes:
        """Compute whole planes."""
        out = np.empty(box.shape, np.float32)
        count = len(self.transfers)
        region = Region.of(box)
        for t in range(box.start[0], box.stop[0]):
            for k in range(box.start[2], box.stop[2]):
                first, last = box.start[1] // count, box.stop[1] // count
                planes = self.reduced.read(region.box(t, (first, last), (k, k + 1)))[0, :, 0]
                for i, low in enumerate(kernels.fourier.reduced_low_pass(planes, self.transfers, self.shape)):
                    out[t - box.start[0], i::count, k - box.start[2]] = low
        return out


@dataclass(frozen=True)
class TiledLowPass:
    """Filters regions of planes.

    Parameters
    ----------
    low : Pixels
        What `LowFrequencies` made.
    shape : (int, int)
    planes : int
    transfers : tuple of Transfer
    """

    low: Pixels
    shape: tuple[int, int]
    planes: int
    transfers: tuple[Transfer, ...]

    def filter(self, t: int, m: int, k: int, region: Region, read: Callable[[Region], Planes]) -> list[Planes]:
        """Filter a region of a plane, each transfer by itself: list of float32[c, y, x]."""
        out = [np.empty((self.planes, *region.shape), np.float32) for _ in self.transfers]
        for top in range(region.top // CORE * CORE, region.bottom, CORE):
            for left in range(region.left // CORE * CORE, region.right, CORE):
                tile = Region(top, top + CORE, left, left + CORE)
                around = Region(top - OVERLAP, top + CORE + OVERLAP, left - OVERLAP, left + CORE + OVERLAP)
                part = Region(
                    max(tile.top, region.top),
                    min(tile.bottom, region.bottom),
                    max(tile.left, region.left),
                    min(tile.right, region.right),
                )
                source = part.within(tile)
                target = part.within(region)
                for result, found in zip(
                    out, kernels.fourier.tile(_edged(read, around, self.shape), self.transfers, self.shape), strict=True
                ):
                    result[:, target[0], target[1]] = found[:, source[0], source[1]]
        for i, result in enumerate(out):
            result += self._low(t, m, k, region, i)
        return out

    def _low(self, t: int, m: int, k: int, region: Region, transfer: int) -> Planes:
        small = reduced_shape(*self.shape)
        y, x = (kernels.resample.Axis(n, n * REDUCTION) for n in small)
        part = Region(*(edge + REDUCTION for edge in (region.top, region.bottom, region.left, region.right)))
        needed = Region(*y.needed(part.top, part.bottom), *x.needed(part.left, part.right))
        count = len(self.transfers)
        first = m * self.planes * count
        found = self.low.read(needed.box(t, (first, first + self.planes * count), (k, k + 1)))[0, transfer::count, 0]
        return kernels.resample.resize(found, (y, x), needed.origin, part.parts, "Catrom")


def _edged(read: Callable[[Region], Planes], region: Region, shape: tuple[int, int]) -> Planes:
    """Read a region that may reach beyond the plane, whose edge pixel is repeated there."""
    inside = Region(
        min(max(region.top, 0), shape[0] - 1),
        max(min(region.bottom, shape[0]), 1),
        min(max(region.left, 0), shape[1] - 1),
        max(min(region.right, shape[1]), 1),
    )
    planes = read(inside)
    if inside == region:
        return planes
    y = np.clip(np.arange(region.top, region.bottom) - inside.top, 0, inside.shape[0] - 1)
    x = np.clip(np.arange(region.left, region.right) - inside.left, 0, inside.shape[1] - 1)
    return planes[:, y[:, None], x[None, :]]
