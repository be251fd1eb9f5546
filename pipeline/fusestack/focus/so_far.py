"""What is kept of the slices so far, while they are mixed one after the other: means, ends, peaks, and the depth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fusestack import kernels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Plane = NDArray[np.float32]
    Planes = NDArray[np.float32]

_UNSURE = 1.8
"""Energy in units of noise that is found where there is noise alone."""
_CONTRADICTS = 0.07
"""Where the finest detail says another slice, how much more of what is sharp it must have there."""
_EVEN = 0.7
"""Slices by which neighbours of a surface differ at most, so that what they differ by is noise or a slope."""
_SMOOTH = 0.5
"""Slices by which neighbours of a surface differ at most, for whatever lies between them."""


class Mean:
    """The mean of one level of the slices so far."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        weight, greatest = np.zeros((2, *shape[1:]), np.float32)
        self.sums = np.zeros(shape, np.float32), weight, greatest

    def add(self, detail: Planes, energies: Plane, power: int) -> None:
        """Add a slice, whose weight is the power of its share of the greatest energy."""
        kernels.multiscale.choose(detail, energies, *self.sums, power)

    def found(self) -> Planes:
        """The mean, in place of the sums."""
        total, weight, _ = self.sums
        total /= weight
        return total


class Span:
    """Least and greatest value of the planes so far: what is mixed from several planes of a volume lies between them.

    Beside a bright thing in one plane, what is dark around it in others is darker than anything where both are mixed.
    Not so for photographs: the ground beside a hair is in no slice without the blur of the hair.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.least, self.most = np.full(shape, np.inf, np.float32), np.full(shape, -np.inf, np.float32)

    def add(self, planes: Planes) -> None:
        """Add a slice."""
        np.minimum(self.least, planes, out=self.least)
        np.maximum(self.most, planes, out=self.most)


class Peak:
    """Where a value is greatest of the slices so far, and its neighbours."""

    def __init__(self, shape: Sequence[int]) -> None:
        self.values, self.place = np.zeros((3, *shape), np.float32), np.zeros(shape, np.float32)
        self._last = np.zeros(shape, np.float32)
        self.slices: list[int] = []

    @property
    def so_far(self) -> tuple[Plane, Planes, Plane]:
        """The last value, the greatest one with its neighbours, and its place; changed by what follows the peak."""
        return self._last, self.values, self.place

    def add(self, k: int, value: Plane) -> None:
        """Follow the peak to slice k, which comes after those before."""
        kernels.multiscale.follow_peak(value, len(self.slices), *self.so_far)
        self.slices.append(k)

    def found(self, *, between: bool) -> Plane:
        """Number of the slice."""
        slices = np.array(self.slices, np.float32)
        if between:
            return kernels.multiscale.between(self.values, self.place, slices)
        return slices[self.place.astype(np.int64)]


class Depth:
    """Which slice is sharp: the next level in a wide window says it best, but thin things have halos of its width.

    Where the finest level contradicts, it is right if its slice has clearly more of what only sharp slices have. Both
    are smooth, and are followed at every second pixel.

    Parameters
    ----------
    shape : sequence of int
        Rows and columns of the picture.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        height, width = shape
        self._shape = height, width
        half = [kernels.pyramid.halved(n) for n in shape]
        self._energy, self._share = Peak(half), Peak(half)
        self._beside = np.zeros(half, np.float32)

    def add(self, k: int, energy: Plane, share: Plane) -> None:
        """Follow slice k, which comes after those before.

        Parameters
        ----------
        k : int
        energy : float32[halved(y), halved(x)]
            Of the next level, in units of noise.
        share : float32[halved(y), halved(x)]
            See `fusestack.kernels.detail.share`.
        """
        index = len(self._energy.slices)
        self._energy.add(k, energy)
        self._share.add(k, share)
        kernels.multiscale.value_beside(share, index, self._energy.place, self._beside)

    def found(self, *, between: bool) -> tuple[Plane, Plane]:
        """Slice and how sure it is, 0..1; unknown where it is 0."""
        coarse = self._energy.found(between=between)
        contradicts = np.abs(self._share.place - self._energy.place) > 1
        contradicts &= self._share.values[1] - self._beside > np.float32(_CONTRADICTS)
        np.copyto(coarse, self._share.found(between=between), where=contradicts)
        unsure = np.float32(_UNSURE)
        sure = np.maximum(0, 1 - unsure / np.maximum(self._energy.values[1], unsure))
        if between:
            known = sure > 0
            coarse = kernels.surface.evened(kernels.surface.filled(coarse, known, _EVEN), known, _EVEN)
        return kernels.pyramid.finer(coarse, self._shape, _SMOOTH), kernels.pyramid.finer(sure, self._shape, 0)
