"""Blocks of planes: what is read of a region and of what surrounds it, and a pure function of that.

A block function takes arrays of a region and its `Place`, and gives planes of the same region; it knows no storage and
no stage. Its `depth` says how many pixels around a pixel decide about it (None: the whole plane). The edge of its
arrays is the edge of the image for it, as ``boundary="none"`` of `dask.array.map_overlap`.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from fusestack.focus.region import Region
from fusestack.model.stage import Along, Compute
from fusestack.operators.base import Place
from fusestack.planning.stored import sharded

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fusestack.focus.computed import PictureArray
    from fusestack.model.geometry import Box
    from fusestack.model.image import Level

    Planes = NDArray[np.float32]

BLOCK = 1024
"""Pixels of a block along y and x: a multiple of the tiles of low passes."""
SMALL_PIXELS = 3 * 2**20
"""Planes of up to so many pixels may be a block each: rows are read in one piece, and nothing is computed twice."""
BYTES = 4
"""Of a number in a plane."""


def in_blocks(shape: tuple[int, ...], lead: tuple[int, int, int], side: int | None = None) -> Level:
    """Cut an array [t, m, k, y, x] into blocks of so many timepoints, mask sets and slices or planes, and pixels."""
    side = side or BLOCK
    return sharded(shape, (*lead, side, side), side)


def in_planes(shape: tuple[int, ...], lead: tuple[int, int, int]) -> Level:
    """As `in_blocks`, with whole planes."""
    return sharded(shape, (*lead, *shape[3:]))


class BlockFunction(Protocol):
    """A pure function of arrays, with its options as fields."""

    @property
    def depth(self) -> int | None:
        """Pixels around a pixel that decide about it; None is the whole plane."""
        ...

    def __call__(self, *arrays: Any, **_: Any) -> Planes:
        """Planes of the region of some arrays and a `Place`."""
        ...


@dataclass(frozen=True)
class BlockWise(Compute):
    """Planes [t, m, k, y, x] of a block function, slice by slice, or all planes of a picture together.

    Parameters
    ----------
    size : (int, int, int)
        Slices of the stack, rows and columns of the planes.
    function : BlockFunction
        Called with what `read` gives, and a `Place`.
    """

    BY_SLICE: ClassVar[bool] = False
    """Whether each plane is made by itself."""

    size: tuple[int, int, int]
    function: BlockFunction

    def read(self, t: int, m: int, k: int, region: Region) -> tuple[Any, ...]:
        """Read what the function needs of a region; an iterator where slices are used one after the other."""
        raise NotImplementedError

    @property
    def plane(self) -> tuple[int, int]:
        """Rows and columns of the whole plane."""
        return self.size[1:]

    @property
    def step(self) -> int:
        """What the function gets begins at multiples of this: a pixel of its coarsest level."""
        return 1

    @property
    def halo(self) -> Along | None:
        """What is read along y or x; None is all of it."""
        depth = self.function.depth
        return None if depth is None else Along(1, depth + self.step - 1, depth)

    def around(self, region: Region) -> Region:
        """The region with what the function needs around it, as far as there is an image."""
        return region.grown(self.function.depth, self.plane, self.step)

    def __call__(self, box: Box) -> Planes:
        """Compute a region t, m, k, y, x; a box of a picture holds all its planes. A whole plane is not copied."""
        region = Region.of(box)
        outer = self.around(region)
        rows, columns = region.within(outer)
        axes = 3 if self.BY_SLICE else 2
        places = list(itertools.product(*(range(a, b) for a, b in zip(box.start[:axes], box.stop[:axes], strict=True))))
        found = (self._made(at, outer)[..., rows, columns] for at in places)
        if len(places) == 1:
            return np.ascontiguousarray(next(found)).reshape(box.shape)
        out = np.empty(box.shape, np.float32)
        for at, made in zip(places, found, strict=True):
            out[tuple(i - first for i, first in zip(at, box.start, strict=False))] = made
        return out

    def _made(self, at: tuple[int, ...], outer: Region) -> Planes:
        t, m, k = at if self.BY_SLICE else (*at, 0)
        made = self.function(*self.read(t, m, k, outer), Place(outer.origin, self.plane, k, self.size[0]))
        return made.astype(np.float32, copy=False)

    def outer_pixels(self, block: tuple[int, ...]) -> int:
        """Pixels of a plane of a block with what is around it, at most."""
        halo = self.halo
        more = None if halo is None else halo.low + halo.high
        sides = [n if more is None else min(b + more, n) for b, n in zip(block[3:], self.plane, strict=True)]
        return math.prod(sides)


def read_planes(array: PictureArray, t: int, m: int, k: tuple[int, int], region: Region) -> Planes:
    """Slices or planes ``k[0] <= i < k[1]`` of a stored array [t, m, k, y, x]: float32[k, y, x]."""
    found: Planes = array.read(region.box(t, (m, m + 1), k))[0, 0]
    return found


def along(depth: int | None) -> Along | None:
    """What is read along y or x by a function of that depth."""
    return None if depth is None else Along(1, depth, depth)
