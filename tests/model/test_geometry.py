"""Boxes and affines: the crossings between x, y, z and z, y, x, bounds, inverses."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusestack.model.geometry import Affine, Box, corners, round_half_up

numbers = st.floats(-100, 100, allow_nan=False).map(lambda v: round(v, 3))
affines = st.lists(numbers, min_size=12, max_size=12).map(Affine.from_xyz)


def test_affine_of_a_registration_maps_pixels_to_world() -> None:
    # T(1.25, -0.5, 0) . T(80, 0, 0) . diag(1, 1, 3)
    parts = ["1 0 0 1.25 0 1 0 -0.5 0 0 1 0", "1 0 0 80 0 1 0 0 0 0 1 0", "1 0 0 0 0 1 0 0 0 0 3 0"]
    first, second, third = (Affine.from_xyz(float(v) for v in text.split()) for text in parts)
    assert (first @ second @ third).apply((10, 0, 0)).tolist() == [30.0, -0.5, 81.25]


@given(affines)
def test_xyz_round_trip(affine: Affine) -> None:
    assert Affine.from_xyz(affine.to_xyz()) == affine
    assert pickle.loads(pickle.dumps(affine)) == affine


@given(affines, st.tuples(*[st.integers(1, 9)] * 3))
def test_bounds_are_those_of_the_corners(affine: Affine, shape: tuple[int, int, int]) -> None:
    low, high = affine.bounds((0, 0, 0), np.array(shape) - 1)
    mapped = affine.apply(corners(shape))
    np.testing.assert_allclose(low, mapped.min(axis=0), atol=1e-9)
    np.testing.assert_allclose(high, mapped.max(axis=0), atol=1e-9)


@given(affines)
def test_inverse(affine: Affine) -> None:
    if affine.is_singular or np.linalg.cond(affine.linear) > 1e6:
        return
    np.testing.assert_allclose(affine.inverse().apply(affine.apply((3, 1, 2))), (3, 1, 2), atol=1e-5)


@pytest.mark.parametrize("numbers", [[1] * 11, [0] * 12, [np.nan] + [1] * 11, [1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0]])
def test_wrong_affines_are_refused(numbers: list[float]) -> None:
    with pytest.raises(ValueError, match=r"12 numbers|singular"):
        Affine.from_xyz(numbers).inverse()


def test_boxes_cross_between_inclusive_xyz_and_half_open_zyx() -> None:
    box = Box.from_inclusive((10, 20, 8), (89, 109, 69))
    assert box == Box((8, 20, 10), (70, 110, 90))
    assert box.shape == (62, 90, 80)
    assert box.inclusive() == ((10, 20, 8), (89, 109, 69))


def test_boxes_combine() -> None:
    a, b = Box((0, 0), (4, 5)), Box((2, 7), (9, 9))
    assert a.intersect(b).is_empty
    assert a.intersect(b).size == 0
    assert a.union(b) == Box((0, 0), (9, 9))
    assert a.shift((1, -1)).slices == (slice(1, 5), slice(-1, 4))


@pytest.mark.parametrize(("value", "rounded"), [(2.5, 3), (-2.5, -2), (-2.51, -3), (0.49, 0)])
def test_halves_round_up(value: float, rounded: int) -> None:
    assert round_half_up(value) == rounded
