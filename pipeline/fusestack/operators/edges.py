"""Generators that look for edges (ImageMagick's kernels of the same names).

Where the original adds a bias to every direction and clips, which leaves a fraction of the range, these take the size
of the gradient: 0 where nothing changes, 1 at a step from black to white.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from fusestack import kernels
from fusestack.operators.base import Place, Radius, Sigma, choice, operator
from fusestack.operators.choices import MODES
from fusestack.operators.generators import Generator

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    Planes = NDArray[np.float32]

_ROOT = math.sqrt(2)
_SIDES = {
    "sobel": ([[1, 0, -1], [2, 0, -2], [1, 0, -1]], 4.0),
    "prewitt": ([[1, 0, -1], [1, 0, -1], [1, 0, -1]], 3.0),
    "freichen": ([[1, 0, -1], [_ROOT, 0, -_ROOT], [1, 0, -1]], 2 + _ROOT),
    "kirsch": ([[5, -3, -3], [5, 0, -3], [5, -3, -3]], 15.0),
    "compass": ([[1, 1, -1], [1, -2, -1], [1, 1, -1]], 5.0),
}
_BASIS = (
    [[1, 0, -1], [_ROOT, 0, -_ROOT], [1, 0, -1]],
    [[1, _ROOT, 1], [0, 0, 0], [-1, -_ROOT, -1]],
    [[_ROOT, -1, 0], [-1, 0, 1], [0, 1, -_ROOT]],
    [[0, 1, -_ROOT], [-1, 0, 1], [_ROOT, -1, 0]],
    [[0, -1, 0], [1, 0, 1], [0, -1, 0]],
    [[1, 0, -1], [0, 0, 0], [-1, 0, 1]],
    [[1, -2, 1], [-2, 4, -2], [1, -2, 1]],
    [[-2, 1, -2], [1, 4, 1], [-2, 1, -2]],
    [[1, 1, 1], [1, 1, 1], [1, 1, 1]],
)


def directions(name: str, count: int) -> list[NDArray[np.float64]]:
    """Kernels of an operator, turned by a right angle each time; a step from black to white answers 1."""
    rows, scale = _SIDES[name]
    return [np.rot90(np.array(rows, dtype=np.float64) / scale, k) for k in range(count)]


def _gradient(planes: Planes, name: str) -> Planes:
    along, across = (kernels.smooth.convolve(planes, kernel) for kernel in directions(name, 2))
    return np.sqrt(along * along + across * across)


def _united(responses: Iterable[Planes], how: str) -> Planes:
    """Several sizes, composed from the first to the last, each when it is made."""
    return functools.reduce(
        lambda total, one: np.maximum(total, one) if how == "Lighten" else kernels.compose.compose(how, one, total),
        responses,
    )


def _size(planes: Planes, kernel: NDArray[np.float64]) -> Planes:
    response = kernels.smooth.convolve(planes, kernel)
    return np.abs(response, out=response)


class _Edge(Generator):
    def halo(self) -> int:
        """One pixel."""
        return 1


@operator("generator", "sobel")
class Sobel(_Edge):
    """Size of the gradient by Sobel's kernels."""

    def apply(self, planes: Planes, place: Place) -> Planes:
        """See `Generator.apply`."""
        return _gradient(planes, "sobel")


@operator("generator", "prewitt")
class Prewitt(_Edge):
    """Size of the gradient by Prewitt's kernels."""

    def apply(self, planes: Planes, place: Place) -> Planes:
        """See `Generator.apply`."""
        return _gradient(planes, "prewitt")


