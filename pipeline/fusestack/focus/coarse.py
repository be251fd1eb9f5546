"""Slices made smaller, and the coarse levels of a multi-scale picture that are mixed from them."""

from __future__ import annotations

import functools
import math
import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fusestack import kernels
from fusestack.focus import blocks
from fusestack.focus.blocks import BYTES
from fusestack.focus.coarse_mixing import FINE, REDUCED, CoarseMixing, SmallSlice
from fusestack.focus.exposures import SliceCounts, exposures_of
from fusestack.focus.region import Region
from fusestack.focus.scales import WHITE, reduced
from fusestack.focus.slices import sides_of
from fusestack.focus.statistics import Bands
from fusestack.kernels import reaches
from fusestack.model.stage import Along, Compute
from fusestack.planning.stored import sharded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from fusestack.focus.cached import CachedStages
    from fusestack.focus.channels import MaskSets, SliceChannels
    from fusestack.focus.exposures import Exposures
    from fusestack.model.geometry import Box
    from fusestack.model.stage import Reach, StoredArray
    from fusestack.planning.plan import Statistic

    Planes = NDArray[np.float32]

_FACTOR = 1 << REDUCED
_HALO = reaches.PYRAMID * (_FACTOR - 1)


def smaller(plane: tuple[int, int], level: int) -> tuple[int, int]:
    """Rows and columns of a level."""
    height, width = (-(-n // (1 << level)) for n in plane)
    return height, width


@dataclass(frozen=True)
class ReducedSlices(Compute):
    """Slices of level `REDUCED` [t, m * planes + plane, k, y, x]: what is looked at, mixed, and white, and their noise.

    Parameters
    ----------
    looked : SliceChannels
    painted : SliceChannels or None
        None where it is the same.
    whites : bool
        Whether there is a plane of what is white.
    """

    looked: SliceChannels
    painted: SliceChannels | None
    whites: bool

    @property
    def planes(self) -> int:
        """Of a mask set."""
        others = 0 if self.painted is None else len(self.painted.sets[0])
        return len(self.looked.sets[0]) + others + self.whites + 1

    def __call__(self, box: Box) -> Planes:
        """Compute a region; a box holds all planes of some mask sets."""
        out = np.empty(box.shape, np.float32)
        small, plane, count = Region.of(box), self.looked.plane, self.planes
        wanted = small.finer(_FACTOR)
        around = wanted.within_plane(plane).grown(_HALO, plane, _FACTOR)
        rows, columns = small.within(Region(around.top // _FACTOR, 0, around.left // _FACTOR, 0))
        for t in range(box.start[0], box.stop[0]):
            for m in range(box.start[1] // count, box.stop[1] // count):
                for k in range(box.start[2], box.stop[2]):
                    found = self._reduced(t, m, k, around)
                    first = m * count - box.start[1]
                    out[t - box.start[0], first : first + count, k - box.start[2]] = found[:, rows, columns]
        return out

    def _reduced(self, t: int, m: int, k: int, region: Region) -> Planes:
        colours = len(self.looked.sets[0])
        looked, grain = kernels.begin.twice(self.looked.pixels(t, m, k, region), WHITE if self.whites else None)
        parts = [looked[:colours], looked[colours:], grain[None]]
        if self.painted is not None:
            parts.insert(1, reduced(self.painted.read(t, m, k, region), REDUCED))
        return np.concatenate(parts)

    def reaches(self) -> dict[StoredArray, Reach]:
        """The pixels of smaller ones, and those around them."""
        along = Along(_FACTOR, _HALO + _FACTOR - 1, _HALO)
        parts = (one for one in (self.looked, self.painted) if one is not None)
        found = functools.reduce(operator.or_, (one.reaches(Along(), along, along) for one in parts))
        own = Along(1 / self.planes)
        return {array: (reach[0], own if reach[1] is not None else None, *reach[2:]) for array, reach in found.items()}

    def peak_bytes(self, block: tuple[int, ...]) -> int:
        """Memory of a block: what is read, as stored, or as numbers where those are not of its pixels alone."""
        sides = (min(n, b * _FACTOR + 2 * _HALO) for n, b in zip(self.looked.plane, block[3:], strict=True))
        dtype = np.dtype(self.looked.array.dtype)
        as_stored = self.painted is None and dtype.kind in "iu"
        each = 2 * dtype.itemsize if as_stored else 3 * BYTES
        return (each * (self.planes - 1) + self.planes) * math.prod(sides) + 2**20


@dataclass(frozen=True)
class CoarsePicture(Compute):
    """The coarse levels of a picture, mixed: planes [t, m * colours + colour, 0, y, x] of level `FINE`.

    Parameters
    ----------
    function : CoarseMixing
    reduced : StoredArray
        See `ReducedSlices`.
    planes : (int, int, int)
        Of a mask set in it: looked at, mixed (0: the same), white (0: not known).
    counts : Statistic
        See `SliceCounts`.
    gains : bool
        Whether slices are made equally bright.
    """

    function: CoarseMixing
    reduced: StoredArray
    planes: tuple[int, int, int]
    counts: Statistic
    gains: bool

    @property
    def plane(self) -> tuple[int, int]:
        """Rows and columns of the reduced slices."""
        return self.reduced.shape[3], self.reduced.shape[4]

    @property
    def colours(self) -> int:
        """Planes of the picture."""
        return self.planes[1] or self.planes[0]

    def __call__(self, box: Box) -> Planes:
        """Compute a region; a box holds all colours of a mask set."""
        out = np.empty(box.shape, np.float32)
        inner = Region.of(box)
        outer = inner.finer(2).within_plane(self.plane).grown(self.function.depth, self.plane, self.function.step)
        rows, columns = inner.within(Region(outer.top // 2, 0, outer.left // 2, 0))
        for t in range(box.start[0], box.stop[0]):
            for m in range(box.start[1] // self.colours, box.stop[1] // self.colours):
                exposures = exposures_of(self.counts, t, m, gains=self.gains)
                first = m * self.colours - box.start[1]
                made = self.function(self._slices(t, m, exposures, outer), exposures)
                out[t - box.start[0], first : first + self.colours, 0] = made[:, rows, columns]
        return out

    def _slices(self, t: int, m: int, exposures: Exposures, region: Region) -> Iterator[SmallSlice]:
        looked, painted, _ = self.planes
        count = sum(self.planes) + 1
        for k in exposures.mixed(self.function.slices):
            found = self.reduced.read(region.box(t, (m * count, (m + 1) * count), (k, k + 1)))[0, :, 0]
            _, mixed, whites = np.split(found[:-1], [looked, looked + painted])
            yield SmallSlice(k, found[:looked], mixed if len(mixed) else None, whites if len(whites) else None)

    def reaches(self) -> dict[StoredArray, Reach]:
        """All slices, with what is around a block."""
        around = Along(2, self.function.depth + self.function.step - 1, self.function.depth)
        return {self.reduced: (Along(), Along((sum(self.planes) + 1) / self.colours), None, around, around)}

    def peak_bytes(self, block: tuple[int, ...]) -> int:
        """Memory of a block: pyramids of a slice and of the sums, energies and weights."""
        more = 2 * self.function.depth + self.function.step
        pixels = math.prod(min(2 * b + more, n) for b, n in zip(block[3:], self.plane, strict=True))
        return BYTES * pixels * (3 * self.planes[0] + 4 * self.planes[1] + 2 * self.colours + 10) * 4 // 3 + 2**22


@dataclass(frozen=True)
class Reduced:
    """Slices made smaller, and what is known of them.

    Parameters
    ----------
    source : ReducedSlices
    array : StoredArray
        What they are stored in.
    counts : Statistic
        See `SliceCounts`.
    """

    source: ReducedSlices
    array: StoredArray
    counts: Statistic


def reduced_stages(cached: CachedStages, sets: MaskSets, *, mixes: bool, whites: bool) -> Reduced:
    """Stages of slices that are made smaller, and of how bright and noisy they are.

    Parameters
    ----------
    cached : CachedStages
    sets : MaskSets
    mixes : bool
        Whether coarse levels are mixed from them.
    whites : bool
        Whether highlights are kept out there.
    """
    looked = sets.looked
    source = ReducedSlices(looked, sets.painted if mixes and sets.painted != looked else None, whites=mixes and whites)
    height, width = smaller(looked.plane, REDUCED)
    shape = (sets.times, sets.count * source.planes, looked.slices, height, width)
    sides = (side // 2 for side in sides_of(looked.array))
    levels = [sharded(shape, (1, source.planes, 1, n, n), n, source.planes, n // 4) for n in sides]
    array = cached.add("reduced", f"slices a {_FACTOR**2}th as large", source, cached.fitting(source, levels))
    bands = Bands((sets.times, sets.count, looked.slices, height, width), deep=True)
    counts = SliceCounts(array, (len(looked.sets[0]), source.planes), bands)
    return Reduced(source, array, cached.statistic("slices brightness", "brightness/slices", counts))


def coarse_stage(
    cached: CachedStages, name: str, sets: MaskSets, function: CoarseMixing, small: Reduced, *, gains: bool
) -> StoredArray:
    """The stage of the coarse levels of a picture.

    Parameters
    ----------
    cached : CachedStages
    name : str
        Of the stage.
    sets : MaskSets
    function : CoarseMixing
    small : Reduced
    gains : bool
        Whether slices are made equally bright.
    """
    source = small.source
    painted = 0 if source.painted is None else sets.colours
    planes = (len(sets.looked.sets[0]), painted, int(source.whites))
    compute = CoarsePicture(function, small.array, planes, small.counts, gains)
    shape = (sets.times, sets.count * compute.colours, 1, *smaller(sets.looked.plane, FINE))
    side = blocks.BLOCK // 4  # so small that many fine blocks do not wait for one
    level = sharded(shape, (1, compute.colours, 1, side, side), side, compute.colours)
    return cached.add(name, "coarse scales mixed", compute, level)
