"""Plan + ledger + executor -> outputs."""

from __future__ import annotations

import json
import time
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusestack.errors import BlockError, OutputError
from fusestack.execution.driver import StageOutcome, run_stage
from fusestack.execution.events import RunEnded, RunStarted, StageStarted
from fusestack.execution.executor import Executor, ProcessExecutor, ThreadExecutor
from fusestack.execution.ledger import Ledger, forget_ledger
from fusestack.execution.lock import output_lock
from fusestack.execution.status import StatusFile
from fusestack.fingerprint import differing
from fusestack.project.write import write_project
from fusestack.provenance import project_of, run_record
from fusestack.storage import folder_of, is_address, open_folder
from fusestack.writers.folder import OutputFolder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fusestack.execution.events import Event, Listener
    from fusestack.planner import Plan, PlannedImage
    from fusestack.resources import Resources
    from fusestack.stage import Stage

_RECORD = "made.json"
_BLOCKS_NAMED = 5


@dataclass(frozen=True)
class StageState:
    """What a run would do with a stage: ``reuse`` it, ``continue`` it or ``run`` it, and why."""

    stage: Stage
    action: str
    done: int
    reason: str


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
    """What a run made: paths of its images, what became of every stage, seconds."""

    outputs: tuple[str, ...]
    stages: tuple[StageReport, ...]
    seconds: float

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
    with workers as executor, output_lock(f"{plan.work}/lock", plan.output):
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
    return RunReport(tuple(i.target.image.path for i in plan.images), reports, time.perf_counter() - start)


def inspect(plan: Plan, *, force: bool = False) -> list[StageState]:
    """What a run would do with every stage, and why; reads records, changes nothing."""
    record = _read_record(plan)
    states = []
    for image in plan.images:
        kept = len(image.stages) if _is_started(image, record) and not force else _stages_kept(image, record, force)
        states += _inspect_preparation(plan, image, kept, force=force)
        reason = "not begun yet" if kept else _reason(image, record, force=force)
        for number, stage in enumerate(image.stages):
            done = Ledger(_ledger_path(plan, stage.key), stage.grid.count).finished if number < kept else 0
            if done == stage.grid.count:
                states.append(StageState(stage, "reuse", done, "complete, nothing it depends on has changed"))
            elif done:
                states.append(StageState(stage, "continue", done, f"{done:,} of {stage.grid.count:,} blocks are done"))
            else:
                states.append(StageState(stage, "run", 0, reason))
            if done < stage.grid.count:
                reason = "after the stage before it"
    return states


def _inspect_preparation(plan: Plan, image: PlannedImage, kept: int, *, force: bool) -> list[StageState]:
    first = image.stages[0]
    if kept and Ledger(_ledger_path(plan, first.key), first.grid.count).complete:
        return [StageState(stage, "reuse", stage.grid.count, "not needed any more") for stage in image.preparation]
    states = []
    for stage in image.preparation:
        there = stage.target.open().exists() and not force
        done = Ledger(_ledger_path(plan, stage.key), stage.grid.count).finished if there else 0
        action = "reuse" if done == stage.grid.count else "continue" if done else "run"
        reason = f"{done:,} of {stage.grid.count:,} blocks are in the cache" if done else "not in the cache"
        states.append(StageState(stage, action, done, reason))
    return states


def check_outputs(plan: Plan, *, force: bool = False) -> None:
    """Refuse outputs that exist and are not what this plan makes, unless they may be overwritten.

    Raises
    ------
    OutputError
        Names every such output, and what differs.
    """
    if force or plan.overwrite:
        return
    record = _read_record(plan)
    problems = []
    for image in plan.images:
        path = image.target.image.path
        if not _exists(image) and not _is_started(image, record):
            continue
        if path not in record:
            problems.append(
                f"{path}: exists, and this configuration did not make it; "
                "choose another output.path, or replace it with output.overwrite: true (or --force)"
            )
        elif record[path]["fingerprint"] != image.fingerprint:
            differences = differing(record[path]["components"], image.components) or "other versions of the algorithms"
            problems.append(
                f"{path}: exists, made with other settings ({differences}); "
                "choose another output.path, or replace it with output.overwrite: true (or --force)"
            )
    if problems:
        raise OutputError(*problems)


