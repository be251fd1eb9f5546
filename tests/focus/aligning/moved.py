"""Slices that moved, by known motions: blurred by their distance from the plane in focus."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from fusestack.simulate.shaken import as_shaken, corners_off, shaken_motions

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


def motions(count: int, seed: int = 0, *, shift: float = 12, turn: float = 1, growth: float = 0.03) -> list[NDArray]:
    """Matrices from pixels of each slice to the scene."""
    return shaken_motions(count, (SIZE, SIZE), seed, shift=shift, turn=turn, growth=growth)


def seen(slices: NDArray[np.floating], matrices: list[NDArray[np.float64]]) -> NDArray[np.float32]:
    """Slices as a camera that moved sees them."""
    return as_shaken(slices, matrices)


def errors(found: list[NDArray[np.float64]], true: list[NDArray[np.float64]], reference: int) -> NDArray[np.float64]:
    """Pixels by which corners of each slice are wrong in the reference, the largest of each."""
    return corners_off(found, true, reference, (SIZE, SIZE))
