"""The pixels of a stage, taken from an image that was made before where they are the same."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fusestack.model.clock import reading
from fusestack.model.geometry import Box
from fusestack.model.stage import Compute

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from fusestack.model.graph_array import GraphArray
    from fusestack.model.grid import Grid
    from fusestack.model.stage import Reach, Stage, StoredArray, Target

# A block, its encoded copy, and what the codec needs beside them.
_COPIES_OF_OUTPUT = 2.5
_CHUNKS_IN_FLIGHT = 8


@dataclass(frozen=True)
class Copied(Compute):
    """What another compute makes, read from where it lies already.

    It stands in for that compute in a stage whose fingerprint stays: the pixels are the same.

    Parameters
    ----------
    compute : Compute
        Makes what is not there.
    before : Target
        Level 0 of an earlier image, of the same extent along z, y, x and of the same type.
    places : mapping of (int, int) to (int, int)
        Where the places (t, c) lie in it that are there.
    """

    compute: Compute
    before: Target
    places: Mapping[tuple[int, int], tuple[int, int]]

    def __call__(self, box: Box) -> NDArray[Any] | None:
        """Pixels of a region t, c, z, y, x; None where there is nothing but the fill value."""
        there = self._there(box)
        if there is None:
            return self.compute(box)
        with reading():
            return self.before.open().read(0, there)

    def _there(self, box: Box) -> Box | None:
        """A box of one place in the earlier image; None where it is not there."""
        place = self.places.get((box.start[0], box.start[1]))
        if place is None or box.shape[:2] != (1, 1):
            return None
        return Box((*place, *box.start[2:]), (*(n + 1 for n in place), *box.stop[2:]))

    def inputs_of_boxes(self, boxes: Sequence[Box]) -> list[Mapping[GraphArray, Box]]:
        """See `Compute.inputs_of_boxes`."""
        left = [number for number, box in enumerate(boxes) if self._there(box) is None]
        found: list[Mapping[GraphArray, Box]] = [{} for _ in boxes]
        for number, read in zip(left, self.compute.inputs_of_boxes([boxes[n] for n in left]), strict=True):
            found[number] = read
        return found

    def inputs(self, box: Box) -> Mapping[GraphArray, Box]:
        """See `Compute.inputs`."""
        return self.inputs_of_boxes([box])[0]

    def held_bytes(self, grid: Grid) -> int:
        """See `Compute.held_bytes`."""
        return self.compute.held_bytes(grid)

    def reaches(self) -> Mapping[StoredArray, Reach]:
        """See `Compute.reaches`: of the stages of this run."""
        return self.compute.reaches()

    def facts_at(self, t: int, c: int) -> Any:
        """See `Compute.facts_at`."""
        return self.compute.facts_at(t, c)

    def warm_up(self) -> None:
        """Compile what the calls need that compute."""
        self.compute.warm_up()

    def peak_bytes(self, block: tuple[int, ...]) -> int:
        """Memory that a copied block needs: output and its encoded copy, and chunks that are being read."""
        chunk = math.prod(self.before.image.levels[0].chunks)
        return int((_COPIES_OF_OUTPUT * math.prod(block) + _CHUNKS_IN_FLIGHT * chunk) * self.before.image.itemsize)


def copied(stage: Stage, before: Target, places: Mapping[tuple[int, int], tuple[int, int]]) -> Stage:
    """A stage that takes from an earlier image what is there; what it needs of the cache only for what is not."""
    compute = Copied(stage.compute, before, places)
    whole = len(places) == math.prod(stage.grid.shape[:2])
    peak = compute.peak_bytes(stage.grid.block)
    if whole:
        return replace(stage, compute=compute, peak_bytes=peak, needs=(), held_bytes=0)
    return replace(stage, compute=compute, peak_bytes=max(peak, stage.peak_bytes))
