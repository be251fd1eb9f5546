"""Focus stacking at every scale at once: slices are mixed level by level of a pyramid, one after the other.

What is sharp at one pixel may lie in several slices: a hair, and the ground beside it under the blur of the hair. No
slice shows both, but each level takes its detail from the slice that has most of it there. Where none has more than
noise, slices are averaged.

::

    slices -> how bright and noisy each is (statistic)
       |                                     |
       +-> pyramid -> energies -> sums of each level, slice by slice -> picture, depth, mask
"""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fusestack import kernels
from fusestack.focus.blocks import BYTES, BlockWise, in_blocks
from fusestack.focus.exposures import Exposures, SliceCounts
from fusestack.focus.montage import planes_of
from fusestack.focus.statistics import Bands
from fusestack.model.stage import Along
from fusestack.operators.base import Place
from fusestack.operators.finals import Picture

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from fusestack.config.focus import Multiscale
    from fusestack.focus.channels import SliceChannels
    from fusestack.focus.recipe import StackRecipe
    from fusestack.focus.region import Region
    from fusestack.model.stage import Reach, StoredArray
    from fusestack.planning.plan import Statistic

    Plane = NDArray[np.float32]
    Planes = NDArray[np.float32]

_WHITE = 0.97
"""From here on pixels count as white; noise lets some of them be darker."""
_OUTLINED = 1.5
"""Where the finer level has the energy of a level divided by this, what is seen is sharp."""
_LEAST_NOISE = 1 / 4096
"""Of slices without any; rounding is left, and energies are never 0."""
_DEPTH_LEVELS = 3
"""Levels that the depth is found in: blur takes most from the finest ones."""
_COARSER = 0.1
"""How much a level counts for the depth beside the finer one, in units of noise: it decides where that has none."""
_UNSURE = 2.2
"""Detail in units of noise that is found where there is noise alone."""


class SeenSlice(NamedTuple):
    """A slice: its number, what is looked at float32[c, y, x], and what is mixed; None where that is the same."""

    k: int
    looked: Planes
    painted: Planes | None


class _Mean:
    """The mean of one level of the slices so far."""

    def __init__(self, detail: Planes) -> None:
        self._total = np.zeros_like(detail)
        self._weight, self._greatest = np.zeros((2, *detail.shape[1:]), np.float32)

    def add(self, detail: Planes, energies: Plane, power: int) -> None:
        """Add a slice, whose weight is the power of its share of the greatest energy."""
        kernels.multiscale.choose(detail, energies, self._total, self._weight, self._greatest, power)

    def found(self) -> Planes:
        """The mean, in place of the sums."""
        self._total /= self._weight
        return self._total


