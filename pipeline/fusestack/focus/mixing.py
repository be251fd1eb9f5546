"""Slices are mixed at every scale: the block functions of multi-scale pictures.

A picture of many levels is made in two steps, so that blocks need not be read with as much around them as the coarsest
level looks at: coarse levels are mixed from slices that were made smaller (`CoarseMixing`), and under fine levels of
whole slices (`Mixing`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fusestack import kernels
from fusestack.focus.coarse_mixing import FINE, CoarseMixing, reach_of
from fusestack.focus.scales import Levels, Scales, put_together, white
from fusestack.focus.seen import Shown, as_bright
from fusestack.focus.so_far import Depth, Mean, Peak, Span
from fusestack.operators.finals import Picture

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from fusestack.focus.exposures import Exposures
    from fusestack.focus.seen import SeenSlice
    from fusestack.operators.base import Place

    Plane = NDArray[np.float32]
    Planes = NDArray[np.float32]

_UNSEEN = 32
"""How strongly outlines of what is transparent are kept out, as `Mixing.highlights`."""
_DEPTH_REACH = 36 + 2 * (2 * kernels.reaches.EVEN + kernels.reaches.FILL)
"""Pixels around one that its depth is found from, at least: two levels, their windows, and what makes it a surface."""


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
    def coarse(self) -> CoarseMixing | None:
        """What mixes the coarse levels, where that is a step of its own."""
        if self.levels <= FINE or self.mattes:
            return None  # what is put behind mattes is a mean of whole slices
        highlights = self.highlights if self.clips else 0
        return CoarseMixing(self.levels, self.sharpness, self.noise, highlights, self.slices, self.least)

    @property
    def fine(self) -> int:
        """Levels that are mixed here."""
        return self.levels if self.coarse is None else FINE

    @property
    def step(self) -> int:
        """Where the pixels of the coarsest level lie: at multiples of this; the depth looks at two levels."""
        return max(4, 1 << self.fine)

    @property
    def depth(self) -> int:
        """Pixels around a pixel that decide about it."""
        return max(_DEPTH_REACH, reach_of(max(2, self.fine)))

    def __call__(
        self, slices: Iterable[SeenSlice], exposures: Exposures, coarse: Planes | None, place: Place
    ) -> Planes:
        """Mix a region: colours, then the planes of `Picture`.

        Parameters
        ----------
        slices : iterable of SeenSlice
            Those that are mixed and show something, in order; gone through twice for mattes.
        exposures : Exposures
        coarse : float32[c, y, x] or None
            The coarse levels, mixed; None where there are none, see `coarse`.
        place : Place
        """
        shown = Shown(slices, exposures) if self.mattes else None
        sums: _Sums | None = None
        for one in slices:
            sums = sums or _Sums(self, one, exposures, base=coarse is None)
            sums.add(one, exposures.gains[one.k], shown)
        if sums is None:
            raise ValueError("there is no slice to mix")
        return sums.found(coarse)


class _Sums:
    """What is known of the slices so far, and room for one more."""

    def __init__(self, options: Mixing, first: SeenSlice, exposures: Exposures, *, base: bool) -> None:
        self._options, self._exposures = options, exposures
        noise = max(exposures.noise, options.least)
        colours, *plane = first.looked.shape
        self._scales = Scales(options.fine, options.noise, options.highlights, base)
        self._floors = self._scales.floors(noise, colours)
        grain = max(noise, options.grain)
        self._grain = [kernels.detail.noise_energy(level, grain, colours) for level in (0, 1)]
        self._room = Levels(first.looked.shape, options.fine)
        painted = colours if first.painted is None or options.clips else len(first.painted)
        shapes = [(painted, *planes.shape[1:]) for planes in self._room.planes]
        self._means = [Mean(shape) for shape in (shapes if base else shapes[:-1])]
        self._finest = Peak(plane)
        self._depth = Depth(plane) if options.finds_depth else None
        self._opacity: Mean | None = None
        self._span: Span | None = None

    def add(self, one: SeenSlice, gain: float, shown: Shown | None) -> None:
        """Add a slice, which comes after those before; its pixels are divided by `gain`."""
        options, room = self._options, self._room
        whites = white(one.looked) if options.clips and options.highlights else None
        looked, painted = as_bright(one, gain, keeps=shown is not None)
        opacity = one.opacity
        if shown is not None and opacity is not None:
            opacity = shown.beside_others(opacity)
            looked, painted = shown.fill(looked, painted, opacity)
        if painted is not looked or not options.clips:
            self._span = self._span or Span(painted)
            self._span.add(painted)
        room.fill(looked)
        if self._scales.base or painted is not looked or opacity is not None:
            energies = self._scales.energies(room.planes, self._floors, 2)
            factors = None if whites is None else self._scales.not_highlights(energies, whites)
            self._add_any(one, painted, energies, factors, opacity)
        else:
            factors = None if whites is None else self._scales.not_highlights_around(room.planes, self._floors, whites)
            self._add_row_by_row(one.k, factors)

    def _add_row_by_row(self, k: int, factors: Sequence[Plane] | None) -> None:
        """As `_add_any`, of what is looked at and not hidden, by rows that stay in the caches of the processor."""
        planes, sharpness = self._room.planes, self._options.sharpness
        below = second = None
        if self._depth is not None:
            second = self._second()
            below = second[1], self._grain[0]
        for level, mean in enumerate(self._means):
            kept = None if factors is None else factors[level]
            parts = planes[level], planes[level + 1], self._floors[level], kept, mean.sums, sharpness
            if level:
                kernels.mixing.mix(*parts)
                continue
            share = kernels.mixing.mix_finest(*parts, len(self._finest.slices), self._finest.so_far, below)
            self._finest.slices.append(k)
            if self._depth is not None and second is not None:
                deep = kernels.detail.smooth(second[2], 1 / self._grain[1])
                self._depth.add(k, deep, kernels.detail.smooth(share))

    def _second(self) -> Planes:
        """Energies of the second level, see `fusestack.kernels.detail.energy`."""
        planes = self._room.planes[1]
        coarser = self._room.planes[2] if len(self._room.planes) > 2 else kernels.pyramid.reduce(planes)
        out = np.empty((3, *planes.shape[1:]), np.float32)
        kernels.detail.energy(planes, coarser, *self._floors[1], out)
        return out

    def _add_any(
        self,
        one: SeenSlice,
        painted: Planes,
        energies: Sequence[Planes],
        factors: Sequence[Plane] | None,
        opacity: Planes | None,
    ) -> None:
        """Add a slice that was filled in; what is mixed may be another one."""
        options = self._options
        hidden = None if opacity is None or opacity.min() == 1 else _hidden(opacity, len(energies))
        if self._depth is not None:
            second = energies[1] if options.fine > 1 else self._second()
            deep = kernels.detail.smooth(second[2], 1 / self._grain[1])
            share = kernels.detail.share(energies[0][1], second[1], self._grain[0])
            if hidden is not None:
                deep *= hidden[1]
                share *= hidden[0]
            self._depth.add(one.k, deep, kernels.detail.smooth(kernels.pyramid.reduce(share[None])[0]))
        finest = energies[0][2]
        for kept in (factors, hidden):
            if kept is not None:
                finest *= kept[0]
                for energy, factor in zip(energies, kept, strict=True):
                    energy[0] *= factor
        if one.opacity is not None:
            self._opacity = self._opacity or Mean(one.opacity.shape)
            self._opacity.add(one.opacity, energies[0][0], options.sharpness)
        self._finest.add(one.k, finest)
        details = self._details(painted)
        for level, mean in enumerate(self._means):
            mean.add(details[level], energies[level][0], options.sharpness if level < options.levels else 1)

    def _details(self, painted: Planes) -> list[Planes]:
        """Levels of what is mixed; what has the same pixels has them, but for what is beyond black and white."""
        room = self._room
        if painted is room.planes[0]:
            return room.leave_details()
        if self._options.clips:
            beyond = painted - room.planes[0]
            details = room.leave_details()
            details[0] += beyond
            return details
        other = Levels(painted.shape, self._options.fine)
        other.fill(painted)
        return other.leave_details()

    def found(self, coarse: Planes | None) -> Planes:
        """The picture, see `Mixing`."""
        options, span = self._options, self._span
        levels = [mean.found() for mean in self._means]
        lost = None
        if options.sharpen:
            peak, whole = self._finest, self._exposures.follow_one_another(self._finest.slices)
            lost = kernels.multiscale.lost_between(
                levels[0], peak.values, peak.place, whole, self._floors[0][0], options.sharpness, options.sharpen
            )
        colours = put_together(levels, levels.pop() if coarse is None else coarse)
        if span is not None and not options.clips:
            np.clip(colours, span.least, span.most, out=colours)
        planes = np.empty((len(colours) + 4, *colours.shape[1:]), np.float32)
        picture = Picture.unpacked(planes)
        np.add(colours, 0 if lost is None else lost, out=picture.colours)
        if options.clips:
            ends = (0, 1) if span is None else (np.minimum(span.least, 0), np.maximum(span.most, 1))
            np.clip(picture.colours, *ends, out=picture.colours)
        picture.depth[...], picture.mask[...] = (
            (0, 0) if self._depth is None else self._depth.found(between=options.between)
        )
        picture.depth_alpha[...] = picture.mask > 0
        picture.alpha[...] = 1 if self._opacity is None else self._opacity.found()[0]
        if options.gaps:
            picture.colours[:, picture.alpha == 0] = np.nan
        return planes


def _hidden(opacity: Planes, levels: int) -> list[Plane]:
    """What energies of each level are multiplied by, so that outlines of what is transparent do not count."""
    unseen, found = 1 - opacity, []
    for _ in range(levels):
        found.append(kernels.detail.not_white(unseen[0], _UNSEEN))
        unseen = kernels.pyramid.reduce(unseen)
    return found
