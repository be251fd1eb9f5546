"""Arrays of a dask graph: which chunks a box is made of, and what a task may read."""

from __future__ import annotations

import pickle
from typing import Any

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusestack.model.fingerprint import arrays_of, digest, facts_of
from fusestack.model.geometry import Box
from fusestack.model.graph_array import GraphArray, holding

PIXELS = np.arange(7 * 9 * 11, dtype=np.uint16).reshape(7, 9, 11)


@st.composite
def boxes(draw: Any) -> Box:
    ends = [sorted(draw(st.tuples(st.integers(0, n), st.integers(0, n)))) for n in PIXELS.shape]
    return Box(tuple(a for a, _ in ends), tuple(b for _, b in ends))


@settings(deadline=None)
@given(box=boxes(), chunks=st.tuples(st.integers(1, 7), st.integers(1, 9), st.integers(1, 11)))
def test_the_chunks_of_a_box_are_enough_and_none_too_many(box: Box, chunks: tuple[int, int, int]) -> None:
    collection = da.from_array(PIXELS, chunks=chunks)
    array = pickle.loads(pickle.dumps(GraphArray.of(collection)))
    assert array.collection is None
    held, found = [], array.keys(box)
    for (name, *index), start in found:
        assert name == collection.name
        part = collection.blocks[tuple(index)].compute(scheduler="synchronous")
        assert not Box(start, tuple(a + n for a, n in zip(start, part.shape, strict=True))).intersect(box).is_empty
        held.append((start, part))
    with holding({array.name: held}):
        assert np.array_equal(array.read(box), PIXELS[box.slices])
        if len(held) > 1:
            with holding({array.name: held[1:]}), pytest.raises(RuntimeError, match="this task was not given"):
                array.read(box)
        assert np.array_equal(array.read(box), PIXELS[box.slices])
    if not box.is_empty:
        with pytest.raises(RuntimeError, match="this task was given no part of it"):
            array.read(box)


def test_outside_of_tasks_pixels_are_computed() -> None:
    array = GraphArray.of(da.from_array(PIXELS, chunks=3))
    box = Box((1, 2, 3), (6, 7, 8))
    assert np.array_equal(array.read(box), PIXELS[box.slices])


def test_it_is_what_it_holds() -> None:
    first, same, other = (
        GraphArray.of(da.from_array(pixels, chunks=3)) for pixels in (PIXELS, PIXELS.copy(), PIXELS + 1)
    )
    assert first == same == pickle.loads(pickle.dumps(first))
    assert hash(first) == hash(same)
    assert first != other
    assert digest(facts_of((first, 1))) == digest(facts_of((same, 1))) != digest(facts_of((other, 1)))
    assert arrays_of((first,)) == ()
