"""The mean image of a stack: how often each of its values is there, which operators of preparation look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fusestack.focus.prepared import shares
from fusestack.focus.slices import PictureSlices
from fusestack.focus.statistics import BandStatistic
from fusestack.model.geometry import Box
from fusestack.model.stage import Along
from fusestack.operators.preparations import BINS

if TYPE_CHECKING:
    from numpy.typing import NDArray

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
    bands : Bands
        Deep ones.
    """

    NUMBERS: ClassVar[int] = BINS

    placed: PlacedSlices
    bands: Bands

    @property
    def unites(self) -> str:
        """Counts are added up."""
        return "sum"

    def measure(self, box: Box) -> NDArray[np.int64]:
        """See `BandStatistic.measure`; slice by slice, a few rows at a time where files allow it."""
        counts = np.zeros(BINS, np.int64)
        whole = isinstance(self.placed.source, PictureSlices)
        step = box.shape[3] if whole else _ROWS
        for top in range(box.start[3], box.stop[3], step):
            bottom = min(box.stop[3], top + step)
            total = np.zeros((bottom - top, box.shape[4]))
            for k in range(box.start[2], box.stop[2]):
                part = Box((*box.start[:2], k, top, 0), (*box.stop[:2], k + 1, bottom, box.stop[4]))
                total += shares(self._channel(part))[0]
            places = np.rint(np.clip(total / box.shape[2], 0, 1) * (BINS - 1)).astype(np.int64)
            counts += np.bincount(places.ravel(), minlength=BINS)
        return counts

    def _channel(self, box: Box) -> Pixels:
        """One channel of a slice [1, y, x]; of pictures, all are decoded."""
        if not isinstance(self.placed.source, PictureSlices):
            return self.placed(box)[0, :, 0]
        every = Box((box.start[0], 0, *box.start[2:]), (box.stop[0], self.placed.shape[1], *box.stop[2:]))
        return self.placed(every)[0, box.slices[1], 0]

    def reaches(self) -> dict[StoredArray, Reach]:
        """All slices, whole planes of them."""
        return self.placed.through((Along(), Along(), None, None, None))

    def peak_bytes(self, block: tuple[int, ...]) -> int:
        """Memory of an entry: a slice, and sums."""
        rows = min(self.bands.rows, self.bands.shape[3])
        colours = self.placed.shape[1] if isinstance(self.placed.source, PictureSlices) else 1
        pixels = rows * self.bands.shape[4]
        return self.placed.peak_bytes((1, colours, 1, rows, self.bands.shape[4])) + 24 * pixels + 3 * 8 * BINS
