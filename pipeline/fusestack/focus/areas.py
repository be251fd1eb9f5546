"""Areas of a picture that somebody drew."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fusestack.kernels import reaches

if TYPE_CHECKING:
    from fusestack.focus.region import Region

_MOST_LEVELS = 5
"""Outlines are at most so wide that they are seen nowhere: two to this, in pixels."""


@dataclass(frozen=True)
class Area:
    """What somebody drew.

    Parameters
    ----------
    slice : int
        That is shown there.
    polygon : tuple of (float, float)
        Corners x, y, in pixels of the picture.
    timepoint : int or None
        None where there is one only.
    """

    slice: int
    polygon: tuple[tuple[float, float], ...]
    timepoint: int | None = None

    @functools.cached_property
    def levels(self) -> int:
        """Levels of a pyramid in which the middle of the area is not within the width of its outline.

        Twice the surface of a circle by its circumference is its radius.
        """
        corners = np.asarray(self.polygon)
        following = np.roll(corners, -1, axis=0)
        surface = abs(np.sum(corners[:, 0] * following[:, 1] - corners[:, 1] * following[:, 0])) / 2
        radius = 2 * surface / np.linalg.norm(corners - following, axis=1).sum()
        return int(np.clip(math.floor(math.log2(max(radius, 1))) - 2, 1, _MOST_LEVELS))

    @property
    def reach(self) -> int:
        """Pixels around one that decide about it: down a pyramid and up again."""
        return 2 * reaches.PYRAMID * ((1 << self.levels) - 1)

    def meets(self, region: Region, beyond: int) -> bool:
        """Whether a region has pixels of the area, or so near to it."""
        (left, top), (right, bottom) = np.min(self.polygon, axis=0), np.max(self.polygon, axis=0)
        return bool(
            top - beyond < region.bottom
            and bottom + beyond >= region.top
            and left - beyond < region.right
            and right + beyond >= region.left
        )
