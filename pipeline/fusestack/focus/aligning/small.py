"""What is kept of every slice while all are compared: how sharp and how bright its parts are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from fusestack.focus.aligning.motions import Matrix, Points
    from fusestack.focus.aligning.tracks import Look

    Planes = NDArray[np.float32]

_CELLS = 96
"""Parts of the longer side of a slice."""
_TOP = 98
"""Percent of all parts: how sharp a slice is where it is sharpest."""
_NOTHING, _LITTLE = 1.0, 0.03
"""What is less sharp there shows nothing: in units of the noise squared, and as a share of the median slice."""


@dataclass(frozen=True)
class Small:
    """Parts of a slice, squares of `cell` pixels.

    Parameters
    ----------
    cell : int
    detail : float32[y, x]
        The sharpest detail of each part.
    colours : float32[c, y, x]
        Means.
    """

    cell: int
    detail: NDArray[np.float32]
    colours: Planes

    @staticmethod
    def of(planes: Planes, look: Look) -> Small:
        """Of a slice float32[c, y, x] and how it is compared."""
        cell = max(1, -(-max(planes.shape[1:]) // _CELLS))
        return Small(cell, _parts(look.detail[None], cell, np.max)[0], _parts(planes, cell, np.mean))

    def at(self, points: Points) -> NDArray[np.float64]:
        """Detail of the parts where points [n, 2], as x and y, lie."""
        return _picked(self.detail, points, self.cell)

    def over(self, matrix: Matrix, planes: Planes) -> Planes:
        """Some planes of parts where a matrix puts them; NaN where nothing is."""
        import cv2

        scale = np.array([[self.cell, 0, (self.cell - 1) / 2], [0, self.cell, (self.cell - 1) / 2], [0, 0, 1.0]])
        inner = np.linalg.inv(scale) @ matrix @ scale
        height, width = planes.shape[1:]
        options: dict[str, Any] = {"borderMode": cv2.BORDER_CONSTANT, "borderValue": float("nan")}
        return np.stack([cv2.warpPerspective(one, inner, (width, height), **options) for one in planes])


def seen_of(small: Sequence[Small]) -> list[int]:
    """Slices that show something: far more than nothing, beside the others."""
    most = np.array([np.percentile(one.detail, _TOP) for one in small])
    return [int(k) for k in np.flatnonzero(most > max(_NOTHING, _LITTLE * float(np.median(most))))]


def sharpest_of(small: Sequence[Small], matrices: Sequence[Matrix]) -> Small:
    """The sharpest detail of all slices at each part of the reference."""
    found = [one.over(matrix, one.detail[None])[0] for one, matrix in zip(small, matrices, strict=True)]
    return Small(small[0].cell, np.fmax.reduce(found), small[0].colours)


def _parts(planes: Planes, cell: int, function: Callable[..., Any]) -> Planes:
    c, height, width = planes.shape
    rows, columns = height // cell, width // cell
    kept = planes[:, : rows * cell, : columns * cell].reshape(c, rows, cell, columns, cell)
    return np.asarray(function(kept, axis=(2, 4)), np.float32)


def _picked(plane: NDArray[np.float32], points: Points, cell: int) -> NDArray[np.float64]:
    x, y = ((points[:, i] // cell).astype(int).clip(0, plane.shape[1 - i] - 1) for i in (0, 1))
    return np.asarray(plane[y, x], np.float64)
