"""Jobs that go on by themselves: what is submitted, what they do, how far they are, and how they are called back."""

from __future__ import annotations

import json
import os
import pickle
import platform
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusestack.model.errors import ConfigError, OutputError
from fusestack.planning.cluster_profiles import load_profile
from fusestack.running.inspection import check_outputs, inspect
from fusestack.running.lock import HeldError, shared_lock
from fusestack.running.places import SUBMITTED
from fusestack.running.records import write_json
from fusestack.running.runner import run_plan
from fusestack.running.stage_cache import cache_in_use
from fusestack.running.units import units_of
from fusestack.storage import is_address, open_folder
from fusestack.taskgraph.chunks import ChunkTasks
from fusestack.taskgraph.job_systems import DRIVER, SYSTEM, SYSTEMS
from fusestack.taskgraph.ledger import Ledger, ledger_path
from fusestack.taskgraph.shared_graph import Part, SharedGraph
from fusestack.taskgraph.stop import stop

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fusestack.config.execution import Execution
    from fusestack.planning.plan import Plan
    from fusestack.running.report import RunReport
    from fusestack.taskgraph.clusters import Lose, Take
    from fusestack.taskgraph.events import Listener
    from fusestack.taskgraph.job import TaskGraph
    from fusestack.taskgraph.job_states import JobState
    from fusestack.taskgraph.job_systems import JobSystem

_PLAN = "plan"
_GRAPHS = "graphs"
_MODES = ("dask", "array")
_CANCEL_SECONDS = 90.0
_LOOK_SECONDS = 1.0
_SILENCE = 120.0


@dataclass(frozen=True)
class Submission:
    """Jobs of an output, as its record says.

    Parameters
    ----------
    output, work : str
    system, mode : str
    jobs : mapping of str to str
        Numbers of the jobs by what they do: ``driver``; ``array`` and ``close``.
    parts : int
        Jobs of the array.
    run : str
        Of the graph of an array, which a stop mark ends.
    stages : list of (str, str, str, int, int)
        Name, work folder, key, blocks, and blocks that were there, of each stage of the graph.
    submitted : float
        UNIX time.
    cancelled : bool
    """

    output: str
    work: str
    system: str
    mode: str
    jobs: Mapping[str, str]
    parts: int = 0
    run: str = ""
    stages: list[tuple[str, str, str, int, int]] = field(default_factory=list)
    submitted: float = 0.0
    cancelled: bool = False

    @property
    def asked(self) -> JobSystem:
        """The job system."""
        return SYSTEMS[self.system]

    def states(self) -> list[JobState] | None:
        """Its jobs that are in the queue; None where nobody here can say."""
        return self.asked.states(list(self.jobs.values()))

    @property
    def graph(self) -> SharedGraph:
        """What an array works on."""
        return SharedGraph(f"{self.work}/{_GRAPHS}/{self.run}")

    def progress(self) -> dict[str, tuple[int, int, int]]:
        """Blocks of each stage, those that are there, and those that were there before, by its name."""
        found: dict[str, tuple[int, int, int]] = {}
        for name, work, key, count, before in self.stages:
            blocks, done, old = found.get(name, (0, 0, 0))
            finished = Ledger(ledger_path(work, key), count).finished
            found[name] = blocks + count, done + finished, old + before
        return found


def read_submission(work: str) -> Submission | None:
    """What was submitted for an output last, or None."""
    try:
        data = open_folder(work).get(SUBMITTED)
        return None if data is None else Submission(**json.loads(data))
    except (OSError, ValueError, TypeError):
        return None


def refuse_submitted(plan: Plan) -> None:
    """Refuse an output that jobs are at, or will be.

    Raises
    ------
    OutputError
        Names the jobs.
    """
    found = read_submission(plan.work)
    states = None if found is None else found.states()
    if found is None or states == []:
        return
    if states is None and time.time() - found.submitted > _SILENCE and not found.graph.parts():
        return  # long ago, and nobody here knows of them; their locks still guard the output
    who = ", ".join(map(str, states or ())) or ", ".join(f"{what} job {n}" for what, n in found.jobs.items())
    raise OutputError(
        f"{found.output}: was submitted to {found.system} ({who}); wait for it ('fusestack status'), or call it back "
        f"with: fusestack cancel {found.output}"
    )


