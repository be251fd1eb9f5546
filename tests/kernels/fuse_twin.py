"""The fusion kernel in float64 NumPy, slow and plain, and the way tests call the kernel."""

from __future__ import annotations

import math

import numpy as np

from fusestack.kernels import fuse, views

MIDDLE = np.column_stack([np.zeros((3, 3)), np.ones(3)])
"""output_to_level that makes every output pixel the middle of a view of 3 x 3 x 3."""


def fuse_images(
    images,
    affines,
    origin,
    shape,
    *,
    ranges=0.0,
    borders=0.0,
    dtype=np.float32,
    flat=False,
    numerics="exact",
    **options,
):
    """Fuse one block of whole images held in memory; `affines` are output_to_level, z, y, x."""
    table = views.pack_views(affines, [i.shape for i in images], ranges, borders, numerics=numerics, flat=flat)
    boxes = views.source_boxes(table, origin, shape)
    placed, length = views.place_views(table, boxes)
    touching = np.flatnonzero((boxes[:, 1] > boxes[:, 0]).all(axis=1))
    pixels = np.empty(length, images[0].dtype if len(images) else np.float32)
    for view, i in zip(placed, touching, strict=True):
        (z0, y0, x0), (z1, y1, x1) = boxes[i]
        views.source_part(pixels, view)[...] = images[i][z0:z1, y0:y1, x0:x1]
    out = np.empty(shape, dtype)
    fuse.fuse_block(pixels, placed, origin, out, numerics=numerics, **options)
    return out


def weight_of(shape, affine, point, width, numerics, border=0.0):
    """Blending weight of one view, weighed against a view of weight 1."""
    images = [np.ones(shape, np.float32), np.zeros((3, 3, 3), np.float32)]
    value = fuse_images(
        images,
        [affine, MIDDLE],
        point,
        (1, 1, 1),
        ranges=[[width] * 3, [0] * 3],
        borders=[[border] * 3, [0] * 3],
        numerics=numerics,
    )[0, 0, 0]
    return float(value) / (1 - float(value)) if value < 1 else np.inf


def shift(*zyx):
    """output_to_level of a view that lies at z, y, x."""
    return np.column_stack([np.eye(3), -np.asarray(zyx, dtype=float)])


def invert(affine):
    linear = np.linalg.inv(affine[:, :3])
    return np.column_stack([linear, -linear @ affine[:, 3]])


def places(affine, origin, shape):
    """Level coordinates of the pixels of a block, float64[3, z, y, x]."""
    p = np.indices(shape) + np.reshape(origin, (3, 1, 1, 1))
    return np.einsum("ij,jzyx->izyx", affine[:, :3], p) + affine[:, 3].reshape(3, 1, 1, 1)


def coverage(affine, at, size, border, numerics):
    """Whether a view covers, along one axis (BigStitcher's ``Masking``), and where that hangs on the last bits."""
    low, high = border, size - 1 - border
    after, before = at >= low - 1e-6, at <= high + 1e-6
    if numerics == "bigstitcher":
        rising = affine[2] > 1e-4
        after = at > low + 1e-6 if rising else after
        before = before if rising else at < high - 1e-6
    edges = (low - 1e-6, low + 1e-6, high - 1e-6, high + 1e-6)
    return after & before, np.min([abs(at - e) for e in edges], axis=0) < 1e-9


def ramp(at, size, border, width, numerics):
    """Weight along one axis (BigStitcher's ``Blending``)."""
    t = np.ones_like(at) if width < 1e-6 else np.clip(np.minimum(at - border, size - 1 - border - at) / width, 0, 1)
    if numerics == "exact":
        return np.sin(np.pi / 2 * t) ** 2
    knots = (np.cos((1 - np.arange(31) / 30) * np.pi) + 1) / 2
    return np.interp(t, np.arange(31) / 30, knots)


def sample(image, at, interpolation):
    """Interpolated values, border extended."""
    last = np.reshape(image.shape, (3, 1, 1, 1)) - 1
    if interpolation == "nearest":
        return image[tuple(np.clip(np.floor(at + 0.5), 0, last).astype(int))].astype(float)
    at = np.clip(at, 0, last)
    low = np.floor(at).astype(int)
    rest = at - low
    high = np.minimum(low + (rest > 0), last)
    value = 0.0
    for corner in np.ndindex(2, 2, 2):
        index = tuple(high[d] if c else low[d] for d, c in enumerate(corner))
        weight = math.prod(rest[d] if c else 1 - rest[d] for d, c in enumerate(corner))
        value = value + np.where(weight > 0, weight * image[index], 0)
    return value


def rank(method, number, value, weight, at, size, border, width, numerics):
    """Key of a view's pixels; the greatest wins."""
    if method == "max":
        return value
    if method != "closest_pixel":
        return np.full(value.shape, float(number if method == "highest_view" else -number))
    if numerics == "bigstitcher":
        return weight
    depths = [
        np.minimum(at[d] - border[d], size[d] - 1 - border[d] - at[d]) / width[d] for d in range(3) if width[d] >= 1e-6
    ]
    return np.min(depths, axis=0) + 1e-6 * np.sum(depths, axis=0) if depths else np.zeros(value.shape)


def twin(
    images,
    affines,
    origin,
    shape,
    *,
    ranges,
    borders,
    numerics="exact",
    interpolation="linear",
    fill=0.0,
    method="average",
):
    """Fused values in float64, and where they hang on the last bits of a coordinate."""
    total, weights, unsure = np.zeros(shape), np.zeros(shape), np.zeros(shape, bool)
    by_weight = method == "closest_pixel" and numerics == "bigstitcher"
    best = np.full(shape, 0.0 if by_weight else -np.inf)
    for number, (image, affine, width, border) in enumerate(zip(images, affines, ranges, borders, strict=True)):
        at = places(affine, origin, shape)
        weight = np.ones(shape)
        inside = np.ones(shape, bool)
        for d in range(3):
            covered, close = coverage(affine[d], at[d], image.shape[d], border[d], numerics)
            inside &= covered
            unsure |= close
            weight = weight * ramp(at[d], image.shape[d], border[d], width[d], numerics)
            if interpolation == "nearest":
                unsure |= abs(at[d] + 0.5 - np.round(at[d] + 0.5)) < 1e-9
        value = sample(image, at, interpolation)
        counts = inside & ~np.isnan(value)
        if method == "average":
            if numerics == "exact":
                weight = np.maximum(weight, 1e-30)
            total += np.where(counts, weight * value, 0)
            weights += np.where(counts, weight, 0)
            continue
        key = rank(method, number, value, weight, at, image.shape, border, width, numerics)
        if method == "closest_pixel":
            with np.errstate(invalid="ignore"):
                unsure |= counts & (abs(key - best) < 1e-5)
        wins = counts & (key > best)
        best, total = np.where(wins, key, best), np.where(wins, value, total)
        weights[wins] = 1
    with np.errstate(invalid="ignore"):
        return np.where(weights > 0, total / weights, fill), unsure
