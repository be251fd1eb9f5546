"""Plan + ledgers + graph -> outputs: the graph of a plan under lock, progress, rounds of retries and records."""

from __future__ import annotations

import functools
import json
import time
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fusestack.model.amounts import counted
from fusestack.model.errors import ConfigError, OutputError
from fusestack.model.function import import_functions
from fusestack.model.recent import keeping
from fusestack.planning.copied import Copied
from fusestack.running.aligning import refuse_pending
from fusestack.running.damage import foresee_plan, look, mend
from fusestack.running.ending import Turn
from fusestack.running.inspection import check_outputs, inspect
from fusestack.running.lock import output_lock
from fusestack.running.provenance import run_record, write_statistics
from fusestack.running.records import write_json
from fusestack.running.report import RunReport, StageReport
from fusestack.running.stage_cache import cache_entry, cache_in_use, trim_cache
from fusestack.running.status import StatusFile
from fusestack.running.units import BeginImage, units_of
from fusestack.storage import is_address
from fusestack.storage.look import Look, looking
from fusestack.storage.together import each
from fusestack.taskgraph.chunks import ChunkTasks
from fusestack.taskgraph.clusters import Cluster, Threads, at_address, local_cluster
from fusestack.taskgraph.events import Noticed, RunEnded, RunStarted, StageStarted
from fusestack.taskgraph.ledger import ledger_of
from fusestack.taskgraph.rounds import Refused, StageOutcome, run_units
from fusestack.taskgraph.stop import forget_stops
from fusestack.taskgraph.turns import end_turn, has_turn, keeping_turn, new_token, release_old_tasks, turns
from fusestack.taskgraph.units import failed_blocks
from fusestack.writers.base import output_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fusestack.model.stage import Stage
    from fusestack.planning.plan import Plan
    from fusestack.planning.resources import Resources
    from fusestack.running.damage import Known
    from fusestack.taskgraph.clusters import Backend
    from fusestack.taskgraph.events import Event, Listener
    from fusestack.taskgraph.ledger import Ledger
    from fusestack.taskgraph.units import Unit

_NUMBERS = ("float64", "int64")
"""Types of statistics, which have no width and height."""


def run_plan(
    plan: Plan,
    *,
    force: bool = False,
    listener: Listener | None = None,
    client: Any = None,
    backend: Backend | None = None,
    known: Known | None = None,
) -> RunReport:
    """Make everything a plan promises; what is already done stays.

    Parameters
    ----------
    plan : Plan
    force : bool
        Start over: what is already done and what stands in the way is replaced.
    listener : callable, optional
        Takes the events of the run.
    client : distributed.Client, optional
        Whose workers run the graph, instead of those that the plan names.
    backend : Backend, optional
        What runs it instead of both.
    known : Known, optional
        What `look` has found a moment ago.

    Raises
    ------
    OutputError
        If an output exists that this plan did not make, or cannot be written.
    BlockError
        If blocks failed after all retries; everything else is kept, and running again continues.
    """
    refuse_pending(plan)
    start = time.perf_counter()
    import_functions(json.dumps(plan.config, default=str))
    known = look(plan, force=force) if known is None else known
    # workers first: where none come, nothing has been created yet
    with looking(known.seen):
        todo = units_of(plan, known.states, force=force)
    cached = any(image.preparation for image in plan.images)
    with ExitStack() as stack:
        hired = stack.enter_context(ExitStack())  # given up last

        def hire() -> Any:
            opened: Any = backend or open_backend(plan.resources, client, logs=_logs(plan), listener=listener)
            return hired.enter_context(opened)

        workers = hire() if todo else None
        stack.enter_context(_locked(plan))
        stack.enter_context(cache_in_use(plan.cache) if cached else nullcontext())
        read_again = {stage.target.image.path for image in plan.images for stage in image.preparation}
        stack.enter_context(keeping(read_again, plan.resources.kept_bytes(plan.peak_bytes)))
        seen = Look()  # under the lock nobody else writes
        with looking(seen):
            foresee_plan(plan)
            check_outputs(plan, force=force)
            if not force and mend(plan, known.damage) and workers is None:
                workers = hire()
            run = _Run(plan, force, workers, listener, chunks_of(plan, workers), seen)
        if isinstance(workers, Cluster):
            workers.watch.say = run.notice
            workers.watch.block_timeout = plan.resources.block_timeout
            workers.watch.block_bytes = plan.peak_bytes
        outcome, message = "failed", ""
        try:
            run.make()
            outcome = "submitted" if run.handed_over else "done"
        except KeyboardInterrupt:
            outcome, message = "interrupted", "run again to continue"
            raise
        except Exception as error:
            message = str(error)
            raise
        finally:
            run.close(RunEnded(outcome, time.perf_counter() - start, message))
    outputs = tuple(image.target.image.path for image in plan.images)
    size, freed = trim_cache(plan.cache, plan.cache_limit) if cached and not run.handed_over else (0, 0)
    return RunReport(outputs, run.reports(), time.perf_counter() - start, size, freed, plan.report, run.found)


