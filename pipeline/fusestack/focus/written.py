"""What is written of pictures: their colours, masks and depths in the numbers of a file."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack import kernels
from fusestack.focus import blocks
from fusestack.focus.channels import Scale
from fusestack.focus.computed import ComputedPicture
from fusestack.focus.region import Region
from fusestack.model.fingerprint import facts_of
from fusestack.model.stage import Along, Compute

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from numpy.typing import NDArray

    from fusestack.focus.computed import PictureArray
    from fusestack.model.geometry import Box
    from fusestack.model.stage import Reach, StoredArray

    Plane = NDArray[np.float32]


@dataclass(frozen=True)
class Shown:
    """One channel of what is written, of the planes of a picture: a block function that looks at single pixels.

    Parameters
    ----------
    what : str
        ``image``, ``mask``, ``depth`` (slice index), ``share`` (of the way from the first to the last slice),
        ``height`` (physical) or ``rainbow``.
    slices : int
        Of the stack.
    first, step : float
        Physical place of the first slice, and from one to the next.
    over_black : bool
        Whether what is transparent is black, for files without opacity.
    """

    what: str
    slices: int
    first: float = 0.0
    step: float = 1.0
    over_black: bool = False

    depth = 0

    def __call__(self, read: Callable[[int], Plane], colours: int, plane: int) -> Plane:
        """Numbers 0 (black) to 1 (white), or depths, NaN where unknown: float32[y, x].

        Parameters
        ----------
        read : callable
            A plane of the picture by its number.
        colours : int
            Of the picture.
        plane : int
            Colour, or -1 for the opacity.
        """
        match self.what:
            case "image" if plane >= 0:
                return read(plane) * np.clip(read(colours), 0, 1) if self.over_black else read(plane)
            case "image":
                return read(colours)
            case "mask":
                return read(colours + 1)
        depth, known = read(colours + 2), read(colours + 3)
        match self.what:
            case "share" | "rainbow" if plane < 0:
                colour = known
            case "share":
                return np.where(known > 0, depth / np.float32(max(1, self.slices - 1)), 0).astype(np.float32)
            case "rainbow":
                colour = kernels.colour.rainbow((self.slices - 1 - depth) / self.slices)[plane]
            case _:
                height = self.what == "height"
                found = np.float32(self.first) + np.float32(self.step) * depth if height else depth
                return np.where(known > 0, found, np.float32(np.nan))
        return colour * known if self.over_black else colour


@dataclass(frozen=True)
class WrittenImage(Compute):
    """What is written [t, c, z, y, x] of pictures.

    Parameters
    ----------
    pictures : tuple of StoredArray or ComputedPicture
        One, or one for each page along z.
    function : Shown
    dtype : str
    channels : tuple of (int, int)
        For each channel the mask set and the plane of the picture, -1 for the opacity.
    painted : tuple of (int, ...)
        For each mask set the channels of the slices that are its planes.
    scale : Scale or None
        What black and white of the slices are written as; None where the type written is filled from end to end.
    pages : int
        Over how many pages (along z) the channels are spread.
    """

    pictures: tuple[PictureArray, ...]
    function: Shown
    dtype: str
    channels: tuple[tuple[int, int], ...]
    painted: tuple[tuple[int, ...], ...]
    scale: Scale | None
    pages: int = 1

    def __call__(self, box: Box) -> NDArray[Any]:
        """Compute a region, some rows at a time: blocks of an output may be larger than those of the cache."""
        out = np.empty(box.shape, self.dtype)
        region = Region.of(box)
        for t, c, z in itertools.product(*(range(a, b) for a, b in zip(box.start[:3], box.stop[:3], strict=True))):
            plane = out[t - box.start[0], c - box.start[1], z - box.start[2]]
            for top in range(region.top, region.bottom, blocks.BLOCK):
                part = Region(top, min(top + blocks.BLOCK, region.bottom), region.left, region.right)
                plane[part.within(region)] = self._plane(t, c, z, part)
        return out

    def _plane(self, t: int, c: int, z: int, region: Region) -> NDArray[Any]:
        m, plane = self.channels[z * (len(self.channels) // self.pages) + c if self.pages > 1 else c]
        picture = self.pictures[0 if self.pages > 1 else z]
        colours = len(self.painted[m])

        def read(number: int) -> Plane:
            return np.asarray(blocks.read_planes(picture, t, m, (number, number + 1), region)[0])

        found = self.function(read, colours, plane)
        if self.function.what in ("depth", "height"):
            return found.astype(self.dtype)
        scale, channel = Scale(self.dtype), 0
        if self.scale is not None and plane >= 0:
            scale, channel = self.scale, self.painted[m][plane]
        return _in_type(found, scale.black_white(t, channel), np.dtype(self.dtype))

    @property
    def shares(self) -> Hashable:
        """Pictures that all outputs find where one was made of them."""
        computed = [one.array.key for one in self.pictures if isinstance(one, ComputedPicture)]
        return tuple(computed) if computed else None

    def facts(self) -> dict[str, Any]:
        """What the pixels depend on: not whether pictures are stored."""
        stored = tuple(one.array if isinstance(one, ComputedPicture) else one for one in self.pictures)
        known = {field.name: getattr(self, field.name) for field in fields(self)} | {"pictures": stored}
        return {name: facts_of(value) for name, value in known.items()}

    def reaches(self) -> dict[StoredArray, Reach]:
        """The same pixels, or what these are computed of."""
        found: dict[StoredArray, Reach] = {}
        for one in self.pictures:
            if isinstance(one, ComputedPicture):
                found |= one.reaches()
            else:
                found[one] = (Along(), None, None, Along(), Along())
        return found

    def peak_bytes(self, block: tuple[int, ...]) -> int:
        """Memory of a block: what is written, also encoded, and for some rows planes of a picture and numbers."""
        written = 2.5 * np.dtype(self.dtype).itemsize * math.prod(block)
        made = max((one.peak_bytes() for one in self.pictures if isinstance(one, ComputedPicture)), default=0)
        return int(written) + made + 8 * blocks.BYTES * min(blocks.BLOCK, block[3]) * block[4]

    def warm_up(self) -> None:
        """Compile what computes pictures."""
        for one in self.pictures:
            if isinstance(one, ComputedPicture):
                one.compute.warm_up()


def _in_type(values: Plane, ends: tuple[float, float], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Numbers 0..1 between black and white."""
    black, white = ends
    found = values.astype(np.float32) * np.float32(white - black) + np.float32(black)
    if dtype.kind == "f":
        return found.astype(dtype)
    limits = np.iinfo(dtype)
    return np.asarray(np.clip(np.floor(found + np.float32(0.5)), limits.min, limits.max).astype(dtype))
