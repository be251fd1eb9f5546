"""Pixels whose three colours lie beside one another become planes, several times as fast as colour by colour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.kernels.jit import njit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def shares(pixels: NDArray[Any], ends: Sequence[tuple[float, float]], out: NDArray[np.float32]) -> None:
    """Fill `out` with float32: 0 what is black, 1 what is white.

    Parameters
    ----------
    pixels : array[y, x, 3]
        In one piece.
    ends : sequence of (float, float)
        Black and white of each colour.
    out : float32[3, y, x]
    """
    black = np.array([low for low, _ in ends], np.float32)
    span = np.array([high - low for low, high in ends], np.float32)
    _shares(pixels.reshape(len(pixels), -1), black, span, out)


@njit
def _shares(pixels: Any, black: Any, span: Any, out: Any) -> None:
    black_r, black_g, black_b = black[0], black[1], black[2]
    span_r, span_g, span_b = span[0], span[1], span[2]
    for y in range(out.shape[1]):
        row, red, green, blue = pixels[y], out[0, y], out[1, y], out[2, y]
        for x in range(red.size):
            red[x] = (np.float32(row[3 * x]) - black_r) / span_r
            green[x] = (np.float32(row[3 * x + 1]) - black_g) / span_g
            blue[x] = (np.float32(row[3 * x + 2]) - black_b) / span_b


def planes(pixels: NDArray[Any]) -> NDArray[Any]:
    """Planes array[3, y, x] of pixels array[y, x, 3] in one piece."""
    out = np.empty((3, *pixels.shape[:2]), pixels.dtype)
    _planes(pixels.reshape(len(pixels), -1), out)
    return out


@njit
def _planes(pixels: Any, out: Any) -> None:
    for y in range(out.shape[1]):
        row, red, green, blue = pixels[y], out[0, y], out[1, y], out[2, y]
        for x in range(red.size):
            red[x] = row[3 * x]
            green[x] = row[3 * x + 1]
            blue[x] = row[3 * x + 2]
