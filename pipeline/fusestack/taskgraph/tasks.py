"""What a worker does: compute blocks of a tower, write them, tick them off."""

from __future__ import annotations

import threading
import time
import traceback
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from fusestack.model.clock import seconds_read
from fusestack.model.errors import OutputError
from fusestack.model.recent import keep
from fusestack.model.stage import BlockFailure, Reduction, Written, forget_writers
from fusestack.storage import is_address
from fusestack.storage.kept import forget_kept, forget_last
from fusestack.storage.look import Look, looking
from fusestack.storage.together import each
from fusestack.taskgraph.ahead import Ahead
from fusestack.taskgraph.exhaustion import of_refused_memory
from fusestack.taskgraph.ledger import Ticks, runs_of
from fusestack.taskgraph.parts import Parts, inside, placed
from fusestack.taskgraph.results import LEFT_OUT, BatchResult, StageResult
from fusestack.taskgraph.stop import is_stopped, stop
from fusestack.taskgraph.turns import check_turn, has_turn, keeping_turn, token_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from fusestack.model.geometry import Box
    from fusestack.model.stage import Stage
    from fusestack.taskgraph.batches import Tower

    Pixels = NDArray[Any]

_MOST_READY = 256
_TRACEBACKS_KEPT = 20


def run_batch(tower: Tower, blocks: Sequence[int], run: str, name: str, needs: int, *before: Any) -> BatchResult:
    """Compute and write blocks; a failure becomes a value and the batch goes on.

    Parameters
    ----------
    tower : Tower
    blocks : sequence of int
        Top blocks; all below them that are not ticked off are made first.
    run, name : str
        Of the run, which may be stopped, and of the batch, for its ticks.
    needs : int
        So many of `before` are what it stands on; the others only come first.
    *before
        Results of other tasks.
    """
    if not all(result.has(tower.stages[0].needs) for result in before[:needs]):
        return LEFT_OUT
    work, token = tower.top.target.work, token_of(run)
    with ExitStack() as meanwhile:
        for place in tower.places:
            meanwhile.enter_context(keeping_turn(*place, token))
        with looking(Look() if is_address(work) else None):
            _foresee(tower, run, name)
            if is_stopped(work, run):
                return LEFT_OUT
            try:
                for place in tower.places:
                    check_turn(*place, token)
                _open_anew(run)
                batch = _Batch(tower, run, name)
            except Exception as error:  # of ledgers that cannot be read, of kernels: as if every block had failed
                failed = tuple(_failure(tower.top, block, error) for block in blocks)
                return BatchResult((StageResult(tower.top.key, (), 0.0, 0, 0, failed),))
        batch.make_tops(blocks)
        batch.flush()
    return BatchResult(batch.results(), batch.whole)


def _foresee(tower: Tower, run: str, name: str) -> None:
    """Ask a store together for what a task looks at before its first block."""
    work = tower.top.target.work
    if not is_address(work):
        return

    def ask(what: Callable[[], Any]) -> None:
        with suppress(OSError, OutputError):  # who needs it will say
            what()

    asked: list[Callable[[], Any]] = [partial(is_stopped, work, run)]
    asked += [partial(has_turn, *place, token_of(run)) for place in tower.places]
    asked += [partial(Ticks, stage, name) for stage in tower.stages]
    each(ask, asked, far=True)


def _failure(stage: Stage, block: int, error: Exception) -> BlockFailure:
    exhausted, details = isinstance(error, MemoryError), traceback.format_exc()
    text = of_refused_memory(stage, error) if isinstance(error, MemoryError) else str(error) or type(error).__name__
    return BlockFailure(block, stage.place(block), text, details, isinstance(error, OutputError), exhausted)


_ready: dict[str, None] = {}
_runs: dict[str, None] = {}
_thread = threading.local()


def _let_go(stage: Stage) -> None:
    """Let go of what this thread keeps of another stage."""
    if getattr(_thread, "stage", None) != stage.key:
        forget_kept()
        _thread.stage = stage.key


def _open_anew(run: str) -> None:
    """Forget the writers of other runs: what they found there may have been made anew since."""
    if run not in _runs:
        _runs[run] = None
        forget_writers()