class _Run:
    """One run: its units, what became of them, and who is told."""

    def __init__(
        self,
        plan: Plan,
        force: bool,
        backend: Backend | None,
        listener: Listener | None,
        chunks: ChunkTasks | None,
        seen: Look,
    ) -> None:
        self._seen = seen
        self._plan, self._force, self._backend, self._chunks = plan, force, backend, chunks
        self._token = new_token()
        self._turn: Turn | None = None
        self._places: list[tuple[str, str]] = []
        self._status = StatusFile(plan.work)
        self._listener = listener
        self._outcomes: dict[str, StageOutcome] = {}
        self._done: dict[str, int] = {}
        self._states = inspect(plan, force=force)
        self.handed_over = False
        """Whether somebody else goes on with the graph."""

    @property
    def _is_over(self) -> bool:
        """Whether another run has begun, so that the records beside the output are its own."""
        with suppress(OSError):
            return self._turn is not None and not has_turn(self._turn.work, self._turn.path, self._turn.token)
        return False

    def _tell(self, event: Event) -> None:
        if not self._is_over:
            self._status(event)
        if self._listener is not None:
            self._listener(event)

    def notice(self, text: str) -> None:
        """Tell something that whoever waits wants to know."""
        self._tell(Noticed(text))

    def make(self) -> None:
        """Make what is missing; each stage of the cache is waited for, if another run makes it."""
        with ExitStack() as locks:
            with looking(self._seen):
                units = self._begun(locks)
                if self._turn is not None:
                    locks.enter_context(keeping_turn(self._turn.work, self._turn.path, self._turn.token))
                stages = [stage for unit in units for stage in unit.stages]
                found = each(ledger_of, stages, far=is_address(self._plan.work))
            ledgers = {stage.key: ledger for stage, ledger in zip(stages, found, strict=True)}
            for ledger in found:
                ledger.merge()
            self._done = {key: ledger.finished for key, ledger in ledgers.items()}
            if units:
                self._announce(stages)
                self._run(units, ledgers)
        if self._plan.statistics is not None and not self.handed_over:
            write_statistics(self._plan.statistics)

    def _begun(self, locks: ExitStack) -> list[Unit]:
        """Units with their containers made, under the locks of the cache."""
        for work in _works(self._plan):
            forget_stops(work)
        units = units_of(self._plan, self._states, token=self._token, force=self._force)
        firsts = [unit.stages[0].target for unit in units if unit.stages]
        self._places = [(target.work, target.image.path) for target in firsts]
        entries = [unit.stages[0] for unit in units if not isinstance(unit.begin, BeginImage)]
        for stage in sorted(entries, key=lambda stage: stage.target.work):  # in one order, so that runs never cross
            locks.enter_context(cache_entry(stage))
            self._seen.clear()  # whoever had the lock has written
        earlier = self._tokens()
        for unit in units:
            unit.begin(locked=True, force=self._force)
            if isinstance(unit.begin, BeginImage):
                target = unit.begin.product.target
                self._turn = Turn(target.work, target.image.path, self._token)
        release_old_tasks(self._backend, earlier - self._tokens())
        return [replace(unit, begin=_begun) for unit in units]

    def _tokens(self) -> set[str]:
        """Tokens of all runs that may write something of this one."""
        with output_errors(self._plan.output):
            return {token for work, path in self._places for token in turns(work, path)}

    def _announce(self, stages: Sequence[Stage]) -> None:
        done = sum(self._done.values())
        count = sum(stage.grid.count for stage in stages)
        workers = self._plan.resources.workers if self._backend is None else self._backend.workers
        dashboard = "" if self._backend is None else self._backend.dashboard
        names = tuple(stage.name for stage in stages)
        self._tell(RunStarted(self._plan.output, names, count, done, workers, dashboard))
        left = [stage for stage in stages if self._done[stage.key] < stage.grid.count]
        for name in dict.fromkeys(stage.name for stage in left):
            self._announce_stage(name, [stage for stage in left if stage.name == name])

    def _announce_stage(self, name: str, stages: Sequence[Stage]) -> None:
        """Tell of a stage, of all images that have one of that name."""
        blocks = sum(stage.grid.count for stage in stages)
        titles = {image.target.image.path: image.title for image in self._plan.images}
        made = stages[0].target.image
        pixels = " x ".join(str(n) for n in reversed(stages[0].grid.shape[2:]))
        shape = "" if made.dtype in _NUMBERS else f", {pixels} (xyz)"
        what = f"{titles.get(made.path, made.name)}{shape}" if len(stages) == 1 else f"{len(stages)} images"
        size = sum(stage.nbytes for stage in stages)
        done = sum(self._done[stage.key] for stage in stages)
        self._tell(StageStarted(name, f"{what}, {counted(blocks, 'block')}", blocks, done, size))

    def _run(self, units: Sequence[Unit], ledgers: dict[str, Ledger]) -> None:
        if self._backend is None:
            raise OutputError(f"{self._plan.output}: was changed meanwhile; run again")
        resources = self._plan.resources
        try:
            ended, _ = run_units(
                units,
                self._backend,
                memory=resources.block_bytes,
                retries=resources.retries,
                listener=self._tell,
                outcomes=self._outcomes,
                ledgers=ledgers,
                chunks=self._chunks,
                token=self._token,
            )
        except Refused as refused:
            raise OutputError(refused.failure.error) from refused
        self.handed_over = self._backend.hands_over
        if self.handed_over:
            return
        failed = [failure for outcome in self._outcomes.values() for _, failure in sorted(outcome.failed.items())]
        if not all(one.complete for one in ended):
            raise failed_blocks(failed)

    @functools.cached_property
    def found(self) -> tuple[str, ...]:
        """What stages found that there is to say, of what is made; asked for when all is."""
        made = {state.stage.key for state in self._states if state.needed or state.action == "reuse"}
        return tuple(line for one in self._plan.findings if made.issuperset(one.stages) for line in one.said())

    def reports(self) -> tuple[StageReport, ...]:
        """What became of every stage that is needed."""
        return tuple(self._report(state.stage) for state in self._states if state.needed)

    def _report(self, stage: Stage) -> StageReport:
        outcome = self._outcomes.get(stage.key, StageOutcome())
        count = stage.grid.count
        done = self._done.get(stage.key, count)
        return StageReport(
            stage.target.image.path,
            stage.name,
            "reused" if done == count else "continued" if done else _made_by(stage),
            count,
            outcome.computed,
            outcome.seconds,
            outcome.retries,
            outcome.bytes_written,
            {block: failure.error for block, failure in outcome.failed.items()},
            {block: failure.details for block, failure in outcome.failed.items() if failure.details},
            outcome.working,
            outcome.reading,
            outcome.writing,
        )

    def close(self, event: RunEnded) -> None:
        """Write down what happened."""
        done, over = event.outcome == "done", self._is_over
        left: list[Callable[[], Any]] = []
        if not over:
            record = run_record(self._plan, self.reports(), self.found if done else ())
            left = [functools.partial(write_json, f"{self._plan.output}.run.json", record)]
            left += [functools.partial(self._status, event)] if self._status.state else []
        if done and not over:
            left += [functools.partial(end_turn, work, path, self._token) for work, path in self._places]
        with nullcontext() if done else suppress(OutputError):  # what went wrong is more than that it cannot be written
            each(lambda write: write(), left, far=is_address(self._plan.work))
        if self._status.state and self._listener is not None:
            self._listener(event)


