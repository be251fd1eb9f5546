"""Fusion by functions of the user's, of aligned views and masks.

::

    def method(views, masks, **options):   # -> float32[z, y, x]
    def weights(views, masks, **options):  # -> float32[view, z, y, x], multiplied with the masks

`views` is float32[view, z, y, x] in the order of view ids, NaN where a view does not cover or has no data; `masks` is
what the average weighs them with: 0 where there is NaN, else the blending (1 inside, at least 1e-30 with exact
numerics) times the content-based weight and, for a method, times what `weights` gave. Both are read only.

A block is computed with as much around it as the functions declare to look at, clipped to the image, never padded: the
edge of their arrays is the edge of the image, or farther from what is kept than they look. So the bytes do not depend
on the blocks, if a function is pure and does not care for views that cover nothing near a pixel: how many there are in
`views` differs from block to block.

Pixels that no view covers are background whatever a function says, and so are those where it says NaN. Of weights, NaN
counts as 0; where all are 0, the views that cover count alike (exact numerics).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack import kernels
from fusestack.config.functions import ARGUMENTS, OwnFunction
from fusestack.fusion.blocks import SMALLEST_PART, SMALLEST_SIDE, FuseBlocks
from fusestack.fusion.statistics import BlockStatistics, block_statistics, input_bytes
from fusestack.model.errors import BlockError
from fusestack.model.geometry import Box
from fusestack.planning.levels import int3

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from fusestack.config.models import Fusion
    from fusestack.model.function import Function
    from fusestack.model.geometry import Int3

    Views = NDArray[np.float32]

_WORK = 4
"""Arrays of the size of `views` that a function may hold at a time without being asked."""


@dataclass(frozen=True)
class Mixer:
    """A function of aligned views and masks.

    Parameters
    ----------
    key : str
        Of the configuration.
    function : Function
    depth : (int, int, int)
        Pixels of the fused image around a pixel that decide about it, z, y, x.
    options : mapping
        Its keyword arguments.
    """

    key: str = field(metadata={"fingerprint": False})
    function: Function
    depth: Int3
    options: Mapping[str, Any]

    def __call__(self, views: Views, masks: Views, shape: tuple[int, ...]) -> Views:
        """Call it, and hold it to what it must give: numbers of that shape, which become float32.

        Raises
        ------
        BlockError
            If it gives anything else, or raises.
        """
        try:
            with np.errstate(invalid="ignore", divide="ignore"):  # there is NaN where a view does not cover
                found = self.function(views, masks, **self.options)
        except Exception as error:
            way_out = "; views and masks are read-only: copy them first" if "read-only" in str(error) else ""
            raise BlockError(f"{self.key}: {self.function} raises {type(error).__name__}: {error}{way_out}") from error
        if not isinstance(found, np.ndarray):
            raise self._refused(f"gives {type(found).__name__}", shape)
        if found.dtype.kind not in "fiub" or found.shape != shape:
            raise self._refused(f"gives {found.dtype.name}{_sizes(found.shape)}", shape)
        return found.astype(np.float32, copy=False)

    def _refused(self, given: str, shape: tuple[int, ...]) -> BlockError:
        axes = "[z, y, x]" if len(shape) == 3 else "[view, z, y, x]"
        return BlockError(
            f"{self.key}: {self.function} {given}; it must give float32{axes}, here {_sizes(shape)} "
            f"(called with {' and '.join(ARGUMENTS)} float32[view, z, y, x])"
        )


def _sizes(shape: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, shape))}]"


@dataclass(frozen=True)
class FuseOwn(FuseBlocks):
    """Pixels of a fused image by functions of the user's.

    Parameters
    ----------
    weights : Mixer or None
        Gives float32[view, z, y, x], which the weights of the views are multiplied with; NaN counts as 0.
    method : Mixer or None
        Gives float32[z, y, x] of views and these weights; None averages.
    """

    weights: Mixer | None = None
    method: Mixer | None = None

    def region(self, box: Box) -> Box:
        """See `FuseBlocks.region`: the depths of both around a box."""
        return self._around(box, self._depth)

    @property
    def _depth(self) -> Int3:
        mixers = [mixer for mixer in (self.weights, self.method) if mixer is not None]
        return int3(sum(depths) for depths in zip(*(mixer.depth for mixer in mixers), strict=True))

    def _around(self, box: Box, depth: Int3) -> Box:
        """A box grown by a depth, as far as the image goes."""
        size = next(iter(self.tables.values())).frame.shape
        start = tuple(max(0, a - d) for a, d in zip(box.start, depth, strict=True))
        return Box(start, tuple(min(n, b + d) for n, b, d in zip(size, box.stop, depth, strict=True)))

    def mix(
        self,
        pixels: NDArray[Any],
        placed: NDArray[np.void],
        content: tuple[NDArray[np.float32], NDArray[np.void]] | None,
        box: Box,
        out: NDArray[Any],
    ) -> None:
        """See `FuseBlocks.mix`."""
        rule, region = self.rule, self.region(box)
        values, masks = kernels.aligned.align_block(
            pixels,
            placed,
            region.start,
            int3(region.shape),
            contrast=content,
            interpolation=rule.interpolation,
            numerics=rule.numerics,
        )
        covered = ~np.isnan(_cut(values, region, box)).all(axis=0)
        if not covered.any():
            out[...] = rule.fill
            return
        if self.weights is not None:
            inner = box if self.method is None else self._around(box, self.method.depth)
            masks = _weighed(self.weights, values, masks)
            values, masks, region = _cut(values, region, inner), _cut(masks, region, inner), inner
        how: dict[str, Any] = {"fill": rule.fill, "intensity_range": rule.intensity_range, "rounding": rule.rounding}
        if self.method is None:
            kernels.aligned.average_block(values, masks, out, numerics=rule.numerics, **how)
            return
        found = self.method(_shown(values), _shown(masks), region.shape)
        kernels.aligned.convert_block(np.where(covered, _cut(found, region, box), np.float32(np.nan)), out, **how)

    def work_bytes(self, views: int, shape: tuple[int, ...]) -> int:
        """See `FuseBlocks.work_bytes`: aligned views and masks, what the functions give and hold, and a part of it."""
        single = np.dtype(np.float32).itemsize
        value = kernels.convert.value_dtype(self.input_dtype).itemsize
        shown = single if value > single else 0
        kept = 2 * (value + single) + shown
        given = 2 * single if self.weights is not None else 0
        return math.prod(shape) * (views * (kept + given + _WORK * single) + 3 * single)

    def statistics_around(self, block: Int3) -> BlockStatistics:
        """Views and input of blocks z, y, x with what is around them."""
        frame = next(iter(self.tables.values())).frame
        return block_statistics(self.tables.values(), frame.shape, block, self.input_itemsize, self._depth)

    def smallest_part(self, block: tuple[int, ...]) -> int:
        """See `FuseBlocks.smallest_part`; a quarter of it may be kept chunks."""
        return max(SMALLEST_PART, self._smallest_bytes(block) * 4 // 3)

    def _smallest_bytes(self, block: tuple[int, ...]) -> int:
        """Memory for the smallest part of a block that has most views."""
        views = self.statistics_around(int3(block[2:])).most_views
        side = self._grown(int3(min(n, SMALLEST_SIDE) for n in block[2:]))
        inputs = [input_bytes(table, side, self.input_itemsize).max(initial=0) for table in self.tables.values()]
        return self.work_bytes(views, side) + self.reading_bytes(views * int(max(inputs, default=0)))

    def _grown(self, block: Int3) -> Int3:
        size = next(iter(self.tables.values())).frame.shape
        return int3(min(n, b + 2 * d) for n, b, d in zip(size, block, self._depth, strict=True))

    def peak_bytes(self, block: tuple[int, ...]) -> int:
        """See `FuseBlocks.peak_bytes`; also what the functions are given, hold and give."""
        found = self.statistics_around(int3(block[2:]))
        work = self.work_bytes(found.most_views, self._grown(int3(block[2:])))
        part = max(self.part_bytes, self._smallest_bytes(block))
        return self.output_bytes(block) + self.kept_bytes + min(part, work + self.reading_bytes(found.most_input))

    def warm_up(self) -> None:
        """Compile the kernels for the pixel types of input and output."""
        kernels.aligned.warm_up(self.input_dtype, self.rule.dtype)


def _shown(values: NDArray[Any]) -> Views:
    """Float32 that a function cannot change: what it is given is used again."""
    shown = values.astype(np.float32, copy=False).view()
    shown.flags.writeable = False
    return shown


def _cut(values: NDArray[Any], region: Box, box: Box) -> NDArray[Any]:
    """What lies in a box, of an array whose last axes are a region z, y, x."""
    z, y, x = box.shift([-a for a in region.start]).slices
    return np.ascontiguousarray(values[..., z, y, x])


def _weighed(mixer: Mixer, values: NDArray[Any], masks: Views) -> Views:
    """Masks times what a function says of them, 0 where it says NaN.

    Raises
    ------
    BlockError
        If it gives weights below 0 or without limit where a view covers.
    """
    found = np.where(masks > 0, mixer(_shown(values), _shown(masks), masks.shape), np.float32(0))
    found[np.isnan(found)] = 0
    least, most = found.min(initial=0), found.max(initial=0)
    if least < 0 or most == np.inf:
        raise BlockError(
            f"{mixer.key}: {mixer.function} gives weights from {least:g} to {most:g}; they must be finite and not "
            "negative where a view covers"
        )
    found *= masks
    return found


def fuse_by(options: Fusion, plain: FuseBlocks) -> FuseOwn:
    """An image that is fused by functions of the configuration, instead of the plain average."""

    def mixer(key: str, own: Any) -> Mixer | None:
        if not isinstance(own, OwnFunction):
            return None
        return Mixer(f"fusion.{key}", own.function, own.depth.zyx, own.options)

    given = {one.name: getattr(plain, one.name) for one in fields(FuseBlocks)}
    return FuseOwn(**given, weights=mixer("weights", options.weights), method=mixer("method", options.method))
