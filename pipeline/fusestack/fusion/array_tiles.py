"""Tiles that people hold in their hands: what is known of one, and arrays of any kind as lazy arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.model.errors import InputError
from fusestack.sources.arrays import held_array, named_array
from fusestack.sources.base import PIXEL_TYPES
from fusestack.sources.graph import graph_source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import DTypeLike

    from fusestack.model.geometry import Affine, Float3, Int3
    from fusestack.model.units import TimeStep
    from fusestack.model.view import SourceRef, StoredPixels

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
    colors : tuple of (str or None)
        Colours ``RRGGBB`` of the channels; empty where none has one.
    plane : bool
        It has two axes.
    at_zero : bool
        It is of a kind that says no place where it lies at 0.
    pixels : StoredPixels or None
        What its file says of its pixels, where that is known.
    time : TimeStep or None
        From one timepoint to the next, where its file says it.
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
    colors: tuple[str | None, ...] = ()
    plane: bool = False
    at_zero: bool = False
    pixels: StoredPixels | None = None
    time: TimeStep | None = None


def lazy_array(label: str, held: Any) -> Any:
    """Array of any kind as a dask array whose name says what it holds, see `named_array`.

    Parameters
    ----------
    label : str
        For messages.
    held : numpy, dask, zarr or h5py array, or xarray.DataArray

    Returns
    -------
    dask.array.Array

    Raises
    ------
    InputError
        As `named_array`; or if it has pixels of a type that is not read, or no pixels.
    """
    held = held_array(label, held)
    check_pixels(label, held.dtype)
    if 0 in held.shape:
        raise InputError(f"{label}: has no pixels, its shape is {held.shape}; leave it out")
    return named_array(label, held)


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
