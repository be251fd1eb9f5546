"""Boxes, anisotropy and downsampling; worked examples are in `tests/reference`."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fusestack.fusion.frame import box_of_views, frame_of_bounds, frame_of_box, whole_pixels
from fusestack.model.geometry import Affine, Box


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
