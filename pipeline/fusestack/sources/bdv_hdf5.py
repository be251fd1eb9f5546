"""Views of BigDataViewer HDF5 projects (BigDataViewer's ``Hdf5ImageLoader``)."""

from __future__ import annotations

import os
from collections import OrderedDict
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.model.errors import InputError
from fusestack.model.geometry import flip3
from fusestack.sources.base import (
    Identity,
    SourceLevel,
    check_box,
    check_exists,
    file_identity,
    input_errors,
    opened_file,
    pixel_dtype,
)
from fusestack.sources.hdf5_chunks import read_region, require_filters, stored_region
from fusestack.storage import is_address

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fusestack.model.geometry import Box, Float3, Int3

_RESTORE = "restore the file from its source, or save the project again"


class BdvHdf5Source:
    """Pixels of one view in a BigDataViewer HDF5 file; partition files are found through its links.

    Parameters
    ----------
    path : str
        The main ``.h5`` file.
    setup, timepoint : int
        Ids of the view.

    Raises
    ------
    InputError
        If the file or one of its partitions is missing, truncated or not HDF5, or does not hold the view.
    """

    def __init__(self, path: str, *, setup: int, timepoint: int) -> None:
        self._path = path
        file = _open(path)
        where = f"s{setup:02d}"
        with input_errors(f"{path}: {where}", "cannot be read", _RESTORE):
            factors = _factors(_dataset(file, path, f"{where}/resolutions"), f"{path}: {where}/resolutions")
            declared = _text(file[where].attrs.get("dataType"))
        self._names = tuple(f"t{timepoint:05d}/{where}/{level}/cells" for level in range(len(factors)))
        with input_errors(f"{path}: {self._names[0]}", "cannot be read", _RESTORE):
            cells = [_dataset(file, path, name) for name in self._names]
            for dataset, name in zip(cells, self._names, strict=True):
                if dataset.ndim != 3:
                    raise InputError(f"{path}: {name}: has {dataset.ndim} axes instead of 3; {_RESTORE}")
                require_filters(dataset, f"{path}: {name}")
            self._dtype = _pixel_type(cells[0].dtype, declared, f"{path}: {self._names[0]}")
            self._levels = tuple(
                SourceLevel(_int3(dataset.shape), factor, _unit(dataset))
                for dataset, factor in zip(cells, factors, strict=True)
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
        name = self._names[level]
        with input_errors(f"{self._path}: {name}", "the chunks cannot be looked for", _RESTORE):
            file = _open(self._path)
            return stored_region(_dataset(file, self._path, name))

    def read(self, level: int, box: Box) -> NDArray[Any]:
        """Read a region (z, y, x) of a level.

        Raises
        ------
        InputError
            If the pixels are damaged or a partition file has gone.
        """
        check_box(self._path, self._levels, level, box)
        name = self._names[level]
        with input_errors(f"{self._path}: {name}", "the pixels cannot be read", _RESTORE):
            file = _open(self._path)  # held until the pixels are here: closing a file takes its datasets along
            pixels = read_region(_dataset(file, self._path, name), box)
            return _as_type(pixels, self._dtype)


def _pixel_type(stored: np.dtype[Any], declared: str | None, where: str) -> np.dtype[Any]:
    """Pixel type of a dataset: as declared; otherwise its own, but old files keep uint16 in int16."""
    name = declared or ("uint16" if stored.name == "int16" else stored.name)
    dtype = pixel_dtype(name, where)
    if dtype.itemsize != stored.itemsize or (dtype.kind == "f") != (stored.kind == "f"):
        raise InputError(f"{where}: holds {stored.name}, but the setup says {name}; correct its attribute dataType")
    return dtype


def _as_type(pixels: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Bits of stored pixels seen as `dtype`: int16 that means uint16 is not converted."""
    native = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    return native.view(dtype)


def _factors(dataset: Any, where: str) -> tuple[Float3, ...]:
    rows = np.asarray(dataset[()], dtype=np.float64)
    if rows.ndim != 2 or rows.shape[1] != 3 or not len(rows) or not np.isfinite(rows).all() or (rows <= 0).any():
        raise InputError(f"{where}: is not a table of positive factors x, y, z with a row per level; {_RESTORE}")
    return tuple(flip3(row) for row in rows.tolist())


def _text(value: Any) -> str | None:
    if isinstance(value, bytes):
        return value.decode()
    return None if value is None else str(value)


def _int3(values: tuple[int, ...]) -> Int3:
    z, y, x = (int(v) for v in values)
    return (z, y, x)


def _unit(dataset: Any) -> Int3:
    """Smallest region that is decoded in one piece: a chunk, or a row of a dataset that is stored whole."""
    return _int3(dataset.chunks or (1, 1, dataset.shape[2]))


def _dataset(file: Any, path: str, name: str) -> Any:
    import h5py

    try:
        found = file[name]
    except (KeyError, OSError, RuntimeError) as error:
        raise InputError(_why_missing(file, path, name)) from error
    if not isinstance(found, h5py.Dataset):
        raise InputError(f"{path}: {name}: is not a dataset; {_RESTORE}")
    return found


def _why_missing(file: Any, path: str, name: str) -> str:
    """Find the first link on the way to a dataset that leads nowhere."""
    import h5py

    parts = name.split("/")
    for end in range(1, len(parts) + 1):
        part = "/".join(parts[:end])
        link = file.get(part, getlink=True)
        try:
            file[part]
        except (KeyError, OSError, RuntimeError) as error:
            if not isinstance(link, h5py.ExternalLink):
                break
            partition = Path(path).parent / link.filename
            if not partition.exists():  # the same is said for all that is in it
                return f"{path}: its partition file {partition} is missing; restore that file"
            return (
                f"{path}: {part} is in the partition file {partition}, which cannot be read ({error.args[0]}); "
                "restore that file"
            )
    return f"{path}: has no dataset {name}; name the others in input.select.views, or {_RESTORE}"


_FILES: OrderedDict[tuple[int, str], tuple[Identity, Any]] = OrderedDict()
_FILES_LIMIT = 64
_LOCK = Lock()


def _open(path: str) -> Any:
    """Open a file for reading, once per process (a fork must not share handles); the least recently used are let go.

    A file that was replaced or changed since is opened again.
    """
    import h5py

    key = (os.getpid(), path)
    identity = file_identity(path)
    with _LOCK:
        known, opened = _FILES.get(key, (None, None))
        if opened is not None and known == identity:
            _FILES.move_to_end(key)
            return opened
        if opened is not None:
            # HDF5 would share what it remembers of the old content
            del _FILES[key]
            opened.close()
    check_exists(path)
    try:
        # Locks fail on many network file systems; where they work, a writer in another program is noticed.
        place = opened_file(path) if is_address(path) else path
        file = h5py.File(place, "r", locking="best-effort")
    except BlockingIOError as error:
        raise InputError(f"{path}: another program has the file open for writing; close it and run again") from error
    except OSError as error:
        if error.errno:
            raise InputError(
                f"{path}: cannot be opened: {os.strerror(error.errno)}; name a file that can be read"
            ) from error
        raise InputError(f"{path}: is truncated or not an HDF5 file ({error}); {_RESTORE}") from error
    with _LOCK:
        # Another thread may have been faster; handles that are pushed out close when their last reader is done.
        _, file = _FILES.setdefault(key, (identity, file))
        while len(_FILES) > _FILES_LIMIT:
            _FILES.popitem(last=False)
    return file
