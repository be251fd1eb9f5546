"""What is looked at around highlights alone is what looking at all of a slice finds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fusestack.focus.coarse_mixing import FINE
from fusestack.focus.scales import Begun, Levels, Scales
from fusestack.kernels.begin import CELL
from fusestack.kernels.pixels import Pixels

Planes = NDArray[np.float32]
SHAPE = (2 * CELL + 51, 3 * CELL + 19)


def factors(planes: Planes) -> tuple[list[Planes], list[Planes]]:
    """What energies of all levels are multiplied by, found everywhere, and around what is white alone."""
    whites = (planes >= np.float32(0.9)).all(axis=0)[None].astype(np.float32)
    scales = Scales(FINE, 1.5, 8, base=False)
    room = Levels(planes, FINE)
    floors = scales.floors(0.02, len(planes))
    begun = Begun(Pixels.of(planes), FINE, 0.9, np.empty_like(room.planes[1]))
    for one, other in zip(begun.planes, room.planes[1:], strict=True):
        assert np.array_equal(one, other)
    whole = scales.not_highlights(scales.energies(room.planes, floors), whites)
    return whole, scales.not_highlights_around(begun, floors)


def noise(colours: int, seed: int) -> Planes:
    return 0.5 + 0.02 * np.random.default_rng(seed).standard_normal((colours, *SHAPE)).astype(np.float32)


@pytest.mark.parametrize("where", [(0, 0), (203, 150), (100, 301), (96, 160), (128, 127), (255, 256), (298, 398)])
@pytest.mark.parametrize("colours", [1, 3])
def test_highlights_are_found_where_they_are(where: tuple[int, int], colours: int) -> None:
    planes = noise(colours, colours)
    y, x = where
    planes[:, y : y + 9, x : x + 5] = 1
    whole, found = factors(planes)
    assert min(one.min() for one in whole) < 0.7
    for one, other in zip(found, whole, strict=True):
        assert one.tobytes() == np.ascontiguousarray(other).tobytes()


@given(st.lists(st.tuples(*(st.integers(0, n - 1) for n in SHAPE), st.integers(1, 60)), max_size=5), st.integers(0, 99))
def test_so_are_many(discs: list[tuple[int, int, int]], seed: int) -> None:
    planes = noise(1, seed)
    for y, x, size in discs:
        planes[:, y : y + size, x : x + size // 2 + 1] = 1
    whole, found = factors(planes)
    for one, other in zip(found, whole, strict=True):
        assert one.tobytes() == np.ascontiguousarray(other).tobytes()
