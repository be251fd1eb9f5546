"""The masks of several generators become one, which the mask operators transform (reference 6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fusestack import kernels
from fusestack.focus.region import Region
from fusestack.model.stage import Compute
from fusestack.operators.base import Place

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fusestack.focus.lowpass import TiledLowPass
    from fusestack.focus.measures import Levels
    from fusestack.focus.stack import Look, Pixels
    from fusestack.model.geometry import Box
    from fusestack.operators.masks import MaskFourier, MaskOperator

    Planes = NDArray[np.float32]

_FULL = ("Multiply", "Darken")
"""Modes that begin with a white mask: black would stay black."""


@dataclass(frozen=True)
class Part:
    """The masks of one generator, and how they are merged.

    Parameters
    ----------
    masks : Pixels
        [t, m, k, y, x].
    levels : Levels or None
    weight : float
        0..1.
    low, high : float
        Below `low` 0, above `high` 1.
    """

    masks: Pixels
    levels: Levels | None
    weight: float
    low: float
    high: float

    def read(self, t: int, m: int, k: int, region: Region) -> NDArray[np.float32]:
        """Levelled, thresholded and weighted: float32[y, x]."""
        mask: NDArray[np.float32] = self.masks.read(region.box(t, (m, m + 1), (k, k + 1)))[0, 0, 0]
        if self.levels is not None:
            mask = self.levels.apply(mask, t, m)
        if self.low > 0:
            mask = np.where(mask < np.float32(self.low), np.float32(0), mask)
        if self.high < 1:
            mask = np.where(mask > np.float32(self.high), np.float32(1), mask)
        return mask * np.float32(self.weight)


@dataclass(frozen=True)
class Merge(Compute):
    """Merged masks [t, m, k, y, x], or one link of a chain of operators on them.

    Parameters
    ----------
    look : Look
    mode : str
        How masks are merged.
    first : tuple of Part
        Merged at the beginning.
    below : Pixels or None
        The link before, instead of `first`.
    low_pass : TiledLowPass or None
        Filters `below`, in place of the first operator of `chain`.
    chain : tuple of MaskOperator
    last : tuple of Part
        Merged at the end.
    clipped : bool
        Whether this is the end, where masks are limited to 0..1 and to what is opaque.
    """

    look: Look
    mode: str
    first: tuple[Part, ...]
    below: Pixels | None
    low_pass: TiledLowPass | None
    chain: tuple[MaskOperator, ...]
    last: tuple[Part, ...]
    clipped: bool

    def __call__(self, box: Box) -> Planes:
        """Compute masks."""
        out = np.empty(box.shape, np.float32)
        for t in range(box.start[0], box.stop[0]):
            for m in range(box.start[1], box.stop[1]):
                for k in range(box.start[2], box.stop[2]):
                    place = (t - box.start[0], m - box.start[1], k - box.start[2])
                    out[place] = self._mask(t, m, k, Region.of(box))
        return kernels.levels.shorten(out)

    def _mask(self, t: int, m: int, k: int, region: Region) -> NDArray[np.float32]:
        chain = self.chain if self.low_pass is None else self.chain[1:]
        outer = region.grown(sum(operator.halo() for operator in chain), self.look.shape)
        place = Place(outer.origin, self.look.shape, k, self.look.stack.slices)
        mask = self._begin(t, m, k, outer)
        for operator in chain:
            mask = operator.apply(mask, place)
        rows, columns = region.within(outer)
        merged = np.ascontiguousarray(mask[0, rows, columns])
        for part in self.last:
            merged = self._merged(part.read(t, m, k, region), merged)
        if not self.clipped:
            return merged
        np.clip(merged, 0, 1, out=merged)
        opacity = self.look.opacity(t, k, region)
        return merged if opacity is None else merged * opacity

    def _begin(self, t: int, m: int, k: int, region: Region) -> Planes:
        if self.below is None:
            merged = np.full(region.shape, 1.0 if self.mode in _FULL else 0.0, np.float32)
            for part in self.first:
                merged = self._merged(part.read(t, m, k, region), merged)
            return merged[None]
        below = self.below

        def read(at: Region) -> Planes:
            found: Planes = below.read(at.box(t, (m, m + 1), (k, k + 1)))[0, 0]
            return found

        if self.low_pass is None:
            return read(region)
        fourier: MaskFourier = self.chain[0]  # type: ignore[assignment]
        return fourier.combine(self.low_pass.filter(t, m, k, region, read))

    def _merged(self, source: NDArray[np.float32], destination: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.mode == "Screen":  # the usual one, without copies
            return kernels.levels.screened(source, destination)
        return kernels.compose.compose(self.mode, source, destination)

    def warm_up(self) -> None:
        """Compile what the operators need, on a few pixels."""
        one = np.zeros((1, 1), np.float32)
        kernels.levels.shorten(kernels.levels.screened(one, one))
        for part in (*self.first, *self.last):
            if part.levels is not None and part.levels.counts is not None:
                kernels.levels.equalise(one, 0, 1, np.zeros(kernels.levels.BINS, np.float32))
        chain = self.chain if self.low_pass is None else self.chain[1:]
        for operator in chain:
            if operator.compiles:
                operator.apply(np.zeros((1, 4, 4), np.float32), Place((0, 0), (4, 4)))


@dataclass(frozen=True)
class MaskReader:
    """Masks as what a low pass filters."""

    masks: Pixels

    def read(self, t: int, m: int, k: int, region: Region) -> Planes:
        """float32[1, y, x]."""
        found: Planes = self.masks.read(region.box(t, (m, m + 1), (k, k + 1)))[0, 0]
        return found
