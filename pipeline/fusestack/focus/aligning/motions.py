"""What may move between two slices: models of motion, their numbers and matrices.

Matrices are 3 x 3, for pixels (x, y, 1). Numbers of a model are counted in pixels at the corner of a picture, around
its middle, so that they are equally large, and hardly depend on one another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]
    Points = NDArray[np.float64]

Model = Literal["translation", "rigid", "similarity", "affine", "homography"]

NUMBERS: dict[Model, int] = {"translation": 2, "rigid": 3, "similarity": 4, "affine": 6, "homography": 8}
"""Of a model: two of the shift, then turn, size, and what is left of a matrix."""


@dataclass(frozen=True)
class Motion:
    """A model of motion of pictures of one size.

    Parameters
    ----------
    model : Model
    size : (int, int)
        Columns and rows.
    """

    model: Model
    size: tuple[int, int]

    @property
    def numbers(self) -> int:
        """Of one motion."""
        return NUMBERS[self.model]

    @property
    def _unit(self) -> Matrix:
        """From pixels to shares of half the diagonal, around the middle."""
        middle = (np.array(self.size, float) - 1) / 2
        radius = max(1.0, float(np.hypot(*middle)))
        return np.array([[1 / radius, 0, -middle[0] / radius], [0, 1 / radius, -middle[1] / radius], [0, 0, 1]])

    def matrix(self, numbers: NDArray[np.float64]) -> Matrix:
        """Matrix of a motion: float64[3, 3]."""
        unit = self._unit
        given = np.zeros(8)
        given[: self.numbers] = numbers * unit[0, 0]
        x, y, turn, size, stretch, shear, *tilt = given
        if self.model in ("rigid", "similarity"):
            cos, sin = np.cos(turn) * np.exp(size), np.sin(turn) * np.exp(size)
            inner = np.array([[cos, -sin, x], [sin, cos, y], [0, 0, 1]])
        else:
            inner = np.array([[1 + size + stretch, shear - turn, x], [shear + turn, 1 + size - stretch, y], [*tilt, 1]])
        return np.asarray(np.linalg.inv(unit) @ inner @ unit)

    def fitted(self, matrix: Matrix) -> NDArray[np.float64]:
        """Numbers of the motion that is most like a matrix."""
        unit = self._unit
        inner = unit @ matrix @ np.linalg.inv(unit)
        inner = inner / inner[2, 2]
        (a, b, x), (c, d, y), (p, q, _) = inner
        turn, size = (c - b) / 2, (a + d) / 2 - 1
        if self.model in ("rigid", "similarity"):
            turn, size = np.arctan2(c - b, a + d), np.log(max(1e-6, np.hypot(a + d, c - b) / 2))
        found = np.array([x, y, turn, size, (a - d) / 2, (b + c) / 2, p, q])
        return np.asarray(found[: self.numbers] / unit[0, 0])


def move(matrix: Matrix, points: Points) -> Points:
    """Points [n, 2] where a matrix puts them."""
    made = points @ matrix[:, :2].T + matrix[:, 2]
    return np.asarray(made[:, :2] / made[:, 2:])


def turn_of(matrix: Matrix) -> float:
    """Degrees by which a matrix turns, clockwise in pictures."""
    return float(np.degrees(np.arctan2(matrix[1, 0] - matrix[0, 1], matrix[0, 0] + matrix[1, 1])))
