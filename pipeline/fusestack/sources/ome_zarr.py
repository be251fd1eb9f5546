"""Images in Zarr: OME-NGFF 0.4 (Zarr 2) and 0.5 (Zarr 3, with shards or without), and plain Zarr arrays."""

from __future__ import annotations

import itertools
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.model.errors import InputError
from fusestack.model.geometry import Box
from fusestack.sources.base import (
    SourceLevel,
    check_box,
    check_exists,
    input_errors,
    last_chunk,
    pixel_dtype,
    select_index,
)
from fusestack.sources.ngff import attributes_of, axes_of, declared_axes, is_scaling, matrix_of
from fusestack.storage import is_address
from fusestack.storage.zarr_chunks import ChunkReader, chunk_reader, dimension_names, group_attributes
from fusestack.storage.zarr_python import open_zarr

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fusestack.model.geometry import Float3, Int3

_RESTORE = "restore it from its source, or write the image again"


class OmeZarrSource:
    """Pixels of one timepoint and channel of an OME-Zarr image.

    Levels are placed as BigDataViewer does: pixel i of a level of factor f lies at ``f * i + (f - 1) / 2``; a
    ``translation`` that says otherwise is ignored with a warning, as BigStitcher's ``AllenOMEZarrLoader`` does.

    Parameters
    ----------
    path : str
        Folder or address of the multiscale image or of a plain array, 2-D to 5-D.
    timepoint, channel : int
        Indices along t and c; not looked at where the image has only one.
    series : int
        Number of the image, of a group that has several.
    axes : str, optional
        What the axes of the arrays are, slowest first, whatever the metadata say: letters of t, c, z, y, x.
    numbered : bool
        As in ``bdv.multimg.zarr``, where misplaced levels are usual: they are not told.
    held : str, optional
        What whoever holds the array knows of its chunks. Nothing is read otherwise; it makes the reference another one
        where the chunks are others.

    Raises
    ------
    InputError
        If there is no such image, its metadata cannot be used, or a level is missing.

    Warns
    -----
    UserWarning
        If a level is placed in a way that is ignored.
    """

    def __init__(
        self,
        path: str,
        *,
        timepoint: int = 0,
        channel: int = 0,
        series: int = 0,
        axes: str | None = None,
        numbered: bool = False,
        held: str | None = None,
    ) -> None:
        self._path = path
        check_exists(path)
        with input_errors(path, "is not a Zarr image that can be read", _RESTORE):
            node = open_node(path)
            if isinstance(node, dict):
                names, arrays, order, factors = multiscale(node, path, series, axes, numbered=numbered)
            else:
                names, arrays, factors = [""], [node], [(1.0, 1.0, 1.0)]
                order = array_axes(node, path, axes)
        self._names, self._arrays = tuple(names), tuple(arrays)
        self._dtype = pixel_dtype(arrays[0].dtype, path)
        lengths = dict(zip(order, arrays[0].shape, strict=True))
        self._order = order
        self._chosen = {
            "t": select_index(path, "timepoint", lengths.get("t", 1), timepoint),
            "c": select_index(path, "channel", lengths.get("c", 1), channel),
        }
        self._levels = levels_of(arrays, factors, order)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Pixel type, native byte order."""
        return self._dtype

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
        array, size = self._arrays[level], Box.of_shape(self._levels[level].shape)
        where = f"{self._path}: {self._names[level]}".rstrip(": ")
        with input_errors(where, "the chunks cannot be looked for", _RESTORE):
            if not isinstance(array, ChunkReader):
                return last_chunk(self._levels[level]) if array.nchunks_initialized else None
            index = self._index(size)
            found = array.stored_chunk([part.start for part in index], [part.stop for part in index])
        if found is None:
            return None
        low, high = (dict(zip(self._order, corner, strict=True)) for corner in found)
        return Box(tuple(low.get(axis, 0) for axis in "zyx"), tuple(high.get(axis, 1) for axis in "zyx"))

    def read(self, level: int, box: Box) -> NDArray[Any]:
        """Read a region (z, y, x) of a level.

        Raises
        ------
        InputError
            If a chunk is damaged; chunks that are not stored hold the fill value of the array.
        """
        check_box(self._path, self._levels, level, box)
        array = self._arrays[level]
        with input_errors(f"{self._path}: {self._names[level]}".rstrip(": "), "the pixels cannot be read", _RESTORE):
            if box.is_empty:
                return np.empty(box.shape, self._dtype)
            index = self._index(box)
            if isinstance(array, ChunkReader):
                pixels = array.read([s.start for s in index], [s.stop for s in index])
            else:
                self._check_shards(array, self._names[level], index)
                pixels = array[index]
            return np.ascontiguousarray(self._turned(pixels), dtype=self._dtype).reshape(box.shape)

    def _index(self, box: Box) -> tuple[slice, ...]:
        """Region of the array, one slice for each of its axes."""
        spatial = dict(zip("zyx", box.slices, strict=True))
        return tuple(
            spatial[axis] if axis in spatial else slice(self._chosen[axis], self._chosen[axis] + 1)
            for axis in self._order
        )

    def _turned(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Axes t and c, which have length 1, first, then z, y, x."""
        return pixels.transpose([self._order.index(axis) for axis in "tczyx" if axis in self._order])

    def _check_shards(self, array: Any, name: str, index: tuple[slice, ...]) -> None:
        """Refuse empty files, which a full disk leaves behind: zarr takes them for shards that hold no chunk."""
        if array.shards is None or is_address(self._path):
            return
        ranges = [range(s.start // n, -(-s.stop // n)) for s, n in zip(index, array.shards, strict=True)]
        for place in itertools.product(*ranges):
            file = Path(self._path, name, array.metadata.encode_chunk_key(place))
            if file.is_file() and not file.stat().st_size:
                raise InputError(f"{file}: this shard is empty; {_RESTORE}")


def open_node(path: str) -> Any:
    """Attributes of a group, or an array: a `ChunkReader`, or zarr-python's where its layout is unusual."""
    attributes = group_attributes(path)
    if attributes is not None:
        return attributes
    reader = chunk_reader(path)
    if reader is not None:
        return reader
    try:
        node = open_zarr(path)
        return node if hasattr(node, "shape") else node.attrs.asdict()
    except FileNotFoundError as error:
        way_out = "check the address and the bucket, or name" if is_address(path) else "name"
        raise InputError(f"{path}: is not a Zarr group or array; {way_out} the folder of the image") from error


def array_axes(array: Any, path: str, given: str | None) -> str:
    """Axes of an array without NGFF: those that the user says, its own names, or the last ones of t, c, z, y, x.

    Raises
    ------
    InputError
        If they cannot be fused.
    """
    return axes_of(dimension_names(path), len(array.shape), path, given)


def levels_of(arrays: Sequence[Any], factors: Sequence[Float3], axes: str) -> tuple[SourceLevel, ...]:
    """Levels of an image by its arrays, their factors and their axes."""
    return tuple(
        SourceLevel(_zyx(array.shape, axes), factor, _zyx(array.chunks, axes))
        for array, factor in zip(arrays, factors, strict=True)
    )


def multiscale(
    attributes: dict[str, Any], path: str, series: int, given: str | None, *, numbered: bool = False
) -> tuple[list[str], list[Any], str, list[Float3]]:
    """Names of the levels, arrays, axes and factors of a multiscale image of a group.

    Raises
    ------
    InputError
        If there is no such image, its metadata cannot be used, or a level is missing.
    """
    images = attributes_of(attributes).get("multiscales")
    if not images:
        members = ", ".join(sorted(name for name, _ in open_zarr(path).members())) or "nothing"
        raise InputError(f"{path}: holds no multiscale image; name the image inside it (it holds {members})")
    if series >= len(images):
        raise InputError(f"{path}: has {len(images)} images, and no series {series}; correct it")
    image = images[series]
    datasets = image["datasets"]
    if not datasets:
        raise InputError(f"{path}: its multiscale image has no level; {_RESTORE}")
    names = [entry["path"].strip("/") for entry in datasets]
    arrays = [level_array(name, path) for name in names]
    axes = axes_of(declared_axes(image), arrays[0].ndim, path, given)
    for name, array in zip(names, arrays, strict=True):
        if array.ndim != len(axes) or array.dtype != arrays[0].dtype:
            raise InputError(
                f"{path}: {name}: has {array.ndim} axes of {array.dtype}, but axes are {axes} "
                f"and the first level holds {arrays[0].dtype}; {_RESTORE}"
            )
    placed = [entry.get("coordinateTransformations") for entry in datasets]
    if not all(placed):
        # Before version 0.4 there were no scales.
        shapes = [np.asarray(array.shape, dtype=np.float64) for array in arrays]
        factors = [_factors(shapes[0] / shape, axes) for shape in shapes]
    else:
        factors = _factors_of(placed, names, axes, path, numbered=numbered)
    for name, (finer, coarser) in zip(names[1:], itertools.pairwise(arrays), strict=True):
        if any(a < b for a, b in zip(finer.shape, coarser.shape, strict=True)):
            raise InputError(f"{path}: {name}: is larger than the level before it; {_RESTORE}")
    return names, arrays, axes, factors


def _factors_of(placed: Sequence[Any], names: Sequence[str], axes: str, path: str, *, numbered: bool) -> list[Float3]:
    """Factors of levels by their transformations, in pixels of the first level."""
    matrices = [matrix_of(steps, len(axes), f"{path}: {name}") for steps, name in zip(placed, names, strict=True)]
    try:
        first = np.linalg.inv(matrices[0])
    except np.linalg.LinAlgError:
        raise InputError(f"{path}: {names[0]}: its transformation flattens the image; {_RESTORE}") from None
    relative = [first @ matrix for matrix in matrices]
    for name, matrix in zip(names, relative, strict=True):
        if not is_scaling(matrix) or (np.diag(matrix) <= 0).any():
            raise InputError(f"{path}: {name}: is turned against the first level; {_RESTORE}")
    factors = [_factors(np.diag(matrix)[:-1], axes) for matrix in relative]
    shifted = any(step.get("type") not in ("scale", "identity") for steps in placed for step in steps)
    if shifted and not numbered:
        _warn_of_offsets(path, axes, [matrix[:-1, -1] for matrix in relative], factors)
    return factors


def level_array(name: str, path: str) -> Any:
    """Array of a level: a `ChunkReader`, or zarr-python's where its layout is unusual.

    Raises
    ------
    InputError
        If it is missing, or no array.
    """
    reader = chunk_reader(f"{path}/{name}")
    if reader is not None:
        return reader
    try:
        array = open_zarr(f"{path}/{name}")
    except FileNotFoundError as error:
        raise InputError(f"{path}: {name}: this level is missing; {_RESTORE}") from error
    if not hasattr(array, "shape"):
        raise InputError(f"{path}: {name}: this level is not an array; {_RESTORE}")
    return array


def _factors(ratios: NDArray[np.float64], axes: str) -> Float3:
    """Factors z, y, x: integers where they are within 1e-4 of one, else 4 decimals (``AllenOMEZarrLoader``)."""
    rounded = [float(round(r)) if abs(r - round(r)) < 1e-4 else round(float(r), 4) for r in ratios]
    z, y, x = (rounded[axes.index(axis)] if axis in axes else 1.0 for axis in "zyx")
    return (z, y, x)


def _warn_of_offsets(path: str, axes: str, offsets: Sequence[NDArray[np.float64]], factors: Sequence[Float3]) -> None:
    """Say that levels are not where they should be, by their offsets in pixels of the first one."""
    spatial = [axis for axis in "zyx" if axis in axes]
    for level, (offset, factor) in enumerate(zip(offsets, factors, strict=True)):
        given = np.array([offset[axes.index(axis)] for axis in spatial])
        usual = (np.asarray(factor)[-len(spatial) :] - 1) / 2
        if np.abs(given - usual).max() > 0.05:
            warnings.warn(
                f"{path}: level {level} says that it is shifted by {given.tolist()} pixels instead of "
                f"{usual.tolist()} (last axis x); this is ignored as in BigDataViewer",
                stacklevel=5,
            )
            return


def _zyx(values: Sequence[int], axes: str) -> Int3:
    z, y, x = (int(values[axes.index(axis)]) if axis in axes else 1 for axis in "zyx")
    return (z, y, x)
