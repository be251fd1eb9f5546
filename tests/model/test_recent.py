"""Blocks that were written lately are found again: their own pixels, or nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fusestack.model.geometry import Box
from fusestack.model.grid import Grid
from fusestack.model.image import Codec, ImageSpec, Level
from fusestack.model.recent import keep, keeping, read_back
from fusestack.model.stage import Target

GRID = Grid((2, 1, 3, 10, 13), (1, 1, 2, 4, 5))
PIXELS = np.arange(np.prod(GRID.shape), dtype=np.float32).reshape(GRID.shape)
ALL = Box.of_shape(GRID.shape)


class Store:
    """A store that has nothing."""

    def __init__(self, spec: ImageSpec, work: str) -> None:
        pass

    def read(self, level: int, box: Box) -> None:
        return None


def target(path: str) -> Target:
    level = Level((1, 1, 1), GRID.shape, (1,) * 5, None, GRID.block)
    spec = ImageSpec(path, path, "float32", (level,), Codec(), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), None, (0, 1), ())
    return Target(f"{__name__}:Store", spec, 0, "")


def keep_all(path: str = "a") -> None:
    for number in range(GRID.count):
        keep(target(path), number, PIXELS[GRID.box(number).slices])


def kept(path: str, box: Box) -> NDArray[Any] | None:
    """What is kept, since the store has nothing."""
    return read_back(target(path), box)


@given(st.data())
def test_any_region(data: st.DataObject) -> None:
    start = [data.draw(st.integers(0, n - 1)) for n in GRID.shape]
    stop = [data.draw(st.integers(a + 1, n)) for a, n in zip(start, GRID.shape, strict=True)]
    box = Box(tuple(start), tuple(stop))
    with keeping(["a"], PIXELS.nbytes):
        keep_all()
        found = kept("a", box)
        assert found is not None
        assert np.array_equal(found, PIXELS[box.slices])
        found[...] = -1  # one's own
        assert np.array_equal(kept("a", box), PIXELS[box.slices])  # type: ignore[arg-type]


def test_nothing_is_kept_that_nobody_asked_for() -> None:
    keep_all()
    assert kept("a", ALL) is None
    with keeping(["a"], PIXELS.nbytes):
        keep_all("b")
        assert kept("b", ALL) is None
        assert kept("a", ALL) is None, "not written yet"
        keep_all()
        assert kept("a", ALL) is not None
    assert kept("a", ALL) is None, "the run is over"
    with keeping(["a"], 0):
        keep_all()
        assert kept("a", ALL) is None


def test_what_was_written_first_goes_first() -> None:
    last = GRID.box(GRID.count - 1)
    with keeping(["a"], PIXELS.nbytes - 1):
        keep_all()
        keep(target("a"), GRID.count - 1, PIXELS[last.slices])  # again: counts once
        assert kept("a", GRID.box(0)) is None
        assert kept("a", GRID.box(1)) is not None
        assert kept("a", ALL) is None
        assert np.array_equal(kept("a", last), PIXELS[last.slices])  # type: ignore[arg-type]


def test_two_runs_in_one_process() -> None:
    with keeping(["a", "b"], 2 * PIXELS.nbytes):
        with keeping(["a"], PIXELS.nbytes):  # the same array: whoever came first keeps it
            keep_all("a")
            keep_all("b")
        assert kept("a", ALL) is not None
        assert kept("b", ALL) is not None


@pytest.mark.parametrize("pixels", [None, PIXELS[GRID.box(0).slices]])
def test_blank_blocks_are_left_to_who_stores_them(pixels: NDArray[Any] | None) -> None:
    with keeping(["a"], PIXELS.nbytes):
        keep(target("a"), 0, pixels)
        assert (kept("a", GRID.box(0)) is None) == (pixels is None)


def test_runs_that_do_not_end_in_the_order_in_which_they_began() -> None:
    first, second = keeping(["a", "b"], PIXELS.nbytes), keeping(["b", "c"], PIXELS.nbytes)
    first.__enter__()
    second.__enter__()
    keep_all("b")
    first.__exit__(None, None, None)
    assert kept("b", ALL) is None, "it was kept for the first"
    keep_all("c")
    assert kept("c", ALL) is not None
    second.__exit__(None, None, None)
    assert kept("c", ALL) is None


def test_blocks_that_are_too_large_drive_out_no_others() -> None:
    with keeping(["a", "b"], 2 * PIXELS[GRID.box(0).slices].nbytes):
        keep(target("a"), 0, PIXELS[GRID.box(0).slices])
        keep(target("b"), 0, PIXELS)
        assert kept("a", GRID.box(0)) is not None
