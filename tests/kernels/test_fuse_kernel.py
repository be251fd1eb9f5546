"""The fusion kernel against its slow twin and against itself; the worked examples are in `tests/reference`."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusestack.kernels import fuse, views
from tests.kernels.fuse_twin import fuse_images, places, shift, twin, weight_of

NUMERICS = ("exact", "bigstitcher")
METHODS = ("average", "average", "max", "lowest_view", "highest_view", "closest_pixel")


def rotation(angles):
    linear = np.eye(3)
    for axis, angle in enumerate(angles):
        i, j = (n for n in range(3) if n != axis)
        turn = np.eye(3)
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        linear = linear @ turn
    return linear


@st.composite
def affines(draw, image=(9, 9, 9), origin=(0, 0, 0), shape=(9, 9, 9), separable=False):
    """output_to_level that puts a block near the middle of an image: rotated, sheared, scaled, mirrored, shifted."""
    scales = [draw(st.sampled_from([1.0, 1.0, 0.5, 1.7, 3.0, -1.0, -0.6])) for _ in range(3)]
    linear = np.diag(scales)
    if not separable and draw(st.booleans()):
        linear = linear @ rotation([draw(st.floats(-3.2, 3.2)) for _ in range(3)])
        linear[0, 1] += draw(st.floats(-0.3, 0.3))
    middle = np.floor((np.array(image) - linear @ (2 * np.array(origin) + shape)) / 2)
    return np.column_stack([linear, [m + draw(st.one_of(st.integers(-4, 4), st.floats(-4, 4))) for m in middle]])


@st.composite
def scenes(draw, separable=False):
    """Views with everything the kernel takes: images, affines, ranges, borders, a block and the options."""
    noise = np.random.default_rng(draw(st.integers(0, 99)))
    n = draw(st.integers(1, 3))
    origin, shape = [draw(st.integers(-6, 3)) for _ in range(3)], tuple(draw(st.integers(1, 9)) for _ in range(3))
    images = [noise.normal(100, 50, [draw(st.integers(1, 8)) for _ in range(3)]).astype(np.float32) for _ in range(n)]
    if draw(st.booleans()):
        for image in images:
            image[noise.random(image.shape) < 0.05] = np.nan
    return {
        "images": images,
        "affines": [draw(affines(image.shape, origin, shape, separable)) for image in images],
        "ranges": [[draw(st.sampled_from([0.0, 0.7, 2.0, 9.0])) for _ in range(3)] for _ in range(n)],
        "borders": [[draw(st.sampled_from([0.0, 0.0, 1.0, 0.3, -0.5])) for _ in range(3)] for _ in range(n)],
        "origin": origin,
        "shape": shape,
        "numerics": draw(st.sampled_from(NUMERICS)),
        "interpolation": draw(st.sampled_from(["linear", "nearest"])),
        "method": draw(st.sampled_from(METHODS)),
        "fill": -7.0,
    }


@settings(max_examples=250, deadline=None)
@given(scenes())
def test_kernel_is_its_twin(scene):
    expected, unsure = twin(**scene)
    nan_free = not any(np.isnan(i).any() for i in scene["images"])
    if not nan_free:  # a neighbour with a coefficient of rounding size may be NaN
        for affine in scene["affines"]:
            at = places(affine, scene["origin"], scene["shape"])
            unsure |= ((abs(at - np.round(at)) < 1e-9) & (at != np.round(at))).any(axis=0)
    fused = fuse_images(**scene)
    np.testing.assert_allclose(fused[~unsure], expected[~unsure], rtol=2e-5, atol=2e-3)


@settings(max_examples=80, deadline=None)
@given(scenes(separable=True))
def test_separable_path_is_the_general_path(scene):
    general = [a.copy() for a in scene["affines"]]
    for a in general:
        a[0, 1] = 1e-300  # changes no coordinate but sends the view down the general path
    assert fuse_images(**scene).tobytes() == fuse_images(**{**scene, "affines": general}).tobytes()


def wild(shape, seed):
    """Image whose neighbours differ by many orders of magnitude, so that no order of sums goes unnoticed."""
    return (10.0 ** np.random.default_rng(seed).uniform(-6, 6, shape)).astype(np.float32)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(affines((9, 17, 33), (-2, -3, -4), (11, 19, 47)), min_size=2, max_size=2),
    st.sampled_from(NUMERICS),
    st.sampled_from(["linear", "nearest"]),
    st.tuples(st.integers(1, 7), st.integers(1, 9), st.integers(1, 31)),
    st.sampled_from([np.float32, np.uint16]),
    st.sampled_from(METHODS),
)
def test_bytes_do_not_depend_on_blocks(matrices, numerics, interpolation, block, dtype, method):
    images = [wild((9, 17, 33), 1), wild((12, 8, 40), 2)]
    shape, origin = (11, 19, 47), (-2, -3, -4)
    options = {"ranges": 3.3, "borders": 0.2, "numerics": numerics, "interpolation": interpolation, "dtype": dtype}
    options["method"] = method
    whole = fuse_images(images, matrices, origin, shape, **options)
    starts = list(itertools.product(*(range(0, n, b) for n, b in zip(shape, block, strict=True))))
    for start in starts[:: -(-len(starts) // 100)]:  # of very small ones some
        part = tuple(slice(s, min(s + b, n)) for s, b, n in zip(start, block, shape, strict=True))
        corner = [s + o for s, o in zip(start, origin, strict=True)]
        found = fuse_images(images, matrices, corner, whole[part].shape, **options)
        assert found.tobytes() == whole[part].tobytes()


@settings(max_examples=40, deadline=None)
@given(
    st.lists(affines((6, 7, 8), (-4, -4, -4), (9, 10, 12)), min_size=1, max_size=4),
    st.sampled_from([0.0, 0.1, 65535.0, 1e-7, 16777217.0]),
    st.sampled_from(METHODS),
)
def test_constant_image_stays_constant(matrices, value, method):
    """Constant wherever a view covers: no dark rim, no hole, no seam."""
    images = [np.full((6, 7, 8), value, np.float32) for _ in matrices]
    block = {"origin": (-4, -4, -4), "shape": (9, 10, 12)}
    fused = fuse_images(images, matrices, **block, ranges=2.5, fill=np.nan, method=method)
    at = [places(matrix, block["origin"], block["shape"]) for matrix in matrices]
    last = np.reshape((5, 6, 7), (3, 1, 1, 1))
    covered = np.any([((place >= 0) & (place <= last)).all(axis=0) for place in at], axis=0)
    assert not np.isnan(fused[covered]).any()
    assert set(np.unique(fused[~np.isnan(fused)])) <= {np.float32(value)}


# --- rules one by one -----------------------------------------------------------------------------------------------


def test_edges_are_covered_and_overlapping_rims_average():
    images = [np.full((4, 4, 6), 10, np.float32), np.full((4, 4, 6), 20, np.float32)]
    fused = fuse_images(images, [shift(0, 0, 0), shift(0, 0, 5)], (0, 0, 0), (4, 4, 11), ranges=3, fill=np.nan)
    assert not np.isnan(fused).any()
    assert (fused[:, :, 5] == 15).all()  # two zero weights: the plain mask decides


def test_rounding_of_an_affine_opens_no_hole():
    image = np.full((3, 3, 3), 7, np.float32)
    for nudge in (-9e-7, 9e-7):
        fused = fuse_images([image], [shift(nudge, nudge, nudge)], (0, 0, 0), (3, 3, 3), fill=np.nan)
        assert (fused == 7).all()


def test_nan_is_no_data_unless_its_coefficient_is_zero():
    image = np.arange(4, dtype=np.float32).reshape(1, 1, 4)
    image[0, 0, 2] = np.nan
    other = np.full((1, 1, 4), 50, np.float32)
    assert fuse_images([image], [shift(0, 0, 0)], (0, 0, 0), (1, 1, 4), fill=-1)[0, 0].tolist() == [0, 1, -1, 3]
    both = fuse_images([image, other], [shift(0, 0, 0)] * 2, (0, 0, 0), (1, 1, 4))[0, 0]
    assert both.tolist() == [25, 25.5, 50, 26.5]
    half = fuse_images([image], [shift(0, 0, 0.5)], (0, 0, 0), (1, 1, 4), fill=np.nan)[0, 0]
    assert half[1] == 0.5
    assert np.isnan(half[[0, 2, 3]]).all()


def test_nearest_rounds_ties_up():
    image = np.arange(5, dtype=np.float32).reshape(1, 1, 5)
    fused = fuse_images([image], [shift(0, 0, 0.5)], (0, 0, 0), (1, 1, 6), interpolation="nearest", fill=-1)[0, 0]
    assert fused.tolist() == [-1, 1, 2, 3, 4, -1]  # l = x - 0.5 goes up to the next pixel
    turned = np.array([[0.0, 0, 0, 0], [0, 0, 0, 0], [0, 1, 0, -0.5]])
    fused = fuse_images([image], [turned], (0, 0, 0), (1, 6, 1), interpolation="nearest", fill=-1)[0, :, 0]
    assert fused.tolist() == [-1, 1, 2, 3, 4, -1]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.uint32])
@pytest.mark.parametrize("general", [False, True])
@pytest.mark.parametrize("numerics", NUMERICS)
def test_whole_pixel_shift_reproduces_integers(dtype, general, numerics):
    limits = np.iinfo(dtype)
    image = np.random.default_rng(0).integers(limits.min, limits.max, (5, 6, 7), dtype, endpoint=True)
    image[2, 2, 2:4] = limits.min, limits.max
    matrix = shift(2, -1, 3)
    matrix[0, 1] = 1e-300 * general
    fused = fuse_images([image] * 2, [matrix] * 2, (2, -1, 3), image.shape, ranges=4, dtype=dtype, numerics=numerics)
    part = np.s_[1:-1, 1:-1, 1:-1] if numerics == "bigstitcher" else np.s_[:]
    np.testing.assert_array_equal(fused[part], image[part])


def test_flat_images_ignore_z():
    image = np.arange(12, dtype=np.float32).reshape(1, 3, 4)
    tilted = shift(0.4, 0, 0)
    tilted[0, 1] = 0.1
    assert fuse_images([image], [tilted], (0, 0, 0), (1, 3, 4), ranges=2, flat=True).tolist() == image.tolist()
    assert weight_of((1, 9, 9), shift(0, 0, 0), (0, 4, 4), 2, "exact") == pytest.approx(1e-30, abs=1e-20)
    table = views.pack_views([shift(0, 0, 0)], [(1, 9, 9)], 2, flat=True, numerics="bigstitcher")
    assert table["low"][0, 0] == -np.inf


def test_no_view_gives_the_fill_value():
    assert np.isnan(fuse_images([], np.empty((0, 3, 4)), (0, 0, 0), (2, 2, 2), fill=np.nan)).all()
    far = fuse_images([np.ones((2, 2, 2), np.uint8)], [shift(50, 0, 0)], (0, 0, 0), (2, 2, 2), fill=9, dtype=np.uint8)
    assert (far == 9).all()


@pytest.mark.parametrize("matrix", [shift(0.3, 0.2, 0.1), np.column_stack([rotation((0.1, 0.2, 0.3)), [1, 2, 3]])])
def test_reads_nothing_beyond_the_source_boxes(matrix):
    """Pixels outside the boxes are never seen: NaN around them changes nothing."""
    image = wild((20, 20, 20), 3)
    origin, shape = (3, 4, 5), (4, 5, 6)
    (box,) = views.source_boxes(views.pack_views([matrix], [image.shape]), origin, shape)
    only = np.full_like(image, np.nan)
    part = tuple(slice(a, b) for a, b in zip(*box, strict=True))
    assert image[part].size < image.size / 2
    only[part] = image[part]
    expected = fuse_images([image], [matrix], origin, shape)
    table = views.pack_views([matrix], [image.shape])
    placed, length = views.place_views(table, np.array([[[0, 0, 0], image.shape]]))
    assert length == image.size
    out = np.empty(shape, np.float32)
    fuse.fuse_block(only.ravel(), placed, origin, out)
    assert out.tobytes() == expected.tobytes()


def test_writes_into_part_of_an_array():
    image, out = wild((4, 5, 6), 1), np.zeros((4, 5, 12), np.float32)
    placed, _ = views.place_views(views.pack_views([shift(0, 0, 0)], [image.shape]), np.array([[[0] * 3, image.shape]]))
    fuse.fuse_block(image.ravel(), placed, (0, 0, 0), out[:, :, 3:9])
    assert (out[:, :, 3:9] == image).all()
    assert not out[:, :, :3].any()


def test_refuses_what_it_cannot_do():
    table = views.pack_views([shift(0, 0, 0)], [(4, 4, 4)])
    placed, length = views.place_views(table, views.source_boxes(table, (0, 0, 0), (4, 4, 4)))
    pixels, out = np.zeros(length, np.uint8), np.empty((4, 4, 4), np.uint8)
    with pytest.raises(ValueError, match="does not hold"):
        fuse.fuse_block(pixels[:-1], placed, (0, 0, 0), out)
    with pytest.raises(ValueError, match="does not hold"):
        fuse.fuse_block(pixels.reshape(4, 4, 4), placed, (0, 0, 0), out)
    with pytest.raises(ValueError, match="NaN cannot be stored as uint8"):
        fuse.fuse_block(pixels, placed, (0, 0, 0), out, fill=np.nan)
    with pytest.raises(ValueError, match="min < max"):
        fuse.fuse_block(pixels, placed, (0, 0, 0), out, intensity_range=(5, 5))
    small, _ = views.place_views(table, np.array([[[0, 0, 0], [4, 4, 3]]]))
    with pytest.raises(ValueError, match="smaller than what the block reads"):
        fuse.fuse_block(pixels, small, (0, 0, 0), out)
