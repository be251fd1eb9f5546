"""Low passes in the Fourier domain: transfer functions, whole planes, tiles (imfuse's ``fft`` and ``maskfft``)."""

from __future__ import annotations

import functools
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Planes = NDArray[np.float32]

SHAPES = ("circle", "square", "rhombus", "cross", "xcross")
_CURVE = re.compile(r"(gradient|log|inverselog|pow|gaussian|cos|solid)([0-9.]*)")
_DEFAULT = {"log": 1000.0, "inverselog": 1000.0, "pow": 2.0, "cos": 0.5}
_PADDING = 1.1
_STRETCHED = ("log", "inverselog", "pow", "gaussian")

CORE = 512
"""Pixels of a tile's result along y and x."""
OVERLAP = 128
"""Pixels around it that are transformed with it."""
REDUCTION = 4
"""Pixels in one pixel of the reduced plane that the lowest frequencies are taken from."""
_SPLIT = 1 / 96
_ROWS = 256
"""Rows of frequencies that transfers are computed of together."""
_LINES = 64
"""Rows or columns that are transformed together."""
_TABLE = 4097
_STRAIGHT = 50


def curve_of(word: str) -> tuple[str, float] | None:
    """Name and number of a curve such as ``log100``; None if there is none of that name."""
    found = _CURVE.fullmatch(word)
    if found is None or (found[1] in ("gradient", "gaussian", "solid") and found[2]):
        return None
    return found[1], float(found[2]) if found[2] else _DEFAULT.get(found[1], 0.0)


@dataclass(frozen=True)
class Transfer:
    """What a filter does to each frequency.

    Parameters
    ----------
    radius : float
        Cut-off in percent: ``radius / 200`` cycles per pixel.
    curve : str
        ``gradient``, ``log``, ``inverselog``, ``pow``, ``gaussian``, ``cos`` (with a number), ``solid``.
    shape : str
        One of `SHAPES`.
    contrast, middle : float
        Of a sigmoidal contrast over the curve, middle 0..1; 0 for none. For ``solid``, `contrast` blurs the edge.
    high_pass : bool
        One minus the low pass.
    """

    radius: float
    curve: str = "gradient"
    shape: str = "circle"
    contrast: float = 0.0
    middle: float = 0.5
    high_pass: bool = False

    def of(self, ramp: NDArray[Any], peak: float = 1.0) -> NDArray[Any]:
        """Values of a low pass for ramps 0..1, not for ``solid``.

        Parameters
        ----------
        ramp : float[...]
        peak : float
            Highest ramp of the discrete filter, which curves are stretched to.
        """
        found = curve_of(self.curve)
        if found is None:
            raise ValueError(f"no curve {self.curve}")
        name, number = found
        h = _curve(name, number, ramp)
        if name in _STRETCHED:
            low, high = (float(_curve(name, number, np.array(v))) for v in (0.0, peak))
            h = (h - low) / (high - low) if high > low else h
        return _sigmoid(h, self.contrast, self.middle) if self.contrast else h

    def at(self, side: int, v: NDArray[Any], u: NDArray[Any]) -> NDArray[np.float32]:
        """Values at frequencies, as ImageMagick draws them for a square of `side` pixels.

        The drawn ramp is centred half a frequency beside zero, and the left half of the spectrum is the one used.

        Parameters
        ----------
        side : int
        v, u : float[...]
            Frequencies along y and x (not negative), in periods per square; they broadcast.

        Returns
        -------
        float32[...]
        """
        radius = math.floor(side * self.radius / 200)
        if self.curve == "solid":
            h = _solid(np.abs(v), np.abs(u), max(radius, 1), self.contrast, self.shape)
        else:
            reach = max(radius - 0.5, 0.5)
            ramp = np.clip(1 - _distance(np.abs(v - 0.5) / reach, np.abs(u - 0.5) / reach, self.shape), 0, 1)
            h = self.of(ramp, peak=max(0.0, 1 - math.sqrt(0.5) / reach))
        return np.asarray(1 - h if self.high_pass else h, dtype=np.float32)


def _distance(v: NDArray[Any], u: NDArray[Any], shape: str) -> NDArray[Any]:
    match shape:
        case "circle":
            return np.asarray(np.hypot(v, u))
        case "square":
            return np.asarray(np.maximum(v, u))
        case "rhombus":
            return np.asarray(v + u)
        case "cross":
            return np.asarray(np.minimum(v, u))
        case _:
            return np.asarray(np.minimum(np.abs(v + u), np.abs(v - u)) / math.sqrt(2))


