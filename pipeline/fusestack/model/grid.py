"""Blocks are numbers: the map between block numbers and regions of an image; integers only."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fusestack.model.geometry import Box

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Grid:
    """An image cut into blocks, the last ones clipped; block 0 is at the origin, the last axis runs fastest.

    Parameters
    ----------
    shape : tuple of int
        Pixels along each axis of the image.
    block : tuple of int
        Pixels along each axis of a block, at least 1.
    """

    shape: tuple[int, ...]
    block: tuple[int, ...]

    @property
    def counts(self) -> tuple[int, ...]:
        """Blocks along each axis."""
        return tuple(-(-n // b) for n, b in zip(self.shape, self.block, strict=True))

    @property
    def count(self) -> int:
        """Number of blocks."""
        return math.prod(self.counts)

    def index(self, number: int) -> tuple[int, ...]:
        """Position of a block in the grid, one entry per axis."""
        if not 0 <= number < self.count:
            raise IndexError(f"block {number} of a grid of {self.count}")
        position = []
        for n in reversed(self.counts):
            number, i = divmod(number, n)
            position.append(i)
        return tuple(reversed(position))

    def number(self, index: Sequence[int]) -> int:
        """Number of the block at a position in the grid."""
        number = 0
        for i, n in zip(index, self.counts, strict=True):
            number = number * n + i
        return number

    def box(self, number: int) -> Box:
        """Region of a block, clipped to the image."""
        start = tuple(i * b for i, b in zip(self.index(number), self.block, strict=True))
        stop = tuple(min(a + b, n) for a, b, n in zip(start, self.block, self.shape, strict=True))
        return Box(start, stop)
