"""Stacks in TIFF, BigTIFF, OME-TIFF and ImageJ hyperstacks, read strip by strip or tile by tile."""

from __future__ import annotations

import itertools
import math
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

import numpy as np

from fusestack.model.errors import InputError
from fusestack.model.geometry import Box
from fusestack.sources.base import SourceLevel, check_box, input_errors, last_chunk, opened_file, pixel_dtype
from fusestack.sources.tiff_axes import axes_of_series
from fusestack.sources.tiff_series import open_tiff, planes_of
from fusestack.storage import is_address

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from fusestack.sources.tiff_axes import Axes

_RESTORE = "restore it from its source, or write the image again"


@dataclass(frozen=True)
class _Plane:
    """Where one plane is: the strips or tiles ``first, first + 1, ...`` of a page."""

    path: str
    offsets: NDArray[np.int64]
    bytecounts: NDArray[np.int64]
    first: int = 0
    jpegtables: bytes | None = None


@dataclass(frozen=True)
class _Layout:
    """One resolution: its planes front to back, and how strips or tiles of `piece` (y, x) pixels are decoded.

    `decode` is None where planes are stored as they are, each in one piece at the first offset. `sample` is the colour
    that is read, of `samples` that lie beside one another in each pixel.
    """

    shape: tuple[int, int]
    stored: np.dtype[Any]
    planes: tuple[_Plane, ...]
    piece: tuple[int, int]
    decode: Callable[..., Any] | None
    nodata: float
    samples: int = 1
    sample: int = 0

    @property
    def plane_bytes(self) -> int:
        return math.prod(self.shape) * self.samples * self.stored.itemsize


class TiffSource:
    """Pixels of one timepoint and channel of an image in a TIFF file.

    Axes come from the OME or ImageJ description; planes without a description are z. Planes that are stored
    uncompressed in one piece are mapped into memory, of others only the strips or tiles that a box touches are
    read. The file is opened for each read, so that thousands of tiles keep no file open.

    Parameters
    ----------
    path : str
    series : int
        Number of the image in the file.
    timepoint, channel : int
        Indices along t and c; not looked at where the image has only one.
    axes : str, optional
        What the axes of the array are, slowest first, whatever the file says: letters of t, c, z, y, x.

    Raises
    ------
    InputError
        If the file is missing, truncated, no TIFF file, or has colours or axes that cannot be fused.
    """

    def __init__(
        self, path: str, *, series: int = 0, timepoint: int = 0, channel: int = 0, axes: str | None = None
    ) -> None:
        self._path = path
        with input_errors(path, "is not a TIFF file that can be read", _RESTORE), open_tiff(path) as opened:
            wanted = None
            if axes is None and 0 <= series < len(opened.images):
                wanted = planes_of(opened.images[series], timepoint, channel)
            with opened.series(series, wanted) as image:
                self._dtype = pixel_dtype(image.dtype, path)
                found = axes_of_series(image, path, axes)
                chosen, sample = found.planes(timepoint, channel, path)
                self._layouts = _layouts(image, found, chosen, sample, path, axes)
        _check_extent(self._layouts)
        self._levels = _levels(self._layouts, len(chosen))

    @property
    def dtype(self) -> np.dtype[Any]:
        """Pixel type, native byte order."""
        return self._dtype

    @property
    def levels(self) -> tuple[SourceLevel, ...]:
        """Resolutions, full resolution first."""
        return self._levels

    @property
    def files(self) -> tuple[str, ...]:
        """Other files of a set that hold its planes."""
        if is_address(self._path):
            return ()
        found = {plane.path for layout in self._layouts for plane in layout.planes}
        return tuple(sorted(found - {self._path, os.path.realpath(self._path)}))

    def stored_chunk(self, level: int) -> Box | None:
        """Part of a level that is decoded in one piece and is stored."""
        return last_chunk(self._levels[level])

    def read(self, level: int, box: Box) -> NDArray[Any]:
        """Read a region (z, y, x) of a level.

        Raises
        ------
        InputError
            If strips or tiles are damaged or not all there.
        """
        check_box(self._path, self._levels, level, box)
        layout = self._layouts[level]
        out = np.empty(box.shape, self._dtype)
        if box.is_empty:
            return out
        with input_errors(f"{self._path}: level {level}", "the pixels cannot be read", _RESTORE):
            copy = _copy_decoded if layout.decode else _copy_read if is_address(self._path) else _copy_mapped
            planes = zip(layout.planes[box.slices[0]], out, strict=True)
            for path, group in itertools.groupby(planes, key=lambda pair: pair[0].path):
                copy(layout, path, list(group), Box(box.start[1:], box.stop[1:]))
        return out


