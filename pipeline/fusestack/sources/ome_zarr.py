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
from fusestack.storage import is_address
from fusestack.storage.zarr_chunks import ChunkReader, chunk_reader, group_attributes, open_zarr

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fusestack.model.geometry import Float3, Int3

_AXES = "tczyx"
_RESTORE = "restore it from its source, or write the image again"


class OmeZarrSource:
    """Pixels of one timepoint and channel of an OME-Zarr image.

    Levels are placed as BigDataViewer does: pixel i of a level of factor f lies at ``f * i + (f - 1) / 2``; a
    ``translation`` that says otherwise is ignored with a warning, as BigStitcher's ``AllenOMEZarrLoader`` does.

    Parameters
    ----------
    path : str
        Folder or address of the multiscale image or of a plain array, 2-D to 5-D, axes in the order t, c, z, y, x.
    timepoint, channel : int
        Indices along t and c; not looked at where the image has only one.
    numbered : bool
        As ``bdv.multimg.zarr`` has it: level L is the array ``L`` whatever the metadata call it, and misplaced levels
        are usual.
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
        self, path: str, *, timepoint: int = 0, channel: int = 0, numbered: bool = False, held: str | None = None
    ) -> None:
        self._path = path
        check_exists(path)
        with input_errors(path, "is not a Zarr image that can be read", _RESTORE):
            node = _open(path)
            if isinstance(node, dict):
                names, arrays, axes, factors = _multiscale(node, path, numbered=numbered)
            else:
                names, arrays, axes, factors = [""], [node], _axes(None, node.ndim, path), [(1.0, 1.0, 1.0)]
        self._names, self._arrays = tuple(names), tuple(arrays)
        self._dtype = pixel_dtype(arrays[0].dtype, path)
        lengths = dict(zip(axes, arrays[0].shape, strict=True))
        chosen = {
            "t": select_index(path, "timepoint", lengths.get("t", 1), timepoint),
            "c": select_index(path, "channel", lengths.get("c", 1), channel),
        }
        self._prefix = tuple(chosen[axis] for axis in axes if axis in chosen)
        self._flat = "z" not in axes
        self._levels = tuple(
            SourceLevel(_zyx(array.shape, axes), factor, _zyx(array.chunks, axes))
            for array, factor in zip(arrays, factors, strict=True)
        )

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
            lead = self._prefix
            region = size.slices[1:] if self._flat else size.slices
            found = array.stored_chunk(
                [*lead, *(part.start for part in region)], [*(i + 1 for i in lead), *(part.stop for part in region)]
            )
        if found is None:
            return None
        start, stop = (corner[len(lead) :] for corner in found)
        return Box((0, *start), (1, *stop)) if self._flat else Box(start, stop)

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
            region = box.slices[1:] if self._flat else box.slices
            if isinstance(array, ChunkReader):
                lead = [slice(i, i + 1) for i in self._prefix]
                index = [*lead, *region]
                pixels = array.read([s.start for s in index], [s.stop for s in index])
            else:
                self._check_shards(array, self._names[level], region)
                pixels = array[self._prefix + region]
            return np.ascontiguousarray(pixels, dtype=self._dtype).reshape(box.shape)

    def _check_shards(self, array: Any, name: str, region: tuple[slice, ...]) -> None:
        """Refuse empty files, which a full disk leaves behind: zarr takes them for shards that hold no chunk."""
        if array.shards is None or is_address(self._path):
            return
        lead = [range(i // n, i // n + 1) for i, n in zip(self._prefix, array.shards, strict=False)]
        spatial = array.shards[len(lead) :]
        ranges = [range(s.start // n, -(-s.stop // n)) for s, n in zip(region, spatial, strict=True)]
        for index in itertools.product(*lead, *ranges):
            file = Path(self._path, name, array.metadata.encode_chunk_key(index))
            if file.is_file() and not file.stat().st_size:
                raise InputError(f"{file}: this shard is empty; {_RESTORE}")


def _open(path: str) -> Any:
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


def _multiscale(
    attributes: dict[str, Any], path: str, *, numbered: bool
) -> tuple[list[str], list[Any], str, list[Float3]]:
    """Names of the levels, arrays, axes and factors of the first multiscale image of a group."""
    images = attributes.get("ome", attributes).get("multiscales")
    if not images:
        members = ", ".join(sorted(name for name, _ in open_zarr(path).members())) or "nothing"
        raise InputError(f"{path}: holds no multiscale image; name the image inside it (it holds {members})")
    datasets = images[0]["datasets"]
    if not datasets:
        raise InputError(f"{path}: its multiscale image has no level; {_RESTORE}")
    names = [str(number) if numbered else entry["path"].strip("/") for number, entry in enumerate(datasets)]
    arrays = [_array(name, path) for name in names]
    axes = _axes(images[0].get("axes"), arrays[0].ndim, path)
    for name, array in zip(names, arrays, strict=True):
        if array.ndim != len(axes) or array.dtype != arrays[0].dtype:
            raise InputError(
                f"{path}: {name}: has {array.ndim} axes of {array.dtype}, but axes are {axes} "
                f"and the first level holds {arrays[0].dtype}; {_RESTORE}"
            )
    scales, translations = zip(*(_placement(entry, len(axes), path) for entry in datasets), strict=True)
    if any(scale is None for scale in scales):
        # Before version 0.4 there were no scales.
        shapes = [np.asarray(array.shape, dtype=np.float64) for array in arrays]
        factors = [_factors(shapes[0] / shape, axes) for shape in shapes]
    else:
        factors = [_factors(scale / scales[0], axes) for scale in scales]
        if not numbered:
            _warn_of_offsets(path, axes, scales[0], translations, factors)
    for name, (finer, coarser) in zip(names[1:], itertools.pairwise(arrays), strict=True):
        if any(a < b for a, b in zip(finer.shape, coarser.shape, strict=True)):
            raise InputError(f"{path}: {name}: is larger than the level before it; {_RESTORE}")
    return names, arrays, axes, factors


def _array(name: str, path: str) -> Any:
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


def _axes(declared: Sequence[Any] | None, ndim: int, path: str) -> str:
    """Axes as letters; images that name none have the last ones of t, c, z, y, x."""
    if declared is None:
        names = list(_AXES[-ndim:])
    else:
        names = [str(axis["name"] if isinstance(axis, dict) else axis) for axis in declared]
    places = [_AXES.find(name) for name in names]
    if -1 in places or places != sorted(set(places)) or names[-2:] != ["y", "x"] or len(names) != ndim:
        raise InputError(
            f"{path}: its {ndim} axes are {', '.join(names)}; they have to be y, x with any of t, c, z before, "
            "in this order; write the image again with such axes"
        )
    return "".join(names)


def _placement(
    entry: dict[str, Any], ndim: int, path: str
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
    """Scale and translation of a level, one number per axis; None where it has none."""
    found: dict[str, NDArray[np.float64]] = {}
    for transform in entry.get("coordinateTransformations", ()):
        kind = transform["type"]
        if kind == "identity":
            continue
        numbers = np.asarray(transform.get(kind, ()), dtype=np.float64)
        wrong = kind not in ("scale", "translation") or numbers.shape != (ndim,) or not np.isfinite(numbers).all()
        if wrong or (kind == "scale" and (numbers <= 0).any()):
            raise InputError(
                f"{path}: {entry['path']}: its transformation '{kind}' has not {ndim} usable numbers; {_RESTORE}"
            )
        found[kind] = numbers
    return found.get("scale"), found.get("translation")


def _factors(ratios: NDArray[np.float64], axes: str) -> Float3:
    """Factors z, y, x: integers where they are within 1e-4 of one, else 4 decimals (``AllenOMEZarrLoader``)."""
    rounded = [float(round(r)) if abs(r - round(r)) < 1e-4 else round(float(r), 4) for r in ratios]
    y, x = rounded[-2:]
    return (rounded[-3] if "z" in axes else 1.0, y, x)


def _warn_of_offsets(
    path: str,
    axes: str,
    scale: NDArray[np.float64],
    translations: Sequence[NDArray[np.float64] | None],
    factors: Sequence[Float3],
) -> None:
    if all(translation is None for translation in translations):
        return
    zero = np.zeros(len(axes))
    origin = zero if translations[0] is None else translations[0]
    for level, (translation, factor) in enumerate(zip(translations, factors, strict=True)):
        given = ((zero if translation is None else translation) - origin) / scale
        spatial = sum(axis in "zyx" for axis in axes)
        usual = (np.asarray(factor)[-spatial:] - 1) / 2
        if np.abs(given[-spatial:] - usual).max() > 0.05:
            warnings.warn(
                f"{path}: level {level} says that it is shifted by {given[-spatial:].tolist()} pixels instead of "
                f"{usual.tolist()} (last axis x); this is ignored as in BigDataViewer",
                stacklevel=4,
            )
            return


def _zyx(values: Sequence[int], axes: str) -> Int3:
    y, x = (int(v) for v in values[-2:])
    return (int(values[-3]) if "z" in axes else 1, y, x)
