"""Boxes, anisotropy and downsampling; worked examples are in `tests/reference`."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import fusestack
from fusestack.fusion.frame import box_of_views, frame_of_box, frame_of_views, whole_pixels
from fusestack.model.geometry import Affine, Box


def test_exact_frame_of_views_has_no_empty_plane() -> None:
    placed = [(Affine.scaling((2.44, 1, 1)), (32, 10, 10))]
    assert frame_of_views(placed, anisotropy=2.44, downsampling=1, flat=False).shape == (32, 10, 10)
    # BigStitcher rounds outwards twice
    box = whole_pixels(*box_of_views(placed))
    assert frame_of_box(box, anisotropy=2.44, downsampling=1, flat=False).shape == (33, 10, 10)


def test_registrations_that_are_rounded_add_no_plane() -> None:
    placed = [(Affine.scaling((2.43888, 1, 1.0002625)), (32, 172, 111))]  # as of a published project
    assert frame_of_views(placed, anisotropy=1, downsampling=1, flat=False).shape == (77, 172, 111)
    assert frame_of_views(placed, anisotropy=2.4383, downsampling=1, flat=False).shape == (32, 172, 111)


@pytest.mark.parametrize("name", ["kidney/kidney.xml", "kidney-tiles/dataset.xml"])
@pytest.mark.parametrize("downsampling", [1, 2, 4])
@pytest.mark.beside("data")
def test_every_side_of_a_real_image_shows_data(name: str, downsampling: float) -> None:
    from tests.conftest import SHARED

    project = fusestack.open_project(SHARED / "data" / name)
    image = fusestack.fuse(project, downsampling=downsampling, preserve_anisotropy=True).values
    for axis in (2, 3, 4):
        assert image.take([0, -1], axis).any(axis=tuple(i for i in range(5) if i != axis)).all()


@given(st.tuples(*[st.integers(-50, 50)] * 3), st.floats(1, 9), st.floats(0.3, 9))
def test_world_and_output_are_inverse(start: tuple[int, int, int], downsampling: float, anisotropy: float) -> None:
    box = Box(start, tuple(a + 20 for a in start))
    frame = frame_of_box(box, anisotropy=anisotropy, downsampling=downsampling, flat=False)
    there_and_back = frame.world_to_output @ frame.output_to_world
    np.testing.assert_allclose(there_and_back.linear, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(there_and_back.offset, 0, atol=1e-9)


AXES = [np.eye(3)[list(order)] * signs for order in itertools.permutations(range(3)) for signs in
        itertools.product((1.0, -1.0), repeat=3)]  # fmt: skip
SCALES = st.one_of(st.sampled_from([0.25, 0.5, 1.0, 2.0, 3.0]), st.floats(0.2, 4))
PLACES = st.tuples(*[st.one_of(st.sampled_from([0.0, 0.5, -0.5, 1.0]), st.floats(-9, 9))] * 3)
DOWNSAMPLINGS = st.one_of(st.sampled_from([1, 2, 3, 4, 8]), st.floats(0.3, 9))


@pytest.mark.filterwarnings("ignore::fusestack.FusestackWarning")
@settings(deadline=None, max_examples=60)
@given(
    st.tuples(*[st.integers(1, 9)] * 3).filter(lambda shape: max(shape) > 1 and shape[0] > 1),
    st.sampled_from(AXES),
    st.tuples(*[SCALES] * 3),
    st.lists(PLACES, min_size=1, max_size=2),
    DOWNSAMPLINGS,
    st.one_of(st.just(1), st.floats(0.5, 6)),
)
@example((9, 10, 11), AXES[0], (1, 1, 1), [(0, 0, 0)], 2, 1)
@example((9, 9, 9), AXES[-1], (1, 1, 1), [(0, 0, 0)], 1, 5)
@example((2, 3, 1), AXES[0], (1, 1, 1), [(0, 0, 0.5)], 1, 1)
@example((2, 3, 1), AXES[0], (1, 1, 1), [(0, 0, 2)], 4, 1)
def test_the_default_box_cuts_off_nothing_and_its_sides_are_not_empty(
    shape: Any, axes: Any, scales: Any, places: Any, downsampling: float, anisotropy: float
) -> None:
    linear = axes * np.array(scales)
    affines = [Affine(linear, np.array(place)) for place in places]
    views = [
        {"array": np.full(shape, 9, np.uint8), "affine": list(affine.to_xyz()), "tile": i}
        for i, affine in enumerate(affines)
    ]
    fusion = {"downsampling": downsampling, "preserve_anisotropy": anisotropy}
    image = fusestack.fuse({"version": 1, "input": {"views": views}, "fusion": fusion})
    found = image.values[0, 0]
    for axis in range(3):
        sides = np.moveaxis(found, axis, 0)
        assert sides[0].any()
        assert sides[-1].any()
    # every pixel of the views lies in a pixel of the fused image
    spacing = downsampling * np.array([anisotropy, 1, 1])
    first = [image.coords[axis].values[0] for axis in "zyx"] / spacing
    pixels = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), -1).reshape(-1, 3)
    for affine in affines:
        at = (pixels @ affine.linear.T + affine.offset) / spacing - first
        assert (at > -0.5 - 1e-5).all()
        assert (at < np.array(found.shape) - 0.5 + 1e-5).all()