def _solid(v: NDArray[Any], u: NDArray[Any], radius: float, blur: float, shape: str) -> NDArray[Any]:
    """1 inside a shape and 0 outside; blurred, the share of a Gaussian of sigma `blur` around a frequency inside."""
    if blur <= 0:
        return (_distance(v / radius, u / radius, shape) <= 1).astype(np.float64)
    from scipy import special

    def within(place: NDArray[Any], reach: float) -> NDArray[Any]:
        low, high = (place - reach) / blur, (place + reach) / blur
        return np.asarray(special.ndtr(high) - special.ndtr(low))

    turned = (v + u) / math.sqrt(2), (v - u) / math.sqrt(2)
    match shape:
        case "circle":  # the distance from the middle has a non-central chi-squared distribution
            away = np.linspace(0, 1, _TABLE) * (radius + 10 * blur)
            if radius < _STRAIGHT * blur:
                table = special.chndtr((radius / blur) ** 2, 2, (away / blur) ** 2)
            else:  # an edge is straight as far as the blur sees
                table = special.ndtr((radius - away) / blur)
            return np.asarray(np.interp(np.hypot(v, u), away, table))
        case "square":
            return np.asarray(within(v, radius) * within(u, radius))
        case "rhombus":
            return np.asarray(within(turned[0], radius / math.sqrt(2)) * within(turned[1], radius / math.sqrt(2)))
        case "cross":
            return np.asarray(1 - (1 - within(v, radius)) * (1 - within(u, radius)))
        case _:
            return np.asarray(1 - (1 - within(turned[0], radius)) * (1 - within(turned[1], radius)))


def _curve(name: str, b: float, g: NDArray[Any]) -> NDArray[Any]:
    match name:
        case "log":
            return 1 - np.log(1 + b * (1 - g)) / math.log(1 + b)
        case "inverselog":
            return 1 - ((b + 1) ** (1 - g) - 1) / b
        case "pow":
            return np.asarray(g**b)
        case "gaussian":
            return np.exp(-((1 - g) ** 2) / math.sqrt(2 * math.pi))
        case "cos":
            return 1 - (0.5 * np.cos(2 * math.pi * g * b) + 0.5)
        case _:
            return g


def _sigmoid(x: NDArray[Any], contrast: float, middle: float) -> NDArray[Any]:
    """Sigmoidal contrast, or its inverse for a negative contrast (ImageMagick's ``-sigmoidal-contrast``)."""
    c = abs(contrast)

    def g(v: Any) -> Any:
        return 1 / (1 + np.exp(c * (middle - v)))

    low, high = g(0.0), g(1.0)
    if contrast > 0:
        return np.asarray((g(x) - low) / (high - low))
    inner = np.clip(x * (high - low) + low, 1e-12, 1 - 1e-12)
    return np.asarray(middle - np.log(1 / inner - 1) / c)


def padded_side(height: int, width: int) -> int:
    """Even side of the square that a plane is padded to."""
    side = math.floor(_PADDING * max(height, width))
    return side + side % 2


def whole(planes: Planes, transfers: tuple[Transfer, ...]) -> list[Planes]:
    """Filter whole planes, each transfer by itself: padded to a square, transformed, cropped.

    Parameters
    ----------
    planes : float32[c, y, x]
    transfers : tuple of Transfer

    Returns
    -------
    list of float32[c, y, x]
    """
    side = padded_side(*planes.shape[1:])
    return _filtered(planes, side, [_whole_response(transfer, side) for transfer in transfers])


@functools.lru_cache(maxsize=2)
def _whole_response(transfer: Transfer, side: int) -> NDArray[np.float32]:
    return _response(transfer, side, side)


