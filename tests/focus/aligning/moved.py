"""Slices that moved, by known motions: blurred by their distance from the plane in focus."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

SIZE = 240


def scene(count: int = 6, seed: int = 0, size: int = SIZE) -> NDArray[np.float64]:
    """Slices [k, y, x]: steps of texture, each in focus in a slice of its own."""
    rng = np.random.default_rng(seed)
    texture = sum(gaussian_filter(rng.standard_normal((size, size)), s) * s for s in (1, 2, 4))
    texture = 0.5 + 0.12 * (texture - texture.mean()) / texture.std()
    depth = np.repeat(np.arange(count), -(-size // count))[:size]
    slices = []
    for k in range(count):
        blurred = [gaussian_filter(texture, 1.2 * abs(d - k)) for d in range(count)]
        slices.append(np.stack([blurred[d][:, x] for x, d in enumerate(depth)], axis=1))
    return np.clip(np.stack(slices) + 0.003 * rng.standard_normal((count, size, size)), 0, 1)


def motions(count: int, seed: int = 0, size: int = SIZE, shift: float = 12, turn: float = 1, growth: float = 0.03):
    """Matrices from pixels of each slice to the scene: a lens that breathes, a hand that shakes."""
    rng = np.random.default_rng(seed)
    middle = np.full(2, (size - 1) / 2)
    made = []
    for k in range(count):
        u = k / max(1, count - 1) - 0.5
        angle = np.radians(turn) * rng.uniform(-0.5, 0.5)
        inner = (1 + growth * u) * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        matrix = np.eye(3)
        matrix[:2, :2] = inner
        matrix[:2, 2] = middle - inner @ middle + rng.uniform(-shift / 2, shift / 2, 2)
        made.append(matrix)
    return made


def seen(slices: NDArray[np.float64], matrices: list[NDArray[np.float64]]) -> NDArray[np.float32]:
    """Slices as a camera that moved sees them."""
    made = []
    for one, matrix in zip(slices, matrices, strict=True):
        y, x = np.mgrid[: one.shape[0], : one.shape[1]]
        places = np.einsum("ij,jyx->iyx", matrix, np.stack([x, y, np.ones_like(x)]).astype(float))
        made.append(map_coordinates(one, [places[1], places[0]], order=5, mode="mirror"))
    return np.clip(np.stack(made), 0, 1).astype(np.float32)


def errors(found: list[NDArray[np.float64]], true: list[NDArray[np.float64]], reference: int, size: int = SIZE):
    """Pixels by which corners of each slice are wrong in the reference, the largest of each."""
    corners = np.array([[0, 0, 1], [size - 1, 0, 1], [0, size - 1, 1], [size - 1, size - 1, 1.0]]).T
    made = []
    for own, other in zip(found, true, strict=True):
        a, b = own @ corners, np.linalg.inv(true[reference]) @ other @ corners
        made.append(np.hypot(*(a[:2] / a[2] - b[:2] / b[2])).max())
    return np.array(made)
