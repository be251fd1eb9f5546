"""Fusion of transformed views: one block per call.

::

    table = pack_views(output_to_level, sizes, ranges, borders)     # once per image
    boxes = source_boxes(table, origin, out.shape)                  # per block
    placed, length = place_views(table, boxes)
    pixels = np.empty(length, dtype)
    for view ...: source_part(pixels, view)[...] = the box of that view
    fuse_block(pixels, placed, origin, out)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from fusestack.kernels.convert import integer_limits, value_dtype
from fusestack.kernels.rows import AVERAGE, DEEPEST, FIRST, GREATEST, HEAVIEST, LAST, fuse_rows
from fusestack.kernels.views import VIEW, pack_views, place_views, source_boxes

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike, NDArray

    from fusestack.kernels.views import Numerics

Interpolation: TypeAlias = Literal["linear", "nearest"]
Method: TypeAlias = Literal["average", "max", "lowest_view", "highest_view", "closest_pixel"]
Rounding: TypeAlias = Literal["half_up", "down"]

_METHODS = {"average": AVERAGE, "max": GREATEST, "lowest_view": FIRST, "highest_view": LAST}

NO_CONTRAST = (np.empty(0, np.float32), np.empty(0, VIEW))

LEAST_WEIGHT = np.float32(1e-30)  # exact numerics: where only zero-weight borders cover a pixel, the plain mask decides


def cosine_knots() -> NDArray[np.float32]:
    """BigStitcher's 31 knots of the cosine, the last one doubled (its class `Blending.Lookup`)."""
    t = np.minimum(np.arange(32), 30) / 30
    return ((np.cos((1 - t) * np.pi) + 1) / 2).astype(np.float32)


def fuse_block(
    pixels: NDArray[Any],
    placed: NDArray[np.void],
    origin: ArrayLike,
    out: NDArray[Any],
    *,
    method: Method = "average",
    contrast: tuple[NDArray[np.float32], NDArray[np.void]] | None = None,
    fill: float = 0.0,
    intensity_range: tuple[float, float] | None = None,
    interpolation: Interpolation = "linear",
    numerics: Numerics = "exact",
    rounding: Rounding = "half_up",
) -> None:
    """Fuse one block of the output from the views that cover it.

    Parameters
    ----------
    pixels : uint8, uint16, int16, uint32, float32 or float64 [m]
        Source boxes of all views one behind another, as `place_views` laid them out. NaN, and what is
        interpolated with an infinity, is no data.
    placed : VIEW[n]
        Views in the order in which they are summed, from `place_views`.
    origin : int[3]
        Global index of the block's first pixel, z, y, x.
    out : uint8, uint16, int16, uint32 or float32 [z, y, x]
        Filled whole. Integers are rounded and clamped.
    method : {"average", "max", "lowest_view", "highest_view", "closest_pixel"}
        Average by weight; or the greatest value, the first view, the last view, or the view in which the pixel is
        farthest from a border: among the views that cover and have data. `closest_pixel` compares blending weights
        with BigStitcher's numerics, else distances to the nearest border in pixels of the output, for which `placed`
        must have ranges of one output pixel; the first view wins where they are equal.
    contrast : (float32[k], VIEW[n]) or None
        Further weights on grids of their own, laid out like `pixels` and `placed`, with the same views in the same
        order; always interpolated linearly.
    fill : float
        Value where no view covers, in grey values of the output; NaN is allowed for float32.
    intensity_range : (float, float) or None
        Grey values that become the least and the greatest integer of `out`; None keeps grey values as they are.
    interpolation : {"linear", "nearest"}
    numerics : {"exact", "bigstitcher"}
        The same as in `pack_views`: exact cosine and a least weight, or BigStitcher's table of the cosine.
    rounding : {"half_up", "down"}
        Of integers.

    Raises
    ------
    ValueError
        If a source box is not all that the block reads or does not lie in `pixels`, or if `fill` or
        `intensity_range` does not fit the type of `out`.

    Notes
    -----
    The formulas are those of BigStitcher's `BlkAffineFusion`; coordinates and sums are float64, weights float32, values
    `value_dtype`.
    """
    first = np.asarray(origin, dtype=np.int64)
    check_reads(pixels, placed, first, out.shape)
    weights, nodes = contrast or NO_CONTRAST
    check_reads(weights, nodes, first, out.shape)
    conversion = conversion_to(out.dtype, fill, intensity_range, rounding)
    block = out if out.flags.c_contiguous else np.empty(out.shape, out.dtype)
    closest = DEEPEST if numerics == "exact" else HEAVIEST
    widths = (int(table["shape"][:, 2].max(initial=1)) for table in (placed, nodes))
    fuse_rows(
        pixels,
        placed,
        weights,
        nodes,
        first,
        (
            _METHODS.get(method, closest),
            *weighing(interpolation, numerics),
            conversion,
        ),
        np.empty((6, max(out.shape[2], *widths)), value_dtype(pixels.dtype)),
        block,
    )
    if block is not out:
        out[...] = block


