"""Focus stacking at every scale at once: slices are mixed level by level of a pyramid, one after the other.

What is sharp at one pixel may lie in several slices: a hair, and the ground beside it under the blur of the hair. No
slice shows both, but each level takes its detail from the slice that has most of it there. Where none has more than
noise, slices are averaged.

::

    slices -> smaller slices -> how bright and noisy each is (statistic)
       |             |                           |
       |             +-> coarse levels -> energies -> sums, slice by slice
       |                                           |
       +---------------> fine levels -> energies -> sums, slice by slice -> picture, depth, mask
"""

from __future__ import annotations

import functools
import operator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from fusestack import kernels
from fusestack.focus.blocks import BYTES, BlockWise, in_blocks
from fusestack.focus.coarse import coarse_stage, reduced_stages
from fusestack.focus.exposures import Exposures, LeftOut, exposures_of
from fusestack.focus.mixing import Mixing
from fusestack.focus.montage import planes_of
from fusestack.focus.seen import SeenSlice
from fusestack.focus.slices import sides_of
from fusestack.focus.waiting import MOST
from fusestack.model.stage import Along
from fusestack.operators.base import Place

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from fusestack.config.focus import Multiscale
    from fusestack.focus.channels import SliceChannels
    from fusestack.focus.recipe import StackRecipe
    from fusestack.focus.region import Region
    from fusestack.kernels.pixels import Pixels
    from fusestack.model.stage import Reach, StoredArray
    from fusestack.planning.plan import Statistic

    Planes = NDArray[np.float32]


