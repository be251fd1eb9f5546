"""Two slices of a stack: where details lie that are sharp in both, found by a library of computer vision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.focus.aligning.motions import move

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fusestack.focus.aligning.motions import Matrix, Points

    Grey = NDArray[np.float32]
    Bytes = NDArray[np.uint8]

_FINE, _COARSE = 0.7, 3.0
"""Pixels: finer detail is noise, coarser detail is there where nothing is sharp."""
_AROUND = 8.0
"""Pixels around a pixel whose contrast becomes the same everywhere and in every slice."""
_WIDE = 6.0
"""Both, of pictures half as large, where nothing is known of the motion."""
_LEAST_NOISE = 5e-4
_CONTRAST = 50
_WINDOW = 31
"""Pixels of a window that is followed."""
_COLUMNS = 24
"""Cells of a row of pictures, each of which gives one point."""
_DETAIL = 0.3
"""Detail of a pixel, in units of the noise squared, that can be followed."""
_TOP, _LITTLE = 98, 0.01
"""Percent of cells that are less sharp than the sharpest ones; share of their detail that is little."""
_BACK = 0.5
"""Pixels: what is not found back so closely is none."""
_FEWEST = 8
_SHARE, _SHARE_CLOSE = 1 / 3, 0.3
"""Points that must agree, and share of them: before a motion is known, and then."""
_NEAR, _CLOSE = 3.0, 2.0
"""Pixels within which they agree."""
_PARALLAX = 1 / 700
"""The same as a share of the width: near things move otherwise than far ones."""
_ALIKE = 0.36
"""Correlation of what is around points in both slices, the median: by chance it is up to 0.31, by the same 0.41 on."""
_LOOKED = 64
_FEATURES, _RECOGNISED = 2000, 700
"""Of pictures that are recognised, and pixels of their longer side."""
_UNLIKE_SECOND = 0.8
"""A feature is found where the second best is so much less like it (Lowe 2004)."""
_DOUBLE = np.array([[2, 0, 0.5], [0, 2, 0.5], [0, 0, 1.0]])


@dataclass(frozen=True)
class Look:
    """A slice as it is compared.

    Parameters
    ----------
    even : uint8[y, x]
        Its fine detail, with the same contrast everywhere.
    coarse : uint8[y / 2, x / 2]
        The same of coarser detail, half as large.
    detail : float32[y, x]
        How much detail there is around a pixel, in units of the noise.
    """

    even: Bytes
    coarse: Bytes
    detail: Grey


@dataclass(frozen=True)
class Tracks:
    """Details that are in two slices, float64[n, 2] as x and y in each."""

    here: Points
    there: Points


def look_at(grey: Grey) -> Look:
    """Prepare a slice, float32[y, x], for being compared."""
    import cv2

    noise = max(_noise(grey), _LEAST_NOISE)
    corners = cv2.cornerMinEigenVal(cv2.GaussianBlur(grey, (0, 0), 1.0), 7, ksize=3)
    half = cv2.resize(grey, (max(1, grey.shape[1] // 2), max(1, grey.shape[0] // 2)), interpolation=cv2.INTER_AREA)
    return Look(
        _even(grey, _FINE, _COARSE, _AROUND, noise),
        _even(half, _FINE, _WIDE, _WIDE, noise),
        corners / np.float32(noise) ** 2,
    )


def _even(grey: Grey, fine: float, coarse: float, around: float, noise: float) -> Bytes:
    """Detail between two scales, in units of what there is of it around."""
    import cv2

    detail = cv2.GaussianBlur(grey, (0, 0), fine) - cv2.GaussianBlur(grey, (0, 0), coarse)
    spread = cv2.sqrt(cv2.GaussianBlur(detail * detail, (0, 0), around))
    return np.asarray(np.clip(np.rint(128 + _CONTRAST * detail / (spread + noise)), 0, 255), np.uint8)


def _noise(grey: Grey) -> float:
    """Deviation of the noise of a picture (Immerkaer 1996, with a median for the mean, since edges are no noise)."""
    import cv2

    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    return float(np.median(np.abs(cv2.filter2D(grey, cv2.CV_32F, mask)))) / 0.6745 / 6


def track(here: Look, there: Look, guess: Matrix | None = None) -> tuple[Tracks, Matrix | None]:
    """Follow details from one slice to another, and the motion on which they agree.

    Parameters
    ----------
    here, there : Look
    guess : float64[3, 3], optional
        Where pixels of `here` lie in `there`, about. Without one they may lie tens of pixels away.

    Returns
    -------
    Tracks
        Those that agree about a similarity.
    float64[3, 3] or None
        That motion; None if they do not agree.
    """
    coarse = None
    if guess is None:
        coarse, guess = _track_coarse(here, there)
        if guess is None:
            return coarse, None
    height, width = here.even.shape
    even, detail = (_moved(one, guess, (width, height)) for one in (there.even, there.detail))
    found = _follow(here.even, even, _sharpest(np.minimum(here.detail, detail)), levels=1)
    found = Tracks(found.here, move(guess, found.there))
    motion, kept = _agreed(found, max(_CLOSE, width * _PARALLAX), _SHARE_CLOSE)
    if motion is None or _likeness(here.even, _moved(there.even, motion, (width, height)), found.here[kept]) < _ALIKE:
        return (found, None) if coarse is None else (coarse, guess)
    return Tracks(found.here[kept], found.there[kept]), motion


def _track_coarse(here: Look, there: Look) -> tuple[Tracks, Matrix | None]:
    """The same of pictures half as large, for what moved far, or is nowhere sharp in both."""
    found = _follow(here.coarse, there.coarse, _sharpest(_halved(here.detail)), levels=4)
    motion, kept = _agreed(found, _NEAR, _SHARE)
    if motion is None:
        return found, None
    height, width = here.coarse.shape
    if _likeness(here.coarse, _moved(there.coarse, motion, (width, height)), found.here[kept]) < _ALIKE:
        return found, None
    tracks = Tracks(move(_DOUBLE, found.here[kept]), move(_DOUBLE, found.there[kept]))
    return tracks, np.asarray(_DOUBLE @ motion @ np.linalg.inv(_DOUBLE))


def recognise(here: Look, there: Look) -> Matrix | None:
    """The similarity between two slices, however far they moved and turned; None if they show nothing alike."""
    import cv2

    finder: Any = cv2.SIFT.create(nfeatures=_FEATURES)
    shrink = max(1.0, max(here.coarse.shape) / _RECOGNISED)
    size = [max(1, round(n / shrink)) for n in reversed(here.coarse.shape)]
    found = [
        finder.detectAndCompute(cv2.resize(one.coarse, size, interpolation=cv2.INTER_AREA), None)
        for one in (here, there)
    ]
    (points, features), (others, more) = found
    if features is None or more is None or min(len(points), len(others)) < _FEWEST:
        return None
    pairs = cv2.BFMatcher(cv2.NORM_L2).knnMatch(features, more, k=2)
    good = [pair[0] for pair in pairs if len(pair) == 2 and pair[0].distance < _UNLIKE_SECOND * pair[1].distance]
    tracks = Tracks(
        np.array([points[one.queryIdx].pt for one in good], float).reshape(-1, 2),
        np.array([others[one.trainIdx].pt for one in good], float).reshape(-1, 2),
    )
    motion = _agreed(tracks, _NEAR, _SHARE)[0]
    if motion is None:
        return None
    scale = _DOUBLE @ np.array([[shrink, 0, (shrink - 1) / 2], [0, shrink, (shrink - 1) / 2], [0, 0, 1]])
    return np.asarray(scale @ motion @ np.linalg.inv(scale))


def _agreed(tracks: Tracks, within: float, share: float) -> tuple[Matrix | None, NDArray[np.bool_]]:
    """The similarity on which enough points agree, and which do (random sample consensus)."""
    import cv2

    nothing = np.zeros(len(tracks.here), bool)
    if len(tracks.here) < _FEWEST:
        return None, nothing
    found, inside = cv2.estimateAffinePartial2D(tracks.here, tracks.there, ransacReprojThreshold=within)
    if found is None or inside.sum() < max(_FEWEST, share * len(inside)):
        return None, nothing
    return np.vstack([found, [0, 0, 1]]), inside[:, 0] > 0


def _moved(plane: NDArray[Any], matrix: Matrix, size: tuple[int, int]) -> NDArray[Any]:
    """A plane of one slice over another."""
    import cv2

    how = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    border = cv2.BORDER_REFLECT_101 if plane.dtype == np.uint8 else cv2.BORDER_CONSTANT
    return np.asarray(cv2.warpPerspective(plane, matrix, size, flags=how, borderMode=border))


def _follow(first: Bytes, second: Bytes, start: NDArray[np.float32], levels: int) -> Tracks:
    """Follow details, float32[n, 1, 2], and back again (Lucas and Kanade 1981, by pyramids)."""
    import cv2

    if len(start) == 0:
        return Tracks(np.empty((0, 2)), np.empty((0, 2)))
    options: Any = {
        "winSize": (_WINDOW, _WINDOW),
        "maxLevel": levels,
        "flags": cv2.OPTFLOW_USE_INITIAL_FLOW,
        "criteria": (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 40, 0.003),
    }
    end, fits, _ = cv2.calcOpticalFlowPyrLK(first, second, start, start.copy(), **options)
    back, fits_back, _ = cv2.calcOpticalFlowPyrLK(second, first, end, start.copy(), **options)
    kept = (fits & fits_back)[:, 0].astype(bool) & (np.abs(back - start).max(axis=(1, 2)) < _BACK)
    return Tracks(start[kept, 0].astype(float), end[kept, 0].astype(float))


def _likeness(first: Bytes, second: Bytes, points: Points) -> float:
    """How two slices correlate around some points: the median."""
    half = _WINDOW // 2
    found = []
    for x, y in points[:: -(-len(points) // _LOOKED)].astype(int):
        window = slice(max(0, y - half), y + half + 1), slice(max(0, x - half), x + half + 1)
        a, b = (one[window].astype(float) - one[window].mean() for one in (first, second))
        found.append((a * b).sum() / np.sqrt(max(1e-9, (a * a).sum() * (b * b).sum())))
    return float(np.median(found))


def _halved(detail: Grey) -> Grey:
    """The sharpest of each four pixels."""
    height, width = (n // 2 for n in detail.shape)
    return np.asarray(detail[: 2 * height, : 2 * width].reshape(height, 2, width, 2).max(axis=(1, 3)))


def _sharpest(detail: Grey) -> NDArray[np.float32]:
    """The pixel with most detail of each cell, float32[n, 1, 2] as x, y; none of cells without."""
    height, width = detail.shape
    side, rim = max(8, width // _COLUMNS), _WINDOW // 4
    rows, columns = max(0, height - 2 * rim) // side, max(0, width - 2 * rim) // side
    cells = detail[rim : rim + rows * side, rim : rim + columns * side]
    flat = cells.reshape(rows, side, columns, side).swapaxes(1, 2).reshape(rows * columns, side * side)
    best = flat.argmax(axis=1) if len(flat) else np.zeros(0, int)
    most = flat[np.arange(len(best)), best]
    kept = most > max(_DETAIL, _LITTLE * float(np.percentile(most, _TOP))) if len(most) else np.zeros(0, bool)
    y, x = np.divmod(np.arange(rows * columns), max(1, columns))
    points = np.stack([rim + x * side + best % side, rim + y * side + best // side], axis=1)
    return np.asarray(points[kept][:, None], np.float32)