def weighing(interpolation: Interpolation, numerics: Numerics) -> tuple[Any, ...]:
    """How the compiled half samples and weighs: sampling, knots of the cosine, least weight."""
    exact = numerics == "exact"
    return (
        (0.0, 1.0) if interpolation == "linear" else (0.5, 0.0),
        np.empty(0, np.float32) if exact else cosine_knots(),
        LEAST_WEIGHT if exact else np.float32(0),
    )


def conversion_to(
    dtype: np.dtype[Any], fill: float, intensity_range: tuple[float, float] | None, rounding: Rounding
) -> tuple[float, ...]:
    """How the compiled half makes grey values of the output of values.

    Raises
    ------
    ValueError
        If the type cannot hold `fill`, or has no `intensity_range`.
    """
    if dtype.kind in "iu" and np.isnan(fill):
        raise ValueError(f"NaN cannot be stored as {dtype}: give another fill value")
    if intensity_range is not None and (dtype.kind == "f" or not intensity_range[0] < intensity_range[1]):
        raise ValueError(f"intensity range {intensity_range} for {dtype}: give min < max and an integer type")
    low, high = integer_limits(dtype)
    mapping = (0.0, 1.0, 1.0, 0.0)  # (x - minimum) / extent * span + base: no rounding where x is kept
    if intensity_range is not None:
        minimum, maximum = intensity_range
        mapping = (float(minimum), float(maximum - minimum), high - low, low)
    return (float(fill), *mapping, 0.5 if rounding == "half_up" else 0.0, low, high)


def check_reads(
    pixels: NDArray[Any], placed: NDArray[np.void], origin: NDArray[np.int64], shape: tuple[int, ...]
) -> None:
    """Refuse what would read beyond the flat buffer."""
    needed = source_boxes(placed, origin, shape)
    start, stop = placed["start"], placed["start"] + placed["shape"]
    missing = ((needed[:, 0] < start) | (needed[:, 1] > stop)).any(axis=1)
    if (missing & (needed[:, 1] > needed[:, 0]).all(axis=1)).any():
        raise ValueError("a source box is smaller than what the block reads: take the boxes from source_boxes")
    lengths = placed["shape"].prod(axis=1)
    if pixels.ndim != 1 or (placed["offset"] < 0).any() or (placed["offset"] + lengths > pixels.size).any():
        raise ValueError(f"a buffer of shape {pixels.shape} does not hold all source boxes: see place_views")
    if (lengths >= 2**31).any():
        raise ValueError("a source box has 2^31 pixels or more: fuse smaller blocks")


def warm_up(pixels: DTypeLike, out: DTypeLike) -> None:
    """Compile the kernel for a type of pixels and of output, so that no block pays for it."""
    views = pack_views(np.eye(3, 4)[None], (1, 1, 1))
    placed, length = place_views(views, source_boxes(views, (0, 0, 0), (1, 1, 1)))
    fuse_block(np.zeros(length, pixels), placed, (0, 0, 0), np.empty((1, 1, 1), out))