_LEAST_NOISE, _LEAST_OF_BYTES = 2.0**-15, 2.0**-12
"""Of slices without any: rounding is left."""
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
    no_data : float or None
        Value of the pixels where nothing was recorded, besides NaN.
    counts : Statistic
        See `SliceCounts`.
    gains : bool
        Whether slices are made equally bright.
    coarse : StoredArray or None
        The coarse levels, see `CoarsePicture`.
    """

    VERSION: ClassVar[int] = 3

    function: Mixing
    looked: SliceChannels
    painted: SliceChannels
    opacity: SliceChannels | None
    no_data: float | None
    counts: Statistic
    gains: bool
    coarse: StoredArray | None = None

    @property
    def step(self) -> int:
        """See `BlockWise.step`."""
        return self.function.step

    def read(self, t: int, m: int, k: int, region: Region) -> tuple[Iterable[SeenSlice], Exposures, Planes | None]:
        """Slices one by one, how bright and noisy they are, and the coarse levels."""
        exposures = exposures_of(self.counts, t, m, gains=self.gains)
        slices = _Slices(self, (t, m), exposures.mixed(self.function.slices), region)
        return slices, exposures, self._coarse(t, m, region)

    def _coarse(self, t: int, m: int, region: Region) -> Planes | None:
        """The coarse levels of a region."""
        if self.coarse is None:
            return None
        step, colours = self.function.step, len(self.painted.sets[0])
        part = region.coarser(step)
        found: Planes = self.coarse.read(part.box(t, (m * colours, (m + 1) * colours), (0, 1)))[0, :, 0]
        return found

    def reaches(self) -> dict[StoredArray, Reach]:
        """All slices, with what is around a block."""
        halo = self.halo
        assert halo is not None
        parts = (one for one in (self.looked, self.painted, self.opacity) if one is not None)
        found = functools.reduce(operator.or_, (one.reaches(None, halo, halo) for one in parts))
        if self.coarse is None:
            return found
        around = -(-halo.low // self.function.step) + 1
        coarse = Along(1 / self.function.step, around, around)
        return found | {self.coarse: (Along(), Along(len(self.painted.sets[0])), None, coarse, coarse)}

    def peak_bytes(self, block: tuple[int, ...]) -> int:
        """Memory of a block: pyramids of a slice and of the sums, energies and weights, depth, the picture."""
        looked, painted = len(self.looked.sets[0]), len(self.painted.sets[0])
        if self.by_rows:
            stored = looked * np.dtype(self.looked.array.dtype).itemsize / BYTES
            span = 0 if self.function.clips else 2 * looked
            planes = 4 * looked + 20 + span + stored + MOST * (stored + looked / 4 + 3)
            return int(BYTES * self.outer_pixels(block) * planes) + 2**23
        if self.coarse is not None:  # with what is mixed beside it
            return BYTES * self.outer_pixels(block) * (3 * looked + 12 * painted + 34) + 2**23
        pyramids = 3 * looked + 4 * painted + 10
        return BYTES * self.outer_pixels(block) * (4 * pyramids // 3 + 2 * painted + 27) + 2**23

    def warm_up(self) -> None:
        """Compile the mixing, on a few pixels."""
        planes, exposures, place = np.ones((1, 4, 4), np.float32), Exposures((1.0,), (0,), 0.01), Place((0, 0), (4, 4))
        if self.coarse is None:
            self.function([SeenSlice(0, planes, opacity=planes)], exposures, None, place)
            return
        seen: Planes | Pixels = planes
        if self.by_rows:
            seen = kernels.pixels.Pixels.of(planes.astype(self.looked.array.dtype))
        self.function([SeenSlice(0, seen)], exposures, planes[:, :1, :1].copy(), place)

    @property
    def by_rows(self) -> bool:
        """Whether pixels are mixed as they are stored, of some slices at once."""
        return self.coarse is not None and self.looked == self.painted


@dataclass(frozen=True)
class _Slices:
    """A region of slices, which are read while one goes through them."""

    source: MixedPicture
    place: tuple[int, int]
    numbers: Sequence[int]
    region: Region

    def __iter__(self) -> Iterator[SeenSlice]:
        source, (t, m) = self.source, self.place
        if source.by_rows:
            for k in self.numbers:
                yield SeenSlice(k, source.painted.pixels(t, m, k, self.region))
            return
        for k in self.numbers:
            looked, known = self._known(source.painted, k)
            painted = None
            if source.looked != source.painted:
                painted = looked
                if source.function.clips:  # the same pixels, of which what decides is black and white at most
                    looked = np.clip(painted, 0, 1)
                else:
                    looked, also = self._known(source.looked, k)
                    known = also if known is None else known if also is None else known * also
            opacity = None if source.opacity is None else source.opacity.read(t, m, k, self.region)
            if source.function.mattes:
                shown = np.ones((1, *looked.shape[1:]), np.float32) if opacity is None else opacity
                opacity = shown if known is None else shown * known
            yield SeenSlice(k, looked, painted, opacity)

    def _known(self, channels: SliceChannels, k: int) -> tuple[Planes, Planes | None]:
        """A slice, and 1 where something was recorded, else 0; None where that is everywhere."""
        source, (t, m) = self.source, self.place
        planes = channels.read(t, m, k, self.region, keeps_nan=True)
        known = ~np.isnan(planes).any(axis=0) if channels.array.dtype.startswith("float") else None
        if source.no_data is not None and np.isfinite(source.no_data):
            recorded = (planes != channels.scaled(source.no_data, t, m)).any(axis=0)
            known = recorded if known is None else known & recorded
        if known is None or known.all():
            return planes, None
        planes[np.isnan(planes)] = 0
        return planes, np.asarray(known, np.float32)[None]


def mixing_stages(
    on: StackRecipe,
    options: Multiscale,
    parts: Sequence[tuple[int, int]],
    names: tuple[str, ...],
    *,
    depth: bool,
    no_data: float | None,
) -> tuple[list[StoredArray], Statistic | None]:
    """Multi-scale pictures of ranges of slices, before the final operators; counts of slices that differ in brightness.

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
    no_data : float or None
        Value of the pixels where nothing was recorded.
    """
    photographs = bool(names)
    sets = on.sets
    floats = sets.looked.array.dtype.startswith("float")
    bytes_ = sets.looked.array.dtype == "uint8"
    gains = photographs and sets.opacity is None  # what is hidden is no darkness
    mixing = Mixing(
        levels=options.levels,
        sharpness=options.sharpness,
        noise=options.noise,
        highlights=options.highlights,
        slices=(0, 0),
        between=on.recipe.between,
        sharpen=on.recipe.sharpen,
        clips=photographs,
        mattes=sets.opacity is not None or floats or no_data is not None,
        finds_depth=depth,
        gaps=floats and not photographs,
        least=_LEAST_OF_BYTES if bytes_ else _LEAST_NOISE,
        grain=_GRAIN if photographs and bytes_ else 0,
    )
    coarse = mixing.coarse
    small = reduced_stages(
        on.cached, sets, mixes=coarse is not None, whites=coarse is not None and coarse.highlights > 0
    )
    if gains:
        on.cached.findings.append(LeftOut(small.counts, names))
    shape = (sets.times, sets.count, planes_of(sets.colours), *sets.looked.plane)
    levels = [in_blocks(shape, (1, 1, 10**3), side) for side in sides_of(sets.looked.array)]
    found = []
    for number, part in enumerate(parts):
        name = f"/{number + 1}" if len(parts) > 1 else ""
        fine = replace(mixing, slices=part)
        under = None
        if fine.coarse is not None:
            under = coarse_stage(on.cached, f"{on.prefix}coarse{name}", sets, fine.coarse, small, gains=gains)
        compute = MixedPicture(
            sets.size, fine, sets.looked, sets.painted, sets.opacity, no_data, small.counts, gains=gains, coarse=under
        )
        title = f"slices {part[0] + 1} to {part[1]} mixed at {options.levels} scales"
        found.append(on.cached.add(f"{on.prefix}mixed{name}", title, compute, on.cached.fitting(compute, levels)))
    return found, small.counts if gains else None
