"""Arrays that tasks of a dask graph make: who reads one, in a task, was given the chunks that it reads."""

from __future__ import annotations

import itertools
import math
import threading
from bisect import bisect_left, bisect_right
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from fusestack.model.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from fusestack.model.geometry import Box


@dataclass(frozen=True)
class LostChunk:
    """A chunk that could not be made: a value, so that the blocks that read it fail, and no others.

    Parameters
    ----------
    error : str
        What went wrong.
    details : str
        Traceback.
    shape : tuple of int
    """

    error: str
    details: str = field(default="", repr=False)
    shape: tuple[int, ...] = ()


Held: TypeAlias = "tuple[tuple[int, ...], NDArray[Any] | LostChunk]"
"""A part of an array: where it begins, and its pixels."""

_task = threading.local()


@dataclass(frozen=True)
class GraphArray:
    """An array of a dask graph, as computes name it; small where it travels, since its graph stays behind.

    Parameters
    ----------
    name : str
        Of the dask array, which says what it holds.
    shape : tuple of int
    dtype : str
    chunks : tuple of tuple of int
        Sizes along every axis, as dask has them.
    collection : dask.array.Array or None
        None in tasks, which are given chunks (`holding`).
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    chunks: tuple[tuple[int, ...], ...] = field(repr=False)
    collection: Any = field(default=None, compare=False, repr=False)

    @classmethod
    def of(cls, collection: Any) -> GraphArray:
        """Name a dask array, whose chunks have known sizes."""
        shape, chunks = (tuple(int(n) for n in collection.shape), collection.chunks)
        return cls(collection.name, shape, collection.dtype.name, chunks, collection)

    def __hash__(self) -> int:
        return hash(self.name)

    def __str__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[Any, ...]:
        return GraphArray, (self.name, self.shape, self.dtype, self.chunks)

    def facts(self) -> str:
        """What its pixels depend on: dask names arrays after that."""
        return self.name

    def arrays(self) -> tuple[()]:
        """No stage writes it."""
        return ()

    @cached_property
    def _starts(self) -> tuple[list[int], ...]:
        return tuple(np.cumsum((0, *sizes)).tolist() for sizes in self.chunks)

    @property
    def chunk_shape(self) -> tuple[int, ...]:
        """Largest chunk."""
        return tuple(max(sizes) for sizes in self.chunks)

    def keys(self, box: Box) -> list[tuple[tuple[Any, ...], tuple[int, ...]]]:
        """Keys of the chunks that a box is made of, each with its first pixel."""
        if box.is_empty:
            return []
        ranges = [
            range(bisect_right(starts, low) - 1, bisect_left(starts, high))
            for starts, low, high in zip(self._starts, box.start, box.stop, strict=True)
        ]
        return [
            ((self.name, *index), tuple(starts[i] for starts, i in zip(self._starts, index, strict=True)))
            for index in itertools.product(*ranges)
        ]

    def chunk_at(self, start: Sequence[int]) -> tuple[int, ...] | None:
        """Shape of the chunk that begins there; None where the cut is not known."""
        if not self.chunks:
            return None
        found = zip(self.chunks, self._starts, start, strict=True)
        return tuple(sizes[int(np.searchsorted(starts, at))] for sizes, starts, at in found)

    def held_bytes(self, box: Box) -> int:
        """Memory of the chunks that a box is made of."""
        if box.is_empty:
            return 0
        sides = (
            starts[bisect_left(starts, high)] - starts[bisect_right(starts, low) - 1]
            for starts, low, high in zip(self._starts, box.start, box.stop, strict=True)
        )
        return math.prod(sides) * np.dtype(self.dtype).itemsize

    def read(self, box: Box) -> NDArray[Any]:
        """Pixels of a box, of what the task holds; outside of tasks they are computed.

        Raises
        ------
        InputError
            If a chunk that it reads could not be made.
        RuntimeError
            If the task was not given what it reads: a mistake of whoever made the graph.
        """
        parts = getattr(_task, "held", {}).get(self.name)
        if parts is not None:
            return _joined(self, parts, box)
        if self.collection is None:
            raise RuntimeError(f"{self.name}: this task was given no part of it")
        found: NDArray[Any] = np.asarray(self.collection[box.slices].compute(scheduler="threads"))
        return found


def checked(pixels: Any, shape: tuple[int, ...] | None, dtype: str) -> NDArray[Any] | LostChunk:
    """A chunk that is what its array says; functions of people may give something else.

    Parameters
    ----------
    pixels : array, LostChunk or anything
    shape : tuple of int or None
        None where it may have any.
    dtype : str
    """
    if isinstance(pixels, LostChunk):
        return pixels if shape is None else replace(pixels, shape=shape)
    lost = (0,) if shape is None else shape
    if isinstance(pixels, np.ma.MaskedArray):
        return LostChunk("it is a masked array; fill it: dask.array.ma.filled(array, value)", shape=lost)
    try:
        found: NDArray[Any] = np.asarray(pixels)
    except Exception as error:  # of array types of other libraries
        return LostChunk(f"it is no array of NumPy ({error}); convert it", shape=lost)
    if shape is not None and found.shape != shape:
        said, real = (" x ".join(map(str, sizes)) or "no" for sizes in (shape, found.shape))
        return LostChunk(f"it has {real} pixels, its array says {said}; say the right chunks=", shape=lost)
    if found.dtype.newbyteorder("=") != np.dtype(dtype):
        kinds = f"it is {found.dtype.name}, its array says {dtype}"
        return LostChunk(f"{kinds}; say the right dtype=, or convert it with astype", shape=lost)
    return found


def _joined(array: GraphArray, parts: Sequence[Held], box: Box) -> NDArray[Any]:
    """A box of what is held; a view where one part has all of it."""
    out: NDArray[Any] | None = None
    filled = 0
    for start, given in parts:
        pixels = checked(given, array.chunk_at(start), array.dtype)
        low = [max(a, s) for a, s in zip(box.start, start, strict=True)]
        high = [min(b, s + n) for b, s, n in zip(box.stop, start, pixels.shape, strict=True)]
        if any(a >= b for a, b in zip(low, high, strict=True)):
            continue
        if isinstance(pixels, LostChunk):
            error = InputError(f"{array.name}: its chunk at {start} could not be made: {pixels.error}")
            error.add_note(pixels.details)
            raise error
        found = pixels[tuple(slice(a - s, b - s) for a, b, s in zip(low, high, start, strict=True))]
        if found.shape == box.shape:
            return found
        out = np.empty(box.shape, array.dtype) if out is None else out
        out[tuple(slice(a - s, b - s) for a, b, s in zip(low, high, box.start, strict=True))] = found
        filled += found.size
    if box.is_empty:
        return np.empty(box.shape, array.dtype)
    if out is None or filled != math.prod(box.shape):
        raise RuntimeError(f"{array.name}: this task was not given {box}")
    return out


def unite(found: dict[GraphArray, Box], more: Mapping[GraphArray, Box]) -> None:
    """Add to what is read of arrays; of each the smallest box that holds both."""
    for array, box in more.items():
        found[array] = found[array].union(box) if array in found else box


@contextmanager
def holding(held: Mapping[str, Sequence[Held]]) -> Iterator[None]:
    """Give this thread parts of arrays by name, disjoint ones, for what it computes meanwhile."""
    before = getattr(_task, "held", {})
    _task.held = {**before, **held}
    try:
        yield
    finally:
        _task.held = before
