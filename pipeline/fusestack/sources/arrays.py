"""Arrays of any kind that people hold in their hands, as dask arrays whose names say what they hold."""

from __future__ import annotations

import math
import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.model.errors import InputError
from fusestack.sources.base import file_identity
from fusestack.sources.hdf5_chunks import require_filters
from fusestack.storage import absolute

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_CHUNK_BYTES = 2**24
"""Of an array in memory: a block takes what it needs and little more where chunks travel to workers."""


def named_array(label: str, held: Any, chunks: Any = None) -> Any:
    """Array of any kind as a dask array; no pixel is computed or copied.

    What is done is known by the name, so it has to say what the array holds: a hash of the pixels in memory; path,
    metadata, and sizes and times of change of the files of a Zarr array; path and time of change of other files. A name
    that cannot say that is random, and whatever is made of the array is made again. Names of dask arrays stay.

    Parameters
    ----------
    label : str
        For messages: "tile 2".
    held : numpy, dask, zarr or h5py array, or xarray.DataArray
    chunks : tuple of int, optional
        For arrays in memory, which have none. By default, 16 MiB.

    Returns
    -------
    dask.array.Array
        Its axes are those of the array, its chunks are NumPy arrays of known sizes, read-only views of what is in
        memory. Who asks judges pixel types.

    Raises
    ------
    InputError
        If it is no array, is masked, or has chunks of unknown sizes or of another type.

    Notes
    -----
    Hashing reads an array in memory once, at 1 to 2 GB/s, a small part of the time that it takes to fuse it.
    """
    import dask.array

    held = held_array(label, held)
    if isinstance(held, np.ndarray):
        return _of_numpy(held, chunks)
    if isinstance(held, dask.array.Array):
        return held
    name = f"array-{_token(held)}"
    own = getattr(held, "shards", None) or held.chunks or "auto"
    travels = StoredHdf5.of(held) if _in_hdf5_file(held) else held
    return dask.array.from_array(travels, chunks=own, name=name)


def held_array(label: str, held: Any) -> Any:
    """What holds the pixels of an array of any kind, checked: a numpy, dask, zarr or h5py array.

    Raises
    ------
    InputError
        As `named_array`.
    """
    import dask.array
    import xarray

    if isinstance(held, xarray.DataArray | xarray.Variable):
        held = _of_xarray(held)
    if is_masked(held):
        raise InputError(
            f"{label}: is a masked array, and masks are not read; fill it: array.filled(0), or "
            "array.astype('float32').filled(numpy.nan), since NaN is no data (dask.array.ma.filled of dask)"
        )
    if not isinstance(held, np.ndarray | dask.array.Array) and not _is_stored(held):
        raise InputError(
            f"{label}: is of type {type(held).__name__}, not an array; convert it: numpy.asarray(array), "
            "or dask.array.from_array(array) where it is large"
        )
    if not isinstance(held, dask.array.Array):
        return held
    if any(math.isnan(size) for sizes in held.chunks for size in sizes):
        raise InputError(f"{label}: its chunks have unknown sizes; call compute_chunk_sizes() of it first")
    if not isinstance(held._meta, np.ndarray):
        raise InputError(
            f"{label}: its chunks are of type {type(held._meta).__name__}; "
            "make them NumPy arrays: array.map_blocks(numpy.asarray)"
        )
    return held


def is_masked(held: Any) -> bool:
    """Whether an array of numpy or dask is masked."""
    return isinstance(held, np.ma.MaskedArray) or isinstance(getattr(held, "_meta", None), np.ma.MaskedArray)


def _is_stored(held: Any) -> bool:
    """Whether pixels are read when they are asked for: Zarr and HDF5."""
    import h5py
    import zarr

    return isinstance(held, zarr.Array | h5py.Dataset)


def zarr_identity(array: Any) -> str | None:
    """What a Zarr array holds, in a few letters; None where its store cannot tell.

    Of a folder of this machine: its path, metadata, and number, sizes and times of change of the files in it. Of a
    store in memory: a hash of what is in it.

    Parameters
    ----------
    array : zarr.Array
    """
    from dask.base import tokenize
    from zarr.storage import LocalStore, MemoryStore, ZipStore

    metadata = str(array.metadata.to_dict())
    if isinstance(array.store, LocalStore):
        folder = Path(array.store.root, array.path).absolute()
        found = list(_files_in(folder))
        facts = (len(found), sum(size for size, _ in found), max((time for _, time in found), default=0))
        # of all times, so that a chunk that was put back from a copy, with its old time, is seen too
        return str(tokenize(str(folder), metadata, facts, sum(time for _, time in found)))
    if isinstance(array.store, MemoryStore):
        return str(tokenize(array))
    if isinstance(array.store, ZipStore):
        return str(tokenize(str(array.store.path), array.path, metadata, file_identity(str(array.store.path))))
    return None


