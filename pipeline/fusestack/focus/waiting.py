"""Slices that wait until there are some whose finest level is mixed at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fusestack import kernels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fusestack.kernels.mixing import Finest
    from fusestack.kernels.pixels import Pixels

    Plane = NDArray[np.float32]
    Planes = NDArray[np.float32]

MOST = 4
"""Slices that wait: with more, memory grows and no time is gained, since sums are no longer what is waited for."""


class Waiting:
    """Room for what the finest level is mixed from, of some slices, see `fusestack.kernels.mixing.Finest`.

    Parameters
    ----------
    first : Pixels
        Of a slice; those of all lie in memory as these do.
    finds_depth : bool
        Whether energies of the next level are wanted.

    Attributes
    ----------
    numbers : list of int
        Of the slices that wait.
    coarse : float32[slice, c, halved(y), halved(x)]
    windows : float32[slice, 2, halved(y), halved(x)]
        Without slices where they are not wanted.
    """

    def __init__(self, first: Pixels, *, finds_depth: bool) -> None:
        colours, *plane = first.shape
        half = [kernels.pyramid.halved(n) for n in plane]
        self.numbers: list[int] = []
        self.coarse = np.empty((MOST, colours, *half), np.float32)
        self.windows = np.empty((MOST if finds_depth else 0, 2, *half), np.float32)
        self._values = np.empty((MOST, *first.values.shape), first.values.dtype)
        self._black, self._spans = np.empty((2, MOST, colours), np.float32)
        self._factors: list[Plane] = []
        self._places: list[int] = []
        self._plane = plane

    def has_room(self, pixels: Pixels) -> bool:
        """Whether another slice can wait: colours of some files lie beside one another, those of others do not."""
        values = self._values[0]
        alike = (values.shape, values.dtype) == (pixels.values.shape, pixels.values.dtype)
        return alike and len(self.numbers) < MOST

    def add(self, k: int, pixels: Pixels, factors: Plane | None) -> None:
        """Add a slice, whose energies are multiplied by factors; its `coarse` and `windows` are there already."""
        at = len(self.numbers)
        self._values[at], self._black[at], self._spans[at] = pixels
        self._places.append(-1 if factors is None else len(self._factors))
        if factors is not None:
            self._factors.append(factors)
        self.numbers.append(k)

    def finest(self) -> Finest:
        """Those that wait."""
        count = len(self.numbers)
        factors = np.stack(self._factors) if self._factors else np.empty((0, *self._plane), np.float32)
        stored = self._values[:count], self._black[:count], self._spans[:count]
        places = np.array(self._places, np.int64)
        return kernels.mixing.Finest(*stored, self.coarse[:count], self.windows[:count], factors, places)

    def clear(self) -> None:
        """None waits any more."""
        self.numbers, self._factors, self._places = [], [], []
