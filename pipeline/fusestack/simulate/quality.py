"""How close a fused image comes to the truth."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from fusestack.model.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fusestack.model.geometry import Box
    from fusestack.simulate.acquisition import Truth


@dataclass(frozen=True)
class Score:
    """How close a fused image comes to the truth, over pixels that a tile covers, averaged over channels.

    Parameters
    ----------
    psnr_db : float
        Peak signal-to-noise ratio; the peak is the range of the truth.
    overlap_psnr_db, single_psnr_db : float
        The same where several tiles, and where only one tile covers; NaN where there is no such pixel.
    raw_psnr_db : float
        The same of the raw tiles at their own pixels: what fusion starts from.
    correlation : float
        Pearson's.
    bias : float
        Mean difference fused - truth, grey values.
    """

    psnr_db: float
    overlap_psnr_db: float
    single_psnr_db: float
    raw_psnr_db: float
    correlation: float
    bias: float


def score(fused: NDArray[np.generic], truth: Truth, box: Box | None = None) -> Score:
    """Compare a fused image with the truth.

    Parameters
    ----------
    fused : array[c, z, y, x] or array[1, c, z, y, x]
        Grey values on whole world pixels: fused with ``downsampling: 1``.
    truth : Truth
    box : Box, optional
        World pixels (z, y, x) of `fused`, a part of ``truth.box``; by default all of it.

    Raises
    ------
    InputError
        If the shapes differ, or `box` is no part of the truth.

    Notes
    -----
    ``psnr_db = -10 log10(mean over channels of mse / range**2)``.
    """
    image = fused[0] if fused.ndim == 5 else fused
    truth = truth if box is None else _part(truth, box)
    if image.shape != truth.image.shape:
        raise InputError(
            f"fused image: its shape {fused.shape} does not fit the truth, {truth.image.shape} (c, z, y, x); "
            "fuse all views with bounding_box all_views and downsampling 1"
        )
    covered = truth.views > 0
    ranges = np.ptp(truth.image.reshape(len(image), -1), axis=1).astype(np.float64)
    everywhere, overlap, single, correlation, bias = [], [], [], [], []
    for channel, expected, full in zip(image, truth.image, ranges, strict=True):
        difference = channel.astype(np.float64) - expected
        square = (difference / full) ** 2
        everywhere.append(square[covered].mean())
        overlap.append(square[truth.views > 1].sum())
        single.append(square[truth.views == 1].sum())
        correlation.append(np.corrcoef(channel[covered].astype(np.float64), expected[covered])[0, 1])
        bias.append(difference[covered].mean())
    several, one = np.count_nonzero(truth.views > 1), np.count_nonzero(truth.views == 1)
    return Score(
        psnr_db=_decibels(np.mean(everywhere)),
        overlap_psnr_db=_decibels(np.mean(overlap) / several) if several else math.nan,
        single_psnr_db=_decibels(np.mean(single) / one) if one else math.nan,
        raw_psnr_db=_decibels(np.mean((np.array(truth.raw_error) / ranges) ** 2)),
        correlation=float(np.mean(correlation)),
        bias=float(np.mean(bias)),
    )


def decibels_of_picture(picture: NDArray[np.floating], truth: NDArray[np.floating], border: int = 12) -> float:
    """Peak signal-to-noise ratio of a picture [y, x, ...] 0..1, without its border."""
    inner = (slice(border, -border),) * 2
    return _decibels(np.mean((picture[inner].astype(np.float64) - truth[inner]) ** 2))


def _part(truth: Truth, box: Box) -> Truth:
    """Truth of a box of world pixels."""
    if truth.box.intersect(box) != box:
        raise InputError(f"fused image: its box {box} is no part of that of the truth, {truth.box}")
    part = box.shift([-n for n in truth.box.start]).slices
    return replace(truth, image=truth.image[(slice(None), *part)], views=truth.views[part], box=box)


def _decibels(mean_square: float | np.floating) -> float:
    return math.inf if mean_square == 0 else float(-10 * np.log10(mean_square))
