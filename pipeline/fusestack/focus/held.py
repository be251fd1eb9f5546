"""What a task does of a lazy stack: the compute of a stage, which finds what it reads in what its task was given."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fusestack.focus.statistics import StoredStatistic
from fusestack.model.geometry import Box
from fusestack.model.graph_array import GraphArray, holding
from fusestack.model.stage import StoredArray

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from fusestack.model.stage import Compute


@dataclass(frozen=True)
class HeldArray(GraphArray):
    """What a task was given of an array; as a store gives it: in order, and one's own to write to."""

    def read(self, box: Box) -> NDArray[Any]:
        """Pixels of a box."""
        return np.array(super().read(box), order="C")

    def __hash__(self) -> int:
        return hash(self.name)

    def __reduce__(self) -> tuple[Any, ...]:
        return HeldArray, (self.name, self.shape, self.dtype, self.chunks)


@dataclass(frozen=True)
class HeldStatistic:
    """A statistic [t, c, n] that a task was given."""

    array: GraphArray

    def of(self, t: int, c: int) -> NDArray[np.float64]:
        """See `fusestack.planning.plan.Statistic`."""
        return np.array(self.array.read(Box((t, c, 0), (t + 1, c + 1, self.array.shape[2])))[0, 0])


def held(value: Any) -> Any:
    """A compute, or any of its fields, that finds in its task what it would read from storage."""
    return exchanged(value, _held)


def _held(value: Any) -> Any:
    match value:
        case StoredStatistic():
            t, c, _, _, n = value.array.shape
            return HeldStatistic(GraphArray(value.array.key, (t, c, n), "float64", ()))
        case StoredArray():
            return HeldArray(value.key, value.shape, value.dtype, ())
    return value


def exchanged(value: Any, handle: Callable[[Any], Any]) -> Any:
    """A compute, or any of its fields, with other handles of what it reads.

    Parameters
    ----------
    value
    handle : callable
        Gives another handle for a `StoredArray` or a `StoredStatistic`, and anything else as it is.
    """
    if (found := handle(value)) is not value:
        return found
    if isinstance(value, tuple):
        return tuple(exchanged(item, handle) for item in value)
    if not is_dataclass(value) or isinstance(value, type):
        return value
    changes = {field.name: exchanged(getattr(value, field.name), handle) for field in fields(value) if field.init}
    changes = {name: new for name, new in changes.items() if new is not getattr(value, name)}
    return replace(value, **changes) if changes else value


def statistics_of(value: Any) -> dict[str, StoredStatistic]:
    """Statistics among the fields of a compute, by the keys of the stages that make them."""
    if isinstance(value, StoredStatistic):
        return {value.array.key: value}
    if isinstance(value, tuple):
        parts = [statistics_of(item) for item in value]
    elif is_dataclass(value) and not isinstance(value, type):
        parts = [statistics_of(getattr(value, field.name)) for field in fields(value)]
    else:
        parts = []
    return {key: found for part in parts for key, found in part.items()}


@dataclass(frozen=True)
class Given:
    """One array that tasks are given a part of.

    Parameters
    ----------
    name : str
    begins : tuple of tuple of int
        Along every axis the first pixels of the parts, by the block of the task; one where all blocks have the same.
    """

    name: str
    begins: tuple[tuple[int, ...], ...]

    def part(self, block: Sequence[int], pixels: NDArray[Any]) -> tuple[tuple[int, ...], NDArray[Any]]:
        """Where a part begins, and the part."""
        start = (begins[i] if len(begins) > 1 else begins[0] for begins, i in zip(self.begins, block, strict=False))
        return tuple(start), pixels


@dataclass(frozen=True)
class BlockTask:
    """What one task does: a block of a stage, or a part of a statistic, of what it is given.

    Parameters
    ----------
    compute : Compute
        See `held`.
    given : tuple of Given
        In the order of the arguments.
    begins, ends : tuple of tuple of int
        Along every axis the first pixels of the blocks, and those behind the last.
    """

    compute: Compute
    given: tuple[Given, ...]
    begins: tuple[tuple[int, ...], ...]
    ends: tuple[tuple[int, ...], ...]

    def __call__(self, block: tuple[int, ...], *arrays: NDArray[Any]) -> NDArray[Any]:
        """Compute the block; the arguments are parts of arrays."""
        parts = {one.name: [one.part(block, pixels)] for one, pixels in zip(self.given, arrays, strict=True)}
        start, stop = (
            tuple(edges[i] for edges, i in zip(axes, block, strict=False)) for axes in (self.begins, self.ends)
        )
        with holding(parts):
            return self.made(Box(start, stop))

    def made(self, box: Box) -> NDArray[Any]:
        """Pixels of the block."""
        found = self.compute(box)
        if found is None:
            raise ValueError("stages of a stack have no blank blocks")
        return found


@dataclass(frozen=True)
class MeasureTask(BlockTask):
    """A part of a statistic: numbers [t, c, 1, 1, 1, n] of a tile of all its slices."""

    def made(self, box: Box) -> NDArray[Any]:
        """Numbers of the channels of a tile."""
        statistic: Any = self.compute
        t, first = box.start[:2]
        found = [
            statistic.measure(Box((t, c, *box.start[2:]), (t + 1, c + 1, *box.stop[2:])))
            for c in range(first, box.stop[1])
        ]
        return np.asarray(found, dtype=np.float64)[None, :, None, None, None]
