"""Channels of the stored slices as numbers 0 (black) to 1 (white), at their own size or at that of the masks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fusestack import kernels
from fusestack.focus.region import Region
from fusestack.focus.slices import reaches_of
from fusestack.model.stage import Along

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from fusestack.focus.slices import SliceArray
    from fusestack.kernels.pixels import Pixels
    from fusestack.model.stage import Reach, StoredArray
    from fusestack.planning.plan import Statistic

    Planes = NDArray[np.float32]


@dataclass(frozen=True)
class Scale:
    """Which pixels are black and white.

    Parameters
    ----------
    dtype : str
    limits : Statistic or None
        Least and greatest pixel of each channel; 0, or less where there is less, is black, the greatest is white. None
        where the type of the pixels says it.
    """

    dtype: str
    limits: Statistic | None = None

    def black_white(self, t: int, channel: int) -> tuple[float, float]:
        """Pixels that stand for 0 and 1."""
        if self.limits is None:
            kind = np.dtype(self.dtype)
            return (0.0, 1.0) if kind.kind == "f" else (0.0, float(np.iinfo(kind).max))
        low, high = (float(v) for v in self.limits.of(t, channel))
        low = min(low, 0.0)
        return (low, high) if high > low else (low, low + 1)


@dataclass(frozen=True)
class SharedScale(Scale):
    """As `Scale`, with one black and one white for the colours of photographs.

    Parameters
    ----------
    colours : int
        The first channels, which share them.
    clips : bool
        Whether what is darker or brighter, a hot pixel perhaps, counts as black or white.
    """

    colours: int = 0
    clips: bool = False

    def black_white(self, t: int, channel: int) -> tuple[float, float]:
        """Pixels that stand for 0 and 1."""
        if channel >= self.colours:
            return super().black_white(t, channel)
        ends = [super(SharedScale, self).black_white(t, colour) for colour in range(self.colours)]
        return min(low for low, _ in ends), max(high for _, high in ends)


def numbers_of(pixels: Pixels, nan: float = 0.0) -> Planes:
    """Pixels as numbers 0 (black) to 1 (white), float32[c, y, x]; what is no number is black, or what is said."""
    planes = kernels.pixels.shares(pixels)
    if pixels.values.dtype.kind == "f":
        np.nan_to_num(planes, copy=False, nan=nan, posinf=1.0, neginf=0.0)
    return planes


@dataclass(frozen=True)
class SliceChannels:
    """Some channels of the slices for each mask set; what is no number is black.

    Parameters
    ----------
    array : StoredArray or VolumeSlices
        [t, c, k, y, x].
    scale : Scale
    sets : tuple of (int, ...)
        For each mask set its channels, neighbours of one another.
    """

    array: SliceArray
    scale: Scale
    sets: tuple[tuple[int, ...], ...]

    @property
    def slices(self) -> int:
        """Number of slices."""
        return self.array.shape[2]

    @property
    def plane(self) -> tuple[int, int]:
        """Rows and columns of the slices."""
        return self.array.shape[3], self.array.shape[4]

    @property
    def _clips(self) -> bool:
        return isinstance(self.scale, SharedScale) and self.scale.clips

    def pixels(self, t: int, m: int, k: int, region: Region) -> Pixels:
        """What `read` makes numbers of: channels of a mask set as they are stored, if they are whole numbers."""
        if np.dtype(self.array.dtype).kind in "iu" and not self._clips:
            return self._stored(t, m, k, region)
        return kernels.pixels.Pixels.of(self.read(t, m, k, region))

    def read(self, t: int, m: int, k: int, region: Region, *, keeps_nan: bool = False) -> Planes:
        """Channels of a mask set: float32[c, y, x]."""
        planes = numbers_of(self._stored(t, m, k, region), np.nan if keeps_nan else 0.0)
        if self._clips:
            np.clip(planes, 0, 1, out=planes)
        return planes

    def _stored(self, t: int, m: int, k: int, region: Region) -> Pixels:
        channels = self.sets[m]
        first = min(channels)
        found = self.array.read(region.box(t, (first, max(channels) + 1), (k, k + 1)))[0, :, 0]
        if channels != tuple(range(first, first + len(found))):
            found = found[[channel - first for channel in channels]]
        return kernels.pixels.Pixels.of(found, [self.scale.black_white(t, channel) for channel in channels])

    def scaled(self, value: float, t: int, m: int) -> Planes:
        """A pixel value as `read` gives it: float32[c, 1, 1]."""
        found = []
        for channel in self.sets[m]:
            low, high = self.scale.black_white(t, channel)
            one = np.float32(value) - np.float32(low)
            found.append(one / np.float32(high - low) if high - low != 1 else one)
        return np.array(found, np.float32)[:, None, None]

    def greatest(self, t: int, m: int, region: Region) -> Planes:
        """Greatest number of all slices: float32[c, y, x]."""
        greatest = self.read(t, m, 0, region)
        for k in range(1, self.slices):
            np.maximum(greatest, self.read(t, m, k, region), out=greatest)
        return greatest

    def reaches(self, k: Along | None, y: Along | None, x: Along | None) -> dict[StoredArray, Reach]:
        """What is read of the stored slices for such slices, rows and columns."""
        own = all(channels == (m,) for m, channels in enumerate(self.sets))
        return reaches_of(self.array, (Along(), Along() if own else None, k, y, x))


@dataclass(frozen=True)
class Resizing:
    """From planes of one size to those of another, on a grid that belongs to the whole image.

    Parameters
    ----------
    source, target : (int, int)
        Rows and columns.
    interpolation : str
    """

    source: tuple[int, int]
    target: tuple[int, int]
    interpolation: str = "Spline"

    @property
    def back(self) -> Resizing:
        """The other way round."""
        return Resizing(self.target, self.source, self.interpolation)

    @property
    def changes(self) -> bool:
        """Whether the sizes differ."""
        return self.source != self.target

    def apply(self, region: Region, read: Callable[[Region], Planes]) -> Planes:
        """A region of the target, float32[c, y, x], from what `read` gives of the source."""
        if not self.changes:
            return read(region)
        y, x = (kernels.resample.Axis(n, m) for n, m in zip(self.source, self.target, strict=True))
        needed = Region(*y.needed(region.top, region.bottom), *x.needed(region.left, region.right))
        return kernels.resample.resize(read(needed), (y, x), needed.origin, region.parts, self.interpolation)

    def along(self, y: Along | None, x: Along | None) -> tuple[Along | None, Along | None]:
        """What is read of the source where such rows and columns are read of the target."""
        found = []
        for along, n, m in zip((y, x), self.source, self.target, strict=True):
            if along is not None and self.changes:
                scale = n / m
                low, high = (math.ceil((edge + 1) * scale + max(1, scale / 2)) + 3 for edge in (along.low, along.high))
                along = Along(along.factor * scale, low, high)
            found.append(along)
        return found[0], found[1]

    def source_pixels(self, pixels: int) -> int:
        """Pixels of the source that a region of so many pixels of the target is made of, at most about."""
        if not self.changes:
            return 0
        factor = math.prod(n / m for n, m in zip(self.source, self.target, strict=True))
        return min(math.prod(self.source), int(pixels * factor) + 16 * sum(self.source))


@dataclass(frozen=True)
class MaskSets:
    """A stack by mask sets: what its masks are made of, and what is painted by them.

    Parameters
    ----------
    looked, painted : SliceChannels
    opacity : SliceChannels or None
        The channel that says how opaque a pixel is, for each mask set; None where all are.
    """

    looked: SliceChannels
    painted: SliceChannels
    opacity: SliceChannels | None = None

    @property
    def count(self) -> int:
        """Number of mask sets."""
        return len(self.painted.sets)

    @property
    def colours(self) -> int:
        """Channels that are painted by a mask set."""
        return len(self.painted.sets[0])

    @property
    def size(self) -> tuple[int, int, int]:
        """Slices, rows and columns."""
        return (self.painted.slices, *self.painted.plane)

    @property
    def times(self) -> int:
        """Number of timepoints."""
        return self.painted.array.shape[0]
