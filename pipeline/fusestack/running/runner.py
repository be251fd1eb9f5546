"""Plan + ledger + executor -> outputs."""

from __future__ import annotations

import time
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fusestack.model.errors import BlockError, OutputError
from fusestack.project.write import write_project
from fusestack.running.inspection import (
    check_outputs,
    inspect,
    is_started,
    ledger_of,
    ledger_path,
    read_record,
    stages_kept,
    write_json,
    write_record,
)
from fusestack.running.lock import output_lock
from fusestack.running.provenance import project_of, run_record, write_statistics
from fusestack.running.stage_cache import cache_entry, cache_in_use, forget_entry, trim_cache
from fusestack.running.status import StatusFile
from fusestack.taskgraph.driver import StageOutcome, run_stage
from fusestack.taskgraph.events import RunEnded, RunStarted, StageStarted
from fusestack.taskgraph.executor import Executor, ProcessExecutor, ThreadExecutor
from fusestack.taskgraph.ledger import forget_ledger

if TYPE_CHECKING:
    from fusestack.model.stage import Stage
    from fusestack.planning.plan import Plan, PlannedImage
    from fusestack.planning.resources import Resources
    from fusestack.taskgraph.events import Event, Listener
    from fusestack.taskgraph.ledger import Ledger

_BLOCKS_NAMED = 5


@dataclass(frozen=True)
class StageReport:
    """What a run did with a stage."""

    image: str
    stage: str
    action: str
    blocks: int
    computed: int
    seconds: float
    retries: int
    bytes_written: int
    failed: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RunReport:
    """What a run made: paths of its images, what became of every stage, seconds; the cache after it."""

    outputs: tuple[str, ...]
    stages: tuple[StageReport, ...]
    seconds: float
    cache_bytes: int = 0
    cache_freed: int = 0

    @property
    def reused_all(self) -> bool:
        """Whether nothing had to be computed."""
        return all(stage.computed == 0 for stage in self.stages)


def run_plan(plan: Plan, *, force: bool = False, listener: Listener | None = None) -> RunReport:
    """Make everything a plan promises; what is already done stays.

    Parameters
    ----------
    plan : Plan
    force : bool
        Start over: what is already done and what stands in the way is replaced.
    listener : callable, optional
        Takes the events of the run.

    Raises
    ------
    OutputError
        If an output exists that this plan did not make, or cannot be written.
    BlockError
        If blocks failed after all retries; everything else is kept, and running again continues.
    """
    start = time.perf_counter()
    check_outputs(plan, force=force)
    todo = any(state.action != "reuse" for state in inspect(plan, force=force))
    # workers first: where none come, nothing has been created yet
    workers = open_executor(plan.resources) if todo else nullcontext()
    cached = any(image.preparation for image in plan.images)
    reading = cache_in_use(plan.cache) if cached else nullcontext()
    with workers as executor, output_lock(f"{plan.work}/lock", plan.output), reading:
        check_outputs(plan, force=force)
        status = StatusFile(plan.work)

        def tell(event: Event) -> None:
            status(event)
            if listener is not None:
                listener(event)

        outcome, message = "failed", ""
        try:
            reports = _make(plan, executor, force=force, listener=tell)
            outcome = "done"
        except KeyboardInterrupt:
            outcome, message = "interrupted", "run again to continue"
            raise
        except Exception as error:
            message = str(error)
            raise
        finally:
            if status.state:
                tell(RunEnded(outcome, time.perf_counter() - start, message))
    outputs = tuple(image.target.image.path for image in plan.images)
    size, freed = trim_cache(plan.cache, plan.cache_limit) if cached else (0, 0)
    return RunReport(outputs, reports, time.perf_counter() - start, size, freed)


def _make(plan: Plan, executor: Executor | None, *, force: bool, listener: Listener) -> tuple[StageReport, ...]:
    for image in plan.images:
        _prepare(image, force=force)
    todo = _todo(plan, force=force)
    ledgers = {id(stage): ledger_of(stage) for _, stage in todo}
    listener(
        RunStarted(
            plan.output,
            tuple(stage.name for _, stage in todo),
            sum(stage.grid.count for _, stage in todo),
            sum(ledger.finished for ledger in ledgers.values()),
            plan.resources.workers,
        )
    )
    reports: list[StageReport] = []
    try:
        for image, stage in todo:
            own = stage in image.stages
            with nullcontext() if own else cache_entry(stage):
                # another run may have worked on a stage of the cache meanwhile
                ledger = ledgers[id(stage)] if own else ledger_of(stage)
                done, outcome = _run_stage(plan, image, stage, ledger, executor, listener)
            reports.append(_report(image, stage, done, outcome))
            if outcome.failed:
                raise _failure(stage, outcome)
            if stage is image.stages[-1]:
                _finish(image)
        if plan.statistics is not None:
            write_statistics(plan.statistics)
    except BaseException:
        with suppress(OutputError):  # what went wrong is more than that it cannot be written down
            _write_run_json(plan, reports)
        raise
    _write_run_json(plan, reports)
    return tuple(reports)


