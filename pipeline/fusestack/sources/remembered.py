"""Another source whose decoded chunks are remembered, for who looks at one place again and again."""

from __future__ import annotations

import itertools
import math
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from fusestack.model.geometry import Box
from fusestack.model.view import SourceRef
from fusestack.sources.base import check_box
from fusestack.sources.wrapped import WrappedSource

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fusestack.sources.base import PixelSource, SourceLevel

    _Key: TypeAlias = tuple[PixelSource, int, tuple[int, ...]]

_MOST_PIXELS = 2**27
"""Of a chunk; where chunks are larger, regions are read as they are."""
_LEAST_PIXELS = 2**16
"""Smaller chunks, such as strips of a TIFF, are read and remembered together."""


class _Memory:
    """Decoded chunks of all sources of this process, the latest last."""

    def __init__(self) -> None:
        self.limit = 0
        self.bytes = 0
        self._chunks: OrderedDict[_Key, NDArray[Any]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: _Key) -> NDArray[Any] | None:
        with self._lock:
            found = self._chunks.get(key)
            if found is not None:
                self._chunks.move_to_end(key)
            return found

    def add(self, key: _Key, pixels: NDArray[Any]) -> None:
        with self._lock:
            if key not in self._chunks:
                self._chunks[key] = pixels
                self.bytes += pixels.nbytes
            self._shrink()

    def set_limit(self, limit: int) -> None:
        with self._lock:
            self.limit = limit
            self._shrink()

    def _shrink(self) -> None:
        while self.bytes > self.limit:
            self.bytes -= self._chunks.popitem(last=False)[1].nbytes


MEMORY = _Memory()


def remembered(source: SourceRef, limit: int) -> SourceRef:
    """A source that remembers chunks; all of them together as many as fit the latest limit, in bytes."""
    MEMORY.set_limit(limit)
    options = (("source", source),)
    return SourceRef(f"{__name__}:{RememberedSource.__name__}", source.path, options)


class RememberedSource(WrappedSource):
    """Pixels of another source, decoded once; see `WrappedSource`."""

    def read(self, level: int, box: Box) -> NDArray[Any]:
        """Read a region (z, y, x) of a level.

        Raises
        ------
        InputError
            If the source that is wrapped cannot be read.
        """
        check_box(self._path, self.levels, level, box)
        chunk = _together(self.levels[level])
        if math.prod(chunk) > _MOST_PIXELS or box.is_empty:
            return self._source.read(level, box)
        out = np.empty(box.shape, self.dtype)
        firsts = [range(a // n, -(-b // n)) for a, b, n in zip(box.start, box.stop, chunk, strict=True)]
        for index in itertools.product(*firsts):
            start = tuple(i * n for i, n in zip(index, chunk, strict=True))
            stop = tuple(a + n for a, n in zip(start, chunk, strict=True))
            whole = Box(start, stop).intersect(Box.of_shape(self.levels[level].shape))
            part = whole.intersect(box)
            pixels = self._chunk(level, index, whole)
            out[part.shift([-v for v in box.start]).slices] = pixels[part.shift([-v for v in start]).slices]
        return out

    def _chunk(self, level: int, index: tuple[int, ...], box: Box) -> NDArray[Any]:
        key = (self._source, level, index)
        found = MEMORY.get(key)
        if found is None:
            found = self._source.read(level, box)
            MEMORY.add(key, found)
        return found


def _together(level: SourceLevel) -> tuple[int, ...]:
    """Chunks that are remembered as one, z, y, x: as much of a cube as that can be."""
    sides = list(level.chunks)
    while math.prod(sides) < _LEAST_PIXELS:
        short = [axis for axis in range(3) if sides[axis] < level.shape[axis]]
        if not short:
            break
        sides[min(short, key=lambda axis: sides[axis])] *= 2
    return tuple(sides)