class _Depth:
    """Where most detail is of the slices so far."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._peak, self._place = np.zeros((3, *shape), np.float32), np.zeros(shape, np.float32)
        self._last: Plane | None = None
        self._slices: list[int] = []

    def add(self, k: int, detail: Plane) -> None:
        """Follow the peak of detail to slice k, which comes after those before."""
        kernels.multiscale.follow_peak(detail, len(self._slices), self._last, self._peak, self._place)
        self._last = detail
        self._slices.append(k)

    def found(self, *, between: bool) -> tuple[Plane, Plane]:
        """Slice and how sure it is, 0..1; unknown where it is 0."""
        slices = np.array(self._slices, np.float32)
        depth = (
            kernels.multiscale.between(self._peak, self._place, slices)
            if between
            else slices[self._place.astype(np.int64)]
        )
        return depth, np.maximum(0, 1 - np.float32(_UNSURE) / np.maximum(self._peak[1], np.float32(_UNSURE)))


@dataclass(frozen=True)
class Mixing:
    """Slices are mixed level by level: the block function of multi-scale pictures.

    Its arrays begin at multiples of `step`.

    Parameters
    ----------
    levels, sharpness : int
    noise : float
    highlights : int
        See `fusestack.config.focus.Multiscale`.
    slices : (int, int)
        Those that are mixed, ``first <= k < last``.
    between : bool
        Whether the depth is found between slices.
    clips : bool
        Whether 0 and 1 are black and white, and nothing is darker or brighter.
    """

    levels: int
    sharpness: int
    noise: float
    highlights: int
    slices: tuple[int, int]
    between: bool
    clips: bool

    @property
    def step(self) -> int:
        """Where the pixels of the coarsest level lie: at multiples of this."""
        return 1 << self.levels

    @property
    def depth(self) -> int:
        """Twice a whole pyramid, up and down again, and the windows of the energies of its last level."""
        pyramid = kernels.pyramid.REACH * (self.step - 1)
        return 2 * pyramid + (kernels.multiscale.REACH + 2 * kernels.pyramid.REACH) * self.step // 2

    def __call__(self, slices: Iterable[SeenSlice], exposures: Exposures, place: Place) -> Planes:
        """Mix a region: colours, then the planes of `Picture`.

        Parameters
        ----------
        slices : iterable of SeenSlice
            Those that are mixed and show something, in order.
        exposures : Exposures
        place : Place
        """
        means: list[_Mean] = []
        depth: _Depth | None = None
        for one in slices:
            gain = np.float32(exposures.gains[one.k])
            looked = one.looked / gain
            details, energies, sharp = self._seen(looked, max(exposures.noise, _LEAST_NOISE))
            if one.painted is not None:
                details = _pyramid(one.painted / gain, self.levels)
            means = means or [_Mean(detail) for detail in details]
            depth = depth or _Depth(sharp.shape)
            depth.add(one.k, sharp)
            for level, parts in enumerate(zip(means, details, energies, strict=True)):
                mean, detail, energy = parts
                mean.add(detail, energy, self.sharpness if level < self.levels else 1)
        if depth is None:
            raise ValueError("there is no slice to mix")
        colours = means.pop().found()
        while means:
            finer = means.pop().found()
            kernels.pyramid.add_expanded(finer, colours)
            colours = finer
        if self.clips:
            np.clip(colours, 0, 1, out=colours)
        found, sure = depth.found(between=self.between)
        opaque = np.ones_like(sure)
        return Picture(colours, opaque, sure, found, (sure > 0).astype(np.float32)).packed()

    def _seen(self, colours: Planes, noise: float) -> tuple[list[Planes], list[Plane], Plane]:
        """Levels of a slice, how much detail each pixel of a level has, and of all fine levels in units of noise."""
        whites = kernels.multiscale.white(colours, _WHITE) if self.clips and self.highlights else None
        details = _pyramid(colours, self.levels)
        energies: list[Plane] = []
        sharp: list[Plane] = []
        for level, detail in enumerate(details[:-1]):
            floor = np.float32(kernels.multiscale.noise_energy(level, noise, len(colours)))
            found = kernels.multiscale.energy(detail, float(floor))
            energies.append(found + np.float32(self.noise) * floor)
            if level < _DEPTH_LEVELS:
                sharp.append(found / floor)
        # the last level has no detail of its own
        energies.append(kernels.pyramid.reduce(energies[-1][None])[0])
        if whites is not None:
            for energy, blur in zip(energies, _blurred(energies), strict=True):
                kernels.multiscale.suppress(energy, blur * whites[0], self.highlights)
                whites = kernels.pyramid.reduce(whites)
        whole = sharp.pop()
        while sharp:
            finer = sharp.pop()
            kernels.pyramid.add_expanded(finer[None], whole[None], _COARSER)
            whole = finer
        return details, energies, whole


def _blurred(energies: Sequence[Plane]) -> list[Plane]:
    """How blurred what is seen is, 0..1: outlines that are sharp have detail in the finer level, too.

    White lines and letters that are in focus are told from discs of highlights by that.
    """
    found = [
        1 - np.minimum(1, np.float32(_OUTLINED) * kernels.pyramid.reduce(finer[None])[0] / here)
        for finer, here in itertools.pairwise(energies[:-1])
    ]
    first = np.zeros_like(energies[0]) if found else np.ones_like(energies[0])
    if found:
        kernels.pyramid.add_expanded(first[None], found[0][None])
    found.insert(0, first)
    return [*found, kernels.pyramid.reduce(found[-1][None])[0]]


def _pyramid(planes: Planes, levels: int) -> list[Planes]:
    """What each level has beyond the next, and the last one; the first one takes the place of the planes."""
    found = [planes]
    for level in range(levels):
        found.append(kernels.pyramid.reduce(found[level]))
        kernels.pyramid.add_expanded(found[level], found[level + 1], -1.0)
    return found


@dataclass(frozen=True)
class MixedPicture(BlockWise):
    """Picture planes [t, m, plane, y, x] of some slices: colours, then those of `Picture`.

    Parameters
    ----------
    looked, painted : SliceChannels
        What decides, and what is mixed.
    counts : Statistic
        See `SliceCounts`.
    gains : bool
        Whether slices are made equally bright.
    """

    function: Mixing
    looked: SliceChannels
    painted: SliceChannels
    counts: Statistic
    gains: bool

    def around(self, region: Region) -> Region:
        """As of all blocks, from a pixel of the coarsest level on."""
        return region.grown(self.function.depth, self.plane, self.function.step)

    def read(self, t: int, m: int, k: int, region: Region) -> tuple[Iterator[SeenSlice], Exposures]:
        """Slices one by one, and how bright and noisy they are."""
        exposures = _exposures(tuple(self.counts.of(t, m).tolist()), self.gains)
        first, last = self.function.slices
        numbers = [k for k in exposures.kept if first <= k < last] or range(first, last)
        same = self.looked == self.painted

        def slices() -> Iterator[SeenSlice]:
            for k in numbers:
                painted = None if same else self.painted.read(t, m, k, region)
                yield SeenSlice(k, self.looked.read(t, m, k, region), painted)

        return slices(), exposures

    def reaches(self) -> dict[StoredArray, Reach]:
        """All slices, with what is around a block."""
        halo = Along(1, self.function.depth + self.function.step - 1, self.function.depth)
        return self.looked.reaches(None, halo, halo) | self.painted.reaches(None, halo, halo)

    def outer_pixels(self, block: tuple[int, ...]) -> int:
        """Pixels of a plane of a block with what is around it, at most."""
        more = 2 * self.function.depth + self.function.step
        return math.prod(min(b + more, n) for b, n in zip(block[3:], self.plane, strict=True))

    def peak_bytes(self, block: tuple[int, ...]) -> int:
        """Memory of a block: pyramids of a slice and of the sums, energies and weights, depth, the picture."""
        looked, painted = len(self.looked.sets[0]), len(self.painted.sets[0])
        pyramids = 3 * looked + 4 * painted + 8
        return BYTES * self.outer_pixels(block) * (4 * pyramids // 3 + 8) + 2**23

    def warm_up(self) -> None:
        """Compile the mixing, on a few pixels."""
        planes = np.ones((1, 4, 4), np.float32)
        exposures = Exposures((1.0,), (0,), 0.01)
        self.function([SeenSlice(0, planes, None)], exposures, Place((0, 0), (4, 4)))


@functools.lru_cache(maxsize=64)
def _exposures(counts: tuple[float, ...], gains: bool) -> Exposures:
    return Exposures.of(np.array(counts), gains=gains)


def mixing_stages(
    on: StackRecipe, options: Multiscale, parts: Sequence[tuple[int, int]], *, photographs: bool
) -> list[StoredArray]:
    """Multi-scale pictures of ranges of slices, before the final operators."""
    sets = on.sets
    looked = sets.looked
    bands = Bands((sets.times, sets.count, looked.slices, *looked.plane), deep=True)
    counts = on.cached.statistic("slices brightness", "brightness/slices", SliceCounts(looked, bands))
    planes = planes_of(sets.colours)
    found = []
    for number, part in enumerate(parts):
        mixing = Mixing(
            levels=options.levels,
            sharpness=options.sharpness,
            noise=options.noise,
            highlights=options.highlights,
            slices=part,
            between=on.recipe.between,
            clips=photographs,
        )
        found.append(
            on.cached.add(
                f"{on.prefix}mixed" + (f"/{number + 1}" if len(parts) > 1 else ""),
                f"slices {part[0] + 1} to {part[1]} mixed at {options.levels} scales",
                MixedPicture(sets.size, mixing, looked, sets.painted, counts, gains=photographs),
                in_blocks((sets.times, sets.count, planes, *sets.painted.plane), (1, 1, planes)),
            )
        )
    return found
