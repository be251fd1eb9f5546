"""Blocks cut into tasks: integers only, and nothing is measured, so that a graph is a function of plan and ledger.

A *tower* is a stage, and what its tasks make of its pixels, or of what it was made of, while these are in memory:
levels of a pyramid above it, other outputs. A *batch* is some blocks of the tower's top, and all blocks below them.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from fusestack.model.fingerprint import arrays_of
from fusestack.model.stage import Reduction
from fusestack.storage import is_address
from fusestack.taskgraph.ledger import runs_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from numpy.typing import NDArray

    from fusestack.model.grid import Grid
    from fusestack.model.stage import Stage

    _Bools: TypeAlias = NDArray[np.bool_]
    _Ints: TypeAlias = NDArray[np.int64]

MOST_BATCHES = 2048
"""Of a stage, unless that many workers would have less than `BATCHES_A_WORKER`."""
BATCHES_A_WORKER = 8
TOPS_A_WORKER = 32
"""Top blocks that a tower leaves for every worker: more levels would spare little, and end unevenly."""
_MOST_AHEAD = 8
_BATCHES_A_WORKER_AHEAD = 2
_BATCH_PIXELS = 2**22
_TOWER_PIXELS = 2**30
_PLACES = (0, 3, 4)
"""Axes t, y, x, along which blocks that are made of the same lie at the same places."""


@dataclass(frozen=True)
class Nesting:
    """How the blocks of an array lie in those of the level that is reduced from it.

    Parameters
    ----------
    lower, upper : Grid
    ratio : tuple of int
        Blocks below in one block, along each axis; the last block has all that are left.
    factors : tuple of int
        Pixels below in one pixel, along each axis.
    """

    lower: Grid
    upper: Grid
    ratio: tuple[int, ...]
    factors: tuple[int, ...]

    def children(self, block: int) -> Iterator[int]:
        """Blocks below a block."""
        ends = zip(self.upper.index(block), self.ratio, self.upper.counts, self.lower.counts, strict=True)
        ranges = [range(i * r, min((i + 1) * r, n) if i < m - 1 else n) for i, r, m, n in ends]
        return (self.lower.number(index) for index in itertools.product(*ranges))

    def part(self, child: int) -> tuple[slice, ...]:
        """Pixels of the level that a block below becomes; empty where a block holds only what a level leaves out."""
        box = self.lower.box(child)
        found = []
        for start, stop, factor, size, count in zip(
            box.start, box.stop, self.factors, self.upper.shape, self.lower.counts, strict=True
        ):
            found.append(slice(0, size) if count == 1 else slice(start // factor, max(start, stop) // factor))
        return tuple(slice(s.start, min(s.stop, n)) for s, n in zip(found, self.upper.shape, strict=True))


def nesting(upper: Stage) -> Nesting | None:
    """How a stage's blocks hold those of the level below, or None: they cut one another, or there is no such level."""
    compute = upper.compute
    if not isinstance(compute, Reduction):
        return None
    level = compute.below.target.image.levels[compute.below.target.level]
    lower, grid = level.grid, upper.grid
    factors = (1, 1, *compute.factors)
    ratio = []
    axes = zip(lower.block, lower.counts, grid.block, grid.counts, factors, strict=True)
    for below, below_count, block, count, factor in axes:
        if below_count > 1 and below % factor:
            return None
        if count > 1 and (block * factor) % below:
            return None
        ratio.append(below_count if count == 1 else block * factor // below)
    return Nesting(lower, grid, tuple(ratio), factors)


def beside(first: Stage, second: Stage) -> Nesting | None:
    """How the blocks of two stages lie over one another that are made of the same; None where they do not."""
    if first.compute.shares is None or first.compute.shares != second.compute.shares:
        return None
    a, b = first.grid, second.grid
    if a.counts != b.counts or any(a.shape[i] != b.shape[i] or a.block[i] != b.block[i] for i in _PLACES):
        return None
    return Nesting(a, b, (1,) * len(a.counts), (1,) * len(a.counts))


@dataclass(frozen=True)
class Tower:
    """Stages that a task makes together.

    Parameters
    ----------
    stages : tuple of Stage
        The lowest one first; each but that one is reduced from the one before it, or made of the same (`beside`).
    above : Stage or None
        The level that other tasks reduce from the highest one, from what is left for them.
    ahead : int
        Blocks of the lowest stage that a task has under way at a time.
    """

    stages: tuple[Stage, ...]
    above: Stage | None = None
    ahead: int = 1

    @property
    def top(self) -> Stage:
        """The highest stage."""
        return self.stages[-1]

    @cached_property
    def places(self) -> tuple[tuple[str, str], ...]:
        """Work folders and paths of the images that its stages write, each once."""
        return tuple(dict.fromkeys((stage.target.work, stage.target.image.path) for stage in self.stages))

    @cached_property
    def nestings(self) -> tuple[Nesting | None, ...]:
        """For each stage, how the blocks below lie in its blocks."""
        lower = (None, *self.stages)
        return tuple(
            (None if below is None else beside(below, stage)) or nesting(stage)
            for below, stage in zip(lower, self.stages, strict=False)
        )

    @cached_property
    def nesting_above(self) -> Nesting | None:
        """How top blocks lie in those of the stage above."""
        return None if self.above is None else nesting(self.above)

    def homes(self, level: int) -> _Ints:
        """For every block of a stage the top block that it belongs to."""
        axes = [np.arange(n) for n in self.stages[level].grid.counts]
        for found in self.nestings[level + 1 :]:
            if found is None:
                raise ValueError("the stages of a tower are nested")
            axes = [
                np.minimum(axis // r, n - 1) for axis, r, n in zip(axes, found.ratio, found.upper.counts, strict=True)
            ]
        strides = np.cumprod([1, *self.top.grid.counts[:0:-1]])[::-1]
        return sum(a * int(s) for a, s in zip(np.ix_(*axes), strides, strict=True)).ravel()  # type: ignore[union-attr]


@dataclass(frozen=True)
class Layer:
    """The tasks of a tower.

    Parameters
    ----------
    tower : Tower
    batches : tuple of sequence of int
        Top blocks of each task.
    missing : tuple of bool arrays
        For each stage the blocks that are to be done.
    """

    tower: Tower
    batches: tuple[Sequence[int], ...]
    missing: tuple[_Bools, ...]

    def batch_of(self, level: int) -> _Ints:
        """For every block of a stage the number of its task; -1 where it is not to be done."""
        number = np.full(self.tower.top.grid.count, -1, dtype=np.int64)
        for i, blocks in enumerate(self.batches):
            number[np.asarray(blocks)] = i
        return np.where(self.missing[level], number[self.tower.homes(level)], -1)


def towers(stages: Sequence[Stage], *, workers: int, memory: int | None) -> list[Tower]:
    """Stages that tasks make together.

    Levels go with the blocks below them as long as every worker has enough to do, a top block is over in some seconds,
    and all blocks of a task fit its memory.

    Parameters
    ----------
    stages : sequence of Stage
        In an order in which each comes after those it reads.
    workers : int
    memory : int or None
        Bytes that a task may use; None keeps every stage by itself.
    """
    found: list[list[Stage]] = []
    for stage in stages:
        place = next((one for one in found if memory is not None and _goes_with(one, stage, workers, memory)), None)
        if place is None:
            found.append([stage])
        else:
            place.append(stage)
    return [Tower(tuple(one), _above(one[-1], stages), _ahead(one, memory)) for one in found]


def _ahead(stages: Sequence[Stage], memory: int | None) -> int:
    """How many blocks a task has under way: several where they wait for a store, as many as its memory holds."""
    lowest = stages[0]
    if memory is None or lowest.held_bytes or not any(map(_is_far, stages)) or _are_beside(stages):
        return 1
    return max(1, min(_MOST_AHEAD, 1 + (memory - tower_bytes(stages)) // max(1, lowest.peak_bytes)))


def _are_beside(stages: Sequence[Stage]) -> bool:
    """Whether stages are made of what one thread remembers."""
    return any(beside(*pair) is not None for pair in itertools.pairwise(stages))


def _is_far(stage: Stage) -> bool:
    """Whether a stage reads or writes behind an address."""
    read = [array.target.image.path for array in arrays_of(stage.compute)]
    return any(map(is_address, [stage.target.image.path, *read, *stage.compute.paths]))


def _above(top: Stage, stages: Sequence[Stage]) -> Stage | None:
    for stage in stages:
        if isinstance(stage.compute, Reduction) and stage.compute.below.key == top.key:
            return stage if nesting(stage) is not None else None
    return None


def _goes_with(tower: Sequence[Stage], stage: Stage, workers: int, memory: int) -> bool:
    below = tower[-1]
    if beside(below, stage) is not None:
        return tower_bytes([*tower, stage]) <= memory
    if not isinstance(stage.compute, Reduction) or stage.compute.below.key != below.key or nesting(stage) is None:
        return False
    if stage.grid.count < min(TOPS_A_WORKER * workers, below.grid.count):
        return False
    if math.prod(tower[0].grid.shape) > _TOWER_PIXELS * stage.grid.count:
        return False
    return tower_bytes([*tower, stage]) <= memory


def tower_bytes(stages: Sequence[Stage]) -> int:
    """Memory that a task needs at most: what a block of the lowest stage needs, and one block of each level above.

    Chunks of arrays of a dask graph are held for all blocks of the task from its beginning.
    """
    held = [math.prod(stage.grid.block) * stage.target.image.itemsize for stage in stages[1:]]
    chunks = 0
    if stages[0].held_bytes:
        chunks = (int(np.bincount(Tower(tuple(stages)).homes(0)).max()) - 1) * stages[0].held_bytes
    return max(stages[0].peak_bytes, *(3 * size for size in held), 0) + sum(held) + chunks


def cut(tower: Tower, missing: Sequence[_Bools], *, workers: int, failed: Collection[int] = ()) -> Layer:
    """Cut what is missing of a tower into about equal tasks; those that hold chunks of arrays make one top block.

    Parameters
    ----------
    tower : Tower
    missing : sequence of bool arrays
        For each stage the blocks that are to be done.
    workers : int
    failed : collection of int
        Top blocks that failed before: tasks of their own, unless they are very many.
    """
    tops = np.zeros(tower.top.grid.count, dtype=bool)
    for level, blocks in enumerate(missing):
        tops[tower.homes(level)[blocks]] = True
    alone = [block for block in sorted(failed) if tops[block]] if len(failed) <= MOST_BATCHES else []
    tops[alone] = False
    numbers = np.flatnonzero(tops)
    most = max(MOST_BATCHES, BATCHES_A_WORKER * workers)
    pixels = math.prod(tower.stages[0].grid.block) * tower.stages[0].grid.count // tower.top.grid.count
    fewest = BATCHES_A_WORKER if tower.ahead == 1 else _BATCHES_A_WORKER_AHEAD
    enough = max(fewest * workers, numbers.size * pixels // (_BATCH_PIXELS * tower.ahead))
    size = 1 if tower.stages[0].held_bytes else max(1, -(-numbers.size // min(most, enough)))
    batches = [_compact(numbers[i : i + size]) for i in range(0, numbers.size, size)]
    return Layer(tower, (*((block,) for block in alone), *batches), tuple(missing))


def _compact(numbers: _Ints) -> Sequence[int]:
    """A range where the numbers are neighbours."""
    runs = runs_of(numbers)
    return runs[0] if len(runs) == 1 else tuple(numbers.tolist())