def _get_ready(stage: Stage) -> None:
    """Compile what a stage needs, once in each process."""
    if stage.key not in _ready:
        stage.compute.warm_up()
        if len(_ready) > _MOST_READY:
            _ready.clear()
        _ready[stage.key] = None


@dataclass(frozen=True)
class _Made:
    """A block: whether it is there, and its pixels (None where blank), if they are in memory."""

    there: bool
    in_memory: bool = False
    pixels: Pixels | None = None


_FAILED = _Made(there=False)
_STORED = _Made(there=True)


@dataclass
class _Tally:
    """What was done of one stage so far."""

    done: list[int] = field(default_factory=list)
    seconds: float = 0.0
    bytes: int = 0
    bytes_written: int = 0
    reading: float = 0.0
    writing: float = 0.0
    failed: list[BlockFailure] = field(default_factory=list)


class _Batch:
    """The blocks of one task, made depth first: those below a block before it."""

    def __init__(self, tower: Tower, run: str, name: str) -> None:
        self._tower = tower
        self._run = run
        _let_go(tower.stages[0])
        for stage in tower.stages:
            _get_ready(stage)
        self._far = is_address(tower.top.target.work)
        self._ticks = each(lambda stage: Ticks(stage, name), tower.stages, far=self._far)
        self._tallies = [_Tally() for _ in tower.stages]
        self._lacking: set[int] = set()
        self._mine = threading.Lock()
        self._leaves = Ahead(self._make_leaf, tower.ahead)
        self._leaves_made: set[int] = set()
        self._below = Parts(tower.nestings[0], tower.stages[0])
        self._above = Parts(tower.nesting_above, tower.above)

    def make_tops(self, blocks: Sequence[int]) -> None:
        """Make blocks of the highest stage."""
        level = len(self._tower.stages) - 1
        with self._leaves.of(leaf for block in blocks for leaf in self._below_block(level, block)):
            try:
                for block in blocks:
                    self._make_top(block)
            finally:
                forget_last()

    def _below_block(self, level: int, block: int) -> Iterator[int]:
        """Blocks of the lowest stage that are missing below a block, as `make` comes to them."""
        nesting = self._tower.nestings[level]
        if level == 0:
            if block not in self._ticks[0]:
                yield block
        elif nesting is not None:
            for child in nesting.children(block):
                yield from self._below_block(level - 1, child)

    @property
    def whole(self) -> tuple[str, ...]:
        """Stages of which nothing is lacking."""
        return tuple(stage.key for level, stage in enumerate(self._tower.stages) if level not in self._lacking)

    def _make_top(self, block: int) -> None:
        """Make a block of the highest stage."""
        level = len(self._tower.stages) - 1
        try:
            self.make(level, block)
        except Exception as error:  # a worker must survive any block
            self._lacking.update(range(level + 1))
            self._fail(level, block, error)

    def make(self, level: int, block: int) -> _Made:
        """Make a block, and what is missing below it; nothing more where the run is stopped."""
        made = self._make(level, block)
        if not made.there:
            self._lacking.add(level)
        return made

    def _make(self, level: int, block: int) -> _Made:
        if is_stopped(self._tower.top.target.work, self._run):
            self._lacking.update(range(level + 1))
            return _FAILED
        ticked = block in self._ticks[level]
        if level == 0:  # what a helping thread of this task has made meanwhile is in memory
            return _STORED if ticked and block not in self._leaves_made else self._leaves.result(block)
        nesting, reduction = self._tower.nestings[level], self._tower.stages[level].compute
        if nesting is None:
            raise ValueError("the stages of a tower are nested")
        if not isinstance(reduction, Reduction):
            return self._make_beside(level, block, ticked=ticked)
        image = self._tower.top.target.image
        out: Pixels | None = None
        box = self._tower.stages[level].grid.box(block)
        there, seconds = True, 0.0
        later: list[Box] = []
        for child in nesting.children(block):
            made = self.make(level - 1, child)
            there &= made.there
            part = inside(nesting.part(child), box)
            if ticked or not there or part is None:
                continue
            if not made.in_memory:
                later.append(part)
            else:
                start = time.perf_counter()
                out = placed(out, box, part, reduction.part(made.pixels, part.shape), image)
                seconds += time.perf_counter() - start
        if ticked or not there:
            return _Made(there)

        def whole(_: Box) -> Pixels | None:
            """With the parts whose blocks an earlier run has made."""
            found = out
            for part in later:
                found = placed(found, box, part, reduction(part), image)
            return found

        return self._store(level, block, whole, seconds)

    def _make_beside(self, level: int, block: int, *, ticked: bool) -> _Made:
        """Make a block of another output after that of the one before it, whose thread remembers what it is made of."""
        there = self.make(level - 1, block).there
        if ticked or not there:
            return _Made(there)
        return self._store(level, block, self._tower.stages[level].compute)

    def _make_leaf(self, block: int) -> _Made:
        if is_stopped(self._tower.top.target.work, self._run):
            return _FAILED
        return self._store(0, block, lambda box: self._computed(box, block))

    def _computed(self, box: Box, block: int) -> Pixels | None:
        """Pixels of a block of the lowest stage; of what other tasks left of the level below, if they did."""
        compute = self._tower.stages[0].compute
        return self._below.gather(box, block, compute) if isinstance(compute, Reduction) else compute(box)

    def _store(self, level: int, block: int, compute: Callable[[Box], Pixels | None], seconds: float = 0.0) -> _Made:
        """Compute a block, write it, tick it off; blank ones are not written."""
        stage, tally = self._tower.stages[level], self._tallies[level]
        box = stage.grid.box(block)
        start, read = time.perf_counter(), seconds_read()
        computed = start
        try:
            pixels = compute(box)
            computed = time.perf_counter()
            stored = Written()
            self._check_turn(stage)
            if pixels is not None:
                stored = stage.target.open().write(stage.target.level, box, pixels)
            if level == len(self._tower.stages) - 1:
                self._above.leave(block, pixels)
            self._check_turn(stage)
            keep(stage.target, block, pixels)
            with self._mine:
                if level == 0:
                    self._leaves_made.add(block)
                self._ticks[level].add(block, stored)
            if level == 0:
                self._below.forget(block)
        except Exception as error:  # a worker must survive any block; whoever runs the graph decides what to do
            self._fail(level, block, error)
            return _FAILED
        finally:
            end = time.perf_counter()
            with self._mine:
                tally.seconds += seconds + end - start
                tally.reading += seconds_read() - read
                tally.writing += end - computed if computed > start else 0.0
        with self._mine:
            tally.done.append(block)
            tally.bytes += box.size * stage.target.image.itemsize
            tally.bytes_written += stored.bytes
        return _Made(there=True, in_memory=True, pixels=pixels)

    def _check_turn(self, stage: Stage) -> None:
        """Refuse to go on where a later run has begun to write the image of a stage."""
        target = stage.target
        check_turn(target.work, target.image.path, token_of(self._run))

    def _fail(self, level: int, block: int, error: Exception) -> None:
        failed = self._tallies[level].failed
        failure = _failure(self._tower.stages[level], block, error)
        failed.append(failure if len(failed) < _TRACEBACKS_KEPT else replace(failure, details=""))
        if failure.hopeless:
            stop(self._tower.top.target.work, self._run)

    def flush(self) -> None:
        """Write what is ticked off; where that fails, blocks count as not done."""

        def flush(one: tuple[Stage, Ticks, _Tally]) -> None:
            stage, ticks, tally = one
            try:
                if tally.done:
                    self._check_turn(stage)
                ticks.flush()
            except OSError as error:
                tally.failed += [BlockFailure(b, stage.place(b), str(error), hopeless=True) for b in tally.done]
                tally.done.clear()
                self._lacking.add(self._tower.stages.index(stage))

        each(flush, zip(self._tower.stages, self._ticks, self._tallies, strict=True), far=self._far)

    def results(self) -> tuple[StageResult, ...]:
        """What was done, stage by stage."""
        return tuple(
            StageResult(
                stage.key,
                tuple(runs_of(sorted(t.done))),
                t.seconds,
                t.bytes,
                t.bytes_written,
                tuple(t.failed),
                t.reading,
                t.writing,
            )
            for stage, t in zip(self._tower.stages, self._tallies, strict=True)
        )
