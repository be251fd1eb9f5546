"""What blocks become one level higher: put together in memory, and left in the work folder for other tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.model.geometry import Box
from fusestack.model.stage import Reduction
from fusestack.storage import is_address, open_folder
from fusestack.storage.together import each

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from fusestack.model.image import ImageSpec
    from fusestack.model.stage import Stage
    from fusestack.taskgraph.batches import Nesting

    Pixels = NDArray[Any]

PARTS = "parts"
"""Folder in the work folder of an output for what tasks leave for one another."""


def inside(part: tuple[slice, ...], box: Box) -> Box | None:
    """Part of a level as a box; None where it is empty."""
    found = Box(tuple(s.start for s in part), tuple(s.stop for s in part)).intersect(box)
    return None if found.is_empty else found


def placed(out: Pixels | None, box: Box, part: Box, pixels: Pixels | None, image: ImageSpec) -> Pixels | None:
    """Pixels of a box with those of a part of it; None while everything is blank."""
    if pixels is None:
        return out
    out = np.full(box.shape, image.fill, image.dtype) if out is None else out
    out[part.shift([-v for v in box.start]).slices] = pixels.reshape(part.shape)
    return out


class Parts:
    """What becomes of blocks one level higher, kept in the work folder for the task that makes that level.

    Nothing depends on it: what is not there is read back from the blocks themselves.

    Parameters
    ----------
    nesting : Nesting or None
        None where nothing is kept.
    stage : Stage or None
        The higher level.
    """

    def __init__(self, nesting: Nesting | None, stage: Stage | None) -> None:
        self._nesting = nesting if stage is not None else None
        self._stage = stage
        if stage is not None and self._nesting is not None:
            self._folder = open_folder(parts_folder(stage), scratch="")

    def leave(self, block: int, pixels: Pixels | None) -> None:
        """Keep what a block becomes; an empty file is a blank one."""
        if self._nesting is None or self._stage is None:
            return
        reduction = self._stage.compute
        part = self._nesting.part(block)
        shape = tuple(max(0, s.stop - s.start) for s in part)
        if not isinstance(reduction, Reduction) or 0 in shape:
            return
        reduced = reduction.part(pixels, shape)
        self._folder.put(str(block), [] if reduced is None else [reduced.tobytes()])

    def gather(self, box: Box, block: int, reduction: Reduction) -> Pixels | None:
        """Pixels of a block of the higher level."""
        if self._nesting is None:
            return reduction(box)
        image = reduction.below.target.image
        parts = {child: inside(self._nesting.part(child), box) for child in self._nesting.children(block)}
        wanted = [(part, str(child)) for child, part in parts.items() if part is not None]
        found = each(self._folder.get, [name for _, name in wanted], far=is_address(self._folder.where))
        kept = [(part, data) for (part, _), data in zip(wanted, found, strict=True)]
        if all(data is None for _, data in kept):
            return reduction(box)
        out: Pixels | None = None
        for part, data in kept:
            if data == b"":
                continue
            size = part.size * image.itemsize
            whole = data is not None and len(data) == size
            out = placed(out, box, part, np.frombuffer(data or b"", image.dtype) if whole else reduction(part), image)
        return out

    def forget(self, block: int) -> None:
        """Delete what was kept for a block of the higher level."""
        if self._nesting is not None:
            names = map(str, self._nesting.children(block))
            each(self._folder.delete, names, far=is_address(self._folder.where))


def parts_folder(stage: Stage) -> str:
    """Where other tasks leave what a level is made of."""
    return f"{stage.target.work}/{PARTS}/{stage.key}"


def forget_parts(work: str, stages: Iterable[str]) -> None:
    """Delete what was left for the tasks of higher levels, by the keys of these."""
    each(open_folder(work).delete_tree, [f"{PARTS}/{key}" for key in stages], far=is_address(work))
