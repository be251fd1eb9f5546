"""Colour spaces of planes, values 0..1, on the stored (gamma-encoded sRGB) numbers (ImageMagick's ``-colorspace``).

Every conversion takes float32[3, y, x] in sRGB and gives float32[n, y, x]; hue, a and b are moved into 0..1.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.kernels.jit import njit

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Planes = NDArray[np.float32]

LUMA = (0.212656, 0.715158, 0.072186)
_LUMA_601 = (0.298839, 0.586811, 0.114350)
_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_WHITE = (0.95047, 1.0, 1.08883)
_CHROMA_RED = (0.5, -0.418688, -0.081312)
CYLINDERS = {"HSL": 0, "HSB": 1, "HSV": 1, "HCL": 2, "HSI": 3, "HWB": 4}
"""Spaces of a hue and what belongs to it."""
_CHROMA_BLUE = (-0.168736, -0.331264, 0.5)


def convert(rgb: Planes, space: str) -> Planes:
    """Convert sRGB to a space of `SPACES`; a grey plane stands for three equal colours.

    Parameters
    ----------
    rgb : float32[1 or 3, y, x]
    space : str

    Returns
    -------
    float32[n, y, x]
    """
    if space == "sRGB":
        return rgb
    return SPACES[space](_three(rgb))


def luma(planes: Planes) -> Planes:
    """Luma of colours, float32[1, y, x]; a grey plane is its own."""
    return planes[:1] if planes.shape[0] < 3 else _weighted(planes, LUMA)[None]


def _weighted(rgb: Planes, weights: tuple[float, ...], offset: float = 0.0) -> NDArray[np.float32]:
    r, g, b = (np.float32(w) for w in weights)
    return np.asarray(r * rgb[0] + g * rgb[1] + b * rgb[2] + np.float32(offset))


def channel(rgb: Planes, space: str, number: int) -> Planes:
    """One channel of a space, the last one where there are fewer: float32[1, y, x]; see `convert`."""
    if space not in CYLINDERS or number == 0:
        planes = convert(rgb, space)
        number = min(number, len(planes) - 1)
        return planes[number : number + 1]
    out = np.empty((1, *rgb.shape[1:]), np.float32)
    _beside_hue(_three(rgb), CYLINDERS[space], number, out[0])
    return out


def _three(rgb: Planes) -> Planes:
    return np.ascontiguousarray(np.repeat(rgb, 3, axis=0) if rgb.shape[0] == 1 else rgb)


def _cylinder(rgb: Planes, kind: int) -> Planes:
    out = np.empty_like(rgb)
    _hue(rgb, out[0])
    for number in (1, 2):
        _beside_hue(rgb, kind, number, out[number])
    return out


@njit
def _hue(rgb: Any, out: Any) -> None:
    for y in range(rgb.shape[1]):
        for x in range(rgb.shape[2]):
            r, g, b = rgb[0, y, x], rgb[1, y, x], rgb[2, y, x]
            high = max(r, g, b)
            chroma = high - min(r, g, b)
            hue = np.float32(0)
            if chroma > 0:
                if high == r:
                    hue = (g - b) / chroma
                    if hue < 0:
                        hue += np.float32(6)
                elif high == g:
                    hue = np.float32(2) + (b - r) / chroma
                else:
                    hue = np.float32(4) + (r - g) / chroma
            out[y, x] = hue / np.float32(6)


@njit
def _beside_hue(rgb: Any, kind: Any, number: Any, out: Any) -> None:
    """The second or third channel of one of `CYLINDERS`; without the hue, it vectorises."""
    zero, half, one, two = np.float32(0), np.float32(0.5), np.float32(1), np.float32(2)
    for y in range(rgb.shape[1]):
        reds, greens, blues, row = rgb[0, y], rgb[1, y], rgb[2, y], out[y]
        for x in range(row.size):
            r, g, b = reds[x], greens[x], blues[x]
            high, low = max(r, g, b), min(r, g, b)
            chroma = high - low
            if kind == 0:
                light = half * (high + low)
                scale = light + light if light <= half else two - (light + light)
                share = chroma / scale if chroma > 0 and scale > 0 else zero
                row[x] = share if number == 1 else light
            elif kind == 1:
                share = chroma / high if high > 0 else zero
                row[x] = share if number == 1 else high
            elif kind == 2:
                luma = np.float32(0.298839) * r + np.float32(0.586811) * g + np.float32(0.114350) * b
                row[x] = chroma if number == 1 else luma
            elif kind == 3:
                mean = (r + g + b) / np.float32(3)
                share = one - low / mean if mean > 0 else zero
                row[x] = share if number == 1 else mean
            else:
                row[x] = low if number == 1 else one - high


def _linear(rgb: Planes) -> Planes:
    return np.where(rgb <= 0.04045, rgb / np.float32(12.92), ((rgb + 0.055) / 1.055) ** np.float32(2.4)).astype(
        np.float32
    )


def _xyz(rgb: Planes) -> Planes:
    return np.asarray(np.einsum("ij,jyx->iyx", _TO_XYZ, _linear(rgb)).astype(np.float32))


def _lab(rgb: Planes) -> Planes:
    ratio = _xyz(rgb) / np.array(_WHITE, dtype=np.float32)[:, None, None]
    x, y, z = np.where(ratio > 216 / 24389, np.cbrt(np.maximum(ratio, 0)), (24389 / 27 * ratio + 16) / 116)
    lab = [(116 * y - 16) / 100, 500 * (x - y) / 255 + 0.5, 200 * (y - z) / 255 + 0.5]
    return np.stack(lab).astype(np.float32)


def _lch(rgb: Planes) -> Planes:
    light, a, b = _lab(rgb)
    a, b = a - np.float32(0.5), b - np.float32(0.5)
    hue = np.arctan2(b, a) / (2 * np.pi) % 1.0
    return np.stack([light, np.hypot(a, b) + np.float32(0.5), hue]).astype(np.float32)


def _luma_chroma(rgb: Planes) -> Planes:
    planes = [
        _weighted(rgb, _LUMA_601),
        _weighted(rgb, _CHROMA_BLUE, 0.5),
        _weighted(rgb, _CHROMA_RED, 0.5),
    ]
    return np.stack(planes)


SPACES: dict[str, Callable[[Planes], Planes]] = {
    "sRGB": lambda rgb: rgb,
    "RGB": _linear,
    "Gray": lambda rgb: _weighted(rgb, LUMA)[None],
    **{space: functools.partial(_cylinder, kind=kind) for space, kind in CYLINDERS.items()},
    "Lab": _lab,
    "LCH": _lch,
    "XYZ": _xyz,
    "YCbCr": _luma_chroma,
    "CMY": lambda rgb: 1 - rgb,
}
"""Names as the option ``C=`` takes them."""

_RAINBOW = np.array(
    [[75, 0, 130], [0, 0, 255], [0, 128, 0], [255, 255, 0], [255, 165, 0], [255, 0, 0], [255, 255, 255]]
)


def rainbow(depth: NDArray[Any]) -> Planes:
    """Colour of a depth 0..1: indigo, blue, green, yellow, orange, red, white (imfuse's depth map).

    Parameters
    ----------
    depth : float[y, x]

    Returns
    -------
    float32[3, y, x]
    """
    place = np.clip(depth, 0, 1) * (len(_RAINBOW) - 1)
    stops = np.arange(len(_RAINBOW))
    return np.stack([np.interp(place, stops, channel) / 255 for channel in _RAINBOW.T]).astype(np.float32)
