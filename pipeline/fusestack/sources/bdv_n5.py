"""Views of BigDataViewer N5 projects (its ``N5ImageLoader``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.model.errors import InputError
from fusestack.model.geometry import Box, flip3
from fusestack.sources.base import SourceLevel, check_box, check_exists, input_errors, pixel_dtype
from fusestack.sources.known_facts import recall, remember, witnesses
from fusestack.storage import is_address
from fusestack.storage.n5_chunks import n5_reader, read_attributes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fusestack.model.geometry import Float3, Int3
    from fusestack.storage.zarr_chunks import ChunkReader

_RESTORE = "restore it from its source, or save the project again"


class BdvN5Source:
    """Pixels of one view in a BigDataViewer N5 container, a folder or an address.

    Blocks that are not stored are 0.

    Parameters
    ----------
    path : str
        The container.
    setup, timepoint : int
        Ids of the view.

    Raises
    ------
    InputError
        If the container or the view in it is missing or damaged.
    """

    def __init__(self, path: str, *, setup: int, timepoint: int) -> None:
        self._path = path
        check_exists(path)
        where = f"setup{setup}"
        with input_errors(f"{path}: {where}", "cannot be read", _RESTORE):
            factors = _factors(_of_setup(path, where), f"{path}: {where}")
            self._names = tuple(f"{where}/timepoint{timepoint}/s{level}" for level in range(len(factors)))
            self._readers: list[ChunkReader] = []
            for name in self._names:
                attributes = read_attributes(path, name)
                if "dimensions" not in attributes:
                    raise InputError(f"{path}: {name}: there is no such dataset; {_RESTORE}")
                reader = n5_reader(path, name, attributes)
                if len(reader.shape) != 3:
                    raise InputError(f"{path}: {name}: has {len(reader.shape)} axes instead of 3; {_RESTORE}")
                if self._readers and reader.dtype != self._readers[0].dtype:
                    raise InputError(
                        f"{path}: {name}: holds {reader.dtype}, but level 0 {self._readers[0].dtype}; {_RESTORE}"
                    )
                self._readers.append(reader)
        self._dtype = pixel_dtype(self._readers[0].dtype, f"{path}: {self._names[0]}")
        self._levels = tuple(
            SourceLevel(_int3(reader.shape), factor, _int3(reader.chunk))
            for reader, factor in zip(self._readers, factors, strict=True)
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
        reader = self._readers[level]
        with input_errors(f"{self._path}: {self._names[level]}", "the blocks cannot be looked for", _RESTORE):
            found = reader.stored_chunk([0] * reader.ndim, reader.shape)
        return None if found is None else Box(*found)

    def read(self, level: int, box: Box) -> NDArray[Any]:
        """Read a region (z, y, x) of a level.

        Raises
        ------
        InputError
            If a block is damaged.
        """
        check_box(self._path, self._levels, level, box)
        with input_errors(f"{self._path}: {self._names[level]}", "the pixels cannot be read", _RESTORE):
            return self._readers[level].read(box.start, box.stop)


def _of_setup(path: str, where: str) -> dict[str, Any]:
    """Attributes of a setup, which thousands of timepoints ask for."""
    wanted, file = ("attributes", path, where), f"{path}/{where}/attributes.json"
    found: dict[str, Any] | None = None if is_address(path) else recall(wanted)
    if found is None:
        before = () if is_address(path) else witnesses([file])
        found = read_attributes(path, where)
        if before:
            remember(wanted, (file,), before, found)
    return found


def _factors(attributes: dict[str, Any], where: str) -> tuple[Float3, ...]:
    """Factors of the levels, z, y, x; the setup is missing where it has none."""
    rows = attributes.get("downsamplingFactors")
    if rows is None:
        raise InputError(f"{where}: there is no such setup (no downsamplingFactors); check the path, or {_RESTORE}")
    factors = np.asarray(rows, dtype=np.float64)
    if factors.ndim != 2 or factors.shape[1] != 3 or not (factors >= 1).all():
        raise InputError(f"{where}: its downsamplingFactors are not rows of three numbers from 1 on; {_RESTORE}")
    return tuple(flip3(row) for row in factors.tolist())


def _int3(values: tuple[int, ...]) -> Int3:
    z, y, x = values
    return (z, y, x)
