"""Configured jobs that a job system runs, and that go on without this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from fusestack.api.configured import loaded_from
from fusestack.model.errors import ConfigError, tell

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from fusestack.config.load import LoadedConfig
    from fusestack.planning.plan import Plan
    from fusestack.running.submission import Submission


def submit(
    config: str | Path | Mapping[str, Any] | Plan,
    overrides: Sequence[str] = (),
    *,
    profile: str | None = None,
    mode: Literal["dask", "array"] = "dask",
    probe: bool = True,
) -> Submission | None:
    """Have a job system make everything a configuration asks for; as the command ``fusestack submit``.

    Parameters
    ----------
    config : str, Path, mapping or Plan
        A plan has to be one of a job system.
    overrides : sequence of str
        ``key.path=value`` as for ``--set``.
    profile : str, optional
        Cluster profile, a name or a path; as it is, `execution.profile`.
    mode : {"dask", "array"}
        A job that starts workers and looks after them; or a job array that needs no connections between its jobs, and
        a job that completes the outputs.
    probe : bool
        Whether a chunk of every input is decoded beforehand.

    Returns
    -------
    Submission or None
        With the numbers of the jobs; None where everything is already made.

    Raises
    ------
    ConfigError
        If there is no job system, or it refuses; in its words.
    InputError, OutputError

    Examples
    --------
    >>> found = fusestack.submit("fuse.yaml", profile="slurm")  # doctest: +SKIP
    >>> fusestack.submit("fuse.yaml", profile="slrum")  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    fusestack.model.errors.ConfigError: execution.profile: no profile 'slrum'; ...
    """
    from fusestack.planning.plan import Plan
    from fusestack.running.inspection import inspect
    from fusestack.running.places import check_places, scarce_space
    from fusestack.running.probing import probe_plan
    from fusestack.running.submission import submit_plan

    if not isinstance(config, Plan):
        source: Any = config
        planned = plan_of_jobs(lambda more: loaded_from(source, more), overrides, profile)
    elif overrides or profile is not None:
        raise ConfigError("overrides, profile: belong to a configuration; a plan has them already")
    else:
        planned = config
    check_places(planned)
    states = inspect(planned)
    tell([*planned.warnings, *scarce_space(planned, states)])
    if probe:
        tell(probe_plan(planned, states).warnings)
    return submit_plan(planned, mode)


def cancel(output: str | Path) -> Submission:
    """Call the jobs of an output back after the blocks that they are at; as the command ``fusestack cancel``.

    What is done is kept: submitting or running again continues.

    Parameters
    ----------
    output : str or Path
        Path or address.

    Returns
    -------
    Submission
        What was submitted; `cancelled` says whether any of its jobs was still there.

    Raises
    ------
    OutputError
        If nothing was submitted, or the job system does not answer here.

    Examples
    --------
    >>> fusestack.cancel(found.output).cancelled  # doctest: +SKIP
    True
    >>> fusestack.cancel("fused.ome.zarr")  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    fusestack.model.errors.OutputError: fused.ome.zarr: nothing was submitted; a run is stopped with Ctrl-C
    """
    from dataclasses import replace

    from fusestack.running.submission import cancel as cancel_jobs
    from fusestack.storage import absolute

    found, was_there = cancel_jobs(f"{absolute(str(output))}.fusestack")
    return replace(found, cancelled=was_there)


def plan_of_jobs(
    load: Callable[[Sequence[str]], LoadedConfig], overrides: Sequence[str] = (), profile: str | None = None
) -> Plan:
    """Plan a configuration for the job system that it, or its profile, names.

    Parameters
    ----------
    load : callable
        Reads it with some overrides.
    overrides : sequence of str
    profile : str, optional

    Raises
    ------
    ConfigError, InputError
    """
    from fusestack.running.aligning import plan_aligned
    from fusestack.running.submission import system_of

    if not isinstance(overrides, str) and profile is not None:
        overrides = [*overrides, f"execution.profile={profile}"]
    loaded = load(overrides)
    system = system_of(loaded.config.execution, loaded.folder)
    loaded = load([*overrides, f"execution.scheduler={system}"])
    return plan_aligned(loaded)
