"""Statistics of whole stacks: exact, whatever the blocks; kept in small arrays, or known from a file."""

from __future__ import annotations

import functools
import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fusestack import kernels
from fusestack.focus.slices import reaches_of
from fusestack.model.errors import InputError
from fusestack.model.geometry import Box
from fusestack.model.stage import Along, Compute, StoredArray
from fusestack.storage import identity_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from fusestack.focus.slices import SliceArray
    from fusestack.model.stage import Reach
    from fusestack.planning.plan import Statistic

    Numbers = NDArray[np.float64]
    Planes = NDArray[np.float32]

BAND_PIXELS = 2**24
"""About how many pixels one entry of a statistic is taken of."""
CHUNK = 256
"""Rows of a chunk of what stages store."""
_DEEP = 8
_RUN = 5
_MOST_KEPT = 1024
"""Numbers of a statistic that is remembered; who needs larger ones remembers what follows from them."""


@dataclass(frozen=True)
class StoredStatistic:
    """A statistic whose entries a stage has written, [t, c, 1, entry, n]; united where it is used.

    Parameters
    ----------
    array : StoredArray
    unites : str
        ``sum``, or ``extremes`` of pairs.
    """

    array: StoredArray
    unites: str

    def of(self, t: int, c: int) -> Numbers:
        """See `Statistic.of`."""
        if self.array.shape[-1] > _MOST_KEPT:
            return _read(self, t, c)
        return _united(self, t, c, self.made)

    @property
    def made(self) -> str | None:
        """Which array it is: one that was made anew is another one."""
        return identity_of(f"{self.array.target.image.path}/zarr.json")


@functools.lru_cache(maxsize=4096)
def _united(statistic: StoredStatistic, t: int, c: int, made: str | None) -> Numbers:
    return _read(statistic, t, c)


def _read(statistic: StoredStatistic, t: int, c: int) -> Numbers:
    _, _, _, entries, n = statistic.array.shape
    found = statistic.array.read(Box((t, c, 0, 0, 0), (t + 1, c + 1, 1, entries, n)))[0, 0, 0]
    return united(found, statistic.unites)


def united(entries: Numbers, how: str) -> Numbers:
    """One statistic of those of all bands, float64[entries, n]: their ``sum``, or the ``extremes`` of pairs."""
    if how == "sum":
        return np.asarray(entries.sum(axis=0))
    low, high = entries[:, 0::2].min(axis=0), entries[:, 1::2].max(axis=0)
    return np.asarray(np.where(low <= high, [low, high], 0.0).T.ravel())


@dataclass(frozen=True)
class KnownStatistic:
    """A statistic that is known: numbers by ``"t c"``, timepoint and channel."""

    known: tuple[tuple[str, tuple[float, ...]], ...]

    def of(self, t: int, c: int) -> Numbers:
        """See `Statistic.of`."""
        return np.array(dict(self.known)[f"{t} {c}"])


def known_statistics(path: str) -> dict[str, Any]:
    """Statistics by label, from a file that ``focus.statistics.save`` made.

    Raises
    ------
    InputError
        If it cannot be read, or is something else.
    """
    try:
        return dict(json.loads(Path(path).read_bytes())["statistics"])
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); correct focus.statistics.use") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: is no file of statistics ({error}); make it with focus.statistics.save") from error


