"""Tiles that people hold in their hands: what is known of one, and arrays of any kind as lazy arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.model.errors import InputError
from fusestack.sources.base import PIXEL_TYPES
from fusestack.sources.graph import graph_source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import DTypeLike, NDArray

    from fusestack.model.geometry import Affine, Float3, Int3
    from fusestack.model.view import SourceRef

_CHUNK_BYTES = 2**24
"""Of an array in memory: a block takes what it needs and little more where chunks travel to workers."""

_SPATIAL = "zyx"
_CONVERSIONS = {
    "bool": "tile.astype('uint8')",
    "int8": "tile.astype('int16')",
    "complex64": "numpy.abs(tile)",
    "complex128": "numpy.abs(tile).astype('float32')",
}


@dataclass(frozen=True)
class Tile:
    """One tile: its pixels, and what it says about itself.

    Parameters
    ----------
    label : str
        For messages: "tile 2".
    name : str
        For people.
    shape : (int, int, int)
        z, y, x.
    dtype : str
    sources : tuple of tuple of SourceRef
        By timepoint, then channel.
    pixel_to_unit : tuple of Affine
        Pixel to world units at every timepoint; a pixel has size 1 along axes that say no size.
    sizes : (float or None, float or None, float or None)
        Size of a pixel along z, y, x, where the tile says it.
    placed : bool
        Whether it says where it is.
    unit : str or None
    timepoints : tuple of int
    channels : tuple of (str or None)
        Names, where they have one.
    plane : bool
        It has two axes.
    at_zero : bool
        It is of a kind that says no place where it lies at 0.
    """

    label: str
    name: str
    shape: Int3
    dtype: str
    sources: tuple[tuple[SourceRef, ...], ...]
    pixel_to_unit: tuple[Affine, ...]
    sizes: tuple[float | None, float | None, float | None] = (None, None, None)
    placed: bool = False
    unit: str | None = None
    timepoints: tuple[int, ...] = (0,)
    channels: tuple[str | None, ...] = (None,)
    plane: bool = False
    at_zero: bool = False


def lazy_array(label: str, held: Any) -> Any:
    """Array of any kind as a dask array; its pixels are not copied.

    Parameters
    ----------
    label : str
        For messages.
    held : numpy.ndarray, dask.array.Array, zarr.Array or xarray.DataArray

    Returns
    -------
    dask.array.Array
        Its name says what it holds: of an array in memory, a hash of the pixels.

    Raises
    ------
    InputError
        If it is no such array, or has pixels of a type that is not read, or no pixels, or chunks of unknown sizes.

    Notes
    -----
    Hashing reads an array in memory once, at 1 to 2 GB/s, a small part of the time that it takes to fuse it; arrays
    mapped from files are known by file, place and time of change.
    """
    import dask.array
    import xarray
    import zarr

    if isinstance(held, xarray.DataArray):
        held = _of_xarray(held)
    if isinstance(held, np.ma.MaskedArray) or isinstance(getattr(held, "_meta", None), np.ma.MaskedArray):
        raise InputError(
            f"{label}: is a masked array, and masks are not read; fill it: tile.filled(0), or "
            "tile.astype('float32').filled(numpy.nan), since NaN is no data"
        )
    if not isinstance(held, (np.ndarray, dask.array.Array, zarr.Array)):
        raise InputError(
            f"{label}: is of type {type(held).__name__}, not an array; convert it: numpy.asarray(tile), "
            "or dask.array.from_array(tile) where it is large"
        )
    check_pixels(label, held.dtype)
    if 0 in held.shape:
        raise InputError(f"{label}: has no pixels, its shape is {held.shape}; leave it out")
    if isinstance(held, np.ndarray):
        return _of_numpy(held)
    if isinstance(held, zarr.Array):
        return dask.array.from_array(held, chunks=held.shards or held.chunks, name=f"tile-{_zarr_token(held)}")
    if any(size != size for sizes in held.chunks for size in sizes):
        raise InputError(f"{label}: its chunks have unknown sizes; call tile.compute_chunk_sizes() first")
    if not isinstance(held._meta, np.ndarray):
        raise InputError(
            f"{label}: its chunks are of type {type(held._meta).__name__}; "
            "make them NumPy arrays: tile.map_blocks(numpy.asarray)"
        )
    return held


def check_pixels(label: str, dtype: DTypeLike) -> None:
    """Refuse pixels of types that are not read, with a way to convert them.

    Raises
    ------
    InputError
    """
    try:
        name = np.dtype(dtype).name
    except TypeError:
        name = str(dtype)
    if name in PIXEL_TYPES:
        return
    if name == "object" or name.startswith(("void", "str", "bytes", "datetime", "timedelta")):
        way_out = "give one array of numbers per tile"
    else:
        way_out = f"convert them: {_CONVERSIONS.get(name, 'tile.astype(' + repr('float32') + ')')}"
    raise InputError(f"{label}: pixels of type {name} are not read, only {', '.join(PIXEL_TYPES)}; {way_out}")


def sources_of(
    label: str, levels: Sequence[Any], axes: str, factors: Sequence[Float3]
) -> tuple[tuple[SourceRef, ...], ...]:
    """Sources of every timepoint and channel of a lazy image.

    Parameters
    ----------
    label : str
    levels : sequence of dask.array.Array
        Full resolution first.
    axes : str
        Letters of t, c, z, y, x, in the order of the arrays; y and x are among them.
    factors : sequence of (float, float, float)
        Of the levels, z, y, x.
    """
    lengths = dict(zip(axes, levels[0].shape, strict=True))
    spatial = [axis for axis in axes if axis in _SPATIAL]
    order = [spatial.index(axis) for axis in _SPATIAL if axis in spatial]

    def volume(array: Any, place: dict[str, int]) -> Any:
        found = array[tuple(place.get(axis, slice(None)) for axis in axes)]
        found = found if order == sorted(order) else found.transpose(order)
        return found if found.ndim == 3 else found[np.newaxis]

    return tuple(
        tuple(
            graph_source(label, [volume(array, {"t": t, "c": c}) for array in levels], factors)
            for c in range(lengths.get("c", 1))
        )
        for t in range(lengths.get("t", 1))
    )


def spatial_shape(shape: Sequence[int], axes: str) -> Int3:
    """Pixels along z, y, x; one plane where there is no z."""
    lengths = dict(zip(axes, shape, strict=True))
    z, y, x = (int(lengths.get(axis, 1)) for axis in _SPATIAL)
    return (z, y, x)


def factor_of(full: int, reduced: int) -> int | None:
    """Whole number of pixels in one pixel of a level along one axis; None if no whole number gives its length."""
    factor = max(1, round(full / reduced))
    return factor if full // factor <= reduced <= -(-full // factor) else None


def _of_numpy(held: NDArray[Any]) -> Any:
    """Views of an array as chunks: `dask.array.from_array` would copy it."""
    import dask.array
    from dask.array.core import normalize_chunks, slices_from_chunks
    from dask.base import tokenize

    name = f"tile-{tokenize(held)}"  # before its class is gone, by which dask knows arrays mapped from files
    pixels = np.asarray(held).view()
    pixels.flags.writeable = False
    chunks = normalize_chunks("auto", shape=pixels.shape, limit=_CHUNK_BYTES, dtype=pixels.dtype)
    numbers = np.ndindex(*(len(sizes) for sizes in chunks))
    graph = {(name, *number): pixels[place] for number, place in zip(numbers, slices_from_chunks(chunks), strict=True)}
    return dask.array.Array(graph, name, chunks, meta=np.empty((0,) * pixels.ndim, pixels.dtype))


def _of_xarray(held: Any) -> Any:
    if held.chunks is not None:
        return held.data
    if held._in_memory:  # of a lazily opened array, `data` would read all pixels
        return held.data
    preferred = {dim: n for dim, n in held.encoding.get("preferred_chunks", {}).items() if dim in held.dims}
    return held.chunk(preferred or "auto").data


def _zarr_token(array: Any) -> str:
    from dask.base import tokenize

    from fusestack.sources.base import file_identity

    place = getattr(array.store, "path", None)  # of a zip file
    return str(tokenize(array, file_identity(str(place)) if place is not None else None))
