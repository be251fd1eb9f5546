"""Maps of intensity coefficients, as BigStitcher-Spark writes them (``TransformCoefficients`` reads them)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.model.errors import InputError
from fusestack.model.view import ViewId
from fusestack.sources.base import check_exists, input_errors, opened_file
from fusestack.sources.hdf5_chunks import require_filters
from fusestack.storage import is_address
from fusestack.storage.n5_chunks import n5_reader, read_attributes
from fusestack.storage.zarr_python import open_zarr

if TYPE_CHECKING:
    from numpy.typing import NDArray

_Found = tuple[Any, dict[str, Any]]  # values and attributes
_WAY_OUT = "solve the intensities of this view too, or leave out fusion.intensity_adjustment"
_HDF5 = (".h5", ".hdf5")
_VERSION = "coefficients version"


def read_coefficients(
    container: str, setup: int, timepoint: int, group: str = "", dataset: str = "intensity"
) -> NDArray[np.float64]:
    """Coefficients of a view.

    Parameters
    ----------
    container : str
        Folder or address of an N5 or Zarr container, or an HDF5 file (``.h5``, ``.hdf5``).
    setup, timepoint : int
        Ids of the view.
    group, dataset : str
        The map is ``{group}/setup{S}/timepoint{T}/{dataset}``.

    Returns
    -------
    float64 [2, mz, my, mx]
        Factors and offsets, ``I' = factor * I + offset``, on a grid over the whole view.

    Raises
    ------
    InputError
        If there is no such map, or it is damaged or of a later version.
    """
    name = f"{group}/setup{setup}/timepoint{timepoint}/{dataset}".lstrip("/")
    where = f"{container}: {name}"
    check_exists(container)
    with input_errors(where, "the coefficients cannot be read", _WAY_OUT):
        if Path(container).suffix.lower() in _HDF5:
            found = _from_hdf5(container, name)
        elif (attributes := read_attributes(container, name)).get("dimensions"):
            reader = n5_reader(container, name, attributes)
            found = reader.read([0] * len(reader.shape), reader.shape), attributes
        else:
            found = _from_zarr(container, name)
    if found is None:
        raise InputError(f"{where}: there are no coefficients of view {ViewId(timepoint, setup)}; {_WAY_OUT}")
    values, version = np.asarray(found[0], dtype=np.float64), found[1].get(_VERSION, "1.0")
    if not re.match(r"\D*1\b", str(version)):  # a text, of HDF5 perhaps bytes
        raise InputError(f"{where}: its {_VERSION} is {version}, and only 1 is read; {_WAY_OUT}")
    if values.ndim != 4 or values.shape[0] != 2 or not values.size or not np.isfinite(values).all():
        raise InputError(
            f"{where}: holds {' x '.join(str(n) for n in reversed(values.shape))} values (xyz and 2 are needed, "
            f"all finite); {_WAY_OUT}"
        )
    return values


def _from_hdf5(container: str, name: str) -> _Found | None:
    import h5py

    with h5py.File(opened_file(container) if is_address(container) else container, "r") as file:
        if name not in file:
            return None
        require_filters(file[name], f"{container}: {name}")
        return file[name][()], dict(file[name].attrs)


def _from_zarr(container: str, name: str) -> _Found | None:
    try:
        array = open_zarr(f"{container}/{name}")
    except FileNotFoundError:
        return None
    return np.asarray(array[...]), array.attrs.asdict()
