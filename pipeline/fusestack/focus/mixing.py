"""Slices are mixed at every scale: the block function of multi-scale pictures, and what it keeps of slices so far."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fusestack import kernels
from fusestack.operators.finals import Picture

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from fusestack.focus.exposures import Exposures
    from fusestack.operators.base import Place

    Plane = NDArray[np.float32]
    Planes = NDArray[np.float32]

_WHITE = 0.9
"""From here on pixels count as white; noise lets some of them be darker."""
_OUTLINED = 2.0
"""Where the finer level has the energy of a level divided by this, what is seen is sharp."""
_UNSEEN = 32
"""How strongly outlines of what is transparent are kept out, as `Mixing.highlights`."""
_LEAST_NOISE = 1 / 4096
"""Of slices without any; rounding is left, and energies are never 0."""
_UNSURE = 1.8
"""Energy in units of noise that is found where there is noise alone."""
_CONTRADICTS = 0.1
"""Where the finest detail says another slice, how much more of what is sharp it must have there."""
_DEPTH_REACH = 36
"""Pixels around one that its depth is found from, at least: two levels, and their windows."""


class SeenSlice(NamedTuple):
    """A slice: its number, what is looked at float32[c, y, x], what is mixed, and its opacity float32[1, y, x].

    None where what is mixed is the same, and where all is opaque.
    """

    k: int
    looked: Planes
    painted: Planes | None = None
    opacity: Planes | None = None


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


class _Span:
    """Least and greatest value of the planes so far: what is mixed from several planes of a volume lies between them.

    Beside a bright thing in one plane, what is dark around it in others is darker than anything where both are mixed.
    Not so for photographs: the ground beside a hair is in no slice without the blur of the hair.
    """

    def __init__(self, first: Planes) -> None:
        self.least, self.most = first.copy(), first.copy()

    def add(self, planes: Planes) -> None:
        """Add a slice."""
        np.minimum(self.least, planes, out=self.least)
        np.maximum(self.most, planes, out=self.most)


def _as_bright(one: SeenSlice, exposures: Exposures) -> tuple[Planes, Planes]:
    """What is looked at and what is mixed, as bright as in other slices; the same array where that is the same."""
    gain = np.float32(exposures.gains[one.k])
    looked = one.looked / gain
    return looked, looked if one.painted is None else one.painted / gain


class _Shown:
    """What slices show in the mean; it takes the place of what one of them hides, so that mattes have no outlines."""

    def __init__(self, slices: Iterable[SeenSlice], exposures: Exposures) -> None:
        total: list[Planes] = []
        weight: Planes | None = None
        for one in slices:
            if one.opacity is None:
                raise ValueError("a slice has no opacity")
            parts = [planes * one.opacity for planes in _as_bright(one, exposures)]
            total = parts if weight is None else [a + b for a, b in zip(total, parts, strict=True)]
            weight = one.opacity.copy() if weight is None else weight + one.opacity
        if weight is None:
            raise ValueError("there is no slice to mix")
        weight[weight == 0] = 1
        self._looked: Planes = total[0] / weight
        self._painted: Planes = total[1] / weight

    def fill(self, looked: Planes, painted: Planes, opacity: Planes) -> tuple[Planes, Planes]:
        """Put the mean behind a slice."""
        behind = np.float32(1) - opacity
        filled: Planes = looked * opacity + self._looked * behind
        if painted is looked:
            return filled, filled
        return filled, painted * opacity + self._painted * behind


class _Peak:
    """Where a value is greatest of the slices so far, and its neighbours."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.values, self.place = np.zeros((3, *shape), np.float32), np.zeros(shape, np.float32)
        self._last: Plane | None = None
        self.slices: list[int] = []

    def add(self, k: int, value: Plane) -> None:
        """Follow the peak to slice k, which comes after those before."""
        kernels.multiscale.follow_peak(value, len(self.slices), self._last, self.values, self.place)
        self._last = value
        self.slices.append(k)

    def found(self, *, between: bool) -> Plane:
        """Number of the slice."""
        slices = np.array(self.slices, np.float32)
        if between:
            return kernels.multiscale.between(self.values, self.place, slices)
        return slices[self.place.astype(np.int64)]


