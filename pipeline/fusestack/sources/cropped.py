"""A part of another source: the views of split projects (BigStitcher's ``SplitViewerImgLoader``)."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fusestack.model.errors import InputError
from fusestack.model.geometry import Box
from fusestack.sources.base import SourceLevel, check_box, last_chunk
from fusestack.sources.wrapped import WrappedSource

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fusestack.model.geometry import Int3
    from fusestack.model.view import SourceRef


class CroppedSource(WrappedSource):
    """Pixels of a box of another source, moved to zero.

    Only what is inside the box is seen: beyond it an image ends, although the source that is wrapped has more pixels.

    Parameters
    ----------
    path : str
        Of the source that is wrapped, for messages.
    whole : SourceRef
        The source that is wrapped.
    start, stop : (int, int, int)
        Region of its level 0, z, y, x; the stop is excluded.

    Raises
    ------
    InputError
        If the source cannot be opened, or the box does not lie inside it.

    Notes
    -----
    ``SplitMultiResolutionSetupImgLoader``: at factor f the pixels ``min // f`` to ``(max - 0.01) // f`` are kept,
    and the level keeps its factors, so that it lies up to f - 1 pixels of level 0 off its place where ``min`` is no
    multiple of f. BigStitcher cuts splits at multiples. Along an axis that a level does not reduce (f = 1) the box
    itself is kept. Levels that have no pixel inside the box are left out, and all below them.
    """

    def __init__(self, path: str, *, whole: SourceRef, start: Int3, stop: Int3) -> None:
        super().__init__(path, whole)
        box, size = Box(start, stop), self._source.levels[0].shape
        if box.is_empty or box.intersect(Box.of_shape(size)) != box:
            low, high = box.inclusive()
            pixels = " x ".join(str(n) for n in reversed(size))
            raise InputError(
                f"{path}: holds {pixels} pixels (xyz), the interval {low} to {high} of a split view is not inside; "
                "split the project again"
            )
        self._parts: tuple[Box, ...] = ()
        self._levels: tuple[SourceLevel, ...] = ()
        for level in self._source.levels:
            part = _part_of_level(box, level)
            if part.is_empty:
                break
            z, y, x = part.shape
            self._parts += (part,)
            self._levels += (replace(level, shape=(z, y, x)),)

    @property
    def levels(self) -> tuple[SourceLevel, ...]:
        """Resolutions, full resolution first."""
        return self._levels

    def stored_chunk(self, level: int) -> Box | None:
        """Part of a level that is decoded in one piece and is stored; None if nothing of the level is.

        Raises
        ------
        InputError
            If that cannot be told.
        """
        part, found = self._parts[level], self._source.stored_chunk(level)
        if found is None:
            return None
        inside = found.intersect(part)
        if inside.is_empty:  # others are stored, perhaps here
            inside = last_chunk(self._levels[level]).shift(part.start)
        return inside.shift([-v for v in part.start])

    def read(self, level: int, box: Box) -> NDArray[Any]:
        """Read a region (z, y, x) of a level.

        Raises
        ------
        InputError
            If the source that is wrapped cannot be read.
        """
        check_box(self._path, self._levels, level, box)
        return self._source.read(level, box.shift(self._parts[level].start))


def _part_of_level(box: Box, level: SourceLevel) -> Box:
    """Region of a level that shows a box of level 0."""
    start, stop = [], []
    for low, high, factor, size in zip(box.start, box.stop, level.factors, level.shape, strict=True):
        last = high - 1 if factor == 1 else math.floor((high - 1 - 0.01) / factor)
        start.append(math.floor(low / factor))
        stop.append(min(last + 1, size))
    return Box(tuple(start), tuple(stop))
