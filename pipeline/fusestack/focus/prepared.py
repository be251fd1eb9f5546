"""Slices brought over one another and prepared: taken from other places once, and their values changed.

All that moves pixels (an alignment, its cut, crops, resizes, turns) becomes one map from a pixel of the result to the
slice, so that pixels are resampled once; where it is a shift by whole pixels they are copied. What changes values
follows, in its order.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from fusestack import kernels
from fusestack.focus import blocks
from fusestack.focus.channels import numbers_of
from fusestack.focus.region import Region
from fusestack.focus.slices import PictureSlices, RawPictures, VolumeSlices
from fusestack.model.geometry import Box
from fusestack.model.stage import Along, Compute
from fusestack.operators.preparations import BINS, Toning
from fusestack.planning.stored import sharded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from fusestack.focus.channels import Scale
    from fusestack.focus.stack import StackInput
    from fusestack.model.image import Level
    from fusestack.model.stage import Reach, StoredArray
    from fusestack.planning.plan import Statistic

    Planes = NDArray[np.float32]
    Pixels = NDArray[Any]

Source: TypeAlias = "PictureSlices | RawPictures | VolumeSlices"
Place: TypeAlias = tuple[float, ...]
"""Nine numbers, the rows of a matrix from pixels (x, y, 1) of the result to those of a slice."""


@dataclass(frozen=True)
class PlacedSlices(Compute):
    """Slices [t, c, k, y, x] whose pixels are taken from other places.

    Parameters
    ----------
    source : PictureSlices, RawPictures or VolumeSlices
    shape : tuple of int
        t, c, k, y, x of the result.
    dtype : str
    sizes : (int, int)
        Rows and columns of the source.
    places : tuple of tuple of Place
        By timepoint and slice.
    gains : tuple of tuple of tuple of float
        By timepoint, slice and channel; multiplied.
    interpolation : str
        See `fusestack.kernels.warp.INTERPOLATIONS`.
    opacity : bool
        Whether the last channel says how opaque the others are.
    """

    source: Source
    shape: tuple[int, ...]
    dtype: str
    sizes: tuple[int, int]
    places: tuple[tuple[Place, ...], ...]
    gains: tuple[tuple[tuple[float, ...], ...], ...]
    interpolation: str
    opacity: bool = False

    @property
    def paths(self) -> list[str]:
        """See `Compute.paths`."""
        return list(self.source.paths)

    @functools.cached_property
    def copies(self) -> bool:
        """Whether pixels are only shifted, and stay as they are."""
        gains = (value for slices in self.gains for channels in slices for value in channels)
        return all(value == 1 for value in gains) and all(_is_shift(place) for one in self.places for place in one)

    def __call__(self, box: Box) -> Pixels:
        """Resample a region."""
        region = (box.start[3], box.stop[3], box.start[4], box.stop[4])
        out = np.empty(box.shape, self.dtype)
        first_c, last_c = box.start[1], box.stop[1]
        for t in range(box.start[0], box.stop[0]):
            slices = range(box.start[2], box.stop[2])
            together = [slices] if isinstance(self.source, VolumeSlices) else [range(k, k + 1) for k in slices]
            for group in together:
                needed = self._needed(t, group, region)
                pixels = self._read(t, (first_c, last_c), group, needed)
                for k in group:
                    gains = np.array(self.gains[t][k][first_c:last_c], np.float32)
                    out[t - box.start[0], :, k - box.start[2]] = self._placed(
                        pixels[:, k - group.start], self.places[t][k], (needed[0], needed[2]), region, gains
                    )
        return out

    def _placed(
        self,
        pixels: Pixels,
        place: Place,
        first: tuple[int, int],
        region: tuple[int, int, int, int],
        gains: NDArray[np.float32],
    ) -> Pixels:
        """A region of a slice, of pixels [c, y, x] that begin at `first`."""
        matrix, spread = _map(place, self.shape[3:])
        if not self.copies:
            run = functools.partial(
                kernels.warp.warp,
                first=first,
                whole=self.sizes,
                matrix=matrix,
                region=region,
                interpolation=self.interpolation,
                spread=spread,
                gains=gains,
            )
            return _opaque(pixels, run) if self.opacity and len(pixels) == self.shape[1] else run(pixels)
        shift = int(matrix[1, 2]), int(matrix[0, 2])
        rows, columns = (
            np.clip(np.arange(region[2 * i], region[2 * i + 1]) + shift[i], 0, self.sizes[i] - 1) - first[i]
            for i in (0, 1)
        )
        return pixels[:, rows[:, None], columns]

    def read(self, box: Box) -> Pixels:
        """Read a region, where slices need not be stored."""
        return self(box)

    def _needed(self, t: int, slices: range, region: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
        """Top, bottom, left and right of the source that a region of some slices needs."""
        found = []
        for k in slices:
            matrix, spread = _map(self.places[t][k], self.shape[3:])
            x, y = (0 if self.copies else kernels.warp.reach(self.interpolation, one) for one in spread)
            found.append(kernels.warp.needed(matrix, region, self.sizes, (x, y)))
        low, high = np.min(found, axis=0), np.max(found, axis=0)
        top, bottom, left, right = int(low[0]), int(high[1]), int(low[2]), int(high[3])
        return (top, bottom, 0, self.sizes[1]) if isinstance(self.source, PictureSlices) else (top, bottom, left, right)

    def _read(self, t: int, channels: tuple[int, int], slices: range, needed: tuple[int, int, int, int]) -> Pixels:
        """Pixels [c, k, y, x] of the source."""
        every = isinstance(self.source, PictureSlices)  # decoded whole
        read = (0, self.shape[1]) if every else channels
        found: Pixels = self.source(Region(*needed).box(t, read, (slices.start, slices.stop)))[0]
        return found[channels[0] - read[0] : channels[1] - read[0]]

    def reaches(self) -> dict[StoredArray, Reach]:
        """The same slices of a volume that other stages write, whole planes of them."""
        return self.through((Along(), Along(), Along(), None, None))

    def through(self, reach: Reach) -> dict[StoredArray, Reach]:
        """What is read of stored arrays where `reach` is read of the slices."""
        source = self.source
        if not isinstance(source, VolumeSlices) or isinstance(source.volumes, tuple):
            return {}
        return {source.volumes: source.through((*reach[:3], None, None))}

    def peak_bytes(self, block: tuple[int, ...]) -> int:
        """Memory of a block: what is read of the source, as stored and decoded; the result, and encoded."""
        item = np.dtype(self.dtype).itemsize
        rows, columns = self._sides(block[3], block[4])
        slices = block[2] if isinstance(self.source, VolumeSlices) else 1
        return item * block[1] * (2 * slices * rows * columns + 3 * block[2] * block[3] * block[4]) + 2**20

    def _sides(self, rows: int, columns: int) -> tuple[int, int]:
        """Rows and columns of the source that a block needs, at most."""
        most = np.zeros(2)
        for place in {place for one in self.places for place in one}:
            matrix, spread = _map(place, self.shape[3:])
            slopes = np.abs(matrix[:2, :2] / matrix[2, 2])
            around = [2 * kernels.warp.reach(self.interpolation, wide) + 4 for wide in spread]
            most = np.maximum(most, 1.1 * (slopes @ (columns, rows)) + around)
        width = self.sizes[1] if isinstance(self.source, PictureSlices) else min(self.sizes[1], math.ceil(most[0]))
        return min(self.sizes[0], math.ceil(most[1])), width

    def warm_up(self) -> None:
        """Compile what moves pixels."""
        matrix, spread = _map(self.places[0][0], self.shape[3:])
        pixels = np.zeros((1, 8, 8), self.dtype)
        ones = np.ones(1, np.float32)
        kernels.warp.warp(pixels, (0, 0), (8, 8), matrix, (0, 1, 0, 1), self.interpolation, spread, ones)


@dataclass(frozen=True)
class TonedSlices(Compute):
    """Slices [t, c, k, y, x] whose values are changed.

    Parameters
    ----------
    placed : PlacedSlices
    tones : tuple of Toning
        In their order.
    scale : Scale
        What is black and white.
    colours : int
        Channels that are changed together; others, an opacity, stay. 0: each channel by itself.
    mean : Statistic or None
        See `fusestack.focus.mean_image.MeanCounts`; None if no operator looks at it.
    """

    placed: PlacedSlices
    tones: tuple[Toning, ...]
    scale: Scale
    colours: int
    mean: Statistic | None

    @property
    def shape(self) -> tuple[int, ...]:
        """t, c, k, y, x."""
        return self.placed.shape

    @property
    def dtype(self) -> str:
        """Of the pixels."""
        return self.placed.dtype

    @property
    def paths(self) -> list[str]:
        """See `Compute.paths`."""
        return self.placed.paths

    @property
    def halo(self) -> int:
        """How far all of them look."""
        return sum(one.halo() for one in self.tones)

    def __call__(self, box: Box) -> Pixels:
        """Change the values of a region; a box holds all colours."""
        region = Region.of(box)
        outer = region.grown(self.halo, (self.shape[3], self.shape[4]))
        rows, columns = region.within(outer)
        grown = Box((*box.start[:3], outer.top, outer.left), (*box.stop[:3], outer.bottom, outer.right))
        found = self.placed(grown)
        out = np.ascontiguousarray(found[..., rows, columns])
        for t in range(found.shape[0]):
            for first, count in self._together(box):
                channel = box.start[1] + first
                counts = self.counts_of(box.start[0] + t, channel)
                ends = self.scale.black_white(box.start[0] + t, channel)
                for k in range(found.shape[2]):
                    planes = self._toned(found[t, first : first + count, k], ends, counts)
                    out[t, first : first + count, k] = planes[:, rows, columns]
        return out

    def _together(self, box: Box) -> list[tuple[int, int]]:
        """First channel and number of those that are changed together."""
        if self.colours:
            return [(0, self.colours)]
        return [(c, 1) for c in range(box.stop[1] - box.start[1])]

    def counts_of(self, t: int, channel: int) -> list[NDArray[np.float64] | None]:
        """For each operator, counts of the values of the mean image as those before it leave it."""
        if self.mean is None:
            return [None] * len(self.tones)
        counts: NDArray[Any] = self.mean.of(t, 0 if self.colours else channel)
        values = np.linspace(0, 1, BINS, dtype=np.float32)[None, None]
        found: list[NDArray[np.float64] | None] = []
        for one in self.tones:
            found.append(counts)
            if one.halo() == 0:  # else it leaves the mean as it is, about
                places = np.floor(np.clip(one.apply(values, counts)[0, 0], 0, 1) * (BINS - 1) + 0.5).astype(np.int64)
                counts = np.bincount(places, weights=counts, minlength=BINS)
        return found

    def _toned(self, pixels: Pixels, ends: tuple[float, float], counts: Sequence[NDArray[np.float64] | None]) -> Pixels:
        planes = numbers_of(kernels.pixels.Pixels.of(pixels, [ends] * len(pixels)))
        for one, known in zip(self.tones, counts, strict=True):
            planes = one.apply(planes, known)
        kind = np.dtype(self.dtype)
        if kind.kind == "f":
            made = (planes * np.float32(ends[1] - ends[0]) + np.float32(ends[0])).astype(kind)
            made[np.isnan(pixels)] = np.nan
            return made
        return np.asarray(np.floor(np.clip(planes, 0, 1) * np.float64(ends[1] - ends[0]) + ends[0] + 0.5), kind)

    def reaches(self) -> dict[StoredArray, Reach]:
        """As `PlacedSlices.reaches`; the statistic is read whole."""
        return self.placed.reaches()

    def peak_bytes(self, block: tuple[int, ...]) -> int:
        """Memory of a block: placed, and a few planes of numbers of a slice."""
        sides = [min(n, b + 2 * self.halo) for b, n in zip(block[3:], self.shape[3:], strict=True)]
        grown = (*block[:3], *sides)
        measured = 0 if self.mean is None else 4 * 8 * BINS
        return self.placed.peak_bytes(grown) + 4 * 6 * max(1, self.colours) * math.prod(sides) + measured

    def warm_up(self) -> None:
        """Compile what moves pixels and changes values."""
        self.placed.warm_up()
        counts = [np.ones(BINS) if one.measures else None for one in self.tones]
        self._toned(np.zeros((max(1, self.colours), 8, 8), self.dtype), (0.0, 1.0), counts)


def prepared_level(stack: StackInput, slices: PlacedSlices | TonedSlices) -> Level:
    """How prepared slices are stored: as the files are read."""
    source = (slices if isinstance(slices, PlacedSlices) else slices.placed).source
    if isinstance(source, VolumeSlices):
        return blocks.in_blocks(stack.shape, (1, 1, stack.depth_chunk))
    colours = stack.shape[1]
    if isinstance(source, RawPictures):
        return sharded(stack.shape, (1, colours, 1, blocks.BLOCK, blocks.BLOCK), together=colours)
    return sharded(stack.shape, (1, colours, 1, min(source.rows, stack.shape[3]), stack.shape[4]), together=colours)


def _opaque(pixels: Pixels, run: Callable[[Pixels], Pixels]) -> Pixels:
    """Resample colours by how much there is of them, so that what is transparent has no colour."""
    kind = pixels.dtype
    white = np.float32(1 if kind.kind == "f" else np.iinfo(kind).max)
    wide = pixels.astype(np.float32)
    wide[:-1] *= wide[-1] / white
    made: Planes = run(wide)
    alpha = made[-1]
    made[:-1] *= np.where(alpha > 0, white / np.maximum(alpha, white * np.float32(1e-6)), 0)
    np.clip(alpha, 0, white, out=alpha)
    return made.astype(kind) if kind.kind == "f" else np.floor(np.clip(made, 0, white) + np.float32(0.5)).astype(kind)


@functools.lru_cache(maxsize=4096)
def _map(place: Place, plane: tuple[int, ...]) -> tuple[NDArray[np.float64], tuple[float, float]]:
    """A matrix, and how wide its kernel is."""
    matrix = np.array(place, np.float64).reshape(3, 3)
    return matrix, kernels.warp.spread_of(matrix, (plane[0], plane[1]))


def _is_shift(place: Place) -> bool:
    matrix = np.array(place).reshape(3, 3)
    return bool(
        (matrix[:2, :2] == np.eye(2)).all() and (matrix[2] == (0, 0, 1)).all() and (matrix[:2, 2] % 1 == 0).all()
    )


def flattened(matrix: NDArray[np.float64]) -> Place:
    """A matrix as a place."""
    made = matrix / matrix[2, 2]
    return tuple(float(value) for value in made.ravel())


def moved_frame(
    plane_size: tuple[float, float], origin: tuple[float, float], inner: NDArray[np.float64]
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Size of pixels and place of the first one along y and x, after pixels were taken from other places of a plane.

    Parameters
    ----------
    plane_size, origin : (float, float)
        Along y and x.
    inner : float64[3, 3]
        From pixels (x, y, 1) of the result to those of the plane.
    """
    y, x = plane_size
    steps = inner[:2, :2] * np.array([[x], [y]])  # physical x and y of a step along x, and along y
    size = float(np.hypot(*steps[:, 1])), float(np.hypot(*steps[:, 0]))
    return size, (origin[0] + y * float(inner[1, 2]), origin[1] + x * float(inner[0, 2]))
