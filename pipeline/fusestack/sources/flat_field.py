"""Another source, corrected for uneven illumination and camera offset (BigStitcher's flat-field loaders)."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from fusestack.model.errors import InputError
from fusestack.model.geometry import Box
from fusestack.sources.base import check_box, file_identity, open_source
from fusestack.sources.wrapped import WrappedSource

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fusestack.model.view import SourceRef
    from fusestack.sources.base import Identity

    Plane: TypeAlias = NDArray[np.float64]

_ROWS = 256
"""Rows of the flat-field images that are summed at a time."""


class FlatFieldSource(WrappedSource):
    """Pixels of another source by its bright and dark images: ``(I - dark) * mean(bright - dark) / (bright - dark)``.

    The result has the type of the source: rounded half up and clamped to its range. It is 0 where bright equals dark.
    NaN stays NaN. Without a dark image dark is 0; without a bright one the illumination counts as even, so that dark
    is subtracted and nothing is scaled.

    Level 0 is exact. At the other levels bright and dark are averaged over the pixels of level 0 that a pixel of the
    level shows; the mean stays that of level 0.

    Parameters
    ----------
    path : str
        Of the source that is wrapped, for messages.
    image : SourceRef
        The source that is wrapped.
    bright, dark : SourceRef or None
        One plane each, of the size of the planes of `image`.

    Raises
    ------
    InputError
        If one of them cannot be opened, or the sizes differ.

    Notes
    -----
    ``(I - dark) * mean(bright - dark) / (bright - dark)``. BigStitcher takes 1 for a bright image that is missing,
    which scales by ``1 - dark``, and continues images that are too small; neither is copied.
    """

    def __init__(
        self, path: str, *, image: SourceRef, bright: SourceRef | None = None, dark: SourceRef | None = None
    ) -> None:
        super().__init__(path, image)
        self._bright, self._dark = bright, dark
        _, *plane = self._source.levels[0].shape
        for ref in (bright, dark):
            if ref is not None:
                _check_plane(ref, plane, path)

    def read(self, level: int, box: Box) -> NDArray[Any]:
        """Read a region (z, y, x) of a level.

        Raises
        ------
        InputError
            If pixels of the source, of bright or of dark cannot be read.
        """
        check_box(self._path, self.levels, level, box)
        pixels = self._source.read(level, box)
        if box.is_empty:
            return pixels
        dark = self._window(self._dark, level, box)
        mean, difference = 1.0, np.ones_like(dark)
        if self._bright is not None:
            mean = mean_difference(self._bright, self._dark)
            difference = self._window(self._bright, level, box) - dark
        for plane in pixels:  # one after the other, for the sake of memory
            plane[...] = _corrected(plane, dark, mean, difference)
        return pixels

    def _window(self, ref: SourceRef | None, level: int, box: Box) -> Plane:
        """Means of bright or dark over the pixels of a region; 0 where there is no image."""
        if ref is None:
            return np.zeros(box.shape[1:])
        _, height, width = self.levels[0].shape
        _, *factors = self.levels[level].factors
        rows, columns = (
            _edges(box.start[axis], box.stop[axis], factor, size)
            for axis, factor, size in ((1, factors[0], height), (2, factors[1], width))
        )
        region = Box((0, int(rows[0]), int(columns[0])), (1, int(rows[-1]), int(columns[-1])))
        found = open_source(ref).read(0, region)[0].astype(np.float64)
        sums = np.add.reduceat(found, rows[:-1] - rows[0], axis=0)
        sums = np.add.reduceat(sums, columns[:-1] - columns[0], axis=1)
        means: Plane = sums / np.outer(np.maximum(np.diff(rows), 1), np.maximum(np.diff(columns), 1))
        return means


def _edges(start: int, stop: int, factor: float, size: int) -> NDArray[np.int64]:
    """First pixel of level 0 in each of the pixels ``start .. stop - 1`` of a level, and where the last one ends."""
    edges = np.floor(np.arange(start, stop + 1) * factor + 0.5).astype(np.int64)
    first = np.minimum(edges[:-1], size - 1)
    return np.append(first, np.clip(edges[-1], first[-1] + 1, size))


def _corrected(pixels: NDArray[Any], dark: Plane, mean: float, difference: Plane) -> Plane:
    values = np.divide((pixels - dark) * mean, difference, out=np.zeros_like(dark), where=difference != 0)
    if pixels.dtype.kind == "f":
        limits = np.finfo(pixels.dtype)
        return np.clip(values, limits.min, limits.max)
    bounds = np.iinfo(pixels.dtype)
    return np.clip(np.floor(values + 0.5), bounds.min, bounds.max)


def _check_plane(ref: SourceRef, plane: list[int], path: str) -> None:
    shape = open_source(ref).levels[0].shape
    if list(shape) != [1, *plane]:
        wanted, found = (" x ".join(str(n) for n in reversed(size)) for size in ([1, *plane], shape))
        raise InputError(
            f"{ref.path}: is a flat-field image of {found} pixels (xyz), but {path} needs {wanted}; "
            "give the project flat fields of its own camera, or switch them off (Active='false')"
        )


def mean_difference(bright: SourceRef, dark: SourceRef | None) -> float:
    """Mean of bright - dark over the whole plane; read once per process, for all views that share the images.

    Raises
    ------
    InputError
        If they cannot be read, or have pixels that are NaN or infinite.
    """
    paths = (*bright.paths, *(dark.paths if dark else ()))
    return _mean_difference(bright, dark, tuple(map(file_identity, paths)))


@functools.lru_cache(maxsize=1024)
def _mean_difference(bright: SourceRef, dark: SourceRef | None, _identity: tuple[Identity, ...]) -> float:
    _, height, width = open_source(bright).levels[0].shape
    means = [_mean(ref, height, width) for ref in (bright, dark) if ref is not None]
    return means[0] - sum(means[1:])


def _mean(ref: SourceRef, height: int, width: int) -> float:
    source = open_source(ref)
    total = 0.0
    for row in range(0, height, _ROWS):
        part = source.read(0, Box((0, row, 0), (1, min(row + _ROWS, height), width)))
        total += float(part.sum(dtype=np.float64))
    if not np.isfinite(total):
        raise InputError(f"{ref.path}: a flat-field image has pixels that are NaN or infinite; replace them")
    return total / (height * width)
