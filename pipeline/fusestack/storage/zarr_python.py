"""Groups and arrays of Zarr that zarr-python reads: rare layouts, and what others wrote."""

from __future__ import annotations

from typing import Any

from fusestack.storage import is_address, open_store


def open_zarr(path: str, **options: Any) -> Any:
    """Open a group or an array, to be read.

    Parameters
    ----------
    path : str
        Local folder or address.
    **options
        Of `zarr.open`.

    Raises
    ------
    FileNotFoundError
        If there is neither.
    """
    import zarr

    if not is_address(path):
        return zarr.open(path, mode="r", **options)
    from zarr.storage import ObjectStore

    folder = open_store(path)
    return zarr.open(ObjectStore(folder.store, read_only=True), path=folder.prefix, mode="r", **options)
