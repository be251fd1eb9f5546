"""Pictures resampled by a map: right to a thousandth, and the same bytes for every block."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from fusestack.kernels import warp

SHAPE = (60, 80)


def picture(dtype: str = "float32", colours: int = 2) -> NDArray:
    smooth = gaussian_filter(np.random.default_rng(0).random((colours, *SHAPE)), (0, 2, 2))
    smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    return smooth.astype(dtype) if dtype == "float32" else (smooth * np.iinfo(dtype).max).astype(dtype)


def warped(
    source: NDArray, matrix: NDArray, region: tuple[int, int, int, int], kind: str, cut: bool = False
) -> NDArray:
    spread = warp.spread_of(matrix, SHAPE)
    around = (warp.reach(kind, spread[0]), warp.reach(kind, spread[1]))
    top, bottom, left, right = warp.needed(matrix, region, SHAPE, around) if cut else (0, SHAPE[0], 0, SHAPE[1])
    part = np.ascontiguousarray(source[:, top:bottom, left:right])
    ones = np.ones(len(source), np.float32)
    return warp.warp(part, (top, left), SHAPE, matrix, region, kind, spread, ones)


def matrix(turn: float, size: float, x: float, y: float, tilt: float = 0) -> NDArray:
    angle = np.radians(turn)
    cos, sin = size * np.cos(angle), size * np.sin(angle)
    return np.array([[cos, -sin, x], [sin, cos, y], [tilt, -tilt, 1]])


@pytest.mark.parametrize(("kind", "within"), [("lanczos", 0.004), ("cubic", 0.01), ("linear", 0.05)])
def test_values_are_those_between_pixels(kind: str, within: float) -> None:
    source, map_ = picture(), matrix(2, 1.02, -3.3, 4.7, 1e-4)
    found = warped(source, map_, (0, *SHAPE[:1], 0, SHAPE[1]), kind)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    depth = map_[2, 0] * x + map_[2, 1] * y + 1
    places = [(map_[i, 0] * x + map_[i, 1] * y + map_[i, 2]) / depth for i in (1, 0)]
    truth = np.stack([map_coordinates(one.astype(float), places, order=5, mode="nearest") for one in source])
    inner = (slice(None), slice(8, -8), slice(8, -8))
    assert np.abs(found - truth)[inner].max() < within


@pytest.mark.parametrize("kind", warp.INTERPOLATIONS)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_what_is_not_moved_stays(kind: str, dtype: str) -> None:
    source = picture(dtype)
    assert warped(source, np.eye(3), (0, SHAPE[0], 0, SHAPE[1]), kind).tobytes() == source.tobytes()


@settings(max_examples=40, deadline=None)
@given(
    turn=st.sampled_from([0.0, 1.5, -20.0, 90.0]),
    size=st.floats(0.4, 2.5),
    shift=st.tuples(st.floats(-20, 20), st.floats(-20, 20)),
    tilt=st.sampled_from([0.0, 2e-4]),
    kind=st.sampled_from(warp.INTERPOLATIONS),
    first=st.tuples(st.integers(0, 50), st.integers(0, 70)),
    count=st.tuples(st.integers(1, 30), st.integers(1, 30)),
)
def test_blocks_do_not_matter(turn, size, shift, tilt, kind, first, count) -> None:
    source, map_ = picture("uint16"), matrix(turn, size, *shift, tilt)
    whole = warped(source, map_, (0, SHAPE[0], 0, SHAPE[1]), kind)
    top, left = first
    bottom, right = min(SHAPE[0], top + count[0]), min(SHAPE[1], left + count[1])
    part = warped(source, map_, (top, bottom, left, right), kind, cut=True)
    assert part.tobytes() == np.ascontiguousarray(whole[:, top:bottom, left:right]).tobytes()


def test_smaller_pictures_are_means_not_samples() -> None:
    stripes = np.zeros((1, *SHAPE), np.float32)
    stripes[..., ::2] = 1
    half = warped(stripes, np.diag([2.0, 2.0, 1.0]), (2, 28, 2, 38), "lanczos")
    assert np.abs(half - 0.5).max() < 0.02


@pytest.mark.parametrize("dtype", ["uint16", "int16", "uint32", "int32"])
def test_the_brightest_stays_the_brightest(dtype: str) -> None:
    limits = np.iinfo(dtype)
    white = np.full((1, *SHAPE), limits.max, dtype)
    white[:, :, :9] = limits.min
    found = warped(white, matrix(3, 1, 0.3, 0.4), (0, SHAPE[0], 0, SHAPE[1]), "lanczos")
    assert (found[:, :, 20:] == limits.max).all()
    assert (found[:, 4:-4, :2] == limits.min).all()


def test_what_was_cut_off_keeps_its_colour() -> None:
    ramp = np.linspace(0, 255, SHAPE[1]).astype(np.uint8)[None, None].repeat(SHAPE[0], axis=1)
    found = warp.warp(ramp, (0, 0), SHAPE, np.eye(3), (0, 60, 0, 80), "cubic", (1.0, 1.0), np.array([0.8], np.float32))
    assert found[0, 0, -1] == 255
    np.testing.assert_allclose(found[0, 0, :60], 0.8 * ramp[0, 0, :60], atol=0.6)
    assert (np.diff(found[0, 0].astype(int)) >= 0).all()


def test_integers_are_clamped() -> None:
    edge = np.zeros((1, *SHAPE), np.uint8)
    edge[:, :, 40:] = 255
    found = warped(edge, matrix(0, 1, 0.5, 0.5), (0, SHAPE[0], 0, SHAPE[1]), "lanczos")
    assert found.min() == 0
    assert found.max() == 255
    assert set(np.unique(found[:, 20])) - {0, 255}
