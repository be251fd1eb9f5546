"""``fusestack cancel``: call a submitted job back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("output", metavar="OUTPUT", help="output path or address of the job")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """End the jobs after the blocks that they are at."""
    from fusestack.running.submission import cancel
    from fusestack.storage import absolute

    output = absolute(arguments.output)
    found, was_there = cancel(f"{output}.fusestack")
    if not arguments.quiet:
        jobs = ", ".join(f"{what} {number}" for what, number in found.jobs.items())
        if was_there:
            print(f"{output}: cancelled ({found.system}: {jobs}); submit or run again to continue")
        else:
            print(f"{output}: nothing to cancel, the jobs are over ({found.system}: {jobs})")
    return {"output": output, "jobs": dict(found.jobs), "cancelled": was_there}
