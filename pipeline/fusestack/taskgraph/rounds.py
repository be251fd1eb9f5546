"""Rounds: one graph of all that is missing, then others of what failed, until retries are used up."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from fusestack.model.errors import BlockError
from fusestack.model.stage import BlockFailure
from fusestack.taskgraph.departures import WorkerLeft
from fusestack.taskgraph.events import BlocksEnded, Noticed, StageEnded
from fusestack.taskgraph.exhaustion import Exhaustion, OutOfMemory, of_ended_worker
from fusestack.taskgraph.job import Todo, build_graph, tick_name
from fusestack.taskgraph.ledger import Ticks, ledger_of, runs_of
from fusestack.taskgraph.results import BatchResult
from fusestack.taskgraph.stop import stop
from fusestack.taskgraph.units import Ended

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fusestack.model.stage import Stage
    from fusestack.taskgraph.chunks import ChunkTasks
    from fusestack.taskgraph.clusters import Backend
    from fusestack.taskgraph.events import Listener
    from fusestack.taskgraph.job import Key, TaskGraph
    from fusestack.taskgraph.ledger import Ledger
    from fusestack.taskgraph.results import StageResult
    from fusestack.taskgraph.units import Unit

    Block: TypeAlias = tuple[str, int]
    _Bools: TypeAlias = NDArray[np.bool_]


_TRACEBACKS_KEPT = 20
_MOST_IN_VAIN = 10
_KEPT = "what is done is kept, running again continues"


@dataclass
class StageOutcome:
    """What became of a stage.

    Parameters
    ----------
    computed : int
        Blocks that were made.
    retries : int
        How many times a block was tried again.
    bytes_written : int
    failed : dict of int to BlockFailure
        Blocks that failed after all retries.
    begun, ended : float
        When the first task began and the last one came back, in seconds; 0 where none did.
    working, reading, writing : float
        Seconds of all workers together, and what of them was reading and writing.
    """

    computed: int = 0
    retries: int = 0
    bytes_written: int = 0
    failed: dict[int, BlockFailure] = field(default_factory=dict)
    begun: float = 0.0
    ended: float = 0.0
    working: float = 0.0
    reading: float = 0.0
    writing: float = 0.0

    @property
    def seconds(self) -> float:
        """From its first task to its last."""
        return self.ended - self.begun


class Refused(Exception):
    """The store refuses: nothing more is to be tried."""

    def __init__(self, failure: BlockFailure) -> None:
        super().__init__(failure.error)
        self.failure = failure


def run_units(
    units: Sequence[Unit],
    backend: Backend,
    *,
    memory: int,
    retries: int,
    listener: Listener,
    outcomes: dict[str, StageOutcome] | None = None,
    ledgers: dict[str, Ledger] | None = None,
    chunks: ChunkTasks | None = None,
    token: str = "",
) -> tuple[list[Ended], dict[str, StageOutcome]]:
    """Make everything that is missing of some units.

    Parameters
    ----------
    units : sequence of Unit
    backend : Backend
        Who runs the graphs.
    memory : int
        Bytes for one task.
    retries : int
        How often a failed block is tried again.
    listener : callable
        Takes the events.
    outcomes : dict, optional
        Is filled while the rounds go on, for whoever has to report although they end early.
    ledgers : dict of str to Ledger, optional
        Of all stages, by their keys, where they have been read already.
    chunks : ChunkTasks, optional
        Of the arrays of dask graphs that stages read.
    token : str
        Of the run, see `build_graph`.

    Returns
    -------
    list of Ended
        What became of each unit.
    dict of str to StageOutcome
        By the keys of the stages.

    Raises
    ------
    Refused
        If the store refuses.
    BlockError
        If the cluster is lost.
    """
    outcomes = {} if outcomes is None else outcomes
    rounds = _Rounds(units, backend, memory, retries, listener, outcomes, ledgers, chunks, token)
    return rounds.run(), rounds.outcomes


class _Rounds:
    """What is known between two graphs."""

    def __init__(
        self,
        units: Sequence[Unit],
        backend: Backend,
        memory: int,
        retries: int,
        listener: Listener,
        outcomes: dict[str, StageOutcome],
        ledgers: dict[str, Ledger] | None,
        chunks: ChunkTasks | None,
        token: str,
    ) -> None:
        self._units, self._backend, self._memory, self._chunks = units, backend, memory, chunks
        self._token = token
        self._retries, self._listener = retries, listener
        self._stages: dict[str, Stage] = {stage.key: stage for unit in units for stage in unit.stages}
        self._ledgers = ledgers or {key: ledger_of(stage) for key, stage in self._stages.items()}
        self._attempts: Counter[Block] = Counter()
        self._failures: dict[Block, BlockFailure] = {}
        self._suspects: dict[Block, None] = {}
        self._dead: set[Key] = set()
        self._deaths = 0
        self._left, self._in_vain = False, 0
        self._runs: list[str] = []
        self._lost = False
        self._memory_known = Exhaustion(backend.workers, backend.processes, lambda text: listener(Noticed(text)))
        self._open = {key for key, ledger in self._ledgers.items() if not ledger.complete}
        self._ended = [Ended(complete=False)] * len(units)
        self.outcomes = outcomes
        self.outcomes |= {key: StageOutcome() for key in self._stages}

    def run(self) -> list[Ended]:
        try:
            while True:
                alone = list(self._suspects)
                self._suspects, self._dead, self._left = {}, set(), False
                before = self._finished
                self._one(self._todo(alone))
                self._in_vain = self._in_vain + 1 if self._left and self._finished == before else 0
                if self._in_vain > _MOST_IN_VAIN:
                    raise BlockError(f"workers leave before a block is done; {_KEPT}")
                self._deaths += bool(self._dead)
                if self._deaths > self._retries:
                    raise BlockError(f"{', '.join(sorted(key[0] for key in self._dead))}: the worker died; {_KEPT}")
                if not (self._suspects or self._dead or self._left or self._may_go_on(alone)):
                    break
        finally:
            if self._lost:  # a worker that was given up may still be at it
                self._stop()
            for key in sorted(self._open, key=list(self._stages).index):
                if self.outcomes[key].computed or self.outcomes[key].failed:
                    self._end_stage(key)
        return self._ended

    @property
    def _finished(self) -> int:
        """Blocks that are there, and units that have ended."""
        return sum(ledger.finished for ledger in self._ledgers.values()) + sum(one.complete for one in self._ended)

    def _may_go_on(self, alone: Sequence[Block]) -> bool:
        """Whether another round can make more: after one for suspects, or where failed blocks have retries left."""
        missing = any(not ledger.complete for ledger in self._ledgers.values())
        again = any(
            not self._ledgers[key].done[block] and self._attempts[key, block] <= self._retries
            for key, block in self._failures
        )
        return again or (bool(alone) and (missing or not all(one.complete for one in self._ended)))

    def _todo(self, alone: Sequence[Block]) -> Todo:
        missing = {key: ~ledger.done for key, ledger in self._ledgers.items()}
        failed: dict[str, set[int]] = {}
        for key, block in self._failures:
            failed.setdefault(key, set()).add(block)
        if alone:
            included = {key: np.zeros_like(blocks) for key, blocks in missing.items()}
            for key, block in alone:
                included[key][block] = missing[key][block]
            return Todo(missing, included, failed, 1)
        included = {key: blocks.copy() for key, blocks in missing.items()}
        for (key, block), count in self._attempts.items():
            if count > self._retries:
                included[key][block] = False
        return Todo(missing, included, failed, self._memory_known.abreast)

    def _one(self, todo: Todo) -> None:
        workers = self._backend.workers
        graph = build_graph(
            self._units, todo, workers=workers, memory=self._memory, chunks=self._chunks, token=self._token
        )
        numbers = {key: number for number, key in enumerate(graph.ends)}
        self._runs.append(graph.run)

        def take(key: Key, result: Any) -> None:
            if isinstance(result, BatchResult):
                for part in result.stages:
                    self._take(part)
            elif key in numbers and isinstance(result, Ended) and result.complete:
                self._ended[numbers[key]] = result

        def lose(key: Key, cause: BaseException) -> None:
            self._lose(graph, todo, key, cause)

        try:
            self._backend.execute(graph, take, lose)
        except BaseException:
            self._stop()
            self._backend.drain()
            for stage in self._stages.values():
                self._notice(stage, ledger_of(stage).done)
            raise
        self._backend.drain()

    def _stop(self) -> None:
        """Have whatever is still at it stop."""
        for work in {stage.target.work for stage in self._stages.values()}:
            for run in self._runs:
                stop(work, run)

    def _notice(self, stage: Stage, done: _Bools) -> None:
        """Take notice of blocks that were ticked off by tasks whose results did not come."""
        ledger = self._ledgers[stage.key]
        runs = tuple(runs_of(np.flatnonzero(done & ~ledger.done)))
        size = sum(stage.grid.box(block).size for run in runs for block in run) * stage.target.image.itemsize
        for run in runs:
            ledger.tick(run)
            self.outcomes[stage.key].computed += len(run)
        if runs:
            self._listener(BlocksEnded(stage.name, runs, size))

    def _take(self, part: StageResult) -> None:
        stage, outcome = self._stages[part.stage], self.outcomes[part.stage]
        now = time.perf_counter()
        outcome.begun = min(outcome.begun or now, now - part.seconds)
        outcome.ended = now
        outcome.bytes_written += part.bytes_written
        outcome.working += part.seconds
        outcome.reading += part.reading
        outcome.writing += part.writing
        for run in part.done:
            self._ledgers[part.stage].tick(run)
            outcome.computed += len(run)
        for failure in part.failed:
            self._fail(part.stage, failure)
        if part.done or part.failed:
            self._listener(BlocksEnded(stage.name, part.done, part.bytes, part.failed))
        if part.stage in self._open and self._ledgers[part.stage].complete:
            self._end_stage(part.stage)
        refused = next((failure for failure in part.failed if failure.hopeless), None)
        if refused is not None:
            raise Refused(refused)

    def _fail(self, key: str, failure: BlockFailure) -> None:
        if failure.exhausted:
            self._memory_known.learn()
        self._attempts[key, failure.block] += 1
        self._failures[key, failure.block] = failure
        outcome = self.outcomes[key]
        if failure.hopeless or self._attempts[key, failure.block] > self._retries:
            few = len(outcome.failed) < _TRACEBACKS_KEPT
            outcome.failed[failure.block] = failure if few else replace(failure, details="")
        else:
            outcome.retries += 1

    def _lose(self, graph: TaskGraph, todo: Todo, key: Key, cause: BaseException) -> None:
        """A worker died, or left: what its task has not ticked off is tried again.

        Where it left in an orderly way, nothing has failed, and no try is counted. Else several blocks become tasks
        of their own; of single ones, each that was under way has to prove itself alone.
        """
        self._lost = True
        left = isinstance(cause, WorkerLeft)
        self._left |= left
        if key not in graph.batches:
            if not left:
                self._dead.add(key)
            return
        tower, tops = graph.batches[key]
        for level, stage in enumerate(tower.stages):
            done = np.zeros(stage.grid.count, bool)
            done[list(Ticks(stage, tick_name(graph.run, key)).own)] = True
            self._notice(stage, done)
            if left:
                continue
            mine = np.isin(tower.homes(level), np.asarray(tops)) & todo.included[stage.key]
            lost = np.flatnonzero(mine & ~self._ledgers[stage.key].done).tolist()
            exhausted = isinstance(cause, OutOfMemory)
            died = exhausted or type(cause).__name__ == "KilledWorker"
            of = _of_lost_chunk if not died else _of_dead_worker if todo.abreast == 1 else _of_worker_that_left
            failures, alone = tuple(of(stage, block, cause) for block in lost), False
            if isinstance(cause, OutOfMemory):
                alone = todo.abreast == 1 and len(tops) == 1  # others that only waited there die with it
                failures = tuple(_of_memory(stage, block, cause, alone=alone) for block in lost)
                self._memory_known.learn()
            for failure in failures:
                if alone:
                    self._attempts[stage.key, failure.block] = self._retries  # it would take as much again
                    self._fail(stage.key, failure)
                    self._memory_known.alone_failed(failure, _KEPT)
                elif died:
                    self._suspect(stage.key, failure, single=len(tops) == 1, alone=todo.abreast == 1)
                else:
                    self._fail(stage.key, failure)
            self._listener(BlocksEnded(stage.name, (), 0, failures))

    def _suspect(self, key: str, failure: BlockFailure, *, single: bool, alone: bool) -> None:
        """Several blocks may have been under way on a worker that died: only alone is it a proof."""
        if alone:
            self._fail(key, failure)
        else:
            self._failures[key, failure.block] = failure
            self.outcomes[key].retries += 1
        if single and self._attempts[key, failure.block] <= self._retries:
            self._suspects[key, failure.block] = None

    def _end_stage(self, key: str) -> None:
        """Tell that a stage is over, with all others of its name: of several images."""
        self._open.discard(key)
        name = self._stages[key].name
        if any(self._stages[other].name == name for other in self._open):
            return
        found = [self.outcomes[other] for other, stage in self._stages.items() if stage.name == name]
        begun = min((one.begun for one in found if one.begun), default=0.0)
        seconds = max(one.ended for one in found) - begun
        failed, retries = sum(len(one.failed) for one in found), sum(one.retries for one in found)
        self._listener(StageEnded(name, max(0.0, seconds), failed, retries))


def _of_lost_chunk(stage: Stage, block: int, cause: BaseException) -> BlockFailure:
    message = f"a persisted chunk that it reads has failed ({cause!r}); persist the array again"
    return BlockFailure(block, stage.place(block), message, repr(cause))


def _of_worker_that_left(stage: Stage, block: int, cause: BaseException) -> BlockFailure:
    """Nobody knows yet whether a block was the reason: workers come and go."""
    known = getattr(cause, "__notes__", ())
    message = (
        known[0] if known else "the worker left, or died, while it was at this block or one beside it; tried again"
    )
    return BlockFailure(block, stage.place(block), message, repr(cause))


def _of_memory(stage: Stage, block: int, cause: OutOfMemory, *, alone: bool) -> BlockFailure:
    text = of_ended_worker(stage, cause, alone=alone)
    return BlockFailure(block, stage.place(block), text, repr(cause), exhausted=not alone)


def _of_dead_worker(stage: Stage, block: int, cause: BaseException) -> BlockFailure:
    known = getattr(cause, "__notes__", ())
    if known:
        return BlockFailure(block, stage.place(block), known[0], repr(cause))
    message = (
        f"the worker died while it computed this block ({type(cause).__name__}); often it ran out of memory: "
        f"a block needs about {stage.peak_bytes / 2**20:,.0f} MiB; lower output.shards or execution.workers, "
        "or raise execution.memory"
    )
    return BlockFailure(block, stage.place(block), message, repr(cause))
