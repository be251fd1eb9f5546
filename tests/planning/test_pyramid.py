"""Levels of the pyramid: the proposal of BigDataViewer's ``ProposeMipmaps``."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusestack.planning.pyramid import level_shape, propose_factors

EXAMPLES = [  # x, y, z sizes; anisotropy; factors x, y, z (``ProposeMipmaps``)
    ((2048, 2048, 300), 1, [(1, 1, 1), (2, 2, 2), (4, 4, 4), (8, 8, 8)]),
    ((2048, 2048, 300), 3, [(1, 1, 1), (2, 2, 1), (4, 4, 2), (8, 8, 4)]),
    ((2048, 2048, 100), 4, [(1, 1, 1), (2, 2, 1), (4, 4, 2), (8, 8, 4)]),
    ((1000, 800, 60), 5.5, [(1, 1, 1), (2, 2, 1), (4, 4, 1)]),
    ((257, 200, 100), 1, [(1, 1, 1), (2, 2, 2)]),
    ((256, 256, 256), 1, [(1, 1, 1)]),
]


@pytest.mark.parametrize(("size", "anisotropy", "factors"), EXAMPLES)
def test_proposals_of_bigdataviewer(
    size: tuple[int, int, int], anisotropy: float, factors: list[tuple[int, int, int]]
) -> None:
    found = propose_factors((size[2], size[1], size[0]), anisotropy)
    assert [level[::-1] for level in found] == factors


def test_a_plane_keeps_its_one_pixel_along_z() -> None:
    factors = propose_factors((1, 5000, 5000))
    assert [f[0] for f in factors] == [1] * len(factors)
    assert factors[-1] == (1, 32, 32)


@given(st.tuples(*[st.integers(1, 5000)] * 3), st.floats(0.1, 20))
def test_levels_end_small_and_never_empty(shape: tuple[int, int, int], anisotropy: float) -> None:
    factors = propose_factors(shape, anisotropy)
    size = shape
    for before, factor in itertools.pairwise(factors):
        assert all(f % b == 0 for b, f in zip(before, factor, strict=True))
        size = level_shape(size, tuple(f // b for b, f in zip(before, factor, strict=True)))
        assert min(size) >= 1
    assert max(max(1, n // f) for n, f in zip(shape, factors[-1], strict=True)) <= 256
