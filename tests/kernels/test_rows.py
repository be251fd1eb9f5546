"""Rows have several ways to the same bytes: alone or summed, by tables, in runs or gathered."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fusestack.kernels import fuse, views

SHAPE = (12, 30, 90)
PLACES = {
    "shifted": [[1, 0, 0, 1.4], [0, 1, 0, 2.3], [0, 0, 1, 3.6]],
    "whole pixels": [[1, 0, 0, 1], [0, 1, 0, 2], [0, 0, 1, 3]],
    "mirrored": [[1, 0, 0, 1.4], [0, 1, 0, 2.3], [0, 0, -1, 80.6]],
    "zoomed": [[1, 0, 0, 1.4], [0, 1, 0, 2.3], [0, 0, 0.7, 3.6]],
    "turned a little": [[1, 0, 0.002, 1.4], [0, 0.9998, 0.0175, 2.3], [0, -0.0175, 0.9998, 5.6]],
    "turned": [[1, 0, 0.2, 1.4], [0, 0.87, 0.5, -9.3], [-0.2, -0.5, 0.87, 20.6]],
}


def fused(pixels: list[np.ndarray[Any, Any]], affine: list[list[list[float]]], **options: Any) -> np.ndarray[Any, Any]:
    table = views.pack_views(affine, [image.shape for image in pixels], 8.0)
    out = np.empty((9, 26, 84), np.float32)
    placed, length = views.place_views(table, np.array([[(0, 0, 0), image.shape] for image in pixels]))
    buffer = np.empty(length, pixels[0].dtype)
    for view, image in zip(placed, pixels, strict=True):
        views.source_part(buffer, view)[...] = image
    fuse.fuse_block(buffer, placed, (0, 0, 0), out, fill=-1, **options)
    return out


def image(dtype: str) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 250, SHAPE).astype(dtype)
    pixels[3:6, 10:14] = 250 if dtype == "uint8" else 60000
    if dtype == "float32":
        pixels += rng.random(SHAPE, dtype=np.float32)
        pixels[2, 5:8, 20:23] = np.nan
        pixels[5, 20, 30], pixels[7, 20, 30], pixels[8] = np.inf, -0.0, -0.0
    return pixels


@pytest.mark.parametrize("interpolation", ["linear", "nearest"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("place", PLACES.values(), ids=list(PLACES))
def test_a_view_alone_is_what_the_sum_is(place: list[list[float]], dtype: str, interpolation: str) -> None:
    """The second view covers nothing of the block, but is summed."""
    pixels = image(dtype)
    far = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 1e6]]
    alone = fused([pixels], [place], interpolation=interpolation)
    assert alone.tobytes() == fused([pixels, pixels[:1]], [place, far], interpolation=interpolation).tobytes()
    assert (alone != -1).mean() > 0.2


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("name", ["shifted", "whole pixels", "mirrored", "zoomed"])
def test_tables_runs_and_gathering_agree(name: str, dtype: str) -> None:
    """A coupling that is lost in rounding keeps the view off the tables: in runs where x goes by one pixel."""
    place = np.array(PLACES[name])
    coupled = place.copy()
    coupled[1, 2] = 1e-300
    pixels = image(dtype)
    assert fused([pixels], [place.tolist()]).tobytes() == fused([pixels], [coupled.tolist()]).tobytes()
