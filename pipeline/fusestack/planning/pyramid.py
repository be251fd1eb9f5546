"""The pyramid: which levels an image gets, and the pixels of one level from the stored level below it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack import kernels
from fusestack.model.geometry import Box
from fusestack.model.stage import Along, Reduction

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fusestack.model.geometry import Int3
    from fusestack.model.stage import Reach, StoredArray

_SMALL_ENOUGH = 256


def propose_factors(shape: Int3, anisotropy: float = 1.0) -> tuple[Int3, ...]:
    """Factors of the levels that BigStitcher would make (BigDataViewer's ``ProposeMipmaps``), without empty axes.

    Parameters
    ----------
    shape : (int, int, int)
        Pixels of level 0, z, y, x.
    anisotropy : float
        Size of a pixel along z, in pixels along x and y.

    Returns
    -------
    tuple of (int, int, int)
        z, y, x; the first is (1, 1, 1). An axis of one pixel is never divided.
    """
    voxel = np.array([anisotropy, 1.0, 1.0])
    voxel /= voxel.min()
    size, factors = np.array(shape), np.ones(3, dtype=int)
    levels: list[Int3] = []
    while True:
        z, y, x = (1 if n == 1 else int(f) for n, f in zip(shape, factors, strict=True))
        levels.append((z, y, x))
        current = np.maximum(1, size // factors)
        if current.max() <= _SMALL_ENOUGH:
            return tuple(levels)
        halve = (voxel <= 2.0) & (current > 1)
        if halve.any():
            factors[halve] *= 2
            voxel[halve] *= 2
        else:
            factors *= 2
        voxel /= voxel.min()


def level_shape(below: Int3, relative: Int3) -> Int3:
    """Pixels of a level: whole blocks of the level below it, at least one (BigStitcher's ``N5ApiTools``)."""
    z, y, x = (max(1, n // f) for n, f in zip(below, relative, strict=True))
    return (z, y, x)


def _int3(values: tuple[int, ...]) -> Int3:
    z, y, x = values
    return (z, y, x)


def source_box(box: Box, factors: Int3, shape: tuple[int, ...]) -> Box:
    """Pixels of a level of some shape that a region of the level above is made of, t, c, z, y, x."""
    along = (1, 1, *factors)
    start = tuple(a * f for a, f in zip(box.start, along, strict=True))
    return Box(start, tuple(min(b * f, n) for b, f, n in zip(box.stop, along, shape, strict=True)))


def block_means(pixels: NDArray[Any], factors: Int3, shape: tuple[int, ...]) -> NDArray[Any]:
    """Rounded means of blocks of pixels [t, c, z, y, x], for a region of some shape of the level above."""
    out = np.empty(shape, dtype=pixels.dtype)
    for place in np.ndindex(shape[:2]):
        out[place] = kernels.downsample.block_mean(pixels[place], factors, _int3(shape[2:]))
    return out


def _is_blank(pixels: NDArray[Any], fill: float) -> bool:
    return bool(np.isnan(pixels).all() if np.isnan(fill) else (pixels == fill).all())


@dataclass(frozen=True)
class BlockMean(Reduction):
    """Pixels of a level: rounded means of blocks of the stored level below it (imglib2's ``Downsample``).

    Parameters
    ----------
    below : StoredArray
        The level that is read.
    factors : (int, int, int)
        Pixels of that level in one pixel of this one, z, y, x.
    slab : int
        Planes that are computed at a time, which bounds the memory.
    """

    VERSION = 1

    below: StoredArray
    factors: Int3
    slab: int

    def __call__(self, box: Box) -> NDArray[Any] | None:
        """Compute a region t, c, z, y, x; None where the level below holds nothing but the fill value."""
        image = self.below.target.image
        out: NDArray[Any] | None = None
        for start in range(box.start[2], box.stop[2], self.slab):
            stop = min(start + self.slab, box.stop[2])
            slab = Box((*box.start[:2], start, *box.start[3:]), (*box.stop[:2], stop, *box.stop[3:]))
            found = self.part(self.below.read(self._source(slab)), slab.shape)
            if found is not None:
                out = np.full(box.shape, image.fill, image.dtype) if out is None else out
                out[:, :, start - box.start[2] : stop - box.start[2]] = found
        return out

    def part(self, pixels: NDArray[Any] | None, shape: tuple[int, ...]) -> NDArray[Any] | None:
        """See `Reduction.part`."""
        fill = self.below.target.image.fill
        if self._keeps_fill and (pixels is None or _is_blank(pixels, fill)):
            return None
        if pixels is None:
            whole = tuple(n * f for n, f in zip(shape, (1, 1, *self.factors), strict=True))
            pixels = np.full(whole, fill, self.below.dtype)
        return block_means(pixels, self.factors, shape)

    @cached_property
    def _keeps_fill(self) -> bool:
        """Whether the mean of blank pixels is blank to the last bit; thirds of a float32 may not be."""
        blank = np.full(self.factors, self.below.target.image.fill, self.below.dtype)
        return _is_blank(kernels.downsample.block_mean(blank, self.factors, (1, 1, 1)), self.below.target.image.fill)

    def _source(self, box: Box) -> Box:
        return source_box(box, self.factors, self.below.shape)

    def reaches(self) -> dict[StoredArray, Reach]:
        """Whole blocks of pixels of the level below."""
        z, y, x = self.factors
        return {self.below: (Along(), Along(), Along(z), Along(y), Along(x))}

    def warm_up(self) -> None:
        """Compile the kernel for the pixel type of the image."""
        kernels.downsample.warm_up(self.below.dtype)

    def peak_bytes(self, block: tuple[int, ...]) -> int:
        """Memory that a block needs: output and its encoded copy, one slab of it and of the level below, decoded."""
        itemsize = self.below.target.image.itemsize
        pixels = int(np.prod(block[2:]))
        planes = min(self.slab, block[2])
        part = pixels // max(1, block[2]) * planes
        return int((2.5 * pixels + part + 2 * part * int(np.prod(self.factors))) * itemsize)