def levels_of(image: Any, axes: Axes, path: str, named: str | None) -> tuple[SourceLevel, ...]:
    """Levels of every timepoint and channel of an image, whose planes are seen to be all there.

    Parameters
    ----------
    image : tifffile.TiffPageSeries
    axes : Axes
        Of the image.
    path : str
    named : str or None
        Axes that the user says.

    Raises
    ------
    InputError
        If planes are missing or cut, or stored in a way that is not read.
    """
    count = math.prod(length for _, length in (axes.lengths[:-1] if axes.samples else axes.lengths))
    layouts = _layouts(image, axes, range(count), 0, path, named)
    _check_extent(layouts)
    return _levels(layouts, axes.shape[2])


def _layouts(
    image: Any, axes: Axes, chosen: Sequence[int], sample: int, path: str, named: str | None
) -> tuple[_Layout, ...]:
    """Every resolution of some planes; other resolutions are levels only if they hold the same planes."""
    return tuple(
        _layout(level, chosen, sample if axes.samples else None, path)
        for level in image.levels
        if level is image or axes_of_series(level, path, named).lengths == axes.lengths
    )


def _levels(layouts: Sequence[_Layout], depth: int) -> tuple[SourceLevel, ...]:
    height, width = layouts[0].shape
    return tuple(
        SourceLevel(
            (depth, *layout.shape),
            (1.0, _factor(height, layout.shape[0]), _factor(width, layout.shape[1])),
            (1, *layout.piece),
        )
        for layout in layouts
    )


