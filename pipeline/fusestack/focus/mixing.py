"""Slices are mixed at every scale: the block functions of multi-scale pictures.

A picture of many levels is made in two steps, so that blocks need not be read with as much around them as the coarsest
level looks at: coarse levels are mixed from slices that were made smaller (`CoarseMixing`), and under fine levels of
whole slices (`Mixing`).
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fusestack import kernels
from fusestack.focus.coarse_mixing import FINE, CoarseMixing, reach_of
from fusestack.focus.scales import WHITE, Begun, Levels, Scales, put_together, sizes_of
from fusestack.focus.seen import Shown, as_bright, stored
from fusestack.focus.so_far import Depth, Mean, Peak, Span
from fusestack.focus.waiting import Waiting
from fusestack.operators.finals import Picture

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from fusestack.focus.exposures import Exposures
    from fusestack.focus.seen import SeenSlice
    from fusestack.kernels.pixels import Pixels
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
        highlights = options.highlights if options.clips else 0
        self._scales = Scales(options.fine, options.noise, highlights, base)
        self._floors = self._scales.floors(noise, colours)
        grain = max(noise, options.grain)
        self._grain = [kernels.detail.noise_energy(level, grain, colours) for level in (0, 1)]
        painted = colours if first.painted is None or options.clips else len(first.painted)
        self._means = [Mean((painted, *size)) for size in sizes_of(plane, options.fine + base)]
        self._finest = Peak(plane)
        self._depth = Depth(plane) if options.finds_depth else None
        self._opacity: Mean | None = None
        self._span = None if options.clips and first.painted is None else Span((painted, *plane))
        self._waiting: Waiting | None = None

    def add(self, one: SeenSlice, gain: float, shown: Shown | None) -> None:
        """Add a slice, which comes after those before; its pixels are divided by `gain`."""
        white = WHITE / gain if self._scales.highlights else math.inf
        if shown is None and one.painted is None and not self._scales.base:
            self._add_row_by_row(one.k, stored(one.looked).divided(gain), white)
            return
        looked, painted = as_bright(one, gain)
        whites = kernels.detail.white(looked, white) if self._scales.highlights else None
        opacity = one.opacity
        if shown is not None and opacity is not None:
            opacity = shown.beside_others(opacity)
            looked, painted = shown.fill(looked, painted, opacity)
        if self._span is not None:
            self._span.add(painted)
        room = Levels(looked, self._options.fine)
        energies = self._scales.energies(room.planes, self._floors, 2)
        factors = None if whites is None else self._scales.not_highlights(energies, whites)
        self._add_any(one, room, painted, energies, factors, opacity)

    def _add_row_by_row(self, k: int, pixels: Pixels, white: float) -> None:
        """As `_add_any`, of what is looked at and not hidden, by rows that stay in the caches of the processor."""
        options = self._options
        waiting = self._waiting
        if waiting is not None and not waiting.has_room(pixels):
            self._mix_waiting(waiting)
        if waiting is None or not waiting.has_room(pixels):
            waiting = self._waiting = Waiting(pixels, finds_depth=options.finds_depth)
        at, factors = len(waiting.numbers), None
        begun = Begun(pixels, options.fine, white, waiting.coarse[at])
        if begun.whites:
            factors = self._scales.not_highlights_around(begun, self._floors, waiting.factors())
        for level, (finer, coarser) in enumerate(itertools.pairwise(begun.planes), 1):
            kept = None if factors is None else factors[level]
            windows = waiting.windows[at] if level == 1 and options.finds_depth else None
            parts = finer, coarser, self._floors[level], kept, self._means[level].sums
            kernels.mixing.mix(*parts, options.sharpness, windows)
        waiting.add(k, pixels, has_factors=factors is not None)

    def _mix_waiting(self, waiting: Waiting) -> None:
        """Mix the finest level of the slices that wait."""
        span = None if self._span is None else (self._span.least, self._span.most)
        shares = kernels.mixing.mix_finest(
            waiting.finest(),
            self._floors[0],
            self._means[0].sums,
            self._options.sharpness,
            len(self._finest.slices),
            self._finest.so_far,
            span,
            self._grain[0],
        )
        self._finest.slices += waiting.numbers
        if self._depth is not None:
            for k, windows, share in zip(waiting.numbers, waiting.windows, shares, strict=False):
                deep = kernels.detail.smooth(windows[1], 1 / self._grain[1])
                self._depth.add(k, deep, kernels.detail.smooth(share))
        waiting.clear()

    def _add_any(
        self,
        one: SeenSlice,
        room: Levels,
        painted: Planes,
        energies: Sequence[Planes],
        factors: Sequence[Plane] | None,
        opacity: Planes | None,
    ) -> None:
        """Add a slice that was filled in; what is mixed may be another one."""
        options = self._options
        hidden = None if opacity is None or opacity.min() == 1 else _hidden(opacity, len(energies))
        if self._depth is not None:
            second = energies[1] if options.fine > 1 else self._second(room)
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
        details = self._details(room, painted)
        for level, mean in enumerate(self._means):
            mean.add(details[level], energies[level][0], options.sharpness if level < options.levels else 1)

    def _second(self, room: Levels) -> Planes:
        """Energies of the second level where one is all that is mixed, see `fusestack.kernels.detail.energy`."""
        planes = room.planes[1]
        out = np.empty((3, *planes.shape[1:]), np.float32)
        kernels.detail.energy(planes, kernels.pyramid.reduce(planes), *self._floors[1], out)
        return out

    def _details(self, room: Levels, painted: Planes) -> list[Planes]:
        """Levels of what is mixed; what has the same pixels has them, but for what is beyond black and white."""
        if painted is room.planes[0]:
            return room.leave_details()
        if self._options.clips:
            beyond = painted - room.planes[0]
            details = room.leave_details()
            details[0] += beyond
            return details
        return Levels(painted, self._options.fine).leave_details()

    def found(self, coarse: Planes | None) -> Planes:
        """The picture, see `Mixing`."""
        if self._waiting is not None and self._waiting.numbers:
            self._mix_waiting(self._waiting)
        self._waiting = None
        options, span = self._options, self._span
        levels = [mean.found() for mean in self._means]
        planes = np.empty((len(levels[0]) + 4, *levels[0].shape[1:]), np.float32)
        picture = Picture.unpacked(planes)
        if options.sharpen:
            peak, whole = self._finest, self._exposures.follow_one_another(self._finest.slices)
            sharpness = options.sharpness, options.sharpen
            kernels.multiscale.lost_between(
                levels[0], peak.values, peak.place, whole, self._floors[0][0], *sharpness, picture.colours
            )
        colours = put_together(levels, levels.pop() if coarse is None else coarse)
        if span is not None and not options.clips:
            np.clip(colours, span.least, span.most, out=colours)
        np.add(colours, picture.colours if options.sharpen else 0, out=picture.colours)
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