def _files_in(folder: Path) -> Iterator[tuple[int, int]]:
    """Size and time of change of the files of a folder and of all folders in it."""
    if not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _files_in(Path(entry.path))
            else:
                found = entry.stat()
                yield found.st_size, found.st_mtime_ns


@dataclass(frozen=True)
class StoredHdf5:
    """A dataset of a file that nobody writes, opened where it is read: those of h5py do not travel to processes."""

    path: str
    dataset: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @classmethod
    def of(cls, held: Any) -> StoredHdf5:
        """What reads a dataset of h5py."""
        return cls(absolute(held.file.filename), held.name, held.shape, held.dtype)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __getitem__(self, place: Any) -> NDArray[Any]:
        import h5py

        with h5py.File(self.path, "r") as file:
            dataset = file[self.dataset]
            require_filters(dataset, f"{self.path}: {self.dataset}")
            return np.asarray(dataset[place])


def _in_hdf5_file(held: Any) -> bool:
    """Whether it is a dataset of a file that can be opened once more, and stays what it is."""
    return not hasattr(held, "store") and held.file.mode == "r" and Path(held.file.filename).is_file()


def _token(held: Any) -> str:
    """What a stored array holds; a random name where that is not known."""
    from dask.base import tokenize

    if hasattr(held, "store"):
        known = zarr_identity(held)
    elif _in_hdf5_file(held):
        known = str(tokenize(held.file.filename, held.name, file_identity(held.file.filename)))
    else:  # what was written may not be in the file yet
        known = None
    return known or uuid.uuid4().hex


def _of_numpy(held: NDArray[Any], wanted: Any) -> Any:
    """Views of an array as chunks: `dask.array.from_array` would copy it."""
    import dask.array
    from dask.array.core import normalize_chunks, slices_from_chunks
    from dask.base import tokenize

    chunks = normalize_chunks(wanted or "auto", shape=held.shape, limit=_CHUNK_BYTES, dtype=held.dtype)
    # before its class is gone, by which dask knows arrays mapped from files
    name = f"array-{tokenize(held, chunks)}"
    pixels = np.asarray(held).view()
    pixels.flags.writeable = False
    numbers = np.ndindex(*(len(sizes) for sizes in chunks))
    graph = {(name, *number): pixels[place] for number, place in zip(numbers, slices_from_chunks(chunks), strict=True)}
    return dask.array.Array(graph, name, chunks, meta=np.empty((0,) * pixels.ndim, pixels.dtype))


def _of_xarray(held: Any) -> Any:
    """What an array of xarray holds; of a lazily opened one, `data` would read all pixels."""
    from dask.base import tokenize

    variable = getattr(held, "variable", held)
    if variable.chunks is not None or variable._in_memory:
        return variable.data
    preferred = {dim: n for dim, n in variable.encoding.get("preferred_chunks", {}).items() if dim in variable.dims}
    lazy = variable.chunk(preferred or "auto").data
    # xarray names it after the place alone, or after nothing that changes with the pixels
    identity = _backend_identity(variable)
    token = uuid.uuid4().hex if identity is None else tokenize(lazy.name, identity)
    return _renamed(lazy, f"array-{token}")


def _backend_identity(variable: Any) -> str | None:
    """What the file or the Zarr array holds that a variable of xarray reads; None where nothing says that."""
    import zarr

    path = variable.encoding.get("source")
    if path is not None and Path(path).is_file():
        return f"{path} {file_identity(str(path))}"
    layer = variable._data
    while layer is not None and not isinstance(layer, zarr.Array):  # of indexing, of caching, of the backend
        layer = getattr(layer, "array", None) if hasattr(layer, "array") else getattr(layer, "_array", None)
    return None if layer is None else zarr_identity(layer)


def _renamed(array: Any, name: str) -> Any:
    import dask.array

    return dask.array.map_blocks(_same, array, name=name, dtype=array.dtype, meta=array._meta)


def _same(pixels: NDArray[Any]) -> NDArray[Any]:
    return pixels
