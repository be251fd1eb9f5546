"""How good focus-stacked pictures are, beside their slices: without the truth, and with it where it is known.

Sharper is not better: noise is sharp, too. What is asked instead is how much of the structure a picture has that the
sharpest slice shows at each place, after the structural similarity of Wang (2004) and its use without a truth by Ma
(2015); the noise of the slice does not count. `benchmarks/tune.py` says how well that knows what is like the truth.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    Plane = NDArray[np.float32]
    Planes = NDArray[np.float32]
    Part = tuple[slice, slice]

SCORES = {
    "sharpness": "structure of the sharpest slices that the picture has, percent",
    "seams": "pixels at edges that are in none of the slices, percent",
    "halo": "structure that is missing or strange beside edges of the depth, percent",
}
"""Names of the scores that need no truth, and what they say; more sharpness is better, less of the others."""
WITH_TRUTH = {
    "psnr": "likeness to the truth, dB",
    "ssim": "structural likeness to the truth (Wang 2004), 0 to 1",
}
"""Names of the scores that need the truth; more is better."""

TIMES = {
    "seconds": "seconds of a worker for the part",
    "run": "seconds of a worker for the whole stack, estimated",
}
"""What the times of a set say."""
NOT_KNOWN = "not known"
WHY_NOT_KNOWN = (
    "what was in the cache already, made by a run, was not made again, and nobody measured how long it takes; "
    "after fusestack cache rm all times are known"
)
"""Of times."""

_WINDOW = 1.5
"""Deviation of the Gaussian window of the structural similarity."""
_AROUND = 6
"""Pixels of the window to each side."""
_CHOICE = 2.0
"""The same of what says which slice is the sharpest."""
_CONSTANT = 0.03**2
"""Of the structural similarity: what is weaker hardly counts."""
_EDGE, _NEAR, _BAND = 1.5, 4, 8
_STEP = 1.25
_LEAST = 1 / 255
_RIM = 8
"""Pixels at the border that do not count: filters see less there."""
_TOGETHER = 32
"""Pictures that are scored while slices are read once."""


@dataclass(frozen=True)
class SliceDetail:
    """What the slices of a part show.

    Parameters
    ----------
    sharpest : int16[y, x]
        Number of the sharpest slice.
    variance : float32[y, x]
        Of that slice around each pixel, without that of the noise.
    edges : float32[y, x]
        Greatest gradient of any slice, within a few pixels.
    beside : bool[y, x]
        Pixels beside an edge of the depth.
    """

    sharpest: NDArray[np.int16]
    variance: Plane
    edges: Plane
    beside: NDArray[np.bool_]

    @staticmethod
    def of(slices: Iterable[Planes]) -> SliceDetail:
        """Look at slices one after the other: float32[c, y, x] each, 0 black, 1 white.

        Raises
        ------
        ValueError
            If there is none.
        """
        from scipy.ndimage import gaussian_filter, maximum_filter, median_filter, minimum_filter

        most: Any = None
        for k, planes in enumerate(slices):
            _, variance = _moments(_grey(planes))
            detail, gradient = gaussian_filter(variance, _CHOICE), gradient_of(planes)
            if most is None:
                most, chosen, least, edges = detail, variance, variance.copy(), gradient
                sharpest = np.zeros(detail.shape, np.int16)
                continue
            better = detail > most
            sharpest[better] = k
            chosen = np.where(better, variance, chosen)
            np.maximum(most, detail, out=most)
            np.minimum(least, variance, out=least)
            np.maximum(edges, gradient, out=edges)
        if most is None:
            raise ValueError("a stack has slices")
        noise = float(np.median(least))  # where a slice is blurred, noise is left
        variance = np.maximum(chosen - np.float32(noise), 0)
        smooth = median_filter(sharpest.astype(np.float32), 7)
        steps = maximum_filter(smooth, 3) - minimum_filter(smooth, 3) > _STEP
        beside = maximum_filter(steps & (variance > noise), 2 * _BAND + 1)
        return SliceDetail(sharpest, variance, maximum_filter(edges, 2 * _NEAR + 1), beside)


def _grey(planes: Planes) -> Plane:
    return np.asarray(planes.mean(axis=0, dtype=np.float32))


def _moments(grey: Plane) -> tuple[Plane, Plane]:
    """Mean and variance around each pixel."""
    from scipy.ndimage import gaussian_filter

    mean = gaussian_filter(grey, _WINDOW, radius=_AROUND)
    return mean, np.maximum(gaussian_filter(grey * grey, _WINDOW, radius=_AROUND) - mean * mean, 0)


def gradient_of(planes: Planes) -> Plane:
    """Greatest Gaussian gradient of any colour, float32[y, x]."""
    from scipy.ndimage import gaussian_gradient_magnitude

    found: Plane = np.max([gaussian_gradient_magnitude(plane, _EDGE) for plane in planes], axis=0)
    return found


def scores_of(
    pictures: Sequence[Callable[[], Planes]],
    slices: Callable[[], Iterable[Planes]],
    shown: SliceDetail,
    workers: int = 1,
) -> list[dict[str, float]]:
    """Scores of pictures that need no truth, see `SCORES`.

    Parameters
    ----------
    pictures : sequence of callable
        Each reads a picture float32[c, y, x], 0 black, 1 white.
    slices : callable
        Reads the slices one after the other, like the pictures.
    shown : SliceDetail
        Of these slices.
    workers : int
        Threads.
    """
    found: list[dict[str, float]] = []
    with ThreadPoolExecutor(max(1, workers)) as pool:
        for first in range(0, len(pictures), _TOGETHER):
            looked = list(pool.map(lambda read: _Looked.of(read(), shown), pictures[first : first + _TOGETHER]))
            for k, planes in enumerate(slices()):
                part = _part_of(shown.sharpest == k)
                if part is None:
                    continue
                grey = _grey(planes)[part]
                mean, _ = _moments(grey)
                here = shown.sharpest[part] == k
                list(pool.map(lambda one, g=grey, m=mean, p=part, h=here: one.compare(g, m, p, h), looked))
            found += pool.map(lambda one: one.scores(shown), looked)
    return found


def _part_of(where: NDArray[np.bool_]) -> Part | None:
    """Rows and columns around all pixels that count; None where there are none."""
    found = []
    for axis in (1, 0):
        lines = np.flatnonzero(where.any(axis=axis))
        if not len(lines):
            return None
        found.append(slice(max(0, int(lines[0]) - _AROUND), int(lines[-1]) + 1 + _AROUND))
    return found[0], found[1]


@dataclass(frozen=True)
class _Looked:
    """A picture: grey, its means and variances, its covariance with the sharpest slice, its seams."""

    grey: Plane
    mean: Plane
    variance: Plane
    covariance: Plane
    seams: float

    @staticmethod
    def of(planes: Planes, shown: SliceDetail) -> _Looked:
        grey = _grey(planes)
        seams = (gradient_of(planes) > 1.25 * shown.edges + _LEAST)[_inside(grey.shape)]
        return _Looked(grey, *_moments(grey), np.zeros_like(grey), 100 * float(seams.mean()))

    def compare(self, grey: Plane, mean: Plane, part: Part, here: NDArray[np.bool_]) -> None:
        """Take notice of a part of a slice, which is the sharpest one in some places."""
        from scipy.ndimage import gaussian_filter

        product = gaussian_filter(grey * self.grey[part], _WINDOW, radius=_AROUND)
        self.covariance[part][here] = (product - mean * self.mean[part])[here]

    def scores(self, shown: SliceDetail) -> dict[str, float]:
        common = np.minimum(self.covariance, np.sqrt(shown.variance * self.variance))
        alike = (2 * common + _CONSTANT) / (shown.variance + self.variance + _CONSTANT)
        rim = _inside(alike.shape)
        beside = shown.beside[rim]
        halo = 1 - float(alike[rim][beside].mean(dtype=np.float64)) if beside.any() else 0.0
        sharpness = float(alike[rim].mean(dtype=np.float64))
        return {"sharpness": 100 * sharpness, "seams": self.seams, "halo": 100 * halo}


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


def _inside(shape: tuple[int, ...]) -> Part:
    """Rows and columns that count."""
    rows, columns = (slice(_RIM, n - _RIM) if n > 4 * _RIM else slice(0, n) for n in shape)
    return rows, columns
