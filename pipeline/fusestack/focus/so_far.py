"""What is kept of the slices so far, while they are mixed one after the other: means, ends, peaks, and the depth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fusestack import kernels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]
    Planes = NDArray[np.float32]

_UNSURE = 1.8
"""Energy in units of noise that is found where there is noise alone."""
_CONTRADICTS = 0.1
"""Where the finest detail says another slice, how much more of what is sharp it must have there."""


class Mean:
    """The mean of one level of the slices so far."""

    def __init__(self, detail: Planes) -> None:
        self._total = np.zeros_like(detail)
        self._weight, self._greatest = np.zeros((2, *detail.shape[1:]), np.float32)

    def add(self, detail: Planes, energies: Plane, power: int) -> None:
        """Add a slice, whose weight is the power of its share of the greatest energy."""
        kernels.multiscale.choose(detail, energies, self._total, self._weight, self._greatest, power)

    def found(self) -> Planes:
        """The mean, in place of the sums."""
        self._total /= self._weight
        return self._total


class Span:
    """Least and greatest value of the planes so far: what is mixed from several planes of a volume lies between them.

    Beside a bright thing in one plane, what is dark around it in others is darker than anything where both are mixed.
    Not so for photographs: the ground beside a hair is in no slice without the blur of the hair.
    """

    def __init__(self, first: Planes) -> None:
        self.least, self.most = first.copy(), first.copy()

    def add(self, planes: Planes) -> None:
        """Add a slice."""
        np.minimum(self.least, planes, out=self.least)
        np.maximum(self.most, planes, out=self.most)


class Peak:
    """Where a value is greatest of the slices so far, and its neighbours."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.values, self.place = np.zeros((3, *shape), np.float32), np.zeros(shape, np.float32)
        self._last: Plane | None = None
        self.slices: list[int] = []

    def add(self, k: int, value: Plane) -> None:
        """Follow the peak to slice k, which comes after those before."""
        kernels.multiscale.follow_peak(value, len(self.slices), self._last, self.values, self.place)
        self._last = value
        self.slices.append(k)

    def found(self, *, between: bool) -> Plane:
        """Number of the slice."""
        slices = np.array(self.slices, np.float32)
        if between:
            return kernels.multiscale.between(self.values, self.place, slices)
        return slices[self.place.astype(np.int64)]


class Depth:
    """Which slice is sharp: the next level in a wide window says it best, but thin things have halos of its width.

    Where the finest level contradicts, it is right if its slice has clearly more of what only sharp slices have.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._energy, self._share = Peak(shape), Peak(shape)
        self._beside = np.zeros(shape, np.float32)

    def add(self, k: int, energy: Plane, share: Plane) -> None:
        """Follow slice k, which comes after those before.

        Parameters
        ----------
        k : int
        energy : float32[y, x]
            Of the next level, in units of noise.
        share : float32[y, x]
            See `fusestack.kernels.multiscale.share`.
        """
        index = len(self._energy.slices)
        self._energy.add(k, energy)
        self._share.add(k, share)
        kernels.multiscale.value_beside(share, index, self._energy.place, self._beside)

    def found(self, *, between: bool) -> tuple[Plane, Plane]:
        """Slice and how sure it is, 0..1; unknown where it is 0."""
        depth = self._energy.found(between=between)
        contradicts = np.abs(self._share.place - self._energy.place) > 1
        contradicts &= self._share.values[1] - self._beside > np.float32(_CONTRADICTS)
        np.copyto(depth, self._share.found(between=between), where=contradicts)
        unsure = np.float32(_UNSURE)
        return depth, np.maximum(0, 1 - unsure / np.maximum(self._energy.values[1], unsure))
