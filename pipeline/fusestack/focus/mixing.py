"""Slices are mixed at every scale: the block function of multi-scale pictures."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fusestack import kernels
from fusestack.focus.so_far import Depth, Mean, Peak, Span
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
        most: Planes | None = None
        for one in slices:
            if one.opacity is None:
                raise ValueError("a slice has no opacity")
            parts = [planes * one.opacity for planes in _as_bright(one, exposures)]
            total = parts if weight is None else [a + b for a, b in zip(total, parts, strict=True)]
            weight = one.opacity.copy() if weight is None else weight + one.opacity
            most = one.opacity.copy() if most is None else np.maximum(most, one.opacity)
        if weight is None or most is None:
            raise ValueError("there is no slice to mix")
        weight[weight == 0] = 1
        self._looked: Planes = total[0] / weight
        self._painted: Planes = total[1] / weight
        self._most = np.where(most > 0, most, np.float32(1))

    def beside_others(self, opacity: Planes) -> Planes:
        """Opacity of a slice as a share of the greatest one: what is half transparent in all of them is not hidden."""
        return np.asarray(opacity / self._most)

    def fill(self, looked: Planes, painted: Planes, opacity: Planes) -> tuple[Planes, Planes]:
        """Put the mean behind a slice."""
        behind = np.float32(1) - opacity
        filled: Planes = looked * opacity + self._looked * behind
        if painted is looked:
            return filled, filled
        return filled, painted * opacity + self._painted * behind


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
        Whether 0 and 1 are black and white: in photographs. What floats have beyond them, bright beads or hot pixels,
        stays in the finest level. In volumes, nothing is darker or brighter than any plane, but for what blur took.
    mattes : bool
        Whether slices have an opacity.
    finds_depth : bool
        Whether the depth is wanted; else it is unknown, which changes nothing of the colours.
    gaps : bool
        Whether pixels that all slices hide are NaN.
    least : float
        Deviation of a pixel of slices without noise; energies are never 0.
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
    gaps: bool = False
    least: float = 2.0**-12
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
        means: list[Mean] = []
        finest = depth = opacity = span = None
        noise = max(exposures.noise, self.least)
        shown = _Shown(slices, exposures) if self.mattes else None
        for one in slices:
            looked, painted = _as_bright(one, exposures)
            seen_part = one.opacity
            if shown is not None and one.opacity is not None:
                seen_part = shown.beside_others(one.opacity)
                looked, painted = shown.fill(looked, painted, seen_part)
            wide = painted is not looked and self.clips
            if wide or not self.clips:
                span = span or Span(painted)
                span.add(painted)
            beyond = painted - looked if wide else None
            seen = self._seen(looked, noise, seen_part)
            details = seen.details if painted is looked or wide else _pyramid(painted, self.levels)
            if beyond is not None:
                details[0] += beyond
            means = means or [Mean(detail) for detail in details]
            finest = finest or Peak(seen.finest.shape)
            finest.add(one.k, seen.finest)
            if seen.deep is not None:
                depth = depth or Depth(seen.finest.shape)
                depth.add(one.k, *seen.deep)
            if one.opacity is not None:
                opacity = opacity or Mean(one.opacity)
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
        if span is not None and not self.clips:
            np.clip(colours, span.least, span.most, out=colours)
        if lost is not None:
            colours += lost
        if self.clips:
            ends = (0, 1) if span is None else (np.minimum(span.least, 0), np.maximum(span.most, 1))
            np.clip(colours, *ends, out=colours)
        found, sure = np.zeros((2, *colours.shape[1:]), np.float32)
        if depth is not None:
            found, sure = depth.found(between=self.between)
        opaque = np.ones_like(sure) if opacity is None else opacity.found()[0]
        if self.gaps:
            colours[:, opaque == 0] = np.nan
        return Picture(colours, opaque, sure, found, (sure > 0).astype(np.float32)).packed()

    def _lost(self, detail: Planes, finest: Peak, noise: float, colours: int) -> Planes:
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
