"""Intervals of views, as split projects have them (BigStitcher reference, section 1.4)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from fusestack.errors import InputError
from fusestack.geometry import Box
from fusestack.sources.base import SourceLevel, check_box, open_source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fusestack.geometry import Int3
    from fusestack.view import SourceRef


class CroppedSource:
    """An interval of another source, moved to zero.

    A level of factor f has the pixels ``floor(start / f)`` to ``floor((stop - 1.01) / f)`` of the level of the whole;
    along an axis that is not coarser, all pixels of the interval.

    Parameters
    ----------
    path : str
        Of the whole, for messages.
    whole : SourceRef
    start, stop : int[3]
        Interval at full resolution, z, y, x; the stop is excluded.

    Raises
    ------
    InputError
        If the interval is not inside the whole.
    """

    def __init__(self, path: str, *, whole: SourceRef, start: tuple[int, ...], stop: tuple[int, ...]) -> None:
        self._path = path
        self._whole = open_source(whole)
        first = self._whole.levels[0].shape
        if Box(start, stop).is_empty or any(b > n for b, n in zip(stop, first, strict=True)):
            raise InputError(
                f"{path}: holds {first} pixels (zyx), the interval {start} to {stop} of a split view is not inside; "
                "split the project again"
            )
        self._starts: list[tuple[int, ...]] = []
        levels = []
        for level in self._whole.levels:
            low = tuple(math.floor(a / f) for a, f in zip(start, level.factors, strict=True))
            ends = zip(low, stop, level.factors, level.shape, strict=True)
            high = tuple(max(a + 1, min(_end(b, f), n)) for a, b, f, n in ends)
            self._starts.append(low)
            levels.append(SourceLevel(_int3(Box(low, high).shape), level.factors, level.chunks))
        self._levels = tuple(levels)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Pixel type of the whole."""
        return self._whole.dtype

    @property
    def levels(self) -> tuple[SourceLevel, ...]:
        """Resolutions, full resolution first."""
        return self._levels

    def read(self, level: int, box: Box) -> NDArray[Any]:
        """Read a region (z, y, x) of a level.

        Raises
        ------
        InputError
            If the whole cannot be read there.
        """
        check_box(self._path, self._levels, level, box)
        return self._whole.read(level, box.shift(self._starts[level]))


def _end(stop: int, factor: float) -> int:
    """One past the last pixel of a level in an interval."""
    return stop if factor == 1 else math.floor((stop - 1.01) / factor) + 1


def _int3(values: tuple[int, ...]) -> Int3:
    z, y, x = values
    return (z, y, x)
