"""What there is to see in one slice, level by level of a pyramid: detail, and how much of it there is."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fusestack import kernels
from fusestack.focus.region import Region

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Plane = NDArray[np.float32]
    Planes = NDArray[np.float32]

_WHITE = 0.9
"""From here on pixels count as white; noise lets some of them be darker."""
_OUTLINES, _BESIDE = 32, 64
"""Pixels around what is white where its outlines are, at the coarsest of the fine levels; around these, where energies
depend on where they are cut."""
_OUTLINED = 2.0
"""Where the finer level has the energy of a level divided by this, what is seen is sharp."""


class Levels:
    """Levels of one slice after the other; all but the first in the same memory.

    Parameters
    ----------
    shape : (int, int, int)
        Colours, rows and columns of the planes that are taken apart.
    count : int

    Attributes
    ----------
    planes : list of float32[c, y, x]
        Each half as large as the last.
    """

    def __init__(self, shape: tuple[int, ...], count: int) -> None:
        self.planes = [np.empty(shape, np.float32)]
        for _ in range(count):
            colours, *plane = self.planes[-1].shape
            self.planes.append(np.empty((colours, *map(kernels.pyramid.halved, plane)), np.float32))

    def fill(self, planes: Planes) -> None:
        """Make all levels from the first one, float32[c, y, x]."""
        self.planes[0] = np.ascontiguousarray(planes)
        for finer, coarser in itertools.pairwise(self.planes):
            kernels.pyramid.reduce(finer, coarser)

    def leave_details(self) -> list[Planes]:
        """What each level has beyond the next, and what is coarser, in their places."""
        for finer, coarser in itertools.pairwise(self.planes):
            kernels.pyramid.add_expanded(finer, coarser, -1.0)
        return self.planes


@dataclass(frozen=True)
class Scales:
    """How much of what each level shows counts.

    Parameters
    ----------
    levels : int
        How many of them are looked at.
    noise : float
        What is added to energies, in units of the energy of noise.
    highlights : int
        See `fusestack.config.focus.Multiscale`.
    base : bool
        Whether what is coarser is one of them. It has no detail of its own.
    first : int
        Level of the planes that are given: 0, or more where they are smaller.
    """

    levels: int
    noise: float
    highlights: int
    base: bool
    first: int = 0

    def floors(self, deviation: float, colours: int) -> list[tuple[float, float]]:
        """Energy of noise of each level and of the next, and what is added to energies."""
        floors = (
            kernels.detail.noise_energy(self.first + level, deviation, colours) for level in range(self.levels + 1)
        )
        return [(floor, self.noise * floor) for floor in floors]

    def energies(self, planes: Sequence[Planes], floors: Sequence[tuple[float, float]], known: int = 0) -> list[Planes]:
        """Energies of all levels, of the first `known` ones with either window, too; see `fusestack.kernels.detail`."""
        found = []
        for level, (finer, coarser) in enumerate(itertools.pairwise(planes)):
            out = np.empty((3 if level < known else 1, *finer.shape[1:]), np.float32)
            kernels.detail.energy(finer, coarser, *floors[level], out)
            found.append(out)
        if self.base:
            found.append(kernels.pyramid.reduce(found[-1][:1]))
        return found

    def not_highlights_around(
        self, planes: Sequence[Planes], floors: Sequence[tuple[float, float]], whites: Planes
    ) -> list[Plane]:
        """As `not_highlights` of the energies of levels (see `Levels`), found only around what is white.

        Parameters
        ----------
        planes : sequence of float32[c, y, x]
        floors : sequence of (float, float)
            See `floors`.
        whites : float32[1, y, x]
            Some are 1.
        """
        step, plane = 1 << self.levels, (planes[0].shape[1], planes[0].shape[2])
        rows, columns = (np.flatnonzero(whites[0].any(axis=axis)) for axis in (1, 0))
        white = Region(int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)
        inner = _grown(white, _OUTLINES, plane, step)
        outer = _grown(inner, _BESIDE, plane, step)
        part = [np.ascontiguousarray(one[:, *outer.coarser(1 << level).parts]) for level, one in enumerate(planes)]
        own = self.not_highlights(self.energies(part, floors), np.ascontiguousarray(whites[:, *outer.parts]))
        found = [np.ones(one.shape[1:], np.float32) for one in planes[: len(own)]]
        for level, (whole, made) in enumerate(zip(found, own, strict=True)):
            small = inner.coarser(1 << level)
            whole[small.parts] = made[small.within(outer.coarser(1 << level))]
        return found

    def not_highlights(self, energies: Sequence[Planes], whites: Planes) -> list[Plane]:
        """What energies are multiplied by, so that nothing counts beside what is white and blurred.

        Parameters
        ----------
        energies : sequence of float32[1 or 3, y, x]
            By level.
        whites : float32[1, y, x]
            Of the first level, see `white`.
        """
        found = []
        for blur in _blurred([energy[0] for energy in energies], base=self.base):
            found.append(kernels.detail.not_white(blur * whites[0], self.highlights))
            whites = kernels.pyramid.reduce(whites)
        return found


def _grown(region: Region, halo: int, plane: tuple[int, int], step: int) -> Region:
    """With a halo, from a multiple of `step` to one, or to the end of the plane."""
    found = region.grown(halo, plane, step)
    bottom, right = (min(-(-end // step) * step, n) for end, n in zip((found.bottom, found.right), plane, strict=True))
    return Region(found.top, bottom, found.left, right)


def white(planes: Planes) -> Planes | None:
    """1 where all colours are white, else 0: float32[1, y, x]; None where that is nowhere."""
    return kernels.detail.white(planes, _WHITE)


def reduced(planes: Planes, times: int) -> Planes:
    """Planes of a coarser level."""
    for _ in range(times):
        planes = kernels.pyramid.reduce(planes)
    return planes


def expanded(coarse: Plane, shape: tuple[int, ...]) -> Plane:
    """A plane made as large as the next finer one."""
    out = np.zeros(shape, np.float32)
    kernels.pyramid.add_expanded(out[None], coarse[None])
    return out


def put_together(levels: Sequence[Planes], coarse: Planes) -> Planes:
    """The inverse of `Levels.leave_details`; takes the place of the first level."""
    for finer in reversed(levels):
        kernels.pyramid.add_expanded(finer, coarse)
        coarse = finer
    return coarse


def _blurred(energies: Sequence[Plane], *, base: bool) -> list[Plane]:
    """How blurred what is seen is, 0..1: outlines that are sharp have detail in the finer level, too.

    White lines and letters that are in focus are told from discs of highlights by that.
    """
    own = energies[:-1] if base else energies
    found = [
        1 - np.minimum(1, np.float32(_OUTLINED) * kernels.pyramid.reduce(finer[None])[0] / here)
        for finer, here in itertools.pairwise(own)
    ]
    found.insert(0, expanded(found[0], energies[0].shape) if found else np.ones_like(energies[0]))
    return [*found, kernels.pyramid.reduce(found[-1][None])[0]] if base else found
