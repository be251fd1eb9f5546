"""Sharpening that follows the edges (ImageMagick's ``-adaptive-sharpen``), and a blur of variable width."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.kernels.colour import luma
from fusestack.kernels.gaussians import disk_width
from fusestack.kernels.jit import njit
from fusestack.kernels.smooth import blur, convolve, gaussian

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Planes = NDArray[np.float32]

_STEPS = tuple(0.25 * 2 ** (i / 2) for i in range(15))
"""Sigmas that an image is blurred with; between them it is interpolated."""
_RADIUS_ZERO_SIDE = 5


def edge_reach(radius: float) -> int:
    """Pixels that `edges` looks at on each side."""
    return _side(radius) // 2


def _side(radius: float) -> int:
    return 2 * int(radius) + 1 if radius >= 1 else _RADIUS_ZERO_SIDE


def edges(planes: Planes, radius: float) -> Planes:
    """How much a pixel differs from the square around it: float32[c, y, x], not scaled."""
    n = _side(radius)
    kernel = np.full((n, n), -1.0)
    kernel[n // 2, n // 2] = n * n - 1
    return convolve(planes, kernel)


def smooth_edges(edge: Planes, limits: tuple[float, float], radius: float, sigma: float) -> Planes:
    """Edges stretched from `limits` to 0..1 and blurred."""
    return blur(_stretched(edge, limits), radius, sigma)


def adaptive_sharpen(
    planes: Planes,
    alpha: NDArray[np.float32],
    edge: Planes,
    limits: tuple[float, float],
    radius: float,
    sigma: float,
) -> Planes:
    """Sharpen, the more the nearer to an edge.

    Parameters
    ----------
    planes : float32[c, y, x]
        Colours.
    alpha : float32[y, x]
        Opacity; where a neighbour is transparent, the pixel stands in for it. Weights times opacity, as the original
        has them, would divide by sums near 0 at soft borders.
    edge : float32[c, y, x]
        From `smooth_edges`.
    limits : (float, float)
        Least and greatest value of `edge` in the whole image.
    radius, sigma : float

    Returns
    -------
    float32[c, y, x]
    """
    strength = luma(_stretched(edge, limits))[0]
    width = disk_width(radius, sigma)
    kernels = np.zeros((width + 1, width, width), np.float32)
    for j in range(0, width + 1, 2):
        n = width - j
        if n < 1:
            continue
        d = np.arange(n) - n // 2
        g = np.exp(-(d[:, None] ** 2 + d[None, :] ** 2) / (2 * sigma * sigma)) / (2 * np.pi * sigma * sigma)
        kernel = -g
        kernel[n // 2, n // 2] = 2 * g.sum() if n > 1 else 1.0
        kernels[j, :n, :n] = kernel / kernel.sum()
    out = np.empty_like(planes)
    for plane, result in zip(planes, out, strict=True):
        _sharpen(np.ascontiguousarray(plane), np.ascontiguousarray(alpha), strength, kernels, result)
    return out


def _stretched(planes: Planes, limits: tuple[float, float]) -> Planes:
    low, high = limits
    span = high - low
    return (planes - np.float32(low)) * np.float32(1 / span if span > 0 else 1.0)


@njit
def _sharpen(plane: Any, alpha: Any, strength: Any, kernels: Any, out: Any) -> None:
    height, width = plane.shape
    full = kernels.shape[1]
    for y in range(height):
        for x in range(width):
            j = int(np.ceil(np.float32(full) * (np.float32(1) - strength[y, x]) - np.float32(0.5)))
            j = min(max(j, 0), full)
            j -= j % 2
            n = full - j
            if n <= 1:
                out[y, x] = plane[y, x]
                continue
            value = plane[y, x]
            total = value
            for i in range(n):
                other = min(max(y + i - n // 2, 0), height - 1)
                for k in range(n):
                    place = min(max(x + k - n // 2, 0), width - 1)
                    total += kernels[j, i, k] * alpha[other, place] * (plane[other, place] - value)
            out[y, x] = total


def variable_blur(planes: Planes, sigma: NDArray[np.float32]) -> Planes:
    """Gaussian blur of a sigma that differs from pixel to pixel: between images blurred with fixed sigmas.

    Parameters
    ----------
    planes : float32[c, y, x]
    sigma : float32[y, x]
        Pixels, 0..32; 0 copies.

    Returns
    -------
    float32[c, y, x]
    """
    out = planes.copy()
    lower, lower_sigma = planes, 0.0
    greatest = float(sigma.max(initial=0.0))
    for upper_sigma in _STEPS:
        upper = gaussian(planes, 0, upper_sigma)
        # between the variances, in which blurs add up
        share = (sigma**2 - lower_sigma**2) / np.float32(upper_sigma**2 - lower_sigma**2)
        here = (sigma > lower_sigma) & (sigma <= upper_sigma)
        out = np.where(here, lower + share * (upper - lower), out)
        lower, lower_sigma = upper, upper_sigma
        if upper_sigma >= greatest:
            break
    return out.astype(np.float32, copy=False)


def variable_blur_reach(greatest: float) -> int:
    """Pixels that `variable_blur` looks at on each side, for sigmas up to `greatest`."""
    sigma = next((step for step in _STEPS if step >= greatest), _STEPS[-1])
    return disk_width(0, sigma) // 2
