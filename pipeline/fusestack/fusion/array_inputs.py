"""Views of a configuration that are arrays in the hands of whoever runs it from Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.model.errors import InputError
from fusestack.sources.base import pixel_dtype
from fusestack.sources.graph import graph_source

if TYPE_CHECKING:
    from fusestack.model.view import SourceRef

_GIVE = "give an array [z, y, x] or [y, x]"


def array_source(label: str, array: Any) -> SourceRef:
    """Source of an array [z, y, x] or [y, x].

    What is done is known by the name of the dask array; that of an array of NumPy is a hash of its pixels.

    Parameters
    ----------
    label : str
        For messages.
    array : numpy, dask, zarr array or xarray.DataArray
        Of a DataArray the dimensions are named z, y, x; its coordinates are not used: the configuration says the place.

    Raises
    ------
    InputError
        If it has other dimensions, no pixels, or pixels of a type that is not read.
    """
    import dask.array

    pixels = _turned(label, array)
    if pixels.ndim not in (2, 3) or 0 in pixels.shape:
        raise InputError(f"{label}: has the shape {tuple(pixels.shape)}; {_GIVE}")
    pixel_dtype(pixels.dtype, label)
    if not isinstance(pixels, dask.array.Array):
        pixels = dask.array.from_array(pixels, chunks=getattr(pixels, "chunks", None) or "auto")
    if any(np.isnan(size) for sizes in pixels.chunks for size in sizes):
        raise InputError(f"{label}: its chunks have unknown sizes; compute them: array.compute_chunk_sizes()")
    return graph_source(label, [pixels if pixels.ndim == 3 else pixels[None]], [(1.0, 1.0, 1.0)])


def _turned(label: str, array: Any) -> Any:
    """Pixels in the order z, y, x."""
    if not hasattr(array, "dims"):
        return array
    names = [str(name) for name in array.dims]
    long = [name for name in names if name not in ("z", "y", "x") and array.sizes[name] > 1]
    if long or not {"y", "x"} <= set(names):
        way_out = f"choose one: array.isel({long[0]}=0)" if long else "rename them to z, y, x: array.rename"
        raise InputError(f"{label}: has the dimensions {', '.join(names)}; {way_out}")
    single = array.isel({name: 0 for name in names if name not in ("z", "y", "x")})
    return single.transpose(*[axis for axis in ("z", "y", "x") if axis in names]).data
