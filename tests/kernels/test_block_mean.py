"""Block means against a twin and worked examples."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusestack.kernels import downsample

DTYPES = [np.uint8, np.uint16, np.int16, np.uint32, np.float32]


def twin(pixels, factors, out_shape):
    """Means of the pixels that are there and not NaN, in float64."""
    out = np.full(out_shape, np.nan)
    for index in np.ndindex(out_shape):
        block = pixels[tuple(slice(i * f, (i + 1) * f) for i, f in zip(index, factors, strict=True))].astype(float)
        if not np.isnan(block).all():
            out[index] = np.nanmean(block)
    return out


@settings(max_examples=150, deadline=None)
@given(
    st.tuples(*[st.integers(1, 13)] * 3),
    st.tuples(*[st.integers(1, 4)] * 3),
    st.booleans(),
    st.sampled_from(DTYPES),
    st.integers(0, 9),
)
def test_block_mean_is_its_twin(shape, factors, keep_rest, dtype, seed):
    noise = np.random.default_rng(seed)
    whole = tuple(-(-n // f) if keep_rest else max(1, n // f) for n, f in zip(shape, factors, strict=True))
    if dtype == np.float32:
        pixels = noise.normal(0, 1000, shape).astype(dtype)
        pixels[noise.random(shape) < 0.1] = np.nan
    else:
        limits = np.iinfo(dtype)
        pixels = noise.integers(limits.min, limits.max, shape, dtype, endpoint=True)
    mean, expected = downsample.block_mean(pixels, factors, whole), twin(pixels, factors, whole)
    assert mean.dtype == dtype
    if dtype == np.float32:
        np.testing.assert_allclose(mean, expected, rtol=1e-5, atol=1e-3)
    else:
        assert np.abs(mean - expected).max() <= 0.5 + 1e-2


@pytest.mark.parametrize(("pixels", "expected"), [([1, 2], 2), ([2, 3], 3), ([1, 2, 2, 2], 2), ([0, 1, 0, 0], 0)])
@pytest.mark.parametrize("dtype", DTYPES[:4])
def test_rounded_as_by_bigstitcher(pixels, expected, dtype):
    block = np.array(pixels, dtype).reshape(1, -1, 2)
    assert downsample.block_mean(block, (1, len(pixels) // 2, 2), (1, 1, 1)).item() == expected


def test_negative_halves_round_up():
    assert downsample.block_mean(np.array([[[-1, -2]]], np.int16), (1, 1, 2), (1, 1, 1)).item() == -1


def test_sums_run_along_x_then_y_then_z():
    pixels = (10.0 ** np.random.default_rng(0).uniform(-6, 6, (6, 9, 10))).astype(np.float32)
    means = pixels
    for axis, factor in ((2, 2), (1, 3), (0, 2)):
        parts = [np.take(means, range(i, means.shape[axis], factor), axis) for i in range(factor)]
        means = sum(parts[1:], parts[0]) * np.float32(1 / factor)
    assert downsample.block_mean(pixels, (2, 3, 2), means.shape).tobytes() == means.tobytes()


def test_bytes_do_not_depend_on_blocks():
    pixels = (10.0 ** np.random.default_rng(1).uniform(-6, 6, (9, 14, 21))).astype(np.float32)
    pixels[::3, ::2, ::4] = np.nan
    factors, whole = (2, 2, 2), (5, 7, 11)
    expected = downsample.block_mean(pixels, factors, whole)
    parts = np.empty_like(expected)
    for start in itertools.product(range(0, 5, 2), range(0, 7, 3), range(0, 11, 5)):
        part = tuple(slice(s, min(s + b, n)) for s, b, n in zip(start, (2, 3, 5), whole, strict=True))
        source = pixels[tuple(slice(2 * p.start, 2 * p.stop) for p in part)]
        parts[part] = downsample.block_mean(source, factors, parts[part].shape)
    assert parts.tobytes() == expected.tobytes()


def test_constant_stays_constant_and_all_nan_stays_nan():
    pixels = np.full((5, 5, 5), 0.1, np.float32)
    assert (downsample.block_mean(pixels, (2, 2, 2), (3, 3, 3)) == np.float32(0.1)).all()
    pixels[:2, :2, :2] = np.nan
    mean = downsample.block_mean(pixels, (2, 2, 2), (3, 3, 3))
    assert np.isnan(mean).sum() == 1
    assert np.isnan(mean[0, 0, 0])


def test_blocks_without_pixels_are_refused():
    with pytest.raises(ValueError, match="do not fill"):
        downsample.block_mean(np.zeros((4, 4, 4), np.uint8), (2, 2, 2), (2, 2, 3))
