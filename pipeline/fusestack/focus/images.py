"""Images of a whole stack: folded over its slices, composed, blended, or read from a file.

They are imfuse's images of a stack: ImageMagick's ``-evaluate-sequence`` and ``-compose``, and enfuse's blend.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from fusestack import kernels
from fusestack.focus.blocks import BYTES, BlockWise, in_blocks, in_planes
from fusestack.focus.region import Region
from fusestack.model.errors import InputError
from fusestack.model.fingerprint import identities
from fusestack.model.stage import Along, Compute

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fusestack.focus.cached import CachedStages
    from fusestack.focus.channels import MaskSets, SliceChannels
    from fusestack.model.geometry import Box
    from fusestack.model.stage import Reach, StoredArray
    from fusestack.operators.base import Place
    from fusestack.sources.pictures import PicturePage

    Planes = NDArray[np.float32]

_MEDIAN_BYTES = 2**26
"""For a few rows of all slices, their sums and their order."""


class SliceReader(Protocol):
    """Slices of a region, by number."""

    def __call__(self, k: int, rows: slice = ...) -> Planes:
        """All rows of the region, or some: float32[c, y, x]."""
        ...


@dataclass(frozen=True)
class Fold:
    """All slices of a region become one: the block function of images of the stack."""

    name: str
    levels: int
    """Of the pyramid of a blend; the region begins at a multiple of ``2 ** levels``."""

    @property
    def depth(self) -> int:
        """Reach of the pyramid."""
        return kernels.blend.reach(self.levels) if self.name == "enfuse" else 0

    def __call__(self, read: SliceReader, count: int, size: tuple[int, int, int], place: Place) -> Planes:
        """Fold `count` slices of `size` c, y, x: float32[c, y, x]."""
        match self.name:
            case "enfuse":
                return kernels.blend.blend(read, count, self.levels)
            case "Median":
                return _median(read, count, size)
            case "Mean" | "Sum" | "Add" | "RootMeanSquare" | "Multiply" | "Subtract" | "Abs":
                return _folded(read, count, self.name)
        low, high = _extremes(read, count)
        match self.name:
            case "Max":
                return high
            case "Min":
                return low
        if self.name.endswith("2"):
            return kernels.compose.compose(self.name[:-1], low, high)
        return kernels.compose.compose(self.name, high, low)


@dataclass(frozen=True)
class StackImage(BlockWise):
    """An image [t, m, colour, y, x] of a stack: ``Max``, ``Median``, ``Overlay``, ``Overlay2``, ``enfuse`` ..."""

    function: Fold
    painted: SliceChannels

    def around(self, region: Region) -> Region:
        """From a pixel that all levels of the pyramid have."""
        return region.grown(self.function.depth, self.plane, 2**self.function.levels)

    def read(self, t: int, m: int, k: int, region: Region) -> tuple[SliceReader, int, tuple[int, int, int]]:
        """Slices one by one."""

        def read(k: int, rows: slice = slice(0, region.bottom - region.top)) -> Planes:
            part = Region(region.top + rows.start, region.top + rows.stop, region.left, region.right)
            return self.painted.read(t, m, k, part)

        return read, self.painted.slices, (len(self.painted.sets[m]), *region.shape)

    def reaches(self) -> dict[StoredArray, Reach]:
        """All slices, with the reach of a blend."""
        depth = self.function.depth
        along = Along(1, depth + 2**self.function.levels, depth)
        return self.painted.reaches(None, along, along)

    def peak_bytes(self, block: tuple[int, ...]) -> int:
        """Memory of a block: a few planes of each colour, and their pyramids."""
        count = len(self.painted.sets[0])
        return BYTES * self.outer_pixels(block) * count * 10 + (_MEDIAN_BYTES if self.function.name == "Median" else 0)

    def warm_up(self) -> None:
        """Compile the blending."""
        if self.function.name == "enfuse":
            kernels.blend.blend(lambda _: np.zeros((1, 8, 8), np.float32), 1, 1)


def image_stage(cached: CachedStages, sets: MaskSets, name: str) -> StoredArray:
    """An image of the stack: a stage that others share."""
    height, width = sets.painted.plane
    levels = kernels.blend.levels_of(height, width) if name == "enfuse" else 0
    level = in_blocks((sets.times, sets.count, sets.colours, height, width), (1, 1, sets.colours))
    return cached.add(
        f"image/{name}", f"image of the stack: {name}", StackImage(sets.size, Fold(name, levels), sets.painted), level
    )


@dataclass(frozen=True)
class DepthMapImage(Compute):
    """A depth map from a file [1, 1, colour, y, x]: index of the slice where it has one colour, else its colours.

    Parameters
    ----------
    picture : PicturePage
    slices : int
        Of the stack; integers say the share of the way from the first slice to the last.
    """

    picture: PicturePage
    slices: int

    def __call__(self, box: Box) -> Planes:
        """Read all of it."""
        from fusestack.sources.pictures import read_picture

        pixels = read_picture(self.picture)
        planes = pixels.astype(np.float32)
        if pixels.dtype.kind != "f":
            planes /= np.float32(np.iinfo(pixels.dtype).max)
            if len(planes) < 3:
                planes[0] *= np.float32(self.slices - 1)
        if len(planes) == 2:  # transparent where the depth is not known
            planes = np.where(planes[1:] > 0, planes[:1], np.float32(np.nan))
        return planes[None, None]

    def peak_bytes(self, block: tuple[int, ...]) -> int:
        """Memory of the map: as it is stored, and as numbers."""
        return 10 * int(np.prod(block))


def depth_map_stage(cached: CachedStages, sets: MaskSets, path: str) -> StoredArray:
    """A depth map from a file, which has the size of the slices.

    Raises
    ------
    InputError
        If it has another size.
    """
    from fusestack.sources.pictures import describe_picture

    picture = describe_picture(path)[0]
    if picture.shape != sets.painted.plane:
        raise InputError(
            f"{path}: has {picture.shape} pixels (y, x), the slices have {sets.painted.plane}; "
            "a depth map must have the size of the slices"
        )
    picture = replace(picture, identity=identities([path])[path])
    shape = (1, 1, {"L": 1, "LA": 1}.get(picture.colours, len(picture.colours)), *picture.shape)
    return cached.add(
        "image/depthmap", f"depth map {path}", DepthMapImage(picture, sets.painted.slices), in_planes(shape, shape[:3])
    )


def _extremes(read: SliceReader, count: int) -> tuple[Planes, Planes]:
    low = read(0).copy()
    high = low.copy()
    for k in range(1, count):
        planes = read(k)
        np.minimum(low, planes, out=low)
        np.maximum(high, planes, out=high)
    return low, high


def _folded(read: SliceReader, count: int, name: str) -> Planes:
    first = read(0).astype(np.float64)
    total = first**2 if name == "RootMeanSquare" else first
    for k in range(1, count):
        planes = read(k).astype(np.float64)
        match name:
            case "RootMeanSquare":
                total += planes**2
            case "Multiply":
                total *= planes
            case "Subtract":
                total -= planes
            case _:
                total += np.abs(planes)
    if name in ("Mean", "RootMeanSquare"):
        total /= count
    if name == "RootMeanSquare":
        total = np.sqrt(total)
    return np.clip(total, 0, 1).astype(np.float32)


def _median(read: SliceReader, count: int, size: tuple[int, int, int]) -> Planes:
    """At each pixel the colour whose sum is the middle one; a few rows at a time, since all slices are needed."""
    colours, height, width = size
    out = np.empty(size, np.float32)
    rows = max(1, _MEDIAN_BYTES // (4 * BYTES * colours * width * count))
    for top in range(0, height, rows):
        part = slice(top, min(top + rows, height))
        planes = np.stack([read(k, part) for k in range(count)])
        order = np.argsort(planes.sum(axis=1, dtype=np.float64), axis=0, kind="stable")[count // 2]
        out[:, part] = np.take_along_axis(planes, order[None, None], axis=0)[0]
    return out
