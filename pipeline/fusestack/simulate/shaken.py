"""Focus stacks whose slices moved: a lens that breathes, a hand that shakes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]


def shaken_motions(
    count: int,
    size: tuple[int, int],
    seed: int = 0,
    *,
    shift: float = 20,
    turn: float = 2,
    growth: float = 0.05,
) -> list[Matrix]:
    """Where pixels (x, y, 1) of each slice lie in the scene: float64[3, 3] of each.

    Parameters
    ----------
    count : int
        Slices.
    size : (int, int)
        Columns and rows.
    seed : int
    shift, turn : float
        Pixels and degrees between the farthest slices; each is where chance puts it.
    growth : float
        By how much the last slice is larger than the first one; smooth along the stack.
    """
    rng = np.random.default_rng(seed)
    middle = (np.array(size, float) - 1) / 2
    made = []
    for k in range(count):
        place = k / max(1, count - 1) - 0.5
        angle = np.radians(turn) * rng.uniform(-0.5, 0.5)
        cos, sin = np.cos(angle), np.sin(angle)
        inner = (1 + growth * place + 0.15 * growth * place**2) * np.array([[cos, -sin], [sin, cos]])
        matrix = np.eye(3)
        matrix[:2, :2] = inner
        matrix[:2, 2] = middle - inner @ middle + rng.uniform(-shift / 2, shift / 2, 2)
        made.append(matrix)
    return made


def as_shaken(slices: NDArray[np.floating], motions: Sequence[Matrix]) -> NDArray[np.float32]:
    """Slices [k, y, x] or [k, y, x, c], 0..1, as a camera that moved sees them; by splines of fifth order."""
    from scipy.ndimage import map_coordinates

    made = []
    for one, matrix in zip(slices, motions, strict=True):
        y, x = np.mgrid[: one.shape[0], : one.shape[1]]
        places = np.einsum("ij,jyx->iyx", matrix, np.stack([x, y, np.ones_like(x)]).astype(float))
        planes = np.moveaxis(one, -1, 0) if one.ndim == 3 else one[None]
        seen = [map_coordinates(plane, [places[1], places[0]], order=5, mode="mirror") for plane in planes]
        made.append(np.stack(seen, axis=-1) if one.ndim == 3 else seen[0])
    return np.asarray(np.clip(np.stack(made), 0, 1), np.float32)


def corners_off(found: Sequence[Matrix], true: Sequence[Matrix], reference: int, size: tuple[int, int]) -> Matrix:
    """Pixels of the reference by which the worst corner of each slice is put to a wrong place."""
    right, bottom = (n - 1 for n in size)
    corners = np.array([[0, 0, 1], [right, 0, 1], [0, bottom, 1], [right, bottom, 1.0]]).T
    made = []
    for own, other in zip(found, true, strict=True):
        a, b = own @ corners, np.linalg.inv(true[reference]) @ other @ corners
        made.append(np.hypot(*(a[:2] / a[2] - b[:2] / b[2])).max())
    return np.array(made)
