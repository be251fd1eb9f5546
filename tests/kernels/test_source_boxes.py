"""Which pixels a block reads, and where they go."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fusestack.kernels import views
from tests.kernels.fuse_twin import places, shift

numbers = st.floats(-3, 3)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(numbers, min_size=12, max_size=12),
    st.tuples(*[st.integers(1, 30)] * 3),
    st.tuples(*[st.integers(-20, 20)] * 3),
    st.tuples(*[st.integers(1, 6)] * 3),
    st.floats(-3, 3),
    st.sampled_from(["exact", "bigstitcher"]),
)
def test_boxes_hold_all_neighbours_and_little_more(matrix, size, origin, shape, border, numerics):
    affine = np.reshape(matrix, (3, 4))
    table = views.pack_views([affine], [size], 2.0, border, numerics=numerics)
    (box,) = views.source_boxes(table, origin, shape)
    at = places(affine, origin, shape).reshape(3, -1)
    covered = ((at >= table["low"][0][:, None]) & (at <= table["high"][0][:, None])).all(axis=0)
    if covered.any():
        inside = np.clip(at[:, covered], 0, np.reshape(size, (3, 1)) - 1)
        assert (box[0] <= np.floor(inside.min(axis=1) + 1e-9)).all()
        assert (box[1] > np.ceil(inside.max(axis=1) - 1e-9)).all()
    assert (box[0] >= 0).all()
    assert (box[1] <= size).all()
    if box.any():
        assert (box[0] >= np.floor(at.min(axis=1).clip(0, np.subtract(size, 1)) - 1e-5)).all()
        assert (box[1] <= np.ceil(at.max(axis=1).clip(0, np.subtract(size, 1)) + 1e-5) + 1).all()


def test_views_that_do_not_touch_are_dropped_and_the_order_is_kept():
    table = views.pack_views([shift(0, 0, 0), shift(0, 0, 90), shift(0, 0, 5)], [(4, 4, 8)] * 3)
    boxes = views.source_boxes(table, (1, 1, 4), (2, 2, 8))
    assert boxes.tolist() == [[[1, 1, 4], [3, 3, 8]], [[0] * 3] * 2, [[1, 1, 0], [3, 3, 7]]]
    placed, length = views.place_views(table, boxes)
    assert placed["affine"][:, 2, 3].tolist() == [0, -5]
    assert placed["offset"].tolist() == [0, 16]
    assert length == 16 + 28
    pixels = np.arange(length)
    assert views.source_part(pixels, placed[1]).shape == (2, 2, 7)
    assert views.source_part(pixels, placed[1])[0, 0, 0] == 16
    assert (table["offset"] == 0).all()


def test_border_swallows_a_small_view():
    table = views.pack_views([shift(0, 0, 0)], [(4, 4, 8)], 0, 2)
    assert not views.source_boxes(table, (0, 0, 0), (9, 9, 9)).any()


def test_no_views():
    table = views.pack_views(np.empty((0, 3, 4)), np.empty((0, 3)))
    placed, length = views.place_views(table, views.source_boxes(table, (0, 0, 0), (1, 1, 1)))
    assert (len(placed), length) == (0, 0)