def _made_by(stage: Stage) -> str:
    """What becomes of a stage of which nothing is there."""
    return "rewritten" if isinstance(stage.compute, Copied) else "computed"


def _works(plan: Plan) -> list[str]:
    """Work folders of all outputs, in one order, so that runs never cross."""
    return sorted({plan.work, *(image.target.work for image in plan.images)})


@contextmanager
def _locked(plan: Plan) -> Iterator[None]:
    """Hold the locks of all outputs."""
    with ExitStack() as locks:
        for work in _works(plan):
            locks.enter_context(output_lock(f"{work}/lock", work.removesuffix(".fusestack")))
        yield


def chunks_of(plan: Plan, backend: Backend | None) -> ChunkTasks | None:
    """Tasks of the arrays that stages read, where there is something to run.

    Raises
    ------
    ConfigError
        If what an array stands on is kept by another client's workers.
    """
    chunks = None if backend is None else ChunkTasks.of(plan.stages)
    if chunks is not None and backend is not None and not backend.has(chunks.outside):
        raise ConfigError(
            "an array is persisted on the workers of a dask client, which is not the one that runs this: give client=, "
            "and no execution.scheduler; or give the array as it was before persist()"
        )
    return chunks


def _begun(**_: bool) -> None:
    """Nothing is left to begin."""


def _logs(plan: Plan) -> str | None:
    """Folder, seen by all machines, for what jobs print."""
    return None if is_address(plan.work) else f"{plan.work}/logs"


def open_backend(
    resources: Resources, client: Any = None, *, logs: str | None = None, listener: Listener | None = None
) -> Backend:
    """Start or reach the workers that a configuration asks for.

    Parameters
    ----------
    resources : Resources
    client : distributed.Client, optional
        Whose workers are used instead.
    logs : str, optional
        Folder for what the jobs of a job system print.
    listener : callable, optional
        Is told what there is to say while they wait.
    """

    def say(text: str) -> None:
        if listener is not None:
            listener(Noticed(text))

    if client is not None:
        return Cluster(client)
    match resources.scheduler:
        case "threads":
            return Threads(resources.workers)
        case "processes":
            return local_cluster(resources.workers, 1, resources.memory)
        case "distributed":
            return local_cluster(resources.workers, resources.threads_per_worker, resources.memory)
        case address if "://" in address:
            return at_address(address)
        case system:
            from fusestack.taskgraph.job_cluster import job_cluster

            return job_cluster(system, resources.workers, resources.profile, say=say, logs=logs)
