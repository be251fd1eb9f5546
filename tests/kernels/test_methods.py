"""Fusion methods other than the average, rule by rule; `test_fuse_kernel` compares them with a plain twin."""

from __future__ import annotations

import numpy as np
import pytest

from fusestack.kernels import mask, views
from tests.kernels.fuse_twin import fuse_images, shift

LONG = (4, 5, 200)


def overlapping(first, second, **options):
    """Two constant tiles of 200 pixels along x that overlap by 100: rows of the middle of the block."""
    images = [np.full(LONG, first, np.float32), np.full(LONG, second, np.float32)]
    fused = fuse_images(images, [shift(0, 0, 0), shift(0, 0, 100)], (0, 0, 0), (4, 5, 300), **options)
    return fused[2, 2]


@pytest.mark.parametrize(("method", "wanted"), [("max", 200), ("lowest_view", 100), ("highest_view", 200)])
def test_the_overlap_is_one_views(method, wanted):
    row = overlapping(100, 200, method=method)
    assert (row[:100] == 100).all()
    assert (row[100:200] == wanted).all()
    assert (row[200:] == 200).all()


def test_closest_pixel_cuts_in_the_middle_however_deep():
    """100 pixels of overlap are more than BigStitcher's saturating weight tells apart (``ClosestPixelWins``)."""
    row = overlapping(100, 200, method="closest_pixel", ranges=1.0)
    assert (row[:150] == 100).all()
    assert (row[150:] == 200).all()


def test_closest_pixel_of_bigstitcher_saturates_and_the_first_view_wins():
    image = np.ones((100, 100, 200), np.float32)
    options = {"ranges": 40.0, "numerics": "bigstitcher", "method": "closest_pixel"}
    row = fuse_images([image, 2 * image], [shift(0, 0, 0), shift(0, 0, 100)], (50, 50, 0), (1, 1, 300), **options)[0, 0]
    assert (row[1:160] == 1).all()  # both weights are 1 from 140 to 159
    assert (row[160:299] == 2).all()


def test_lowest_among_300_views():
    """BigStitcher's flag of one byte wraps there (``LowestViewIdWins``)."""
    matrices = [shift(0, 0, 0) if n == 255 else shift(0, 0, 50) for n in range(300)]
    images = [np.full((2, 2, 8), n, np.float32) for n in range(300)]
    for method in ("lowest_view", "highest_view"):
        fused = fuse_images(images, matrices, (0, 0, 0), (2, 2, 60), method=method)
        assert (fused[..., :8] == 255).all()
        assert (fused[..., 50:58] == (0 if method == "lowest_view" else 299)).all()


def test_max_is_empty_where_no_view_is():
    """BigStitcher shows the values of the tile before (``MaxIntensity``)."""
    fused = fuse_images(
        [np.full((40, 40, 100), 7, np.float32)], [shift(0, 0, 0)], (0, 0, 0), (32, 32, 256), method="max"
    )
    assert (fused[..., :100] == 7).all()
    assert (fused[..., 100:] == 0).all()


def test_max_of_negative_values():
    images = [np.full((2, 2, 4), -5, np.float32), np.full((2, 2, 4), -3, np.float32)]
    assert (fuse_images(images, [shift(0, 0, 0)] * 2, (0, 0, 0), (2, 2, 4), method="max") == -3).all()


@pytest.mark.parametrize("method", ["max", "lowest_view", "highest_view", "closest_pixel"])
def test_no_data_leaves_the_place_to_others(method):
    first, second = np.full((3, 3, 9), 5, np.float32), np.full((3, 3, 9), 1, np.float32)
    first[..., 3:6] = np.nan
    for images in ((first, second), (second, first)):
        fused = fuse_images(list(images), [shift(0, 0, 0)] * 2, (0, 0, 0), (3, 3, 9), method=method, ranges=1.0)
        assert (fused[..., 3:6] == 1).all()
        assert not np.isnan(fused).any()


def test_further_weights_are_interpolated_and_multiplied():
    """Weights 1 and 3 on coarse grids of their own: the average moves accordingly."""
    images = [np.full((3, 4, 9), 10, np.float32), np.full((3, 4, 9), 20, np.float32)]
    table = views.pack_views([shift(0, 0, 0)] * 2, [i.shape for i in images])
    nodes = table.copy()
    nodes["size"], nodes["affine"][:, 2] = (3, 4, 3), nodes["affine"][:, 2] / 4
    block = ((0, 0, 0), (3, 4, 9))
    placed, length = views.place_views(nodes, views.source_boxes(nodes, *block))
    weights = np.empty(length, np.float32)
    views.source_part(weights, placed[0])[...] = 1
    views.source_part(weights, placed[1])[...] = [1, 3, 1]
    row = fuse_images(images, [shift(0, 0, 0)] * 2, *block, contrast=(weights, placed))[1, 1]
    second = np.array([1, 1.5, 2, 2.5, 3, 2.5, 2, 1.5, 1])
    np.testing.assert_allclose(row, (10 + 20 * second) / (1 + second), rtol=1e-6)


@pytest.mark.parametrize(("offset", "count"), [(0, 480), (1, 960), (-1, 8 * 6 * 4), (0.5, 480)])
def test_mask_with_offset(offset, count):
    """A view of 10 x 8 x 6 pixels in a large box."""
    table = views.pack_views([shift(5, 5, 5)], [(6, 8, 10)], borders=-float(offset))
    out = np.zeros((20, 20, 30), np.uint8)
    mask.mask_block(table, (0, 0, 0), out, 255)
    assert (out == 255).sum() == count
    assert set(np.unique(out)) == {0, 255}


def test_mask_is_where_the_fusion_is():
    turned = np.array([[0.9, 0.2, 0.1, -3], [-0.3, 1.1, 0.05, 2.5], [0.02, -0.1, 0.8, 1.0]])
    image = np.ones((12, 15, 18), np.float32)
    for numerics in ("exact", "bigstitcher"):
        table = views.pack_views([turned], [image.shape], numerics=numerics)
        out = np.zeros((20, 25, 30), np.float32)
        mask.mask_block(table, (-3, -4, -5), out, 1)
        fused = fuse_images([image], [turned], (-3, -4, -5), out.shape, numerics=numerics)
        np.testing.assert_array_equal(out, fused)
        part = np.zeros((7, 8, 9), np.float32)
        mask.mask_block(table, (1, 2, 3), part, 1)
        np.testing.assert_array_equal(part, out[4:11, 6:14, 8:17])
