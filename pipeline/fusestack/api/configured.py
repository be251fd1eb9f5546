"""Configured jobs: plan, run, and the job as one dask collection."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusestack.model.errors import ConfigError, InputError, tell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from distributed import Client

    from fusestack.config.load import LoadedConfig
    from fusestack.planning.plan import Plan
    from fusestack.project.model import Project
    from fusestack.running.damage import Known
    from fusestack.running.report import RunReport
    from fusestack.taskgraph.collection import Job
    from fusestack.taskgraph.events import Event, Listener


def open_project(path: str | Path) -> Project:
    """Read a BigDataViewer or BigStitcher project; metadata only.

    Parameters
    ----------
    path : str or Path
        Project XML.

    Raises
    ------
    InputError
        If it is missing, not a project, or contradicts itself; all problems are named.

    Examples
    --------
    >>> project = fusestack.open_project("dataset.xml")
    >>> len(project.views)
    4
    >>> project.views[0]
    <View (timepoint 0, setup 0): 24 x 24 x 16 pixels (xyz), channel 0, angle 0, illumination 0, tile 0>
    >>> project.views[0].voxel_size, project.views[0].unit
    ((1.5, 0.5, 0.5), 'micrometer')
    """
    from fusestack.project.xml import read_project

    if not isinstance(path, (str, Path)):
        raise InputError(f"path: {type(path).__name__} is no path; give that of a project XML")
    return read_project(path)


def plan(config: str | Path | Mapping[str, Any] | Plan, overrides: Sequence[str] = ()) -> Plan:
    """Plan a configuration; reads metadata only and writes nothing.

    Parameters
    ----------
    config : str, Path or mapping
        Configuration file, or what it would hold; paths in a mapping begin at the current folder.
    overrides : sequence of str
        ``key.path=value`` as for ``--set``.

    Returns
    -------
    Plan
        Shows its outputs, and what the stages cost; goes into `run` and `graph`.

    Raises
    ------
    ConfigError, InputError

    Examples
    --------
    >>> plan = fusestack.plan("fuse.yaml", ["fusion.downsampling=2"])
    >>> [stage.name for stage in plan.stages]
    ['fuse']
    >>> plan.images[0].target.image.shape
    (1, 1, 25, 23, 23)
    """
    from fusestack.planner import make_plan
    from fusestack.planning.plan import Plan

    return config if isinstance(config, Plan) else make_plan(loaded_from(config, overrides))


def run(
    config: str | Path | Mapping[str, Any] | Plan,
    overrides: Sequence[str] = (),
    *,
    force: bool = False,
    progress: bool | None = None,
    listener: Listener | None = None,
    client: Client | None = None,
    probe: bool = True,
) -> RunReport:
    """Make everything a configuration asks for; a rerun skips what is already done.

    Runs the graph of `graph` under a lock, with rounds of retries, records and a report.

    Parameters
    ----------
    config : str, Path, mapping or Plan
    overrides : sequence of str
        ``key.path=value`` as for ``--set``.
    force : bool
        Start over.
    progress : bool, optional
        Whether bars are shown: in a notebook, on a terminal, else as lines on standard error. As it is, they are shown
        in notebooks only.
    listener : callable, optional
        Takes the events of the run (`fusestack.taskgraph.events`), beside the bars.
    client : distributed.Client, optional
        Whose workers run it. Without one, an active client is used, as everywhere in dask, unless the configuration
        names a scheduler.
    probe : bool
        Whether a chunk of every input is decoded beforehand (for at most some seconds), so that what is broken is told
        before anything is computed.

    Returns
    -------
    RunReport
        Paths of the outputs, and what each stage took.

    Raises
    ------
    ConfigError, InputError, OutputError
    BlockError
        If blocks failed after all retries; its ``tracebacks`` say where, on the workers.

    Examples
    --------
    >>> report = fusestack.run("fuse.yaml", ["execution.workers=1"])
    >>> report.outputs  # doctest: +ELLIPSIS
    ('...fused.ome.zarr',)
    >>> fusestack.run("fuse.yaml").reused_all
    True
    """
    from fusestack.planning.plan import Plan
    from fusestack.running.aligning import plan_aligned
    from fusestack.running.damage import look
    from fusestack.running.places import check_places, scarce_space
    from fusestack.running.probing import probe_plan

    if isinstance(config, Plan):
        planned = _ready(config, client)
    else:
        loaded = loaded_from(config, overrides)
        client = checked_client(client) or client_of(loaded)
        planned = plan_aligned(loaded, client)
        tell(planned.warnings)
    known = look(planned, force=force)
    check_places(planned)
    if probe:
        warnings = [*known.damage.said, *scarce_space(planned, known.states)]
        tell([*warnings, *probe_plan(planned, known.states).warnings])
    report = run_planned(planned, known, force=force, listener=everyone(progress, listener), client=client)
    if not isinstance(config, Plan):
        tell(report.found)
    return report


def run_planned(
    plan: Plan, known: Known, *, force: bool = False, listener: Listener | None = None, client: Client | None = None
) -> RunReport:
    """Make everything a plan promises, where `fusestack.running.damage.look` has just seen what is there of it.

    Parameters
    ----------
    plan : Plan
    known : Known
        What was seen.
    force, listener, client
        See `run`.

    Returns
    -------
    RunReport

    Raises
    ------
    OutputError
        If something cannot be written, or another run writes it; see `run`.
    """
    from fusestack.running.places import SUBMITTED
    from fusestack.running.runner import run_plan
    from fusestack.storage import identity_of, open_folder
    from fusestack.storage.look import looking

    with looking(known.seen):
        submitted = open_folder(plan.work).identity(SUBMITTED) is not None
    if submitted:
        from fusestack.running.submission import refuse_submitted

        refuse_submitted(plan)
    report = run_plan(plan, force=force, listener=listener, client=client, known=known)
    with looking(known.seen):
        shown = report.reused_all and identity_of(plan.report) is not None
    if not shown:
        from fusestack.display.report import write_report

        write_report(plan, report)
    return report


def graph(config: str | Path | Mapping[str, Any] | Plan, overrides: Sequence[str] = ()) -> Job:
    """What a configuration asks for as one dask collection: a layer a stage, a task a batch of blocks.

    Reads metadata only and writes nothing until it is computed, by any dask scheduler. Tasks are cut for the
    workers and the memory of the active client, or else as the configuration says. The graph is what is missing
    now; see `fusestack.taskgraph.collection.Job` for what it does not do and `run` does.

    Parameters
    ----------
    config : str, Path, mapping or Plan
    overrides : sequence of str
        ``key.path=value`` as for ``--set``.

    Returns
    -------
    Job
        Computes to the paths of the images.

    Raises
    ------
    ConfigError, InputError
    OutputError
        If an output exists that this configuration did not make.

    Examples
    --------
    >>> job = fusestack.graph("fuse.yaml")
    >>> job
    <fusestack.Job, tasks of each stage: fuse: 1>
    >>> paths, more = dask.compute(job, dask.delayed(sum)([1, 2]), scheduler="threads")
    >>> paths  # doctest: +ELLIPSIS
    ('...fused.ome.zarr',)
    """
    from fusestack.planning.plan import Plan
    from fusestack.running.aligning import plan_aligned
    from fusestack.running.jobs import job_of_plan

    if isinstance(config, Plan):
        return job_of_plan(_ready(config, None))
    loaded = loaded_from(config, overrides)
    planned = plan_aligned(loaded, client_of(loaded))
    tell(planned.warnings)
    return job_of_plan(planned)


def _ready(plan: Plan, client: Client | None) -> Plan:
    """A plan that can run: one that waits for alignments is made again when they are there."""
    if not plan.pending:
        return plan
    from fusestack.config.load import from_mapping
    from fusestack.running.aligning import plan_aligned

    loaded = from_mapping(dict(plan.config), Path(plan.folder))
    return plan_aligned(loaded, client)


def everyone(progress: bool | None, listener: Listener | None) -> Listener | None:
    """Who listens to a run: the bars, if they are shown, and the listener of the user."""
    if listener is not None and not callable(listener):
        raise ConfigError(f"listener: {listener!r} cannot be called; give a function that takes an event")
    if progress is False:
        return listener
    from fusestack.display.progress import progress_listener

    shown = progress_listener(progress)
    if shown is None or listener is None:
        return shown or listener

    def tell(event: Event) -> None:
        shown(event)
        listener(event)

    return tell


def checked_client(client: Any) -> Client | None:
    """A client, or None.

    Raises
    ------
    ConfigError
        If it is something else, such as an address.
    """
    if client is not None and not hasattr(client, "scheduler_info"):
        raise ConfigError(
            f"client: {client!r} is no distributed.Client; give Client(...), or the address as execution.scheduler"
        )
    found: Client | None = client
    return found


def client_of(loaded: LoadedConfig) -> Client | None:
    """Client that dask would use by default, unless the configuration names a scheduler."""
    import sys

    if "distributed" not in sys.modules or "scheduler" in loaded.config.execution.model_fields_set:
        return None
    from distributed import default_client

    try:
        return default_client()
    except ValueError:
        return None


def loaded_from(config: Any, overrides: Any) -> LoadedConfig:
    """A configuration as people give it, with overrides.

    Raises
    ------
    ConfigError
        If it is none, or wrong.
    """
    from fusestack.config.load import from_mapping, load_config

    if isinstance(overrides, str):
        overrides = [overrides]
    if not isinstance(overrides, list | tuple) or not all(isinstance(one, str) for one in overrides):
        raise ConfigError(f"overrides: {overrides!r} is no list of texts; give ['fusion.downsampling=2']")
    if isinstance(config, (str, Path)):
        return load_config(config, overrides)
    if not isinstance(config, Mapping):
        raise ConfigError(
            f"config: {type(config).__name__} is no configuration; give the path of a YAML file, a mapping, or a plan "
            "(an image is stored by fusestack.write)"
        )
    return from_mapping(dict(config), Path.cwd(), overrides)
