"""What the fusion kernel must know of each view, and which of its pixels a block needs; no pixel is touched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

Numerics: TypeAlias = Literal["exact", "bigstitcher"]

TOLERANCE = 1e-6  # pixels: rounding of an affine neither opens a hole nor moves a border

VIEW = np.dtype(
    [
        ("offset", np.int64),  # first pixel of the source box in the flat buffer
        ("start", np.int64, (3,)),  # source box in its level
        ("shape", np.int64, (3,)),
        ("size", np.int64, (3,)),  # the whole level
        ("affine", np.float64, (3, 4)),  # output_to_level, of the global output pixel index
        ("low", np.float64, (3,)),  # the view covers low <= l <= high
        ("high", np.float64, (3,)),
        ("reach", np.float64, (2, 3)),  # and, where no view covers, that far before and behind: its rim
        ("alone", np.float64, (2, 3)),  # how far without the rim of another view
        ("ramp_low", np.float64, (3,)),  # weight: min(l - ramp_low, ramp_high - l) * ramp_scale, then the cosine
        ("ramp_high", np.float64, (3,)),
        ("ramp_scale", np.float64, (3,)),
    ]
)


def pack_views(
    output_to_level: ArrayLike,
    sizes: ArrayLike,
    ranges: ArrayLike = 0.0,
    borders: ArrayLike = 0.0,
    *,
    numerics: Numerics = "exact",
    flat: bool = False,
    rims: ArrayLike | None = None,
) -> NDArray[np.void]:
    """Table of views for `source_boxes` and the fusion kernel; the same for every block of an image.

    Parameters
    ----------
    output_to_level : float64[n, 3, 4]
        Affines from the global output pixel index to the pixel index of the opened level; rows and columns z, y, x,
        last column the offset.
    sizes : int[n, 3]
        Pixels of the whole level, z, y, x.
    ranges, borders : float[n, 3] or what broadcasts to it
        Width of the fade and of the dark border in pixels of the level, z, y, x. Range 0 is a hard edge: the weight
        is 1 wherever the view covers. Borders may be negative or fractional.
    numerics : {"exact", "bigstitcher"}
        Closed borders, or BigStitcher's half-open ones.
    flat : bool
        All views have one plane: z decides neither coverage nor weight.
    rims : float[n, 2, 3] or None
        Views without a border fill the last pixel of interpolation where no view covers, see `rims`: so far before
        their first pixel and behind their last one each by itself, in pixels of the level, and up to a whole one
        between views.

    Returns
    -------
    VIEW[n]
        The fields `offset`, `start` and `shape` are filled in by `place_views`.

    Notes
    -----
    Borders and ramps are those of BigStitcher's classes `Blending` and `Masking`. Ramps that overlap meet in the middle
    by themselves: the nearer border decides.
    """
    affine = np.asarray(output_to_level, dtype=np.float64).reshape(-1, 3, 4)
    views = np.zeros(len(affine), VIEW)
    views["affine"] = affine
    views["size"] = np.asarray(sizes, dtype=np.int64).reshape(-1, 3)
    first = np.broadcast_to(np.asarray(borders, dtype=np.float64), (len(affine), 3))
    last = views["size"] - 1 - first
    outer, inner = TOLERANCE, -TOLERANCE
    views["low"], views["high"] = first - outer, last + outer
    if numerics == "bigstitcher":
        rising = affine[:, :, 2] > 1e-4  # the level's axis follows the output's x
        views["low"] = np.where(rising, first - inner, first - outer)
        views["high"] = np.where(rising, last + outer, last + inner)

    if rims is not None:
        views["alone"] = np.where(first[:, None] == 0, rims, 0.0)
        views["reach"] = np.where(first[:, None] == 0, np.maximum(rims, 1 - 2 * TOLERANCE), 0.0)

    fade = np.broadcast_to(np.asarray(ranges, dtype=np.float64), first.shape)
    hard = fade < TOLERANCE
    views["ramp_low"] = np.where(hard, -np.inf, first)
    views["ramp_high"] = np.where(hard, np.inf, last)
    views["ramp_scale"] = 1 / np.where(hard, 1.0, fade)
    if flat:
        views["affine"][:, 0] = 0.0
        views["low"][:, 0] = views["ramp_low"][:, 0] = -np.inf
        views["high"][:, 0] = views["ramp_high"][:, 0] = np.inf
        views["reach"][:, 0] = views["alone"][:, 0] = 0.0
        views["ramp_scale"][:, 0] = 1.0
    return views


_CORNERS = np.indices((2, 2, 2)).reshape(3, 8)
"""First (0) or last (1) pixel along z, y, x of the corners of a block."""


def source_boxes(views: NDArray[np.void], origin: ArrayLike, shape: ArrayLike) -> NDArray[np.int64]:
    """Pixels of each view's level that a block of the output reads.

    Parameters
    ----------
    views : VIEW[n]
    origin, shape : int[3] or int[n, 3]
        First pixel (global index) and size of the output block, or of one for each view, z, y, x.

    Returns
    -------
    int64[n, 2, 3]
        Start and stop in the level, z, y, x: exactly what linear interpolation can reach, so that a block reads no
        chunk in vain. All zero for a view that does not cover the block.

    Notes
    -----
    Every operation of the kernel keeps order, so its coordinates lie between those of the block's corners, to the bit.
    """
    first, count = np.atleast_2d(np.asarray(origin, dtype=np.float64)), np.atleast_2d(np.asarray(shape))
    ends = np.stack([first, first + count - 1])
    z, y, x = (ends[corner, :, axis].T[..., None] for axis, corner in enumerate(_CORNERS))
    affine = views["affine"][:, None]
    at = ((affine[..., 0] * z + affine[..., 1] * y) + affine[..., 3]) + affine[
        ..., 2
    ] * x  # corners, as the kernel does
    low = np.maximum(at.min(axis=1), views["low"] - views["reach"][:, 0])
    high = np.minimum(at.max(axis=1), views["high"] + views["reach"][:, 1])
    touching = (low <= high).all(axis=1) & (count > 0).all(axis=1) & (views["size"] > 0).all(axis=1)

    boxes = np.zeros((len(views), 2, 3), np.int64)
    last = views["size"][touching] - 1
    boxes[touching, 0] = np.floor(np.clip(low[touching], 0, last))
    boxes[touching, 1] = np.ceil(np.clip(high[touching], 0, last)) + 1
    return boxes


def place_views(views: NDArray[np.void], boxes: NDArray[np.int64]) -> tuple[NDArray[np.void], int]:
    """Lay the source boxes of the views that have one behind one another.

    Parameters
    ----------
    views : VIEW[n]
    boxes : int64[n, 2, 3]
        From `source_boxes`, or larger.

    Returns
    -------
    placed : VIEW[m]
        The touching views, in order. ``offset`` and ``shape`` say where each box goes in the flat buffer.
    length : int
        Pixels of the buffer.
    """
    shapes = boxes[:, 1] - boxes[:, 0]
    touching = (shapes > 0).all(axis=1)
    placed = views[touching].copy()
    placed["start"], placed["shape"] = boxes[touching, 0], shapes[touching]
    sizes = placed["shape"].prod(axis=1)
    placed["offset"] = np.cumsum(sizes) - sizes
    return placed, int(sizes.sum())


def source_part(pixels: NDArray[Any], view: np.void) -> NDArray[Any]:
    """Window ``[z, y, x]`` of a placed view in the flat buffer, to be filled with its source box."""
    shape = tuple(int(n) for n in view["shape"])
    offset = int(view["offset"])
    return pixels[offset : offset + shape[0] * shape[1] * shape[2]].reshape(shape)
