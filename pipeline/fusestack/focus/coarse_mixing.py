"""Coarse levels of a multi-scale picture, mixed from slices that were made smaller: a block function.

Blocks of whole slices need not be read with as much around them as the coarsest level looks at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fusestack.focus.scales import Levels, Scales, put_together
from fusestack.focus.so_far import Mean
from fusestack.kernels import reaches

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from fusestack.focus.exposures import Exposures

    Planes = NDArray[np.float32]

FINE = 3
"""Levels that are mixed from whole slices where there are more."""
REDUCED = 2
"""Level of the slices that the others are mixed from: what is finer than a level says how blurred it is."""


def reach_of(levels: int) -> int:
    """How far a pixel looks: twice a whole pyramid, up and down again, and the windows of the coarsest energies."""
    step = 1 << levels
    pyramid = reaches.PYRAMID * (step - 1)
    return 2 * pyramid + (reaches.DETAIL + 2 * reaches.PYRAMID) * step // 2


class SmallSlice(NamedTuple):
    """A slice of level `REDUCED`: its number, what is looked at float32[c, y, x], what is mixed, and what is white.

    None where what is mixed is the same, and where highlights are not kept out, else float32[1, y, x].
    """

    k: int
    looked: Planes
    painted: Planes | None = None
    whites: Planes | None = None


@dataclass(frozen=True)
class CoarseMixing:
    """Coarse levels of slices that were made smaller are mixed: the block function of what lies under fine levels.

    Its arrays are those of level `REDUCED`, and begin at multiples of `step`.

    Parameters
    ----------
    levels, sharpness, noise, highlights, slices, least
        See `fusestack.focus.mixing.Mixing`.
    """

    levels: int
    sharpness: int
    noise: float
    highlights: int
    slices: tuple[int, int]
    least: float

    @property
    def step(self) -> int:
        """Where the pixels of the coarsest level lie: at multiples of this."""
        return 1 << (self.levels - REDUCED)

    @property
    def depth(self) -> int:
        """Pixels around a pixel that decide about it."""
        return reach_of(self.levels - REDUCED)

    def __call__(self, slices: Iterable[SmallSlice], exposures: Exposures) -> Planes:
        """Mix a region: the picture without levels that are finer than `FINE`, float32[c, y, x] of that level.

        Parameters
        ----------
        slices : iterable of SmallSlice
            In order.
        exposures : Exposures
        """
        scales = Scales(self.levels - REDUCED, self.noise, self.highlights, base=True, first=REDUCED)
        means: list[Mean] = []
        for one in slices:
            gain = np.float32(exposures.gains[one.k])
            room = Levels(one.looked / gain, scales.levels)
            floors = scales.floors(max(exposures.noise, self.least), len(one.looked))
            energies = scales.energies(room.planes, floors)
            if one.whites is not None and one.whites.any():
                factors = scales.not_highlights(energies, one.whites)
                energies = [energy * kept for energy, kept in zip(energies, factors, strict=True)]
            if one.painted is not None:
                room = Levels(one.painted / gain, scales.levels)
            details = room.leave_details()
            # what is finer says how blurred the others are, and is mixed from whole slices
            del details[: FINE - REDUCED], energies[: FINE - REDUCED]
            means = means or [Mean(detail.shape) for detail in details]
            powers = [self.sharpness] * (len(means) - 1) + [1]
            for mean, detail, energy, power in zip(means, details, energies, powers, strict=True):
                mean.add(detail, energy[0], power)
        levels = [mean.found() for mean in means]
        return put_together(levels, levels.pop())
