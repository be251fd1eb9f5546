"""Content-based weights: the local contrast of a view, ``W = G2 * (I - G1 * I)^2 / 2048``, as BigStitcher has them.

A Gaussian of many pixels is smooth: its values on a coarse grid say all there is to say. So the two Gaussians work on
*nodes*, a grid over the pixels of a level whose first and last node are the first and the last pixel::

    means    = local_mean(pixels)                    every node the mean of the pixels around it, weighted by a hat
    contrast = local_contrast(pixels, G1 * means)    the same of (I - mean)^2, the mean interpolated between nodes
    weights  = G2 * contrast / 2048                  interpolated between nodes when the view is fused

Nodes one pixel apart are the pixels themselves, and the numbers those of the formula; `nodes` has the kernels of wider
ones. At the borders of the image everything is mirrored about the last pixel; NaN is no data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.kernels.jit import njit
from fusestack.kernels.nodes import NodeAxis

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import DTypeLike, NDArray

SCALE = 2048.0
_MEAN, _CONTRAST, _VALID = range(3)
_COMPLETE = np.float32(1 - 1e-5)  # of the weights of a node: the smallest hat weight of a pixel is far greater


def local_mean(
    pixels: NDArray[Any], axes: Sequence[NodeAxis], first: Sequence[int], last: Sequence[int]
) -> NDArray[np.float32]:
    """Mean of the pixels around every node of a box.

    Parameters
    ----------
    pixels : any pixel type [z, y, x]
        ``axis.pixels(first, last)`` of every axis.
    axes : three NodeAxis
    first, last : int[3]
        Box of nodes, z, y, x; the last excluded.

    Returns
    -------
    float32 [z, y, x]
        NaN where there is no data around a node.
    """
    return _restricted(_MEAN, pixels, axes, first, last, np.empty((0, 0, 0), np.float32), (0, 0, 0))


def local_contrast(
    pixels: NDArray[Any],
    axes: Sequence[NodeAxis],
    first: Sequence[int],
    last: Sequence[int],
    means: NDArray[np.float32],
    means_first: Sequence[int],
) -> NDArray[np.float32]:
    """Mean of the squared difference to the local mean around every node of a box.

    Parameters
    ----------
    pixels, axes, first, last
        As in `local_mean`.
    means : float32 [z, y, x]
        Local means at the nodes ``axis.around(*axis.pixels(first, last))``, which begin at `means_first`.
    """
    return _restricted(_CONTRAST, pixels, axes, first, last, means, means_first)


def _restricted(
    what: int,
    pixels: NDArray[Any],
    axes: Sequence[NodeAxis],
    first: Sequence[int],
    last: Sequence[int],
    means: NDArray[np.float32],
    means_first: Sequence[int],
) -> NDArray[np.float32]:
    nodes, shares, places, rests = [], [], [], []
    for axis, a, b, m in zip(axes, first, last, means_first, strict=True):
        node, share = axis.hat_weights(a, b)
        low = axis.below(np.arange(*axis.pixels(a, b)))
        at = np.arange(*axis.pixels(a, b)) / axis.spacing
        # one row of slack on either side takes the shares of the nodes that are not wanted, which are zero
        nodes.append(node - a + 1)
        shares.append(share)
        places.append(low - m)
        rests.append(np.clip(at - low, 0, 1).astype(np.float32))
    shape = tuple(b - a for a, b in zip(first, last, strict=True))
    tables = (tuple(nodes), tuple(shares), tuple(places), tuple(rests))

    def run(what: int) -> NDArray[np.float32]:
        out = np.zeros([n + 2 for n in shape], np.float32)
        _restrict(what, pixels, *tables, means, out)
        return out[1:-1, 1:-1, 1:-1]

    result = run(what)
    if pixels.dtype.kind == "f" and np.isnan(pixels).any():
        result = _complete(result, run(_VALID))
    return np.ascontiguousarray(result)


def _complete(values: NDArray[np.float32], valid: NDArray[np.float32]) -> NDArray[np.float32]:
    """Divide by the share of the weights that had data, where it is not all of them."""
    with np.errstate(invalid="ignore", divide="ignore"):
        result: NDArray[np.float32] = np.where(valid < _COMPLETE, values / valid, values)
        result[valid <= 0] = np.nan
    return result


def smooth(
    nodes: NDArray[np.float32], kernels: Sequence[Sequence[float]], masses: Sequence[NDArray[np.float64]]
) -> NDArray[np.float32]:
    """Convolve along z, y, x; NaN is left out.

    Parameters
    ----------
    nodes : float32 [z, y, x]
        With ``len(kernel) - 1`` nodes more than the result on either side of every axis.
    kernels : three half kernels
        Along z, y, x.
    masses : three float64 arrays
        What each of the `nodes` counts for, along z, y, x: the pixels it stands for.
    """
    taps = [np.asarray(kernel, np.float32) for kernel in kernels]
    count = _outer([mass.astype(np.float32) for mass in masses])
    reached = [np.convolve(m, np.concatenate([k[:0:-1], k]), "valid") for m, k in zip(masses, taps, strict=True)]
    norm = _outer([(1 / total).astype(np.float32) for total in reached])
    missing = np.isnan(nodes)
    if not missing.any():
        return _convolved(nodes * count, taps) * norm
    values = _convolved(np.where(missing, np.float32(0), nodes) * count, taps) * norm
    return _complete(values, _convolved(np.where(missing, np.float32(0), count), taps) * norm)


def _outer(vectors: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    z, y, x = vectors
    product: NDArray[np.float32] = z[:, None, None] * (y[:, None] * x)
    return product


def _convolved(values: NDArray[np.float32], taps: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    for axis, kernel in enumerate(taps):
        if kernel.size == 1:
            continue
        shape = list(values.shape)
        shape[axis] -= 2 * (kernel.size - 1)
        out = np.empty(shape, np.float32)
        outer, inner = int(np.prod(shape[:axis])), int(np.prod(shape[axis + 1 :]))
        if axis == 2:
            _convolve_rows(values.reshape(outer, -1), kernel, out.reshape(outer, -1))
        else:
            _convolve(values.reshape(outer, -1, inner), kernel, out.reshape(outer, -1, inner))
        values = out
    return values


@njit
def _convolve(values: Any, kernel: Any, out: Any) -> None:
    """Along the middle axis of three."""
    reach = kernel.size - 1
    for i in range(out.shape[0]):
        for start in range(0, out.shape[2], 1024):
            stop = min(start + 1024, out.shape[2])
            for j in range(out.shape[1]):
                row = out[i, j, start:stop]
                centre = values[i, j + reach, start:stop]
                for k in range(row.size):
                    row[k] = kernel[0] * centre[k]
                for r in range(1, kernel.size):
                    before, after = values[i, j + reach - r, start:stop], values[i, j + reach + r, start:stop]
                    for k in range(row.size):
                        row[k] += kernel[r] * (before[k] + after[k])


@njit
def _convolve_rows(values: Any, kernel: Any, out: Any) -> None:
    reach = kernel.size - 1
    for i in range(out.shape[0]):
        row = out[i]
        for k in range(row.size):
            row[k] = kernel[0] * values[i, k + reach]
        for r in range(1, kernel.size):
            before, after = values[i, reach - r :], values[i, reach + r :]
            for k in range(row.size):
                row[k] += kernel[r] * (before[k] + after[k])


@njit
def _mean_row(means: Any, places: Any, rests: Any, z: Any, y: Any, line: Any, row: Any) -> None:
    """Local means of a row of pixels, interpolated along z, y, x."""
    i, j = places[0][z], places[1][y]
    next_z, next_y = min(i + 1, means.shape[0] - 1), min(j + 1, means.shape[1] - 1)
    rest_z, rest_y = rests[0][z], rests[1][y]
    for k in range(line.size):
        a = means[i, j, k] + rest_z * (means[next_z, j, k] - means[i, j, k])
        b = means[i, next_y, k] + rest_z * (means[next_z, next_y, k] - means[i, next_y, k])
        line[k] = a + rest_y * (b - a)
    last = line.size - 1
    for k in range(row.size):
        at = places[2][k]
        row[k] = line[at] + rests[2][k] * (line[min(at + 1, last)] - line[at])


@njit
def _values_row(what: Any, pixels: Any, row: Any) -> None:
    """Turn a row of local means into what is averaged; no data counts as nothing."""
    for k in range(row.size):
        v = np.float32(pixels[k])
        data = v == v
        if what == _MEAN:
            row[k] = v if data else np.float32(0)
        elif what == _CONTRAST:
            d = v - row[k]
            row[k] = d * d if d == d else np.float32(0)
        else:
            row[k] = np.float32(1) if data else np.float32(0)


@njit
def _restrict(what: Any, pixels: Any, nodes: Any, shares: Any, places: Any, rests: Any, means: Any, out: Any) -> None:
    """Add every pixel to the two nodes around it on every axis: along y, then x, then z."""
    row, line = np.zeros(pixels.shape[2], np.float32), np.empty(means.shape[2], np.float32)
    rows = np.empty((out.shape[1], pixels.shape[2]), np.float32)
    plane = np.empty(out.shape[1:], np.float32)
    for z in range(pixels.shape[0]):
        rows[:] = 0
        plane[:] = 0
        for y in range(pixels.shape[1]):
            if what == _CONTRAST:
                _mean_row(means, places, rests, z, y, line, row)
            _values_row(what, pixels[z, y], row)
            for side in range(2):
                share, target = shares[1][side, y], rows[nodes[1][y] + side]
                if share > 0:
                    for k in range(row.size):
                        target[k] += share * row[k]
        for side in range(2):
            for k in range(row.size):
                at, share = nodes[2][k] + side, shares[2][side, k]
                for j in range(plane.shape[0]):
                    plane[j, at] += share * rows[j, k]
        for side in range(2):
            share, target = shares[0][side, z], out[nodes[0][z] + side]
            if share > 0:
                target += share * plane


def warm_up(dtype: DTypeLike) -> None:
    """Compile the kernels for a type of pixels, so that no block pays for it."""
    one, axes = (0, 0, 0), [NodeAxis(1, 1)] * 3
    pixels = np.zeros((1, 1, 1), dtype)
    local_contrast(pixels, axes, one, (1, 1, 1), local_mean(pixels, axes, one, (1, 1, 1)), one)
    smooth(np.zeros((3, 3, 3), np.float32), [(0.5, 0.25)] * 3, [np.ones(3)] * 3)