def _response(transfer: Transfer, side: int, size: int, share: int = 0) -> NDArray[np.float32]:
    """Values for the frequencies of ``rfft2`` of a square of `size` pixels; a few rows at a time, planes may be large.

    Columns behind the last one of which something is left are not there.

    Parameters
    ----------
    transfer : Transfer
    side : int
        Of the square that frequencies are counted for.
    size : int
    share : int
        0: all frequencies; 1: the lowest ones, from a reduced plane; -1: all others.
    """
    v, u = np.fft.fftfreq(size, 1 / size)[:, None], np.arange(size // 2 + 1, dtype=np.float64)[None, :]
    if share < 0:
        v, u = v * (side / size), u * (side / size)
    out = np.empty((v.size, u.size), np.float32)
    for top in range(0, v.size, _ROWS):
        rows = v[top : top + _ROWS]
        found = transfer.at(side, rows, u)
        low = _gaussian_split(rows / side, u / side) if share else 0
        if share > 0:
            found = found * low / (_block_response(rows / side) * _block_response(u / side))
        elif share < 0:
            found = found * (1 - low)
        out[top : top + _ROWS] = found
    left = np.flatnonzero(out.any(axis=0))
    return np.ascontiguousarray(out[:, : left[-1] + 1 if left.size else 1])


def _filtered(planes: Planes, side: int, responses: list[NDArray[np.float32]]) -> list[Planes]:
    """Rows that only repeat the edge are not transformed by themselves, and not transformed back.

    Neither are columns of frequencies that nothing is left of. The others go some at a time, as rows do: they stay in
    the cache of a core from one step to the next.
    """
    from scipy import fft

    height, width = planes.shape[1:]
    top, left = (side - height) // 2, (side - width) // 2
    rows = slice(top, top + height)
    count = max(response.shape[1] for response in responses)
    lines = np.empty((height, count), np.complex64)
    columns = [np.empty((height, response.shape[1]), np.complex64) for response in responses]
    results = [np.empty_like(planes) for _ in responses]
    for c, plane in enumerate(planes):
        for first in range(0, height, _LINES):
            padded = np.pad(plane[first : first + _LINES], ((0, 0), (left, side - width - left)), mode="edge")
            lines[first : first + _LINES] = fft.rfft(padded, axis=1)[:, :count]
        for first in range(0, count, _LINES):
            some = slice(first, first + _LINES)
            part = np.empty((side, lines[:, some].shape[1]), lines.dtype)
            part[:top], part[rows], part[rows.stop :] = lines[0, some], lines[:, some], lines[-1, some]
            spectrum = fft.fft(part, axis=0, overwrite_x=True)
            for response, filtered in zip(responses, columns, strict=True):
                shares = response[:, some]
                found = fft.ifft(spectrum[:, : shares.shape[1]] * shares, axis=0, overwrite_x=True)
                filtered[:, some] = found[rows]
        for filtered, result in zip(columns, results, strict=True):
            for first in range(0, height, _LINES):
                some = slice(first, first + _LINES)
                result[c, some] = fft.irfft(filtered[some], n=side, axis=1)[:, left : left + width]
    return results


def reduced_low_pass(reduced: Planes, transfers: tuple[Transfer, ...], shape: tuple[int, int]) -> list[Planes]:
    """Lowest frequencies of planes from their reduced form (the coarse one of two scales).

    Parameters
    ----------
    reduced : float32[c, y / 4 + 2, x / 4 + 2]
        Block means of `REDUCTION` pixels along both axes, with one block beyond every edge.
    transfers : tuple of Transfer
    shape : (int, int)
        Rows and columns of the planes.

    Returns
    -------
    list of float32[c, y / 4 + 2, x / 4 + 2]
    """
    side = tiled_side(*shape)
    size = side // REDUCTION
    return _filtered(reduced, size, [_response(transfer, side, size, 1) for transfer in transfers])


def tiled_side(height: int, width: int) -> int:
    """As `padded_side`, divisible so that the reduced plane has an even side, too."""
    step = 2 * REDUCTION
    return -(-padded_side(height, width) // step) * step


def tile(region: Planes, transfers: tuple[Transfer, ...], shape: tuple[int, int]) -> list[Planes]:
    """Filter one tile of `CORE` pixels with `OVERLAP` around it by what the lowest frequencies leave out.

    Parameters
    ----------
    region : float32[c, CORE + 2 OVERLAP, CORE + 2 OVERLAP]
    transfers : tuple of Transfer
    shape : (int, int)
        Rows and columns of the whole plane.

    Returns
    -------
    list of float32[c, CORE, CORE]
    """
    side = tiled_side(*shape)
    responses = [_tile_response(transfer, side) for transfer in transfers]
    parts = _filtered(region, CORE + 2 * OVERLAP, responses)
    return [part[:, OVERLAP:-OVERLAP, OVERLAP:-OVERLAP] for part in parts]


@functools.lru_cache(maxsize=8)
def _tile_response(transfer: Transfer, side: int) -> NDArray[np.float32]:
    return _response(transfer, side, CORE + 2 * OVERLAP, -1)


def _gaussian_split(fy: NDArray[Any], fx: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(np.exp(-(fy**2 + fx**2) / (2 * _SPLIT**2)))


def _block_response(f: NDArray[Any]) -> NDArray[Any]:
    """Response of a mean of `REDUCTION` neighbours."""
    return np.asarray(np.sinc(f * REDUCTION) / np.sinc(f))
