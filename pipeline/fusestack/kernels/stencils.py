"""Kernels of small convolutions: ImageMagick's kernels ``DoG``, ``LoG``, ``Laplacian``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fusestack.kernels.gaussians import disk_width

if TYPE_CHECKING:
    from numpy.typing import NDArray


def difference_of_gaussians(radius: float, sigma: float, sigma2: float) -> NDArray[np.float64]:
    """Kernel of ``dog``."""
    width = disk_width(radius, max(sigma, sigma2, 0.1))
    return _balanced(_gaussian(width, sigma) - _gaussian(width, sigma2))


def _gaussian(width: int, sigma: float) -> NDArray[np.float64]:
    d = np.arange(width) - width // 2
    if sigma == 0:
        return np.asarray((d[:, None] == 0) & (d == 0), dtype=np.float64)
    square = d[:, None] ** 2 + d**2
    return np.asarray(np.exp(-square / (2 * sigma**2)) / (2 * np.pi * sigma**2))


def laplacian_of_gaussian(radius: float, sigma: float) -> NDArray[np.float64]:
    """Kernel of ``log``."""
    sigma = max(sigma, 0.1)
    width = disk_width(radius, sigma)
    d = np.arange(width) - width // 2
    half = (d[:, None] ** 2 + d**2) / (2 * sigma**2)
    return _balanced((1 - half) * np.exp(-half))


def _balanced(kernel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Positive and negative parts scaled to 1 and -1."""
    positive, negative = kernel[kernel > 0].sum(), -kernel[kernel < 0].sum()
    scaled = np.where(kernel > 0, kernel / (positive or 1), kernel / (negative or 1))
    return np.asarray(scaled)


_ROWS = {
    0: "-1 -1 -1/-1 8 -1",
    1: "0 -1 0/-1 4 -1",
    2: "-2 1 -2/1 4 1",
    3: "1 -2 1/-2 4 -2",
    5: "-4 -1 0 -1 -4/-1 2 3 2 -1/0 3 4 3 0",
    7: "-10 -5 -2 -1 -2 -5 -10/-5 0 3 4 3 0 -5/-2 3 6 7 6 3 -2/-1 4 7 8 7 4 -1",
    15: "0 0 -1 0 0/0 -1 -2 -1 0/-1 -2 16 -2 -1",
    19: "0 -1 -1 -2 -2 -2 -1 -1 0/-1 -2 -4 -5 -5 -5 -4 -2 -1/-1 -4 -5 -3 0 -3 -5 -4 -1/"
    "-2 -5 -3 12 24 12 -3 -5 -2/-2 -5 0 24 40 24 0 -5 -2",
}


def laplacian(number: int) -> NDArray[np.float64]:
    """Kernel of ``laplacian`` by its number, positive weights scaled to 1."""
    upper = [[float(v) for v in row.split()] for row in _ROWS[number].split("/")]
    kernel = np.array(upper + upper[-2::-1])
    return np.asarray(kernel / kernel[kernel > 0].sum())
