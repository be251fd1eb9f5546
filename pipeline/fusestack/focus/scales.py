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

    from fusestack.kernels.pixels import Pixels

    Plane = NDArray[np.float32]
    Planes = NDArray[np.float32]

WHITE = 0.9
"""From here on pixels count as white; noise lets some of them be darker."""
_OUTLINES, _BESIDE = 2, 3
"""Pixels of the level after the last one that is looked at: around what is white, where its outlines are; around these,
where energies depend on where they are cut."""
_OUTLINED = 2.0
"""Where the finer level has the energy of a level divided by this, what is seen is sharp."""


def sizes_of(plane: Sequence[int], count: int) -> list[tuple[int, int]]:
    """Rows and columns of a plane and of the levels after it, so many altogether."""
    height, width = plane
    sizes = [(height, width)]
    while len(sizes) < count:
        height, width = map(kernels.pyramid.halved, sizes[-1])
        sizes.append((height, width))
    return sizes


class Levels:
    """Levels of one slice.

    Parameters
    ----------
    planes : float32[c, y, x]
        That are taken apart; they are changed by `leave_details`.
    count : int
        Levels besides the first.

    Attributes
    ----------
    planes : list of float32[c, y, x]
        Each half as large as the last.
    """

    def __init__(self, planes: Planes, count: int) -> None:
        self.planes = [np.ascontiguousarray(planes)]
        for _ in range(count):
            self.planes.append(kernels.pyramid.reduce(self.planes[-1]))

    def leave_details(self) -> list[Planes]:
        """What each level has beyond the next, and what is coarser, in their places."""
        for finer, coarser in itertools.pairwise(self.planes):
            kernels.pyramid.add_expanded(finer, coarser, -1.0)
        return self.planes


class Begun:
    """Levels of a slice but for the finest one, which stays as it is stored.

    Parameters
    ----------
    pixels : Pixels
    count : int
    white : float
        From here on colours are white.
    first : float32[c, y, x]
        Becomes the first of the levels.

    Attributes
    ----------
    planes : list of float32[c, y, x]
        Each half as large as the last.
    whites : list of Region
        Where something is white: pieces of rows of squares.
    """

    def __init__(self, pixels: Pixels, count: int, white: float, first: Planes) -> None:
        self.pixels, self.white = pixels, white
        self.planes = [first]
        cells = kernels.begin.once(pixels, white, first)
        for _ in range(1, count):
            self.planes.append(kernels.pyramid.reduce(self.planes[-1]))
        plane = pixels.shape[1:]
        runs = (Region(y, y + 1, *run) for y, row in enumerate(cells) for run in _runs(row))
        self.whites = [run.finer(kernels.begin.CELL).within_plane(plane) for run in runs]

    def part(self, region: Region) -> list[Planes]:
        """All levels of a region, also the finest one; it begins at pixels of the last one."""
        finest = kernels.pixels.shares(self.pixels.part(*region.parts))
        coarser = (one[:, *region.coarser(2 << level).parts] for level, one in enumerate(self.planes))
        return [finest, *map(np.ascontiguousarray, coarser)]


def _runs(row: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Where neighbours are true: the first one, and the one after the last."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], row, [False]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


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

    def not_highlights_around(self, begun: Begun, floors: Sequence[tuple[float, float]]) -> list[Plane]:
        """As `not_highlights` of the energies of all levels, found only around what is white.

        Parameters
        ----------
        begun : Begun
            With as many levels.
        floors : sequence of (float, float)
            See `floors`.
        """
        step, plane = 1 << self.levels, begun.pixels.shape[1:]
        found = [np.ones(size, np.float32) for size in sizes_of(plane, self.levels)]
        for white in begun.whites:
            inner = _grown(white, _OUTLINES * step, plane, step)
            outer = _grown(inner, _BESIDE * step, plane, step)
            planes = begun.part(outer)
            whites = kernels.detail.white(planes[0], begun.white)
            if whites is None:
                continue
            for level, made in enumerate(self.not_highlights(self.energies(planes, floors), whites)):
                small = inner.coarser(1 << level)
                found[level][small.parts] = made[small.within(outer.coarser(1 << level))]
        return found

    def not_highlights(self, energies: Sequence[Planes], whites: Planes) -> list[Plane]:
        """What energies are multiplied by, so that nothing counts beside what is white and blurred.

        Parameters
        ----------
        energies : sequence of float32[1 or 3, y, x]
            By level.
        whites : float32[1, y, x]
            Of the first level, see `fusestack.kernels.detail.white`.
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
