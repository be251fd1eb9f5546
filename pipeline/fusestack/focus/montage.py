"""Painting the slices over one another, from the back to the front (reference 7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fusestack import kernels
from fusestack.focus.region import Region
from fusestack.focus.stack import resized
from fusestack.model.stage import Compute
from fusestack.operators.cuts import TOLERANCE, Canvas, CutBackground, CutFill, Step
from fusestack.operators.finals import Picture

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fusestack.focus.measures import Values
    from fusestack.focus.stack import Look, Pixels
    from fusestack.model.geometry import Box
    from fusestack.operators.cuts import CutOperator
    from fusestack.operators.masks import MaskLevel

    Plane = NDArray[np.float32]
    Planes = NDArray[np.float32]

PICTURE_PLANES = 4
"""Planes of a picture besides its colours: opacity, mask, depth and where the depth is known."""


def planes_of(colours: int, *, canvas: bool = False) -> int:
    """Planes of a picture, and of a canvas of its own behind it (colours, opacity)."""
    return colours + PICTURE_PLANES + (colours + 1 if canvas else 0)


@dataclass(frozen=True)
class LastLevel:
    """Stretching of the merged masks (reference 6.4).

    Parameters
    ----------
    options : MaskLevel
    limits : Values or None
        Least and greatest merged mask; None where the options name both.
    """

    options: MaskLevel
    limits: Values | None

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
        self._mask: Plane | None = None
        self._colours: Planes | None = None
        size = (count, *shape) if colours else (0, 0, 0)
        self._behind, self._front = np.zeros(size, np.float32), np.zeros(size, np.float32)

    def follow(self, mask: Plane, colours: Planes, opacity: Plane) -> None:
        """Take notice of a slice."""
        if self._behind.size:
            before = colours if self._colours is None else self._colours
            kernels.paint.follow_colours(colours, before, opacity, self._behind, self._front, self._closed)
            self._colours = colours.copy()
        kernels.paint.follow_peak(mask, mask if self._mask is None else self._mask, opacity, self._peak, self._closed)
        self._mask = mask

    def offset(self) -> Plane:
        """Where the focus lies, in slices behind the nearest one."""
        return kernels.paint.between_slices(self._peak)

    def sharpen(self, colours: Planes, offset: Plane, share: float) -> None:
        """Undo the blur of what lies between slices, in place."""
        if self._behind.size:
            kernels.paint.sharpen_between(colours, offset, self._behind, self._front, share)


@dataclass(frozen=True)
class Montage(Compute):
    """Picture planes [t, m, plane, y, x] of the slices ``first <= k < last``: colours, then those of `Picture`.

    Parameters
    ----------
    look : Look
    masks : Pixels
        Merged masks.
    level : LastLevel
    cuts : tuple of CutOperator
    slices : (int, int)
    between : bool
        Whether the depth is found between slices, by a parabola through three masks.
    sharpen : float
        Share of the blur between slices that is undone, 0..1; only with `between`.
    """

    look: Look
    masks: Pixels
    level: LastLevel
    cuts: tuple[CutOperator, ...]
    slices: tuple[int, int]
    between: bool = False
    sharpen: float = 0.0

    @property
    def keeps_canvas(self) -> bool:
        """Whether a second canvas follows as further planes (colours, opacity): a layer of the background."""
        return any(isinstance(cut, CutBackground) and cut.use == "background" for cut in self.cuts)

    @property
    def _fills(self) -> bool:
        """Whether a cut looks at what is painted."""
        return any(isinstance(cut, CutFill) for cut in self.cuts)

    @property
    def halo(self) -> int:
        """Pixels around a region: those of all cuts, and as often as a cut decides about the next slice's."""
        total = sum(cut.halo() for cut in self.cuts)
        recursive = [i for i, cut in enumerate(self.cuts) if cut.recursive]
        if recursive:
            # what is painted is the end of the whole chain
            end = len(self.cuts) if self._fills else max(recursive)
            total += (self.slices[1] - self.slices[0]) * sum(cut.halo() for cut in self.cuts[:end])
        return total

    def __call__(self, box: Box) -> Planes:
        """Compute a region; a box holds all planes of a picture."""
        out = np.empty(box.shape, np.float32)
        for t in range(box.start[0], box.stop[0]):
            for m in range(box.start[1], box.stop[1]):
                out[t - box.start[0], m - box.start[1]] = self._picture(t, m, Region.of(box))
        return out

    def _picture(self, t: int, m: int, region: Region) -> Planes:
        outer = region.grown(self.halo, self.look.stack.plane)
        rows, columns = region.within(outer)
        count = len(self.look.stack.painted[m])
        # the index of the slice is painted like a colour
        result = Canvas.empty((count + 1, *region.shape))
        result.colours[count] = self.look.stack.slices - 1  # what nothing is painted on lies at the back
        layer = np.empty((count + 1, *region.shape), np.float32)
        greatest = np.zeros(outer.shape, np.float32)
        valley = np.zeros(outer.shape, np.float32)
        neighbours = _Neighbours(count, region.shape, colours=self.sharpen > 0) if self.between else None
        canvas = None
        painted = np.zeros(outer.shape, np.float32) if self._fills else None
        for k in range(self.slices[1] - 1, self.slices[0] - 1, -1):
            mask = self._mask(t, m, k, outer)
            cut = kernels.paint.hard_cut(mask, greatest, TOLERANCE)
            colours = self.look.stack.colours(t, m, k, outer if self.cuts else region)
            step = Step(mask, cut, greatest, colours, result.alpha if painted is None else painted, valley, canvas)
            for operator in self.cuts:
                operator.apply(step)
            canvas = step.canvas
            if painted is not None:
                painted += np.clip(step.cut, 0, 1) * (1 - painted)
            layer[:count] = colours[:, rows, columns] if self.cuts else colours
            layer[count] = k
            opacity = np.ascontiguousarray(step.cut[rows, columns])
            if neighbours is not None:
                seen = self.look.stack.opacity(t, k, region)
                beside = layer[:count] if seen is None else np.where(seen > 0, layer[:count], result.colours[:count])
                neighbours.follow(mask[rows, columns], beside, opacity)
            result.paint(layer, opacity)
        where, known = result.colours[count], result.alpha
        result = Canvas(result.colours[:count], result.alpha)
        if neighbours is not None:
            offset = neighbours.offset()
            nearest, where = where, np.clip(where + offset, self.slices[0], self.slices[1] - 1)
            neighbours.sharpen(result.colours, where - nearest, self.sharpen)
            np.clip(result.colours, 0, 1, out=result.colours)
        below = None if canvas is None else Canvas(canvas.colours[:, rows, columns], canvas.alpha[rows, columns])
        if below is not None and not self.keeps_canvas:
            colours, alpha = below.colours.copy(), below.alpha.copy()
            kernels.paint.paint_over(colours, alpha, result.colours, result.alpha)
            result = Canvas(colours, alpha)
        picture = Picture(result.colours, result.alpha, greatest[rows, columns], where, known)
        planes = picture.packed()
        if not self.keeps_canvas:
            return planes
        kept = Canvas.empty(result.colours.shape) if below is None else below
        return np.concatenate([planes, kept.colours, kept.alpha[None]])

    def _mask(self, t: int, m: int, k: int, region: Region) -> Plane:
        def read(at: Region) -> Planes:
            found = self.masks.read(at.box(t, (m, m + 1), (k, k + 1)))[0, 0, 0]
            return self.level.apply(found, t, m)[None]

        if not self.look.resized:
            return np.asarray(read(region)[0])
        mask = resized(region, self.look.shape, self.look.stack.plane, self.look.interpolation, read)
        return np.asarray(np.clip(mask[0], 0, 1))

    def warm_up(self) -> None:
        """Compile the painting, and what the cuts need."""
        zeros = np.zeros((4, 4), np.float32)
        canvas = Canvas.empty((1, 4, 4))
        canvas.paint(zeros[None], zeros)
        kernels.paint.hard_cut(zeros, zeros.copy(), TOLERANCE)
        step = Step(zeros, zeros.copy(), zeros.copy(), zeros[None], zeros, zeros.copy())
        for operator in self.cuts:
            if operator.compiles:
                operator.apply(step)
