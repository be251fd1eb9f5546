"""Levelling and equalising of masks over a stack (imfuse's ``level`` and ``masklevel``)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.kernels.jit import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Planes = NDArray[np.float32]

BINS = 256
STEPS = 2**16
_PLACES = 1024
_SIXTEEN_BITS = 2.0**-16


def six_digits(low: float, high: float) -> tuple[float, float]:
    """Limits as the original hands them on: percent with six significant digits."""
    return float(f"{100 * low:.6g}") / 100, float(f"{100 * high:.6g}") / 100


def rounded_outwards(low: float, high: float, step: float) -> tuple[float, float]:
    """Limits rounded outwards to multiples of a step, counted from 0 and from 1; step 0 leaves them."""
    if step <= 0:
        return low, high
    tiny = _SIXTEEN_BITS / step  # masks are stored in so many digits
    return step * math.floor(low / step + tiny), 1 - step * math.floor((1 - high) / step + tiny)


def stretch(planes: Planes, low: float, high: float) -> Planes:
    """Stretch low..high to 0..1 and clip; float32 of any shape to the same."""
    span = max(high - low, 1e-12)
    return np.asarray(np.clip((planes - np.float32(low)) * np.float32(1 / span), 0, 1))


def histogram(planes: Planes, low: float, high: float) -> NDArray[np.int64]:
    """Count stretched values in 256 bins, rounded to the nearest: int64[256]."""
    counts = np.zeros(BINS, np.int64)
    _count(np.ascontiguousarray(planes).ravel(), np.float32(low), np.float32(1 / max(high - low, 1e-12)), counts)
    return counts


@njit
def _count(values: Any, low: Any, scale: Any, counts: Any) -> None:
    for value in values:
        place = (value - low) * scale
        place = min(max(place, np.float32(0)), np.float32(1)) if place == place else np.float32(0)
        counts[np.int64(np.floor(np.float32(255) * place + np.float32(0.5)))] += 1


def equalising_table(counts: NDArray[Any]) -> NDArray[np.float32]:
    """Share of pixels in lower bins, without those of the topmost bin, floored to 16 bits: float32[256]."""
    below = np.concatenate([[0.0], np.cumsum(counts[:-1], dtype=np.float64)])
    if below[-1] == 0:
        return np.linspace(0, 1, BINS, dtype=np.float32)
    return np.asarray((np.floor(below / below[-1] * 65535) / 65535).astype(np.float32))


def between_entries(table: NDArray[np.float32]) -> NDArray[np.float32]:
    """What a table says at each step of 16 bits, in a straight line between two entries: float32[256] to [65536]."""
    place = np.arange(STEPS, dtype=np.float32) * np.float32((BINS - 1) / (STEPS - 1))
    entry = np.minimum(place, np.float32(BINS - 2)).astype(np.int64)
    rest = place - entry.astype(np.float32)
    return np.asarray(table[entry] + rest * (table[entry + 1] - table[entry]))


def look_up(planes: Planes, low: float, high: float, steps: NDArray[np.float32]) -> Planes:
    """Stretch, round to 16 bits, and take what stands there in a table.

    Parameters
    ----------
    planes : float32[...]
    low, high : float
    steps : float32[65536]

    Returns
    -------
    float32[...]
    """
    out = np.empty(planes.shape, np.float32)
    scale = np.float32(1 / max(high - low, 1e-12))
    _look_up(np.ascontiguousarray(planes).ravel(), np.float32(low), scale, steps, out.ravel())
    return out


@njit
def _look_up(values: Any, low: Any, scale: Any, steps: Any, out: Any) -> None:
    """Some places at a time: finding them vectorises, looking there does not."""
    last, places = np.float32(steps.size - 1), np.empty(_PLACES, np.int32)
    for first in range(0, values.size, _PLACES):
        some, found = values[first : first + _PLACES], out[first : first + _PLACES]
        for i in range(some.size):
            value = (some[i] - low) * scale
            value = min(max(value, np.float32(0)), np.float32(1)) if value == value else np.float32(0)
            places[i] = np.int32(value * last + np.float32(0.5))
        for i in range(found.size):
            found[i] = steps[places[i]]


def screened(source: NDArray[np.float32], destination: NDArray[np.float32]) -> NDArray[np.float32]:
    """Screen a source over a destination, a + b - a b, clipped; float32[y, x]."""
    out = np.empty(destination.shape, np.float32)
    _screen(np.ascontiguousarray(source).ravel(), np.ascontiguousarray(destination).ravel(), out.ravel())
    return out


@njit
def _screen(source: Any, destination: Any, out: Any) -> None:
    for i in range(out.size):
        value = source[i] + destination[i] - source[i] * destination[i]
        out[i] = min(max(value, np.float32(0)), np.float32(1))


def shorten(planes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Round numbers, in place if they lie in one piece, to 16 binary digits after the first: they compress better."""
    planes = np.ascontiguousarray(planes)  # of others, a copy would be shortened
    _shorten(planes.reshape(-1).view(np.uint32))
    return planes


@njit
def _shorten(bits: Any) -> None:
    for i in range(bits.size):
        word = bits[i]
        odd = (word >> np.uint32(7)) & np.uint32(1)
        bits[i] = (word + np.uint32(63) + odd) & np.uint32(0xFFFFFF80)


def median_of_five(a: Any, b: Any, c: Any, d: Any, e: Any) -> Any:
    """The middle one of five numbers at each place; NaN where one of them is.

    Parameters
    ----------
    a, b, c, d, e : array
        Of one shape and dtype.
    """
    low, high = np.minimum(np.maximum(a, b), np.maximum(c, d)), np.maximum(np.minimum(a, b), np.minimum(c, d))
    return np.maximum(np.minimum(low, high), np.minimum(np.maximum(low, high), e))