@operator("generator", "freichen")
class FreiChen(_Edge):
    """Responses of the kernels of Frei and Chen: the size of the gradient, or sizes of single patterns, united."""

    number: Literal[0, 1, 2, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19] = Field(
        default=0,
        description="0: the gradient; 1, 2: along a diagonal; 11 to 19: a pattern of the basis (19: mean); 10: 11-18",
    )
    combine: choice(MODES) = Field(default="Screen", description="how several patterns are united")  # type: ignore[valid-type]
    letters: ClassVar = {**Generator.letters, "n": "number"}
    words: ClassVar = ("combine",)

    def apply(self, planes: Planes, place: Place) -> Planes:
        """See `Generator.apply`."""
        if self.number == 0:
            return _gradient(planes, "freichen")
        chosen = {1: (2,), 2: (3,), 10: range(8)}.get(self.number, (self.number - 11,))
        return _united((np.minimum(_size(planes, frei_chen(k)), 1) for k in chosen), self.combine)


def frei_chen(pattern: int) -> NDArray[np.float64]:
    """Pattern 0 to 8 of the basis of Frei and Chen (IEEE Trans. Comput. C-26, 1977), positive weights scaled to 1.

    Four edges (two along the axes, two along the diagonals), two lines, two points, and the mean.
    """
    kernel = np.array(_BASIS[pattern], dtype=np.float64)
    return np.asarray(kernel / kernel[kernel > 0].sum())


@operator("generator", "roberts")
class Roberts(_Edge):
    """Root mean square of the differences to the eight neighbours."""

    def apply(self, planes: Planes, place: Place) -> Planes:
        """See `Generator.apply`."""
        total = np.zeros_like(planes)
        for neighbour in range(9):
            if neighbour != 4:
                kernel = np.zeros((3, 3))
                kernel[1, 1] = -1
                kernel[neighbour // 3, neighbour % 3] = 1
                total += kernels.smooth.convolve(planes, kernel) ** 2
        return np.asarray(np.sqrt(total / np.float32(8)))


@operator("generator", "kirsch")
class Kirsch(_Edge):
    """Greatest response of Kirsch's kernel in four directions."""

    def apply(self, planes: Planes, place: Place) -> Planes:
        """See `Generator.apply`."""
        return _united((_size(planes, kernel) for kernel in directions("kirsch", 4)), "Lighten")


@operator("generator", "compass")
class Compass(_Edge):
    """Responses of a compass kernel in four directions."""

    combine: choice(MODES) = Field(default="Lighten", description="how the directions are united")  # type: ignore[valid-type]
    words: ClassVar = ("combine",)

    def apply(self, planes: Planes, place: Place) -> Planes:
        """See `Generator.apply`."""
        sizes = (np.minimum(_size(planes, kernel), 1) for kernel in directions("compass", 4))
        return _united(sizes, self.combine)


@operator("generator", "comet")
class Comet(Generator):
    """One-sided blurs in four directions, united, beside the slice itself."""

    radius: Radius = Field(default=0, description="length of the tail; 0: as long as needed")
    sigma: Sigma = Field(default=5, gt=0, description="pixels")
    combine: choice(MODES) = Field(default="Lighten", description="how the directions are united")  # type: ignore[valid-type]
    letters: ClassVar = {**Generator.letters, "r": "radius", "s": "sigma"}
    words: ClassVar = ("combine",)

    @property
    def by_default_compared(self) -> bool:
        """It is a smoothed slice."""
        return True

    def halo(self) -> int:
        """Length of the tail."""
        return len(tail(self.radius, self.sigma)) - 1

    def apply(self, planes: Planes, place: Place) -> Planes:
        """See `Generator.apply`."""
        weights = tail(self.radius, self.sigma)
        side = np.zeros((2 * len(weights) - 1, 1))
        side[len(weights) - 1 :, 0] = weights
        return _united((kernels.smooth.convolve(planes, np.rot90(side, turn)) for turn in range(4)), self.combine)


def tail(radius: float, sigma: float) -> list[float]:
    """Weights of one side of a Gaussian, sampled three times finer, summed in threes; sum 1 (kernel ``Comet``)."""
    count = int(radius) + 1 if radius >= 1 else kernels.gaussians.blur_width(0, sigma) // 2 + 1
    weights = [sum(math.exp(-(u * u) / (2 * (3 * sigma) ** 2)) for u in range(3 * i, 3 * i + 3)) for i in range(count)]
    total = sum(weights)
    return [weight / total for weight in weights]
