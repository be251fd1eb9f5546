"""Statistics of whole stacks: exact, whatever the blocks; kept in small arrays, or frozen in a file (reference 11)."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from fusestack import kernels
from fusestack.model.geometry import Box
from fusestack.model.stage import Compute
from fusestack.operators.finals import Picture

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from fusestack.focus.stack import Pixels
    from fusestack.model.stage import Target
    from fusestack.operators.finals import FinalOperator

    Numbers = NDArray[np.float64]

BAND_PIXELS = 2**24
"""About how many pixels one entry of a statistic is taken of."""
CHUNK = 256
"""Rows of a chunk of what stages store."""
_DEEP = 8


class Values(Protocol):
    """A statistic of every timepoint and channel (or mask set)."""

    def __hash__(self) -> int: ...

    def of(self, t: int, c: int) -> Numbers:
        """Its numbers, float64[n]."""
        ...


@dataclass(frozen=True)
class StoredValues:
    """A statistic whose entries a stage has written, [t, c, 1, entry, n]; united where it is used.

    Parameters
    ----------
    target : Target
    how : str
        ``sum``, or else the extremes of pairs; or as `operator` unites its measure of that `number`.
    """

    target: Target
    how: str
    operator: FinalOperator | None = None
    number: int = 0

    def of(self, t: int, c: int) -> Numbers:
        """See `Values.of`."""
        return _united(self, t, c)

    def unite(self, entries: Numbers) -> Numbers:
        """One statistic from those of all bands."""
        if self.operator is not None:
            return self.operator.unite(self.number, entries)
        if self.how == "sum":
            return np.asarray(entries.sum(axis=0))
        return np.array([entries[:, 0].min(), entries[:, 1].max()])


@functools.lru_cache(maxsize=4096)
def _united(values: StoredValues, t: int, c: int) -> Numbers:
    _, _, _, entries, n = values.target.image.shape
    found = values.target.open().read(0, Box((t, c, 0, 0, 0), (t + 1, c + 1, 1, entries, n)))
    return values.unite(found[0, 0, 0])


@dataclass(frozen=True)
class FrozenValues:
    """A statistic that is known: numbers by timepoint and channel."""

    known: tuple[tuple[tuple[int, int], tuple[float, ...]], ...]

    @staticmethod
    def from_mapping(known: Mapping[str, list[float]]) -> FrozenValues:
        """From a file: keys ``"t c"``."""
        items = []
        for key, numbers in known.items():
            t, c = (int(word) for word in key.split())
            items.append(((t, c), tuple(float(v) for v in numbers)))
        return FrozenValues(tuple(sorted(items)))

    def of(self, t: int, c: int) -> Numbers:
        """See `Values.of`."""
        return np.array(dict(self.known)[t, c])


@dataclass(frozen=True)
class Bands:
    """How a stack is cut for a statistic: rows of the planes, of a slice, of several small ones, or of all.

    Parameters
    ----------
    shape : tuple of int
        t, c, k, y, x.
    deep : bool
        Whether an entry is taken of all slices at once.
    """

    shape: tuple[int, ...]
    deep: bool

    @property
    def rows(self) -> int:
        """Rows of a band: whole chunks, so that each is read once; few where a band is a deep one."""
        pixels = self.shape[4] * (min(self.shape[2], _DEEP) if self.deep else 1)
        return max(1, BAND_PIXELS // (CHUNK * max(1, pixels))) * CHUNK

    @property
    def bands(self) -> int:
        """Bands of a plane."""
        return -(-self.shape[3] // self.rows)

    @property
    def slices(self) -> int:
        """Slices of an entry: several where planes are small, so that entries are few."""
        if self.deep:
            return self.shape[2]
        return min(self.shape[2], max(1, BAND_PIXELS // max(1, self.shape[3] * self.shape[4])))

    @property
    def entries(self) -> int:
        """Entries of the statistic of one timepoint and channel."""
        return self.bands * -(-self.shape[2] // self.slices)

    @property
    def peak_bytes(self) -> int:
        """Memory of one entry, as it is read and as numbers; a deep one is read slice by slice."""
        return 12 * min(self.rows, self.shape[3]) * self.shape[4] * (1 if self.deep else self.slices)

    def box(self, entry: int, t: int, c: int) -> Box:
        """Pixels of an entry."""
        group, band = divmod(entry, self.bands)
        low, top = group * self.slices, band * self.rows
        high, bottom = min(low + self.slices, self.shape[2]), min(top + self.rows, self.shape[3])
        return Box((t, c, low, top, 0), (t + 1, c + 1, high, bottom, self.shape[4]))


@dataclass(frozen=True)
class Extremes(Compute):
    """Least and greatest value of each band; NaN is no value."""

    pixels: Pixels
    bands: Bands

    def __call__(self, box: Box) -> Numbers:
        """Measure the entries of a box t, c, 1, entry, n."""
        t, c, _, entry, _ = box.start
        out = np.empty(box.shape)
        for row in range(entry, box.stop[3]):
            found = self.pixels.read(self.bands.box(row, t, c))
            finite = found[np.isfinite(found)] if found.dtype.kind == "f" else found
            out[0, 0, 0, row - entry] = (finite.min(), finite.max()) if finite.size else (0, 0)
        return out


@dataclass(frozen=True)
class Histogram(Compute):
    """Counts of the stretched maximum over the slices, in 256 bins (reference 5.7)."""

    pixels: Pixels
    bands: Bands
    limits: Values

    def __call__(self, box: Box) -> Numbers:
        """Count the entries of a box t, c, 1, entry, 256."""
        t, c, _, entry, _ = box.start
        low, high = kernels.levels.six_digits(*self.limits.of(t, c))
        out = np.empty(box.shape)
        for row in range(entry, box.stop[3]):
            part = self.bands.box(row, t, c)
            greatest: Any = None
            for k in range(part.start[2], part.stop[2]):
                one = Box((*part.start[:2], k, *part.start[3:]), (*part.stop[:2], k + 1, *part.stop[3:]))
                found = self.pixels.read(one)[0, 0, 0]
                greatest = found if greatest is None else np.maximum(greatest, found, out=greatest)
            out[0, 0, 0, row - entry] = kernels.levels.histogram(greatest, low, high)
        return out

    def warm_up(self) -> None:
        """Compile the counting."""
        kernels.levels.histogram(np.zeros((1, 1), np.float32), 0, 1)


@dataclass(frozen=True)
class PictureMeasure(Compute):
    """One measure of a final operator, of each band of a picture [t, m, plane, y, x]."""

    pixels: Pixels
    bands: Bands
    operator: FinalOperator
    number: int
    known: tuple[Values, ...]

    def __call__(self, box: Box) -> Numbers:
        """Measure the entries of a box t, m, 1, entry, n."""
        t, m, _, entry, _ = box.start
        out = np.empty(box.shape)
        halo = self.operator.halo()
        for row in range(entry, box.stop[3]):
            part = self.bands.box(row, t, m)
            top, bottom = part.start[3], part.stop[3]
            first, last = max(0, top - halo), min(self.bands.shape[3], bottom + halo)
            around = Box((*part.start[:3], first, 0), (*part.stop[:3], last, part.stop[4]))
            picture = Picture.unpacked(self.pixels.read(around)[0, 0])
            inner = (slice(top - first, bottom - first), slice(0, part.stop[4]))
            known = [values.of(t, m) for values in self.known]
            out[0, 0, 0, row - entry] = self.operator.measure(self.number, picture, inner, known)
        return out


@dataclass(frozen=True)
class Levels:
    """How masks are stretched, and equalised where there are counts (reference 5.7)."""

    limits: Values
    counts: Values | None

    def apply(self, planes: NDArray[np.float32], t: int, m: int) -> NDArray[np.float32]:
        """Level masks float32[...] of one timepoint and mask set."""
        low, high = kernels.levels.six_digits(*self.limits.of(t, m))
        if self.counts is None:
            return kernels.levels.stretch(planes, low, high)
        return kernels.levels.equalise(planes, low, high, _table(self.counts, t, m))


@functools.lru_cache(maxsize=4096)
def _table(counts: Values, t: int, m: int) -> NDArray[np.float32]:
    return kernels.levels.equalising_table(counts.of(t, m))
