"""Colours that lie beside one another become planes: the numbers of NumPy, colour by colour."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusestack import kernels

SIDES = st.tuples(st.integers(1, 9), st.integers(1, 9))


@given(SIDES, st.sampled_from(["uint8", "uint16", "int16", "float32"]), st.integers(0, 2**32 - 1))
def test_shares(shape: tuple[int, int], dtype: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    pixels = (rng.random((*shape, 3)) * 60_000).astype(dtype)
    ends = [(float(low), float(low + span)) for low, span in rng.integers(1, 300, (3, 2))]
    out = np.empty((3, *shape), np.float32)
    kernels.interleaved.shares(pixels, ends, out)
    for c, (low, high) in enumerate(ends):
        expected = (pixels[..., c].astype(np.float32) - np.float32(low)) / np.float32(high - low)
        assert np.array_equal(out[c], expected)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_planes(dtype: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 250, (5, 7, 3)).astype(dtype)
    found = kernels.interleaved.planes(pixels)
    assert found.dtype == pixels.dtype
    assert found.flags.c_contiguous
    assert np.array_equal(found, np.moveaxis(pixels, -1, 0))
