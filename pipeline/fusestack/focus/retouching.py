"""Retouching by hand: parts of the picture are those of a slice that somebody chose.

What a slice has beyond the picture is put in level by level of a pyramid, within outlines that are as wide as the
level is coarse (Burt and Adelson 1983, "A multiresolution spline with application to image mosaics"), so that no
border is seen: the middle of an area is the slice, its surroundings stay the picture.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fusestack import kernels
from fusestack.focus.blocks import BYTES, BlockWise, in_blocks, read_planes
from fusestack.focus.exposures import exposures_of
from fusestack.focus.montage import PICTURE_PLANES
from fusestack.focus.region import Region
from fusestack.model.amounts import counted
from fusestack.model.errors import ConfigError
from fusestack.model.stage import Along
from fusestack.operators.finals import Picture

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from fusestack.config.load import LoadedConfig
    from fusestack.focus.areas import Area
    from fusestack.focus.channels import SliceChannels
    from fusestack.focus.recipe import Recipe, StackRecipe
    from fusestack.focus.stack import StackInput
    from fusestack.model.stage import Reach, StoredArray
    from fusestack.operators.base import Place
    from fusestack.planning.plan import Statistic

    Plane = NDArray[np.float32]
    Planes = NDArray[np.float32]

_ROWS = 256
"""Of a large area, that are looked at together."""


class Patch(NamedTuple):
    """An area, and what its slice has there: colours float32[c, y, x], opacity float32[y, x] (None: opaque)."""

    area: Area
    colours: Planes
    opacity: Plane | None

    def within(self, part: tuple[slice, slice, slice]) -> Patch:
        """A part of it."""
        return Patch(self.area, self.colours[part], None if self.opacity is None else self.opacity[part[1:]])


@dataclass(frozen=True)
class Retouching:
    """Areas become those of slices, later ones over earlier ones: the block function of retouched pictures.

    Each pixel belongs to one area, or to the picture, and each area is blended with the picture as it was; so a pixel
    depends on what is as near as one outline is wide, however many areas lie over one another. Its arrays begin at
    multiples of `step`.

    Parameters
    ----------
    areas : tuple of Area
    """

    areas: tuple[Area, ...]

    @property
    def step(self) -> int:
        """Where the pixels of the coarsest level lie: at multiples of this."""
        return max(area.step for area in self.areas)

    @property
    def depth(self) -> int:
        """Pixels around a pixel that decide about it."""
        return max(area.reach for area in self.areas)

    def __call__(self, planes: Planes, patches: Iterable[Patch], place: Place) -> Planes:
        """Retouch planes float32[plane, y, x] in place: colours, and those of `Picture`; others stay.

        Parameters
        ----------
        planes : array
        patches : iterable of Patch
            The last one first.
        place : Place
        """
        top, left = place.origin
        whole = Region(top, top + planes.shape[1], left, left + planes.shape[2])
        before: Planes | None = None
        for patch in patches:
            count = len(patch.colours)
            if before is None:
                before = np.where(planes[count] > 0, planes[:count], np.nan)
                taken = np.zeros(whole.shape, bool)
                ends = np.fmin(before, 0), np.fmax(before, 1)
            box = patch.area.around(whole)
            part = (slice(None), *box.within(whole))
            own = kernels.polygon.inside(patch.area.polygon, box.origin, box.shape) & ~taken[part[1:]]
            taken[part[1:]] |= own
            parts = (planes[: count + PICTURE_PLANES][part], before[part], *(end[part] for end in ends))
            _show(patch.within(part), own, *parts)
        if before is not None:
            colours = planes[: len(before)]
            np.clip(colours, *ends, out=colours, where=~np.isnan(colours))
        return planes


def _show(
    patch: Patch, own: NDArray[np.bool_], planes: Planes, before: Planes, lowest: Planes, highest: Planes
) -> None:
    """Blend a slice into a picture, in place; what is not known of one of them is that of the other.

    Parameters
    ----------
    patch : Patch
    own : bool[y, x]
        Pixels that it is shown at.
    planes : float32[plane, y, x]
        The picture as it becomes.
    before : float32[c, y, x]
        Its colours as they were, NaN where nothing is shown.
    lowest, highest : float32[c, y, x]
        Numbers between which it stays.
    """
    area, seen, opacity = patch
    if opacity is not None:
        seen = np.where(opacity > 0, seen, np.nan)
    more = _outlined(np.nan_to_num(seen - before), own, area.levels)
    for end, limit in ((lowest, np.fmin), (highest, np.fmax)):
        end[:] = np.where(more != 0, limit(end, seen), end)
    picture = Picture.unpacked(planes)
    shown = own & ~np.isnan(seen).any(axis=0)
    picture.colours[:, shown] = np.where(np.isnan(before), seen, picture.colours)[:, shown]
    picture.colours[:] += more
    picture.alpha[shown] = 1 if opacity is None else np.maximum(picture.alpha, opacity)[shown]
    picture.mask[shown] = picture.depth_alpha[shown] = 1
    picture.depth[shown] = area.slice


def _outlined(more: Planes, own: NDArray[np.bool_], levels: int) -> Planes:
    """A difference within outlines that are as wide as each level of it is coarse; changes it."""
    pyramid, weights = [np.ascontiguousarray(more)], [own[None].astype(np.float32)]
    for _ in range(levels):
        pyramid.append(kernels.pyramid.reduce(pyramid[-1]))
        weights.append(kernels.pyramid.reduce(weights[-1]))
    for fine, coarse in itertools.pairwise(pyramid):
        kernels.pyramid.add_expanded(fine, coarse, -1)
    found = pyramid[-1] * weights[-1]
    for fine, weight in zip(pyramid[-2::-1], weights[-2::-1], strict=True):
        fine *= weight
        kernels.pyramid.add_expanded(fine, found)
        found = fine
    return found


@dataclass(frozen=True)
class RetouchedPicture(BlockWise):
    """A picture [t, m, plane, y, x] with areas that somebody chose.

    Parameters
    ----------
    picture : StoredArray
    painted : SliceChannels
    opacity : SliceChannels or None
        Of the slices.
    counts : Statistic or None
        See `SliceCounts`; where slices were made equally bright.
    timepoints : tuple of int
        As areas name them.
    """

    function: Retouching
    picture: StoredArray
    painted: SliceChannels
    opacity: SliceChannels | None
    counts: Statistic | None
    timepoints: tuple[int, ...]

    @property
    def step(self) -> int:
        """See `BlockWise.step`."""
        return self.function.step

    def read(self, t: int, m: int, k: int, region: Region) -> tuple[Planes, Iterator[Patch]]:
        """All planes of the picture, and what areas show there, one by one."""
        planes = read_planes(self.picture, t, m, (0, self.picture.shape[2]), region)
        return planes, self._patches(t, m, region)

    def _patches(self, t: int, m: int, region: Region) -> Iterator[Patch]:
        for area in reversed(self.function.areas):
            if area.timepoint not in (None, self.timepoints[t]) or not area.meets(region):
                continue
            colours = self.painted.read(t, m, area.slice, region, keeps_nan=True)
            if self.counts is not None:
                colours /= np.float32(exposures_of(self.counts, t, m, gains=True).gains[area.slice])
            opacity = None if self.opacity is None else self.opacity.read(t, m, area.slice, region)[0]
            yield Patch(area, colours, opacity)

    def reaches(self) -> dict[StoredArray, Reach]:
        """All planes, and slices, with what is around a block."""
        halo = self.halo
        found = {self.picture: (Along(), Along(), None, halo, halo)} | self.painted.reaches(None, halo, halo)
        return found if self.opacity is None else found | self.opacity.reaches(None, halo, halo)

    def peak_bytes(self, block: tuple[int, ...]) -> int:
        """Memory of a block: the picture, limits, a slice, differences and their pyramid; outlines."""
        colours = len(self.painted.sets[0])
        return BYTES * self.outer_pixels(block) * (block[2] + 11 * colours + 6)

    def warm_up(self) -> None:
        """Compile what the blending needs, on a few pixels."""
        inside = kernels.polygon.inside([(0, 0), (2, 0), (0, 2)], (0, 0), (4, 4))
        _outlined(np.zeros((1, 4, 4), np.float32), inside, 1)


def retouched(
    on: StackRecipe, picture: StoredArray, counts: Statistic | None, timepoints: tuple[int, ...]
) -> StoredArray:
    """The picture with the areas of a recipe.

    Parameters
    ----------
    on : StackRecipe
    picture : StoredArray
        Of all slices, before the final operators.
    counts : Statistic or None
        Of slices that were made equally bright.
    timepoints : tuple of int
        Of the stack.
    """
    areas, sets = on.recipe.retouch, on.sets
    compute = RetouchedPicture(sets.size, Retouching(areas), picture, sets.painted, sets.opacity, counts, timepoints)
    title = f"retouched in {counted(len(areas), 'area')}"
    return on.cached.add(f"{on.prefix}retouched", title, compute, in_blocks(picture.shape, (1, 1, picture.shape[2])))


def check_retouch(loaded: LoadedConfig, recipe: Recipe, stack: StackInput) -> None:
    """Refuse areas of slices that there are not, and outside of the picture.

    Raises
    ------
    ConfigError
    """
    whole = Region(0, stack.shape[3], 0, stack.shape[4])
    for number, area in enumerate(recipe.retouch):
        said = loaded.cite(f"focus.retouch.{number}")
        if recipe.substacks:
            raise ConfigError(f"{said}: substacks are pictures of their own; remove retouch or substacks")
        if recipe.multiscale is None and not recipe.generators:
            raise ConfigError(f"{said}: there is no picture without masks, only a background; name masks")
        if area.slice >= stack.shape[2]:
            raise ConfigError(
                f"{said}: there is no slice {area.slice}; the stack has {stack.shape[2]}, counted from 0, as in the "
                "depth map"
            )
        if not _has_pixels(area, whole):
            raise ConfigError(
                f"{said}: no pixel lies in the polygon; the picture has {whole.right} x {whole.bottom}, and the first "
                "one is 0, 0"
            )
        if area.timepoint is not None and area.timepoint not in stack.timepoints:
            raise ConfigError(f"{said}: there is no timepoint {area.timepoint}")
        if area.timepoint is None and stack.shape[0] > 1:
            raise ConfigError(f"{said}: the stack has {stack.shape[0]} timepoints; name the one that is retouched")


def _has_pixels(area: Area, whole: Region) -> bool:
    box = area.box(whole)
    bands = range(box.top, box.bottom, _ROWS)
    return any(
        kernels.polygon.inside(area.polygon, (top, box.left), (min(_ROWS, box.bottom - top), box.shape[1])).any()
        for top in bands
    )
