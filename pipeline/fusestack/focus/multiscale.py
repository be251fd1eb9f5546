"""Focus stacking at every scale at once: slices are mixed level by level of a pyramid, one after the other.

What is sharp at one pixel may lie in several slices: a hair, and the ground beside it under the blur of the hair. No
slice shows both, but each level takes its detail from the slice that has most of it there. Where none has more than
noise, slices are averaged.

::

    slices -> how bright and noisy each is (statistic)
       |                                     |
       +-> pyramid -> energies -> sums of each level, slice by slice -> picture, depth, mask
"""

from __future__ import annotations

import functools
import math
import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fusestack.focus.blocks import BYTES, BlockWise, in_blocks
from fusestack.focus.exposures import Exposures, LeftOut, SliceCounts
from fusestack.focus.mixing import Mixing, SeenSlice
from fusestack.focus.montage import planes_of
from fusestack.focus.statistics import Bands
from fusestack.model.stage import Along
from fusestack.operators.base import Place

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from fusestack.config.focus import Multiscale
    from fusestack.focus.channels import SliceChannels
    from fusestack.focus.recipe import StackRecipe
    from fusestack.focus.region import Region
    from fusestack.model.stage import Reach, StoredArray
    from fusestack.planning.plan import Statistic

    Planes = NDArray[np.float32]


_GRAIN = 2 / 255
"""What JPEG makes of smooth areas; it differs from photograph to photograph as if it were detail."""


@dataclass(frozen=True)
class MixedPicture(BlockWise):
    """Picture planes [t, m, plane, y, x] of some slices: colours, then those of `Picture`.

    Parameters
    ----------
    looked, painted : SliceChannels
        What decides, and what is mixed.
    opacity : SliceChannels or None
    counts : Statistic
        See `SliceCounts`.
    gains : bool
        Whether slices are made equally bright.
    """

    function: Mixing
    looked: SliceChannels
    painted: SliceChannels
    opacity: SliceChannels | None
    counts: Statistic
    gains: bool

    def around(self, region: Region) -> Region:
        """As of all blocks, from a pixel of the coarsest level on."""
        return region.grown(self.function.depth, self.plane, self.function.step)

    def read(self, t: int, m: int, k: int, region: Region) -> tuple[Iterable[SeenSlice], Exposures]:
        """Slices one by one, and how bright and noisy they are."""
        exposures = _exposures(tuple(self.counts.of(t, m).tolist()), self.gains)
        first, last = self.function.slices
        numbers = [k for k in exposures.kept if first <= k < last] or range(first, last)
        return _Slices(self, (t, m), numbers, region), exposures

    def reaches(self) -> dict[StoredArray, Reach]:
        """All slices, with what is around a block."""
        halo = Along(1, self.function.depth + self.function.step - 1, self.function.depth)
        parts = (one for one in (self.looked, self.painted, self.opacity) if one is not None)
        return functools.reduce(operator.or_, (one.reaches(None, halo, halo) for one in parts))

    def outer_pixels(self, block: tuple[int, ...]) -> int:
        """Pixels of a plane of a block with what is around it, at most."""
        more = 2 * self.function.depth + self.function.step
        return math.prod(min(b + more, n) for b, n in zip(block[3:], self.plane, strict=True))

    def peak_bytes(self, block: tuple[int, ...]) -> int:
        """Memory of a block: pyramids of a slice and of the sums, energies and weights, depth, the picture."""
        looked, painted = len(self.looked.sets[0]), len(self.painted.sets[0])
        pyramids = 3 * looked + 4 * painted + 10
        return BYTES * self.outer_pixels(block) * (4 * pyramids // 3 + 2 * painted + 27) + 2**23

    def warm_up(self) -> None:
        """Compile the mixing, on a few pixels."""
        planes = np.ones((1, 4, 4), np.float32)
        exposures = Exposures((1.0,), (0,), 0.01)
        self.function([SeenSlice(0, planes, opacity=planes)], exposures, Place((0, 0), (4, 4)))


@dataclass(frozen=True)
class _Slices:
    """A region of slices, which are read while one goes through them."""

    source: MixedPicture
    place: tuple[int, int]
    numbers: Sequence[int]
    region: Region

    def __iter__(self) -> Iterator[SeenSlice]:
        source = self.source
        painted = None if source.looked == source.painted else source.painted
        for k in self.numbers:
            others = [
                None if one is None else one.read(*self.place, k, self.region) for one in (painted, source.opacity)
            ]
            yield SeenSlice(k, source.looked.read(*self.place, k, self.region), *others)


@functools.lru_cache(maxsize=64)
def _exposures(counts: tuple[float, ...], gains: bool) -> Exposures:
    return Exposures.of(np.array(counts), gains=gains)


def mixing_stages(
    on: StackRecipe, options: Multiscale, parts: Sequence[tuple[int, int]], names: tuple[str, ...], *, depth: bool
) -> list[StoredArray]:
    """Multi-scale pictures of ranges of slices, before the final operators.

    Parameters
    ----------
    on : StackRecipe
    options : Multiscale
    parts : sequence of (int, int)
        The ranges, ``first <= k < last``.
    names : tuple of str
        Of the slices, where they are photographs; else none.
    depth : bool
        Whether the depth is wanted.
    """
    photographs = bool(names)
    sets = on.sets
    looked = sets.looked
    bands = Bands((sets.times, sets.count, looked.slices, *looked.plane), deep=True)
    counts = on.cached.statistic("slices brightness", "brightness/slices", SliceCounts(looked, bands))
    planes = planes_of(sets.colours)
    # of photographs, what decides is clipped to black and white: a hot pixel would shine through all levels
    painted = looked if photographs else sets.painted
    gains = photographs and sets.opacity is None  # what is hidden is no darkness
    if gains:
        on.cached.findings.append(LeftOut(counts, names))
    found = []
    for number, part in enumerate(parts):
        mixing = Mixing(
            levels=options.levels,
            sharpness=options.sharpness,
            noise=options.noise,
            highlights=options.highlights,
            slices=part,
            between=on.recipe.between,
            sharpen=on.recipe.sharpen,
            clips=photographs,
            mattes=sets.opacity is not None,
            finds_depth=depth,
            grain=_GRAIN if photographs and looked.array.dtype == "uint8" else 0,
        )
        found.append(
            on.cached.add(
                f"{on.prefix}mixed" + (f"/{number + 1}" if len(parts) > 1 else ""),
                f"slices {part[0] + 1} to {part[1]} mixed at {options.levels} scales",
                MixedPicture(sets.size, mixing, looked, painted, sets.opacity, counts, gains=gains),
                in_blocks((sets.times, sets.count, planes, *looked.plane), (1, 1, planes)),
            )
        )
    return found
