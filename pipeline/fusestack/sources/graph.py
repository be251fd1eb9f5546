"""Images that are arrays of a dask graph, with or without coarser levels: tiles that people hold in their hands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.model.graph_array import GraphArray
from fusestack.model.view import SourceRef
from fusestack.sources.base import SourceLevel, check_box, last_chunk, pixel_dtype

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fusestack.model.geometry import Box, Float3, Int3

_READER = f"{__name__}:GraphSource"


class GraphSource:
    """Pixels of arrays that tasks of a dask graph make.

    Parameters
    ----------
    path : str
        Empty: there is no file.
    label : str
        For messages.
    arrays : tuple of GraphArray
        Levels [z, y, x], full resolution first.
    factors : tuple of (float, float, float)
        Pixels of the first level in one pixel of each, z, y, x.

    Raises
    ------
    InputError
        If its pixels are of a type that is not read.
    """

    def __init__(self, path: str, *, label: str, arrays: tuple[GraphArray, ...], factors: tuple[Float3, ...]) -> None:
        self._label, self._arrays = label, arrays
        self._dtype = pixel_dtype(arrays[0].dtype, label)
        self._levels = tuple(
            SourceLevel(_int3(array.shape), factor, _int3(array.chunk_shape))
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

    def array(self, level: int) -> GraphArray:
        """The array of a level."""
        return self._arrays[level]

    def stored_chunk(self, level: int) -> Box | None:
        """Part of a level that is decoded in one piece and is stored."""
        return last_chunk(self._levels[level])

    def read(self, level: int, box: Box) -> NDArray[Any]:
        """Read a region (z, y, x) of a level: of what the task was given, see `GraphArray.read`."""
        check_box(self._label, self._levels, level, box)
        return np.ascontiguousarray(self._arrays[level].read(box), dtype=self._dtype)


def graph_source(label: str, arrays: Sequence[Any], factors: Sequence[Float3]) -> SourceRef:
    """Source of dask arrays [z, y, x], full resolution first.

    Parameters
    ----------
    label : str
        For messages: "tile 3".
    arrays : sequence of dask.array.Array
    factors : sequence of (float, float, float)
        Pixels of the first one in one pixel of each, z, y, x.
    """
    named = tuple(GraphArray.of(array) for array in arrays)
    options = (("label", label), ("arrays", named), ("factors", tuple(factors)))
    return SourceRef(_READER, "", options)


def graph_array(source: SourceRef, level: int) -> GraphArray | None:
    """The array that a source reads at a level; None for files."""
    if source.reader != _READER:
        return None
    found: GraphArray = dict(source.options)["arrays"][level]  # type: ignore[index]
    return found


def label_of(source: SourceRef) -> str:
    """What a source of arrays is called."""
    return str(dict(source.options)["label"])


def _int3(values: Sequence[int]) -> Int3:
    z, y, x = values
    return (z, y, x)