def _layout(series: Any, chosen: Sequence[int], sample: int | None, path: str) -> _Layout:
    page = series.keyframe
    if page.imagedepth != 1:
        raise InputError(f"{path}: is stored in volumetric tiles, which are not read; write it again plane by plane")
    samples = page.samplesperpixel if page.planarconfig == 2 else 1
    if sample is None and page.samplesperpixel != samples:
        raise InputError(f"{path}: holds colours ({page.samplesperpixel} samples per pixel); split them into channels")
    shape = (int(page.imagelength), int(page.imagewidth))
    stored = np.dtype(page.parent.byteorder + page.dtype.char)
    piece = (page.tilelength, page.tilewidth) if page.is_tiled else (min(page.rowsperstrip, shape[0]), shape[1])
    together = 1 if sample is None else int(page.samplesperpixel)
    layout = _Layout(shape, stored, (), (int(piece[0]), int(piece[1])), page.decode, page.nodata, together, sample or 0)
    if series.dataoffset is not None and not series.is_multifile:
        # One run of planes, of which ImageJ describes only the first where the file is large.
        size = np.array([layout.plane_bytes], np.int64)
        planes = [_Plane(_file_of(page, path), series.dataoffset + k * size, size) for k in chosen]
    else:
        planes = [_plane(series[k // samples], k % samples, samples, path) for k in chosen]
        if not page.is_final or not all(_is_one_piece(plane, layout.plane_bytes) for plane in planes):
            return replace(layout, planes=tuple(planes))
    return replace(layout, planes=tuple(planes), piece=(1, shape[1]), decode=None)


def _plane(page: Any, sample: int, samples: int, path: str) -> _Plane:
    if page is None:
        raise InputError(f"{path}: its description names no place for some of its planes; {_RESTORE}")
    count = len(page.dataoffsets) // samples
    pieces = slice(sample * count, (sample + 1) * count)
    return _Plane(
        _file_of(page, path),
        np.asarray(page.dataoffsets[pieces], dtype=np.int64),
        np.asarray(page.databytecounts[pieces], dtype=np.int64),
        sample * count,
        page.jpegtables,
    )


def _file_of(page: Any, path: str) -> str:
    return path if is_address(path) else str(page.parent.filehandle.path)


def _is_one_piece(plane: _Plane, nbytes: int) -> bool:
    ends = plane.offsets + plane.bytecounts
    return bool((ends[:-1] == plane.offsets[1:]).all() and plane.bytecounts.sum() == nbytes)


def _check_extent(layouts: Sequence[_Layout]) -> None:
    """Refuse files that end before their last strip or tile."""
    ends: dict[str, int] = {}
    for layout in layouts:
        pieces = math.prod(-(-n // p) for n, p in zip(layout.shape, layout.piece, strict=True))
        for plane in layout.planes:
            if layout.decode is not None and not len(plane.offsets) == len(plane.bytecounts) == pieces:
                raise InputError(f"{plane.path}: a plane has {len(plane.offsets)} pieces of {pieces}; {_RESTORE}")
            end = int((plane.offsets + plane.bytecounts).max())
            ends[plane.path] = max(end, ends.get(plane.path, 0))
    for path, end in ends.items():
        with opened_file(path) as file:
            size = file.seek(0, 2)
        if end > size:
            raise InputError(f"{path}: is truncated: {size} bytes of at least {end}; {_RESTORE}")


def _factor(full: int, reduced: int) -> float:
    """Factor of a level along an axis: the integer that explains its size, rounded up or down, else the ratio."""
    ratio = full / reduced
    whole = round(ratio)
    return float(whole) if abs(full / whole - reduced) < 1 else round(ratio, 4)


_Work: TypeAlias = "Sequence[tuple[_Plane, NDArray[Any]]]"


def _copy_mapped(layout: _Layout, path: str, work: _Work, region: Box) -> None:
    mapped = np.memmap(path, np.uint8, mode="r")
    for plane, target in work:
        start = int(plane.offsets[0])
        if start + layout.plane_bytes > mapped.size:
            raise InputError(f"{path}: is truncated: {mapped.size} bytes; {_RESTORE}")
        pixels = np.ndarray((*layout.shape, layout.samples), layout.stored, mapped, start)
        target[...] = pixels[region.slices][..., layout.sample]


def _copy_read(layout: _Layout, path: str, work: _Work, region: Box) -> None:
    """As `_copy_mapped`, for files that cannot be mapped: whole rows are read."""
    rows, columns = region.slices
    width = layout.shape[1] * layout.samples * layout.stored.itemsize
    with opened_file(path) as file:
        for plane, target in work:
            file.seek(int(plane.offsets[0]) + rows.start * width)
            data = file.read((rows.stop - rows.start) * width)
            pixels = np.frombuffer(data, layout.stored).reshape(-1, layout.shape[1], layout.samples)
            target[...] = pixels[:, columns, layout.sample]


def _copy_decoded(layout: _Layout, path: str, work: _Work, region: Box) -> None:
    rows, columns = (range(a // n, -(-b // n)) for a, b, n in zip(region.start, region.stop, layout.piece, strict=True))
    across = -(-layout.shape[1] // layout.piece[1])
    with opened_file(path) as file:
        for (plane, target), row, column in itertools.product(work, rows, columns):
            _copy_piece(layout, file, plane, row * across + column, target, region)


def _copy_piece(layout: _Layout, file: BinaryIO, plane: _Plane, number: int, target: NDArray[Any], region: Box) -> None:
    """Copy what one strip or tile adds to a region of a plane."""
    assert layout.decode is not None
    encoded: bytes | None = None
    count = int(plane.bytecounts[number])
    if count:  # empty pieces are not stored
        file.seek(int(plane.offsets[number]))
        encoded = file.read(count)
        if len(encoded) < count:
            raise InputError(f"{plane.path}: ends within strip or tile {number}; {_RESTORE}")
    tables = {} if plane.jpegtables is None else {"jpegtables": plane.jpegtables}
    pixels, (_, _, *corner), (_, *size, _) = layout.decode(encoded, plane.first + number, **tables)
    piece = Box((0, 0), tuple(size)).shift(corner[:2])
    common = piece.intersect(region)
    inside = common.shift([-v for v in piece.start]).slices
    found = layout.nodata if pixels is None else pixels[0, :, :, layout.sample][inside]
    target[common.shift([-v for v in region.start]).slices] = found
