"""How good a focus-stacked picture is, beside its slices: without the truth, and with it where it is known."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    Plane = NDArray[np.float32]
    Planes = NDArray[np.float32]

SCORES = {
    "sharpness": "detail of the sharpest slices that the picture shows, percent",
    "seams": "pixels at edges that are in none of the slices, percent",
    "halo": "detail that is missing beside edges of the depth, percent",
}
"""Names of the scores that need no truth, and what they say; more sharpness is better, less of the others."""
WITH_TRUTH = {
    "psnr": "likeness to the truth, dB",
    "ssim": "structural likeness to the truth (Wang 2004), 0 to 1",
}
"""Names of the scores that need the truth; more is better."""

_DETAIL, _EDGE, _NEAR, _BAND = 2.0, 1.5, 4, 8
_STEP = 1.25
_LEAST = 1 / 255
_RIM = 8
"""Pixels at the border that do not count: filters see less there."""


@dataclass(frozen=True)
class SliceDetail:
    """What the slices of a part show.

    Parameters
    ----------
    detail : float32[y, x]
        Of the slice with most detail, see `detail_of`.
    edges : float32[y, x]
        Greatest gradient of any slice, within a few pixels.
    beside : bool[y, x]
        Pixels beside an edge of the depth.
    """

    detail: Plane
    edges: Plane
    beside: NDArray[np.bool_]

    @staticmethod
    def of(slices: Iterable[Planes]) -> SliceDetail:
        """Look at slices one after the other: float32[c, y, x] each, 0 black, 1 white."""
        from scipy.ndimage import gaussian_filter, maximum_filter, median_filter, minimum_filter

        most = edges = depth = None
        for k, planes in enumerate(slices):
            detail, gradient = detail_of(planes), gradient_of(planes)
            if most is None or edges is None or depth is None:
                most, edges, depth = detail, gradient, np.zeros(detail.shape, np.float32)
                continue
            depth[detail > most] = k
            np.maximum(most, detail, out=most)
            np.maximum(edges, gradient, out=edges)
        if most is None or edges is None or depth is None:
            raise ValueError("a stack has slices")
        smooth = median_filter(depth, 7)
        steps = maximum_filter(smooth, 3) - minimum_filter(smooth, 3) > _STEP
        sharp = gaussian_filter(most, _DETAIL) > np.median(most)
        beside = maximum_filter(steps & sharp, 2 * _BAND + 1)
        return SliceDetail(most, maximum_filter(edges, 2 * _NEAR + 1), beside)


def detail_of(planes: Planes) -> Plane:
    """Local amplitude of the finest details, float32[y, x] of float32[c, y, x]: root mean square of the Laplacian."""
    from scipy.ndimage import gaussian_filter, laplace

    found: Plane = np.sqrt(gaussian_filter(laplace(planes.mean(axis=0, dtype=np.float32)) ** 2, _DETAIL))
    return found


def gradient_of(planes: Planes) -> Plane:
    """Greatest Gaussian gradient of any colour, float32[y, x]."""
    from scipy.ndimage import gaussian_gradient_magnitude

    found: Plane = np.max([gaussian_gradient_magnitude(plane, _EDGE) for plane in planes], axis=0)
    return found


def scores_of(picture: Planes, slices: SliceDetail) -> dict[str, float]:
    """Scores of a picture that need no truth, see `SCORES`.

    Parameters
    ----------
    picture : float32[c, y, x]
        0 black, 1 white.
    slices : SliceDetail
        What its slices show at the same pixels.
    """
    rim = _inside(picture.shape[1:])
    most = slices.detail[rim].astype(np.float64)
    shown = np.minimum(detail_of(picture)[rim], most)
    beside = slices.beside[rim]
    seams = gradient_of(picture)[rim] > 1.25 * slices.edges[rim] + _LEAST
    total, near = float(most.sum()), float(most[beside].sum())
    return {
        "sharpness": 100 * float(shown.sum()) / total if total else 100.0,
        "seams": 100 * float(seams.mean()),
        "halo": 100 * (1 - float(shown[beside].sum()) / near) if near else 0.0,
    }


def truth_scores(picture: Planes, truth: Planes) -> dict[str, float]:
    """Scores of a picture beside the truth, see `WITH_TRUTH`; float32[c, y, x] each, 0 black, 1 white."""
    from skimage.metrics import structural_similarity

    likeness_of: Any = structural_similarity

    rim = _inside(picture.shape[1:])
    found, wanted = (planes[(slice(None), *rim)].astype(np.float64) for planes in (picture, truth))
    error = float(np.mean((found - wanted) ** 2))
    side = min(found.shape[1:])
    window = min(7, side - (1 - side % 2))
    likeness = likeness_of(found, wanted, channel_axis=0, data_range=1.0, win_size=window)
    return {"psnr": 10 * math.log10(1 / max(error, 1e-12)), "ssim": float(likeness)}


def _inside(shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns that count."""
    rows, columns = (slice(_RIM, n - _RIM) if n > 4 * _RIM else slice(0, n) for n in shape)
    return rows, columns
