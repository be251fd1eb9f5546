"""Views on the grid of the output and their weights, beside float64 NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from fusestack.kernels import aligned, views
from tests.kernels.fuse_twin import coverage, invert, places, ramp, sample, shift

SHAPE, ORIGIN = (7, 19, 23), (2, -3, 1)
TURNED = invert(np.array([[1.1, 0.02, -0.04, 1.4], [0.05, 0.98, 0.21, -2.7], [0.0, -0.2, 0.97, 3.3]]))
AFFINES = [shift(0, 0, 0), shift(0.6, 0.3, 4.4), TURNED]
RANGES, BORDERS = [[2, 5, 6], [0, 5, 6], [3, 4, 5]], [[0, 1, 0.5], [0, 0, 0], [-0.5, 0, 0]]


def aligned_images(images, numerics, interpolation):
    table = views.pack_views(AFFINES, [i.shape for i in images], RANGES, BORDERS, numerics=numerics)
    placed, length = views.place_views(table, views.source_boxes(table, ORIGIN, SHAPE))
    pixels = np.empty(length, images[0].dtype)
    for view, image in zip(placed, images, strict=True):
        (z, y, x), (nz, ny, nx) = view["start"], view["shape"]
        views.source_part(pixels, view)[...] = image[z : z + nz, y : y + ny, x : x + nx]
    return aligned.align_block(pixels, placed, ORIGIN, SHAPE, numerics=numerics, interpolation=interpolation)


@pytest.mark.parametrize("interpolation", ["linear", "nearest"])
@pytest.mark.parametrize("numerics", ["exact", "bigstitcher"])
@pytest.mark.parametrize("dtype", ["uint8", "uint32", "float32"])
def test_values_and_weights_of_every_view(dtype: str, numerics: str, interpolation: str) -> None:
    rng = np.random.default_rng(3)
    images = [rng.integers(1, 200, (8, 15, 20)).astype(dtype) for _ in AFFINES]
    if dtype == "float32":
        images[1][3:5, 4:9] = np.nan
    values, masks = aligned_images(images, numerics, interpolation)
    assert values.dtype == (np.float64 if dtype == "uint32" else np.float32)
    checked = 0
    for n, (image, affine) in enumerate(zip(images, AFFINES, strict=True)):
        at = places(affine, ORIGIN, SHAPE)
        weight, inside, unsure = np.ones(SHAPE), np.ones(SHAPE, bool), np.zeros(SHAPE, bool)
        for d in range(3):
            covered, close = coverage(affine[d], at[d], image.shape[d], BORDERS[n][d], numerics)
            weight = weight * ramp(at[d], image.shape[d], BORDERS[n][d], RANGES[n][d], numerics)
            inside &= covered
            unsure |= close
            unsure |= (interpolation == "nearest") & (abs(at[d] + 0.5 - np.round(at[d] + 0.5)) < 1e-9)
        value = np.where(inside, sample(image, at, interpolation), np.nan)
        if numerics == "exact":
            weight = np.maximum(weight, 1e-30)
        weight = np.where(np.isnan(value), 0, weight)
        sure = ~unsure
        np.testing.assert_allclose(values[n][sure], value[sure], rtol=1e-5)
        np.testing.assert_allclose(masks[n][sure], weight[sure], rtol=1e-5, atol=1e-7)
        assert ((masks[n] > 0) <= ~np.isnan(values[n])).all()
        checked += np.count_nonzero(weight[sure] > 0.01)
    assert checked > 500


def test_the_average_of_weights_beside_numpy() -> None:
    rng = np.random.default_rng(0)
    values = rng.random((3, 4, 5, 6), dtype=np.float32) * 200
    weights = rng.random(values.shape, dtype=np.float32)
    values[:, 0, 0, 0] = np.nan
    weights[:, 0, 0, 1] = 0
    values[1, 2] = np.nan
    out = np.empty(values.shape[1:], np.uint8)
    aligned.average_block(values, weights, out, fill=7)
    heavy = np.where(np.isnan(values), 0, np.maximum(weights, 1e-30)).astype(np.float64)
    with np.errstate(invalid="ignore"):
        mean = (heavy * np.nan_to_num(values)).sum(axis=0) / heavy.sum(axis=0)
    mean[0, 0, 0] = 7
    assert np.array_equal(out, np.floor(mean.astype(np.float32) + 0.5))
    aligned.average_block(values, weights, out, fill=7, numerics="bigstitcher")
    assert out[0, 0, 1] == 7


def test_conversion() -> None:
    values = np.array([[[np.nan, -3, 0.49, 0.5, 254.5, 400]]], np.float32)
    out = np.empty(values.shape, np.uint8)
    aligned.convert_block(values, out, fill=9)
    assert out.ravel().tolist() == [9, 0, 0, 1, 255, 255]
    aligned.convert_block(values, out, fill=9, rounding="down")
    assert out.ravel().tolist() == [9, 0, 0, 0, 254, 255]
    aligned.convert_block(values, out, fill=9, intensity_range=(0, 510))
    assert out.ravel().tolist() == [9, 0, 0, 0, 127, 200]
