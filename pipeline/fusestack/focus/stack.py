"""The stored slices, as numbers 0 (black) to 1 (white)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from fusestack import kernels
from fusestack.focus.region import Region
from fusestack.model.geometry import Box

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fusestack.focus.measures import Values
    from fusestack.model.stage import Target

    Planes = NDArray[np.float32]


class Pixels(Protocol):
    """Boxes t, c, k, y, x of an array of slices, wherever it is."""

    def read(self, box: Box) -> NDArray[Any]:
        """Pixels of a box, in their own type."""
        ...


@dataclass(frozen=True)
class Stored:
    """An array that a stage has written."""

    target: Target

    def read(self, box: Box) -> NDArray[Any]:
        """See `Pixels.read`."""
        return self.target.open().read(self.target.level, box)


@dataclass(frozen=True)
class SomeSlices:
    """Slices of an array, counted from another one."""

    pixels: Pixels
    first: int

    def read(self, box: Box) -> NDArray[Any]:
        """Read a box whose slices are counted from `first`."""
        start, stop = list(box.start), list(box.stop)
        start[2] += self.first
        stop[2] += self.first
        return self.pixels.read(Box(tuple(start), tuple(stop)))


@dataclass(frozen=True)
class PicturePlanes:
    """All planes of pictures, for boxes of one plane."""

    pixels: Pixels
    count: int

    def read(self, box: Box) -> NDArray[Any]:
        """Read a box with all planes."""
        return self.pixels.read(Box((*box.start[:2], 0, *box.start[3:]), (*box.stop[:2], self.count, *box.stop[3:])))


@dataclass(frozen=True)
class Stack:
    """A stack of slices and which of its channels are looked at and painted.

    Parameters
    ----------
    pixels : Pixels
        [t, c, k, y, x].
    shape : tuple of int
        Of all of it.
    dtype : str
    looked : tuple of (int, ...)
        For each mask set the channels that its masks are made of, neighbours of one another.
    painted : tuple of (int, ...)
        For each mask set the channels that are painted by it.
    alpha : int or None
        Channel that says how opaque a pixel is.
    limits : Values or None
        Least and greatest pixel of each channel; 0, or less where there is less, is black, the greatest is white. None
        for those of an integer type.
        What is no number is black.
    """

    pixels: Pixels
    shape: tuple[int, ...]
    dtype: str
    looked: tuple[tuple[int, ...], ...]
    painted: tuple[tuple[int, ...], ...]
    alpha: int | None = None
    limits: Values | None = None

    @property
    def plane(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.shape[3], self.shape[4]

    @property
    def slices(self) -> int:
        """Number of slices."""
        return self.shape[2]

    def look(self, t: int, m: int, k: int, region: Region) -> Planes:
        """Channels of a mask set that its masks are made of: float32[c, y, x]."""
        return self._read(t, self.looked[m], k, region)

    def colours(self, t: int, m: int, k: int, region: Region) -> Planes:
        """Channels of a mask set that are painted: float32[c, y, x]."""
        return self._read(t, self.painted[m], k, region)

    def opacity(self, t: int, k: int, region: Region) -> NDArray[np.float32] | None:
        """How opaque the pixels are, float32[y, x]; None where all are."""
        return None if self.alpha is None else self._read(t, (self.alpha,), k, region)[0]

    def greatest_opacity(self, t: int, region: Region) -> NDArray[np.float32]:
        """How opaque the most opaque slice is, float32[y, x]."""
        if self.alpha is None:
            return np.ones(region.shape, np.float32)
        greatest: NDArray[np.float32] = self._read(t, (self.alpha,), 0, region)[0]
        for k in range(1, self.slices):
            np.maximum(greatest, self._read(t, (self.alpha,), k, region)[0], out=greatest)
        return greatest

    def black_white(self, t: int, channel: int) -> tuple[float, float]:
        """Pixels that stand for 0 and 1."""
        if self.limits is None:
            kind = np.dtype(self.dtype)
            return (0.0, 1.0) if kind.kind == "f" else (0.0, float(np.iinfo(kind).max))
        low, high = (float(v) for v in self.limits.of(t, channel))
        low = min(low, 0.0)
        return (low, high) if high > low else (low, low + 1)

    def _read(self, t: int, channels: tuple[int, ...], k: int, region: Region) -> Planes:
        span = (min(channels), max(channels) + 1)
        found = self.pixels.read(region.box(t, span, (k, k + 1)))[0, :, 0]
        planes = np.empty((len(channels), *region.shape), np.float32)
        for plane, channel in zip(planes, channels, strict=True):
            low, high = self.black_white(t, channel)
            np.subtract(found[channel - span[0]], np.float32(low), out=plane, dtype=np.float32, casting="unsafe")
            if high - low != 1:
                plane /= np.float32(high - low)
        if found.dtype.kind == "f":
            np.nan_to_num(planes, copy=False, nan=0.0, posinf=1.0, neginf=0.0)
        return planes


@dataclass(frozen=True)
class Look:
    """What the generators see: the stack, possibly made smaller first (reference 4, prepresize).

    Parameters
    ----------
    stack : Stack
    shape : (int, int)
        Rows and columns of the masks.
    interpolation : str
    """

    stack: Stack
    shape: tuple[int, int]
    interpolation: str = "Spline"

    @property
    def resized(self) -> bool:
        """Whether masks have another size than slices."""
        return self.shape != self.stack.plane

    def read(self, t: int, m: int, k: int, region: Region) -> Planes:
        """Channels that masks are made of, at the size of the masks: float32[c, y, x]."""
        return self.resize(region, lambda source: self.stack.look(t, m, k, source))

    def opacity(self, t: int, k: int, region: Region) -> NDArray[np.float32] | None:
        """As `Stack.opacity`, at the size of the masks."""
        if self.stack.alpha is None:
            return None

        def read(source: Region) -> Planes:
            found = self.stack.opacity(t, k, source)
            return np.ones((1, *source.shape), np.float32) if found is None else found[None]

        return np.asarray(self.resize(region, read)[0])

    def resize(self, region: Region, read: Any) -> Planes:
        """A region of the size of the masks from what `read` gives at the size of the slices."""
        if not self.resized:
            planes: Planes = read(region)
            return planes
        return resized(region, self.stack.plane, self.shape, self.interpolation, read)


def resized(region: Region, source: tuple[int, int], target: tuple[int, int], interpolation: str, read: Any) -> Planes:
    """Resize whatever `read` gives for regions of the source: float32[c, y, x] of a region of the target."""
    y, x = (kernels.resample.Axis(n, m) for n, m in zip(source, target, strict=True))
    top, bottom = y.needed(region.top, region.bottom)
    left, right = x.needed(region.left, region.right)
    needed = Region(top, bottom, left, right)
    return kernels.resample.resize(read(needed), (y, x), needed.origin, region.parts, interpolation)
