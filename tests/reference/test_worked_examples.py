"""Worked examples of BigStitcher's fusion, computed with its own classes, through the package's functions.

The numbers are those of its default engine, ``BlkAffineFusion``. Half kernels of content-based weights are in
`tests/kernels/test_contrast.py`, coefficient maps in two dimensions in `tests/fusion/test_intensity.py`, defects that
are not copied in `tests/kernels/test_methods.py`.
"""

from __future__ import annotations

import numpy as np
import pytest

from fusestack.fusion.frame import box_of_views, frame_of_box, whole_pixels
from fusestack.fusion.placement import choose_level, diagonal_scale, level_to_pixel
from fusestack.kernels import contrast
from fusestack.kernels.nodes import NodeAxis
from fusestack.model.geometry import Affine, Box
from fusestack.sources.base import SourceLevel
from tests.fusion.test_placement import rotation
from tests.kernels.fuse_twin import MIDDLE, fuse_images, invert, shift, weight_of
from tests.kernels.test_contrast import smoothed


def test_box_of_a_transformed_view() -> None:
    box = whole_pixels(*box_of_views([(Affine.translation((0, 0, 3.5)), (6, 8, 10))]))
    assert box.inclusive() == ((3, 0, 0), (13, 7, 5))
    assert box.shape == (6, 8, 11)


@pytest.mark.parametrize(
    ("low", "high", "factor", "first", "last", "world"),
    [
        (0, 9, 2, 0, 5, 0),
        (1, 10, 2, 1, 5, 2),
        (-5, 20, 2, -2, 10, -4),
        (-3, 13, 2, -1, 7, -2),
        (0, 2047, 4, 0, 512, 0),
        (3, 13, 4, 1, 3, 4),
    ],
)
def test_downsampling(low: int, high: int, factor: float, first: int, last: int, world: float) -> None:
    frame = frame_of_box(Box.from_inclusive((low, 0, 0), (high, 0, 0)), anisotropy=1, downsampling=factor, flat=False)
    assert (frame.box.start[2], frame.box.stop[2] - 1) == (first, last)
    assert frame.output_to_world.apply((0, 0, 0))[2] == world


@pytest.mark.parametrize(("low", "high", "factor", "first", "last"), [(-7, 50, 3, -3, 17), (0, 89, 2.5, 0, 36)])
def test_anisotropy(low: int, high: int, factor: float, first: int, last: int) -> None:
    frame = frame_of_box(Box.from_inclusive((0, 0, low), (0, 0, high)), anisotropy=factor, downsampling=1, flat=False)
    assert (frame.box.start[0], frame.box.stop[0] - 1) == (first, last)
    assert frame.output_to_world.apply((0, 0, 0))[0] == first * factor


def test_blending_weights():
    view = (6, 8, 10), shift(0, 0, 3.5)
    for x, expected in ((4, 1.00447e-7), (12, 1.00447e-7)):
        assert weight_of(*view, (2, 3, x), 40, "bigstitcher") == pytest.approx(expected, rel=1e-5)
        assert weight_of(*view, (2, 3, x), 40, "exact") == pytest.approx(3.27825e-8, rel=1e-5)
    assert weight_of(*view, (0, 0, 4), 40, "bigstitcher") == 0
    cube = (200, 200, 200), shift(0, 0, 0)
    for x, expected in ((10, 0.146931142), (20, 0.5), (30, 0.853068829), (100, 1), (189, 0.146931142)):
        assert weight_of(*cube, (100, 100, x), 40, "bigstitcher") == pytest.approx(expected, rel=1e-6)
    assert weight_of((200,) * 3, shift(0, 0, 0.5), (100, 100, 40), 40, "bigstitcher") == pytest.approx(0.998972833)
    assert weight_of(*cube, (100, 100, 10), 40, "exact") == pytest.approx(0.146446609, rel=1e-6)
    for t, expected in ((0.025, 0.00205428922), (0.05, 0.00683262618), (0.75, 0.853068829), (0.9, 0.975528240)):
        x = 40 * t
        assert weight_of((200,) * 3, shift(0, 0, -x), (100, 100, 0), 40, "bigstitcher") == pytest.approx(expected)


