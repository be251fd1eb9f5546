"""What will be written: axes, shape, dtype, chunks, levels, place and channels of an image."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.model.grid import Grid
from fusestack.model.units import TimeStep

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fusestack.model.geometry import Float3, Int3

AXES = ("t", "c", "z", "y", "x")

PICTURE_SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg")
"""Of picture files that are read and written; what a file holds, its first bytes say."""

MESH_SUFFIXES = (".ply", ".stl")
"""Of surfaces."""

OME_TIFF_SUFFIXES = (".ome.tif", ".ome.tiff")
"""Of TIFF files that hold OME-XML and levels."""


def is_ome_tiff(path: str) -> bool:
    """Whether the suffix of a path says OME-TIFF."""
    return path.lower().endswith(OME_TIFF_SUFFIXES)


@dataclass(frozen=True)
class Codec:
    """How chunks are compressed.

    Parameters
    ----------
    name : str
        ``blosc`` (zstd with bit shuffle), ``zstd``, ``lz4``, ``gzip`` or ``none``.
    level : int
        Effort of the codec, as its library counts it.
    """

    name: str = "blosc"
    level: int = 1


@dataclass(frozen=True)
class Level:
    """One resolution of an image.

    Parameters
    ----------
    factors : (int, int, int)
        Pixels of level 0 in one pixel of this level, z, y, x.
    shape : tuple of int
        Pixels along t, c, z, y, x.
    chunks : tuple of int
        Smallest compressed unit along t, c, z, y, x.
    shards : tuple of int or None
        Smallest unit that may be written, a multiple of `chunks`; None where a chunk is that unit.
    block : tuple of int
        What one task computes and writes in one piece: a multiple of `shards`, or of `chunks` where there are none.
    """

    factors: Int3
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    shards: tuple[int, ...] | None
    block: tuple[int, ...]

    @property
    def grid(self) -> Grid:
        """Its blocks."""
        return Grid(self.shape, self.block)


@dataclass(frozen=True)
class Channel:
    """A channel for people: its id in the project, its name and its colour ``RRGGBB``."""

    id: int
    name: str
    color: str = "FFFFFF"


@dataclass(frozen=True)
class Partition:
    """A file of an image that is split: its path, and which entries along t and c it holds."""

    path: str
    times: range
    channels: range


@dataclass(frozen=True)
class ImageSpec:
    """An image before any pixel of it exists.

    Parameters
    ----------
    path : str
        Where it is written.
    name : str
        Title of the image.
    dtype : str
        NumPy name of the pixel type, native byte order.
    levels : tuple of Level
        Level 0 first.
    codec : Codec
    pixel_size : (float, float, float)
        Physical size of a level-0 pixel along z, y, x, in `unit`.
    origin : (float, float, float)
        Physical place of the centre of level-0 pixel (0, 0, 0), z, y, x, in `unit`.
    unit : str or None
        UDUNITS name such as ``micrometer``; None where the project has no physical unit.
    timepoints : tuple of int
        Id of every entry along t.
    channels : tuple of Channel
        Every entry along c.
    fill : float
        Value of pixels that are not stored.
    ome_zarr_version : str
        ``"0.5"`` or ``"0.4"``; other formats ignore it.
    time : TimeStep or None
        From one entry along t to the next; None where nobody says it.
    split : (int, int) or None
        Entries along t and c in one file of an HDF5 that is split, 0 for all; None for one file.
    """

    path: str
    name: str
    dtype: str
    levels: tuple[Level, ...]
    codec: Codec
    pixel_size: Float3
    origin: Float3
    unit: str | None
    timepoints: tuple[int, ...]
    channels: tuple[Channel, ...]
    fill: float = 0.0
    ome_zarr_version: str = "0.5"
    time: TimeStep | None = None
    split: tuple[int, int] | None = field(default=None, repr=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """Pixels of level 0 along t, c, z, y, x."""
        return self.levels[0].shape

    @property
    def itemsize(self) -> int:
        """Bytes of one pixel."""
        return np.dtype(self.dtype).itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all levels, uncompressed."""
        return sum(math.prod(level.shape) for level in self.levels) * self.itemsize

    def level_scale(self, level: int) -> Float3:
        """Physical pixel size of a level, z, y, x."""
        z, y, x = (s * f for s, f in zip(self.pixel_size, self.levels[level].factors, strict=True))
        return (z, y, x)

    def level_origin(self, level: int) -> Float3:
        """Physical place of the centre of a level's first pixel, z, y, x (OME-Zarr's ``translation``)."""
        z, y, x = (
            o + s * 0.5 * (f - 1)
            for o, s, f in zip(self.origin, self.pixel_size, self.levels[level].factors, strict=True)
        )
        return (z, y, x)

    @property
    def partitions(self) -> tuple[Partition, ...]:
        """Files of an HDF5 that is split, beside its main file: ``fused-00-01.h5`` as BigDataViewer calls them."""
        if self.split is None:
            return ()
        stem, dot, suffix = self.path.rpartition(".")
        steps = [n or size for n, size in zip(self.split, self.shape[:2], strict=True)]
        times, channels = (
            [range(start, min(start + step, size)) for start in range(0, size, step)]
            for step, size in zip(steps, self.shape[:2], strict=True)
        )
        return tuple(
            Partition(f"{stem}-{i:02d}-{j:02d}{dot}{suffix}", t, c)
            for i, t in enumerate(times)
            for j, c in enumerate(channels)
        )


def image_of(facts: Mapping[str, Any]) -> ImageSpec:
    """An image of what `dataclasses.asdict` and JSON have made of it.

    Raises
    ------
    KeyError, TypeError, ValueError
        If it is something else.
    """
    tuples = {key: tuple(facts[key]) for key in ("pixel_size", "origin", "timepoints")}
    tupled = [{key: value and tuple(value) for key, value in level.items()} for level in facts["levels"]]
    levels: list[Any] = [Level(**level) for level in tupled]
    parts = {
        "levels": tuple(levels),
        "codec": Codec(**facts["codec"]),
        "channels": tuple(Channel(**channel) for channel in facts["channels"]),
        "time": None if facts["time"] is None else TimeStep(*facts["time"]),
        "split": None if facts["split"] is None else (int(facts["split"][0]), int(facts["split"][1])),
    }
    return ImageSpec(**{**facts, **tuples, **parts})
