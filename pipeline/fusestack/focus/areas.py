"""Areas of a picture that somebody drew."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np

from fusestack.focus.region import Region
from fusestack.kernels import reaches

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

    @property
    def step(self) -> int:
        """Where the pixels of the coarsest level lie: at multiples of this."""
        return 1 << self.levels

    def box(self, whole: Region) -> Region:
        """The rows and columns of a region that the area lies in; none where it does not."""
        (left, top), (right, bottom) = np.min(self.polygon, axis=0), np.max(self.polygon, axis=0)
        rows = _between(top, bottom, whole.top, whole.bottom)
        return Region(*rows, *_between(left, right, whole.left, whole.right))

    def around(self, whole: Region) -> Region:
        """The part of a region in which something changes, and what that depends on; it begins as pyramids do."""
        box = self.box(whole)
        beyond = 2 * self.reach
        top, left = (
            max(first, (edge - beyond) // self.step * self.step)
            for edge, first in zip(box.origin, whole.origin, strict=True)
        )
        return Region(top, min(whole.bottom, box.bottom + beyond), left, min(whole.right, box.right + beyond))

    def meets(self, region: Region) -> bool:
        """Whether anything changes in a region."""
        near = self.box(
            Region(
                region.top - self.reach, region.bottom + self.reach, region.left - self.reach, region.right + self.reach
            )
        )
        return min(near.shape) > 0


def _between(low: float, high: float, first: int, last: int) -> tuple[int, int]:
    """Begin and end of the pixels from `low` to `high` that lie in a range."""
    start, stop = (min(max(edge, first), last) for edge in (math.floor(low), math.ceil(high) + 1))
    return start, stop