@dataclass
class _Handed:
    """Backend that keeps the graph, and hands its jobs to a job system."""

    jobs: _Jobs
    workers: int
    hands_over: bool = True
    dashboard: str = ""
    processes: int = 1

    def execute(self, graph: TaskGraph, take: Take, lose: Lose) -> None:
        """See `Backend.execute`."""
        SharedGraph.keep(f"{self.jobs.plan.work}/{_GRAPHS}/{graph.run}", graph)
        self.jobs.submit_array(graph, self.workers)

    def has(self, keys: Iterable[Any]) -> bool:
        """See `Backend.has`."""
        return not list(keys)

    def drain(self) -> None:
        """See `Backend.drain`: nothing runs here."""

    def __enter__(self) -> _Handed:
        return self

    def __exit__(self, *error: object) -> None:
        pass


@dataclass(frozen=True)
class _Jobs:
    """Scripts of the jobs of a plan."""

    plan: Plan
    system: JobSystem
    profile: Mapping[str, Any]

    @property
    def _logs(self) -> str:
        return str(Path.cwd()) if is_address(self.plan.work) else f"{self.plan.work}/logs"

    def script(self, what: str, *more: str, array: int = 0, after: str = "") -> str:
        """Script of the job, or the array of jobs, that does something."""
        profile = dict(self.profile)
        driver = dict(profile.pop(DRIVER, {}))
        if not array:
            profile |= driver
        python = str(profile.pop("python", sys.executable))
        for key in ("worker_extra_args", "interface", "local_directory", "death_timeout"):
            profile.pop(key, None)
        command = [python, "-m", "fusestack.cli.task", self.plan.work, what, *more]
        environment = {key: os.environ[key] for key in ("PYTHONPATH",) if os.environ.get(key)}
        name = f"fusestack-{what}"
        return self.system.script(
            profile, command, name=name, logs=self._logs, environment=environment, array=array, after=after
        )

    def submit_driver(self) -> Submission:
        """Submit the job that starts workers, and looks after them."""
        self._keep()
        return self._record("dask", {"driver": self.system.hand_in(self.script("drive"))})

    def submit_array(self, graph: TaskGraph, parts: int) -> None:
        """Submit the array, and the job that closes."""
        self._keep()
        array = self.system.hand_in(self.script("part", graph.run, str(parts), array=parts))
        self._record("array", {"array": array}, parts, graph)
        close = self.system.hand_in(self.script("close", graph.run, after=array))
        self._record("array", {"array": array, "close": close}, parts, graph)

    def _keep(self) -> None:
        try:
            open_folder(self.plan.work, scratch="").put(_PLAN, [pickle.dumps(self.plan)])
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ConfigError(f"what was given from Python cannot be submitted: {error}") from error

    def _record(self, mode: str, jobs: Mapping[str, str], parts: int = 0, graph: TaskGraph | None = None) -> Submission:
        stages = {stage.key: stage for tower, _ in (graph.batches.values() if graph else ()) for stage in tower.stages}
        listed = []
        for key, stage in stages.items():
            work = stage.target.work
            done = Ledger(ledger_path(work, key), stage.grid.count).finished
            listed.append((stage.name, work, key, stage.grid.count, done))
        run = graph.run if graph else ""
        found = Submission(
            self.plan.output, self.plan.work, self.system.name, mode, jobs, parts, run, listed, time.time()
        )
        write_json(f"{self.plan.work}/{SUBMITTED}", asdict(found))
        return found


def submit_plan(plan: Plan, mode: str = "dask") -> Submission | None:
    """Hand a plan to a job system; None where nothing is to be done.

    Parameters
    ----------
    plan : Plan
        With a job system as its scheduler.
    mode : {"dask", "array"}
        ``dask``: one job that starts workers. ``array``: jobs that take their batches from a folder, without any
        connection, and one that completes the outputs.

    Raises
    ------
    ConfigError
        If its scheduler is no job system, or that refuses; in its words.
    OutputError
        If an output exists that this plan did not make, or jobs are at it.
    """
    system = SYSTEMS.get(plan.resources.scheduler)
    if system is None:
        raise ConfigError(
            f"execution.scheduler: {plan.resources.scheduler} is no job system; "
            f"name one of {', '.join(SYSTEMS)}, or give --profile"
        )
    if mode not in _MODES:
        raise ConfigError(f"mode: {mode!r}; there are {', '.join(_MODES)}")
    if ChunkTasks.of(plan.stages) is not None:
        raise ConfigError("arrays of a dask graph cannot be submitted; store them first, or use fusestack.run")
    check_outputs(plan)
    refuse_submitted(plan)
    if not units_of(plan, inspect(plan)):
        return None
    jobs = _Jobs(plan, system, plan.resources.profile)
    for script in scripts_of(plan, mode).values():
        system.check(script)
    if mode == "dask":
        return jobs.submit_driver()
    run_plan(plan, backend=_Handed(jobs, plan.resources.workers))
    return read_submission(plan.work)


