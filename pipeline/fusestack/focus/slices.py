"""The slices of a stack, from photographs or along an axis of a volume: [t, c, k, y, x], front first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from fusestack.model.errors import InputError
from fusestack.model.geometry import Box
from fusestack.model.stage import Compute
from fusestack.sources.base import open_source

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fusestack.model.stage import Target
    from fusestack.model.view import SourceRef
    from fusestack.sources.pictures import Picture

AXES = {"z": 0, "y": 1, "x": 2}
Volume: TypeAlias = "tuple[tuple[SourceRef, ...], ...]"


@dataclass(frozen=True)
class PictureSlices(Compute):
    """Slices that are pictures of their own; read whole, or rows of them."""

    pictures: tuple[Picture, ...]

    def __call__(self, box: Box) -> NDArray[Any]:
        """Decode the slices of a box, which holds whole rows."""
        from fusestack.sources.pictures import read_picture

        out = np.empty(box.shape, self.pictures[0].dtype)
        for k in range(box.start[2], box.stop[2]):
            whole = box.shape[3] == self.pictures[k].shape[0]
            pixels = read_picture(self.pictures[k], None if whole else slice(box.start[3], box.stop[3]))
            if pixels.shape != (out.shape[1], *out.shape[3:]):
                raise InputError(f"{self.pictures[k].path}: was exchanged meanwhile; run again")
            out[0, :, k - box.start[2]] = pixels
        return out


@dataclass(frozen=True)
class VolumeSlices(Compute):
    """Slices along an axis of volumes.

    Parameters
    ----------
    volumes : tuple of tuple of SourceRef, or Target
        By timepoint and channel; or the stored level of an image.
    dtype : str
    axis : int
        Of z, y, x, along which the slices lie.
    count : int
        Number of slices.
    reverse : bool
        The last one is in front.
    """

    volumes: Volume | Target
    dtype: str
    axis: int
    count: int
    reverse: bool = False

    def __call__(self, box: Box) -> NDArray[Any]:
        """Read a region t, c, k, y, x."""
        out = np.empty(box.shape, self.dtype)
        first, last = box.start[2], box.stop[2]
        along = (self.count - last, self.count - first) if self.reverse else (first, last)
        ends = [along, (box.start[3], box.stop[3]), (box.start[4], box.stop[4])]
        order = [0, 1, 2]
        # the plane keeps the order of its two axes
        order.insert(self.axis, order.pop(0))
        region = [ends[i] for i in order]
        for t in range(box.start[0], box.stop[0]):
            for c in range(box.start[1], box.stop[1]):
                pixels = self._volume(t, c, Box(tuple(a for a, _ in region), tuple(b for _, b in region)))
                slices = np.moveaxis(pixels, self.axis, 0)
                out[t - box.start[0], c - box.start[1]] = slices[::-1] if self.reverse else slices
        return out

    def _volume(self, t: int, c: int, region: Box) -> NDArray[Any]:
        if isinstance(self.volumes, tuple):
            return open_source(self.volumes[t][c]).read(0, region)
        box = Box((t, c, *region.start), (t + 1, c + 1, *region.stop))
        found: NDArray[Any] = self.volumes.open().read(self.volumes.level, box)[0, 0]
        return found

    def read(self, box: Box) -> NDArray[Any]:
        """Read a region, where slices need not be stored again."""
        return self(box)
