"""Which tasks write what a task reads: from regions, for all blocks of a stage at once."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from fusestack.model.grid import Grid
    from fusestack.model.stage import Along, Reach

    _Ints: TypeAlias = NDArray[np.int64]

_MOST_NEIGHBOURS = 4096
_MOST_EDGES = 64
_TASK_BITS = 32
_AT_ONCE = 2**18
"""Blocks that are looked at together, which bounds the memory."""


def edges(
    reader: Grid, reader_batches: _Ints, written: Grid, written_batches: _Ints, reach: Reach
) -> list[tuple[int, int]] | None:
    """Pairs of a task and one that it waits for.

    Parameters
    ----------
    reader : Grid
        Blocks of the stage that reads.
    reader_batches : int64[blocks]
        Number of the task of each of them, -1 where there is none.
    written : Grid
        Blocks of the array that is read.
    written_batches : int64[blocks]
        Likewise; those without a task are there.
    reach : Reach
        Region of the array that a block reads.

    Returns
    -------
    list of (int, int)
        Task that reads, task that writes; sorted. None where every task reads nearly everything: it waits for the
        stage.
    """
    todo = np.flatnonzero(reader_batches >= 0)
    if not todo.size or not (written_batches >= 0).any():
        return []
    spans = [_spans(reader, written, axis, along) for axis, along in enumerate(reach)]
    widths = [int((last - first).max()) for first, last in spans]
    if math.prod(widths) > _MOST_NEIGHBOURS:
        return None
    found: list[_Ints] = []
    for start in range(0, todo.size, _AT_ONCE):
        some = todo[start : start + _AT_ONCE]
        places = np.unravel_index(some, reader.counts)
        firsts = [first[at] for (first, _), at in zip(spans, places, strict=True)]
        lasts = [last[at] for (_, last), at in zip(spans, places, strict=True)]
        tasks = reader_batches[some] << _TASK_BITS
        for offset in itertools.product(*map(range, widths)):
            at = [first + step for first, step in zip(firsts, offset, strict=True)]
            inside = np.logical_and.reduce([a < last for a, last in zip(at, lasts, strict=True)])
            blocks = np.ravel_multi_index([a[inside] for a in at], written.counts)
            before = written_batches[blocks]
            found.append(np.unique((tasks[inside] | before)[before >= 0]))
    pairs = np.unique(np.concatenate(found))
    if pairs.size > _MOST_EDGES * (len(np.unique(reader_batches[todo])) + len(np.unique(written_batches))):
        return None
    mask = (1 << _TASK_BITS) - 1
    return list(zip((pairs >> _TASK_BITS).tolist(), (pairs & mask).tolist(), strict=True))


def _spans(reader: Grid, written: Grid, axis: int, along: Along | None) -> tuple[_Ints, _Ints]:
    """First and last (exclusive) block of the array along an axis, for each block that reads."""
    ends = np.array(list(_ends(reader, written, axis, along)), dtype=np.int64)
    return ends[:, 0], ends[:, 1]


def _ends(reader: Grid, written: Grid, axis: int, along: Along | None) -> Iterator[tuple[int, int]]:
    size, block, cut = reader.shape[axis], reader.block[axis], written.block[axis]
    for i in range(reader.counts[axis]):
        if along is None:
            yield 0, written.counts[axis]
            continue
        first, last = along.span(i * block, min((i + 1) * block, size), written.shape[axis])
        yield first // cut, -(-last // cut)
