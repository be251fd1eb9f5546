"""Curves of single pixels as ImageMagick has them: gamma, levels, thresholds, contrast, arithmetic; and their limits.

Numbers are 0 = black to 1 = white and may lie beyond, as in ImageMagick with HDRI. Formulas: its ``enhance.c``,
``threshold.c``, ``statistic.c``. Three planes are the colours of one image, whose limits are shared; others are images
by themselves.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.kernels.jit import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]
    Planes = NDArray[np.float32]

WHITE = 65535
"""What ImageMagick counts white as."""
ARITHMETIC = (
    "Abs",
    "Add",
    "Cosine",
    "Divide",
    "Exponential",
    "Log",
    "Max",
    "Mean",
    "Min",
    "Multiply",
    "Pow",
    "Set",
    "Sine",
    "Subtract",
    "Threshold",
    "ThresholdBlack",
    "ThresholdWhite",
)
"""What `evaluate` can do."""
_COLOURS = 3
_LUMA = (0.212656, 0.715158, 0.072186)
_DARKEST, _BRIGHTEST = 0.0015, 0.0005
_TINY = 1e-12
_POWER, _LOG, _EXPONENTIAL, _COSINE, _SINE, _SIGMOID = range(6)


def gamma(planes: Planes, exponent: float) -> Planes:
    """Raise to ``1 / exponent``; what is below black stays. float32 of any shape to the same."""
    return np.where(planes < 0, planes, _curved(planes, _POWER, 1 / exponent, 0))


def level(planes: Planes, black: float, white: float, exponent: float = 1) -> Planes:
    """Stretch black..white to 0..1, clip, and raise to ``1 / exponent``; float32 of any shape to the same."""
    span = white - black
    scale = 1 / (span if abs(span) > _TINY else math.copysign(_TINY, span))
    found = np.clip((planes - np.float64(black)) * scale, 0, 1).astype(np.float32)
    return found if exponent == 1 else gamma(found, exponent)


def threshold(planes: Planes, at: float) -> Planes:
    """1 where an image is brighter than a threshold, else 0; float32[c, y, x] to the same."""
    return np.concatenate([np.repeat(bright[None] > at, count, axis=0) for bright, count in _images(planes)]).astype(
        np.float32
    )


def sigmoidal_contrast(planes: Planes, contrast: float, middle: float) -> Planes:
    """More contrast about a middle and less at the ends, by a hyperbolic tangent; clipped."""
    if contrast < _TINY:
        return planes
    return np.clip(_curved(np.clip(planes, 0, 1), _SIGMOID, contrast, middle), 0, 1)


def evaluate(planes: Planes, what: str, value: float) -> Planes:
    """Arithmetic of every pixel with a number, one of `ARITHMETIC`; not clipped.

    Parameters
    ----------
    planes : float32[...]
    what : str
    value : float
        As ImageMagick counts: a brightness of white 65535, or a plain number where pixels are multiplied by it, divided
        by it, raised to it, or curved.

    Returns
    -------
    float32[...]
    """
    number, wide = value / WHITE, planes.astype(np.float64)
    found: Any
    match what:
        case "Abs":
            found = np.abs(wide + number)
        case "Add":
            found = wide + number
        case "Subtract":
            found = wide - number
        case "Mean":
            found = (wide + number) / 2
        case "Multiply":
            found = wide * value
        case "Divide":
            found = wide / (value or 1)
        case "Max":
            found = np.maximum(wide, number)
        case "Min":
            found = np.minimum(wide, number)
        case "Set":
            found = np.full_like(wide, number)
        case "Threshold":
            found = wide > number
        case "ThresholdBlack":
            found = np.where(wide > number, wide, 0)
        case "ThresholdWhite":
            found = np.where(wide > number, 1, wide)
        case "Pow":
            found = np.copysign(_curved(np.abs(planes), _POWER, value, 0), planes)
        case "Log":
            found = np.where(wide < _TINY, 0, _curved(np.maximum(planes, 0), _LOG, value, 0))
        case "Exponential":
            found = _curved(planes, _EXPONENTIAL, value, 0)
        case _:
            found = _curved(planes, _COSINE if what == "Cosine" else _SINE, value, 0)
    return np.asarray(found).astype(np.float32)


def _curved(planes: Planes, curve: int, a: float, b: float) -> Planes:
    out = np.empty(planes.shape, np.float32)
    _curve(np.ascontiguousarray(planes).ravel(), curve, a, b, out.ravel())
    return out


@njit
def _curve(values: Any, curve: Any, a: Any, b: Any, out: Any) -> None:
    # one number after the other: vector functions of NumPy depend on the processor
    low, high = math.tanh(-0.5 * a * b), math.tanh(0.5 * a * (1 - b))
    for i in range(values.size):
        value = np.float64(values[i])
        if curve == _POWER:
            out[i] = np.nan if value < 0 else value**a
        elif curve == _LOG:
            out[i] = math.log(a * value + 1) / math.log(a + 1)
        elif curve == _EXPONENTIAL:
            out[i] = math.exp(a * value)
        elif curve == _COSINE:
            out[i] = 0.5 * math.cos(2 * math.pi * value * a) + 0.5
        elif curve == _SINE:
            out[i] = 0.5 * math.sin(2 * math.pi * value * a) + 0.5
        else:
            out[i] = (math.tanh(0.5 * a * (value - b)) - low) / (high - low)


def _images(planes: Planes) -> list[tuple[Plane, int]]:
    """Brightness float32[y, x] of each image, and how many planes it has."""
    if len(planes) != _COLOURS:
        return [(plane, 1) for plane in planes]
    r, g, b = (np.float32(share) * plane for share, plane in zip(_LUMA, planes, strict=True))
    return [(np.asarray(r + g + b), _COLOURS)]


def images_of(planes: int) -> int:
    """How many images so many planes are: three are one in colours."""
    return 1 if planes == _COLOURS else planes


def extremes(planes: Planes) -> NDArray[np.float64]:
    """Least and greatest value of each image: float64[2 * images]."""
    values = planes.reshape(images_of(len(planes)), -1).astype(np.float64)
    return np.stack([values.min(axis=1), values.max(axis=1)], axis=1).ravel()


def brightness_counts(planes: Planes) -> NDArray[np.float64]:
    """Counts of the brightness of each image in 16 bits: float64[65536 * images]."""
    return np.concatenate([np.bincount(_sixteen(bright).ravel(), minlength=WHITE + 1) for bright, _ in _images(planes)])


def _sixteen(plane: NDArray[Any]) -> NDArray[np.int64]:
    return np.asarray(np.floor(np.clip(plane, 0, 1) * np.float64(WHITE) + 0.5).astype(np.int64))


def auto_level(planes: Planes, found: NDArray[np.float64]) -> Planes:
    """Stretch each image between its `extremes` (``-auto-level``); an even one stays as it is."""
    pairs = np.asarray(found).reshape(-1, 2)
    parts = np.split(planes, len(pairs))
    return np.concatenate(
        [part if high - low < _TINY else level(part, low, high) for part, (low, high) in zip(parts, pairs, strict=True)]
    )


def normalize(planes: Planes, counts: NDArray[np.float64]) -> Planes:
    """Stretch each image so that 0.15 % of its pixels are black and 0.05 % white (``-normalize``), in 16 bits.

    Parameters
    ----------
    planes : float32[c, y, x]
    counts : float64[65536 * images]
        Of `brightness_counts`, of these planes or of many.
    """
    tables = np.asarray(counts).reshape(-1, WHITE + 1)
    found = []
    for part, table in zip(np.split(planes, len(tables)), tables, strict=True):
        below, above = np.cumsum(table), np.cumsum(table[::-1])
        black = int(np.searchsorted(below, _DARKEST * below[-1], side="right"))
        white = WHITE - int(np.searchsorted(above, _BRIGHTEST * above[-1], side="right"))
        found.append(part if black == white else level(_sixteen(part).astype(np.float32), black, white))
    return np.concatenate(found)
