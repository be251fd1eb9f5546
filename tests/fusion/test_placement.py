"""Levels, scales and the index of views."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fusestack.fusion.frame import frame_of_box
from fusestack.fusion.placement import (
    Edges,
    OpenedView,
    PlacedView,
)
from fusestack.fusion.statistics import block_statistics
from fusestack.fusion.view_table import ViewTable
from fusestack.model.geometry import Affine, Box
from fusestack.model.grid import Grid
from fusestack.model.view import SourceRef, View, ViewId
from fusestack.sources.base import SourceLevel


def rotation(axis: str, degrees: float) -> Affine:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    rows = {"z": [c, -s, 0, 0, s, c, 0, 0, 0, 0, 1, 0], "y": [c, 0, s, 0, 0, 1, 0, 0, -s, 0, c, 0]}
    return Affine.from_xyz(rows[axis])


def table_of(registrations: list[Affine], shape: tuple[int, int, int], box: Box) -> ViewTable:
    opened = [
        OpenedView(
            View(ViewId(0, i), shape, registration, SourceRef("none:None", f"{i}")),
            np.dtype(np.uint16),
            (SourceLevel(shape, (1, 1, 1), shape),),
        )
        for i, registration in enumerate(registrations)
    ]
    frame = frame_of_box(box, anisotropy=1, downsampling=1, flat=False)
    edges = Edges(40, 0)
    placed = [
        PlacedView.of(view, registration, frame, edges)
        for view, registration in zip(opened, registrations, strict=True)
    ]
    return ViewTable.of(placed, frame, edges, "exact")


placements = st.lists(st.tuples(*[st.floats(-30, 90, allow_nan=False)] * 3), min_size=1, max_size=30)


@settings(max_examples=25, deadline=None)
@given(placements, st.tuples(*[st.integers(9, 40)] * 3), st.floats(0, 90))
def test_index_and_statistics_count_what_a_plain_search_finds(
    places: list[tuple[float, float, float]], block: tuple[int, int, int], degrees: float
) -> None:
    shape = (60, 70, 80)
    turned = rotation("y", degrees)
    table = table_of([Affine.translation(p) @ turned for p in places], (10, 20, 15), Box.of_shape(shape))
    grid = Grid(shape, block)
    pairs = touched = most = 0
    for number in range(grid.count):
        box = grid.box(number)
        plain = [i for i, (low, high) in enumerate(table.bounds) if (low < box.stop).all() and (high > box.start).all()]
        assert table.touching(box).tolist() == plain
        pairs += len(plain)
        touched += bool(plain)
        most = max(most, len(plain))
    found = block_statistics([table], shape, block, 2)
    assert (found.blocks, found.touched, found.pairs, found.most_views) == (grid.count, touched, pairs, most)
