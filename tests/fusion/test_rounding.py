"""Rounding of integer output: to the nearest, halves up, as BigStitcher computes; or down, as its manual says."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import fusestack

FRACTIONS = np.array([0, 1, 2, 3, 4, 5, 6, 7]) / 8
VALUES = {
    "uint8": np.concatenate([FRACTIONS, 254 + FRACTIONS, [255.5, -0.5, -0.25, 300]]),
    "uint16": np.concatenate([FRACTIONS, 65534 + FRACTIONS, [65535.5, -0.5, 70000]]),
}


def fused(values: Any, **fusion: Any) -> Any:
    views = [{"array": np.array(values, np.float32)[None, None]}]
    with_range = {"intensity_range": "auto", **fusion}
    return fusestack.fuse({"version": 1, "input": {"views": views}, "fusion": with_range}).values.ravel()


def rounded(value: Fraction, rounding: str, limit: int) -> int:
    half = Fraction(1, 2) if rounding == "half_up" else 0
    return min(max((value + half).__floor__(), 0), limit)


@pytest.mark.filterwarnings("ignore:fusion.intensity_range")
@pytest.mark.parametrize("rounding", ["half_up", "down"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_integers_are_rounded_as_was_said(dtype: str, rounding: str) -> None:
    values = VALUES[dtype].astype(np.float32)
    wanted = [rounded(Fraction(float(v)), rounding, np.iinfo(dtype).max) for v in values]
    assert fused(values, dtype=dtype, rounding=rounding).tolist() == wanted


@pytest.mark.parametrize("rounding", ["half_up", "down"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_range_is_mapped_before_it_is_rounded(dtype: str, rounding: str) -> None:
    limit = np.iinfo(dtype).max
    values = np.array([*range(90, 130), 1000], np.float32)
    wanted = [rounded(Fraction(int(v) - 100) / 16 * limit, rounding, limit) for v in values]
    found = fused(values, dtype=dtype, rounding=rounding, intensity_range=[100, 116])
    assert found.tolist() == wanted


@pytest.mark.parametrize("rounding", ["half_up", "down"])
def test_the_background_is_rounded_alike(rounding: str) -> None:
    views = [{"array": np.ones((1, 2, 2), np.uint8), "translation": {"x": x, "y": 0, "z": 0}} for x in (0, 5)]
    job = {"version": 1, "input": {"views": views}, "fusion": {"background": 7.5, "rounding": rounding}}
    assert fusestack.fuse(job).values[0, 0, 0, 0, 3] == (8 if rounding == "half_up" else 7)


def test_means_of_two_views_are_cut() -> None:
    place = {"x": 0, "y": 0, "z": 0}
    views = [{"array": np.full((1, 2, 2), value, np.uint8), "tile": value, "translation": place} for value in (3, 4)]
    job = {"version": 1, "input": {"views": views}, "fusion": {"blending": False, "rounding": "down"}}
    assert (fusestack.fuse(job).values == 3).all()
    assert (fusestack.fuse({**job, "fusion": {"blending": False}}).values == 4).all()
