"""The slices of a stack, from photographs or along an axis of a volume: [t, c, k, y, x], front first."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from fusestack.focus import blocks
from fusestack.model.clock import reading
from fusestack.model.errors import InputError
from fusestack.model.geometry import Box
from fusestack.model.stage import Along, Compute, StoredArray
from fusestack.planning.stored import sharded
from fusestack.sources.base import open_source

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fusestack.focus.cached import CachedStages
    from fusestack.focus.input import StackInput
    from fusestack.focus.prepared import PlacedSlices
    from fusestack.model.graph_array import GraphArray
    from fusestack.model.stage import Reach
    from fusestack.model.view import SourceRef
    from fusestack.sources.pictures import PicturePage

AXES = {"z": 0, "y": 1, "x": 2}
WHOLE_PIXELS = 2**26
"""Photographs of up to so many pixels are read in one piece."""


@dataclass(frozen=True)
class PictureSlices(Compute):
    """Slices that are pictures of their own; read whole, or rows of them."""

    pictures: tuple[PicturePage, ...]

    @property
    def paths(self) -> list[str]:
        """See `Compute.paths`."""
        return [picture.path for picture in self.pictures]

    def __call__(self, box: Box) -> NDArray[Any]:
        """Decode the slices of a box, which holds whole rows."""
        from fusestack.sources.pictures import read_picture

        out = np.empty(box.shape, self.pictures[0].dtype)
        for k in range(box.start[2], box.stop[2]):
            whole = box.shape[3] == self.pictures[k].shape[0]
            with reading():
                pixels = read_picture(self.pictures[k], None if whole else slice(box.start[3], box.stop[3]))
            if pixels.shape != (out.shape[1], *out.shape[3:]):
                raise InputError(f"{self.pictures[k].path}: was exchanged meanwhile; run again")
            out[0, :, k - box.start[2]] = pixels
        return out

    @property
    def rows(self) -> int:
        """Rows that are read together: all of them, unless those are very many and fewer can be read."""
        height, width = self.pictures[0].shape
        in_pieces = height * width > WHOLE_PIXELS and all(
            0 < picture.piece <= blocks.BLOCK for picture in self.pictures
        )
        return blocks.BLOCK if in_pieces else height

    def peak_bytes(self, block: tuple[int, ...]) -> int:
        """Memory of a block: rows as they are stored, decoded, in the order of the planes, and encoded."""
        rows = min(self.pictures[0].shape[0], block[3] + 2 * blocks.BLOCK)
        return 4 * block[1] * rows * block[4] * np.dtype(self.pictures[0].dtype).itemsize


@dataclass(frozen=True)
class RawPictures(Compute):
    """Slices that are pictures of their own, whose pixels are read where they lie in their files."""

    pictures: tuple[PicturePage, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """t, c, k, y, x."""
        first = self.pictures[0]
        return (1, len(first.colours), len(self.pictures), *first.shape)

    @property
    def dtype(self) -> str:
        """Of the pixels."""
        return self.pictures[0].dtype

    def __call__(self, box: Box) -> NDArray[Any]:
        """Read a region t, c, k, y, x."""
        from fusestack.sources.raw_pixels import read_raw

        rows, columns = box.slices[3:]
        with reading():
            found = [read_raw(self.pictures[k], rows, columns) for k in range(box.start[2], box.stop[2])]
        pixels = found[0][:, None] if len(found) == 1 else np.stack(found, axis=1)
        return pixels[None, box.slices[1]]

    def read(self, box: Box) -> NDArray[Any]:
        """Read a region."""
        return self(box)


@dataclass(frozen=True)
class VolumeSlices(Compute):
    """Slices along an axis of volumes.

    Parameters
    ----------
    volumes : tuple of tuple of SourceRef, or StoredArray
        By timepoint and channel; or what a stage writes.
    shape : tuple of int
        t, c, k, y, x of the slices.
    dtype : str
    axis : int
        Of z, y, x, along which the slices lie.
    reverse : bool
        The last one is in front.
    identities : tuple of str
        Of the files of the volumes.
    plane_chunk : (int, int)
        Rows and columns of what is decoded in one piece.
    """

    volumes: tuple[tuple[SourceRef, ...], ...] | StoredArray
    shape: tuple[int, ...]
    dtype: str
    axis: int
    reverse: bool = False
    identities: tuple[str, ...] = ()
    plane_chunk: tuple[int, int] = (1, 1)

    @property
    def paths(self) -> list[str]:
        """See `Compute.paths`."""
        volumes = self.volumes if isinstance(self.volumes, tuple) else ()
        return [path for channels in volumes for volume in channels for path in volume.paths]

    @property
    def _order(self) -> list[int]:
        """Axes of the slices k, y, x in the order of the volume: the plane keeps the order of its two axes."""
        order = [0, 1, 2]
        order.insert(self.axis, order.pop(0))
        return order

    def __call__(self, box: Box) -> NDArray[Any]:
        """Read a region t, c, k, y, x."""
        out = np.empty(box.shape, self.dtype)
        first, last = box.start[2], box.stop[2]
        count = self.shape[2]
        along = (count - last, count - first) if self.reverse else (first, last)
        ends = [along, (box.start[3], box.stop[3]), (box.start[4], box.stop[4])]
        region = [ends[i] for i in self._order]
        for t in range(box.start[0], box.stop[0]):
            for c in range(box.start[1], box.stop[1]):
                pixels = self._volume(t, c, Box(tuple(a for a, _ in region), tuple(b for _, b in region)))
                slices = np.moveaxis(pixels, self.axis, 0)
                out[t - box.start[0], c - box.start[1]] = slices[::-1] if self.reverse else slices
        return out

    def _volume(self, t: int, c: int, region: Box) -> NDArray[Any]:
        if isinstance(self.volumes, tuple):
            with reading():
                return open_source(self.volumes[t][c]).read(0, region)
        found: NDArray[Any] = self.volumes.read(Box((t, c, *region.start), (t + 1, c + 1, *region.stop)))[0, 0]
        return found

    def read(self, box: Box) -> NDArray[Any]:
        """Read a region, where slices need not be stored again."""
        return self(box)

    def reaches(self) -> dict[StoredArray, Reach]:
        """The same pixels of the volume."""
        return reaches_of(self, (Along(),) * 5)

    def through(self, reach: Reach) -> Reach:
        """What is read of the volume where `reach` is read of the slices."""
        kept = [axis if axis == i and not (self.reverse and i == 0) else None for i, axis in enumerate(self._order)]
        return (*reach[:2], *(None if axis is None else reach[2 + axis] for axis in kept))

    def peak_bytes(self, block: tuple[int, ...]) -> int:
        """Memory of a block: as it is read, decoded, as slices, and encoded."""
        return 4 * np.dtype(self.dtype).itemsize * math.prod(block[2:])


@dataclass(frozen=True)
class ArraySlices(Compute):
    """Slices [t, c, k, y, x] that an array of a dask graph holds."""

    array: GraphArray

    def __call__(self, box: Box) -> NDArray[Any]:
        """Read a region of them."""
        return self.array.read(box)

    def inputs(self, box: Box) -> dict[GraphArray, Box]:
        """The same region."""
        return {self.array: box}

    @property
    def rows(self) -> int:
        """Rows that are stored together."""
        return blocks.BLOCK

    def peak_bytes(self, block: tuple[int, ...]) -> int:
        """Memory of a block: chunks that hold it, itself, and encoded."""
        chunks = (n + 2 * chunk for n, chunk in zip(block, self.array.chunk_shape, strict=True))
        return int((math.prod(chunks) + 2.5 * math.prod(block)) * np.dtype(self.array.dtype).itemsize)


SliceArray: TypeAlias = "StoredArray | VolumeSlices | RawPictures | PlacedSlices"
"""Slices that a stage has stored, or files that are as good as that."""


def sides_of(array: SliceArray) -> tuple[int, ...]:
    """Pixels of a block of slices along y and x, the better ones first.

    Large chunks of a volume are decoded for each block that needs them: a block of 1,024, with what is around it, needs
    9 of that size for one; a block of 1,792 hardly more than 8 for three.
    """
    large = isinstance(array, VolumeSlices) and max(array.plane_chunk) > blocks.BLOCK // 2
    return (blocks.BLOCK * 7 // 4, blocks.BLOCK) if large else (blocks.BLOCK,)


def reaches_of(array: SliceArray, reach: Reach) -> dict[StoredArray, Reach]:
    """What is read of stored arrays where `reach` is read of slices."""
    if isinstance(array, StoredArray):
        return {array: reach}
    if isinstance(array, VolumeSlices) and isinstance(array.volumes, StoredArray):
        return {array.volumes: array.through(reach)}
    return {} if isinstance(array, (VolumeSlices, RawPictures)) else array.through(reach)


def stored_slices(cached: CachedStages, one: StackInput) -> SliceArray:
    """Slices of a stack for other stages: stored, unless files are read as quickly."""
    slices = one.slices
    if isinstance(slices, (PictureSlices, ArraySlices)):
        if isinstance(slices, PictureSlices) and one.direct:
            return RawPictures(slices.pictures)
        colours = one.shape[1]
        level = sharded(one.shape, (1, colours, 1, slices.rows, one.shape[4]), together=colours)
        return cached.add("slices", "slices", slices, level, dtype=one.dtype)
    if isinstance(slices, VolumeSlices):
        if one.direct:
            return slices
        level = blocks.in_blocks(one.shape, (1, 1, one.depth_chunk))
        return cached.add("slices", "slices", slices, level, dtype=one.dtype)
    from fusestack.focus.prepared import PlacedSlices, prepared_level

    if isinstance(slices, PlacedSlices) and one.direct:
        return slices
    return cached.add("slices", "slices, prepared", slices, prepared_level(one, slices), dtype=one.dtype)