@dataclass(frozen=True)
class Bands:
    """How a stack is cut for a statistic: rows of the planes, of a slice, of several small ones, or of all.

    Parameters
    ----------
    shape : tuple of int
        t, c, k, y, x.
    deep : bool
        Whether an entry is taken of all slices at once.
    first : int
        Where the slices begin in the array.
    whole : bool
        Whether a band is all rows, since nothing less is read.
    """

    shape: tuple[int, ...]
    deep: bool = False
    first: int = 0
    whole: bool = False

    @property
    def rows(self) -> int:
        """Rows of a band: whole chunks, so that each is read once; few where a band is a deep one."""
        if self.whole:
            return self.shape[3]
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
    def groups(self) -> int:
        """Groups of slices, each of which has all bands."""
        return -(-self.shape[2] // self.slices)

    @property
    def entries(self) -> int:
        """Entries of the statistic of one timepoint and channel."""
        return self.bands * self.groups

    def box(self, entry: int, t: int, c: int) -> Box:
        """Pixels of an entry."""
        group, band = divmod(entry, self.bands)
        low, top = group * self.slices, band * self.rows
        high, bottom = min(low + self.slices, self.shape[2]), min(top + self.rows, self.shape[3])
        return Box((t, c, self.first + low, top, 0), (t + 1, c + 1, self.first + high, bottom, self.shape[4]))

    def reach(self, halo: int = 0) -> Reach:
        """What the entries of a block are taken of."""
        rows = Along(self.rows, halo, halo) if self.groups == 1 else None
        return (Along(), Along(), None, rows, None)

    def plane_pixels(self, halo: int = 0) -> int:
        """Pixels of one plane of an entry."""
        return min(self.rows + 2 * halo, self.shape[3]) * self.shape[4]


class BandStatistic(Compute):
    """Entries [t, c, 1, entry, n] of a statistic, each of one band."""

    NUMBERS: ClassVar[int] = 2
    """Of an entry."""

    bands: Bands

    @property
    def unites(self) -> str:
        """How entries become one: see `StoredStatistic`."""
        return "extremes"

    @property
    def halo(self) -> int:
        """Pixels around a band that are read."""
        return 0

    def measure(self, box: Box) -> tuple[float, ...] | NDArray[Any]:
        """Numbers of the pixels of a band."""
        raise NotImplementedError

    def __call__(self, box: Box) -> Numbers:
        """Measure the entries of a box."""
        out = np.empty(box.shape)
        ranges = (range(a, b) for a, b in zip(box.start[:4], box.stop[:4], strict=True))
        for t, c, one, entry in itertools.product(*ranges):
            place = tuple(i - first for i, first in zip((t, c, one, entry), box.start, strict=False))
            out[place] = self.measure(self.bands.box(entry, t, c))
        return out


@dataclass(frozen=True)
class Extremes(BandStatistic):
    """Least and greatest value of each band; NaN is no value, and a band without values has the extremes of nothing."""

    VERSION: ClassVar[int] = 2

    array: SliceArray
    bands: Bands

    def measure(self, box: Box) -> tuple[float, float]:
        """See `BandStatistic.measure`."""
        first, last = box.start[2], box.stop[2]
        parts = [(k, min(k + self._together, last)) for k in range(first, last, self._together)]
        boxes = (Box((*box.start[:2], a, *box.start[3:]), (*box.stop[:2], b, *box.stop[3:])) for a, b in parts)
        low, high = zip(*(_extremes(self.array.read(part)) for part in boxes), strict=True)
        return min(low), max(high)

    @property
    def _together(self) -> int:
        """Slices that are read in one piece: those of a chunk."""
        array = self.array
        return (
            array.target.image.levels[array.target.level].chunks[2]
            if isinstance(array, StoredArray)
            else self.bands.slices
        )

    def reaches(self) -> dict[StoredArray, Reach]:
        """The rows of the bands."""
        return reaches_of(self.array, self.bands.reach())

    def peak_bytes(self, block: tuple[int, ...]) -> int:
        """Memory of an entry: as it is read, and as numbers."""
        kind = np.dtype(self.array.dtype)
        slices = min(self._together, self.bands.slices)
        return (2 * kind.itemsize + 4 * (kind.kind == "f")) * self.bands.plane_pixels() * slices


def _extremes(found: NDArray[Any]) -> tuple[float, float]:
    """Least and greatest number; a copy without what is none is made only where there is such a thing."""
    ends = found.min(), found.max()
    if np.isfinite(ends).all():
        return ends
    finite = found[np.isfinite(found)]
    return (finite.min(), finite.max()) if finite.size else (np.inf, -np.inf)


@dataclass(frozen=True)
class WideExtremes(Extremes):
    """Extremes of what is wider than two pixels of a row: one hot pixel does not say what is white."""

    def measure(self, box: Box) -> tuple[float, float]:
        """See `BandStatistic.measure`; of the medians of five pixels of a row."""
        found = self.array.read(box)
        if found.shape[-1] >= _RUN:
            parts = [found[..., i : found.shape[-1] - _RUN + 1 + i] for i in range(_RUN)]
            found = kernels.levels.median_of_five(*parts)
        return _extremes(found)

    def peak_bytes(self, block: tuple[int, ...]) -> int:
        """Memory of an entry: as it is read, and seven such arrays while medians are found."""
        return 8 * np.dtype(self.array.dtype).itemsize * self.bands.plane_pixels() * self.bands.slices


@dataclass(frozen=True)
class Histogram(BandStatistic):
    """Counts of the stretched maximum over the slices, in 256 bins, of which masks are equalised (imfuse's clut)."""

    NUMBERS = 256

    array: StoredArray
    bands: Bands
    limits: Statistic

    @property
    def unites(self) -> str:
        """Counts are added up."""
        return "sum"

    def measure(self, box: Box) -> NDArray[np.int64]:
        """See `BandStatistic.measure`; slice by slice."""
        low, high = kernels.levels.six_digits(*self.limits.of(*box.start[:2]))
        greatest: Any = None
        for k in range(box.start[2], box.stop[2]):
            one = Box((*box.start[:2], k, *box.start[3:]), (*box.stop[:2], k + 1, *box.stop[3:]))
            found = self.array.read(one)[0, 0, 0]
            greatest = found if greatest is None else np.maximum(greatest, found, out=greatest)
        return kernels.levels.histogram(greatest, low, high)

    def reaches(self) -> dict[StoredArray, Reach]:
        """The rows of the bands."""
        return {self.array: self.bands.reach()}

    def peak_bytes(self, block: tuple[int, ...]) -> int:
        """Memory of an entry, which is read slice by slice."""
        return 14 * self.bands.plane_pixels()

    def warm_up(self) -> None:
        """Compile the counting."""
        kernels.levels.histogram(np.zeros((1, 1), np.float32), 0, 1)


@dataclass(frozen=True)
class Levels:
    """How masks are stretched, and equalised where there are counts."""

    limits: Statistic
    counts: Statistic | None

    def apply(self, planes: Planes, t: int, m: int, then: Callable[[Planes], Planes]) -> Planes:
        """Level masks float32[...] of one timepoint and mask set, and do what is done `then` with each number."""
        low, high = kernels.levels.six_digits(*self.limits.of(t, m))
        if self.counts is None:
            return then(kernels.levels.stretch(planes, low, high))
        steps = _steps(tuple(self.counts.of(t, m).tolist()), then)
        return kernels.levels.look_up(planes, low, high, steps)


@functools.lru_cache(maxsize=64)
def _steps(counts: tuple[float, ...], then: Callable[[Planes], Planes]) -> Planes:
    return then(kernels.levels.between_entries(kernels.levels.equalising_table(np.array(counts))))
