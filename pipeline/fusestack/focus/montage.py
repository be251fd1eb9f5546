"""Painting the slices over one another, from the back to the front."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np

from fusestack import kernels
from fusestack.focus.blocks import BYTES, BlockWise, in_blocks, in_planes, read_planes
from fusestack.focus.statistics import Bands, Extremes
from fusestack.model.stage import Along
from fusestack.operators.canvas import TOLERANCE, Canvas, Step
from fusestack.operators.finals import Picture

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from fusestack.focus.channels import Resizing, SliceChannels
    from fusestack.focus.recipe import StackRecipe
    from fusestack.focus.region import Region
    from fusestack.model.stage import Reach, StoredArray
    from fusestack.operators.base import Place
    from fusestack.operators.cuts import CutOperator
    from fusestack.operators.masks import MaskLevel
    from fusestack.planning.plan import Statistic

    Plane = NDArray[np.float32]
    Planes = NDArray[np.float32]

PICTURE_PLANES = 4
"""Planes of a picture besides its colours: opacity, mask, depth and where the depth is known."""


def planes_of(colours: int, *, canvas: bool = False) -> int:
    """Planes of a picture, and of a canvas of its own behind it (colours, opacity)."""
    return colours + PICTURE_PLANES + (colours + 1 if canvas else 0)


@dataclass(frozen=True)
class FinalLevel:
    """Stretching of the merged masks (imfuse's ``--masklevel``).

    Parameters
    ----------
    options : MaskLevel
    limits : Statistic or None
        Least and greatest merged mask; None where the options name both.
    """

    options: MaskLevel
    limits: Statistic | None

    def apply(self, mask: Plane, t: int, m: int) -> Plane:
        """Stretch a mask."""
        if self.options.over == "off":
            return mask
        found = (0.0, 1.0) if self.limits is None else kernels.levels.six_digits(*self.limits.of(t, m))
        low = found[0] if self.options.low is None else self.options.low / 100
        high = found[1] if self.options.high is None else self.options.high / 100
        low, high = kernels.levels.rounded_outwards(low, high, self.options.step / 100)
        return kernels.levels.stretch(mask, low, high)


class _Neighbours:
    """Masks and colours of the slices beside the one in focus, while slices are painted from back to front."""

    def __init__(self, count: int, shape: tuple[int, int], *, colours: bool) -> None:
        self._peak = np.zeros((3, *shape), np.float32)
        self._closed = np.ones(shape, bool)
        self._begun = np.zeros(shape, bool)
        self._mask: Plane | None = None
        self._colours: Planes | None = None
        size = (count, *shape) if colours else (0, 0, 0)
        self._behind, self._front = np.zeros(size, np.float32), np.zeros(size, np.float32)

    def follow(self, mask: Plane, colours: Planes, opacity: Plane) -> None:
        """Take notice of a slice; where its mask is black it shows nothing, as if it were not there."""
        empty = (mask <= 0) & (opacity <= 0.5)
        closed = self._closed | empty
        if self._behind.size:
            before = self._last(self._colours, colours)
            kernels.paint.follow_colours(colours, before, opacity, self._behind, self._front, closed)
            self._colours = np.where(empty, before, colours)
        before_mask = self._last(self._mask, mask)
        kernels.paint.follow_peak(mask, before_mask, opacity, self._peak, closed)
        self._mask = np.where(empty, before_mask, mask)
        self._closed = np.where(empty, self._closed, closed)
        self._begun |= ~empty

    def _last(self, kept: Planes | None, here: Planes) -> Planes:
        """What the slice behind has, or this one itself where there is none."""
        if kept is None:
            return here
        return kept if self._begun.all() else np.where(self._begun, kept, here)

    def offset(self) -> Plane:
        """Where the focus lies, in slices behind the nearest one."""
        return kernels.paint.between_slices(self._peak)

    def sharpen(self, colours: Planes, offset: Plane, share: float) -> None:
        """Undo the blur of what lies between slices, in place."""
        if self._behind.size:
            kernels.paint.sharpen_between(colours, offset, self._behind, self._front, share)


class SeenSlice(NamedTuple):
    """What is painted of a slice: its number, its mask float32[y, x], its colours float32[c, y, x], its opacity."""

    k: int
    mask: Plane
    colours: Planes
    opacity: Plane | None


@dataclass(frozen=True)
class Painting:
    """Slices are painted over one another: the block function of montages.

    Parameters
    ----------
    cuts : tuple of CutOperator
    slices : (int, int)
        Those that are painted, ``first <= k < last``.
    between : bool
        Whether the depth is found between slices, by a parabola through three masks.
    sharpen : float
        Share of the blur between slices that is undone, 0..1; only with `between`.
    """

    cuts: tuple[CutOperator, ...]
    slices: tuple[int, int]
    between: bool = False
    sharpen: float = 0.0

    mattes: ClassVar[bool] = False
    """Whether slices have an opacity."""

    @property
    def keeps_canvas(self) -> bool:
        """Whether a second canvas follows as further planes (colours, opacity): a layer of the background."""
        return any(cut.keeps_canvas for cut in self.cuts)

    @property
    def _fills(self) -> bool:
        """Whether a cut looks at what is painted."""
        return any(cut.sees_painted for cut in self.cuts)

    @property
    def depth(self) -> int | None:
        """The halos of all cuts, and as often as a cut decides about the next slice's; None where one sees planes."""
        if any(cut.needs_whole_plane for cut in self.cuts):
            return None
        total = sum(cut.halo() for cut in self.cuts)
        recursive = [i for i, cut in enumerate(self.cuts) if cut.recursive]
        if recursive:
            # what is painted is the end of the whole chain
            end = len(self.cuts) if self._fills else max(recursive)
            total += (self.slices[1] - self.slices[0]) * sum(cut.halo() for cut in self.cuts[:end])
        return total

    def __call__(self, slices: Iterable[SeenSlice], size: tuple[int, int, int], place: Place) -> Planes:
        """Paint a region: colours, then the planes of `Picture`, then those of a canvas that is kept.

        Parameters
        ----------
        slices : iterable of SeenSlice
            From the back to the front.
        size : (int, int, int)
            Colours, rows and columns.
        place : Place
        """
        count, *shape = size
        # the index of the slice is painted like a colour, and so is its opacity
        result = Canvas.empty((count + 1 + self.mattes, *shape))
        result.colours[count] = place.slices - 1  # what nothing is painted on lies at the back
        layer = np.empty_like(result.colours)
        greatest, valley, painted = np.zeros((3, *shape), np.float32)
        neighbours = _Neighbours(count, (shape[0], shape[1]), colours=self.sharpen > 0) if self.between else None
        canvas = None
        for k, mask, colours, seen in slices:
            cut = kernels.paint.hard_cut(mask, greatest, TOLERANCE)
            step = Step(mask, cut, greatest, colours, painted if self._fills else result.alpha, valley, canvas)
            for operator in self.cuts:
                operator.apply(step)
            canvas = step.canvas
            opacity = np.ascontiguousarray(step.cut)
            if self._fills:
                painted += np.clip(opacity, 0, 1) * (1 - painted)
            layer[:count] = colours
            layer[count] = k
            if self.mattes:
                layer[-1] = 1 if seen is None else seen
            if neighbours is not None:
                beside = layer[:count] if seen is None else np.where(seen > 0, layer[:count], result.colours[:count])
                neighbours.follow(mask, beside, opacity)
            result.paint(layer, opacity)
        shown = result.alpha * result.colours[-1] if self.mattes else result.alpha
        painted_slices = Canvas(result.colours[:count], shown)
        return self._picture(painted_slices, result.alpha, result.colours[count], greatest, neighbours, canvas)

    def _picture(
        self,
        result: Canvas,
        known: Plane,
        depth: Plane,
        mask: Plane,
        neighbours: _Neighbours | None,
        canvas: Canvas | None,
    ) -> Planes:
        """What was painted, with the depth between slices, and over a canvas of its own or with that behind it."""
        if neighbours is not None:
            nearest, depth = depth, np.clip(depth + neighbours.offset(), self.slices[0], self.slices[1] - 1)
            ends = np.minimum(result.colours, 0), np.maximum(result.colours, 1)  # what is there may be a hot pixel
            neighbours.sharpen(result.colours, depth - nearest, self.sharpen)
            np.clip(result.colours, *ends, out=result.colours)
        if canvas is not None and not self.keeps_canvas:
            canvas.paint(result.colours, result.alpha)
            result = canvas
        planes = Picture(result.colours, result.alpha, mask, depth, known).packed()
        if not self.keeps_canvas:
            return planes
        kept = Canvas.empty(result.colours.shape) if canvas is None else canvas
        return np.concatenate([planes, kept.colours, kept.alpha[None]])


@dataclass(frozen=True)
class MattePainting(Painting):
    """Slices that are cut out: what is painted is as opaque as the slice that is shown."""

    mattes: ClassVar[bool] = True


@dataclass(frozen=True)
class Montage(BlockWise):
    """Picture planes [t, m, plane, y, x] of some slices: colours, then those of `Picture`.

    Parameters
    ----------
    painted : SliceChannels
    opacity : SliceChannels or None
        Of the slices, where it matters.
    masks : StoredArray
        Merged masks.
    resizing : Resizing
        From masks to slices.
    level : FinalLevel
    """

    function: Painting
    painted: SliceChannels
    opacity: SliceChannels | None
    masks: StoredArray
    resizing: Resizing
    level: FinalLevel

    def read(self, t: int, m: int, k: int, region: Region) -> tuple[Iterator[SeenSlice], tuple[int, int, int]]:
        """Slices one by one, from the back to the front."""
        first, last = self.function.slices

        def slices() -> Iterator[SeenSlice]:
            for k in range(last - 1, first - 1, -1):
                seen = None if self.opacity is None else self.opacity.read(t, m, k, region)[0]
                yield SeenSlice(k, self._mask(t, m, k, region), self.painted.read(t, m, k, region), seen)

        return slices(), (len(self.painted.sets[m]), *region.shape)

    def _mask(self, t: int, m: int, k: int, region: Region) -> Plane:
        def read(at: Region) -> Planes:
            return self.level.apply(read_planes(self.masks, t, m, (k, k + 1), at), t, m)

        mask = self.resizing.apply(region, read)[0]
        return np.asarray(np.clip(mask, 0, 1)) if self.resizing.changes else mask

    def reaches(self) -> dict[StoredArray, Reach]:
        """All slices and their masks, with the halo of the cuts."""
        halo = self.halo
        found = self.painted.reaches(None, halo, halo)
        if self.opacity is not None:
            found |= self.opacity.reaches(None, halo, halo)
        return found | {self.masks: (Along(), Along(), None, *self.resizing.along(halo, halo))}

    def peak_bytes(self, block: tuple[int, ...]) -> int:
        """Memory of a block: a few planes of each colour, and of masks; those of neighbours, and of a second canvas."""
        count, function = len(self.painted.sets[0]), self.function
        planes = 7 * count + 20 + 4 * function.mattes
        planes += (5 + 4 * count * (function.sharpen > 0)) * function.between
        planes += 2 * (count + 1) * any(cut.second_canvas for cut in function.cuts)
        return BYTES * self.outer_pixels(block) * planes + 2**23

    def warm_up(self) -> None:
        """Compile the painting, and what the cuts need."""
        zeros = np.zeros((4, 4), np.float32)
        canvas = Canvas.empty((1, 4, 4))
        canvas.paint(zeros[None], zeros)
        kernels.paint.hard_cut(zeros, zeros.copy(), TOLERANCE)
        step = Step(zeros, zeros.copy(), zeros.copy(), zeros[None], zeros, zeros.copy())
        for operator in self.function.cuts:
            if operator.compiles:
                operator.apply(step)


def montage_stages(
    on: StackRecipe, parts: Sequence[tuple[int, int]], *, between: bool = False, sharpen: float = 0.0
) -> list[tuple[StoredArray, Painting]]:
    """Paintings of ranges of slices, before the final operators."""
    from fusestack.config.optionstring import option_string  # here: who mixes slices has no masks
    from fusestack.focus.lowpass import transformed_whole
    from fusestack.focus.merge import merged_masks
    from fusestack.operators.masks import MaskLevel

    masks = merged_masks(on)
    sets, level, cuts = on.sets, on.recipe.level or MaskLevel(), on.recipe.cuts
    whole = any(transformed_whole(cut, sets.painted.plane) for cut in cuts)
    kind = Painting if sets.opacity is None else MattePainting
    found = []
    for number, part in enumerate(parts):
        painting = kind(cuts, part, between, sharpen)
        own = part if level.over == "substack" and len(parts) > 1 else None
        last = FinalLevel(level, _limits(on, level, masks, own))
        planes = planes_of(sets.colours, canvas=painting.keeps_canvas)
        array = on.cached.add(
            f"{on.prefix}montage" + (f"/{number + 1}" if len(parts) > 1 else ""),
            f"slices {part[0] + 1} to {part[1]} painted {option_string(cuts)}".rstrip(),
            Montage(sets.size, painting, sets.painted, sets.opacity, masks, on.resizing.back, last),
            (in_planes if whole else in_blocks)((sets.times, sets.count, planes, *sets.painted.plane), (1, 1, planes)),
        )
        found.append((array, painting))
    return found


def _limits(on: StackRecipe, level: MaskLevel, masks: StoredArray, part: tuple[int, int] | None) -> Statistic | None:
    """Least and greatest merged mask of all slices, or of some; None where nobody asks for them."""
    if level.over == "off" or (level.low is not None and level.high is not None):
        return None
    bands, where = Bands(masks.shape), ""
    if part is not None:
        first, last = part
        bands = Bands((*masks.shape[:2], last - first, *masks.shape[3:]), first=first)
        where = f" {first + 1}-{last}"
    return on.cached.statistic(f"{on.prefix}merged{where} limits", f"{on.prefix}limits/merged", Extremes(masks, bands))
