"""Windows and weights of ImageMagick's Gaussians, ``-blur`` and ``-gaussian-blur``; plain numbers, nothing compiled."""

from __future__ import annotations

import functools
import math

import numpy as np

_SMALLEST_WEIGHT = 1 / 65535
_FINER = 3


def blur_width(radius: float, sigma: float) -> int:
    """Odd width of the window of `blur`: from the radius, or as far as weights matter."""
    if radius >= 1:
        return 2 * int(radius) + 1
    width = 3
    while True:
        j = np.arange(width + 2) - (width + 1) // 2
        weights = np.exp(-(j**2) / (2 * sigma * sigma))
        if weights[0] / weights.sum() < _SMALLEST_WEIGHT:
            return width
        width += 2


def disk_width(radius: float, sigma: float) -> int:
    """Odd width of the window of a two-dimensional Gaussian."""
    if radius >= 1:
        return 2 * int(radius) + 1
    width = 3
    while True:
        j = np.arange(width + 2) - (width + 1) // 2
        line = np.exp(-(j**2) / (2 * sigma * sigma))
        if line[0] / line.sum() ** 2 < _SMALLEST_WEIGHT:
            return width
        width += 2


@functools.lru_cache(maxsize=256)
def blur_weights(radius: float, sigma: float) -> tuple[float, ...]:
    """Weights of `blur`: a Gaussian sampled three times finer, summed in threes; sum 1."""
    if sigma == 0:
        return (1.0,)
    width = blur_width(radius, sigma)
    v = (width * _FINER - 1) // 2
    weights = np.zeros(width)
    for u in range(-v, v + 1):
        weights[(u + v) // _FINER] += math.exp(-(u * u) / (2 * (sigma * _FINER) ** 2))
    return tuple(weights / weights.sum())


@functools.lru_cache(maxsize=256)
def gaussian_weights(radius: float, sigma: float) -> tuple[float, ...]:
    """Weights of `gaussian` along one axis: point samples in the window of the plane; sum 1."""
    if sigma == 0:
        return (1.0,)
    j = np.arange(width := disk_width(radius, sigma)) - width // 2
    weights = np.exp(-(j**2) / (2 * sigma * sigma))
    return tuple(weights / weights.sum())