def _make(plan: Plan, executor: Executor | None, *, force: bool, listener: Listener) -> tuple[StageReport, ...]:
    record = _read_record(plan)
    for image in plan.images:
        _prepare(plan, image, record, force=force)
    stages = [(image, stage) for image in plan.images for stage in _stages(plan, image, force=force)]
    ledgers = {id(stage): Ledger(_ledger_path(plan, stage.key), stage.grid.count) for _, stage in stages}
    listener(
        RunStarted(
            plan.output,
            tuple(stage.name for _, stage in stages),
            sum(stage.grid.count for _, stage in stages),
            sum(ledger.finished for ledger in ledgers.values()),
            plan.resources.workers,
        )
    )
    reports: list[StageReport] = []
    try:
        for image, stage in stages:
            with ledgers[id(stage)] as ledger:
                done = ledger.finished
                outcome = StageOutcome(0.0, 0, 0)
                if not ledger.complete:
                    if executor is None:
                        raise OutputError(f"{image.target.image.path}: was changed meanwhile; run again")
                    stage.compute.warm_up()
                    _announce(image, stage, done, listener)
                    outcome = run_stage(stage, executor, ledger, retries=plan.resources.retries, listener=listener)
            reports.append(_report(image, stage, done, outcome))
            if outcome.failed:
                raise _failure(stage, outcome)
            if stage is image.stages[-1]:
                _finish(image)
    except BaseException:
        with suppress(OutputError):  # what went wrong is more than that it cannot be written down
            _write_run_json(plan, reports)
        raise
    _write_run_json(plan, reports)
    return tuple(reports)


def _stages(plan: Plan, image: PlannedImage, *, force: bool) -> tuple[Stage, ...]:
    """All stages of an image, with its preparation where the fusion is not complete; that has its places made."""
    if not image.preparation or Ledger(_ledger_path(plan, image.stages[0].key), image.stages[0].grid.count).complete:
        return image.stages
    for stage in image.preparation:
        writer = stage.target.open()
        if force or not writer.exists():
            forget_ledger(_ledger_path(plan, stage.key))
            writer.remove()
        writer.create()
    return (*image.preparation, *image.stages)


def _finish(image: PlannedImage) -> None:
    """Complete an image whose pixels are all there, and write its project."""
    image.target.open().finish({"setup_names": [channel.name for channel in image.target.image.channels]})
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
            from fusestack.execution.cluster import local_cluster

            return local_cluster(resources.workers, resources.threads_per_worker, resources.memory)
        case address if "://" in address:
            from fusestack.execution.cluster import at_address

            return at_address(address)
        case system:
            from fusestack.execution.cluster import job_cluster

            return job_cluster(system, resources.workers, resources.profile)


def _prepare(plan: Plan, image: PlannedImage, record: dict[str, Any], *, force: bool) -> None:
    """Make the container; what an earlier run left there and this one does not make goes first.

    In an order that a kill cannot turn into a lie: ledgers are forgotten before pixels are removed, and no ledger
    is begun before the record says whose it is.
    """
    path = image.target.image.path
    writer = image.target.open()
    if force or not _is_started(image, record):
        kept = _stages_kept(image, record, force)
        old = record.get(path, {}).get("stages", [])
        for key in {*old, *(stage.key for stage in image.stages)} - set(old[:kept]):
            forget_ledger(_ledger_path(plan, key))
        if kept:
            writer.keep(kept)
        else:
            writer.remove()
        record[path] = {
            "fingerprint": image.fingerprint,
            "stages": [stage.key for stage in image.stages],
            "components": image.components,
        }
        _write_json(f"{plan.work}/{_RECORD}", record)
    writer.create()


def _stages_kept(image: PlannedImage, record: Mapping[str, Any], force: bool) -> int:
    """How many stages at the beginning are those of the image that is there; stage n makes level n."""
    if force:
        return 0
    old = record.get(image.target.image.path, {}).get("stages", [])
    same = 0
    while same < min(len(old), len(image.stages)) and old[same] == image.stages[same].key:
        same += 1
    return image.target.open().levels_kept(same) if same else 0


def _is_started(image: PlannedImage, record: Mapping[str, Any]) -> bool:
    known = record.get(image.target.image.path)
    return known is not None and known["fingerprint"] == image.fingerprint and image.target.open().exists()


def _reason(image: PlannedImage, record: Mapping[str, Any], *, force: bool) -> str:
    if force:
        return "--force"
    known = record.get(image.target.image.path)
    if not known:
        return "not made yet"
    return differing(known["components"], image.components) or "its output is gone"


def _exists(image: PlannedImage) -> bool:
    """Whether anything is there where the image goes."""
    path = image.target.image.path
    return bool(OutputFolder(path).entries()) if is_address(path) else Path(path).exists()


def _ledger_path(plan: Plan, key: str) -> str:
    return f"{plan.work}/ledger/{key}.txt"


def _read_record(plan: Plan) -> dict[str, Any]:
    try:
        found = open_folder(plan.work).get(_RECORD)
        record: dict[str, Any] = {} if found is None else json.loads(found)
    except (OSError, ValueError) as error:
        way_out = getattr(error, "way_out", "remove the folder to start over")
        raise OutputError(f"{plan.work}/{_RECORD}: cannot be read ({error}); {way_out}") from error
    return record


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
    _write_json(f"{plan.output}.run.json", run_record(plan, reports))


def _write_json(path: str, content: Any) -> None:
    folder, name = folder_of(path)
    try:
        folder.put(name, [json.dumps(content, indent=1, default=str).encode()])
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error
