"""A part of what a stage makes, all that it reads computed on the way: the bytes of a run, and little stored."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.focus.blocks import BlockWise
from fusestack.focus.held import exchanged
from fusestack.model.fingerprint import arrays_of, facts_of
from fusestack.model.geometry import Box
from fusestack.model.stage import Compute, StoredArray

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fusestack.model.stage import Stage


@dataclass(frozen=True)
class Part(Compute):
    """A rectangle of planes [t, c, z, y, x] that a compute makes.

    Parameters
    ----------
    compute : Compute
        Of whole planes.
    stages : tuple of Stage
        What it reads that is not stored, but computed for the part; what these read is stored, or among them.
    first : tuple of int
        The first pixel of the part, t, c, z, y, x.
    """

    compute: Compute
    stages: tuple[Stage, ...]
    first: tuple[int, ...]

    def __call__(self, box: Box) -> NDArray[Any] | None:
        """Compute a region of the part."""
        compute = exchanged(self.compute, _Inside({stage.key: stage for stage in self.stages}).handle)
        found: NDArray[Any] | None = compute(box.shift(self.first))
        return found

    def facts(self) -> Any:
        """What the pixels depend on: stages that are not stored are known by their fingerprints."""
        return [facts_of(self.compute), list(self.first)]

    def arrays(self) -> tuple[StoredArray, ...]:
        """What is read of the stored stages."""
        own = {stage.key for stage in self.stages}
        read = arrays_of([self.compute, *(stage.compute for stage in self.stages)])
        return tuple(array for array in read if array.key not in own)

    def peak_bytes(self, block: tuple[int, ...]) -> int:
        """Memory of a block: what every stage needs for it, with what is around it, at most."""
        total = self.compute.peak_bytes(block)
        for stage in self.stages:
            lead = stage.grid.block[:3]
            sides = (min(b, n) for b, n in zip(block[3:], stage.grid.shape[3:], strict=True))
            total += stage.compute.peak_bytes((*lead, *sides))
        return total

    def warm_up(self) -> None:
        """Compile what all stages need."""
        for stage in self.stages:
            stage.compute.warm_up()


@dataclass(frozen=True)
class _Inside:
    """Stages that are computed where they are read."""

    stages: dict[str, Stage]
    arrays: dict[str, _Array] = field(default_factory=dict)

    def handle(self, value: Any) -> Any:
        """In place of what such a stage would write: what computes it."""
        if not isinstance(value, StoredArray) or value.key not in self.stages:
            return value
        if value.key not in self.arrays:
            stage = self.stages[value.key]
            compute = exchanged(stage.compute, self.handle)
            self.arrays[value.key] = _Array(value.key, value.shape, value.dtype, compute, stage.grid.block)
        return self.arrays[value.key]


@dataclass(frozen=True, eq=False)
class _Array:
    """What a stage makes, computed when it is read; the last region of a picture is kept for its other planes."""

    key: str
    shape: tuple[int, ...]
    dtype: str
    compute: Compute
    block: tuple[int, ...]
    kept: list[tuple[Box, NDArray[Any]]] = field(default_factory=list)

    def read(self, box: Box) -> NDArray[Any]:
        """Pixels of a box t, c, z, y, x."""
        by_slice = isinstance(self.compute, BlockWise) and self.compute.BY_SLICE
        axes = (1,) if by_slice else (1, 2)  # computes may count on the blocks of their stage there
        start, stop = list(box.start), list(box.stop)
        for axis in axes:
            n = self.block[axis]
            start[axis], stop[axis] = start[axis] // n * n, min(-(-stop[axis] // n) * n, self.shape[axis])
        outer = Box(tuple(start), tuple(stop))
        found = self._made(outer, keeps=not by_slice)
        return found[box.shift([-n for n in outer.start]).slices]

    def _made(self, box: Box, *, keeps: bool) -> NDArray[Any]:
        if self.kept and self.kept[0][0] == box:
            return self.kept[0][1]
        out = np.zeros(box.shape, self.dtype)
        step = self.block[1]
        for t in range(box.start[0], box.stop[0]):
            for c in range(box.start[1], box.stop[1], step):
                end = min(c + step, box.stop[1])
                made = self.compute(Box((t, c, *box.start[2:]), (t + 1, end, *box.stop[2:])))
                if made is not None:
                    out[t - box.start[0], c - box.start[1] : end - box.start[1]] = made[0]
        if keeps:
            self.kept[:] = [(box, out)]
        return out
