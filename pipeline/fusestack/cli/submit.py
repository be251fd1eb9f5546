"""``fusestack submit``: have a job system run a configuration."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from fusestack.cli.arguments import add_configuration, add_no_probe, load

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from fusestack.config.load import LoadedConfig


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_configuration(parser)
    parser.add_argument(
        "--profile", metavar="NAME", help="cluster profile, a name or a path (default: execution.profile)"
    )
    parser.add_argument(
        "--mode",
        choices=("dask", "array"),
        default="dask",
        help="dask: a job that starts workers and looks after them (default); array: a job array that needs no "
        "connections between its jobs, and a job that completes the outputs",
    )
    add_no_probe(parser)
    parser.add_argument("--dry-run", action="store_true", help="print the scripts and stop")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Plan, submit, and say how to follow it."""
    from fusestack.api.submitting import plan_of_jobs
    from fusestack.cli.plan import warn
    from fusestack.running.inspection import inspect
    from fusestack.running.places import check_places, scarce_space
    from fusestack.running.probing import probe_plan
    from fusestack.running.submission import scripts_of, submit_plan

    def loaded(overrides: Sequence[str]) -> LoadedConfig:
        arguments.overrides = overrides
        return load(arguments)

    plan = plan_of_jobs(loaded, arguments.overrides, arguments.profile)
    warn(plan.warnings)
    check_places(plan)
    states = inspect(plan)
    warn(scarce_space(plan, states))
    if arguments.dry_run:
        scripts = scripts_of(plan, arguments.mode)
        for what, script in scripts.items():
            print(f"# {what}\n{script}")
        return {"scripts": scripts}
    if not arguments.no_probe:
        warn(probe_plan(plan, states).warnings)
    found = submit_plan(plan, arguments.mode)
    if found is None:
        if not arguments.quiet:
            print("nothing to do, everything is already made")
        return {"output": plan.output, "jobs": {}}
    if not arguments.quiet:
        jobs = ", ".join(f"{what} {number}" for what, number in found.jobs.items())
        place = shlex.quote(found.output)
        print(f"submitted to {found.system}: {jobs}")
        print(f"how far it is: fusestack status {place}; call it back: fusestack cancel {place}")
    return {"output": found.output, "system": found.system, "mode": found.mode, "jobs": dict(found.jobs)}
