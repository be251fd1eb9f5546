"""Images of a whole stack: folded over its slices, composed, blended, or read from a file (reference 5.6, 8)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fusestack import kernels
from fusestack.focus.region import Region
from fusestack.model.stage import Compute

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fusestack.focus.stack import Stack
    from fusestack.model.geometry import Box
    from fusestack.sources.pictures import Picture

    Planes = NDArray[np.float32]


@dataclass(frozen=True)
class StackImage(Compute):
    """An image [t, c, 1, y, x] of a stack: ``Max``, ``Median``, ``Overlay``, ``Overlay2``, ``enfuse`` ...

    For each mask set, its painted channels are computed together.
    """

    stack: Stack
    name: str

    def __call__(self, box: Box) -> Planes:
        """Compute a region; a box holds all channels of the stack."""
        region = Region.of(box)
        out = np.zeros(box.shape, np.float32)
        for t in range(box.start[0], box.stop[0]):
            for m, channels in enumerate(self.stack.painted):
                found = self._image(t, m, region)
                for plane, channel in zip(found, channels, strict=True):
                    out[t - box.start[0], channel - box.start[1], 0] = plane
        return out

    def _image(self, t: int, m: int, region: Region) -> Planes:
        if self.name == "enfuse":
            return self._blend(t, m, region)
        fold = {"Max": _greatest, "Min": _least, "Median": _median}.get(self.name)
        if fold is not None:
            return fold(self.stack, t, m, region)
        if self.name in ("Mean", "Sum", "Add", "RootMeanSquare", "Multiply", "Subtract", "Abs"):
            return _folded(self.stack, t, m, region, self.name)
        low, high = _extremes(self.stack, t, m, region)
        if self.name.endswith("2"):
            return kernels.compose.compose(self.name[:-1], low, high)
        return kernels.compose.compose(self.name, high, low)

    def _blend(self, t: int, m: int, region: Region) -> Planes:
        levels = kernels.blend.levels_of(*self.stack.plane)
        outer = region.grown(kernels.blend.reach(levels), self.stack.plane, 2**levels)
        found = kernels.blend.blend(lambda k: self.stack.colours(t, m, k, outer), self.stack.slices, levels)
        rows, columns = region.within(outer)
        return found[:, rows, columns]

    def warm_up(self) -> None:
        """Compile the blending."""
        if self.name == "enfuse":
            kernels.blend.blend(lambda _: np.zeros((1, 8, 8), np.float32), 1, 1)


@dataclass(frozen=True)
class DepthMapImage(Compute):
    """A depth map from a file [1, colour, 1, y, x]: index of the slice where it has one colour, else its colours.

    Parameters
    ----------
    picture : Picture
    slices : int
        Of the stack; integers say the share of the way from the first slice to the last.
    """

    picture: Picture
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
        return planes[None, :, None]


def _extremes(stack: Stack, t: int, m: int, region: Region) -> tuple[Planes, Planes]:
    low = stack.colours(t, m, 0, region)
    high = low.copy()
    for k in range(1, stack.slices):
        planes = stack.colours(t, m, k, region)
        np.minimum(low, planes, out=low)
        np.maximum(high, planes, out=high)
    return low, high


def _greatest(stack: Stack, t: int, m: int, region: Region) -> Planes:
    return _extremes(stack, t, m, region)[1]


def _least(stack: Stack, t: int, m: int, region: Region) -> Planes:
    return _extremes(stack, t, m, region)[0]


def _folded(stack: Stack, t: int, m: int, region: Region, name: str) -> Planes:
    first = stack.colours(t, m, 0, region).astype(np.float64)
    total = first**2 if name == "RootMeanSquare" else first
    for k in range(1, stack.slices):
        planes = stack.colours(t, m, k, region).astype(np.float64)
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
        total /= stack.slices
    if name == "RootMeanSquare":
        total = np.sqrt(total)
    return np.clip(total, 0, 1).astype(np.float32)


def _median(stack: Stack, t: int, m: int, region: Region) -> Planes:
    """At each pixel the colour whose sum is the middle one (reference 5.6); row by row, since all slices are needed."""
    out = np.empty((len(stack.painted[m]), *region.shape), np.float32)
    rows = max(1, 2**22 // max(1, region.shape[1] * stack.slices * len(out)))
    for top in range(region.top, region.bottom, rows):
        part = Region(top, min(top + rows, region.bottom), region.left, region.right)
        planes = np.stack([stack.colours(t, m, k, part) for k in range(stack.slices)])
        order = np.argsort(planes.sum(axis=1, dtype=np.float64), axis=0, kind="stable")[stack.slices // 2]
        chosen = np.take_along_axis(planes, order[None, None], axis=0)[0]
        out[:, top - region.top : part.bottom - region.top] = chosen
    return out
