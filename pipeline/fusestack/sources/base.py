"""What every pixel source is, and the one way to open one."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

from fusestack.stage import resolve

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fusestack.geometry import Box, Int3
    from fusestack.view import SourceRef


@dataclass(frozen=True)
class SourceLevel:
    """One resolution of a source.

    Parameters
    ----------
    shape : (int, int, int)
        Pixels along z, y, x.
    factors : (float, float, float)
        Pixels of level 0 in one pixel of this level, z, y, x.
    chunks : (int, int, int)
        Smallest region that is decoded in one piece, z, y, x; for estimates of memory.
    """

    shape: Int3
    factors: tuple[float, float, float]
    chunks: Int3


class PixelSource(Protocol):
    """Pixels in: reads boxes of levels of one 3-D image. Opening reads metadata only."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Pixel type, native byte order: uint8, uint16, int16, uint32 or float32."""
        ...

    @property
    def levels(self) -> tuple[SourceLevel, ...]:
        """Resolutions, full resolution first."""
        ...

    def read(self, level: int, box: Box) -> NDArray[Any]:
        """Read a region (z, y, x) that lies inside the level: a C-contiguous array of `dtype`.

        Raises
        ------
        InputError
            If the pixels cannot be read; names the file and the dataset.
        """
        ...


_OPEN: OrderedDict[SourceRef, PixelSource] = OrderedDict()
_OPEN_LIMIT = 512
_LOCK = Lock()


def open_source(ref: SourceRef) -> PixelSource:
    """Open the pixel source of a reference, once per process; the least recently used ones are let go.

    Raises
    ------
    InputError
        If the file is missing, truncated or not what its name says.
    """
    with _LOCK:
        if ref in _OPEN:
            _OPEN.move_to_end(ref)
            return _OPEN[ref]
    source: PixelSource = resolve(ref.reader)(ref.path, **dict(ref.options))
    with _LOCK:
        _OPEN[ref] = source
        while len(_OPEN) > _OPEN_LIMIT:
            _OPEN.popitem(last=False)
    return source
