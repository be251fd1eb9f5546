"""Low passes of planes that are too large to be transformed whole: two scales.

The lowest frequencies come from a reduced plane, which is transformed whole; all others from tiles with an overlap.
Tiles lie on a grid of the plane, so a pixel does not depend on the block that it is computed in.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from fusestack import kernels
from fusestack.focus import blocks
from fusestack.focus.blocks import BYTES
from fusestack.focus.region import Region
from fusestack.kernels.fourier import CORE, OVERLAP, REDUCTION
from fusestack.model.errors import ConfigError
from fusestack.model.stage import Along, Compute
from fusestack.planning.stored import sharded

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from fusestack.focus.cached import CachedStages
    from fusestack.kernels.fourier import Transfer
    from fusestack.model.geometry import Box
    from fusestack.model.stage import Reach, StoredArray
    from fusestack.operators.base import Operator

    Planes = NDArray[np.float32]

WHOLE_PIXELS = 24 * 10**6
"""Padded planes of up to as many pixels are transformed whole."""


def transformed_whole(operator: Operator, plane: tuple[int, int]) -> bool:
    """Whether an operator that sees whole planes is given them in one piece; for others, whether it is one of those.

    Raises
    ------
    ConfigError
        If planes are too large for that, and the operator has no frequencies of which they could be put together.
    """
    if not operator.needs_whole_plane:
        return False
    if kernels.fourier.padded_side(*plane) ** 2 <= WHOLE_PIXELS:
        return True
    if not hasattr(operator, "transfers"):
        raise ConfigError(
            f"focus: {operator.word} sees whole slices, which are too large for that here; declare how far it "
            "looks (reach, in imfuse's string halo=N)"
        )
    return False


def whole_bytes(plane: tuple[int, int], planes: int) -> int:
    """Memory of the transform of whole planes."""
    return BYTES * (math.prod(plane) * (4 * planes + 2) + kernels.fourier.padded_side(*plane) ** 2 * 6)


class PlaneSource(Protocol):
    """What is filtered: regions of planes."""

    def read(self, t: int, m: int, k: int, region: Region) -> Planes:
        """float32[c, y, x]."""
        ...

    def reaches(self, along: Along | None) -> dict[StoredArray, Reach]:
        """What is read for such rows and columns."""
        ...

    def read_bytes(self, pixels: int) -> int:
        """Memory for reading a region of so many pixels, besides what is given."""
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
    source : PlaneSource
    plane : (int, int)
        Rows and columns of what is filtered.
    """

    source: PlaneSource
    plane: tuple[int, int]

    def __call__(self, box: Box) -> Planes:
        """Compute a region; a box holds all planes of one mask set."""
        out = np.empty(box.shape, np.float32)
        small = Region.of(box)
        wanted = Region(*((edge - 1) * REDUCTION for edge in (small.top, small.bottom, small.left, small.right)))
        for t in range(box.start[0], box.stop[0]):
            for k in range(box.start[2], box.stop[2]):
                read = functools.partial(self.source.read, t, box.start[1] // box.shape[1], k)
                planes = _edged(read, wanted, self.plane)
                cells = planes.reshape(len(planes), small.shape[0], REDUCTION, small.shape[1], REDUCTION)
                rows = cells[:, :, 0] + cells[:, :, 1] + cells[:, :, 2] + cells[:, :, 3]
                total = rows[..., 0] + rows[..., 1] + rows[..., 2] + rows[..., 3]
                out[t - box.start[0], :, k - box.start[2]] = total / np.float32(REDUCTION**2)
        return out

    def reaches(self) -> dict[StoredArray, Reach]:
        """The pixels of the means; several planes are made of one channel, or of all."""
        return {
            array: (reach[0], None, *reach[2:])
            for array, reach in self.source.reaches(Along(REDUCTION, REDUCTION)).items()
        }

    def peak_bytes(self, block: tuple[int, ...]) -> int:
        """Memory of a block: what is read, with its edge repeated, and its means."""
        pixels = math.prod(REDUCTION * n for n in block[3:])
        return BYTES * 3 * block[1] * pixels + self.source.read_bytes(pixels)


@dataclass(frozen=True)
class LowFrequencies(Compute):
    """Lowest frequencies [t, (m * planes + plane) * transfers + transfer, k, y, x] of reduced planes.

    Parameters
    ----------
    reduced : StoredArray
    transfers : tuple of Transfer
    plane : (int, int)
        Rows and columns of what was reduced.
    """

    reduced: StoredArray
    transfers: tuple[Transfer, ...]
    plane: tuple[int, int]

    def __call__(self, box: Box) -> Planes:
        """Compute whole planes."""
        out = np.empty(box.shape, np.float32)
        count = len(self.transfers)
        region = Region.of(box)
        for t in range(box.start[0], box.stop[0]):
            for k in range(box.start[2], box.stop[2]):
                first, last = box.start[1] // count, box.stop[1] // count
                planes = self.reduced.read(region.box(t, (first, last), (k, k + 1)))[0, :, 0]
                for i, low in enumerate(kernels.fourier.reduced_low_pass(planes, self.transfers, self.plane)):
                    out[t - box.start[0], i::count, k - box.start[2]] = low
        return out

    def reaches(self) -> dict[StoredArray, Reach]:
        """Whole planes."""
        return {self.reduced: (Along(), None, Along(), None, None)}

    def peak_bytes(self, block: tuple[int, ...]) -> int:
        """Memory of a block: its transform."""
        return BYTES * math.prod(block[3:]) * (6 + len(self.transfers))


@dataclass(frozen=True)
class TiledLowPass:
    """Filters regions of planes.

    Parameters
    ----------
    low : StoredArray
        What `LowFrequencies` made.
    plane : (int, int)
    planes : int
        Of each mask set.
    transfers : tuple of Transfer
    """

    low: StoredArray
    plane: tuple[int, int]
    planes: int
    transfers: tuple[Transfer, ...]

    def filter(self, t: int, m: int, k: int, region: Region, read: Callable[[Region], Planes]) -> list[Planes]:
        """Filter a region of a plane, each transfer by itself: list of float32[c, y, x]."""
        out = self._low(t, m, k, region)
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
                planes = _edged(read, around, self.plane)
                for result, found in zip(out, kernels.fourier.tile(planes, self.transfers, self.plane), strict=True):
                    result[:, target[0], target[1]] += found[:, source[0], source[1]]
        return out

    def _low(self, t: int, m: int, k: int, region: Region) -> list[Planes]:
        """Lowest frequencies of a region, for each transfer."""
        small = reduced_shape(*self.plane)
        y, x = (kernels.resample.Axis(n, n * REDUCTION) for n in small)
        part = Region(*(edge + REDUCTION for edge in (region.top, region.bottom, region.left, region.right)))
        needed = Region(*y.needed(part.top, part.bottom), *x.needed(part.left, part.right))
        count = len(self.transfers)
        size = self.planes * count
        found = self.low.read(needed.box(t, (m * size, (m + 1) * size), (k, k + 1)))[0, :, 0]
        return [
            kernels.resample.resize(found[i::count], (y, x), needed.origin, part.parts, "Catrom") for i in range(count)
        ]

    def reaches(self, source: PlaneSource) -> dict[StoredArray, Reach]:
        """What is read for a block: tiles of what is filtered, and the lowest frequencies around them."""
        tiles = Along(1, CORE + OVERLAP, CORE + OVERLAP)
        low = Along(1 / REDUCTION, 4, 8)
        return source.reaches(tiles) | {self.low: (Along(), None, Along(), low, low)}


def low_pass_stages(
    cached: CachedStages,
    name: str,
    source: PlaneSource,
    count: int,
    shape: tuple[int, int, int, int, int],
    transfers: tuple[Transfer, ...],
) -> TiledLowPass:
    """Stages for the lowest frequencies of planes that are too large to be transformed whole.

    Parameters
    ----------
    cached : CachedStages
    name : str
        Of the stage that filters.
    source : PlaneSource
    count : int
        Planes that it gives.
    shape : tuple of int
        t, m, k, y, x of the masks that are made of what is filtered.
    transfers : tuple of Transfer
    """
    times, sets, slices, *_ = shape
    plane = shape[3:]
    height, width = reduced_shape(*plane)
    side = blocks.BLOCK // REDUCTION
    level = sharded((times, sets * count, slices, height, width), (1, count, 1, side, side), side)
    reduced = cached.add(f"{name}-reduced", "reduced planes", Reduce(source, plane), level)
    filters = len(transfers)
    level = blocks.in_planes((times, sets * count * filters, slices, height, width), (1, filters, 1))
    low = cached.add(f"{name}-low", "lowest frequencies", LowFrequencies(reduced, transfers, plane), level)
    return TiledLowPass(low, plane, count, transfers)


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