def test_weighted_average_of_constant_tiles():
    images = [np.full((100, 100, 100), v, np.float32) for v in (100, 200)]
    matrices = [shift(0, 0, 0), shift(0, 0, 80)]
    table = {
        80: (100, 100),
        81: (100.484558, 100.364102),
        85: (112.357811, 112.235461),
        89: (144.995300, 144.995262),
        90: (155.004700, 155.004738),
        95: (192.658157, 192.653997),
        98: (199.515427, 199.635898),
        99: (200, 200),
    }
    for column, numerics in enumerate(("bigstitcher", "exact")):
        row = fuse_images(images, matrices, (50, 50, 0), (1, 1, 180), ranges=40, numerics=numerics)[0, 0]
        for x, expected in table.items():
            assert row[x] == pytest.approx(expected[column], rel=1e-6)
    rounded = fuse_images(images, matrices, (50, 50, 0), (1, 1, 180), ranges=40, dtype=np.uint16, numerics=numerics)
    assert rounded[0, 0, [81, 95]].tolist() == [100, 193]
    mask = fuse_images(images, matrices, (50, 50, 0), (1, 1, 180), numerics="bigstitcher")[0, 0]
    assert mask[[80, 90, 99]].tolist() == [100, 150, 150]


def test_weighted_average_of_ramps():
    z, y, x = np.indices((6, 8, 10))
    image = (10 * x + y + 100 * z).astype(np.float32)
    fused = fuse_images(
        [image, image + 1000],
        [shift(0, 0, 0), shift(0, 0, 3.5)],
        (0, 0, 0),
        (6, 8, 14),
        ranges=40,
        numerics="bigstitcher",
    )
    expected = {0: 0, 3: 233, 4: 281.87207, 6: 657.63361, 8: 1188.92883, 12: 1288}
    for at, value in expected.items():
        assert fused[2, 3, at] == pytest.approx(value, rel=1e-4)
    assert fused[2, 0, 4] == 0


def level(*factors_xyz: float) -> SourceLevel:
    x, y, z = factors_xyz
    return SourceLevel((8, 8, 8), (z, y, x), (8, 8, 8))


ISOTROPIC = [level(1, 1, 1), level(2, 2, 2), level(4, 4, 4), level(8, 8, 8)]
ANISOTROPIC = [level(1, 1, 1), level(2, 2, 1), level(4, 4, 2), level(8, 8, 4)]


@pytest.mark.parametrize(("d", "factor"), [(1, 1), (1.5, 1), (2, 2), (3, 2), (4, 4), (8, 8), (16, 8)])
def test_level_of_an_isotropic_pyramid(d: float, factor: float) -> None:
    chosen = choose_level(Affine.scaling(1 / d), ISOTROPIC)
    assert ISOTROPIC[chosen].factors == (factor,) * 3


@pytest.mark.parametrize(("d", "number"), [(1, 0), (2, 1), (3, 1), (4, 1), (8, 2), (16, 3)])
def test_level_of_an_anisotropic_pyramid(d: float, number: int) -> None:
    assert choose_level(Affine.scaling(np.array([3, 1, 1]) / d), ANISOTROPIC) == number


def test_level_pixels_lie_half_a_pixel_further() -> None:
    model = Affine.scaling(0.5) @ level_to_pixel(level(2, 2, 2).factors)
    np.testing.assert_allclose(model.apply((4, 4, 4)), (4.25, 4.25, 4.25))


@pytest.mark.parametrize(
    ("value", "dtype", "limits", "expected"),
    [
        (1.4, np.uint16, None, 1),
        (1.5, np.uint16, None, 2),
        (2.5, np.uint16, (0, 65535), 3),
        (70000, np.uint16, (0, 65535), 65535),
        (-3, np.uint16, (0, 65535), 0),
        (100, np.uint16, (100, 1000), 0),
        (550, np.uint16, (100, 1000), 32768),
        (1000, np.uint16, (100, 1000), 65535),
        (600, np.uint8, (100, 1100), 128),
        (12.5, np.uint8, (0, 255), 13),
        (-1.5, np.int16, None, -1),
        (5e9, np.uint32, None, 2**32 - 1),
        (300, np.uint8, None, 255),
    ],
)
def test_integer_output(value, dtype, limits, expected):
    image = np.full((1, 1, 1), value, np.float32)
    fused = fuse_images([image], [shift(0, 0, 0)], (0, 0, 0), (1, 1, 1), dtype=dtype, intensity_range=limits)
    assert fused.item() == expected


def xyz(*factors: float) -> Affine:
    return Affine.scaling(factors[::-1])


