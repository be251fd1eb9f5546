"""Grey values that viewers show black and white."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from fusestack.writers.contrast import data_window, full_window

DTYPES = ["uint8", "uint16", "int16", "uint32", "float32"]


@given(st.sampled_from(DTYPES).flatmap(lambda dtype: arrays.arrays(dtype, st.integers(0, 30))), st.sampled_from([0, 7]))
def test_a_window_has_a_width_and_lies_between_its_limits(pixels, fill):
    window = data_window(str(pixels.dtype), pixels, fill)
    assert window["min"] <= window["start"] < window["end"] <= window["max"]
    assert {type(value) for value in window.values()} <= {int if pixels.dtype.kind in "iu" else float, int}


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_no_data_does_not_count(dtype):
    pixels = np.concatenate([np.zeros(1000, dtype), np.arange(10, 21, dtype=dtype)])
    window = data_window(dtype, pixels, 0)
    assert (window["start"], window["end"]) == (10, 20)
    assert data_window(dtype, pixels[:1000], 0) == full_window(dtype)


def test_a_few_bright_pixels_among_even_ones_are_seen():
    pixels = np.full(100_000, 0.02, np.float32)
    pixels[0] = 0.1
    window = data_window("float32", pixels, np.nan)
    assert window == pytest.approx({"min": 0.02, "max": 0.1, "start": 0.02, "end": 0.1})


def test_numbers_that_are_none_do_not_count():
    pixels = np.array([np.nan, np.inf, 1, 3], np.float32)
    assert data_window("float32", pixels, np.nan) == {"min": 1, "max": 3, "start": 1, "end": 3}
