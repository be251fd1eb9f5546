"""Views of a configuration that are arrays in the hands of whoever runs it from Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.model.errors import InputError
from fusestack.sources.arrays import held_array, named_array
from fusestack.sources.base import pixel_dtype
from fusestack.sources.graph import graph_source

if TYPE_CHECKING:
    import xarray

    from fusestack.config.models import ViewInput
    from fusestack.model.view import SourceRef

_GIVE = "give an array [z, y, x] or [y, x]"


def array_source(label: str, array: Any) -> SourceRef:
    """Source of an array [z, y, x] or [y, x].

    What is done is known by the name of the dask array, see `named_array`.

    Parameters
    ----------
    label : str
        For messages.
    array : numpy, dask, zarr or h5py array, or xarray.DataArray
        Of a DataArray the dimensions are named z, y, x; its coordinates are not used, see `unused_coordinates`.

    Raises
    ------
    InputError
        If it is no array, masked, has other dimensions, no pixels, or pixels of a type that is not read.
    """
    import xarray

    if isinstance(array, xarray.DataArray):
        array = _turned(label, array)
    held = held_array(label, array)
    if held.ndim not in (2, 3) or 0 in held.shape:
        raise InputError(f"{label}: has the shape {tuple(held.shape)}; {_GIVE}")
    pixel_dtype(held.dtype, label)
    pixels = named_array(label, held)
    return graph_source(label, [pixels if pixels.ndim == 3 else pixels[None]], [(1.0, 1.0, 1.0)])


def _turned(label: str, array: xarray.DataArray) -> Any:
    """Pixels in the order z, y, x."""
    names = [str(name) for name in array.dims]
    long = [name for name in names if name not in ("z", "y", "x") and array.sizes[name] > 1]
    if long or not {"y", "x"} <= set(names):
        way_out = f"choose one: array.isel({long[0]}=0)" if long else "rename them to z, y, x: array.rename"
        raise InputError(f"{label}: has the dimensions {', '.join(names)}; {way_out}")
    pixels = held_array(label, array)
    if not isinstance(pixels, np.ndarray):
        pixels = named_array(label, pixels)
    pixels = pixels[tuple(slice(None) if name in ("z", "y", "x") else 0 for name in names)]
    kept = [name for name in names if name in ("z", "y", "x")]
    return pixels.transpose([kept.index(axis) for axis in ("z", "y", "x") if axis in kept])


def unused_coordinates(label: str, view: ViewInput) -> str | None:
    """What should be said of the coordinates of a DataArray: the configuration says the place of its views.

    Parameters
    ----------
    label : str
        For messages.
    view : ViewInput

    Raises
    ------
    InputError
        If coordinates along z, y or x say something else than numbers of pixels, and the view says nothing.
    """
    held = view.array
    if not hasattr(held, "coords"):
        return None
    names = [axis for axis in ("z", "y", "x") if axis in held.coords and not _counts(held.coords[axis])]
    if not names:
        return None
    listed = ", ".join(names)
    given = [key for key in ("affine", "translation", "voxel_size") if getattr(view, key) is not None]
    if given:
        return (
            f"{label}.array: its coordinates along {listed} are not used, the view has {' and '.join(given)}; "
            f"drop them: array.drop_vars({names})"
        )
    raise InputError(
        f"{label}.array: its coordinates along {listed} would not be used, a view of a configuration says its place "
        f"itself; give translation (world pixels) or affine, and voxel_size, or drop them: array.drop_vars({names}), "
        "or fuse it where it says: fusestack.write(fusestack.fuse([array, ...]), path)"
    )


def _counts(coordinate: Any) -> bool:
    """Whether coordinates are the numbers of pixels, 0, 1, 2 ..., which say nothing."""
    values = np.atleast_1d(np.asarray(coordinate.values))
    return values.dtype.kind in "iuf" and bool((values == np.arange(values.size)).all())
