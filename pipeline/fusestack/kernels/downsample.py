"""Means of whole blocks of pixels, for pyramids."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.kernels.convert import integer_limits, value_dtype
from fusestack.kernels.jit import njit

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray


@njit
def _mean_row(source: Any, factor: Any, mean: Any) -> None:
    """Means of `factor` neighbours along a row, of fewer at its end."""
    kind = mean.dtype.type
    whole = min(mean.size, source.size // factor)
    if factor == 1:
        for k in range(whole):
            mean[k] = kind(source[k])
    elif factor == 2:
        for k in range(whole):
            mean[k] = (kind(source[2 * k]) + kind(source[2 * k + 1])) * kind(0.5)
    else:
        share = kind(1 / factor)
        for k in range(whole):
            total = kind(source[factor * k])
            for i in range(factor * k + 1, factor * (k + 1)):
                total += kind(source[i])
            mean[k] = total * share
    for k in range(whole, mean.size):
        total = kind(0)
        for i in range(factor * k, source.size):
            total += kind(source[i])
        mean[k] = total * kind(1 / (source.size - factor * k))


@njit
def _add(row: Any, total: Any) -> None:
    for k in range(total.size):
        total[k] += row[k]


@njit
def _scale(row: Any, share: Any) -> None:
    for k in range(row.size):
        row[k] *= share


@njit
def _round(row: Any, low: Any, high: Any, out: Any) -> None:
    """Round half up and clamp where there are limits."""
    kind = row.dtype.type
    for k in range(out.size):
        value = row[k]
        if low < high:
            value = min(max(np.floor(value + kind(0.5)), low), high)
        out[k] = value


@njit
def _mean_of_data(pixels: Any, kind: Any) -> Any:
    """Mean of the pixels that are not NaN; NaN where there are none."""
    total, count = 0.0, 0
    for value in pixels.flat:
        if not np.isnan(value):
            total += value
            count += 1
    return kind(total / count)


@njit
def _block_mean(pixels: Any, factors: Any, low: Any, high: Any, lines: Any, out: Any) -> None:
    """See `block_mean`; `lines` is scratch and says in which precision means are computed."""
    kind = lines.dtype.type
    fz, fy, fx = factors
    mean, over_y, over_z = lines[0], lines[1], lines[2]
    for z in range(out.shape[0]):
        z0, z1 = fz * z, min(fz * (z + 1), pixels.shape[0])
        for y in range(out.shape[1]):
            y0, y1 = fy * y, min(fy * (y + 1), pixels.shape[1])
            over_z[:] = 0
            for j in range(z0, z1):
                over_y[:] = 0
                for i in range(y0, y1):
                    _mean_row(pixels[j, i], fx, mean)
                    _add(mean, over_y)
                _scale(over_y, kind(1 / (y1 - y0)))
                _add(over_y, over_z)
            _scale(over_z, kind(1 / (z1 - z0)))
            for k in range(out.shape[2]):
                if np.isnan(over_z[k]):
                    over_z[k] = _mean_of_data(pixels[z0:z1, y0:y1, fx * k : fx * (k + 1)], kind)
            _round(over_z, low, high, out[z, y])


def block_mean(pixels: NDArray[Any], factors: tuple[int, int, int], out_shape: tuple[int, int, int]) -> NDArray[Any]:
    """Mean of every block of ``factors`` pixels; at the edge, of those that are there.

    Parameters
    ----------
    pixels : uint8, uint16, int16, uint32 or float32 [z, y, x]
        Starts at a multiple of the factors in its image. NaN is no data: it is left out of the mean.
    factors : (int, int, int)
        Pixels of one block, z, y, x.
    out_shape : (int, int, int)
        Blocks along z, y, x; pixels beyond the last one are not used (BigStitcher's levels are ``max(1, n // f)``).

    Returns
    -------
    same type as `pixels`, `out_shape`
        NaN where all pixels of a block are; integers rounded half up.

    Raises
    ------
    ValueError
        If a block of `out_shape` holds no pixel.

    Notes
    -----
    Separable along x, then y, then z, as BigStitcher averages its levels, in float32 (uint32 in float64); sums in
    order, times 1/n.
    """
    if any(f < 1 or (m - 1) * f >= n for m, f, n in zip(out_shape, factors, pixels.shape, strict=True)):
        raise ValueError(f"{pixels.shape} pixels do not fill {out_shape} blocks of {factors}")
    kind = value_dtype(pixels.dtype).type
    low, high = (kind(limit) for limit in integer_limits(pixels.dtype))
    fz, fy, fx = (int(f) for f in factors)
    out = np.empty(out_shape, pixels.dtype)
    lines = np.empty((3, out.shape[2]), kind)
    _block_mean(np.ascontiguousarray(pixels), (fz, fy, fx), low, high, lines, out)
    return out


def warm_up(dtype: DTypeLike) -> None:
    """Compile the kernel for a type of pixels, so that no block pays for it."""
    block_mean(np.zeros((1, 1, 1), dtype), (1, 1, 1), (1, 1, 1))