def _run_stage(
    plan: Plan, image: PlannedImage, stage: Stage, ledger: Ledger, executor: Executor | None, listener: Listener
) -> tuple[int, StageOutcome]:
    """Do what is missing of one stage: blocks that were there, and what became of the others."""
    with ledger:
        done = ledger.finished
        outcome = StageOutcome(0.0, 0, 0)
        if not ledger.complete:
            if executor is None:
                raise OutputError(f"{image.target.image.path}: was changed meanwhile; run again")
            stage.compute.warm_up()
            _announce(image, stage, done, listener)
            outcome = run_stage(stage, executor, ledger, retries=plan.resources.retries, listener=listener)
    return done, outcome


def _todo(plan: Plan, *, force: bool) -> list[tuple[PlannedImage, Stage]]:
    """All stages of the images in order, each after those of the cache that it needs and that are not there."""
    needed = {state.stage.key for state in inspect(plan, force=force) if state.needed}
    owners = [(image, stage) for image in plan.images for stage in (*image.preparation, *image.stages)]
    found: dict[tuple[str, str], tuple[PlannedImage, Stage]] = {}
    for image, stage in owners:
        if stage in image.stages or stage.key in needed:
            if stage not in image.stages and force:
                forget_entry(stage)
            found.setdefault((stage.target.work, stage.key), (image, stage))
    return list(found.values())


def _prepare(image: PlannedImage, *, force: bool) -> None:
    """Make the container; what an earlier run left there and this one does not make goes first.

    In an order that a kill cannot turn into a lie: ledgers are forgotten before pixels are removed, and no ledger
    is begun before the record says whose it is.
    """
    path, work = image.target.image.path, image.target.work
    record = read_record(work)
    writer = image.target.open()
    if force or not is_started(image, record):
        kept = stages_kept(image, record, force)
        old = record.get(path, {}).get("stages", [])
        for key in {*old, *(stage.key for stage in image.stages)} - set(old[:kept]):
            forget_ledger(ledger_path(work, key))
        if kept:
            writer.keep(kept)
        else:
            writer.remove()
        record[path] = {
            "fingerprint": image.fingerprint,
            "stages": [stage.key for stage in image.stages],
            "components": image.components,
        }
        write_record(work, record)
    writer.create()


def _finish(image: PlannedImage) -> None:
    """Complete an image whose pixels are all there, and write its project."""
    image.target.open().finish(image.notes)
    if image.project is not None:
        write_project(image.project, image.target.image.path, project_of(image))


def _announce(image: PlannedImage, stage: Stage, done: int, listener: Listener) -> None:
    shape = " x ".join(str(n) for n in reversed(stage.grid.shape[2:]))
    made = stage.target.image
    title = f"{image.title if stage in image.stages else made.name}, {shape} (xyz), {stage.grid.count:,} blocks"
    level = made.levels[stage.target.level]
    size = made.itemsize
    for n in level.shape:
        size *= n
    listener(StageStarted(stage.name, title, stage.grid.count, done, size))


def open_executor(resources: Resources) -> Executor:
    """Start or reach the workers that a configuration asks for."""
    match resources.scheduler:
        case "threads":
            return ThreadExecutor(resources.workers)
        case "processes":
            return ProcessExecutor(resources.workers)
        case "distributed":
            from fusestack.taskgraph.cluster import local_cluster

            return local_cluster(resources.workers, resources.threads_per_worker, resources.memory)
        case address if "://" in address:
            from fusestack.taskgraph.cluster import at_address

            return at_address(address)
        case system:
            from fusestack.taskgraph.cluster import job_cluster

            return job_cluster(system, resources.workers, resources.profile)


def _report(image: PlannedImage, stage: Stage, done: int, outcome: StageOutcome) -> StageReport:
    count = stage.grid.count
    action = "reused" if done == count else "continued" if done else "computed"
    failed = {block: result.error or "" for block, result in outcome.failed.items()}
    return StageReport(
        image.target.image.path,
        stage.name,
        action,
        count,
        count - done - len(failed),
        outcome.seconds,
        outcome.retries,
        outcome.bytes_written,
        failed,
    )


def _failure(stage: Stage, outcome: StageOutcome) -> BlockError | OutputError:
    refused = [result.error for result in outcome.failed.values() if result.hopeless]
    if refused:
        return OutputError(str(refused[0]))
    named = []
    for block, result in sorted(outcome.failed.items())[:_BLOCKS_NAMED]:
        low, high = stage.grid.box(block).inclusive()
        place = ", ".join(f"{axis} {a}..{b}" for axis, a, b in zip("xyzct", low, high, strict=True))
        named.append(f"stage {stage.name}, block {block} ({place}): {result.error}")
    count = len(outcome.failed)
    more = [f"... and {count - len(named)} more blocks"] if count > len(named) else []
    blocks = "1 block" if count == 1 else f"{count:,} blocks"
    return BlockError(
        f"{blocks} of {stage.grid.count:,} failed after all retries; the others are kept, running again continues",
        *named,
        *more,
    )


def _write_run_json(plan: Plan, reports: list[StageReport]) -> None:
    write_json(f"{plan.output}.run.json", run_record(plan, reports))
