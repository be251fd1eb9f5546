"""Pictures that are computed where they are written: between slices and files, nothing is stored."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from fusestack.focus.blocks import BYTES
from fusestack.model.fingerprint import arrays_of
from fusestack.model.geometry import Box
from fusestack.storage.kept import made_last

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fusestack.focus.blocks import BlockWise
    from fusestack.model.stage import Reach, Stage, StoredArray


@dataclass(frozen=True)
class ComputedPicture:
    """A picture [t, m, plane, y, x], computed where a stored one would be read.

    What a thread has computed last serves all of its planes, and all outputs: tasks write these together.

    Parameters
    ----------
    array : StoredArray
        That it stands for.
    compute : BlockWise
        Of all planes of a region.
    block : tuple of int
        t, m, plane, y, x of what is computed together, at most.
    """

    array: StoredArray
    compute: BlockWise
    block: tuple[int, ...]

    @staticmethod
    def of(stage: Stage) -> ComputedPicture:
        """What a stage would have stored."""
        compute: Any = stage.compute
        return ComputedPicture(stage.array, compute, stage.grid.block)

    def read(self, box: Box) -> NDArray[Any]:
        """Pixels of a box, not to be written to."""
        start, stop = list(box.start), list(box.stop)
        start[2], stop[2] = 0, self.array.shape[2]
        outer = Box(tuple(start), tuple(stop))
        found: NDArray[Any] = made_last((self.array.key, outer), lambda: self.compute(outer))
        return found[:, :, box.start[2] : box.stop[2]]

    def arrays(self) -> tuple[StoredArray, ...]:
        """What it is computed of."""
        return arrays_of(self.compute)

    def reaches(self) -> dict[StoredArray, Reach]:
        """What is read of stored arrays: the same along t, y and x."""
        return {array: (reach[0], None, None, *reach[3:]) for array, reach in self.compute.reaches().items()}

    def peak_bytes(self) -> int:
        """Memory of a block, and of the planes that are kept for other outputs."""
        return self.compute.peak_bytes(self.block) + BYTES * math.prod(self.block)


PictureArray: TypeAlias = "StoredArray | ComputedPicture"
"""A picture, as those read it who write files."""
