"""What slices are painted on, and what operators of cuts see of one of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from fusestack import kernels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]
    Planes = NDArray[np.float32]

TOLERANCE = np.float32(0.7071 / 65535)
"""Masks are equal when they differ by less: 0.7071 of a step of 16 bits, as ImageMagick compares."""


@dataclass
class Canvas:
    """Colours float32[c, y, x] and their opacity float32[y, x]."""

    colours: Planes
    alpha: Plane

    @staticmethod
    def empty(shape: tuple[int, ...]) -> Canvas:
        """Nothing painted yet; `shape` is c, y, x."""
        return Canvas(np.zeros(shape, np.float32), np.zeros(shape[1:], np.float32))

    def paint(self, colours: Planes, alpha: Plane) -> None:
        """Paint over what is there."""
        kernels.paint.paint_over(self.colours, self.alpha, colours, alpha)


@dataclass
class Step:
    """What the cut operators see of one slice.

    Parameters
    ----------
    mask : float32[y, x]
        Of this slice.
    cut : float32[y, x]
        1 where its mask is the greatest so far.
    greatest : float32[y, x]
        Greatest mask so far, this slice included.
    colours : float32[c, y, x]
    painted : float32[y, x]
        Opacity of what is painted so far.
    valley : float32[y, x]
        Lowest mask since the greatest one (``less``).
    stored : float32[y, x]
        The cut that ``soft`` does not go below.
    canvas : Canvas or None
        Second canvas (``background``).
    """

    mask: Plane
    cut: Plane
    greatest: Plane
    colours: Planes
    painted: Plane
    valley: Plane
    stored: Plane = field(init=False)
    canvas: Canvas | None = None

    def __post_init__(self) -> None:
        self.stored = self.cut
