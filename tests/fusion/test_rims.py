"""Tiles that touch are one image: what lies between them is interpolated from one to the other."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import fusestack

SHAPE = (7, 9, 11)
VOLUME = (1000 + np.arange(np.prod(SHAPE)) * 7919 % 3001).astype(np.uint16).reshape(SHAPE)
METHODS = ["average", "max", "lowest_view", "highest_view", "closest_pixel"]


def placed(array: Any, start: Any, linear: Any, offset: Any) -> dict[str, Any]:
    """A part of the volume that begins at pixel `start`, where the whole volume has it."""
    moved = np.array(linear) @ np.array(start) + np.array(offset)
    rows = np.concatenate([linear, moved[:, None]], axis=1)[::-1]
    return {"array": array, "affine": [float(v) for row in rows for v in (*row[2::-1], row[3])]}


def fused(views: list[dict[str, Any]], no_data: Any = None, **fusion: Any) -> Any:
    numbered = [{**view, "tile": i} for i, view in enumerate(views)]
    source = {"views": numbered} if no_data is None else {"views": numbered, "no_data": no_data}
    found = fusestack.fuse({"version": 1, "input": source, "fusion": fusion})
    return found.values[0, 0]


def parts(volume: Any, cuts: tuple[int, int, int], linear: Any, offset: Any) -> list[dict[str, Any]]:
    """Views of the eight parts of a volume."""
    found = []
    for corner in itertools.product(*(((0, c), (c, n)) for c, n in zip(cuts, volume.shape, strict=True))):
        part = volume[tuple(slice(a, b) for a, b in corner)]
        found.append(placed(part, [a for a, _ in corner], linear, offset))
    return found


TURN = np.array([[0.995, 0.0, -0.0998], [0, 1, 0], [0.0998, 0, 0.995]])
PLACES = {
    "at fractions": (np.eye(3), (0.3, 0.02, 0.98)),
    "at halves": (np.eye(3), (0.5, 0.5, 0.5)),
    "planes far apart": (np.diag([3.0, 1, 1]), (0.0, 0.2, 0.0)),
    "turned a little": (TURN, (0.1, 0.2, 0.3)),
    "mirrored": (np.diag([1.0, -1, 1]), (0.4, 0.7, 0.1)),
    "finer": (np.diag([1.4, 2.3, 1.7]), (0.1, 0.2, 0.3)),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", PLACES)
def test_parts_of_a_volume_that_touch_leave_no_seam(name: str, method: str) -> None:
    linear, offset = PLACES[name]
    whole = fused([placed(VOLUME, (0, 0, 0), linear, offset)], method=method)
    found = fused(parts(VOLUME, (3, 4, 5), linear, offset), method=method)
    assert found.shape == whole.shape
    assert ((found > 0) == (whole > 0)).all()
    if name != "turned a little":
        assert (whole > 0).all()  # no empty plane at the end of the box
    if method == "average":
        np.testing.assert_allclose(found.astype(int), whole, atol=1)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("gap", [0.02, 0.5, 0.97])
@pytest.mark.parametrize("fusion", [{}, {"blending": False}, {"interpolation": "nearest"}, {"method": "mask"}])
def test_tiles_less_than_a_pixel_apart_leave_no_dark_pixel(axis: int, gap: float, fusion: dict[str, Any]) -> None:
    tile, start = np.full((4, 4, 4), 1000, np.uint16), [0.0, 0, 0]
    start[axis] = 4 + gap
    found = fused([placed(tile, (0, 0, 0), np.eye(3), at) for at in ([0, 0, 0], start)], **fusion)
    assert found.shape[axis] == (9 if gap > 0.1 else 8)
    assert (found == (65535 if fusion.get("method") == "mask" else 1000)).all()


def test_tiles_a_pixel_apart_leave_that_pixel_dark() -> None:
    tile = np.full((2, 4, 4), 1000, np.uint16)
    found = fused([placed(tile, (0, 0, 0), np.eye(3), (0, 0, x)) for x in (0, 5)])
    assert (found[0, 0] > 0).tolist() == [True] * 4 + [False] + [True] * 4


def test_a_view_that_covers_decides_and_not_the_rim_of_another() -> None:
    low, high = np.full((2, 4, 6), 1000, np.uint16), np.full((2, 4, 6), 9000, np.uint16)
    found = fused([placed(low, (0, 0, 0), np.eye(3), (0, 0, 0)), placed(high, (0, 0, 0), np.eye(3), (0, 0, 5.5))])
    assert found[0, 0].tolist() == [1000] * 6 + [9000] * 6


def test_a_border_that_was_asked_for_stays_dark() -> None:
    tile = np.full((40, 40, 40), 1000, np.uint16)
    views = [placed(tile, (0, 0, 0), np.eye(3), (0.0, 0.0, x)) for x in (0.0, 40.5)]
    found = fused(views, blending={"range": 5, "border": 2})
    assert (found[20, 20, 38:43] == 0).all()


@pytest.mark.parametrize("numerics", ["exact", "bigstitcher"])
def test_bytes_do_not_depend_on_chunks(numerics: str) -> None:
    views = [{**view, "tile": i} for i, view in enumerate(parts(VOLUME, (3, 4, 5), TURN, (0.1, 0.2, 0.3)))]
    job = {"version": 1, "input": {"views": views}, "fusion": {"numerics": numerics}}
    whole = fusestack.fuse(job)
    assert (fusestack.fuse(job, chunks=(3, 4, 5)).values == whole.values).all()
