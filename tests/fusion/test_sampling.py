"""Sizes of world pixels, sampling of data and output, and views that lie far away."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fusestack
from fusestack.fusion.frame import Frame
from fusestack.fusion.sampling import axis_lengths, calibration, compare_sampling, in_one_unit
from fusestack.model.errors import FusestackWarning, InputError
from fusestack.model.geometry import Affine, Box
from fusestack.model.view import SourceRef, View, ViewId


def turned(axis: int, degrees: float) -> np.ndarray[Any, Any]:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    a, b = [i for i in range(3) if i != axis]
    matrix = np.eye(3)
    matrix[a, a], matrix[a, b], matrix[b, a], matrix[b, b] = c, -s, s, c
    return matrix


def sheared(row: int, column: int, by: float) -> np.ndarray[Any, Any]:
    matrix = np.eye(3)
    matrix[row, column] = by
    return matrix


def view(linear: Any, voxel: Any = (5.0, 1.0, 1.0), unit: str | None = "um", number: int = 0, **more: Any) -> View:
    affine = Affine(np.array(linear), np.zeros(3))
    return View(
        ViewId(0, number), (9, 9, 9), affine, SourceRef("", f"{number}.tif"), voxel_size=voxel, unit=unit, **more
    )


PLANES_APART = np.diag([5.0, 1, 1])
ISOTROPIC = {
    "scaled": PLANES_APART,
    **{f"turned by {d} about {'zyx'[a]}": turned(a, d) @ PLANES_APART for a in range(3) for d in (30, 45, 90, 180)},
    **{f"sheared {r}{c}": sheared(r, c, 0.5) @ PLANES_APART for r, c in itertools.permutations(range(3), 2)},
    "mirrored": np.diag([-5.0, 1, 1]),
    "sheared, then turned": turned(1, 30) @ sheared(2, 0, 0.7) @ PLANES_APART,
}


@pytest.mark.parametrize("name", ISOTROPIC)
def test_a_world_pixel_of_data_that_is_registered_to_cubes_is_a_cube(name: str) -> None:
    size, unit = calibration([view(ISOTROPIC[name])], [])
    np.testing.assert_allclose(size, (1, 1, 1), rtol=0.02)
    assert unit == "micrometer"


@pytest.mark.parametrize(
    ("linear", "size"),
    [
        (np.eye(3), (5, 1, 1)),
        (turned(1, 90), (1, 1, 5)),  # planes lie along the world's x
        (turned(2, 90), (1, 5, 1)),
        (np.diag([10.0, 0.5, 0.5]), (0.5, 2, 2)),
        (sheared(2, 0, 0.5), (5, 1, 1)),
    ],
)
def test_a_world_pixel_is_as_large_as_the_pixels_that_lie_along_its_axes(linear: Any, size: tuple[float, ...]) -> None:
    np.testing.assert_allclose(calibration([view(linear)], [])[0], size, rtol=0.02)


@settings(deadline=None, max_examples=50)
@given(*[st.floats(0, 360)] * 3, st.floats(0.1, 20))
def test_rotations_and_scales_of_the_world_change_nothing_else(a: float, b: float, c: float, scale: float) -> None:
    rotation = turned(0, a) @ turned(1, b) @ turned(2, c)
    np.testing.assert_allclose(axis_lengths((scale * rotation)[None]), scale, rtol=0.02)


def test_units_of_views_are_converted_or_refused() -> None:
    found = in_one_unit(
        [view(np.eye(3)), view(np.eye(3), (5000.0, 1000.0, 1000.0), "nm", 1, world_origin=(2000, 0, 0))]
    )
    assert [v.voxel_size for v in found] == [(5, 1, 1), (5, 1, 1)]
    assert found[1].world_origin == (2, 0, 0)
    assert calibration(found, []) == ((5, 1, 1), "micrometer")
    with pytest.raises(InputError, match=r"1\.tif.*no unit"):
        in_one_unit([view(np.eye(3)), view(np.eye(3), unit=None, number=1)])


def said(linear: Any, downsampling: float = 1, z: float = 1, *, flat: bool = False, **more: Any) -> str:
    one = view(linear, **more)
    spacing = (1 if flat else downsampling * z, downsampling, downsampling)
    frame = Frame(Box((0, 0, 0), (9, 9, 9)), spacing, flat)
    return " ".join(compare_sampling([one], {one.id: one.pixel_to_world}, frame, downsampling, z != 1))


@pytest.mark.parametrize(
    ("linear", "downsampling", "words"),
    [
        (np.eye(3) * 0.1, 1, ("coarser", "downsampling: 0.1 ")),
        (np.diag([1, 1, 0.25]), 1, ("coarser", "4 x 1 x 1", "downsampling: 0.25 ")),
        (np.diag([0.5, 0.1, 0.1]), 1, ("coarser", "downsampling: 0.1 ", "preserve_anisotropy: 5 ")),
        (turned(2, 40) * 0.1, 2, ("coarser", "downsampling: 0.1 ")),
        (np.eye(3) * 200, 1, ("finer", "downsampling: 200 ")),
        (np.diag([2500, 200, 200]), 1, ("finer", "downsampling: 200 ")),
    ],
)
def test_a_result_that_is_coarser_or_finer_than_the_data_is_said(linear: Any, downsampling: float, words: Any) -> None:
    sentence = said(linear, downsampling) + " "
    assert all(word in sentence for word in words), sentence


@pytest.mark.parametrize("name", ISOTROPIC)
def test_a_result_as_fine_as_the_data_or_as_coarse_as_was_asked_for_is_not(name: str) -> None:
    for downsampling in (1, 2, 4.5):
        assert said(ISOTROPIC[name], downsampling) == ""
    assert said(np.eye(3) * 0.1, 0.1) == said(np.eye(3) * 200, 200) == said(np.eye(3) * 1.02) == ""
    assert said(np.eye(3), 0.5) == said(np.diag([1, 1, 1]), 1, flat=True) == ""


def test_planes_that_are_skipped_are_said() -> None:
    assert "preserve_anisotropy: false" in said(np.eye(3), z=5)
    assert said(PLANES_APART, z=5) == ""
    assert "2.5 pixels of the data apart" in said(np.diag([2, 1, 1]), z=5)
    assert "5 pixels of the data apart" in said(turned(1, 90) @ PLANES_APART, z=5)


@pytest.mark.parametrize(("row", "by"), [(2, 0.5), (1, 2.0), (2, -1.3)])
def test_planes_of_data_that_is_sheared_along_z_are_not_skipped(row: int, by: float) -> None:
    assert said(sheared(row, 0, by) @ PLANES_APART, z=5) == ""
    assert "5 pixels of the data apart" in said(sheared(row, 0, by), z=5)


TILE = np.full((2, 8, 8), 7, np.uint16)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("distance", [2e4, 3e6])
def test_a_tile_far_from_all_others_is_named_and_little_is_computed(axis: int, distance: float) -> None:
    places = [[0.0, 0, 6 * i] for i in range(4)]
    places[2][axis] += distance
    with pytest.warns(FusestackWarning, match=r"view \(timepoint 0, setup 2\).*other 3 views"):
        image = fusestack.fuse([TILE] * 4, positions=places)
    corner = image[..., :2, :8, :8].compute()
    assert (corner == 7).all()


def test_an_image_that_nobody_can_make_is_refused_in_words() -> None:
    places = [[0.0, 0, 0], [0, 3e9, 3e9]]
    with pytest.raises(InputError, match=r"(?s)more than can be made.*setup 1.*away"):
        fusestack.fuse([TILE] * 2, positions=places)


def test_wells_that_lie_apart_are_no_strays() -> None:
    places = [[0.0, 0, 6 * i + 80 * well] for well in range(6) for i in range(3)]
    fusestack.fuse([TILE] * len(places), positions=places)