class _Depth:
    """Which slice is sharp: the next level in a wide window says it best, but thin things have halos of its width.

    Where the finest level contradicts, it is right if its slice has clearly more of what only sharp slices have.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._energy, self._share = _Peak(shape), _Peak(shape)
        self._beside = np.zeros(shape, np.float32)

    def add(self, k: int, energy: Plane, share: Plane) -> None:
        """Follow slice k, which comes after those before.

        Parameters
        ----------
        k : int
        energy : float32[y, x]
            Of the next level, in units of noise.
        share : float32[y, x]
            See `fusestack.kernels.multiscale.share`.
        """
        index = len(self._energy.slices)
        self._energy.add(k, energy)
        self._share.add(k, share)
        kernels.multiscale.value_beside(share, index, self._energy.place, self._beside)

    def found(self, *, between: bool) -> tuple[Plane, Plane]:
        """Slice and how sure it is, 0..1; unknown where it is 0."""
        depth = self._energy.found(between=between)
        contradicts = np.abs(self._share.place - self._energy.place) > 1
        contradicts &= self._share.values[1] - self._beside > np.float32(_CONTRADICTS)
        np.copyto(depth, self._share.found(between=between), where=contradicts)
        unsure = np.float32(_UNSURE)
        return depth, np.maximum(0, 1 - unsure / np.maximum(self._energy.values[1], unsure))


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
    sharpen : float
        Share of the blur between slices that is undone, 0..1.
    clips : bool
        Whether 0 and 1 are black and white, and nothing is darker or brighter: in photographs. In volumes, nothing is
        darker or brighter than any plane, but for what blur took away.
    mattes : bool
        Whether slices have an opacity.
    finds_depth : bool
        Whether the depth is wanted; else it is unknown, which changes nothing of the colours.
    grain : float
        What is no more than this is no detail that says how deep it is, even where there is less noise.
    """

    levels: int
    sharpness: int
    noise: float
    highlights: int
    slices: tuple[int, int]
    between: bool
    sharpen: float
    clips: bool
    mattes: bool = False
    finds_depth: bool = True
    grain: float = 0.0

    @property
    def step(self) -> int:
        """Where the pixels of the coarsest level lie: at multiples of this; the depth looks at two levels."""
        return max(4, 1 << self.levels)

    @property
    def depth(self) -> int:
        """Twice a whole pyramid, up and down again, and the windows of the energies of its last level."""
        pyramid = kernels.pyramid.REACH * (self.step - 1)
        mixing = 2 * pyramid + (kernels.multiscale.REACH + 2 * kernels.pyramid.REACH) * self.step // 2
        return max(_DEPTH_REACH, mixing)

    def __call__(self, slices: Iterable[SeenSlice], exposures: Exposures, place: Place) -> Planes:
        """Mix a region: colours, then the planes of `Picture`.

        Parameters
        ----------
        slices : iterable of SeenSlice
            Those that are mixed and show something, in order; gone through twice for mattes.
        exposures : Exposures
        place : Place
        """
        means: list[_Mean] = []
        finest = depth = opacity = span = None
        noise = max(exposures.noise, _LEAST_NOISE)
        shown = _Shown(slices, exposures) if self.mattes else None
        for one in slices:
            looked, painted = _as_bright(one, exposures)
            if shown is not None and one.opacity is not None:
                looked, painted = shown.fill(looked, painted, one.opacity)
            if not self.clips:
                span = span or _Span(painted)
                span.add(painted)
            seen = self._seen(looked, noise, one.opacity)
            details = seen.details if painted is looked else _pyramid(painted, self.levels)
            means = means or [_Mean(detail) for detail in details]
            finest = finest or _Peak(seen.finest.shape)
            finest.add(one.k, seen.finest)
            if seen.deep is not None:
                depth = depth or _Depth(seen.finest.shape)
                depth.add(one.k, *seen.deep)
            if one.opacity is not None:
                opacity = opacity or _Mean(one.opacity)
                opacity.add(one.opacity, seen.energies[0], self.sharpness)
            for level, parts in enumerate(zip(means, details, seen.energies, strict=True)):
                mean, detail, energy = parts
                mean.add(detail, energy, self.sharpness if level < self.levels else 1)
        if finest is None:
            raise ValueError("there is no slice to mix")
        levels = [mean.found() for mean in means]
        lost = self._lost(levels[0], finest, noise, seen.colours) if self.sharpen else None
        colours = levels.pop()
        while levels:
            finer = levels.pop()
            kernels.pyramid.add_expanded(finer, colours)
            colours = finer
        if span is not None:
            np.clip(colours, span.least, span.most, out=colours)
        if lost is not None:
            colours += lost
        if self.clips:
            np.clip(colours, 0, 1, out=colours)
        found, sure = np.zeros((2, *colours.shape[1:]), np.float32)
        if depth is not None:
            found, sure = depth.found(between=self.between)
        opaque = np.ones_like(sure) if opacity is None else opacity.found()[0]
        return Picture(colours, opaque, sure, found, (sure > 0).astype(np.float32)).packed()

    def _lost(self, detail: Planes, finest: _Peak, noise: float, colours: int) -> Planes:
        floor = kernels.multiscale.noise_energy(0, noise, colours)
        whole = _between_neighbours(finest.slices)
        return kernels.multiscale.lost_between(
            detail, finest.values, finest.place, whole, floor, self.sharpness, self.sharpen
        )

    def _seen(self, colours: Planes, noise: float, opacity: Planes | None) -> _Seen:
        """What there is to see in a slice."""
        whites = kernels.multiscale.white(colours, _WHITE) if self.clips and self.highlights else None
        details = _pyramid(colours, self.levels)
        floors = [kernels.multiscale.noise_energy(level, noise, len(colours)) for level in range(len(details))]
        found = [
            kernels.multiscale.energy(detail, floor) for detail, floor in zip(details[:-1], floors[:-1], strict=True)
        ]
        energies = [
            energy + np.float32(self.noise * floor) for (energy, *_), floor in zip(found, floors[:-1], strict=True)
        ]
        # the last level has no detail of its own
        energies.append(kernels.pyramid.reduce(energies[-1][None])[0])
        _, narrow, finest = found[0]
        deep = None
        if self.finds_depth:
            _, coarse, wide = found[1] if self.levels > 1 else kernels.multiscale.energy(_beyond(details[1]), floors[1])
            grain = [kernels.multiscale.noise_energy(level, max(noise, self.grain), len(colours)) for level in (0, 1)]
            share = kernels.multiscale.share(narrow, _expanded(coarse, narrow.shape), grain[0])
            coarser = _expanded(kernels.multiscale.smoothed(wide) / np.float32(grain[1]), narrow.shape)
            deep = [coarser, share]
        if whites is not None:
            before = energies[0].copy()
            for energy, blur in zip(energies, _blurred(energies), strict=True):
                kernels.multiscale.suppress(energy, blur * whites[0], self.highlights)
                whites = kernels.pyramid.reduce(whites)
            finest *= energies[0] / before
        if opacity is not None and opacity.min() < 1:
            before, unseen = energies[0].copy(), 1 - opacity
            for energy in energies:
                kernels.multiscale.suppress(energy, unseen[0], _UNSEEN)
                unseen = kernels.pyramid.reduce(unseen)
            for one in (finest, *(deep or ())):
                one *= energies[0] / before
        if deep is not None:
            deep[1] = kernels.multiscale.smoothed(kernels.multiscale.smoothed(deep[1]))
        return _Seen(len(colours), details, energies, finest, deep)


class _Seen(NamedTuple):
    """What is seen in a slice.

    Its number of colours; its levels, how much detail each pixel of a level has; the finest detail in a wide window.
    Where the depth is found: the detail of the next level in a wider window, in units of noise, and the share of detail
    that only what is sharp has.
    """

    colours: int
    details: list[Planes]
    energies: list[Plane]
    finest: Plane
    deep: list[Plane] | None


def _between_neighbours(slices: Sequence[int]) -> NDArray[np.bool_]:
    """Whether the slices before and behind each one follow one another, so that none between them was left out."""
    whole = np.zeros(len(slices), bool)
    whole[1:-1] = np.array(slices[2:]) - np.array(slices[:-2]) == 2
    return whole


def _expanded(coarse: Plane, shape: tuple[int, ...]) -> Plane:
    """A plane made as large as the next finer one."""
    out = np.zeros(shape, np.float32)
    kernels.pyramid.add_expanded(out[None], coarse[None])
    return out


def _beyond(planes: Planes) -> Planes:
    """What planes have beyond the next level; they stay as they are."""
    return _pyramid(planes.copy(), 1)[0]


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
