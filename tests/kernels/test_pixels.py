"""Stored pixels become numbers and levels: those of NumPy, and of the kernels that see whole planes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fusestack.kernels import begin, detail, pyramid
from fusestack.kernels.pixels import Pixels, planes, shares

SIDES = st.tuples(st.integers(1, 19), st.integers(1, 19))


def stored(shape: tuple[int, ...], dtype: str, seed: int, *, beside: bool) -> NDArray[Any]:
    """Colours of a photograph, beside one another or in planes."""
    pixels = (np.random.default_rng(seed).random((*shape[1:], shape[0])) * 250).astype(dtype)
    found = np.moveaxis(pixels, -1, 0)
    return found if beside else np.ascontiguousarray(found)


@given(
    SIDES,
    st.integers(1, 4),
    st.sampled_from(["uint8", ">u2", "int16", "float32"]),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_shares(plane: tuple[int, int], colours: int, dtype: str, beside: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    pixels = stored((colours, *plane), dtype, seed, beside=beside)
    ends = [(float(low), float(low + span)) for low, span in rng.integers(1, 300, (colours, 2))]
    given_ = Pixels.of(pixels, ends)
    assert given_.shape == pixels.shape
    expected = np.stack(
        [(c.astype(np.float32) - np.float32(a)) / np.float32(b - a) for c, (a, b) in zip(pixels, ends, strict=True)]
    )
    assert np.array_equal(shares(given_), expected)
    rows, columns = slice(plane[0] // 3, plane[0]), slice(plane[1] // 2, plane[1])
    assert np.array_equal(shares(given_.part(rows, columns)), expected[:, rows, columns])


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_planes(dtype: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 250, (5, 7, 3)).astype(dtype)
    found = planes(pixels)
    assert found.dtype == pixels.dtype
    assert found.flags.c_contiguous
    assert np.array_equal(found, np.moveaxis(pixels, -1, 0))


@given(SIDES, st.sampled_from([1, 3]), st.booleans(), st.integers(0, 2**32 - 1))
def test_levels_straight_from_pixels(plane: tuple[int, int], colours: int, beside: bool, seed: int) -> None:
    pixels = Pixels.of(stored((colours, *plane), "uint8", seed, beside=beside), [(3, 250)] * colours)
    finest = shares(pixels)
    first = pyramid.reduce(finest)
    white = detail.white(finest, 0.8)
    second, grain = begin.twice(pixels, 0.8)
    assert np.array_equal(second[:colours], pyramid.reduce(first))
    whites = np.zeros((1, *plane), np.float32) if white is None else white
    assert np.array_equal(second[colours:], pyramid.reduce(pyramid.reduce(whites)))
    assert np.array_equal(grain, detail.grain(finest, 4))
    alone, _ = begin.twice(pixels, None)
    assert np.array_equal(alone, second[:colours])
    out = np.empty_like(first)
    cells = begin.once(pixels, 0.8, out)
    assert np.array_equal(out, first)
    assert cells.any() == (white is not None)


def test_squares_in_which_something_is_white() -> None:
    planes = np.zeros((3, 300, 257), np.float32)
    planes[:, 127, 256] = planes[:, 299, 127] = planes[:2, 150, 150] = 1
    cells = begin.once(Pixels.of(planes), 0.9, np.empty((3, 150, 129), np.float32))
    assert [tuple(int(i) for i in one) for one in np.argwhere(cells)] == [(0, 2), (2, 0)]
    assert not begin.once(Pixels.of(planes), np.inf, np.empty((3, 150, 129), np.float32)).any()