def system_of(execution: Execution, folder: Path) -> str:
    """Job system that a configuration, or its profile, names.

    Raises
    ------
    ConfigError
        If neither does.
    """
    if execution.scheduler in SYSTEMS:
        return str(execution.scheduler)
    named = load_profile(execution.profile, folder).get(SYSTEM, execution.profile)
    if named not in SYSTEMS:
        raise ConfigError(
            f"execution.scheduler: {execution.scheduler} is no job system, and profile '{execution.profile}' names "
            f"none; say execution.scheduler, or {SYSTEM} in the profile: {', '.join(SYSTEMS)}"
        )
    return str(named)


def scripts_of(plan: Plan, mode: str) -> dict[str, str]:
    """What would be submitted, by what it does."""
    jobs = _Jobs(plan, SYSTEMS[plan.resources.scheduler], plan.resources.profile)
    if mode == "dask":
        return {"driver": jobs.script("drive")}
    parts = plan.resources.workers
    return {"array": jobs.script("part", "RUN", str(parts), array=parts), "close": jobs.script("close", "RUN")}


def kept_plan(work: str) -> Plan:
    """The plan that was submitted.

    Raises
    ------
    OutputError
        If it is gone.
    """
    data = open_folder(work).get(_PLAN)
    if data is None:
        raise OutputError(f"{work}/{_PLAN}: is gone; submit again")
    found: Plan = pickle.loads(data)
    return found


def run_part(work: str, run: str, parts: int, number: int) -> Part:
    """Do the share of one job of an array; its locks keep other runs away."""
    plan = kept_plan(work)
    cores = int(plan.resources.profile.get("cores") or 1)
    part = Part(f"{number}-{os.getpid()}-{platform.node()}", platform.node())
    with ExitStack() as locks:
        for place in sorted({image.target.work for image in plan.images} | {plan.work}):
            if not is_address(place):
                locks.enter_context(shared_lock(Path(place, "lock"), place))
        if any(image.preparation for image in plan.images):
            locks.enter_context(cache_in_use(plan.cache))
        graph = SharedGraph(f"{work}/{_GRAPHS}/{run}")
        graph.work(part, share=number / parts, threads=cores, retries=plan.resources.retries)
    return part


def close_array(work: str, run: str, listener: Listener | None = None) -> RunReport:
    """Make what an array has left, if anything, and complete the outputs."""
    plan = kept_plan(work)
    cores = int(plan.resources.profile.get("cores") or 1)
    here = replace(plan.resources, scheduler="threads", workers=cores)
    report = _run_when_free(replace(plan, resources=here), listener)
    open_folder(f"{work}/{_GRAPHS}").delete_tree(run)
    return report


def drive(work: str, listener: Listener | None = None) -> RunReport:
    """Run the plan with workers that this job asks for."""
    return _run_when_free(kept_plan(work), listener)


def _run_when_free(plan: Plan, listener: Listener | None) -> RunReport:
    """Run a plan as soon as the last jobs of its array have left."""
    until = time.monotonic() + _CANCEL_SECONDS
    while True:
        try:
            return run_plan(plan, listener=listener)
        except HeldError:
            if time.monotonic() > until:
                raise
        time.sleep(_LOOK_SECONDS)


def cancel(work: str) -> tuple[Submission, bool]:
    """Call the jobs of an output back in an orderly way; what is done is kept.

    Returns
    -------
    Submission
        What was submitted.
    bool
        Whether any of its jobs was still there.

    Raises
    ------
    OutputError
        If nothing was submitted, or the job system does not answer here.
    """
    found = read_submission(work)
    if found is None:
        raise OutputError(f"{work.removesuffix('.fusestack')}: nothing was submitted; a run is stopped with Ctrl-C")
    states = found.states()
    if states is None:
        raise OutputError(f"{found.output}: {found.system} does not answer here; cancel where it was submitted")
    if not states:
        return found, False
    numbers = list(found.jobs.values())
    if found.run:
        for place in {work, *(stage[1] for stage in found.stages)}:
            stop(place, found.run)
    if "close" in found.jobs:
        found.asked.end([found.jobs["close"]])
    if any(state.runs for state in states) and not found.run:
        found.asked.end(numbers, gently=True)
    # parts of an array see their mark after a block; what only waits is taken out of the queue at once
    orderly = bool(found.run) or bool(found.asked.interrupt)
    until = time.monotonic() + _CANCEL_SECONDS
    while orderly and time.monotonic() < until and any(state.runs for state in found.states() or ()):
        time.sleep(_LOOK_SECONDS)
    found.asked.end(numbers)
    write_json(f"{work}/{SUBMITTED}", asdict(replace(found, cancelled=True)))
    return found, True
