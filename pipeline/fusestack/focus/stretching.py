"""Limits of what a command has made of a whole stack, and images that are stretched between them when they are read.

ImageMagick stretches (``-auto-level``, ``-normalize``) each image by its own limits. Slices of a stack would no longer
be comparable then: a slice that is nowhere sharp would get as bright a mask as all others. So the limits are those of
all slices of the stack.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fusestack import kernels
from fusestack.focus.blocks import BLOCK, BYTES, along, in_blocks
from fusestack.focus.region import Region
from fusestack.focus.statistics import Bands, BandStatistic, united
from fusestack.model.stage import Along, Compute
from fusestack.operators.commands import run_command
from fusestack.operators.imagemagick import STRETCHES, known

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from fusestack.focus.cached import CachedStages
    from fusestack.focus.lowpass import PlaneSource
    from fusestack.model.geometry import Box
    from fusestack.model.stage import Reach, StoredArray
    from fusestack.operators.imagemagick import Stretch
    from fusestack.planning.plan import Statistic

    Planes = NDArray[np.float32]
    Numbers = NDArray[np.float64]


def _stretch(command: str) -> Stretch:
    return STRETCHES[command.removeprefix("-").lower()]


@dataclass(frozen=True)
class CommandPlanes(Compute):
    """Planes [t, m * count + plane, k, y, x] that a command has made.

    Parameters
    ----------
    source : PlaneSource
    plane : (int, int)
        Rows and columns.
    command : str
        Options that are computed here.
    """

    source: PlaneSource
    plane: tuple[int, int]
    command: str

    @property
    def depth(self) -> int:
        """How far the options look."""
        found = known(self.command)
        return 0 if found is None else found.halo

    def __call__(self, box: Box) -> Planes:
        """Compute a region; a box holds all planes of one mask set."""
        out = np.empty(box.shape, np.float32)
        region = Region.of(box)
        outer = region.grown(self.depth, self.plane)
        rows, columns = region.within(outer)
        m = box.start[1] // box.shape[1]
        for t, k in itertools.product(range(box.start[0], box.stop[0]), range(box.start[2], box.stop[2])):
            made = run_command(self.command, self.source.read(t, m, k, outer))
            out[t - box.start[0], :, k - box.start[2]] = made[:, rows, columns]
        return out

    def reaches(self) -> dict[StoredArray, Reach]:
        """The source, with the halo of the options; several planes are made of one channel, or of all."""
        found = self.source.reaches(along(self.depth))
        return {array: (reach[0], None, *reach[2:]) for array, reach in found.items()}

    def peak_bytes(self, block: tuple[int, ...]) -> int:
        """Memory of a block: what is read, the work of the options, planes."""
        sides = [min(b + 2 * self.depth, n) for b, n in zip(block[3:], self.plane, strict=True)]
        pixels = sides[0] * sides[1]
        return BYTES * 8 * block[1] * pixels + self.source.read_bytes(pixels)


@dataclass(frozen=True)
class StretchLimits(BandStatistic):
    """What a stretch must know of planes [t, m * count + plane, k, y, x], of each band of all slices."""

    array: StoredArray
    bands: Bands
    count: int
    command: str

    @property
    def NUMBERS(self) -> int:  # type: ignore[override]
        """Of all images that the planes are."""
        return _stretch(self.command).numbers * kernels.tones.images_of(self.count)

    @property
    def unites(self) -> str:
        """As the stretch says."""
        return _stretch(self.command).unites

    def measure(self, box: Box) -> Numbers:
        """See `BandStatistic.measure`; slice by slice."""
        t, m = box.start[:2]
        span = (m * self.count, (m + 1) * self.count)
        stretch, region = _stretch(self.command), Region.of(box)
        found: Numbers | None = None
        for k in range(box.start[2], box.stop[2]):
            planes = self.array.read(region.box(t, span, (k, k + 1)))[0, :, 0]
            numbers = stretch.measure(np.ascontiguousarray(planes))
            found = numbers if found is None else united(np.stack([found, numbers]), self.unites)
        return np.zeros(self.NUMBERS) if found is None else found

    def reaches(self) -> dict[StoredArray, Reach]:
        """The rows of the bands."""
        reach = self.bands.reach()
        return {self.array: reach if self.count == 1 else (reach[0], None, *reach[2:])}

    def peak_bytes(self, block: tuple[int, ...]) -> int:
        """Memory of an entry, which is read slice by slice, and its numbers."""
        return 6 * BYTES * self.count * self.bands.plane_pixels() + 24 * self.NUMBERS


@dataclass(frozen=True)
class Stretched:
    """Planes [t, m * count + plane, k, y, x], stretched between the limits of the whole stack when they are read.

    Parameters
    ----------
    array : StoredArray
    count : int
        Planes of each mask set.
    limits : Statistic
    command : str
    """

    array: StoredArray
    count: int
    limits: Statistic
    command: str

    def read(self, t: int, m: int, k: int, region: Region) -> Planes:
        """A region of a slice: float32[c, y, x]."""
        span = (m * self.count, (m + 1) * self.count)
        planes = self.array.read(region.box(t, span, (k, k + 1)))[0, :, 0]
        return _stretch(self.command).apply(np.ascontiguousarray(planes), self.limits.of(t, m))

    def reaches(self, along: Along | None) -> dict[StoredArray, Reach]:
        """The same slice."""
        return {self.array: (Along(), Along() if self.count == 1 else None, Along(), along, along)}

    def read_bytes(self, pixels: int) -> int:
        """What a stretch needs."""
        return 4 * BYTES * self.count * pixels


@dataclass(frozen=True)
class StretchedFilter:
    """In place of what a generator is applied to: what was stretched of it.

    Parameters
    ----------
    stretched : Stretched
    halo : int
        Of the options that follow.
    """

    stretched: Stretched
    halo: int

    def filter(self, t: int, m: int, k: int, region: Region, read: Callable[[Region], Planes]) -> list[Planes]:
        """A region of a slice: list of one float32[c, y, x]."""
        return [self.stretched.read(t, m, k, region)]

    def reaches(self, source: PlaneSource) -> dict[StoredArray, Reach]:
        """What the generator is compared with, and what was stretched."""
        halo = along(self.halo)
        return source.reaches(halo) | self.stretched.reaches(halo)


def limits_of(cached: CachedStages, prefix: str, label: str, array: StoredArray, count: int, command: str) -> Stretched:
    """Planes that a stage has made, stretched between the limits of all slices.

    Parameters
    ----------
    cached : CachedStages
    prefix : str
        Of the names of stages.
    label : str
        Of the statistic, for people.
    array : StoredArray
        [t, m * count + plane, k, y, x].
    count : int
    command : str
        Such as ``-auto-level``.
    """
    times, planes, slices, *plane = array.shape
    deep = _stretch(command).unites == "sum"
    bands = Bands((times, planes // count, slices, *plane), deep=deep)
    compute = StretchLimits(array, bands, count, command)
    limits = cached.statistic(f"{label} limits", f"{prefix}limits/cmd", compute)
    return Stretched(array, count, limits, command)


def stretched_stages(
    cached: CachedStages,
    prefix: str,
    label: str,
    source: PlaneSource,
    count: int,
    shape: tuple[int, int, int, int, int],
    pieces: Sequence[str],
) -> tuple[Stretched, str]:
    """Stages for a command with stretches; what is stretched last, and the options behind it.

    Parameters
    ----------
    cached : CachedStages
    prefix, label : str
        See `limits_of`.
    source : PlaneSource
    count : int
        Planes that it gives.
    shape : tuple of int
        t, m, k, y, x of the masks that are made of it.
    pieces : sequence of str
        See `imagemagick.Known.pieces`.
    """
    times, sets, slices, *plane = shape
    level = in_blocks((times, sets * count, slices, *plane), (1, count, max(1, BLOCK**2 // (plane[0] * plane[1]))))
    before, said = "-noop", ""
    found: Stretched | None = None
    for piece in pieces:
        said = f"{said} {piece}".lstrip()
        if piece.removeprefix("-").lower() not in STRETCHES:
            before = piece
            continue
        compute = CommandPlanes(source if found is None else found, shape[3:], before)
        array = cached.add(f"{prefix}masks/cmd-planes", f"images of {label} up to {piece}", compute, level)
        found = limits_of(cached, prefix, f"{label} {said}", array, count, piece)
        before = "-noop"
    if found is None:
        raise ValueError(f"there is nothing to stretch in {' '.join(pieces)}")
    return found, before
