"""Block numbers and regions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusestack.model.grid import Grid

shapes = st.integers(1, 4).flatmap(
    lambda n: st.tuples(*(st.tuples(*[st.integers(1, 12)] * n), st.tuples(*[st.integers(1, 7)] * n)))
)


@given(shapes)
def test_blocks_tile_the_image(case: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    grid = Grid(*case)
    seen = np.zeros(grid.shape, dtype=int)
    for number in range(grid.count):
        box = grid.box(number)
        seen[box.slices] += 1
        assert grid.number(grid.index(number)) == number
        assert all(a % b == 0 for a, b in zip(box.start, grid.block, strict=True))
    assert (seen == 1).all()


def test_numbers_beyond_the_grid_are_refused() -> None:
    with pytest.raises(IndexError, match="block 4 of a grid of 4"):
        Grid((4, 4), (2, 2)).box(4)
