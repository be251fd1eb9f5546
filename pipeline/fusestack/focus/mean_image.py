"""The mean image of a stack: how often each of its values is there, which operators of preparation look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fusestack import kernels
from fusestack.focus.channels import numbers_of
from fusestack.focus.slices import PictureSlices
from fusestack.focus.statistics import BandStatistic
from fusestack.model.geometry import Box
from fusestack.model.stage import Along
from fusestack.operators.preparations import BINS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fusestack.focus.channels import Scale
    from fusestack.focus.prepared import PlacedSlices
    from fusestack.focus.statistics import Bands
    from fusestack.model.stage import Reach, StoredArray

    Pixels = NDArray[Any]

_ROWS = 64
"""That are added up at once, where files allow it."""


@dataclass(frozen=True)
class MeanCounts(BandStatistic):
    """Counts of the values of the mean of all slices, which operators of preparation look at.

    Parameters
    ----------
    placed : PlacedSlices
    scale : Scale
        What is black and white.
    colours : int
        Channels that are counted together; 0: each by itself.
    bands : Bands
        Deep ones; of one channel where colours are counted together.
    """

    NUMBERS: ClassVar[int] = BINS

    placed: PlacedSlices
    scale: Scale
    colours: int
    bands: Bands

    @property
    def unites(self) -> str:
        """Counts are added up."""
        return "sum"

    def measure(self, box: Box) -> NDArray[np.int64]:
        """See `BandStatistic.measure`; slice by slice, a few rows at a time where files allow it."""
        counts = np.zeros(BINS, np.int64)
        channels = (0, self.colours) if self.colours else (box.start[1], box.stop[1])
        read = (0, self.placed.shape[1]) if self._whole else channels
        ends = self.scale.black_white(box.start[0], channels[0])
        step = box.shape[3] if self._whole else _ROWS
        for top in range(box.start[3], box.stop[3], step):
            bottom = min(box.stop[3], top + step)
            total = np.zeros((channels[1] - channels[0], bottom - top, box.shape[4]), np.float32)
            for k in range(box.start[2], box.stop[2]):
                part = Box((box.start[0], read[0], k, top, 0), (box.stop[0], read[1], k + 1, bottom, box.stop[4]))
                found = self.placed(part)[0, channels[0] - read[0] : channels[1] - read[0], 0]
                total += numbers_of(kernels.pixels.Pixels.of(found, [ends] * len(found)))
            total /= box.shape[2]
            places = np.floor(np.clip(total, 0, 1) * (BINS - 1) + np.float32(0.5)).astype(np.int64)
            counts += np.bincount(places.ravel(), minlength=BINS)
        return counts

    @property
    def _whole(self) -> bool:
        """Whether pictures are decoded whole."""
        return isinstance(self.placed.source, PictureSlices)

    def reaches(self) -> dict[StoredArray, Reach]:
        """All slices, whole planes of them."""
        return self.placed.through((Along(), Along(), None, None, None))

    def peak_bytes(self, block: tuple[int, ...]) -> int:
        """Memory of an entry: a slice, as numbers, and sums."""
        rows, colours = min(self.bands.rows, self.bands.shape[3]), max(1, self.colours)
        pixels = rows * self.bands.shape[4]
        read = self.placed.shape[1] if self._whole else colours
        return self.placed.peak_bytes((1, read, 1, rows, self.bands.shape[4])) + 28 * colours * pixels + 3 * 8 * BINS
