"""Pixels as they are stored become numbers, row by row: colours may lie beside one another, or plane by plane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fusestack.kernels.jit import njit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_RGB = 3


class Pixels(NamedTuple):
    """Stored pixels, and those that stand for 0 and 1.

    Parameters
    ----------
    values : array[colour, y, x] or array[1, y, 3 * x]
        In one piece; the second where three colours lie beside one another.
    black, span : float32[colour]
        What is 0, and how far from there 1 is.
    """

    values: NDArray[Any]
    black: NDArray[np.float32]
    span: NDArray[np.float32]

    @staticmethod
    def of(planes: NDArray[Any], ends: Sequence[tuple[float, float]] | None = None) -> Pixels:
        """Pixels of planes array[colour, y, x], in any order of their axes in memory.

        Parameters
        ----------
        planes : array[colour, y, x]
        ends : sequence of (float, float), optional
            Black and white of each colour; by default 0 and 1.
        """
        ends = [(0.0, 1.0)] * len(planes) if ends is None else ends
        black = np.array([low for low, _ in ends], np.float32)
        span = np.array([high - low for low, high in ends], np.float32)
        planes = planes.astype(planes.dtype.newbyteorder("="), copy=False)
        beside = np.moveaxis(planes, 0, -1)
        if len(planes) == _RGB and beside.flags.c_contiguous:
            return Pixels(beside.reshape(1, len(beside), -1), black, span)
        return Pixels(np.ascontiguousarray(planes), black, span)

    def divided(self, by: float) -> Pixels:
        """The same pixels, as so much smaller numbers."""
        return self._replace(span=self.span * np.float32(by))

    def part(self, rows: slice, columns: slice) -> Pixels:
        """A region."""
        beside = len(self.black) // len(self.values)
        found = self.values[:, rows, beside * columns.start : beside * columns.stop]
        return self._replace(values=np.ascontiguousarray(found))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Colours, rows and columns."""
        colours, (planes, height, width) = len(self.black), self.values.shape
        return colours, height, width * planes // colours


def shares(pixels: Pixels) -> NDArray[np.float32]:
    """Numbers float32[colour, y, x]: 0 what is black, 1 what is white."""
    out = np.empty(pixels.shape, np.float32)
    _shares(*pixels, out)
    return out


@njit
def _shares(values: Any, black: Any, span: Any, out: Any) -> None:
    for y in range(out.shape[1]):
        shares_row(values, black, span, y, out, y)


@njit
def shares_row(values: Any, black: Any, span: Any, y: Any, out: Any, at: Any) -> None:
    """See `shares`; of row y alone, which becomes row `at` of the first planes of `out`."""
    if values.shape[0] == black.size:
        for c in range(black.size):
            row, found, low, high = values[c, y], out[c, at], black[c], span[c]
            for x in range(found.size):
                found[x] = (np.float32(row[x]) - low) / high
        return
    black_r, black_g, black_b = black[0], black[1], black[2]
    span_r, span_g, span_b = span[0], span[1], span[2]
    row, red, green, blue = values[0, y], out[0, at], out[1, at], out[2, at]
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