def test_content_weight():
    image = np.zeros((9, 9, 9), np.float32)
    image[4, 4, 4] = 1000
    axes = [NodeAxis.of(9, 1)] * 3
    means = contrast.local_mean(image, axes, (0, 0, 0), (9, 9, 9))
    np.testing.assert_array_equal(means, image)
    smooth = smoothed(means, axes, 1.0)
    assert smooth[4, 4, 4] == pytest.approx(63.545216, rel=1e-6)
    squares = contrast.local_contrast(image, axes, (0, 0, 0), (9, 9, 9), smooth, (0, 0, 0))
    assert squares[4, 4, 4] == pytest.approx(876947.563, rel=1e-6)
    weights = smoothed(squares, axes, 2.0) / contrast.SCALE
    found = [weights[4, 4, 4], weights[4, 4, 0], weights[0, 0, 0]]
    np.testing.assert_allclose(found, [3.4671298, 0.94337153, 0.070125098], rtol=1e-5)


@pytest.mark.parametrize(
    ("model", "scale_xyz"),
    [
        (xyz(0.5, 0.5, 1.5), (0.5, 0.5, 1.5)),
        (rotation("z", 30) @ xyz(1, 1, 3), (1, 1, 3)),
        (xyz(0.5, 0.5, 0.5) @ rotation("y", 60) @ xyz(1, 1, 3), (0.5, 0.5, 1.5)),
        (xyz(1 / 2, 1 / 2, 1 / 6) @ rotation("y", 60) @ xyz(1, 1, 3), (0.28867513, 0.5, 0.8660254)),
        (Affine.from_xyz([1, 0.1, 0, 0, 0, 1, 0.2, 0, 0, 0, 3, 0]), (0.99923942, 1.00313889, 3)),
    ],
)
def test_diagonal_scale(model: Affine, scale_xyz: tuple[float, float, float]) -> None:
    np.testing.assert_allclose(diagonal_scale(model, (50, 80, 100))[::-1], scale_xyz, rtol=1e-7)


def test_masks():
    image = np.ones((3, 4, 5), np.float32)
    options = {"origin": (0, 0, 0), "shape": (3, 4, 5), "numerics": "bigstitcher"}
    mask = fuse_images([image], [shift(0, 0, 0)], **options)
    assert mask.sum() == 24
    assert mask[:2, :3, 1:].all()
    blended = fuse_images([image], [shift(0, 0, 0)], ranges=40, **options)
    assert blended.sum() == 6
    assert blended[1, 1:3, 1:4].all()
    mirror = np.diag([1.0, 1.0, -1.0])
    mirrored = fuse_images([image], [np.column_stack([mirror, [0, 0, 4]])], **options)
    assert mirrored[0, 0].tolist() == [0, 1, 1, 1, 1]
    assert fuse_images([image], [shift(0, 0, 0)], (0, 0, 0), (3, 4, 5), numerics="exact").all()


def test_rotated_anisotropic_view():
    cosine, sine = np.cos(np.radians(20)), np.sin(np.radians(20))
    pixel_to_world = np.array([[2, 0, 0, 1.5], [0, cosine, sine, -3.5], [0, -sine, cosine, 12.25]])
    matrix = invert(pixel_to_world)
    z, y, x = np.indices((20, 30, 40))
    image = ((7 * x + 13 * y + 29 * z) % 251).astype(np.float32)
    ones, hard = np.ones_like(image), np.zeros((3, 3, 3), np.float32)
    block = {"origin": (0, -5, -5), "shape": (45, 60, 70), "numerics": "bigstitcher"}
    fade = [20, 40, 40]
    value = fuse_images([image], [matrix], ranges=[fade], **block).astype(float)
    covered = fuse_images([ones], [matrix], ranges=[fade], **block) > 0
    against = fuse_images([ones, hard], [matrix, MIDDLE], ranges=[fade, [0] * 3], **block).astype(float)
    weight = against / (1 - against)
    assert covered.sum() == 43054
    assert weight.sum() == pytest.approx(126.389644, rel=1e-6)
    assert (weight * value).sum() == pytest.approx(15713.953, rel=1e-6)
    assert value[covered].sum() == pytest.approx(5379311.0, rel=1e-6)
    table = {
        (20, 10, 10): (86.00675, 0.0032388608),
        (30, 20, 21): (161.92407, 0.029823221),
        (12, 20, 33): (46.55551, 4.1201554e-4),
        (40, 30, 5): (97.341385, 5.122847e-6),
    }
    for (px, py, pz), (grey, w) in table.items():
        at = (pz, py + 5, px + 5)
        assert value[at] == pytest.approx(grey, rel=1e-5)
        assert weight[at] == pytest.approx(w, rel=2e-5)
    assert not covered[20, 13, 10]
