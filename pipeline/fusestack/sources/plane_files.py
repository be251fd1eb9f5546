"""Views whose z planes are separate TIFF files (``ZGrouped`` of BigStitcher's ``FileMapImgLoaderLOCI2``)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.model.errors import InputError
from fusestack.model.geometry import Box
from fusestack.model.view import SourceRef
from fusestack.sources.base import SourceLevel, check_box, check_exists, last_chunk, open_source
from fusestack.storage import folder_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fusestack.sources.base import PixelSource

_TIFF = "fusestack.sources.tiff:TiffSource"
_NUMBER = re.compile(r"(\d+)")


class PlaneFilesSource:
    """Planes of one view in files whose names differ in one number, in the order of that number.

    It is the number after a ``z``, else the last one by which files beside the named one differ.

    Parameters
    ----------
    path : str
        Any of the files.
    series, timepoint, channel : int
        In each file, as in `fusestack.sources.tiff.TiffSource`.

    Raises
    ------
    InputError
        If a file is missing or unreadable, or the planes differ in size or pixel type.
    """

    def __init__(self, path: str, *, series: int = 0, timepoint: int = 0, channel: int = 0) -> None:
        self._path = path
        check_exists(path)
        options = (("series", series), ("channel", channel), ("timepoint", timepoint))
        self._planes = [SourceRef(_TIFF, name, options) for name in plane_files(path)]
        first = self._open(0)
        z, y, x = first.levels[0].shape
        if z != 1:
            raise InputError(f"{path}: holds {z} planes, but z planes should be separate files; re-save the project")
        self._dtype = first.dtype
        self._levels = (SourceLevel((len(self._planes), y, x), (1.0, 1.0, 1.0), (1, *first.levels[0].chunks[1:])),)

    def _open(self, number: int) -> PixelSource:
        return open_source(self._planes[number])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Pixel type, native byte order."""
        return self._dtype

    @property
    def levels(self) -> tuple[SourceLevel, ...]:
        """Full resolution only."""
        return self._levels

    @property
    def files(self) -> tuple[str, ...]:
        """Files of the other planes."""
        return tuple(plane.path for plane in self._planes if plane.path != self._path)

    def stored_chunk(self, level: int) -> Box | None:
        """Part of a level that is decoded in one piece and is stored."""
        return last_chunk(self._levels[level])

    def read(self, level: int, box: Box) -> NDArray[Any]:
        """Read a region (z, y, x).

        Raises
        ------
        InputError
            If a file is damaged, or differs from the first one in size or pixel type.
        """
        check_box(self._path, self._levels, level, box)
        out = np.empty(box.shape, self._dtype)
        part = Box((0, *box.start[1:]), (1, *box.stop[1:]))
        for number in range(box.start[0], box.stop[0]):
            plane = self._open(number)
            if plane.levels[0].shape[1:] != self._levels[0].shape[1:] or plane.dtype != self._dtype:
                raise InputError(
                    f"{self._planes[number].path}: holds {plane.levels[0].shape} pixels (zyx) of {plane.dtype}, other "
                    f"planes {self._levels[0].shape[1:]} of {self._dtype}; restore it from its source"
                )
            if part.size:
                out[number - box.start[0]] = plane.read(0, part)[0]
        return out


def plane_files(path: str) -> list[str]:
    """Files beside one that differ from it in the number that counts z planes, in its order; the file itself at least.

    Parameters
    ----------
    path : str
        Path or address.
    """
    folder, name = folder_of(path)
    parts = _NUMBER.split(name)
    beside = [(other, _NUMBER.split(other)) for other in folder.entries()]
    found: dict[int, list[tuple[int, str]]] = {}
    for place in range(1, len(parts), 2):
        same = parts[:place], parts[place + 1 :]
        found[place] = [
            (int(words[place]), other)
            for other, words in beside
            if len(words) == len(parts) and (words[:place], words[place + 1 :]) == same
        ]
    varying = [place for place, files in found.items() if len(files) > 1]
    named = [place for place in varying if parts[place - 1].lower().endswith("z")]
    if not varying:
        return [path]
    chosen = named[-1] if named else varying[-1]
    start = path[: len(path) - len(Path(path).name)]
    return [start + other for _, other in sorted(found[chosen])]
