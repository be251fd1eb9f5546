"""How bright and how noisy each slice of a stack is: what must be known before slices are mixed."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fusestack.focus.blocks import BYTES
from fusestack.focus.region import Region
from fusestack.focus.statistics import Bands, BandStatistic, StoredStatistic
from fusestack.model.fingerprint import arrays_of
from fusestack.model.stage import Along

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fusestack.model.geometry import Box
    from fusestack.model.stage import Reach, StoredArray
    from fusestack.planning.plan import Statistic

    Plane = NDArray[np.float32]
    Planes = NDArray[np.float32]
    Counts = NDArray[np.int64]

CELL = 4
"""Pixels of reduced slices along an axis, 16 of slices, whose mean hardly depends on the focus."""
_RATIO_BITS, _NOISE_BITS = 7, 3
"""Bins of an octave, as digits of the fraction of a float32: their edges are exact."""
_RATIOS, _NOISES = (-4, 4), (-16, 0)
"""Octaves that are counted."""
_DARK = 1e-3
"""Added to means before they are divided, so that black is as bright as black."""
_FAULT = 3.0
"""How many times as much as others slices may differ before they are faulty, and do not count."""
_ALIKE = 0.01
"""Natural logarithm of a brightness: what differs by less is no fault."""
_LEFT_OUT = 1.6
"""The same: what differs by more (a fifth, five times) from the middle of the stack shows nothing."""
_NOTHING = 3
"""Octaves by which the greatest detail of a slice that shows nothing is less than that of others."""
_DRIFT = 4.0
"""How many times as much as slices are scattered a drift of the light over the stack must be."""
_MEDIAN_OF_NORMAL = 0.6745
_MEAN_OF_NORMAL = 0.7979
"""Mean size of what is normally distributed with deviation 1."""


def _bins(octaves: tuple[int, int], bits: int) -> int:
    return (octaves[1] - octaves[0]) << bits


def _counts(values: Plane, octaves: tuple[int, int], bits: int) -> Counts:
    """Counts of numbers by octave and digits; what lies outside counts as an end."""
    first = (127 + octaves[0]) << bits
    found = (np.ascontiguousarray(values, np.float32).view(np.int32) >> (23 - bits)) - first
    count = _bins(octaves, bits)
    return np.bincount(np.clip(found, 0, count - 1).ravel(), minlength=count)


def _quantile(counts: NDArray[Any], octaves: tuple[int, int], bits: int, share: float) -> float:
    """The number below which such a share of what was counted lies; linear within a bin."""
    sums = np.cumsum(counts, dtype=np.float64)
    wanted = share * sums[-1]
    place = int(np.searchsorted(sums, wanted, side="left"))
    within = (wanted - (sums[place] - counts[place])) / max(1.0, float(counts[place]))
    octave, digits = divmod(place, 1 << bits)
    return float(2.0 ** (octaves[0] + octave) * (1 + (digits + within) / (1 << bits)))


def _cell_means(plane: Plane) -> Plane:
    """Means of cells; the last ones may be smaller. Sums in the order of rows, then of columns."""
    sums = plane
    for _ in range(2):
        sums = np.add.reduceat(sums, np.arange(0, sums.shape[0], CELL), axis=0).T
    rows, columns = (np.diff([*range(0, n, CELL), n]) for n in plane.shape)
    return np.asarray(sums / np.outer(rows, columns), np.float32)


@dataclass(frozen=True)
class SliceCounts(BandStatistic):
    """For each slice, counts of how bright its cells are beside the median of all slices, and of its noise.

    Parameters
    ----------
    reduced : StoredArray
        See `fusestack.focus.coarse.ReducedSlices`.
    planes : (int, int)
        Colours of a mask set, and all its planes; the last one is the noise.
    bands : Bands
        Deep ones, by mask set, of the reduced slices.
    """

    RATIO_BINS: ClassVar[int] = _bins(_RATIOS, _RATIO_BITS)
    BINS: ClassVar[int] = RATIO_BINS + _bins(_NOISES, _NOISE_BITS)

    reduced: StoredArray
    planes: tuple[int, int]
    bands: Bands

    @property
    def NUMBERS(self) -> int:  # type: ignore[override]
        """Those of all slices."""
        return self.bands.shape[2] * self.BINS

    @property
    def unites(self) -> str:
        """Counts are added up."""
        return "sum"

    @property
    def halo(self) -> int:
        """Cells belong to where they begin."""
        return CELL

    def measure(self, box: Box) -> Counts:
        """See `BandStatistic.measure`."""
        plane, slices = self.bands.shape[3:], range(box.start[2], box.stop[2])
        ends = ((box.start[3], box.stop[3], plane[0]), (box.start[4], box.stop[4], plane[1]))
        rows, columns = ((-(-a // CELL) * CELL, min(n, -(-b // CELL) * CELL)) for a, b, n in ends)
        out = np.zeros((len(slices), self.BINS), np.int64)
        if rows[0] >= rows[1] or columns[0] >= columns[1]:
            return out.ravel()
        region = Region(*rows, *columns)
        means = []
        (t, m), (colours, count) = box.start[:2], self.planes
        for place, k in enumerate(slices):
            planes = self.reduced.read(region.box(t, (m * count, (m + 1) * count), (k, k + 1)))[0, :, 0]
            out[place, self.RATIO_BINS :] = _counts(planes[-1][planes[-1] >= 0], _NOISES, _NOISE_BITS)
            means.append(_cell_means(planes[:colours].mean(axis=0)) + np.float32(_DARK))
        middle = np.median(means, axis=0)
        for place, mean in enumerate(means):
            out[place, : self.RATIO_BINS] = _counts(np.maximum(mean, _DARK) / middle, _RATIOS, _RATIO_BITS)
        return out.ravel()

    def reaches(self) -> dict[StoredArray, Reach]:
        """The rows of the bands, and those of cells that begin there."""
        return {self.reduced: (Along(), Along(self.planes[1]), *self.bands.reach(self.halo)[2:])}

    def peak_bytes(self, block: tuple[int, ...]) -> int:
        """Memory of an entry, which is read slice by slice; the counts."""
        pixels = self.bands.plane_pixels(self.halo)
        cells = pixels // CELL**2 + sum(self.bands.shape[3:]) + 1
        return BYTES * (pixels * (4 * self.planes[1] + 2) + 6 * self.bands.shape[2] * cells) + 3 * 8 * self.NUMBERS


@dataclass(frozen=True)
class Exposures:
    """What is known of the slices of a stack.

    Parameters
    ----------
    gains : tuple of float
        By which each slice is brighter than the others; its pixels are divided by it.
    kept : tuple of int
        Slices that show something, in order.
    noise : float
        Deviation of a pixel.
    again : tuple of int
        Slices that are the one before once more.
    """

    gains: tuple[float, ...]
    kept: tuple[int, ...]
    noise: float
    again: tuple[int, ...] = ()

    @staticmethod
    def of(counts: NDArray[Any], *, gains: bool) -> Exposures:
        """Understand what `SliceCounts` found.

        A drift of the light (a lamp that warms up, light that is absorbed on its way: a line in logarithms) belongs to
        the scene and stays; what single slices have beside it does not.

        Parameters
        ----------
        counts : float64[n]
        gains : bool
            Whether differences of brightness are undone, and slices left out that show nothing or nothing new: in
            photographs. The planes of a volume are what they are.
        """
        tables = counts.reshape(-1, SliceCounts.BINS)
        ratios, noises = tables[:, : SliceCounts.RATIO_BINS], tables[:, SliceCounts.RATIO_BINS :]
        level = np.log([_quantile(one, _RATIOS, _RATIO_BITS, 0.5) for one in ratios])
        again = np.append(False, (tables[1:] == tables[:-1]).all(axis=1)) & gains
        kept = (np.abs(level) < _LEFT_OUT) & _shows(noises) & ~again if gains else np.ones(len(level), bool)
        if not kept.any():
            kept[:] = True
        deviations = [_quantile(one, _NOISES, _NOISE_BITS, 0.5) for one, used in zip(noises, kept, strict=True) if used]
        found = np.exp(level - _drift(level, kept)) if gains else np.ones(len(level))
        found[~kept] = 1
        noise = float(np.median(deviations)) / _MEAN_OF_NORMAL
        left = (tuple(map(int, np.flatnonzero(which))) for which in (kept, again))
        return Exposures(tuple(map(float, found)), next(left), noise, next(left))

    def follow_one_another(self, slices: Sequence[int]) -> NDArray[np.bool_]:
        """Whether slices lie between neighbours, so that no other one was left out there."""
        places = np.array(slices) - np.searchsorted(self.again, slices, side="right")
        found = np.zeros(len(slices), bool)
        found[1:-1] = places[2:] - places[:-2] == 2
        return found

    def mixed(self, slices: tuple[int, int]) -> Sequence[int]:
        """Slices ``first <= k < last`` that show something; all of them where none does."""
        first, last = slices
        return [k for k in self.kept if first <= k < last] or range(first, last)


def exposures_of(counts: Statistic, t: int, m: int, *, gains: bool) -> Exposures:
    """Exposures of a mask set, see `Exposures.of`."""
    if isinstance(counts, StoredStatistic):
        return _stored(counts, t, m, gains, counts.made)
    return Exposures.of(counts.of(t, m), gains=gains)


@functools.lru_cache(maxsize=256)
def _stored(counts: StoredStatistic, t: int, m: int, gains: bool, made: str | None) -> Exposures:
    return Exposures.of(counts.of(t, m), gains=gains)


@dataclass(frozen=True)
class LeftOut:
    """Photographs that are not used, since they show nothing: a finding.

    Parameters
    ----------
    counts : Statistic
        See `SliceCounts`.
    names : tuple of str
        Of the slices.
    """

    counts: Statistic
    names: tuple[str, ...]

    @property
    def stages(self) -> tuple[str, ...]:
        """Keys of the stages that measure it."""
        return tuple(array.key for array in arrays_of(self.counts))

    def said(self) -> list[str]:
        """Which photographs were left out."""
        kept = exposures_of(self.counts, 0, 0, gains=True).kept
        missing = [name for k, name in enumerate(self.names) if k not in kept]
        if not missing:
            return []
        return [
            f"{', '.join(missing)}: left out, since much darker or brighter than the others, blank, or the same as the "
            "one before; method masks uses all photographs"
        ]


def _shows(noises: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether there is anything in a slice: any difference of the size of those that the others have."""
    bins = np.arange(1, noises.shape[1] + 1)
    greatest = np.max(np.where(noises > 0, bins, 0), axis=1)
    return np.asarray(greatest > np.median(greatest) - _NOTHING * (1 << _NOISE_BITS))


def _drift(level: NDArray[np.float64], kept: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The line through the brightness of all slices that are not faulty; level unless it clearly is not."""
    places = np.arange(len(level), dtype=np.float64)
    x, y = places[kept], level[kept]
    slope = 0.0
    if len(x) > 2:
        i, j = np.triu_indices(len(x), 1)
        slope = float(np.median((y[j] - y[i]) / (x[j] - x[i])))  # Theil 1950, Sen 1968
        if abs(slope) * (x[-1] - x[0]) <= _DRIFT * _scatter(y - slope * x):
            slope = 0.0
    rest = y - slope * x
    usual = np.abs(rest - np.median(rest)) <= _FAULT * _scatter(rest) + _ALIKE
    return np.asarray(float(np.mean(rest[usual])) + slope * places)


def _scatter(values: NDArray[np.float64]) -> float:
    """Deviation of numbers of which less than half are faulty."""
    return float(np.median(np.abs(values - np.median(values)))) / _MEDIAN_OF_NORMAL
