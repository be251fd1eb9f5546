"""What every pixel source promises; a format is a subclass that makes an example and says how it is damaged."""

from __future__ import annotations

import multiprocessing
import pickle
import random
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from fusestack.model.errors import InputError
from fusestack.model.geometry import Box
from fusestack.model.stage import resolve
from fusestack.sources.base import open_source

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from fusestack.model.view import SourceRef


@dataclass(frozen=True)
class Example:
    """A file and what it holds.

    Parameters
    ----------
    ref : SourceRef
    arrays : tuple of array
        Expected pixels of each level, z, y, x.
    factors : tuple of (float, float, float)
        z, y, x.
    damage : callable
        Overwrites stored pixels of one level, so that they cannot be decoded; None where any bytes are pixels.
    """

    ref: SourceRef
    arrays: tuple[NDArray[Any], ...]
    factors: tuple[tuple[float, float, float], ...] = ((1.0, 1.0, 1.0),)
    damage: Callable[[int], None] | None = None


def pixels(shape, dtype="uint16", seed=0):
    """Random pixels of the whole range of a type, smooth enough to be compressed."""
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.normal(100, 1e4, shape).astype(dtype)
    info = np.iinfo(dtype)
    found = rng.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)
    found[..., : shape[-1] // 3] = 7
    return found


def levels_of(full, factors):
    """Levels of an array; which pixels they hold does not matter here, only that they differ."""
    return tuple(full[tuple(slice(None, None, int(f)) for f in factor)] // (i + 1) for i, factor in enumerate(factors))


def random_boxes(shape, count, seed=1):
    """Boxes of at least one pixel inside an array."""
    rng = random.Random(seed)
    for _ in range(count):
        start = tuple(rng.randrange(n) for n in shape)
        yield Box(start, tuple(rng.randint(a + 1, n) for a, n in zip(start, shape, strict=True)))


def open_fresh(ref):
    """Open a source past the cache of the process."""
    return resolve(ref.reader)(ref.path, **dict(ref.options))


def assert_refused(ref, *words):
    """Assert that a source cannot be opened, and that the message has the path and some words."""
    with pytest.raises(InputError) as caught:
        open_fresh(ref)
    message = str(caught.value)
    assert "\n" not in message
    for word in (ref.path, *words):
        assert word in message


def assert_cuts_noticed(ref, arrays, cut_path, lengths):
    """Cut a file at many lengths: each time it is refused or, where nothing of use was lost, read as it was."""
    whole = cut_path.read_bytes()
    refused = 0
    for length in lengths(len(whole)):
        cut_path.write_bytes(whole[:length])
        message = None
        try:
            source = open_fresh(ref)
            found = [source.read(i, Box.of_shape(level.shape)) for i, level in enumerate(source.levels)]
        except InputError as error:
            message = str(error)
        if message is None:
            assert [a.tobytes() for a in found] == [np.ascontiguousarray(a).tobytes() for a in arrays], length
        else:
            assert ref.path in message
            refused += 1
    cut_path.write_bytes(whole)
    return refused


def read_elsewhere(payload, level, box):
    """Open a pickled reference and read, in another process."""
    return open_source(pickle.loads(payload)).read(level, box)


class SourceContract:
    """Subclass it with a fixture `example`."""

    @pytest.fixture
    def example(self, tmp_path) -> Example:
        raise NotImplementedError

    def test_levels(self, example):
        source = open_source(example.ref)
        assert [level.shape for level in source.levels] == [array.shape for array in example.arrays]
        assert tuple(level.factors for level in source.levels) == example.factors
        assert source.dtype == example.arrays[0].dtype
        assert source.dtype.isnative
        for level in source.levels:
            assert all(isinstance(n, int) and n >= 1 for n in level.chunks + level.shape)

    def test_whole_levels(self, example):
        source = open_fresh(example.ref)
        for i, array in enumerate(example.arrays):
            found = source.read(i, Box.of_shape(array.shape))
            assert found.dtype == source.dtype
            assert found.dtype.isnative
            assert found.flags.c_contiguous
            assert found.tobytes() == np.ascontiguousarray(array).tobytes()

    def test_random_boxes(self, example):
        source = open_fresh(example.ref)
        for i, array in enumerate(example.arrays):
            for box in random_boxes(array.shape, 25):
                found = source.read(i, box)
                assert found.flags.c_contiguous
                assert found.flags.writeable
                np.testing.assert_array_equal(found, array[box.slices], strict=True)

    def test_edges(self, example):
        source = open_fresh(example.ref)
        array = example.arrays[0]
        first, last = Box((0, 0, 0), (1, 1, 1)), Box(tuple(n - 1 for n in array.shape), array.shape)
        assert source.read(0, first)[0, 0, 0] == array[0, 0, 0]
        assert source.read(0, last)[0, 0, 0] == array[-1, -1, -1]
        empty = source.read(0, Box((0, 0, 0), (0, *array.shape[1:])))
        assert empty.shape == (0, *array.shape[1:])
        assert empty.dtype == source.dtype

    def test_stored_chunk(self, example):
        source = open_fresh(example.ref)
        for i, array in enumerate(example.arrays):
            box = source.stored_chunk(i)
            assert not box.is_empty
            assert all(n <= most for n, most in zip(box.shape, source.levels[i].chunks, strict=True))
            assert np.array_equal(source.read(i, box), array[box.slices])

    def test_boxes_outside_are_mistakes_of_the_caller(self, example):
        source = open_fresh(example.ref)
        z, y, x = example.arrays[0].shape
        for level, box in (
            (0, Box((0, 0, 0), (z + 1, y, x))),
            (0, Box((-1, 0, 0), (z, y, x))),
            (0, Box((0, 0, 1), (z, y, 0))),
            (0, Box((0, 0), (y, x))),
            (len(example.arrays), Box((0, 0, 0), (1, 1, 1))),
            (-1, Box((0, 0, 0), (1, 1, 1))),
        ):
            with pytest.raises(ValueError, match="level"):
                source.read(level, box)

    def test_threads(self, example):
        array = example.arrays[0]
        boxes = list(random_boxes(array.shape, 40, seed=2))
        source = open_fresh(example.ref)
        with ThreadPoolExecutor(8) as pool:
            for box, found in zip(boxes, pool.map(lambda box: source.read(0, box), boxes), strict=True):
                assert np.array_equal(found, array[box.slices])

    def test_another_process(self, example):
        array = example.arrays[-1]
        box = next(random_boxes(array.shape, 1, seed=3))
        open_source(example.ref).read(0, Box((0, 0, 0), (1, 1, 1)))
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            found = pool.submit(read_elsewhere, pickle.dumps(example.ref), len(example.arrays) - 1, box).result()
        assert np.array_equal(found, array[box.slices])

    def test_damage(self, example):
        if example.damage is None:
            pytest.skip("any bytes are pixels")
        for i in range(len(example.arrays)):
            example.damage(i)
            source = open_fresh(example.ref)  # opening looks at no pixel
            with pytest.raises(InputError, match="restore") as caught:
                source.read(i, Box.of_shape(example.arrays[i].shape))
            assert example.ref.path in str(caught.value)
            for other, array in enumerate(example.arrays[i + 1 :], i + 1):  # a level is read alone
                assert np.array_equal(source.read(other, Box.of_shape(array.shape)), array)

    def test_missing(self, example):
        assert_refused(replace(example.ref, path=example.ref.path + "-gone"), "no such file")
