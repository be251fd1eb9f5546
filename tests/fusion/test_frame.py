"""Boxes, anisotropy and downsampling (reference, section 2 and examples 11.1, 11.2)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusestack.fusion.frame import box_of_views, frame_of_bounds, frame_of_box, whole_pixels
from fusestack.geometry import Affine, Box


def test_box_of_a_shifted_view() -> None:  # 11.1
    box = whole_pixels(*box_of_views([(Affine.translation((0, 0, 3.5)), (6, 8, 10))]))
    assert box.inclusive() == ((3, 0, 0), (13, 7, 5))
    assert box.shape == (6, 8, 11)


@pytest.mark.parametrize(  # 11.2
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


def test_exact_frame_of_views_has_no_empty_plane() -> None:
    bounds = box_of_views([(Affine.scaling((2.44, 1, 1)), (32, 10, 10))])
    assert frame_of_bounds(*bounds, anisotropy=2.44, downsampling=1, flat=False).shape == (32, 10, 10)
    # BigStitcher rounds outwards twice
    assert frame_of_box(whole_pixels(*bounds), anisotropy=2.44, downsampling=1, flat=False).shape == (33, 10, 10)


@given(st.tuples(*[st.integers(-50, 50)] * 3), st.floats(1, 9), st.floats(0.3, 9))
def test_world_and_output_are_inverse(start: tuple[int, int, int], downsampling: float, anisotropy: float) -> None:
    box = Box(start, tuple(a + 20 for a in start))
    frame = frame_of_box(box, anisotropy=anisotropy, downsampling=downsampling, flat=False)
    there_and_back = frame.world_to_output @ frame.output_to_world
    np.testing.assert_allclose(there_and_back.linear, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(there_and_back.offset, 0, atol=1e-9)
